"""Where a DSL 1.0 document uses its secrets (dsl.md §1.4, decision A7), and `$authorization`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.dsl.lowering import Lowering
from workflow_engine.dsl.policies import SECRETS
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.expressions import ExpressionError, Template, members
from workflow_engine.graph.model import Operation
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

_WAYS = (
    (),
    ("endpoint",),
    ("service",),
    ("server",),
    ("server", "endpoint"),
    ("agentCard", "endpoint"),
    ("transport", "http", "endpoint"),
)
"""Where the arguments of a call may have the policy that it is authenticated by."""


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
    template = Lowering.template(lowering, given, task.variables, task.at(*path))
    names: tuple[str, ...] = ()
    if template.variables & SECRETS:
        check(lowering, lowering.prepared(task.part(*path), task.variables, task.at(*path)), task.at(*path))
        used = (name for _, name in members(template.source, SECRETS))
        names = tuple(dict.fromkeys(name for name in used if name is not None))
    authorization = _authorization(lowering, task, given, task.at(*path))
    return Operation(kind, template, resources, names, wait=wait, authorization=authorization)


def _authorization(lowering: WorkflowLowering, task: Task, given: JsonObject, at: str) -> Template | None:
    """The policy that authenticates a call, which is not that of a document that it fetches."""
    found = _policy(given)
    if found is None:
        return None
    try:
        template = expressions.template(found, variables=task.variables)
    except ExpressionError:
        return None  # the arguments have told what is wrong
    if "authorization" in template.variables:
        message = "`$authorization` is what authentication gives; what authenticates cannot use it"
        lowering.problem("invalid-expression", message, at)
        return None
    return template


def _policy(given: JsonObject) -> Json:
    for way in _WAYS:
        holder: Json = given
        for name in way:
            holder = holder.get(name) if isinstance(holder, dict) else None
        if isinstance(holder, dict) and holder.get("authentication") is not None:
            return holder["authentication"]
    return None


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
