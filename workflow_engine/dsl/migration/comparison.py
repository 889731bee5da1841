"""Whether a migrated document did the same as the one that it was written from: outputs, calls, events."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from workflow_engine.dsl.migration.report import Report
from workflow_engine.values import Json, JsonObject, deep_equal

OF_THE_RUN = frozenset({"id", "source", "time"})
"""What an event has of the run that published it, and no two runs have in common."""


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made: by the state or the task with the pointer *state*, of the workflow called *workflow*."""

    workflow: str
    state: str
    kind: str
    arguments: Json

    @property
    def what(self) -> str:
        """The call as text, the same for calls that mean the same: keys sorted, no arguments as if not written.

        The name of a function, by which a worker may know where its service is, is not what is called.
        """
        given = self.arguments
        if isinstance(given, dict):
            given = {
                key: value
                for key, value in given.items()
                if (value != {} or key not in ("parameters", "arguments"))
                and key not in ("$function", "$own")
            }
        return f"{self.kind} {json.dumps(given, sort_keys=True, ensure_ascii=False)}"


@dataclass(slots=True)
class Observed:
    """What came of a run."""

    status: str
    output: Json = None
    error: JsonObject | None = None
    calls: list[Made] = field(default_factory=list)
    published: list[JsonObject] = field(default_factory=list)


def differences(old: Observed, new: Observed, report: Report) -> list[str]:
    """What is different about *new*, which ran what *report* is of; nothing if all is the same."""
    found = []
    if old.status != new.status:
        found.append(f"the 0.8 run is {_ended(old)}, the 1.0 run {_ended(new)}")
    elif old.status == "completed" and not deep_equal(old.output, new.output):
        found.append(f"output: 0.8 {_shown(old.output)}\n        1.0 {_shown(new.output)}")
    elif old.error is not None and new.error is not None and _kind(old.error) != _kind(new.error):
        found.append(f"error: 0.8 {_shown(old.error)}\n       1.0 {_shown(new.error)}")
    found += _calls(_in_order(old, report), _in_order(new, report))
    found += _compared("event", list(map(_event, old.published)), list(map(_event, new.published)), report)
    return found


def _ended(run: Observed) -> str:
    return run.status if run.error is None else f"{run.status} with {_shown(run.error)}"


def _kind(error: JsonObject) -> tuple[Json, Json]:
    return error.get("type"), error.get("status")


def _shown(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _event(event: JsonObject) -> str:
    return json.dumps({key: value for key, value in event.items() if key not in OF_THE_RUN}, sort_keys=True)


def _compared(what: str, old: Sequence[str], new: Sequence[str], report: Report) -> list[str]:
    """What is in one list alone, and else the first place in which they differ."""
    if report.unordered or any(state.side_by_side for state in report.states):
        old, new = sorted(old), sorted(new)
    return _calls(old, new, what)


def _calls(old: Sequence[str], new: Sequence[str], what: str = "call") -> list[str]:
    if list(old) == list(new):
        return []
    found = [f"{what} only of 0.8: {one}" for one in _without(old, new)]
    found += [f"{what} only of 1.0: {one}" for one in _without(new, old)]
    if not found:
        number = next(n for n, (left, right) in enumerate(zip(old, new, strict=True)) if left != right)
        found.append(f"{what} {number + 1}: 0.8 {old[number]}\n        1.0 {new[number]}")
    return found


def _without(some: Iterable[str], others: Iterable[str]) -> list[str]:
    left, found = list(others), []
    for one in some:
        if one in left:
            left.remove(one)
        else:
            found.append(one)
    return found


def _in_order(run: Observed, report: Report) -> list[str]:
    """The calls of *run* in their order, but for those that are made side by side, which are sorted."""
    if report.unordered:
        return sorted(call.what for call in run.calls)
    sorted_states = {state.pointer for state in report.states if state.side_by_side}
    tasks = {name: state.pointer for state in report.states for name in state.tasks}
    listed: list[str] = []
    for state, calls in groupby(run.calls, lambda call: _state(call, tasks)):
        group = [call.what for call in calls]
        listed += sorted(group) if state in sorted_states else group
    return listed


def _state(call: Made, tasks: dict[str, str]) -> str:
    """The 0.8 state that *call* is of."""
    parts = call.state.split("/")
    if parts[1] == "states":
        return "/".join(parts[:3])
    name = parts[3].replace("~1", "/").replace("~0", "~") if len(parts) > 3 else ""
    return tasks.get(name, call.workflow)
