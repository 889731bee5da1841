"""What every request passes: identification, the checks of who may ask, and the last resort for our own bugs."""

from __future__ import annotations

import logging
import re
import time
import uuid
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from workflow_engine.api.access import Access, Refused, needed, suffices
from workflow_engine.api.answers import problem_answer
from workflow_engine.api.bodies import MAX_PACKAGE
from workflow_engine.api.grants import ALL, NOBODY, grant
from workflow_engine.api.metrics import Metrics
from workflow_engine.api.problems import Details
from workflow_engine.api.room import AT_ONCE, Room
from workflow_engine.calls.flow import SHARE, Flow, Share
from workflow_engine.errors import Unavailable

MAX_BODY = 4 * MAX_PACKAGE
"""The most bytes of a body that anything here reads, whatever the endpoint."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SIGNED = re.compile(r"/v1/sources/[^/]+/events")
_ALLOWING = re.compile(r"/v1/webhooks/[0-9a-f]{32}/allow")
_DOCUMENTATION = frozenset({"/", "/docs", "/docs/oauth2-redirect", "/openapi.json"})
_ASSETS = "/static-offline-docs/"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,100}")

_log = logging.getLogger(__name__)


class Gate:
    """ASGI middleware around the application.

    With *access*, every request must carry a token, whose role suffices, but for ``/livez`` and the documentation, in
    which there is nothing of what is here: who opens it in a browser gives the token there. With *loopback_only*,
    requests must be addressed to this machine by a loopback name, and not come from a page of another site: without a
    token nothing else keeps a web page from having a browser call a server on its own machine (DNS rebinding).
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        access: Access | None,
        loopback_only: bool,
        metrics: Metrics,
        most: int = MAX_BODY,
    ) -> None:
        self._app = app
        self._room = Room(max(most, MAX_BODY))
        self._values = Flow(max(AT_ONCE, 4 * most))
        self._access = access
        self._loopback_only = loopback_only
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":  # there are none, and nothing here would ask who opens one
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        began, status, started = time.monotonic(), 500, False

        async def answer(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                added = MutableHeaders(scope=message)
                added["x-request-id"] = request_id
                added["x-content-type-options"] = "nosniff"
                added.setdefault("cache-control", "no-store")
            await send(message)

        self._metrics.in_flight += 1
        share, values = self._room.share(receive), Share(self._values)
        SHARE.set(values)
        try:
            refusal = self._refuse(scope, headers) or await self._unknown(scope, headers)
            if refusal is not None:
                await problem_answer(refusal, scope["path"])(scope, receive, answer)
                return
            await self._app(scope, share.receive, answer)
        except ClientDisconnect:
            status = 499  # nobody is left to be answered
        except Exception:
            _log.exception("request %s: %s %s failed", request_id, scope["method"], scope["path"])
            if started:
                raise
            told = Details(500, "internal-error", "the server failed; this is not your mistake")
            await problem_answer(told, scope["path"], request_id=request_id)(scope, receive, answer)
        finally:
            share.leave()
            values.leave()
            self._metrics.in_flight -= 1
            self._metrics.answered(_method(scope), _route(scope), status, time.monotonic() - began)

    def _refuse(self, scope: Scope, headers: Headers) -> Details | None:
        """Why the request is not let in, if it is not."""
        if "\x00" in scope["path"]:
            return Details(400, "invalid-path", "the path has a NUL character")
        if self._loopback_only:
            host = headers.get("host", "")
            if not _is_loopback(f"//{host}"):
                detail = f"Host {host[:200]!r}: this server answers to localhost, 127.0.0.1 and [::1] alone"
                return Details(403, "host-refused", f"{detail}; set an API token to open it to others")
            origin = headers.get("origin")
            if origin is not None and scope["method"] not in _SAFE and not _is_loopback(origin):
                detail = f"Origin {origin[:200]!r}: pages of other sites may not change anything here"
                return Details(403, "origin-refused", detail)
        return None

    async def _unknown(self, scope: Scope, headers: Headers) -> Details | None:
        """Why who asks may not, if they may not."""
        if self._access is None:
            grant(ALL)
            return None
        grant(NOBODY)
        if _open_to_all(scope) or _asks_first(scope, headers):
            return None
        if scope["method"] in ("POST", "OPTIONS") and _SIGNED.fullmatch(scope["path"]):
            return None  # by services that have no token: the route lets them in by their signatures
        if scope["method"] in ("GET", "POST") and _ALLOWING.fullmatch(scope["path"]):
            return None  # by whoever was told the key in the address
        scheme, _, credentials = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return _unauthorized("this server wants its token: Authorization: Bearer …")
        try:
            found = await self._access.grant(credentials.strip())
        except Refused as refused:
            return _unauthorized(str(refused))
        except Unavailable as error:
            return Details(503, "unavailable", str(error))
        wanted = needed(scope["method"], scope["path"])
        if not suffices(found.role, wanted):
            return Details(
                403, "role-missing", f"this needs the role {wanted}, and the token has {found.role}"
            )
        grant(found)
        return None


def _unauthorized(detail: str) -> Details:
    return Details(401, "unauthorized", detail, headers={"WWW-Authenticate": 'Bearer realm="wfe"'})


def _is_loopback(url: str) -> bool:
    try:
        return urlsplit(url).hostname in _LOOPBACK
    except ValueError:
        return False


def _asks_first(scope: Scope, headers: Headers) -> bool:
    """Whether a browser asks if a page may call (CORS), which it does without a token: the answer has nothing else."""
    asks = scope["method"] == "OPTIONS" and "access-control-request-method" in headers
    return asks and str(scope["path"]).startswith("/v1/codec/")


def _open_to_all(scope: Scope) -> bool:
    """Whether what is asked for has no data: that the process lives, and the pages of the documentation."""
    path = scope["path"]
    if path == "/livez":
        return True
    return scope["method"] in ("GET", "HEAD") and (path in _DOCUMENTATION or path.startswith(_ASSETS))


def _method(scope: Scope) -> str:
    """The method, if it is one that is used here: a label must not have any number of values."""
    method = str(scope["method"])
    return method if method in {"GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"} else "other"


def _route(scope: Scope) -> str:
    """The template of the path as the documentation shows it, or ``unknown``."""
    return str(getattr(scope.get("route"), "path", "unknown")).replace(":path}", "}")
