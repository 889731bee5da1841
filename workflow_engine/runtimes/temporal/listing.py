"""Which runs are listed: a `RunQuery` in the language of Temporal's visibility."""

from __future__ import annotations

from collections.abc import Sequence

from workflow_engine.engine.runtime import STATUSES, RunQuery
from workflow_engine.errors import Rejected
from workflow_engine.runtimes.temporal.naming import BATCH, KEYS, written
from workflow_engine.runtimes.temporal.parked import FAILING
from workflow_engine.runtimes.temporal.repeater import REPEATER
from workflow_engine.values import rfc3339

_VISIBLE = {
    "completed": "ExecutionStatus = 'Completed'",
    "faulted": "ExecutionStatus IN ('Failed', 'TimedOut')",
    "cancelled": "ExecutionStatus IN ('Canceled', 'Terminated')",
    **dict.fromkeys(("running", "pending", "waiting", "suspended"), "ExecutionStatus = 'Running'"),
}


def condition(query: RunQuery, queue: str, *, search_attributes: bool) -> str:
    """That a run is one of the task *queue* which *query* asks for, as far as there are *search_attributes*."""
    parts = [f"TaskQueue = {_quoted(queue)}"]
    parts += [f"WorkflowType != {_quoted(type)}" for type in (REPEATER, BATCH)]
    parts.append("ExecutionStatus != 'ContinuedAsNew'")  # its last history stands for a run
    if query.namespace is not None and search_attributes:
        parts.append(f"WfeNamespace = {_quoted(query.namespace)}")
    if query.within is not None and search_attributes:
        parts.append(_within(query.within))
    if query.name is not None:
        parts.append(f"WorkflowType = {_quoted(query.name)}")
    if query.version is not None and search_attributes:
        parts.append(f"WfeVersion = {_quoted(query.version)}")
    if query.status is not None:
        if query.status not in STATUSES:
            known = ", ".join(STATUSES)
            raise Rejected("invalid-status", f"{query.status!r} is no status; use one of {known}")
        parts.append(_VISIBLE[query.status])
    if query.parked:
        parts.append(FAILING)
    for comparison, moment in ((">=", query.after), ("<", query.before)):
        if moment is not None:
            parts.append(f"StartTime {comparison} '{rfc3339(moment)}'")
    for name, value in (*query.attributes.items(), *((KEYS.name, key) for key in query.keys)):
        parts.append(f"`{name}` = {_quoted(written(value) if name == KEYS.name else value)}")
    return " AND ".join(parts)


def _within(namespaces: Sequence[str]) -> str:
    """The condition that a run is of a workflow in one of *namespaces*."""
    begin = [name for name in namespaces if name.endswith("*")]
    whole = [_quoted(name) for name in namespaces if not name.endswith("*")]
    ways = [f"WfeNamespace STARTS_WITH {_quoted(name[:-1])}" for name in begin]
    ways += [f"WfeNamespace IN ({', '.join(whole)})"] if whole else []
    return f"({' OR '.join(ways)})"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
