"""The timeouts of a 0.8 state: ``stateExecTimeout``, ``actionExecTimeout``, ``eventTimeout``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.graph.model import Timing
from workflow_engine.values import Duration, Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

CONSTANTS = frozenset({"CONST"})
_KNOWN = {"stateExecTimeout", "actionExecTimeout", "eventTimeout"}


def _given(lowering: WorkflowLowering, body: JsonObject, at: str) -> JsonObject:
    given = body.get("timeouts")
    known: JsonObject = given if isinstance(given, dict) else {}
    for key in known:
        if key not in _KNOWN:
            lowering.unsupported(f"`timeouts.{key}` of a state", f"{at}/timeouts/{key}")
    return known


def state_timeout(lowering: WorkflowLowering, body: JsonObject, at: str) -> Timing | None:
    """``stateExecTimeout``: text, or an object of ``single`` and ``total`` (decision B16).

    A state is never tried again as a whole, so that the shorter one of both counts.
    """
    value, place = _given(lowering, body, at).get("stateExecTimeout"), f"{at}/timeouts/stateExecTimeout"
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


def action_timeout(lowering: WorkflowLowering, body: JsonObject, at: str) -> Timing | None:
    """``actionExecTimeout``, for each action (decision B17)."""
    value = _given(lowering, body, at).get("actionExecTimeout")
    return lowering.optional_timing(value, CONSTANTS, f"{at}/timeouts/actionExecTimeout")


def event_timeout(lowering: WorkflowLowering, body: JsonObject, at: str) -> Timing | None:
    """``eventTimeout``, under ``timeouts`` or, as the text of 0.8 has it, at the state itself (B9)."""
    value: Json = _given(lowering, body, at).get("eventTimeout")
    if value is None:
        return lowering.optional_timing(body.get("eventTimeout"), CONSTANTS, f"{at}/eventTimeout")
    if "eventTimeout" in body:
        message = "`eventTimeout` stands here and under `timeouts`; keep the one under `timeouts`"
        lowering.problem("conflicting-properties", message, f"{at}/eventTimeout")
    return lowering.timing(value, CONSTANTS, f"{at}/timeouts/eventTimeout")
