"""Who may ask for what: roles, and what shows that somebody has one."""

from __future__ import annotations

import asyncio
import hmac
import json
import re
import time
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
import jwt

from workflow_engine.calls.egress import Egress
from workflow_engine.errors import Unavailable

ROLES = ("read", "run", "admin")
"""Each may what those before it may. ``read``: look. ``run``: start and control runs of what is deployed, and publish
events. ``admin``: everything."""
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
KEYS_SECONDS = 600.0
"""How long the keys of an issuer are kept."""
AGAIN_SECONDS = 30.0
"""After how long they are looked for again, where a token names another one."""
MAX_DOCUMENT = 1024 * 1024
LEEWAY = 30
"""How many seconds clocks may differ."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOKS = frozenset({"/v1/workflows/validate", "/v1/workflows/check", "/v1/subscriptions/test"})
_RUNS = re.compile(
    r"/v1/workflows/[^/]+/[^/]+/[^/]+/runs|/v1/runs/.+|/v1/events|/v1/schedules/[^/]+/[^/]+/trigger"
)


class Refused(Exception):
    """The credentials are none of this server's; the message says why, without them."""


class Access(Protocol):
    """Knows whose credentials they are."""

    async def role(self, credentials: str) -> str:
        """The role that a bearer token gives. `Refused`; `Unavailable` where that cannot be told now."""


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
    """Tokens that the server was started with, by their roles."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        self._tokens = {role: token.encode() for role, token in tokens.items()}

    async def role(self, credentials: str) -> str:
        given = credentials.encode()
        found = [role for role, token in self._tokens.items() if hmac.compare_digest(given, token)]
        if not found:
            raise Refused("this is not the token of this server")
        return max(found, key=ROLES.index)


class Issuer:
    """Tokens (JWT) that an OpenID provider has signed for *audience*.

    The role is the highest of those that their ``scope``, ``scp`` or ``roles`` name, or Keycloak's
    ``realm_access.roles``: ``wfe:read``, ``wfe:run``, ``wfe:admin``.
    """

    def __init__(self, url: str, audience: str, egress: Egress) -> None:
        self._url, self._audience, self._egress = url.rstrip("/"), audience, egress
        self._keys: dict[str, Any] = {}
        self._fetched = -KEYS_SECONDS
        self._fetching = asyncio.Lock()

    async def role(self, credentials: str) -> str:
        try:
            header = jwt.get_unverified_header(credentials)
        except jwt.PyJWTError:
            raise Refused("this is no token of this server") from None
        key = await self._key(str(header.get("kid", "")))
        try:
            claims: dict[str, Any] = jwt.decode(
                credentials,
                key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=[self._url, self._url + "/"],
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud"]},
            )
        except (jwt.PyJWTError, TypeError, ValueError) as error:  # a key of another kind than its algorithm's
            raise Refused(f"the token is not valid: {error}") from None
        roles = [role for role in ROLES if f"wfe:{role}" in _named(claims)]
        if not roles:
            raise Refused(f"the token names none of {', '.join(f'wfe:{role}' for role in ROLES)}")
        return roles[-1]

    async def _key(self, kid: str) -> Any:
        age = time.monotonic() - self._fetched
        if age > KEYS_SECONDS or (kid not in self._keys and age > AGAIN_SECONDS):
            async with self._fetching:
                if time.monotonic() - self._fetched >= min(age, AGAIN_SECONDS):
                    self._keys = await self._fetch()
                    self._fetched = time.monotonic()
        if kid not in self._keys:
            raise Refused("the token is signed with a key that its issuer does not have")
        return self._keys[kid]

    async def _fetch(self) -> dict[str, Any]:
        found = await self._json(f"{self._url}/.well-known/openid-configuration")
        if str(found.get("issuer", "")).rstrip("/") != self._url:
            raise Unavailable(
                f"what answers at {self._url} is another issuer, {str(found.get('issuer'))[:200]!r}"
            )
        keys = (await self._json(str(found.get("jwks_uri", "")))).get("keys")
        made: dict[str, Any] = {}
        for key in keys if isinstance(keys, list) else []:
            if (
                isinstance(key, dict)
                and key.get("use", "sig") == "sig"
                and key.get("kty") in ("RSA", "EC", "OKP")
            ):
                try:
                    made[str(key.get("kid", ""))] = jwt.PyJWK(key, _algorithm(key)).key
                except jwt.PyJWTError:
                    continue  # of a kind that is not used here
        return made

    async def _json(self, url: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(10), self._egress.session.get(url, allow_redirects=False) as answer:
                body = await answer.content.read(MAX_DOCUMENT)
                if answer.status != 200:
                    raise Unavailable(f"the issuer of tokens answers {answer.status} at {url}")
                found = json.loads(body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"the issuer of tokens cannot be asked: {url}: {error}") from None
        if not isinstance(found, dict):
            raise Unavailable(f"the issuer of tokens has no JSON object at {url}")
        return found


def _algorithm(key: Mapping[str, Any]) -> str | None:
    """An algorithm for the kind of *key*, where it names none: it is only used to read it."""
    return key.get("alg") or {"RSA": "RS256", "OKP": "EdDSA"}.get(str(key.get("kty")))


def _named(claims: Mapping[str, Any]) -> set[str]:
    named: set[str] = set()
    realm = claims.get("realm_access")
    nested = realm.get("roles") if isinstance(realm, dict) else None
    for value in (claims.get("scope"), claims.get("scp"), claims.get("roles"), nested):
        if isinstance(value, str):
            named.update(value.split())
        elif isinstance(value, list):
            named.update(str(each) for each in value)
    return named


class Either:
    """The first of several that knows the credentials."""

    def __init__(self, *known: Access) -> None:
        self._known = known

    async def role(self, credentials: str) -> str:
        refused = Refused("this is not the token of this server")
        for each in self._known:
            try:
                return await each.role(credentials)
            except Refused as reason:
                refused = reason
        raise refused
