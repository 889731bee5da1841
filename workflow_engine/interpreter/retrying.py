"""Go on with a run that has ended, or is held: from the position at which it ended to one from which it goes on.

When a fault ends a run, its frames stay as they were when the fault arose, in every branch, and each frame that the
fault went through is marked (`Frame.faulted`); the innermost of those stands at the **failed state**. The branches that
were cancelled beside it stay where they were. A retry is another walk from there:

* The failed state begins once more, from the data that it got (or from other data). What had been done before it, also
  in loops, branches and attempts around it, is not done again. A state whose time was up goes on inside, where it was.
* It is the same execution of the state: its calls carry the same idempotency keys, so that a service that had done its
  part before the fault can tell. With other data it is a new execution with new keys.
* Times begin anew: timeouts, and the retries of each ``try`` around the failed state. A wait ends when it would have.

To skip a state is to go on after it, with its output given, or else with its input.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from workflow_engine.errors import Rejected
from workflow_engine.graph.model import (
    Compensate,
    Event,
    ForEach,
    GoTo,
    Parallel,
    Region,
    Sleep,
    State,
    StateGraph,
    SubFlow,
    Try,
    regions_of,
)
from workflow_engine.interpreter.ending import ENDED
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.references import References
from workflow_engine.interpreter.showing import FAILED
from workflow_engine.values import Json, JsonObject

ABSENT: Any = object()
"""Nothing was given: null is something."""
TIMES = ("deadline", "expires", "attempt", "began")
"""What of a state's progress is a time: it begins anew."""
ATTEMPTS = ("retries", "delay", "until", FAILED)
"""What of a ``try`` counts attempts: it begins anew where the fault went through."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a run that is to go on.

    *state*: where, if not at the one failed state: a state at which the run stands, or any other one in the same
    region as one of those, which is then gone on from with *data*. *data* takes the place of its raw input, *context*
    that of ``$context`` there. *skip*: the state is not done; its output is *output*, or else its input. *renew*: calls
    get new idempotency keys though nothing else is new.
    """

    state: str | None = None
    data: Json = ABSENT
    context: Json = ABSENT
    skip: bool = False
    output: Json = ABSENT
    renew: bool = False

    @property
    def edits(self) -> bool:
        return self.data is not ABSENT or self.context is not ABSENT

    def to_json(self) -> JsonObject:
        members = {
            "state": self.state,
            "data": self.data,
            "context": self.context,
            "skip": self.skip,
            "output": self.output,
            "renew": self.renew,
        }
        return {name: value for name, value in members.items() if value is not ABSENT}

    @classmethod
    def from_json(cls, members: JsonObject) -> Self:
        """What `to_json` made."""
        state = members.get("state")
        return cls(
            state if isinstance(state, str) else None,
            members.get("data", ABSENT),
            members.get("context", ABSENT),
            members.get("skip") is True,
            members.get("output", ABSENT),
            members.get("renew") is True,
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """A state at which a run stands: *failed* by a fault there. *data* is its raw input, *place* its execution."""

    id: str
    name: str
    failed: bool
    data: Json
    context: Json
    place: str | None

    def hidden(self, references: References) -> Standing:
        """The same without what stands for secrets."""
        return replace(self, data=references.hidden(self.data), context=references.hidden(self.context))

    def to_json(self) -> JsonObject:
        return {
            "id": self.id,
            "name": self.name,
            "failed": self.failed,
            "data": self.data,
            "context": self.context,
        }


def standing(graph: StateGraph, position: JsonObject) -> list[Standing]:
    """Where a run of *graph* stands in *position*, innermost states only, in the order of branches."""
    found: list[Standing] = []
    for frame in _root(position).leaves():
        id = str(frame.state)
        place = frame.local.get("place")
        name = graph.states[id].name if id in graph.states else id
        known = place if isinstance(place, str) else None
        found.append(Standing(id, name, frame.faulted, frame.data, frame.owner.context, known))
    return found


def gone_on(graph: StateGraph, position: JsonObject, wish: Wish, now: datetime) -> JsonObject:
    """The position from which a run of *graph* goes on that had ended in *position*, as *wish* says.

    `Rejected` when it does not fit: ``unknown-state``, ``several-failed-states``, ``no-failed-state``,
    ``data-needed``, ``position-does-not-fit``.
    """
    following = copy.deepcopy(position)
    root = _root(following)
    known = {region.id: region for region in regions(graph)}
    _fits(root, known)
    counts = following["counts"]
    assert isinstance(counts, dict)
    if root.state is None and wish.state is None and not wish.skip and wish.data is ABSENT:
        pass  # it had not begun: it begins
    else:
        if wish.state is not None or wish.edits or wish.skip:
            root.variables.pop(ENDED, None)
        for target in _targets(root, wish, graph, known):
            _change(target, wish, known, counts)
    for frame in _all(root):
        _begin_anew(frame, known, counts)
    counts["clock"] = int(now.timestamp() * 1000)
    counts["runs"] = counts["retried"] = _number(counts.get("runs")) + 1
    following["root"] = root.to_json()
    return following


def sub_flows(graph: StateGraph, position: JsonObject) -> list[str]:
    """The places at which a run of *graph* in *position* waits for other workflows that it has begun."""
    found: list[str] = []
    for frame in _all(_root(position)):
        state, place = graph.states.get(str(frame.state)), frame.local.get("place")
        if (
            state is not None
            and isinstance(state.action, SubFlow)
            and state.action.wait
            and isinstance(place, str)
        ):
            found.append(place)
    return found


def regions(graph: StateGraph) -> Iterator[Region]:
    """Every region of *graph*, those of its extensions and of what is done before its end too."""
    tops = [graph.root, *([graph.before_end] if graph.before_end is not None else [])]
    tops += [region for extension in graph.extensions for region in extension.regions]
    while tops:
        region = tops.pop()
        yield region
        for state in region.states.values():
            tops += regions_of(state.action)
            tops += [inner for extension in state.extensions for inner in extension.regions]


def hold(root: Frame, state: str | None) -> Frame:
    """The frame of a live run, which is held before its next state, that stands before *state*.

    `Rejected` if it does not stand there or has begun it: ``unknown-state``, ``state-under-way``.
    """
    leaves = list(root.leaves())
    found = [leaf for leaf in leaves if state is None or leaf.state == state]
    if not found:
        raise Rejected("unknown-state", f"the run does not stand at {state}; {_where(leaves)}", status=409)
    ready = [leaf for leaf in found if not leaf.entered]
    if not ready:
        message = f"the run has begun {found[0].state}: wait until it has ended, and the run is held before the next"
        raise Rejected("state-under-way", message, status=409)
    if len(ready) > 1:
        raise Rejected("several-states", f"say which one is meant; {_where(ready)}", status=409)
    return ready[0]


def edited(frame: Frame, wish: Wish) -> None:
    """Give the state before which *frame* is held other data, or what comes of it, as *wish* says."""
    if wish.data is not ABSENT:
        frame.data = wish.data
    if wish.context is not ABSENT:
        frame.owner.context = wish.context
    if wish.skip:
        frame.local["skipped"] = frame.data if wish.output is ABSENT else wish.output


def _root(position: JsonObject) -> Frame:
    root = position["root"]
    assert isinstance(root, dict)
    return Frame.from_json(root)


def _all(frame: Frame) -> Iterator[Frame]:
    yield frame
    for child in frame.children.values():
        yield from _all(child)


def _fits(root: Frame, known: dict[str, Region]) -> None:
    for frame in _all(root):
        region = known.get(frame.region)
        if region is None or (frame.state is not None and frame.state not in region.states):
            what = frame.state if region is not None else frame.region
            raise Rejected(
                "position-does-not-fit",
                f"this version of the workflow has no {what}, at which the run stands",
                status=409,
            )


def _failed(root: Frame) -> list[Frame]:
    """The frames in which faults arose: the innermost ones of those that they went through."""
    return [
        frame
        for frame in _all(root)
        if frame.faulted and not any(child.faulted for child in frame.children.values())
    ]


def _targets(root: Frame, wish: Wish, graph: StateGraph, known: dict[str, Region]) -> list[Frame]:
    """The frames that *wish* is about."""
    failed = _failed(root)
    if wish.state is not None:
        return [_named(root, wish.state, known)]
    if len(failed) == 1:
        return failed
    leaves = failed or list(root.leaves())
    if not failed and root.state is None:
        raise Rejected("no-failed-state", "the run had not begun a state", status=409)
    if (wish.edits or wish.skip) and len(leaves) > 1:
        raise Rejected("several-failed-states", f"say which state is meant; {_where(leaves)}", status=409)
    return failed if not (wish.edits or wish.skip) else leaves


def _named(root: Frame, state: str, known: dict[str, Region]) -> Frame:
    """The frame that stands at *state*, or else the innermost one that could."""
    frames = list(_all(root))
    at = [frame for frame in frames if frame.state == state]
    if at:
        return next((frame for frame in at if frame.faulted), at[0])
    could = [frame for frame in frames if state in known[frame.region].states]
    if not could:
        message = f"{state} is no state of the regions in which the run stands; {_where(list(root.leaves()))}"
        raise Rejected("unknown-state", message, status=409)
    return next((frame for frame in reversed(could) if frame.faulted), could[-1])


def _where(frames: list[Frame]) -> str:
    return "it stands at " + (", ".join(str(frame.state) for frame in frames[:20]) or "no state")


def _change(frame: Frame, wish: Wish, known: dict[str, Region], counts: JsonObject) -> None:
    if wish.context is not ABSENT:
        frame.owner.context = wish.context
    if wish.state is not None and frame.state != wish.state:
        _jump(frame, wish, known)
    elif wish.skip:
        given = frame.input if frame.entered else frame.data
        local: JsonObject = {"skipped": given if wish.output is ABSENT else wish.output}
        _reset(frame, local)
    elif wish.data is not ABSENT:
        frame.data = wish.data
        _reset(frame, {})
    elif wish.state is not None and frame.children:
        _reset(frame, {})  # all of it is asked for
    else:
        _again(
            frame, known[frame.region].states.get(str(frame.state)), keep=not wish.edits and not wish.renew
        )


def _jump(frame: Frame, wish: Wish, known: dict[str, Region]) -> None:
    assert wish.state is not None
    entry = known[frame.region].entry
    if wish.data is ABSENT:
        if frame.parent is None and isinstance(entry, GoTo) and entry.state == wish.state:
            frame.at(wish.state)
            frame.state = None  # from the beginning: the input is what it gets
            frame.context = {} if wish.context is ABSENT else wish.context
            return
        raise Rejected(
            "data-needed",
            f"what {wish.state} got is not kept: say with which data the run is to go on from there",
            status=409,
        )
    frame.data = wish.data
    frame.at(wish.state)
    if wish.skip:
        frame.local["skipped"] = wish.data if wish.output is ABSENT else wish.output


def _reset(frame: Frame, local: JsonObject) -> None:
    """Stand before the state, with nothing done of it."""
    frame.entered, frame.input, frame.children, frame.faulted = False, None, {}, False
    frame.local, frame.execution = local, 0


def _again(frame: Frame, state: State | None, *, keep: bool) -> None:
    """Let the state begin once more. What it has done inside stays done, and so does what came before its fault."""
    for slot in [slot for slot, child in frame.children.items() if child.state is None]:
        del frame.children[slot]  # not begun: what decides whether it is begun had failed
    if frame.children:
        return  # its time was up: it goes on inside
    kept = {"place", "extensions"}
    if state is not None and isinstance(state.action, Event | ForEach | Parallel | Compensate):
        kept |= set(frame.local)
    if not keep:
        kept.discard("place")
    _reset(frame, {name: value for name, value in frame.local.items() if name in kept})


def _begin_anew(frame: Frame, known: dict[str, Region], counts: JsonObject) -> None:
    """Let the times of a state count from now; it is no longer one that faulted."""
    state = known[frame.region].states.get(str(frame.state))
    for name in TIMES:
        frame.local.pop(name, None)
    if state is not None and isinstance(state.action, Try):
        for name in ATTEMPTS if frame.faulted else ("until",):
            frame.local.pop(name, None)
    elif state is not None and not isinstance(state.action, Sleep) and "skipped" not in frame.local:
        frame.local.pop("until", None)
    frame.faulted = False
    if frame.execution:
        key = f"{frame.state}/task"
        frame.execution = _number(counts.get(key)) + 1
        counts[key] = frame.execution


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0
