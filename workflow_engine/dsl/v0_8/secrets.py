"""`$SECRETS` of DSL 0.8, and its alias `$SECRET` (decision B40): as in DSL 1.0, a run keeps references alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl.v0_8.variables import SECRETS
from workflow_engine.expressions import ExpressionError, members
from workflow_engine.graph.model import Operation
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.expression_slots import ExpressionLowering
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering


def operation(
    lowering: WorkflowLowering,
    kind: str,
    given: JsonObject,
    variables: frozenset[str],
    at: str,
    *,
    resources: tuple[str, ...] = (),
    wait: bool = True,
) -> Operation:
    """A call with the arguments *given*; the secrets that they use are known by name."""
    template = lowering.template(given, variables, at)
    used = (name for _, name in members(template.source, SECRETS)) if template.variables & SECRETS else ()
    names = tuple(dict.fromkeys(name for name in used if name is not None))
    return Operation(kind, template, resources, names, wait=wait)


def check(lowering: ExpressionLowering, value: Json, at: str) -> None:
    """Find the secrets in *value* that ``secrets`` does not list, and those whose name is computed."""
    listed = lowering.data.get("secrets")
    known = [str(item) for item in listed] if isinstance(listed, list) else []
    try:
        used = list(members(value, SECRETS, at))
    except ExpressionError:
        return  # whoever compiles it says what is wrong
    for place, name in used:
        if name is None:
            what = "`$SECRETS` without the name of a secret after it (`$SECRETS.name`)"
            lowering.unsupported(what, place)
        elif name not in known and not isinstance(listed, str):
            if listed is None and lowering.for_sonataflow:
                message = f"a secret is listed in `secrets`; {name!r} is read though the document lists none"
                lowering.warning("earlier-form", message, place)
                continue
            hint = "; list it in `secrets`"
            lowering.unknown("unknown-secret", "secret", name, known, place, hint=hint)
