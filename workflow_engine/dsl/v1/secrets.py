"""Where a DSL 1.0 document may use its secrets: in the arguments of a call, which are evaluated where it is made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from workflow_engine.dsl.v1.scope import SECRETS, Task
from workflow_engine.expressions import ExpressionError, members
from workflow_engine.graph.model import Operation
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering


def operation(
    lowering: WorkflowLowering,
    task: Task,
    kind: str,
    given: JsonObject,
    resources: tuple[str, ...] = (),
    *,
    path: tuple[str, ...] = ("with",),
    wait: bool = True,
) -> Operation:
    """A call with the arguments *given*, made of those of the task at *path*; the secrets that they use are known by
    name.
    """
    template = lowering.template(given, task.variables | SECRETS, task.at(*path))
    names: tuple[str, ...] = ()
    if template.variables & SECRETS:
        check(lowering, task.part(*path), task.at(*path))
        used = (name for _, name in members(given, SECRETS))
        names = tuple(dict.fromkeys(name for name in used if name is not None))
    return Operation(kind, template, resources, names, wait=wait)


def check(lowering: WorkflowLowering, value: Json, at: str) -> None:
    """Find the secrets in *value* that the document does not declare, and those whose name is computed."""
    try:
        used = list(members(value, SECRETS, at))
    except ExpressionError:
        return  # whoever compiles it says what is wrong
    for place, name in used:
        if name is None:
            what = "`$secrets` without the name of a secret after it (`$secrets.name`)"
            lowering.unsupported(what, place)
        else:
            declared(lowering, name, place)


def declared(lowering: WorkflowLowering, name: str, at: str) -> None:
    """Check that ``use.secrets`` has *name*."""
    listed = lowering.use.get("secrets")
    known = [str(item) for item in listed] if isinstance(listed, list) else []
    if name not in known:
        hint = "; declare it in `use.secrets`"
        lowering.unknown("unknown-secret", "secret", name, known, at, hint=hint)


def policy_of_secret(policy: Json) -> Json:
    """*policy*, with an expression in the place of ``{use: secret}``."""
    if isinstance(policy, dict):
        for scheme, details in policy.items():
            if isinstance(details, dict) and isinstance(details.get("use"), str):
                return {scheme: f"${{ $secrets[{json.dumps(details['use'])}] }}"}
    return policy
