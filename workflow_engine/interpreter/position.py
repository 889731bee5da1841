"""Where a run is, as data: a tree of frames.

A frame stands in one region at one state. A state that holds regions (a loop, a try, a fork) has a child
frame for each region that is being walked, so the leaves are what the run is doing now. The tree is kept up
to date while the run walks, and is all that is needed to go on from there: `Frame.to_json` at a state
boundary, `Frame.from_json`, and `run` with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.attempts import Retrying


class Ended(Exception):
    """The run is over by an ``end``, from however deep. No `try` sees it.

    *output* is that state's, and *context* what it saw: that of its branch, for the others are given up.
    """

    def __init__(self, output: Json, context: Json) -> None:
        super().__init__("end")
        self.output, self.context = output, context


class TimeUp(Exception):
    """The time of a run is up that is not to be interrupted: it stops before its next state (decision B18)."""


class Continued(Exception):
    """The run is over and goes on as a run of another workflow, under the same id (DSL 0.8 ``continueAs``).

    *timeout* is the ``workflowExecTimeout`` that takes the place of that workflow's own. *state* is where it ended.
    """

    def __init__(
        self, namespace: str, name: str, version: str | None, input: Json, timeout: Json, state: str
    ) -> None:
        super().__init__(f"continue as {namespace}/{name}")
        self.namespace, self.name, self.version = namespace, name, version
        self.input, self.timeout, self.state = input, timeout, state


LEFT = "left"
"""What a frame's `Frame.local` has once its region is left: the output, and whether that leaves a loop."""
DOUBLINGS = 10
"""How often what a branch has may double before it is looked how much it is (`growth`)."""


@dataclass(slots=True)
class Frame:
    """One region being walked.

    *data* is the raw input of *state*; once *entered*, *input* is what the state's action sees of it.
    *local* is the progress of that action (iteration, attempt, deadline, results), always JSON.
    *execution* counts the times that *state* was begun, where somebody wants to hear of them. *faulted*: a fault of
    *state* has left it, and nothing there caught it.
    *variables* are bound for the region and everything inside it. *branch*: the frame has a context of its
    own (the root, and each branch of a fork, decision A34); the frames below share it.
    *retrying*: the body of a `Try` around one call; it is made anew by whoever goes on from here. *after*: the state
    before, as long as this one is not entered, if it is what comes after that in any case. *task* is what *state* is
    done in, while it is (`Effects.current_task`); *interrupted*: it is to be left there (`skipping`).
    *doublings* are how often what a *branch* has may yet double until it is looked at (`growth`).
    """

    region: str
    data: Json
    state: str | None = None
    entered: bool = False
    input: Json = None
    started: float = 0.0
    execution: int = 0
    local: JsonObject = field(default_factory=dict)
    variables: JsonObject = field(default_factory=dict)
    children: dict[str, Frame] = field(default_factory=dict)
    branch: bool = False
    context: Json = None
    parent: Frame | None = None
    doing: str | None = None
    faulted: bool = False
    retrying: Retrying | None = None
    after: str | None = None
    task: object = None
    interrupted: bool = False
    doublings: int = DOUBLINGS

    def at(self, state: str, after: str | None = None) -> None:
        """Stand before *state*, with nothing of the state before left but that it was done (`after`)."""
        self.state = state
        self.entered = False
        self.input = None
        self.execution = 0
        self.local = {}
        self.children = {}
        self.doing = None
        self.faulted = False
        self.after = after
        self.task, self.interrupted = None, False

    def over(self, output: Json, breaks: bool) -> None:
        """Have left the region with *output*: it is known until whoever walked it has taken that."""
        self.local, self.children, self.doing, self.execution = {LEFT: [output, breaks]}, {}, None, 0

    @property
    def left(self) -> tuple[Json, bool] | None:
        """What the region was left with, and whether a loop is left by that; None while it is being walked."""
        left = self.local.get(LEFT)
        return (left[0], left[1] is True) if isinstance(left, list) else None

    def child(self, slot: str, region: str, data: Json, variables: JsonObject | None = None) -> Frame:
        """The frame for *region* at *slot*: the one that is there, after a resume, or a new one."""
        present = self.children.get(slot)
        if present is None:
            present = Frame(region, data, variables=variables or {}, parent=self)
            self.children[slot] = present
        return present

    def fork(self, slot: str, region: str, data: Json) -> Frame:
        """Like `child`, for a branch that has a context of its own: a copy of this one's."""
        present = self.children.get(slot)
        if present is None:
            present = self.child(slot, region, data)
            present.branch, present.context = True, self.owner.context
        return present

    @property
    def owner(self) -> Frame:
        """The frame that holds the context seen here."""
        frame = self
        while not frame.branch and frame.parent is not None:
            frame = frame.parent
        return frame

    @property
    def beside(self) -> bool:
        """Whether this is in a branch: others may go on meanwhile."""
        frame = self
        while frame.parent is not None:
            if frame.branch:
                return True
            frame = frame.parent
        return False

    def lexical(self) -> JsonObject:
        """The variables bound here and around here; inner ones hide outer ones."""
        bound: JsonObject = {}
        frame: Frame | None = self
        while frame is not None:
            for name, value in frame.variables.items():
                bound.setdefault(name, value)
            frame = frame.parent
        return bound

    def leaves(self) -> Iterator[Frame]:
        """The frames that stand at a state with nothing below it that goes on, in branch order."""
        under_way = [child for child in self.children.values() if child.left is None]
        if under_way:
            for child in under_way:
                yield from child.leaves()
        elif self.state is not None:
            yield self

    def places(self) -> Iterator[str]:
        """The ids of what is under way: of the executions (`effects.Place`) at which it stands."""
        place = self.local.get("place")
        if isinstance(place, str):
            yield place
        for child in self.children.values():
            yield from child.places()

    def to_json(self) -> JsonObject:
        encoded: JsonObject = {"region": self.region, "data": self.data, "state": self.state}
        if self.entered:
            encoded["input"] = self.input
            encoded["started"] = self.started
        elif self.after is not None:
            encoded["after"] = self.after
        if self.execution:
            encoded["execution"] = self.execution
        if self.local:
            encoded["local"] = self.local
        if self.variables:
            encoded["variables"] = self.variables
        if self.branch:
            encoded["context"] = self.context
        if self.faulted:
            encoded["faulted"] = True
        if self.children:
            encoded["children"] = {slot: child.to_json() for slot, child in self.children.items()}
        return encoded

    @classmethod
    def from_json(cls, encoded: JsonObject, parent: Frame | None = None) -> Frame:
        state, started = encoded["state"], encoded.get("started", 0.0)
        local, variables = encoded.get("local", {}), encoded.get("variables", {})
        children, execution = encoded.get("children", {}), encoded.get("execution", 0)
        after = encoded.get("after")
        assert isinstance(execution, int)
        assert isinstance(local, dict)
        assert isinstance(variables, dict)
        assert isinstance(children, dict)
        assert isinstance(started, float | int)
        frame = cls(
            region=str(encoded["region"]),
            data=encoded["data"],
            state=None if state is None else str(state),
            entered="input" in encoded,
            input=encoded.get("input"),
            started=float(started),
            execution=execution,
            local=local,
            variables=variables,
            branch="context" in encoded,
            context=encoded.get("context"),
            parent=parent,
            faulted=encoded.get("faulted") is True,
            after=after if isinstance(after, str) else None,
        )
        for slot, child in children.items():
            assert isinstance(child, dict)
            frame.children[slot] = cls.from_json(child, frame)
        return frame
