"""Whether a run may go on with another version of its workflow, and where it stands there.

A position is of a graph. In another one it may be gone on from if all that the run stands at, and what is around that,
is there too and does the same kind of thing: states are known by their names within their region, wherever they stand
in it, or as *names* says. What a state that has begun keeps of its progress must mean the same to the other one. A run
that stands between two states goes on with what comes after the first of them there.

Ids of what is under way (`Frame.local["place"]`) stay: the router and Temporal know listeners and sub-flows by them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workflow_engine.expressions import Expression, Template
from workflow_engine.graph.model import (
    Action,
    Compensate,
    End,
    Event,
    Exit,
    GoTo,
    Operation,
    Parallel,
    Region,
    State,
    StateGraph,
    SubFlow,
    Try,
    regions_of,
)
from workflow_engine.values import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why a run cannot move: *why* of the state at that pointer, ``""`` for the workflow."""

    state: str
    why: str

    def to_json(self) -> JsonObject:
        return {"state": self.state, "why": self.why}


@dataclass(slots=True)
class Moved:
    """The *position* in the other graph, if there are no *hindrances*. *remarks* are what a person should know."""

    position: JsonObject | None = None
    hindrances: list[Hindrance] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def moved(position: JsonObject, old: StateGraph, new: StateGraph, names: Mapping[str, str]) -> Moved:
    """*position*, of a run of *old*, in *new*; *names* are pointers of states in *old* and in *new*."""
    return _Moving(old, new, names).of(position)


class _Moving:
    def __init__(self, old: StateGraph, new: StateGraph, names: Mapping[str, str]) -> None:
        self._old, self._new, self._names = old, new, names
        self._result = Moved()
        self._known: dict[str, str] = {}
        """What the states of the old graph are called in the new one."""
        self._match(old.root, new.root)
        if old.before_end is not None and new.before_end is not None:
            self._match(old.before_end, new.before_end)
        for extension in old.extensions:
            for other in new.extensions:
                if other.name == extension.name and len(other.regions) == len(extension.regions):
                    for region, same in zip(extension.regions, other.regions, strict=True):
                        self._match(region, same)

    def of(self, position: JsonObject) -> Moved:
        old, new = self._old, self._new
        if (old.name.namespace, old.name.name) != (new.name.namespace, new.name.name):
            self._hinder("", f"it is another workflow: {new.name.namespace}/{new.name.name}")
        if old.dialect != new.dialect:
            self._hinder("", f"it is written in DSL {new.dialect}, and was in DSL {old.dialect}")
        if old.input_is_context != new.input_is_context:
            self._hinder("", "$context does not begin as it did")
        for given, wanted in self._names.items():
            if given not in old.states or wanted not in new.states:
                missing = given if given not in old.states else wanted
                self._hinder(missing, "no such state, though it is to be mapped")
        root = position["root"]
        assert isinstance(root, dict)
        ending = old.before_end is not None and root["region"] == old.before_end.id
        regions = (old.before_end, new.before_end) if ending else (old.root, new.root)
        frame = self._frame(root, *regions)
        completed = position.get("completed", [])
        assert isinstance(completed, list)
        for state in completed:
            if state not in self._known:
                self._hinder(
                    str(state), "it was completed and may have to be undone, and is not there any more"
                )
        if self._result.hindrances:
            return self._result
        counts = position["counts"]
        assert isinstance(counts, dict)
        self._result.position = {
            **position,
            "root": frame,
            "counts": {**counts, **{self._renamed(key): count for key, count in counts.items()}},
            "completed": [self._known[str(state)] for state in completed],
        }
        return self._result

    # --- which state is which -----------------------------------------------------------------------------

    def _match(self, old: Region, new: Region) -> None:
        taken = set(self._names.values())
        called: dict[str, list[State]] = {}
        for state in new.states.values():
            called.setdefault(state.name, []).append(state)
        for state in old.states.values():
            wanted = self._names.get(state.id)
            if wanted is not None:
                other = new.states.get(wanted)
            else:
                found = [each for each in called.get(state.name, []) if each.id not in taken]
                other = found[0] if len(found) == 1 else None
            if other is None:
                continue
            self._known[state.id] = other.id
            inner, same = regions_of(state.action), regions_of(other.action)
            if len(inner) == len(same):
                for region, counterpart in zip(inner, same, strict=True):
                    self._match(region, counterpart)

    def _renamed(self, key: str) -> str:
        """The key of a count, which begins with the pointer of a state, for the state of the new graph."""
        place = key
        while place:
            if place in self._known:
                return self._known[place] + key[len(place) :]
            place = place.rpartition("/")[0]
        return key

    def _hinder(self, state: str, why: str) -> None:
        self._result.hindrances.append(Hindrance(state, why))

    # --- where it stands ----------------------------------------------------------------------------------

    def _frame(self, frame: JsonObject, old: Region | None, new: Region | None) -> JsonObject:
        if old is None or new is None:
            self._hinder("", "what is done before its end is not there any more")
            return frame
        state = frame["state"]
        if state is None:
            return {**frame, "region": new.id}
        if (rerouted := self._between(frame, old, new)) is not None:
            return rerouted
        before = old.states.get(str(state))
        after = new.states.get(self._known.get(str(state), ""))
        if before is None or after is None:
            self._hinder(
                str(state),
                "the run stands there, and no such state is there any more; map it to another",
            )
            return frame
        self._passed(old, new, before, after)
        if not self._alike(before, after, begun="input" in frame):
            return frame
        children = frame.get("children", {})
        assert isinstance(children, dict)
        inside = {
            slot: self._child(child, before, after)
            for slot, child in children.items()
            if isinstance(child, dict)
        }
        made: JsonObject = {**frame, "region": new.id, "state": after.id}
        if inside:
            made["children"] = {**inside}
        return made

    def _between(self, frame: JsonObject, old: Region, new: Region) -> JsonObject | None:
        """A frame that stands between two states, the first of which is done: it goes on with what comes after that in
        the new version. None: that is the same state as before, or there is no telling.
        """
        done, local = str(frame.get("after")), frame.get("local")
        first, other = old.states.get(done), new.states.get(self._known.get(done, ""))
        if first is None or other is None or frame["state"] in self._names or local:
            return None
        if not isinstance(first.next, GoTo) or first.next.state != frame["state"]:
            return None
        second = self._known.get(first.next.state)
        if isinstance(other.next, GoTo) and other.next.state == second:
            return None
        order = list(new.states)
        if second is not None and order.index(second) < order.index(other.id):
            self._result.remarks.append(f"{first.next.state} was next, and comes earlier now: it is not done")
        self._passed(old, new, first, other)
        made: JsonObject = {**frame, "region": new.id}
        if isinstance(other.next, GoTo):
            return {**made, "state": other.next.state, "after": other.id}
        return {**made, "state": other.id, "local": {"done": frame["data"]}}  # it was the last one

    def _child(self, child: JsonObject, before: State, after: State) -> JsonObject:
        regions, others = _regions(before), _regions(after)
        for region, other in zip(regions, others, strict=False):
            if region.id == child["region"]:
                return self._frame(child, region, other)
        self._hinder(before.id, "it is inside a part of this state that is not there any more")
        return child

    def _passed(self, old: Region, new: Region, before: State, after: State) -> None:
        """Remark on states that are new and come before the one where the run stands: they are not made up for."""
        known = {self._known.get(id) for id in old.states}
        for state in new.states.values():
            if state.id == after.id:
                break
            if state.id not in known:
                self._result.remarks.append(
                    f"{state.id} is new and stands before {before.id}: it is not done"
                )

    def _alike(self, before: State, after: State, *, begun: bool) -> bool:
        """Whether what *before* has done so far means the same to *after*; else it is told why not."""
        old, new = before.action, after.action
        if type(old) is not type(new):
            then, now = type(old).__name__.lower(), type(new).__name__.lower()
            self._hinder(before.id, f"the run stands there, and that was of the kind {then} and is {now} now")
            return False
        if not begun:
            return True
        names = [extension.name for extension in before.extensions]
        if names != [extension.name for extension in after.extensions]:
            self._hinder(before.id, "it has begun, and other extensions extend it now")
        elif isinstance(old, Compensate):
            self._hinder(before.id, "it is undoing what was done, by the old version")
        elif _parts(old) != _parts(new):
            self._hinder(before.id, "it has begun, and has other branches or parts now")
        elif isinstance(old, Try) and isinstance(new, Try):
            if (old.catch.variable, old.catch.body is None) != (new.catch.variable, new.catch.body is None):
                self._hinder(before.id, "it has begun, and catches in another way now")
        elif isinstance(old, Operation) and isinstance(new, Operation):
            if old.kind != new.kind:
                self._hinder(before.id, f"it has begun, and calls {new.kind} now, not {old.kind}")
        elif isinstance(old, Event | SubFlow | Parallel) or regions_of(old):
            strict = isinstance(old, Event)
            if isinstance(old, SubFlow) and isinstance(new, SubFlow) and old.version != new.version:
                self._result.remarks.append(
                    f"{before.id} runs {new.name} {new.version or 'latest'} now: the run of it that is under way goes "
                    "on as what it is, unless it is moved too"
                )
                new = dataclasses.replace(new, version=old.version)
            for member in dataclasses.fields(old):
                if _shape(getattr(old, member.name), strict) != _shape(getattr(new, member.name), strict):
                    self._hinder(before.id, f"it has begun, and its {member.name} is another now")
        return not any(each.state == before.id for each in self._result.hindrances)


def _parts(action: Action) -> Json:
    """What *action* consists of: the names of branches, or how many regions there are."""
    regions = regions_of(action)
    return [region.name for region in regions] if isinstance(action, Parallel) else len(regions)


def _regions(state: State) -> list[Region]:
    """The regions inside *state*, with those of what extends it."""
    return [*regions_of(state.action), *(region for each in state.extensions for region in each.regions)]


def _shape(value: Any, strict: bool) -> Json:
    """*value* without regions, in which a run may stand, and without expressions, which may be others; *strict*: with
    the source of these.
    """
    if isinstance(value, Region):
        return "region"
    if isinstance(value, GoTo | Exit | End):
        return "transition"
    if isinstance(value, Expression | Template):
        return ["expression", value.source] if strict else "expression"
    if isinstance(value, tuple | list):
        return [_shape(item, strict) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _shape(item, strict) for key, item in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _shape(getattr(value, each.name), strict) for each in dataclasses.fields(value)}
    return repr(value)
