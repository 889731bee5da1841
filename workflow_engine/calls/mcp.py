"""``call: mcp``: one request to a Model Context Protocol server, in a session of its own."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Protocol

from workflow_engine import __version__
from workflow_engine.calls import json_rpc, mcp_http, mcp_stdio
from workflow_engine.calls.content import json_text
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.exchange import deadline
from workflow_engine.calls.http import members, shown
from workflow_engine.dsl.v1.mcp import VERSIONS
from workflow_engine.errors import Fault, fault
from workflow_engine.values import Json, JsonObject

DEFAULT_VERSION = "2025-06-18"
LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""The methods that give their result in pages, and the member that has the items."""
METHODS = (*LISTS, "tools/call", "prompts/get", "resources/read")
MAX_PAGES = 100

_ARGUMENTS = frozenset({"protocolVersion", "method", "parameters", "timeout", "transport", "client"})
_STATUS = {-32002: 404}  # resource not found
_GOODBYE = 2.0


class Channel(Protocol):
    """A way to a server."""

    def exchange(self, message: JsonObject) -> AsyncGenerator[JsonObject, None]:
        """Send *message*, a request, and give every message that comes, until the block is left."""
        ...

    async def tell(self, message: JsonObject) -> None:
        """Send *message*, which has no answer."""
        ...

    def agree(self, version: str) -> None:
        """From now on this version of the protocol is spoken."""
        ...


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Perform ``call: mcp`` with the evaluated ``with`` of the task (specification 1.0.2, MCP call).

    The output is the JSON-RPC result; one with ``isError``, with which a tool says that it failed, is a result too. A
    list without a ``cursor`` in its parameters is read to its end, for a cursor is worth nothing in another session.
    A JSON-RPC error is a runtime fault, what the network or the process does a communication fault (decision A59).
    """
    unknown = sorted(name for name in arguments if name not in _ARGUMENTS and not name.startswith("$"))
    if unknown:
        raise fault("configuration", f"call mcp has no argument {unknown[0]!r}")
    method = arguments.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise fault("configuration", f"method must be one of {', '.join(METHODS)}, not {shown(method)}")
    version = arguments.get("protocolVersion") or DEFAULT_VERSION
    if version not in VERSIONS:
        raise fault(
            "configuration", f"protocolVersion must be one of {', '.join(VERSIONS)}, not {shown(version)}"
        )
    parameters = members(arguments.get("parameters"), "parameters")
    client = _client(arguments.get("client"))
    transport = members(arguments.get("transport"), "transport")
    seconds = min(context.timeout, context.bounds.seconds) if "stdio" in transport else context.timeout
    async with (
        deadline(seconds, f"mcp {method}"),
        _channel(transport, arguments, context) as channel,
    ):
        session = _Session(channel, context)
        await session.initialize(str(version), client)
        if method in LISTS and "cursor" not in parameters:
            return await session.whole_list(method, parameters)
        if method == "tools/call":
            parameters = _with_key(parameters, context.idempotency_key)
        return await session.request(method, parameters)


def _client(value: Json) -> JsonObject:
    client = members(value, "client")
    if not client:
        return {"name": "wfe", "version": __version__}
    for name in ("name", "version"):
        if not isinstance(client.get(name), str) or not client[name]:
            raise fault("configuration", f"client: {name} must be a string, not {shown(client.get(name))}")
    return {"name": client["name"], "version": client["version"]}


def _channel(
    transport: JsonObject, arguments: JsonObject, context: CallContext
) -> AbstractAsyncContextManager[Channel]:
    if "http" in transport:
        return mcp_http.opened(members(transport["http"], "transport http"), arguments, context)
    if "stdio" in transport:
        return mcp_stdio.opened(members(transport["stdio"], "transport stdio"), context)
    raise fault("configuration", "the transport must be http or stdio")


def _with_key(parameters: JsonObject, key: str) -> JsonObject:
    """*parameters* with what tells the server that it was asked this before; the author's own word counts more."""
    meta = parameters.get("_meta")
    return {**parameters, "_meta": {"idempotencyKey": key, **(meta if isinstance(meta, dict) else {})}}


class _Session:
    """A conversation over one channel, in which this side offers nothing that a server could ask for."""

    def __init__(self, channel: Channel, context: CallContext) -> None:
        self._channel = channel
        self._context = context
        self._last = 0

    async def initialize(self, version: str, client: JsonObject) -> None:
        """Agree on the version of the protocol before anything else is said."""
        given: JsonObject = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
        result = await self.request("initialize", given)
        agreed = result.get("protocolVersion")
        if not isinstance(agreed, str) or agreed not in VERSIONS:
            known = ", ".join(VERSIONS)
            detail = f"mcp initialize: the server speaks version {shown(agreed)}; known are {known}"
            raise fault("communication", detail)
        self._channel.agree(agreed)
        await self._channel.tell(json_rpc.notification("notifications/initialized"))

    async def request(self, method: str, params: JsonObject | None) -> JsonObject:
        self._last += 1
        id, what = self._last, f"mcp {method}"
        answered = False
        try:
            async with aclosing(self._channel.exchange(json_rpc.request(id, method, params))) as incoming:
                async for message in incoming:
                    if json_rpc.answers(message, id):
                        answered = True
                        result = json_rpc.result_of(message, what, _STATUS, self._context.redact)
                        if not isinstance(result, dict):
                            raise fault("communication", f"{what}: the result must be an object")
                        return result
                    if json_rpc.is_request(message):
                        await self._channel.tell(_declined(message))
        finally:
            if not answered and method != "initialize":
                await self._withdraw(id)
        raise fault("communication", f"{what}: the server ended the connection without an answer")

    async def whole_list(self, method: str, params: JsonObject) -> JsonObject:
        """Every page of a list as one."""
        name, items, size = LISTS[method], list[Json](), 0
        given = params
        for _ in range(MAX_PAGES):
            page = await self.request(method, given)
            found = page.get(name)
            if not isinstance(found, list):
                raise fault("communication", f"mcp {method}: the result has no list of {name}")
            size += len(json_text(found))
            if size > self._context.egress.max_response:
                limit = self._context.egress.max_response
                raise fault("communication", f"mcp {method}: the list is larger than {limit} bytes")
            items += found
            cursor = page.get("nextCursor")
            if not cursor:
                return {**page, name: items}
            given = {**params, "cursor": cursor}
        raise fault("communication", f"mcp {method}: the list has more than {MAX_PAGES} pages")

    async def _withdraw(self, id: int) -> None:
        """Say that no answer to *id* is waited for any more; nobody waits for that to arrive either."""
        said = json_rpc.notification(
            "notifications/cancelled", {"requestId": id, "reason": "the call has ended"}
        )
        with contextlib.suppress(Fault):
            async with deadline(_GOODBYE, "mcp notifications/cancelled"):
                await self._channel.tell(said)


def _declined(message: JsonObject) -> JsonObject:
    """The answer to a request of the server: it may ask whether somebody is there, and nothing else."""
    answer: JsonObject = {"jsonrpc": "2.0", "id": message["id"]}
    if message["method"] == "ping":
        return {**answer, "result": {}}
    text = f"this client does not offer {str(message['method'])[:100]}"
    return {**answer, "error": {"code": json_rpc.METHOD_NOT_FOUND, "message": text}}
