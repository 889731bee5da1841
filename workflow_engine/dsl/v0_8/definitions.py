"""What a 0.8 document defines by name: functions, events, and what is refused among them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from workflow_engine import expressions
from workflow_engine.dsl.v0_8 import arguments, authentication, functions
from workflow_engine.dsl.v0_8.operations import function_type
from workflow_engine.dsl.v0_8.variables import RUN
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

Named: TypeAlias = "dict[str, tuple[JsonObject, str]]"
"""Definitions by name, each with its pointer."""

LISTS = ("functions", "events", "errors", "retries", "auth")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def named(lowering: WorkflowLowering, kind: str) -> Named:
    """The definitions under *kind*; a name that is there twice is a problem."""
    found: Named = {}
    for number, item in enumerate(objects(lowering.data.get(kind))):
        name, at = str(item.get("name")), f"/{kind}/{number}"
        if name in found:
            lowering.problem(
                "duplicate-definition", f"two {kind} are called {name!r}; rename one", at + "/name"
            )
        found.setdefault(name, (item, at))
    return found


def objects(value: Json) -> list[JsonObject]:
    """The items of a list of objects; empty for anything else."""
    if not isinstance(value, list):
        return []
    return [item for item in value if isinstance(item, dict)]


def check(lowering: WorkflowLowering) -> None:
    """Refuse what no run could do with the definitions, whether something refers to them or not."""
    bound = iteration_names(lowering)
    for definition, at in lowering.functions.values():
        _check_function(lowering, definition, at, bound)
    for definition, at in lowering.events.values():
        for key in ("type", "source"):
            if "${" in str(definition.get(key, "")):
                lowering.unsupported(f"an expression as the {key} of an event", f"{at}/{key}")
    authentication.check(lowering)
    arguments.check(lowering)


def _check_function(
    lowering: WorkflowLowering, definition: JsonObject, at: str, bound: frozenset[str]
) -> None:
    if function_type(definition) != "expression":
        functions.check(lowering, definition, at)
        return
    if definition.get("authRef"):
        message = "`authRef` is for what is called; an expression is evaluated"
        lowering.problem("misplaced-property", message, f"{at}/authRef")
    before = len(lowering.problems)
    lowering.expression(definition.get("operation"), bound, f"{at}/operation")
    if lowering.wrong(before):
        lowering.broken.add(str(definition.get("name")))


def iteration_names(lowering: WorkflowLowering) -> frozenset[str]:
    """Every variable that an expression function may see, depending on where it is called."""
    names = set(RUN)
    for state in lowering.states:
        if state.get("type") == "foreach":
            names |= variables(iteration_name(state) or "")
    return frozenset(names)


def iteration_name(state: JsonObject) -> str | None:
    """The member that holds the element in each iteration of a foreach state; None if that is no name.

    ``item`` by default; ``${ .tx }`` and ``.tx`` mean ``tx`` (decision B24).
    """
    given = str(state.get("iterationParam", "item"))
    written = given.lstrip().startswith(("${", ".", "$."))
    found = expressions.assignment_path(given.replace("$.", ".", 1)) if written else [given]
    if not found or len(found) != 1:
        return None
    name = found[0]
    return name if isinstance(name, str) and name.strip() and "$" not in name else None


def variables(name: str) -> frozenset[str]:
    """The variable that *name* can also be used as, if jq can have one of that name (decision B24)."""
    return frozenset({name}) if _NAME.fullmatch(name) and name not in RUN else frozenset()
