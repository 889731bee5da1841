"""Authentication policies: what each scheme adds to a request. A table, one row for each scheme."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from workflow_engine.calls.egress import Egress
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

Scheme: TypeAlias = Callable[[JsonObject, Egress], Awaitable[Mapping[str, str]]]
"""Takes the properties of a policy and gives the headers to send; it may fetch a token through the egress."""


async def _basic(properties: JsonObject, egress: Egress) -> Mapping[str, str]:
    username = _property("basic", properties, "username")
    password = _property("basic", properties, "password")
    if ":" in username:
        raise fault("configuration", "authentication basic: a user name cannot have a colon (RFC 7617)")
    credentials = base64.b64encode(f"{username}:{password}".encode()).decode()
    return {"Authorization": f"Basic {credentials}"}


async def _bearer(properties: JsonObject, egress: Egress) -> Mapping[str, str]:
    token = _property("bearer", properties, "token")
    if not token.isascii() or any(char <= " " or char == "\x7f" for char in token):
        raise fault("configuration", "authentication bearer: the token has a character it cannot have")
    return {"Authorization": f"Bearer {token}"}


SCHEMES: Mapping[str, Scheme] = {"basic": _basic, "bearer": _bearer}


async def credentials(policy: Json, egress: Egress) -> Mapping[str, str]:
    """The headers of authentication *policy*, such as ``{"basic": {"username": …, "password": …}}``.

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
    if not isinstance(properties, dict):
        raise fault("configuration", f"authentication {name}: its properties must be an object")
    return await scheme(properties, egress)


def _property(scheme: str, properties: JsonObject, name: str) -> str:
    value = properties.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an expression may well find a number where a user name or password is
    if not isinstance(value, str) or (not value and name != "password"):
        what = "is missing" if name not in properties else "must be a string that is not empty"
        raise fault("configuration", f"authentication {scheme}: {name} {what}")
    return value
