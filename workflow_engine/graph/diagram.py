"""A graph as a flow chart: nodes in boxes, and arrows; what `render` writes down in one format or another.

Every state is one node, and a `Sequence` is the box around its states. The other regions are boxes beside
the state they belong to: an arrow leads into them, and one leads on from where they are left. Arrows go
straight to the next thing done, across the edges of boxes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never

from workflow_engine.graph import captions
from workflow_engine.graph.beginnings import beginning
from workflow_engine.graph.model import (
    End,
    Event,
    Exit,
    ForEach,
    GoTo,
    Parallel,
    Region,
    Sequence,
    State,
    StateGraph,
    StateId,
    Switch,
    Transition,
)
from workflow_engine.graph.outline import Part, Way, parts, ways
from workflow_engine.graph.phrases import LISTED, NAME, SUMMARY, clip

START = "start"
FINISH = "finish"


@dataclass(frozen=True, slots=True)
class Node:
    """One figure. *kind* is that of `captions.kind`, or ``start``, ``finish``, ``join``, ``if``, ``missing``,
    ``empty`` for what is no state. *state* is which one it is.
    """

    id: str
    kind: str
    lines: tuple[str, ...]
    state: StateId | None = None


@dataclass(slots=True)
class Box:
    """A frame around figures, never empty. *kind* ``sequence`` is a state, ``region`` is part of one."""

    id: str
    kind: str
    title: str
    contents: list[Item] = field(default_factory=list)


Item: TypeAlias = Node | Box


@dataclass(frozen=True, slots=True)
class Arrow:
    """From *tail* to *head*, both ids of nodes. *dotted*: not the usual course of things."""

    tail: str
    head: str
    lines: tuple[str, ...]
    dotted: bool


@dataclass(frozen=True, slots=True)
class Diagram:
    """What is drawn, in document order."""

    title: str
    contents: tuple[Item, ...]
    arrows: tuple[Arrow, ...]


def draw(graph: StateGraph) -> Diagram:
    """The flow chart of *graph*; a transition to a state that does not exist leads to a node that says so."""
    return _Drawing().draw(graph)


@dataclass(slots=True)
class _Placed:
    """A region whose figures exist. By state: *entries* is the node at which it begins, *heads* the one from
    which its own ways lead, *joins* the one where its branches meet. *begin* is the node at which the
    region itself begins where it is the body of a sequence, *empty* that of one that does nothing.
    """

    region: Region
    box: list[Item]
    begin: str = ""
    empty: str = ""
    entries: dict[StateId, str] = field(default_factory=dict)
    heads: dict[StateId, str] = field(default_factory=dict)
    joins: dict[StateId, str] = field(default_factory=dict)
    inner: dict[StateId, list[tuple[Part, _Placed]]] = field(default_factory=dict)
    missing: dict[StateId, str] = field(default_factory=dict)


class _Drawing:
    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._arrows: dict[tuple[str, str, bool], list[str]] = {}

    def draw(self, graph: StateGraph) -> Diagram:
        begin = beginning(graph)
        contents: list[Item] = [Node(START, "start", (begin,))]
        root = self._place(graph.root, contents)
        first = self._target(root, graph.root.entry, FINISH, FINISH)
        self._arrow(START, first)
        if graph.trigger is not None and graph.trigger.state in root.entries:
            self._arrow(START, root.entries[graph.trigger.state])
        self._connect(root, FINISH, FINISH)
        if any(head == FINISH for _, head, _ in self._arrows):
            contents.append(Node(FINISH, "finish", ("end",)))
        arrows = tuple(
            Arrow(tail, head, _labels(lines), dotted) for (tail, head, dotted), lines in self._arrows.items()
        )
        return Diagram(clip(graph.title or str(graph.name)), tuple(contents), arrows)

    # --- figures ------------------------------------------------------------------------------------------

    def _place(self, region: Region, box: list[Item]) -> _Placed:
        """Put the figures of *region* into *box*, and those of the regions inside it into boxes of their own."""
        placed = _Placed(region, box)
        for id, state in region.states.items():
            if isinstance(state.action, Sequence):
                self._place_sequence(placed, id, state)
                continue
            head = Node(self._id("s"), captions.kind(state.action), _lines(state), id)
            box.append(head)
            placed.entries[id] = placed.heads[id] = head.id
            inner = placed.inner[id] = []
            for part in parts(state):
                frame = Box(self._id("r"), "region", clip(part.title, NAME))
                inner.append((part, self._place(part.region, frame.contents)))
                if frame.contents:
                    box.append(frame)
            if isinstance(state.action, Parallel) and state.action.branches:
                action = state.action
                word = captions.joined(len(action.branches), action.need, race=action.race)
                join = Node(self._id("j"), "join", (word,))
                box.append(join)
                placed.joins[id] = join.id
        return placed

    def _place_sequence(self, placed: _Placed, id: StateId, state: State) -> None:
        """A sequence is a box, and begins where its body begins; its condition is a figure of its own."""
        notes = captions.notes(replace(state, when=None))
        frame = Box(self._id("s"), "sequence", " · ".join(filter(None, (clip(state.name, NAME), *notes))))
        placed.box.append(frame)
        if state.when is not None:
            question = Node(self._id("i"), "if", (f"if {captions.condition(state.when)}",))
            frame.contents.append(question)
            placed.heads[id] = question.id
        (part,) = parts(state)
        body = self._place(part.region, frame.contents)
        placed.inner[id] = [(part, body)]
        entry = part.region.entry
        if isinstance(entry, GoTo):
            body.begin = self._target(body, entry, "", "")
        else:
            nothing = Node(self._id("e"), "empty", ("nothing to do",))
            frame.contents.append(nothing)
            body.begin = body.empty = nothing.id
        placed.entries[id] = placed.heads.setdefault(id, body.begin)

    def _id(self, letter: str) -> str:
        self._count[letter] = number = self._count.get(letter, 0) + 1
        return f"{letter}{number}"

    # --- arrows -------------------------------------------------------------------------------------------

    def _connect(self, placed: _Placed, leave: str, breaks: str) -> None:
        """Draw the arrows of a region that is left to the node *leave*, or *breaks* when a loop is left."""
        for id, state in placed.region.states.items():
            after = self._target(placed, state.next, leave, breaks)
            self._connect_parts(placed, id, state, after, leave, breaks)
            begin = placed.joins.get(id)
            for way in ways(state):
                tail = placed.heads[id] if begin is None or way.kind == "skip" else begin
                self._connect_way(placed, tail, way, after, leave, breaks)

    def _connect_way(self, placed: _Placed, tail: str, way: Way, after: str, leave: str, breaks: str) -> None:
        head = self._target(placed, way.then, leave, breaks)
        if way.kind == "skip" and head == after and (tail, head, False) in self._arrows:
            return
        self._arrow(tail, head, way.label, dotted=way.kind in {"skip", "expired", "caught"})

    def _connect_parts(
        self, placed: _Placed, id: StateId, state: State, after: str, leave: str, breaks: str
    ) -> None:
        """The arrows into the regions of *state*, within them, and on from there."""
        head = placed.heads[id]
        again = isinstance(state.action, ForEach | Event)
        for part, inner in placed.inner[id]:
            if part.then is not None:
                onward = left = self._target(placed, part.then, leave, breaks)
            else:
                onward, left = (head, after) if again else (placed.joins[id], placed.joins[id])
            if isinstance(state.action, Sequence):
                self._connect_sequence(state, head, inner, onward)
            else:
                begin = self._target(inner, part.region.entry, onward, left)
                if not (begin == head and again):
                    self._arrow(head, begin, part.label, dotted=part.role == "catch")
            self._connect(inner, onward, left)

    def _connect_sequence(self, state: State, head: str, body: _Placed, onward: str) -> None:
        if state.when is not None:
            self._arrow(head, body.begin, "yes")
        if body.empty:
            self._arrow(body.empty, FINISH if isinstance(body.region.entry, End) else onward)

    def _target(self, placed: _Placed, transition: Transition, leave: str, breaks: str) -> str:
        """The node to which *transition* of a region leads."""
        match transition:
            case GoTo(state):
                if state in placed.entries:
                    return placed.entries[state]
                if state not in placed.missing:
                    node = Node(self._id("m"), "missing", (f"there is no state {clip(state, NAME)}",))
                    placed.box.append(node)
                    placed.missing[state] = node.id
                return placed.missing[state]
            case Exit(breaks=broken):
                return breaks if broken else leave
            case End():
                return FINISH
            case _:
                assert_never(transition)

    def _arrow(self, tail: str, head: str, label: str = "", *, dotted: bool = False) -> None:
        lines = self._arrows.setdefault((tail, head, dotted), [])
        if label and label not in lines:
            lines.append(label)


def _lines(state: State) -> tuple[str, ...]:
    """The text of a state's figure; that of a switch stands on its arrows."""
    does = "" if isinstance(state.action, Switch) else captions.summary(state.action)
    lines = dict.fromkeys((clip(state.name, NAME), does, *captions.notes(state)))
    return tuple(line for line in lines if line)


def _labels(lines: list[str]) -> tuple[str, ...]:
    """The labels of an arrow that stands for several, each on a line; not more than fit."""
    if len(lines) <= LISTED:
        return tuple(clip(line, SUMMARY) for line in lines)
    return (*lines[: LISTED - 1], f"and {len(lines) - LISTED + 1} more")
