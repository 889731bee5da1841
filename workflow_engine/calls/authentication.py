"""Authentication policies: what each scheme adds to a request. A table, one row for each scheme."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias

from yarl import URL

from workflow_engine.calls.credentials import Credentials
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.oauth import authorize
from workflow_engine.calls.secrets import Secrets
from workflow_engine.errors import Rejected, fault
from workflow_engine.values import Json, JsonObject

Scheme: TypeAlias = Callable[[JsonObject, Egress, URL], Awaitable[Credentials]]
"""Takes the properties of a policy and the URL to call; it may fetch a token through the egress."""


async def _basic(properties: JsonObject, egress: Egress, url: URL) -> Credentials:
    username, password = _login("basic", properties)
    credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
    return Credentials({"Authorization": f"Basic {credentials}"})


async def _digest(properties: JsonObject, egress: Egress, url: URL) -> Credentials:
    username, password = _login("digest", properties)
    return Credentials(digest=egress.remembered.digest(str(url.origin()), username, password))


async def _bearer(properties: JsonObject, egress: Egress, url: URL) -> Credentials:
    token = _property("bearer", properties, "token")
    if not token.isascii() or any(char <= " " or char == "\x7f" for char in token):
        raise fault("configuration", "authentication bearer: the token has a character it cannot have")
    return Credentials({"Authorization": f"Bearer {token}"})


async def _authorize(scheme: str, properties: JsonObject, egress: Egress, url: URL) -> Credentials:
    return await authorize(scheme, properties, egress)


SCHEMES: Mapping[str, Scheme] = {
    "basic": _basic,
    "bearer": _bearer,
    "digest": _digest,
    "oauth2": partial(_authorize, "oauth2"),
    "oidc": partial(_authorize, "oidc"),
}


async def authenticate(policy: Json, egress: Egress, url: URL) -> Credentials:
    """The credentials of authentication *policy*, such as ``{"basic": {"username": …, "password": …}}``.

    References (``use``) are resolved before a call is made. A policy that cannot be applied is a
    configuration fault, whose detail never has a value of the policy in it.
    """
    if not isinstance(policy, dict) or len(policy) != 1:
        raise fault("configuration", f"an authentication policy has exactly one of {', '.join(SCHEMES)}")
    [(name, properties)] = policy.items()
    scheme = SCHEMES.get(name)
    if scheme is None:
        raise fault(
            "configuration", f"authentication {name!r} is not supported; use one of {', '.join(SCHEMES)}"
        )
    if isinstance(properties, str) and name == "bearer":
        properties = {"token": properties}  # a secret may be nothing but the token
    if not isinstance(properties, dict):
        raise fault("configuration", f"authentication {name}: its properties must be an object")
    return await scheme(properties, egress, url)


def names_a_secret(policy: Json) -> bool:
    """Whether *policy* is ``{scheme: {"use": secret}}``, so that it has no value in it."""
    if not isinstance(policy, dict) or len(policy) != 1 or not set(policy) <= set(SCHEMES):
        return False
    [properties] = policy.values()
    return isinstance(properties, dict) and set(properties) == {"use"} and isinstance(properties["use"], str)


async def with_secret(policy: Json, secrets: Secrets) -> JsonObject:
    """*policy* with the values of the secret that it names; `NotFound` where there is none."""
    if not isinstance(policy, dict) or not names_a_secret(policy):
        raise Rejected("target-invalid", "its authentication names no secret")
    [(scheme, properties)] = policy.items()
    assert isinstance(properties, dict)
    return {scheme: await secrets.get(str(properties["use"]))}


def _login(scheme: str, properties: JsonObject) -> tuple[str, str]:
    username = _property(scheme, properties, "username")
    if ":" in username:
        raise fault("configuration", f"authentication {scheme}: a user name cannot have a colon (RFC 7617)")
    return username, _property(scheme, properties, "password")


def _property(scheme: str, properties: JsonObject, name: str) -> str:
    value = properties.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an expression may well find a number where a user name or password is
    if not isinstance(value, str) or (not value and name != "password"):
        what = "is missing" if name not in properties else "must be a string that is not empty"
        raise fault("configuration", f"authentication {scheme}: {name} {what}")
    return value
