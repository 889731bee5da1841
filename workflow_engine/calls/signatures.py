"""Whether a request is from the service whose secret we know: how GitHub, Stripe, Slack and others show that."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import TypeAlias

from workflow_engine.values import Json, JsonObject

TOLERANCE = 300.0
"""How old a request may be, in seconds, where it says when it was signed."""

Headers: TypeAlias = Mapping[str, str]


def verified(verify: JsonObject, secret: Json, headers: Headers, body: bytes, now: float) -> bool:
    """Whether a request with these *headers* (names in lower case) and *body* is signed as *verify* says, and lately.

    *secret* is a text, or an object with a ``key``; for ``basic`` with ``username`` and ``password``.
    """
    scheme = str(verify.get("scheme"))
    if scheme == "none":
        return True
    if scheme == "basic":
        return _basic(secret, headers)
    key = secret.get("key") if isinstance(secret, dict) else secret
    if not isinstance(key, str) or not key:
        return False
    if scheme == "hmac":
        return _hmac(verify, key, headers, body)
    return _SCHEMES[scheme](key, headers, body, now)


def _digest(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())


def _basic(secret: Json, headers: Headers) -> bool:
    if not isinstance(secret, dict) or not secret.get("password"):
        return False
    login = f"{secret.get('username', '')}:{secret.get('password')}".encode()
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return scheme.lower() == "basic" and _same(given.strip(), base64.b64encode(login).decode())


def _hmac(verify: JsonObject, key: str, headers: Headers, body: bytes) -> bool:
    digest = _digest(key.encode(), body)
    text = base64.b64encode(digest).decode() if verify.get("encoding") == "base64" else digest.hex()
    return _same(headers.get(str(verify.get("header")).lower(), ""), f"{verify.get('prefix', '')}{text}")


def _github(key: str, headers: Headers, body: bytes, now: float) -> bool:
    return _same(headers.get("x-hub-signature-256", ""), f"sha256={_digest(key.encode(), body).hex()}")


def _gitlab(key: str, headers: Headers, body: bytes, now: float) -> bool:
    return _same(headers.get("x-gitlab-token", ""), key)


def _stripe(key: str, headers: Headers, body: bytes, now: float) -> bool:
    parts = [part.partition("=") for part in headers.get("stripe-signature", "").split(",")]
    moment = next((value for name, _, value in parts if name.strip() == "t"), "")
    if not _recent(moment, now):
        return False
    expected = _digest(key.encode(), moment.encode(), b".", body).hex()
    return any(name.strip() == "v1" and _same(value, expected) for name, _, value in parts)


def _slack(key: str, headers: Headers, body: bytes, now: float) -> bool:
    moment = headers.get("x-slack-request-timestamp", "")
    if not _recent(moment, now):
        return False
    expected = _digest(key.encode(), b"v0:", moment.encode(), b":", body).hex()
    return _same(headers.get("x-slack-signature", ""), f"v0={expected}")


def _standard(key: str, headers: Headers, body: bytes, now: float) -> bool:
    id, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id or not _recent(moment, now):
        return False
    bytes_ = key.encode()
    if key.startswith("whsec_"):
        try:
            bytes_ = base64.b64decode(key.removeprefix("whsec_"), validate=True)
        except ValueError:
            return False
    digest = _digest(bytes_, id.encode(), b".", moment.encode(), b".", body)
    expected = f"v1,{base64.b64encode(digest).decode()}"
    return any(_same(given, expected) for given in headers.get("webhook-signature", "").split())


def _recent(moment: str, now: float) -> bool:
    return moment.isascii() and moment.isdigit() and abs(now - int(moment[:12])) <= TOLERANCE


_SCHEMES: Mapping[str, Callable[[str, Headers, bytes, float], bool]] = {
    "github": _github,
    "gitlab": _gitlab,
    "stripe": _stripe,
    "slack": _slack,
    "standard": _standard,
}
