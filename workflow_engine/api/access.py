"""Who may ask for what: roles, and what shows that somebody has one."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple, Protocol

from workflow_engine.api.grants import ROLES, Grant

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOKS = frozenset({"/v1/workflows/validate", "/v1/workflows/check", "/v1/subscriptions/test"})
_RUNS = re.compile(
    r"/v1/workflows/[^/]+/[^/]+/[^/]+/runs|/v1/runs/.+|/v1/events|/v1/schedules/[^/]+/[^/]+/trigger"
)


class Refused(Exception):
    """The credentials are none of this server's; the message says why, without them."""


class Standing(NamedTuple):
    """How it is with an issuer: why it cannot be asked, how old its keys are, and whether they count on."""

    away: str | None
    age: float | None
    usable: bool

    def told(self) -> str | None:
        """What somebody who operates the server must know; None where all is well."""
        if self.away is None:
            return None
        if self.usable and self.age is not None:
            return (
                f"{self.away}; its tokens are checked with the keys that it had {self.age / 60:.0f} min ago"
            )
        return f"{self.away}; its tokens are answered with 503"


class Access(Protocol):
    """Knows whose credentials they are."""

    async def grant(self, credentials: str) -> Grant:
        """What a bearer token is good for. `Refused`; `Unavailable` where that cannot be told now."""

    async def standing(self) -> Standing | None:
        """How it is with the issuer of such tokens; None where there is none to ask."""


def needed(method: str, path: str) -> str:
    """The role that a request needs; what is not known to need less needs ``admin``."""
    if method in _SAFE or (method == "POST" and path in _LOOKS):
        return "read"
    if method == "POST" and _RUNS.fullmatch(path) and not path.endswith("/migrate"):
        return "run"
    return "admin"


def suffices(role: str, wanted: str) -> bool:
    """Whether *role* may what needs *wanted*."""
    return ROLES.index(role) >= ROLES.index(wanted)


class Tokens:
    """Tokens that the server was started with, by their roles, and *others* by their SHA-256."""

    def __init__(self, tokens: Mapping[str, str], others: Iterable[tuple[str, Grant]] = ()) -> None:
        known = [(sha256(token.encode()).hexdigest(), Grant(role)) for role, token in tokens.items()]
        self._known = [(digest.encode(), grant) for digest, grant in [*known, *others]]

    async def grant(self, credentials: str) -> Grant:
        given = sha256(credentials.encode("utf-8", "surrogateescape")).hexdigest().encode()
        found = [grant for digest, grant in self._known if hmac.compare_digest(given, digest)]
        if not found:
            raise Refused("this is not the token of this server")
        return max(found, key=lambda each: (not each.limited, ROLES.index(each.role)))

    async def standing(self) -> Standing | None:
        return None


class Either:
    """The first of several that knows the credentials."""

    def __init__(self, *known: Access) -> None:
        self._known = known

    async def grant(self, credentials: str) -> Grant:
        refused = Refused("this is not the token of this server")
        for each in self._known:
            try:
                return await each.grant(credentials)
            except Refused as reason:
                refused = reason
        raise refused

    async def standing(self) -> Standing | None:
        told = [found for each in self._known if (found := await each.standing()) is not None]
        return next((found for found in told if found.away is not None), told[0] if told else None)
