"""Asks who is to get events whether it wants them, and how many: "Abuse protection" of the webhooks of CloudEvents.

Permission is asked for before the first delivery, and again each day. It is kept by the router for all its processes,
with the turn of the next request, so that they hold to the rate together.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from typing import Protocol

from multidict import CIMultiDict
from yarl import URL

from workflow_engine.calls.egress import Egress
from workflow_engine.calls.exchange import Request, opened
from workflow_engine.calls.url import shown_url
from workflow_engine.errors import Conflict, Fault, NotFound, Rejected
from workflow_engine.events.targets import Retry
from workflow_engine.values import Json, JsonObject, pointer

ORIGIN = "WebHook-Request-Origin"
FRESH = 86_400.0
"""For how many seconds a permission is taken for granted."""
ASKED = 3600.0
"""How many seconds a target that may answer later, by a callback, is not asked again."""
WAITING, REFUSED = 30.0, 300.0
"""After how many seconds it is looked again whether a target that did not answer, or did not allow it, now does."""
TURN = 5.0
"""How many seconds a delivery waits for its turn at most; else others of other subscriptions have theirs."""
MAX_RATE = 1_000_000
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_TRIES = 5


class Permissions(Protocol):
    """Where permissions are kept, each with the revision over which it is changed."""

    async def permission(self, id: str) -> tuple[JsonObject, int]:
        """What is kept of it, and its revision; nothing and 0 if there is none."""

    async def keep_permission(self, id: str, note: JsonObject, rev: int) -> None:
        """Change it. `Conflict` if another one has meanwhile."""


def check_handshake(spec: Json, *path: str | int) -> None:
    """Raise `Rejected`, with the place, for what is no handshake."""
    if not isinstance(spec, dict):
        raise _invalid("expected an object", *path)
    for name in spec:
        if name not in ("origin", "rate", "callback"):
            raise _invalid("expected one of origin, rate, callback", *path, name)
    origin, rate, callback = spec.get("origin"), spec.get("rate"), spec.get("callback")
    if not isinstance(origin, str) or not _NAME.fullmatch(origin):
        raise _invalid("expected the name of who sends, such as events.example.com", *path, "origin")
    if rate is not None and (
        not isinstance(rate, int) or isinstance(rate, bool) or not 1 <= rate <= MAX_RATE
    ):
        raise _invalid(f"expected requests per minute, from 1 to {MAX_RATE}", *path, "rate")
    if callback is not None:
        try:
            url = URL(callback) if isinstance(callback, str) else URL()
        except ValueError:
            url = URL()
        if url.scheme not in ("http", "https") or not url.host or url.query or url.fragment or url.user:
            raise _invalid(
                "expected the address of this API, such as https://api.example.com", *path, "callback"
            )


def permission_of(spec: JsonObject, url: URL) -> str:
    """32 hexadecimal digits that stand for the permission to send to *url* as the origin of *spec*."""
    return hashlib.blake2b(f"{str(spec['origin']).lower()} {url}".encode(), digest_size=16).hexdigest()


async def allowed_by_callback(
    permissions: Permissions, id: str, key: str, headers: Mapping[str, str], now: float
) -> None:
    """The target allows it, with the *key* that it was told. `NotFound` for another one."""
    while True:
        note, rev = await permissions.permission(id)
        known = note.get("key")
        if not isinstance(known, str) or not hmac.compare_digest(known.encode(), key.encode()):
            raise NotFound("permission", id)
        rate = _rate(headers.get("webhook-allowed-rate"), note.get("wanted"))
        try:
            await permissions.keep_permission(id, {**note, "granted": now, "rate": rate, "called": True}, rev)
        except Conflict:
            continue
        return


class Handshakes:
    """Sees to it that a target is sent to if it allows that, and no faster."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.permissions: Permissions | None = None
        """Where they are kept: the router, which there is after its targets."""
        self._clock = clock

    async def turn(self, spec: JsonObject, url: URL, egress: Egress) -> float:
        """Wait until a request may be sent to *url*: how many seconds later the next one may. `Retry` if none may."""
        if self.permissions is None:
            raise Retry("there is nowhere to keep permissions", code="not-allowed")
        id = permission_of(spec, url)
        for _ in range(_TRIES):
            try:
                note, rev = await self._granted(self.permissions, id, spec, url, egress)
                rate = _least(note.get("rate"), spec.get("rate"))
                if rate is None:
                    return 0.0
                now, next = self._clock(), note.get("next")
                # A turn that is further away than any may be is one by another clock.
                mine = now
                if isinstance(next, int | float) and next - now <= TURN + 60:
                    mine = max(now, next)
                if mine - now > TURN:
                    raise Retry(
                        f"{rate} a minute are allowed",
                        after=mine - now,
                        code="rate",
                        whole=True,
                        patient=True,
                    )
                await self.permissions.keep_permission(id, {**note, "next": mine + 60 / rate}, rev)
            except Conflict:
                continue  # another process has had this turn
            await asyncio.sleep(mine - now)
            return 60 / rate
        raise Retry("others had their turns", after=1.0, code="rate", patient=True)

    async def _granted(
        self, permissions: Permissions, id: str, spec: JsonObject, url: URL, egress: Egress
    ) -> tuple[JsonObject, int]:
        """What is kept of the permission, which there is; it is asked for if it is not fresh."""
        note, rev = await permissions.permission(id)
        now, granted, asked = self._clock(), note.get("granted"), note.get("asked")
        fresh = isinstance(granted, int | float) and (now - granted < FRESH or note.get("called"))
        if fresh and _covers(note.get("wanted"), spec.get("rate")):
            return note, rev
        shown, callback = shown_url(url), "callback" in spec
        if callback and granted is None and isinstance(asked, int | float) and now - asked < ASKED:
            raise _not_allowed(f"{shown} was asked, and has not called back", WAITING)
        # Before it is asked, for it may call back at once; that it was asked is known when it has answered.
        note = {"key": secrets.token_urlsafe(24), **note, "wanted": spec.get("rate")}
        await permissions.keep_permission(id, note, rev)
        try:
            answered = await self._asked(spec, url, egress, f"{id}/allow?key={note['key']}")
        except Fault:
            if granted is None:
                raise
            note, rev = await permissions.permission(id)  # it was allowed, and is asked again in an hour
            await permissions.keep_permission(id, {**note, "granted": now - FRESH + ASKED}, rev)
            return await permissions.permission(id)
        note, rev = await permissions.permission(id)
        if answered.get("webhook-allowed-origin", "").lower() in ("*", str(spec["origin"]).lower()):
            rate = _rate(answered.get("webhook-allowed-rate"), spec.get("rate"))
            note = {**note, "granted": now, "rate": rate, "called": False}
        elif callback and fresh:
            note = {**note, "asked": now}  # it was allowed, and will say whether more is
        elif note.get("granted") == granted:  # else it has called back meanwhile
            await permissions.keep_permission(id, {**note, "granted": None, "asked": now}, rev)
            if callback:
                raise _not_allowed(f"{shown} was asked, and has not called back", WAITING)
            raise _not_allowed(f"{shown} does not allow it: no WebHook-Allowed-Origin for us", REFUSED)
        await permissions.keep_permission(id, note, rev)
        return await permissions.permission(id)

    async def _asked(self, spec: JsonObject, url: URL, egress: Egress, path: str) -> dict[str, str]:
        """The headers of what the target answers; its status says nothing (4.2)."""
        headers = CIMultiDict({ORIGIN: str(spec["origin"])})
        if "rate" in spec:
            headers["WebHook-Request-Rate"] = str(spec["rate"])
        if "callback" in spec:
            headers["WebHook-Request-Callback"] = f"{str(spec['callback']).rstrip('/')}/v1/webhooks/{path}"
        async with opened(Request("OPTIONS", url, headers), egress, redirect=False) as (answer, _):
            return {name.lower(): value.strip() for name, value in answer.headers.items()}


def _rate(allowed: str | None, wanted: Json) -> int | None:
    """How many requests a minute may be sent: no more than are allowed, nor than were asked for; None: any number."""
    text = (allowed or "").strip()
    return _least(int(text) if _NUMBER.fullmatch(text) else None, wanted)


def _least(*rates: Json) -> int | None:
    """The lowest of those that are numbers; None if there is none."""
    return min((rate for rate in rates if isinstance(rate, int)), default=None)


def _covers(wanted: Json, rate: Json) -> bool:
    """Whether who asked for *wanted*, which may be any number of requests, need not ask for *rate*."""
    return wanted is None or (isinstance(wanted, int) and isinstance(rate, int) and rate <= wanted)


def _not_allowed(reason: str, after: float) -> Retry:
    return Retry(reason, after=after, code="not-allowed", whole=True, patient=True)


def _invalid(message: str, *path: str | int) -> Rejected:
    return Rejected("target-invalid", message, pointer=pointer(*path))
