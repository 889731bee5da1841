"""``call: openapi``: one operation of an OpenAPI document, performed as an HTTP request."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import replace
from functools import lru_cache

from multidict import CIMultiDict
from yarl import URL

from workflow_engine.calls.content import FORM, JSON, MULTIPART, MediaType, encode
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.documents import fetch
from workflow_engine.calls.exchange import Request, deadline, exchange
from workflow_engine.calls.http import answer_options, endpoint, members, merge_headers, shown, target
from workflow_engine.calls.openapi_document import Body, OpenApiDocument, Operation, suggestion
from workflow_engine.calls.openapi_parameters import (
    cookie_pieces,
    flattened,
    header_value,
    path_segment,
    query_pieces,
)
from workflow_engine.calls.structured_text import read
from workflow_engine.calls.uri_template import address
from workflow_engine.calls.url import add_query, bounded
from workflow_engine.errors import Fault, fault
from workflow_engine.values import Json, JsonObject

_ARGUMENTS = frozenset({"document", "operationId", "parameters", "authentication", "output", "redirect"})
_VARIABLE = re.compile(r"\{([^{}]+)\}")


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Perform ``call: openapi`` with the evaluated ``with`` of the task (specification 1.0, OpenAPI call).

    The document is what the bundle pinned under its URI, else it is fetched (4 MiB at most) and remembered
    for a minute. A parameter goes to every place that declares its name. What is declared nowhere, or the
    parameter ``body``, makes the request's body (decision A58). ``authentication`` is for the operation,
    that of the document's endpoint for fetching the document. ``$function`` is the name of the function of DSL 0.8.
    """
    started = time.monotonic()
    unknown = sorted(name for name in arguments if name not in _ARGUMENTS and not name.startswith("$"))
    if unknown:
        raise fault("configuration", f"call openapi has no argument {unknown[0]!r}")
    operation_id = arguments.get("operationId")
    if not isinstance(operation_id, str) or not operation_id:
        raise fault("configuration", f"operationId must be a string, not {shown(operation_id)}")
    output, redirect = answer_options(arguments)
    base, text = await _document(arguments, context)
    document = await asyncio.to_thread(_parsed, text, bounded(base.partition("?")[0], 200))
    operation = document.operation(operation_id)
    given = members(arguments.get("parameters"), "parameters")
    policy = arguments.get("authentication")
    function = arguments.get("$function")
    request = await _request(operation, base, given, policy, context, str(function or ""))
    left = max(context.timeout - (time.monotonic() - started), 0.001)
    try:
        return await exchange(request, replace(context, timeout=left), output=output, redirect=redirect)
    except Fault as refused:
        if policy is not None or not operation.schemes or refused.error.status not in (401, 403):
            raise
        asked = f"the document asks for {', '.join(operation.schemes)}, and the call has no `authentication`"
        detail = f"{refused.error.detail} ({bounded(asked, 300)})"
        raise fault("communication", detail, status=refused.error.status) from None


async def _document(arguments: JsonObject, context: CallContext) -> tuple[str, str]:
    """The URI of the document, for what is relative to it, and its text."""
    uri, policy = endpoint(members(arguments.get("document"), "document").get("endpoint"))
    for pinned in context.resources.values():
        if pinned.get("uri") == uri:
            return str(pinned.get("base", uri)), str(pinned["content"])
    uri = address(uri, arguments)
    if policy is None:
        remembered = context.egress.texts.get(uri)
        if remembered is not None:
            return remembered
    found = await fetch(uri, policy, context.egress, seconds=context.timeout, kind="OpenAPI document")
    if policy is None:
        context.egress.texts.put(uri, found)
    return found


@lru_cache(maxsize=16)
def _parsed(text: str, name: str) -> OpenApiDocument:
    try:
        data = read(text)
    except ValueError as error:
        raise fault("configuration", f"the OpenAPI document {name} cannot be read: {error}") from None
    return OpenApiDocument(data, name)


async def _request(
    operation: Operation, base: str, given: JsonObject, policy: Json, context: CallContext, function: str
) -> Request:
    rest: JsonObject = {name: value for name, value in given.items() if value is not None}
    segments: dict[str, str] = {}
    query: list[str] = []
    cookies: list[str] = []
    headers: JsonObject = {"Accept": ", ".join(operation.accepts)} if operation.accepts else {}
    missing: list[str] = []
    for parameter in operation.parameters:
        if given.get(parameter.name) is None:
            if parameter.required:
                missing.append(f"{parameter.name!r} ({parameter.location})")
            continue
        value = given[parameter.name]
        rest.pop(parameter.name, None)
        match parameter.location:
            case "path":
                segments[parameter.name] = path_segment(parameter, value)
            case "query":
                query += query_pieces(parameter, value)
            case "cookie":
                cookies += cookie_pieces(parameter, value)
            case _:
                headers[parameter.name] = header_value(parameter, value)
    if missing:
        raise fault("validation", f"operation {operation.id!r} needs {_listed('parameter', missing)}")
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    body = _body(operation, rest)
    async with deadline(context.timeout, f"authentication to call operation {operation.id!r}"):
        url, credentials = await target(
            _address(operation, base, segments, context, function), policy, context.egress
        )
    merged: CIMultiDict[str] = merge_headers(credentials.headers, headers, context.egress)
    url = add_query(url, query)
    if body is None:
        return Request(operation.method, url, merged, credentials=credentials)
    assert operation.body is not None
    content_type = merged.get("Content-Type") or _concrete(operation.body.media_types[0])
    if function and isinstance(body, dict) and len(body) == 1 and content_type.startswith("text/"):
        [body] = body.values()  # a text has no names; SonataFlow sends the one argument
    types: dict[str, str] = {}
    if isinstance(body, dict) and MediaType.parse(content_type).name in (FORM, MULTIPART):
        types = {name: JSON for name, value in body.items() if _has_object(value)} | dict(
            operation.body.types
        )
        body = flattened(operation.body, body)
    written, content_type = encode(body, content_type, files=operation.body.files, types=types)
    merged["Content-Type"] = content_type
    return Request(operation.method, url, merged, written, credentials)


def _has_object(value: Json) -> bool:
    return any(isinstance(item, dict) for item in (value if isinstance(value, list) else [value]))


def _body(operation: Operation, rest: JsonObject) -> Json:
    """The body made of the parameters that are declared nowhere else; None for no body."""
    body = operation.body
    if body is None:
        _refuse_unknown(operation, rest, set())
        return None
    for name in {body.name: None, "body": None}:
        if name and name in rest and (name == body.name or name not in body.properties):
            whole = rest.pop(name)
            _refuse_unknown(operation, rest, set())
            return whole
    if body.closed:
        _refuse_unknown(operation, rest, body.properties)
    absent = sorted(body.mandatory - rest.keys())
    if absent:
        listed = _listed("form parameter", [repr(name) for name in absent])
        raise fault("validation", f"operation {operation.id!r} needs {listed}")
    if not rest and body.required:
        raise fault("validation", f"operation {operation.id!r} needs a body; give it as parameter 'body'")
    return rest or None


def _refuse_unknown(operation: Operation, rest: JsonObject, known: set[str] | frozenset[str]) -> None:
    unknown = [name for name in rest if name not in known]
    if unknown:
        names = sorted(
            {parameter.name for parameter in operation.parameters} | known | _whole(operation.body)
        )
        raise fault(
            "validation",
            f"operation {operation.id!r} has no parameter {unknown[0]!r}{suggestion(unknown[0], names)}",
        )


def _whole(body: Body | None) -> set[str]:
    return set() if body is None or body.closed else {body.name or "body"}


def _address(
    operation: Operation, base: str, segments: dict[str, str], context: CallContext, function: str
) -> str:
    """Where the operation is; where the document does not say it, the setting for the service of *function* may."""

    def segment(match: re.Match[str]) -> str:
        if match[1] not in segments:
            raise fault(
                "configuration",
                f"the path {operation.path!r} of operation {operation.id!r} has {match[0]}, which the "
                "document does not declare as a parameter",
            )
        return segments[match[1]]

    path = _VARIABLE.sub(segment, operation.path)
    for server in operation.servers:
        try:
            root = URL(base).join(URL(server))
        except ValueError:
            continue
        if root.scheme in ("http", "https") and root.raw_host:
            return str(root.with_query(None).with_fragment(None)).rstrip("/") + path
    if context.egress.serves(function):
        return context.egress.service(function).rstrip("/") + path
    raise fault(
        "configuration",
        f"the OpenAPI document {base.partition('?')[0]} names no http server for operation {operation.id!r}: "
        f"{', '.join(operation.servers)[:200]}",
    )


def _concrete(media_type: str) -> str:
    """A type to send, where the document has a range such as ``*/*``."""
    if not media_type.endswith("/*"):
        return media_type
    return {"*/*": JSON, "application/*": JSON, "text/*": "text/plain"}.get(
        media_type, "application/octet-stream"
    )


def _listed(noun: str, names: list[str]) -> str:
    return f"{noun}{'s' if len(names) > 1 else ''} {', '.join(names)}"
