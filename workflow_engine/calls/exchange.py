"""One HTTP exchange: send a request, follow its redirects, read the answer, all of it bounded."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from io import BytesIO

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from workflow_engine.calls.content import decode, in_memory
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.credentials import NOBODY, Credentials
from workflow_engine.calls.egress import Egress, Refused
from workflow_engine.calls.flow import FEW, ROOM
from workflow_engine.calls.url import REDACTED, bounded, is_secret, shown_url
from workflow_engine.errors import Fault, fault
from workflow_engine.telemetry.spans import Span, active
from workflow_engine.values import Json, JsonObject

MAX_REDIRECTS = 10
OUTPUTS = ("content", "raw", "response")

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CREDENTIALS = frozenset({"authorization", "proxy-authorization", "cookie"})
_EXCERPT_BYTES = 2048
_EXCERPT_CHARS = 500


@dataclass(frozen=True, slots=True)
class Request:
    """What to send. *url* has been admitted by the egress and has no user information.

    The headers of *credentials* are in *headers*; what else they have is applied when the request is sent.
    """

    method: str
    url: URL
    headers: CIMultiDict[str]
    body: bytes | None = None
    credentials: Credentials = NOBODY


@dataclass(frozen=True, slots=True)
class Response:
    """What came back, and the *request* that it answers: after redirects, the last one."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes
    request: Request


@asynccontextmanager
async def deadline(seconds: float, what: str, *, status: int | None = None) -> AsyncIterator[None]:
    """Give the block *seconds*; after that it is cancelled and a communication fault, of *status*, says so."""
    try:
        async with asyncio.timeout(seconds) as timer:
            yield
    except TimeoutError:
        if not timer.expired():
            raise
        raise fault(
            "communication", f"{what}: no complete answer within {seconds:g} seconds", status=status
        ) from None


async def exchange(
    request: Request, context: CallContext, *, output: str, redirect: bool, any_status: bool = False
) -> Json:
    """Send *request* and give its answer in the form *output* names: content, raw or response.

    With *redirect* false a redirect is not followed and, like any status outside 200-299, is an error;
    with it true up to ten are followed, and a 3xx that leads nowhere counts as success (decision A49).
    An error status is a communication fault with that status, unless *any_status* is an answer; and so is
    anything the network does, with status 500 (decision A52).
    """
    headers = CIMultiDict(request.headers)
    headers.setdefault("Accept", "application/json, */*;q=0.8")
    if request.method not in _SAFE_METHODS:
        headers.setdefault("Idempotency-Key", header_safe(context.idempotency_key))
    request = replace(request, headers=headers)
    shown = f"{request.method} {shown_url(request.url)}"
    async with deadline(context.timeout, shown):
        response = await send(request, context.egress, redirect=redirect)
    highest = 399 if redirect else 299
    if not 200 <= response.status <= highest and not any_status:
        raise _error_status(response, context.redact)
    if output == "raw":
        return base64.b64encode(response.body).decode()
    content_type = response.headers.get("Content-Type", "")
    if len(response.body) > FEW and (room := ROOM.get()) is not None:
        room.add(in_memory(response.body) - len(response.body))
    try:
        content = decode(response.body, content_type)
    except ValueError as error:
        raise fault("communication", f"{shown}: the body is not {content_type}: {error}") from None
    return content if output == "content" else _envelope(response, content)


async def send(request: Request, egress: Egress, *, redirect: bool, limit: int | None = None) -> Response:
    """Send *request* and read the whole answer, whatever its status; without a time limit of its own.

    The body is bounded to *limit* bytes after decompression, by default that of the egress; of an error
    only an excerpt is read.
    """
    async with opened(request, egress, redirect=redirect) as (answer, asked):
        shown = f"{asked.method} {shown_url(asked.url)}"
        body = await read_answer(answer, shown, limit or egress.max_response)
        sent = CIMultiDict(answer.request_info.headers)
        return Response(answer.status, answer.headers, body, replace(asked, headers=sent))


@asynccontextmanager
async def opened(
    request: Request, egress: Egress, *, redirect: bool, leave: bool = True
) -> AsyncIterator[tuple[aiohttp.ClientResponse, Request]]:
    """Send *request* and give its answer when its head is here, with the request that it answers.

    Where *leave* is false, a redirect to another origin is a fault: for requests with headers that are for one alone.

    The body is for the block to read, within bounds of its own; what the network does meanwhile is a fault too.
    """
    hops = 0
    renew = request.credentials.renew
    if (span := active()) is not None:
        request = _part_of(span, request)
    while True:
        shown = f"{request.method} {shown_url(request.url)}"
        try:
            async with egress.session.request(
                request.method,
                request.url,
                headers=request.headers,
                data=None if request.body is None else BytesIO(request.body),
                allow_redirects=False,
                skip_auto_headers=("Content-Type",),
                middlewares=(digest,) if (digest := request.credentials.digest) else (),
            ) as answer:
                location = answer.headers.get("Location") if answer.status in _REDIRECTS else None
                if span is not None:
                    span.set("http.response.status_code", answer.status)
                stale = renew is not None and answer.status == HTTPStatus.UNAUTHORIZED
                if not (stale or (redirect and location)):
                    yield answer, request
                    return
        except (aiohttp.ClientError, OSError) as error:
            raise _network_fault(shown, error) from None
        if stale and renew is not None:
            headers = CIMultiDict(request.headers)
            headers.update(await renew())
            request, renew = replace(request, headers=headers), None
            continue
        if hops == MAX_REDIRECTS:
            raise fault(
                "communication",
                f"{shown}: more than {MAX_REDIRECTS} redirects, the last one to {bounded(location or '', 200)}",
                status=answer.status,
            )
        hops += 1
        origin = request.url.origin()
        request = _next_hop(request, answer.status, location or "", egress)
        if not leave and request.url.origin() != origin:
            elsewhere = f"{shown}: its redirect leads to another server, {request.url.origin()}"
            raise fault("communication", elsewhere, status=answer.status)
        renew = renew and request.credentials.renew


def _part_of(span: Span, request: Request) -> Request:
    """*request*, which says that it is part of *span*, as that says where it goes. Paths and queries may be secret."""
    span.set("http.request.method", request.method)
    span.set("server.address", request.url.host or "")
    span.set("server.port", request.url.port or 0)
    headers = CIMultiDict(request.headers)
    span.inject(headers)
    return replace(request, headers=headers)


def _next_hop(request: Request, status: int, location: str, egress: Egress) -> Request:
    """The request a redirect asks for (RFC 9110, 15.4): credentials never leave the origin they are for."""
    shown = f"{request.method} {shown_url(request.url)}"
    try:
        target = request.url.join(URL(location)).with_fragment(None)
    except ValueError as error:
        raise fault(
            "communication", f"{shown}: its redirect leads to an invalid URL: {error}", status=status
        ) from None
    if target.scheme not in ("http", "https"):
        raise fault(
            "communication", f"{shown}: its redirect leads to {target.scheme!r}, not to http", status=status
        )
    target = egress.admit(target.with_user(None))
    headers = CIMultiDict(request.headers)
    headers.popall("Host", None)
    credentials = request.credentials
    if target.origin() != request.url.origin():
        for name in _CREDENTIALS:
            headers.popall(name, None)
        credentials = NOBODY
    method, body = request.method, request.body
    if (status == HTTPStatus.SEE_OTHER and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body = "GET", None
        for name in ("Content-Type", "Idempotency-Key"):
            headers.popall(name, None)
    return Request(method, target, headers, body, credentials)


async def read_answer(answer: aiohttp.ClientResponse, shown: str, limit: int) -> bytes:
    """The body of *answer*, *limit* bytes at most; of an error an excerpt. *shown* names the request."""
    failed = answer.status >= HTTPStatus.BAD_REQUEST
    body = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        body += chunk
        if failed and len(body) >= _EXCERPT_BYTES:
            return bytes(body[:_EXCERPT_BYTES])
        if len(body) > FEW and (room := ROOM.get()) is not None:
            await room.take(min(limit, answer.content_length or limit))
        if len(body) > limit:
            raise fault(
                "communication",
                f"{shown}: the answer is larger than {limit} bytes, the limit for one response",
            )
    return bytes(body)


async def refusal(answer: aiohttp.ClientResponse, request: Request, redact: Callable[[str], str]) -> Fault:
    """The communication fault that *answer* is, by its status (decision A52); its body is read for an excerpt."""
    body = await read_answer(answer, f"{request.method} {shown_url(request.url)}", _EXCERPT_BYTES * 8)
    return _error_status(Response(answer.status, answer.headers, body, request), redact)


def _error_status(response: Response, redact: Callable[[str], str]) -> Fault:
    request = response.request
    try:
        phrase = f"{response.status} {HTTPStatus(response.status).phrase}"
    except ValueError:
        phrase = str(response.status)
    detail = f"{request.method} {shown_url(request.url)}: {phrase}"
    if response.status in _REDIRECTS:
        target = bounded(response.headers.get("Location", "nowhere"), 200)
        detail += f" to {target}; redirects are followed where the call says 'redirect: true'"
    elif response.body:
        detail += f": {excerpt(response, redact)}"
    return fault("communication", detail, status=response.status, title=_problem_title(response, redact))


def _problem_title(response: Response, redact: Callable[[str], str]) -> str | None:
    """What a service calls its problem (RFC 9457): errors of DSL 0.8 are told apart by it (decision B15)."""
    if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return None
    try:
        members = json.loads(response.body)
    except ValueError:
        return None
    title = members.get("title") if isinstance(members, dict) else None
    return bounded(redact(title), 200) if isinstance(title, str) and title else None


def excerpt(response: Response, redact: Callable[[str], str]) -> str:
    """The beginning of an error's body, without any credential of the request that it may repeat."""
    try:
        text = response.body.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(response.body) - 4:
            return f"{len(response.body)} bytes of {response.headers.get('Content-Type', 'unknown type')}"
        text = response.body.decode("utf-8", errors="ignore")
    for name in _CREDENTIALS:
        for value in response.request.headers.getall(name, []):
            for secret in (value, value.partition(" ")[2]):
                if secret:
                    text = text.replace(secret, REDACTED)
    return bounded(" ".join(redact(text).split()), _EXCERPT_CHARS)


def _network_fault(shown: str, error: aiohttp.ClientError | OSError) -> Fault:
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        if isinstance(error.os_error, Refused):
            return error.os_error.fault
        reason = f"the name {error.host!r} cannot be resolved: {_reason(error.os_error)}"
    elif isinstance(error, aiohttp.ClientConnectorCertificateError):
        reason = f"TLS: {_tls_reason(error.certificate_error)}"
    elif isinstance(error, aiohttp.ClientConnectorSSLError):
        reason = f"TLS: {_tls_reason(error.os_error)}"
    elif isinstance(error, aiohttp.ClientConnectorError):
        reason = f"cannot connect to {error.host}:{error.port}: {_reason(error.os_error)}"
    elif isinstance(error, aiohttp.ServerDisconnectedError):
        reason = "the server closed the connection without an answer"
    elif isinstance(error, aiohttp.ClientResponseError):
        reason = f"the answer is not valid HTTP: {error.message}"
    elif type(error) is aiohttp.ClientError:  # what the digest scheme cannot answer
        return fault("authentication", f"{shown}: {bounded(str(error), 300)}")
    else:
        reason = str(error) or type(error).__name__
    return fault("communication", f"{shown}: {bounded(' '.join(reason.split()), 300)}")


def _reason(error: OSError) -> str:
    if error.errno is not None and str(error.strerror).startswith(
        "Connect call failed"
    ):  # as asyncio says it
        return os.strerror(error.errno)
    return error.strerror or str(error) or type(error).__name__


def _tls_reason(error: Exception) -> str:
    """What OpenSSL says, without the places in its source that surround it."""
    return re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", getattr(error, "strerror", None) or str(error))


def _envelope(response: Response, content: Json) -> JsonObject:
    request = response.request
    return {
        "request": {
            "method": request.method,
            "uri": shown_url(request.url),
            "headers": _joined(request.headers, redact=True),
        },
        "statusCode": response.status,
        "headers": _joined(response.headers, redact=False),
        "content": content,
    }


def _joined(headers: CIMultiDict[str] | CIMultiDictProxy[str], *, redact: bool) -> JsonObject:
    """Names in lower case; several values of one name are joined by commas (RFC 9110, 5.2).

    Of ``set-cookie``, whose values may have commas themselves, they are an array (RFC 9110, 5.3).
    """
    joined: JsonObject = {}
    for key in dict.fromkeys(name.lower() for name in headers):
        values = list(headers.getall(key))
        if redact and (key in _CREDENTIALS or (is_secret(key) and key != "idempotency-key")):
            values = [REDACTED for _ in values]
        cookies = key == "set-cookie" and len(values) > 1
        joined[key] = [*values] if cookies else ", ".join(values)
    return joined


def header_safe(key: str) -> str:
    """*key* as the value of a header: itself, or a digest of it."""
    if len(key) <= 255 and key.isascii() and key.isprintable():
        return key
    return hashlib.sha256(key.encode()).hexdigest()
