"""Lower functions of type ``custom``: registered Python functions, and the forms that SonataFlow has (decision B42).

``sysout`` and ``sysout:LEVEL`` log their argument ``message``; ``rest:METHOD:URL`` is one HTTP request; what follows
``service:``, and any other text, is the name of a registered function. Without an operation that is the function's own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from workflow_engine.dsl import uri_templates
from workflow_engine.dsl.v0_8.variables import RUN
from workflow_engine.expressions import ExpressionError, compile, jsonpath
from workflow_engine.values import Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

_FORMS = ("service:", "script:", "knative:", "camel:")
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR")
_REST = re.compile(r"rest:(?:(get|head|post|put|patch|delete|options):)?(.+)", re.IGNORECASE | re.DOTALL)
_SYSOUT = re.compile(r"sysout(?::(.*))?", re.DOTALL)
_LANGUAGE = re.compile(r"^[a-z]+:(?!:)")
"""What SonataFlow has between ``service:`` and the name: ``java:``."""
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_JQ = re.compile(r"\s*[.$\"].*", re.DOTALL)
"""A message that is an expression without ``${ }``, if it is one at all."""


def is_rest(operation: str) -> bool:
    """Whether *operation* is one request over HTTP."""
    return operation.lower().startswith("rest:")


def is_sonataflow(operation: str) -> bool:
    """Whether *operation* is in a form that SonataFlow has."""
    return is_log(operation) or is_rest(operation) or operation.startswith(_FORMS)


def is_log(operation: str) -> bool:
    """Whether *operation* logs: its message has a rule of its own."""
    return _SYSOUT.fullmatch(operation) is not None


def names(operation: str, own: str) -> list[str]:
    """Under which names the Python function is looked for, the first one first."""
    text = operation.strip()
    if not text.startswith("service:"):
        return [text or own]
    named = _LANGUAGE.sub("", text.removeprefix("service:"))
    return list(dict.fromkeys((named, named.replace("::", "."))))


def check(lowering: WorkflowLowering, function: JsonObject, operation: str, at: str) -> None:
    """Find what is wrong with a function of type custom, as far as its form is ours."""
    place = f"{at}/operation"
    sysout = _SYSOUT.fullmatch(operation)
    if sysout is not None and sysout[1] is not None and sysout[1].upper() not in LEVELS:
        message = f"{sysout[1]!r} is no level of a log; `sysout:` takes {', '.join(LEVELS)}"
        lowering.problem("invalid-value", message, place)
    if is_rest(operation):
        _check_rest(lowering, function, operation, at)
    elif function.get("authRef") is not None:
        message = "`authRef` is for what is called over HTTP; this function runs in the worker"
        lowering.problem("misplaced-property", message, f"{at}/authRef")
    if not all(names(operation, str(function.get("name")))):
        lowering.problem("invalid-value", "`service:` must be followed by the name of a function", place)


def _check_rest(lowering: WorkflowLowering, function: JsonObject, operation: str, at: str) -> None:
    url = _url(function, operation)
    if url.startswith("/"):
        message = (
            f"{operation!r} has no host: write the whole URL, or `metadata: {{host: name, port: number}}` with "
            "`protocol: https` where that is wanted; else the setting WFE_FUNCTION_URLS of the worker says where it is"
        )
        lowering.warning("earlier-form", message, at)
    for code, wrong in uri_templates.problems(url):
        lowering.problem(code, wrong, f"{at}/operation")
    if not url.startswith(("http://", "https://", "/")):
        message = f"{operation!r} must be rest:METHOD:URL, with a URL of http or https"
        lowering.problem("invalid-value", message, f"{at}/operation")


def _url(function: JsonObject, operation: str) -> str:
    """The URL of ``rest:METHOD:URL``; a path alone is on the host that the metadata says, as in SonataFlow.

    Without that it stays a path.
    """
    found = _REST.fullmatch(operation)
    url = "" if found is None else found[2].strip()
    if not url.startswith("/"):
        return url
    metadata = function.get("metadata")
    known: JsonObject = metadata if isinstance(metadata, dict) else {}
    if not known.get("host"):
        return url
    port = f":{known['port']}" if known.get("port") else ""
    return f"{known.get('protocol', 'http')}://{known['host']}{port}{url}"


def lower(
    lowering: WorkflowLowering, function: JsonObject, operation: str, arguments: Json, at: str
) -> tuple[str, JsonObject] | None:
    """The kind of the call and its arguments; None where they are wrong."""
    sysout = _SYSOUT.fullmatch(operation)
    if sysout is not None:
        named = arguments if isinstance(arguments, dict) else {}
        return _sysout(lowering, (sysout[1] or "INFO").upper(), named, at)
    if is_rest(operation):
        return _rest(lowering, function, operation, arguments, at)
    known: list[Json] = [*names(operation, str(function.get("name")))]
    return "custom", {"names": known, "arguments": lowering.everything if arguments is None else arguments}


def _sysout(
    lowering: WorkflowLowering, level: str, arguments: JsonObject, at: str
) -> tuple[str, JsonObject] | None:
    unknown = next((name for name in arguments if name != "message"), None)
    if unknown is not None or "message" not in arguments:
        text = (
            "`sysout` needs the argument `message`" if unknown is None else "`sysout` takes `message` alone"
        )
        code, place = ("missing-property", at) if unknown is None else (
            "unknown-property", f"{at}/arguments{pointer(unknown)}",
        )  # fmt: skip
        lowering.problem(code, text, place)
        return None
    return "sysout", {"level": level, "message": _message(lowering, arguments["message"])}


def _message(lowering: WorkflowLowering, given: Json) -> Json:
    """A message may be an expression without ``${ }``, as in SonataFlow: a path, a variable, or text of jq."""
    if not isinstance(given, str) or "${" in given or not _JQ.fullmatch(given):
        return given
    if lowering.jsonpath:
        return jsonpath.marked(given)
    try:
        compile(given, variables=RUN)
    except ExpressionError:
        return given
    return f"${{ {given}\n}}"


def _rest(
    lowering: WorkflowLowering, function: JsonObject, operation: str, arguments: Json, at: str
) -> tuple[str, JsonObject] | None:
    """Arguments that the path names go there, ``HEADER_X`` is a header, ``QUERY_x`` a parameter; others are the body.

    A request that has no body takes them as parameters. Without any, the body is the data that the action sees.
    """
    found, url = _REST.fullmatch(operation), _url(function, operation)
    assert found is not None
    method = (found[1] or "get").upper()
    rest = dict(arguments) if isinstance(arguments, dict) else {}
    headers: JsonObject = {}
    query: JsonObject = {}
    variables: JsonObject = {}
    for name in dict.fromkeys(name.strip() for name in _VARIABLE.findall(url)):
        if name not in rest:
            message = f"the URL has `{{{name}}}`, and the arguments have no `{name}`"
            lowering.problem("missing-property", message, at)
            return None
        variables[name] = rest.pop(name)
    for name in list(rest):
        for prefix, into in (("HEADER_", headers), ("QUERY_", query)):
            if name.startswith(prefix) and name != prefix:
                into[name.removeprefix(prefix)] = rest.pop(name)
    given: JsonObject = {"method": method, "endpoint": url, "headers": headers}
    if url.startswith("/"):
        given["$function"] = str(function.get("name"))
    metadata = function.get("metadata")
    if isinstance(metadata, dict) and str(metadata.get("failOnStatusCode", "")).lower() == "false":
        given["$any_status"] = True
    if lowering.tells_status:
        given["output"] = "response"
    if arguments is not None and not isinstance(arguments, dict):
        given["body" if method in _WITH_BODY else "query"] = arguments
        return "http", given
    if method in _WITH_BODY:
        given["body"] = rest or lowering.everything
    else:
        query |= rest
    if query:
        given["query"] = query
    if variables:
        given["$uri_variables"] = variables
    return "http", given
