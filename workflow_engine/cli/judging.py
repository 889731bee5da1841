"""What differs between what a scenario expects of a run and what came of it, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workflow_engine import expressions
from workflow_engine.cli.scenarios import Expected
from workflow_engine.errors import canonical_type
from workflow_engine.values import Json, JsonObject, deep_equal, pointer

MOST = 10
"""How many differences of one value are told."""
_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a run: *calls* and *events* are what it made and published, *states* what it visited, in order.

    *seconds* is what it took on the virtual clock.
    """

    status: str
    output: Json = None
    error: JsonObject | None = None
    states: Sequence[str] = ()
    calls: Sequence[JsonObject] = ()
    events: Sequence[JsonObject] = ()
    waiting_for: Sequence[str] = field(default=())
    seconds: float = 0.0


def judge(expected: Expected, came: Came) -> list[str]:
    """Why *came* is not what was *expected*; nothing where it is."""
    members: Any = expected.members
    found: list[str] = []
    if came.status != expected.status:
        found.append(f"status: expected {expected.status}, got {came.status}{_why(came)}")
    elif came.status == "faulted" and "error" in members:
        wanted = dict(members["error"])
        if "type" in wanted:
            wanted["type"] = canonical_type(wanted["type"])
        found += _some("error", _differences(wanted, came.error or {}, open=True))
    if "output" in members and came.status == "completed":
        found += _some("output", _differences(members["output"], came.output, open=False))
    found += _holding(expected, came)
    if "states" in members and members["states"] != [*came.states]:
        found.append(f"states: expected {_listed(members['states'])}, got {_listed(came.states)}")
    for name in members.get("visits", ()):
        if name not in came.states:
            found.append(f"states: {name!r} was not visited; {_listed(came.states)} were")
    for name in members.get("avoids", ()):
        if name in came.states:
            found.append(f"states: {name!r} was visited")
    if "calls" in members:
        found += _calls(members["calls"], came.calls)
    if "events" in members:
        found += _events(members["events"], came.events)
    if expected.within is not None and came.seconds > expected.within:
        found.append(f"time: expected at most {expected.within:g} s, it took {came.seconds:g} s")
    if expected.not_before is not None and came.seconds < expected.not_before:
        found.append(f"time: expected at least {expected.not_before:g} s, it took {came.seconds:g} s")
    return found


def _why(came: Came) -> str:
    if came.error is not None:
        return f": {_short(came.error)}"
    return f" for {'; '.join(came.waiting_for)}" if came.waiting_for else ""


def _holding(expected: Expected, came: Came) -> Iterator[str]:
    scope: Mapping[str, Any] = {
        "calls": [*came.calls],
        "events": [*came.events],
        "states": [*came.states],
        "status": came.status,
        "error": came.error,
    }
    for text, condition in expected.holds:
        try:
            holds = condition.first(came.output, scope)
        except expressions.EvaluationError as error:
            yield f"holds: {text}: {error}"
        else:
            if holds is not True:
                yield f"holds: {text}: expected true, got {_short(holds)}; the output is {_short(came.output)}"


def _calls(wanted: Sequence[Any], made: Sequence[Any]) -> Iterator[str]:
    names, got = [each["state"] for each in wanted], [each["state"] for each in made]
    if len(names) != len(got) or any(
        name not in (call["state"], call["task"], call["pointer"])
        for name, call in zip(names, made, strict=True)
    ):
        yield f"calls: expected {_listed(names)}, got {_listed(got)}"
        return
    for number, (each, call) in enumerate(zip(wanted, made, strict=True)):
        if "with" in each:
            yield from _some(
                f"calls/{number} ({each['state']})", _differences(each["with"], call["with"], open=True)
            )


def _events(wanted: Sequence[Json], published: Sequence[JsonObject]) -> Iterator[str]:
    left = [*published]
    for number, members in enumerate(wanted):
        fits = next((event for event in left if not [*_differences(members, event, open=True)]), None)
        if fits is not None:
            left.remove(fits)
            continue
        yield f"events/{number}: none fits {_short(members)}; published were {_short([*published])}"
    if not wanted or len(published) > len(wanted):
        yield from (f"events: {_short(event)} was published, and is not expected" for event in left)


def _some(what: str, differences: Iterator[tuple[str, str]]) -> Iterator[str]:
    for number, (place, words) in enumerate(differences):
        if number == MOST:
            yield f"{what}: and more"
            return
        yield f"{what}{place}: {words}"


def _differences(wanted: Json, got: Json, *, open: bool, at: str = "") -> Iterator[tuple[str, str]]:
    """Where *got* is not *wanted*; *open*: members that are not named may have any value."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        for name, value in wanted.items():
            place = at + pointer(name)
            if name in got:
                yield from _differences(value, got[name], open=open, at=place)
            else:
                yield place, f"expected {_short(value)}, it is not there"
        if not open:
            yield from (
                (at + pointer(name), f"is not expected: {_short(got[name])}")
                for name in got
                if name not in wanted
            )
    elif isinstance(wanted, list) and isinstance(got, list):
        for number, (value, other) in enumerate(zip(wanted, got, strict=False)):
            yield from _differences(value, other, open=open, at=at + pointer(number))
        if len(wanted) != len(got):
            yield at, f"expected {len(wanted)} items, got {len(got)}: {_short(got)}"
    elif not deep_equal(wanted, got):
        yield at, f"expected {_short(wanted)}, got {_short(got)}"


def _listed(names: Sequence[Json]) -> str:
    return ", ".join(map(str, names)) or "none"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
