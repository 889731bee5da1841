"""``call: grpc``: one method of a gRPC service, whose proto was compiled when the workflow was deployed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from yarl import URL

from workflow_engine.calls.authentication import authenticate
from workflow_engine.calls.content import kind
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.credentials import NOBODY
from workflow_engine.calls.exchange import deadline, header_safe
from workflow_engine.calls.grpc_channel import library, open_channel
from workflow_engine.calls.grpc_messages import Method, method_of, read, written
from workflow_engine.calls.url import REDACTED, bounded
from workflow_engine.errors import ERRORS, Fault, fault
from workflow_engine.telemetry.spans import active
from workflow_engine.values import Json, JsonObject

MAX_MESSAGES = 10_000
"""How many messages a stream may have, in either direction."""
STATUS: Mapping[str, int] = MappingProxyType(
    {
        "CANCELLED": 499,
        "UNKNOWN": 500,
        "INVALID_ARGUMENT": 400,
        "DEADLINE_EXCEEDED": 504,
        "NOT_FOUND": 404,
        "ALREADY_EXISTS": 409,
        "PERMISSION_DENIED": 403,
        "RESOURCE_EXHAUSTED": 429,
        "FAILED_PRECONDITION": 400,
        "ABORTED": 409,
        "OUT_OF_RANGE": 400,
        "UNIMPLEMENTED": 501,
        "INTERNAL": 500,
        "UNAVAILABLE": 503,
        "DATA_LOSS": 500,
        "UNAUTHENTICATED": 401,
    }
)
"""The status of a fault by the code of gRPC, as ``google/rpc/code.proto`` maps codes to HTTP."""

_CUT_SHORT = "Internal error from Core"
"""What the library says where it could not send a message, because the call was over. Why it was is lost then."""


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Perform ``call: grpc`` with the evaluated ``with`` of the task (specification 1.0, gRPC call).

    ``arguments`` is the message, or an array of messages for a method that takes a stream. The output is the message
    that comes back, or the array of them for a method that gives a stream. Any code but OK is a communication fault
    with the HTTP status that goes with the code. ``$tls`` says whether the connection is encrypted; without it, it is
    unless the host is the machine itself, or one of the setting WFE_GRPC_PLAINTEXT_HOSTS. ``$function`` names
    the function of DSL 0.8 whose service it is, where the document does not say it.
    """
    if len(context.resources) != 1:
        raise fault("configuration", "the bundle has no proto for this call; deploy the workflow again")
    method = method_of(next(iter(context.resources.values())))
    host, port, tls = _address(arguments, context)
    shown = f"grpc://{host}:{port}{method.path}"
    messages = await asyncio.to_thread(_messages, method, arguments.get("arguments"))
    service = arguments.get("service")
    policy = service.get("authentication") if isinstance(service, dict) else None
    until = time.monotonic() + context.timeout
    credentials = NOBODY
    async with deadline(context.timeout, shown, status=STATUS["DEADLINE_EXCEEDED"]):
        if policy is not None:
            url = URL.build(scheme="https" if tls else "http", host=host, port=port)
            credentials = await authenticate(policy, context.egress, url)
        if credentials.digest is not None:
            raise fault("configuration", "authentication digest needs HTTP; a gRPC service cannot ask for it")
        with _placed(shown, tls=tls):
            server = host, port, tls
            try:
                answers = await _perform(method, messages, credentials.headers, context, server, until)
            except Fault as refused:
                if credentials.renew is None or refused.error.status != HTTPStatus.UNAUTHORIZED:
                    raise
                answers = await _perform(method, messages, await credentials.renew(), context, server, until)
            found = await asyncio.to_thread(_read, method, answers, context.egress.max_response)
    return found if method.gives_stream else found[0]


def _address(arguments: JsonObject, context: CallContext) -> tuple[str, int, bool]:
    service = arguments.get("service")
    known: JsonObject = service if isinstance(service, dict) else {}
    host, port, tls = known.get("host"), known.get("port"), arguments.get("$tls")
    if host is None and "$function" in arguments:
        url = URL(context.egress.service(str(arguments["$function"])))
        host, port = url.host, url.explicit_port
        tls = {"https": True, "http": False}.get(url.scheme, tls)
    if not isinstance(host, str) or not host:
        raise fault("configuration", f"service.host must be a string, not {kind(host)}")
    if not isinstance(tls, bool):
        tls = not context.egress.plaintext(host)
    if port is None:
        port = 443 if tls else 80
    if not isinstance(port, int | float) or not 0 < port <= 65535:
        raise fault("configuration", "service.port must be a number from 1 to 65535")
    return host, int(port), tls


def _messages(method: Method, given: Json) -> list[bytes]:
    if not method.takes_stream:
        return [written(method, {} if given is None else given, "arguments")]
    if not isinstance(given, list):
        return [] if given is None else [written(method, given, "arguments")]
    if len(given) > MAX_MESSAGES:
        raise fault("validation", f"arguments has more than {MAX_MESSAGES:,} messages")
    return [written(method, item, f"arguments/{number}") for number, item in enumerate(given)]


async def _perform(
    method: Method,
    messages: list[bytes],
    headers: Mapping[str, str],
    context: CallContext,
    server: tuple[str, int, bool],
    until: float,
) -> list[bytes]:
    """Make the call and give what comes back, as it is on the wire; a fault for what is not OK, without its place."""
    grpc = await asyncio.to_thread(library)
    host, port, tls = server
    metadata = [("idempotency-key", header_safe(context.idempotency_key))]
    metadata += [(name.lower(), value) for name, value in headers.items()]
    if (span := active()) is not None:
        metadata += span.context.headers().items()
        span.attributes |= {"rpc.system.name": "grpc", "rpc.method": method.path.lstrip("/")}
        span.attributes |= {"server.address": host, "server.port": port}
    async with open_channel(host, port, tls=tls, egress=context.egress) as channel:
        kinds = {
            (False, False): channel.unary_unary,
            (False, True): channel.unary_stream,
            (True, False): channel.stream_unary,
            (True, True): channel.stream_stream,
        }
        request = () if method.takes_stream else (messages[0],)
        options = {"timeout": max(until - time.monotonic(), 0.001), "metadata": metadata}
        made = kinds[method.takes_stream, method.gives_stream](method.path)(*request, **options)
        feeding = asyncio.create_task(_feed(made, messages)) if method.takes_stream else None
        try:
            if not method.gives_stream:
                return [await made]
            return await _collected(made, context.egress.max_response)
        except grpc.aio.AioRpcError as error:
            code = error.code().name
            if code == "DEADLINE_EXCEEDED" and time.monotonic() > until - 0.1:
                detail = f"no complete answer within {context.timeout:g} seconds"
                raise fault("communication", detail, status=STATUS[code]) from None
            said = _without(headers.values(), context.redact(error.details() or ""))
            detail = bounded(" ".join(said.split()), 500)
            if detail == _CUT_SHORT and feeding is not None:
                detail = "the server ended the call before it had all messages"
            text = f"{code}: {detail}" if detail else code
            raise fault("communication", text, status=STATUS.get(code, 500)) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise fault("communication", "CANCELLED by the library", status=STATUS["CANCELLED"]) from None
        finally:
            if feeding is not None:
                feeding.cancel()
            made.cancel()


def _without(credentials: Iterable[str], text: str) -> str:
    """*text* without the *credentials* of the call, which it may repeat."""
    for value in credentials:
        for secret in (value, value.partition(" ")[2]):
            if secret:
                text = text.replace(secret, REDACTED)
    return text


async def _feed(stream: Any, messages: list[bytes]) -> None:
    """Send *messages* on *stream*. That it ends before is no failure of ours: who reads the stream is told why."""
    grpc = library()
    with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
        for message in messages:
            if stream.done():
                return
            await stream.write(message)
        await stream.done_writing()


async def _collected(stream: Any, limit: int) -> list[bytes]:
    found: list[bytes] = []
    size = 0
    async for message in stream:
        found.append(message)
        size += len(message)
        if size > limit:
            raise fault(
                "communication", f"the answer is larger than {limit} bytes, the limit for one response"
            )
        if len(found) > MAX_MESSAGES:
            raise fault("communication", f"the answer has more than {MAX_MESSAGES:,} messages")
    return found


def _read(method: Method, answers: list[bytes], limit: int) -> list[Json]:
    found: list[Json] = []
    for answer in answers:
        value, size = read(method, answer, limit)
        found.append(value)
        limit -= size
    return found


@contextmanager
def _placed(shown: str, *, tls: bool) -> Iterator[None]:
    """Put the address in front of a communication fault, and a hint where TLS may be what is wrong."""
    try:
        yield
    except Fault as raised:
        error = raised.error
        if error.type != ERRORS + "communication":
            raise
        hint = ""
        if error.status == HTTPStatus.SERVICE_UNAVAILABLE and tls:
            hint = " (with TLS; `metadata: {tls: false}` of the task calls without)"
        elif error.status == HTTPStatus.SERVICE_UNAVAILABLE and "Socket closed" in (error.detail or ""):
            hint = " (without TLS; `metadata: {tls: true}` of the task calls with it)"
        raise fault("communication", f"{shown}: {error.detail}{hint}", status=error.status) from None
