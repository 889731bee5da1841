"""An OpenID provider whose tokens count: its keys are fetched, kept, and used on while it is away."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import jwt

from workflow_engine.api.access import Refused, Standing
from workflow_engine.api.grants import ROLES, Grant, names_of
from workflow_engine.calls.egress import Egress
from workflow_engine.errors import Unavailable

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
KEYS_SECONDS = 600.0
"""After how long the keys of an issuer are fetched again."""
AGAIN_SECONDS = 30.0
"""After how long they are looked for again, where a token names another one, or the issuer was away."""
KEPT_HOURS = 24.0
"""How long keys count on that cannot be fetched again, unless a setting says otherwise."""
FETCH_SECONDS = 10.0
REFRESH_SECONDS = 2.0
"""How long a request waits for keys to be fetched again, where there are some that count on."""
MAX_DOCUMENT = 1024 * 1024
LEEWAY = 30
"""How many seconds clocks may differ."""

_log = logging.getLogger(__name__)


class Issuer:
    """Tokens (JWT) that an OpenID provider has signed for *audience*.

    The role is the highest of those that their ``scope``, ``scp`` or ``roles`` name, or Keycloak's
    ``realm_access.roles``: ``wfe:read``, ``wfe:run``, ``wfe:admin``. Namespaces and channels that it is limited to
    stand there too (``wfe:namespace:shop``), or in claims of their own (``wfe_namespaces``).
    """

    def __init__(self, url: str, audience: str, egress: Egress, *, kept_hours: float = KEPT_HOURS) -> None:
        self._url, self._audience, self._egress = url.rstrip("/"), audience, egress
        self._kept = max(kept_hours * 3600, KEYS_SECONDS)
        self._keys: dict[str, Any] = {}
        self._fetched: float | None = None
        self._tried = 0.0
        self._away: str | None = None
        self._fetching = asyncio.Lock()

    async def standing(self) -> Standing:
        """How it is with the issuer, which is asked if it is time to."""
        age = self._age()
        if age is None or age > KEYS_SECONDS:
            await self._refresh(REFRESH_SECONDS)
        return Standing(self._away, self._age(), self._usable())

    async def grant(self, credentials: str) -> Grant:
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
        named = _named(claims)
        roles = [role for role in ROLES if f"wfe:{role}" in named]
        if not roles:
            raise Refused(f"the token names none of {', '.join(f'wfe:{role}' for role in ROLES)}")
        try:
            return Grant.of(roles[-1], _limits(claims, named, "namespace"), _limits(claims, named, "channel"))
        except ValueError as error:
            raise Refused(f"the token is not valid: {error}") from None

    async def _key(self, kid: str) -> Any:
        age = self._age()
        if age is None or age > KEYS_SECONDS or (kid not in self._keys and age > AGAIN_SECONDS):
            await self._refresh(REFRESH_SECONDS if kid in self._keys and self._usable() else FETCH_SECONDS)
        if kid in self._keys and self._usable():
            return self._keys[kid]
        if self._away is not None:
            raise Unavailable(self._away)
        raise Refused("the token is signed with a key that its issuer does not have")

    def _age(self) -> float | None:
        return None if self._fetched is None else time.monotonic() - self._fetched

    def _usable(self) -> bool:
        age = self._age()
        return age is not None and age <= self._kept

    async def _refresh(self, seconds: float) -> None:
        """Fetch the keys anew, for *seconds* at most; what there was stays where that fails.

        Once for all who ask at the same time, and not too often where keys are there that count on.
        """
        began = time.monotonic()
        if self._usable() and (self._fetching.locked() or began - self._tried < AGAIN_SECONDS):
            return
        async with self._fetching:
            if self._tried > began:
                return  # by who had its turn before
            try:
                async with asyncio.timeout(seconds):
                    found = await self._fetch()
            except (Unavailable, TimeoutError) as error:
                told = str(error) or f"the issuer of tokens gives no answer within {seconds:g} s: {self._url}"
                if self._away is None:
                    _log.warning("%s", Standing(told, self._age(), self._usable()).told())
                self._away = told
            else:
                if self._away is not None:
                    _log.info("the issuer of tokens answers again: %s", self._url)
                self._keys, self._away, self._fetched = found, None, time.monotonic()
            finally:
                self._tried = time.monotonic()

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
            async with (
                asyncio.timeout(FETCH_SECONDS),
                self._egress.session.get(url, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise Unavailable(f"the issuer of tokens answers {answer.status} at {url}")
                body = bytearray()
                async for piece in answer.content.iter_chunked(65536):
                    body += piece
                    if len(body) > MAX_DOCUMENT:
                        raise Unavailable(
                            f"the issuer of tokens has more than {MAX_DOCUMENT:,} bytes at {url}"
                        )
                found = json.loads(body)
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise Unavailable(f"the issuer of tokens cannot be asked: {url}: {error}") from None
        if not isinstance(found, dict):
            raise Unavailable(f"the issuer of tokens has no JSON object at {url}")
        return found


def _algorithm(key: Mapping[str, Any]) -> str | None:
    """An algorithm for the kind of *key*, where it names none: it is only used to read it."""
    return key.get("alg") or {"RSA": "RS256", "OKP": "EdDSA"}.get(str(key.get("kty")))


def _limits(claims: Mapping[str, Any], named: set[str], what: str) -> list[str] | None:
    """The namespaces, or channels, that a token is limited to: those of its claim ``wfe_namespaces``, and those that
    stand beside its role as ``wfe:namespace:NAME``; None where it has neither.
    """
    claim, prefix = f"wfe_{what}s", f"wfe:{what}:"
    found = [name.removeprefix(prefix) for name in named if name.startswith(prefix)]
    if claim in claims:
        found += names_of(claims[claim], claim)
    elif not found:
        return None
    return names_of(list(found), claim)


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
