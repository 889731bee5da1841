"""The timeouts of a 0.8 state: ``stateExecTimeout``, ``actionExecTimeout``, ``eventTimeout``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl import bounds
from workflow_engine.graph.model import GoTo, Timing
from workflow_engine.values import Duration, Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

CONSTANTS = frozenset({"CONST"})


def _given(lowering: WorkflowLowering, key: str, *around: tuple[JsonObject, str]) -> tuple[Json, str]:
    """The timeout *key* of the first of *around* that has it, else of the workflow; and where it stands.

    What is inside has its timeouts from what is around it (dsl.md §2.9).
    """
    for body, at in around:
        given = body.get("timeouts")
        if isinstance(given, dict) and key in given:
            check(lowering, given[key], f"{at}/timeouts/{key}")
            return given[key], f"{at}/timeouts/{key}"
    given = lowering.data.get("timeouts")
    return (given[key], f"/timeouts/{key}") if isinstance(given, dict) and key in given else (None, "")


def check(lowering: WorkflowLowering, value: Json, at: str) -> None:
    """A timeout, of text or an object, is more than nothing; that of one attempt is within that of all (B16)."""
    if not isinstance(value, dict):
        bounds.check_timeout(lowering, value, at)
        return
    for key in ("duration", "single", "total"):
        bounds.check_timeout(lowering, value.get(key), f"{at}/{key}")
    single, total = ("single", value.get("single")), ("total", value.get("total"))
    bounds.check_order(lowering, single, total, f"{at}/total")


def check_common(lowering: WorkflowLowering) -> None:
    """The timeouts of the workflow, also those that no state has from it."""
    given = lowering.data.get("timeouts")
    for key, value in (given if isinstance(given, dict) else {}).items():
        check(lowering, value, f"/timeouts/{key}")


def workflow_timeout(lowering: WorkflowLowering) -> tuple[Timing | None, bool]:
    """``workflowExecTimeout``: how long a run may take, and whether it is cut short (decision B18).

    The state of ``runBefore`` is kept at the lowering.
    """
    value, place = _given(lowering, "workflowExecTimeout")
    if not isinstance(value, dict):
        return lowering.optional_timing(value, CONSTANTS, place), False
    before = value.get("runBefore")
    if before is not None:
        found = lowering.to(str(before), f"{place}/runBefore")
        lowering.before_end = found if isinstance(found, GoTo) else None
    return lowering.timing(value.get("duration"), CONSTANTS, f"{place}/duration"), value.get(
        "interrupt"
    ) is True


def branch_timeout(
    lowering: WorkflowLowering, branch: JsonObject, place: str, body: JsonObject, at: str
) -> Timing | None:
    """``branchExecTimeout`` of a branch, else of its state."""
    value, where = _given(lowering, "branchExecTimeout", (branch, place), (body, at))
    return lowering.optional_timing(value, CONSTANTS, where)


def state_timeout(lowering: WorkflowLowering, body: JsonObject, at: str) -> Timing | None:
    """``stateExecTimeout``: text, or an object of ``single`` and ``total`` (decision B16).

    A state is never tried again as a whole, so that the shorter one of both counts.
    """
    if "timeouts" not in body and "timeouts" not in lowering.data:
        return None
    value, place = _given(lowering, "stateExecTimeout", (body, at))
    if not isinstance(value, dict):
        return lowering.optional_timing(value, CONSTANTS, place)
    limits = [
        lowering.timing(value[key], CONSTANTS, f"{place}/{key}")
        for key in ("single", "total")
        if key in value
    ]
    lengths = [limit for limit in limits if isinstance(limit, Duration)]
    if len(lengths) < len(limits) > 1:
        lowering.unsupported("an expression beside another `stateExecTimeout`", place)
    return min(lengths, key=lambda limit: (limit.months, limit.seconds)) if lengths else limits[0]


def action_timeout(lowering: WorkflowLowering, *around: tuple[JsonObject, str]) -> Timing | None:
    """``actionExecTimeout``, for each action (decision B17), of a branch, else of its state."""
    value, place = _given(lowering, "actionExecTimeout", *around)
    return lowering.optional_timing(value, CONSTANTS, place)


def event_timeout(lowering: WorkflowLowering, body: JsonObject, at: str) -> Timing | None:
    """``eventTimeout``, under ``timeouts`` or, as the text of 0.8 has it, at the state itself (B9)."""
    value, place = _given(lowering, "eventTimeout", (body, at))
    if "eventTimeout" in body and not place.startswith(at + "/"):
        value, place = body["eventTimeout"], f"{at}/eventTimeout"
        check(lowering, value, place)
    elif "eventTimeout" in body:
        message = "`eventTimeout` stands here and under `timeouts`; keep the one under `timeouts`"
        lowering.problem("conflicting-properties", message, f"{at}/eventTimeout")
    return lowering.optional_timing(value, CONSTANTS, place)
