"""What authenticates one request: headers, or an exchange of its own, and what to do about a 401."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from aiohttp import DigestAuthMiddleware


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is sent to one origin, and to no other that a redirect may lead to.

    *headers* go with the request. *digest* answers the challenge of the server (RFC 7616). *renew* is for
    credentials that may be out of date: after a 401 it is asked once for new headers, and the request is sent
    again.
    """

    headers: Mapping[str, str] = field(default_factory=dict)
    digest: DigestAuthMiddleware | None = None
    renew: Callable[[], Awaitable[Mapping[str, str]]] | None = None


NOBODY = Credentials()
"""The credentials of a request that says nothing about who sends it."""
