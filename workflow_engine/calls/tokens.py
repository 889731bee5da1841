"""Access tokens and digest challenges that were good a moment ago: shared by calls, kept in memory only."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from aiohttp import DigestAuthMiddleware

MAX_REMEMBERED = 1000
"""How many tokens, and how many digest challenges, are kept; the oldest make room."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token, good until *expires* (by `time.monotonic`); *refresh* gets the next one."""

    value: str
    expires: float
    refresh: str | None = None


FetchToken: TypeAlias = Callable[[Token | None], Awaitable[Token]]
"""Gets a token from its issuer; it is given the one that is out of date, if there was one."""


class Remembered:
    """Tokens by the policy and client that they were issued for. Whoever needs one that is being fetched waits for
    the same answer, so an issuer sees one request, however many calls are under way.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, Token] = {}
        self._fetching: dict[str, asyncio.Task[Token]] = {}
        self._digests: dict[tuple[str, str, str], DigestAuthMiddleware] = {}

    async def token(self, key: str, fetch: FetchToken) -> Token:
        """The token of *key*, fetched when there is none that is good; what *fetch* raises, all waiters get."""
        known = self._tokens.get(key)
        if known is not None and time.monotonic() < known.expires:
            return known
        task = self._fetching.get(key)
        if task is None:
            task = self._fetching[key] = asyncio.create_task(self._fetch(key, fetch, known))
            task.add_done_callback(lambda done: self._fetched(key, done))
        return await asyncio.shield(task)

    async def _fetch(self, key: str, fetch: FetchToken, known: Token | None) -> Token:
        token = await fetch(known)
        self._tokens.pop(key, None)
        self._tokens[key] = token
        while len(self._tokens) > MAX_REMEMBERED:
            del self._tokens[next(iter(self._tokens))]
        return token

    def _fetched(self, key: str, task: asyncio.Task[Token]) -> None:
        self._fetching.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever waited has had it; nobody need be left

    def drop(self, key: str, value: str) -> None:
        """The token *value* of *key* was refused; one that has replaced it meanwhile stays."""
        known = self._tokens.get(key)
        if known is not None and known.value == value:
            self._tokens[key] = replace(known, expires=0.0)

    def digest(self, origin: str, username: str, password: str) -> DigestAuthMiddleware:
        """What answers the challenges of *origin*; it goes on with a nonce that the server has given before."""
        key = (origin, username, password)
        known = self._digests.get(key)
        if known is None:
            known = self._digests[key] = DigestAuthMiddleware(username, password)
            if len(self._digests) > MAX_REMEMBERED:
                del self._digests[next(iter(self._digests))]
        return known

    async def close(self) -> None:
        """Forget everything, and fetch nothing any more."""
        tasks = list(self._fetching.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tokens.clear()
        self._digests.clear()
