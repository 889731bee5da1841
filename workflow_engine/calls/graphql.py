"""Functions of type ``graphql`` (DSL 0.8): one field of a GraphQL service, queried or mutated over HTTP."""

from __future__ import annotations

import json
import time
from dataclasses import replace

from workflow_engine.calls.content import JSON, encode, kind
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.exchange import Request, deadline, exchange
from workflow_engine.calls.http import members, merge_headers, target
from workflow_engine.calls.url import bounded, shown_uri
from workflow_engine.dsl.graphql import DEEPEST, NAME, open_string, wrong_selection
from workflow_engine.errors import Fault, fault
from workflow_engine.values import Json, JsonObject

ACCEPT = "application/graphql-response+json, application/json;q=0.9"
_SHOWN = 500


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Perform the operation; the output is ``data`` of the answer: ``{"pet": …}`` for the field ``pet``.

    Values are written into the document by the grammar of GraphQL, never as syntax; those that ``types`` has a type
    for are sent as variables. Errors in the answer are a runtime fault (500), whose title is the ``code`` of the first
    one, where it has any in its extensions; what fails before there is an answer is a communication fault.
    """
    document, variables = written(arguments)
    uri = str(arguments.get("endpoint"))
    started = time.monotonic()
    async with deadline(context.timeout, f"authentication to call {shown_uri(uri)}"):
        url, credentials = await target(uri, arguments.get("authentication"), context.egress)
    headers = merge_headers(credentials.headers, {"Accept": ACCEPT}, context.egress)
    headers["Content-Type"] = JSON
    asked: JsonObject = {"query": document, "variables": variables} if variables else {"query": document}
    body, _ = encode(asked, JSON)
    around = replace(context, timeout=max(context.timeout - (time.monotonic() - started), 0.001))
    request = Request("POST", url, headers, body, credentials)
    answer = await exchange(request, around, output="content", redirect=False)
    what = f"{arguments.get('operation')} {arguments.get('field')} at {shown_uri(uri)}"
    if not isinstance(answer, dict) or not ("data" in answer or "errors" in answer):
        raise fault("communication", f"{what}: the answer is no answer of GraphQL, but {kind(answer)}")
    if answer.get("errors"):
        raise _refused(what, answer["errors"], context)
    return answer.get("data")


def written(arguments: JsonObject) -> tuple[str, JsonObject]:
    """The document of GraphQL that *arguments* make, and its variables."""
    operation, field = str(arguments.get("operation")), str(arguments.get("field"))
    types, declared, given = members(arguments.get("types"), "types"), [], []
    variables: JsonObject = {}
    for name, value in members(arguments.get("arguments"), "arguments").items():
        _check_name(name)
        if name in types:
            declared.append(f"${name}: {types[name]}")
            variables[name] = value
            given.append(f"{name}: ${name}")
        else:
            given.append(f"{name}: {literal(value)}")
    called = f"{field}({', '.join(given)})" if given else field
    head = f"{operation}({', '.join(declared)})" if declared else operation
    selection = _selection(arguments.get("selectionSet"))
    return f"{head} {{ {called} {selection} }}" if selection else f"{head} {{ {called} }}", variables


def literal(value: Json, depth: int = 0) -> str:
    """*value* by the grammar of GraphQL; a validation fault where that has no word for it."""
    if depth > DEEPEST:
        raise fault("validation", f"an argument is nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        for name in value:
            _check_name(name)
        return "{" + ", ".join(f"{name}: {literal(item, depth + 1)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item, depth + 1) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        message = f"{bounded(name, 100)!r} cannot be a name in GraphQL: it has letters, digits and `_` alone"
        raise fault("validation", message)


def _selection(given: Json) -> str:
    """The selection set: text that an expression gave as a whole, or parts, of which each second one is a value."""
    if given is None:
        return ""
    if isinstance(given, list):
        text = ""
        for number, part in enumerate(given):
            if number % 2 == 0:
                text += str(part)
            elif open_string(text):
                text += json.dumps(part if isinstance(part, str) else literal(part), ensure_ascii=False)[1:-1]
            else:
                text += literal(part)
        return text
    if not isinstance(given, str):
        raise fault("validation", f"the selection set must be text, not {kind(given)}")
    wrong = wrong_selection([given])
    if wrong:
        raise fault("validation", f"the selection set is none of GraphQL: {wrong}")
    return given


def _refused(what: str, errors: Json, context: CallContext) -> Fault:
    listed = [error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    told = "; ".join(str(error.get("message", "an error without a message")) for error in listed[:5])
    extensions = listed[0].get("extensions") if listed else None
    code = extensions.get("code") if isinstance(extensions, dict) else None
    title = bounded(context.redact(code), 200) if isinstance(code, str) and code else None
    detail = bounded(" ".join(context.redact(f"{what}: {told or 'errors'}").split()), _SHOWN)
    return fault("runtime", detail, status=500, title=title)
