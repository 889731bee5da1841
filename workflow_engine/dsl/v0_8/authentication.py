"""The ``auth`` of a 0.8 document as the policies that calls know (dsl.md §2.14, decision B41)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.dsl.lowering import Lowering
from workflow_engine.dsl.v0_8 import secrets
from workflow_engine.dsl.v0_8.operations import known_text
from workflow_engine.dsl.v0_8.variables import CONSTANTS, SECRETS
from workflow_engine.values import Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - the name of a kind of token
_GRANTS = {"clientCredentials": "client_credentials", "password": "password", "tokenExchange": _EXCHANGE}
_FROM_SECRET = f"""{{
    authority, username, password, scopes, audiences,
    grant: ({json.dumps(_GRANTS)}[.grantType // "clientCredentials"] // .grantType),
    client: {{id: .clientId, secret: .clientSecret}},
    subject: (if .subjectToken then {{token: .subjectToken, type: "{_TOKEN}"}} else null end),
    "$parameters": {{requested_subject: .requestedSubject, requested_issuer: .requestedIssuer}}
}} | del(.. | nulls)"""
"""From a secret with the properties of oauth2 to the policy."""
_NEEDED = {
    "clientCredentials": ("clientSecret",),
    "password": ("username", "password"),
    "tokenExchange": ("subjectToken",),
}


def policy_of(name: str, data: JsonObject) -> Json:
    """The policy that ``auth`` of the document *data* defines as *name*; None where there is none."""
    listed = data.get("auth")
    for definition in listed if isinstance(listed, list) else []:
        if isinstance(definition, dict) and definition.get("name") == name:
            return _policy(definition, data)
    return None


def fetching(function: JsonObject, data: JsonObject) -> Json:
    """The policy by which what the ``operation`` of *function* names is fetched; None where there is none."""
    return policy_of(str(function["authRef"]), data) if function.get("authRef") else None


def invoking_name(function: JsonObject) -> tuple[str | None, str]:
    """The name of the policy by which *function* is called where the document alone is not, and its property.

    The specification has no property for that, so that ``metadata: {invocationAuthRef: name}`` says it.
    """
    metadata = function.get("metadata")
    name = metadata.get("invocationAuthRef") if isinstance(metadata, dict) else None
    return (None, "") if name is None else (str(name), "/metadata/invocationAuthRef")


def _policy(definition: JsonObject, data: JsonObject) -> Json:
    scheme, given = definition.get("scheme", "basic"), definition.get("properties")
    if isinstance(given, str):
        source = _secret_source(given, data)
        if scheme == "oauth2":
            return {"oidc": f"${{ ({source}\n) | {_FROM_SECRET} }}"}
        return {str(scheme): f"${{ {source}\n}}"}
    if not isinstance(given, dict):
        return None
    known: JsonObject = {key: _known(value, data) for key, value in given.items() if key != "metadata"}
    return _oauth2(known, given.get("metadata")) if scheme == "oauth2" else {str(scheme): known}


def _secret_source(text: str, data: JsonObject) -> str:
    """The jq of properties that are text: an expression, bare or in ``${ }``, or the name of a secret."""
    listed = data.get("secrets")
    if isinstance(listed, list) and text.strip() in listed:
        return f"$SECRETS[{json.dumps(text.strip())}]"
    inner = expressions.unwrap(text)
    return text if inner is None else inner


def _known(value: Json, data: JsonObject) -> Json:
    if isinstance(value, list):
        return [_known(item, data) for item in value]
    if not isinstance(value, str):
        return value
    found = known_text(value, data.get("constants"))
    return value if found is None else found


def _oauth2(given: JsonObject, metadata: Json) -> JsonObject:
    """An authority is asked where it gives tokens (OpenID Connect Discovery), unless the metadata says it."""
    endpoint = metadata.get("tokenEndpoint") if isinstance(metadata, dict) else None
    policy: JsonObject = {
        "authority": given.get("authority"),
        "grant": _GRANTS.get(str(given.get("grantType")), given.get("grantType")),
        "client": {
            key: given[name]
            for key, name in (("id", "clientId"), ("secret", "clientSecret"))
            if name in given
        },
    }
    policy |= {key: given[key] for key in ("username", "password", "scopes", "audiences") if key in given}
    if "subjectToken" in given:
        policy["subject"] = {"token": given["subjectToken"], "type": _TOKEN}
    extra: JsonObject = {
        name: given[key]
        for key, name in (("requestedSubject", "requested_subject"), ("requestedIssuer", "requested_issuer"))
        if key in given
    }
    if extra:
        policy["$parameters"] = extra
    if endpoint is None:
        return {"oidc": policy}
    return {"oauth2": {**policy, "endpoints": {"token": endpoint}}}


def check(lowering: WorkflowLowering) -> None:
    """Find what is wrong with the definitions, whether a function refers to them or not."""
    for definition, at in lowering.auth.values():
        given, place = definition.get("properties"), f"{at}/properties"
        if isinstance(given, str):
            _check_text(lowering, f"${{ {_secret_source(given, lowering.data)}\n}}", place)
            continue
        properties: JsonObject = given if isinstance(given, dict) else {}
        for key, value in _texts(properties):
            if known_text(value, lowering.data.get("constants")) is None:
                _check_text(lowering, value, place + key)
        if definition.get("scheme") == "oauth2":
            grant = str(properties.get("grantType"))
            for name in ("authority", *_NEEDED.get(grant, ())):
                if name not in properties:
                    message = f"`{name}` is missing, which the grant `{grant}` needs"
                    lowering.problem("missing-property", message, place)


def _texts(properties: JsonObject) -> Iterator[tuple[str, str]]:
    for key, value in properties.items():
        for number, item in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(item, str):
                yield pointer(key) if number is None else pointer(key, number), item


def _check_text(lowering: WorkflowLowering, text: str, at: str) -> None:
    before = len(lowering.problems)
    # jq, whatever the language of the other expressions
    Lowering.template(lowering, text, CONSTANTS | SECRETS, at)
    secrets.check(lowering, text, at)
    if not lowering.wrong(before) and expressions.reads_input(text):
        why = (
            "(what it secures is fetched when the workflow is deployed: secrets and constants are there then)"
        )
        lowering.unsupported(f"authentication by the data of a run {why}", at)


def check_references(lowering: WorkflowLowering, function: JsonObject, at: str) -> None:
    """Report a policy that the function at *at* refers to and that is defined nowhere."""
    name, place = invoking_name(function)
    for wanted, where in ((function.get("authRef"), "/authRef"), (name, place)):
        if (
            wanted is not None
            and wanted not in lowering.auth
            and not isinstance(lowering.data.get("auth"), str)
        ):
            lowering.unknown("unknown-authentication", "auth", str(wanted), lowering.auth, at + where)
