"""Authentication policies as a document writes them, and which of them can be used while it is deployed."""

from __future__ import annotations

import json

from workflow_engine import expressions
from workflow_engine.dsl import uri_templates
from workflow_engine.values import Json, JsonObject

SECRETS = frozenset({"secrets", "secret"})
"""The variables under which expressions find the secrets of the document: the specification's, and an alias."""


def policy_of(written: Json, use: JsonObject) -> Json:
    """The policy that *written* is or names in ``use.authentications``; None where there is none of that name.

    In the place of ``{use: secret}`` it has an expression that yields the secret.
    """
    name = written.get("use") if isinstance(written, dict) else written
    if isinstance(name, str):
        named = use.get("authentications")
        written = named.get(name) if isinstance(named, dict) else None
    return policy_of_secret(written)


def policy_of_secret(policy: Json) -> Json:
    """*policy*, with an expression in the place of ``{use: secret}``, and what the template of an authority reads."""
    if isinstance(policy, dict):
        for scheme, details in policy.items():
            if isinstance(details, dict) and isinstance(details.get("use"), str):
                return {scheme: f"${{ $secrets[{json.dumps(details['use'])}] }}"}
            if isinstance(details, dict) and (given := uri_templates.arguments(details.get("authority"))):
                return {scheme: {**details, **given}}
    return policy


def known_at_deployment(policy: Json) -> bool:
    """Whether *policy* needs secrets at most: neither the data of a task nor anything else of a run."""
    try:
        expressions.template(policy, variables=SECRETS)
        return not expressions.reads_input(policy)
    except expressions.ExpressionError:
        return False
