"""What a call goes to, in one line: ``GET https://…``, ``paymentapp#sendPayment``, ``Greeter/SayHello``."""

from __future__ import annotations

import re

from workflow_engine.graph.actions import Operation
from workflow_engine.graph.phrases import text
from workflow_engine.values import Json, JsonObject

_SAYS_NOTHING = re.compile(r"(?i)(?:open|async)?api(?:[-_]docs)?|swagger|spec|schema|index|v?[\d.]*")


def target(action: Operation) -> str:
    """What a call goes to, as far as its arguments, before evaluation, and the pinned resources say so."""
    arguments = action.arguments.source
    if action.kind == "function":  # one that is not here yet
        return action.resources[0].removeprefix("function:")
    if not isinstance(arguments, dict):
        return text(arguments)
    match action.kind:
        case "http":
            return f"{text(arguments.get('method', '')).upper()} {_endpoint(arguments.get('endpoint'))}"
        case "openapi":
            return _member_of(arguments.get("document"), arguments.get("operationId"))
        case "asyncapi":
            pinned = action.resources[0] if action.resources else None
            operation = arguments.get("operation", arguments.get("channel", pinned))
            prefix = "subscribe " if "subscription" in arguments else ""
            return prefix + _member_of(arguments.get("document"), operation)
        case "grpc":
            service = arguments.get("service")
            name = service.get("name") if isinstance(service, dict) else service
            return f"{text(name or '')}/{text(arguments.get('method', ''))}"
        case "activity":
            return f"{text(arguments.get('type', ''))} on {text(arguments.get('taskQueue', ''))}"
        case "mcp" | "a2a":
            return _remote_method(arguments)
        case "graphql":
            return f"{text(arguments.get('operation', ''))} {text(arguments.get('field', ''))}"
        case "odata":
            return text(arguments.get("entitySet", ""))
        case "custom":
            names = arguments.get("names")
            return text(names[0]) if isinstance(names, list) and names else ""
        case "script":
            return text(arguments.get("language", ""))
        case "shell":
            return text(arguments.get("command", ""))
        case "container":
            return text(arguments.get("image", ""))
        case _:
            known = ("operation", "endpoint", "uri", "name", "method", "source")
            return next((_endpoint(arguments[name]) for name in known if name in arguments), "")


def _remote_method(arguments: JsonObject) -> str:
    shown = text(arguments.get("method", ""))
    parameters = arguments.get("parameters")
    if isinstance(parameters, dict):
        subject = parameters.get("name", parameters.get("uri"))
        if isinstance(subject, str):
            return f"{shown} {subject}"
    server = arguments.get("agentCard", arguments.get("server"))
    return f"{shown} {_endpoint(server)}".rstrip()


def _endpoint(value: Json) -> str:
    """The URI of an endpoint or external resource in either of its forms, without credentials in it."""
    if isinstance(value, dict):
        return _endpoint(value.get("uri", value.get("endpoint")))
    return "" if value is None else re.sub(r"(?<=://)[^/\s@]*@", "", text(value))


def _member_of(document: Json, member: Json) -> str:
    """``paymentapp#sendPayment``: a document without its place and extension, and what of it is called.

    A document whose file name says nothing (``/v2/swagger.json``) is named by its host.
    """
    place, name = _endpoint(document), "" if member is None else text(member)
    if "#" in name:
        place, _, name = name.partition("#")
        name = name.removeprefix("operation:").removeprefix("channel:")
    if place.startswith("${"):
        return f"{place}#{name}"
    scheme, _, rest = place.partition("?")[0].rpartition("://")
    stem = re.sub(r"\.(?:ya?ml|json)$", "", rest.rstrip("/").rpartition("/")[2])
    if scheme in {"http", "https"} and _SAYS_NOTHING.fullmatch(stem):
        stem = rest.partition("/")[0].rpartition("@")[2]
    return f"{stem}#{name}" if stem else name
