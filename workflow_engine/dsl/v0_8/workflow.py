"""Lower a whole DSL 0.8 document: its states are one region, its definitions are looked up by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from itertools import chain

from workflow_engine import expressions
from workflow_engine.dsl import definition_files
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.schema_resources import pinned
from workflow_engine.dsl.v0_8 import (
    definitions,
    earlier,
    errors,
    operations,
    regions,
    schedules,
    states,
    transitions,
)
from workflow_engine.dsl.v0_8.expression_slots import ExpressionLowering
from workflow_engine.dsl.v0_8.timeouts import check_common, state_timeout, workflow_timeout
from workflow_engine.dsl.v0_8.variables import mentions
from workflow_engine.expressions import Expression
from workflow_engine.expressions.schemas import Schema
from workflow_engine.graph.model import (
    DataStep,
    End,
    Event,
    GoTo,
    Region,
    State,
    StateGraph,
    Timing,
    Transform,
    Transition,
    Trigger,
    Validate,
    WorkflowName,
)
from workflow_engine.values import Duration, Json, JsonObject

_ADDRESSABLE = re.compile(r"[^/\s\x00-\x1f][^/\x00-\x1f]{0,199}")


class WorkflowLowering(ExpressionLowering):
    """A DSL 0.8 document on its way to a graph; *functions* and *events* are its definitions by name."""

    def __init__(
        self,
        document: Document,
        resources: Mapping[str, Json] | None = None,
        *,
        lost: frozenset[str] = frozenset(),
    ) -> None:
        super().__init__(definition_files.expanded(document, resources), lost=lost)
        self.resources = resources
        assert isinstance(document.data, dict)
        definition_files.check(self, document.data, deployed=resources is not None)
        self.functions = definitions.named(self, "functions")
        self.events = definitions.named(self, "events")
        self.auth = definitions.named(self, "auth")
        self.errors = definitions.named(self, "errors")
        self.retries = definitions.named(self, "retries")
        self.states = regions.undoing(self, definitions.objects(self.data.get("states")))
        self.bodies = {f"/states/{number}": state for number, state in enumerate(self.states)}
        self.broken: set[str] = set()
        self.names: dict[str, str] = {}
        self.ids: dict[str, str] = {}
        self.start: Transition = End()
        self.extra: dict[str, State] = {}
        self.compensations: dict[str, Region] = {}
        self.undoing: dict[str, GoTo] = {}
        self.compensating = False
        self.before_end: GoTo | None = None
        for number, state in enumerate(self.states):
            self._identify(number, str(state.get("name")), "name", self.names)
            if "id" in state:
                self._identify(number, str(state["id"]), "id", self.ids)

    @cached_property
    def tells_status(self) -> bool:
        """Whether the document asks for the HTTP status of the last answer, as SonataFlow tells it."""
        return b"$WORKFLOW.statusCode" in self.written and mentions(self.data, "$WORKFLOW.statusCode")

    def _identify(self, number: int, text: str, key: str, known: dict[str, str]) -> None:
        if text in known:
            message = f"two states have the {key} {text!r}; rename one"
            self.problem("duplicate-state", message, f"/states/{number}/{key}")
        known.setdefault(text, f"/states/{number}")

    def lower(self) -> StateGraph:
        """The graph; what is wrong is in `problems`."""
        definitions.check(self)
        earlier.check(self)
        errors.check(self)
        check_common(self)
        start = self.start = self._start()
        lowered = {id: self._state(id, body) for id, body in self.bodies.items()}
        self.compensating = False
        timeout, interrupt = workflow_timeout(self)
        root, before_end = regions.divided(self, lowered)
        constants = self.data.get("constants")
        return StateGraph(
            name=self._name(),
            dialect="0.8",
            root=root,
            source=self.data,
            timeout=timeout,
            interrupt=interrupt,
            before_end=before_end,
            enter=self._enter(),
            leave=self._leave(),
            trigger=self._trigger(start, lowered),
            schedule=schedules.schedule(self),
            title=str(self.data.get("name") or ""),
            summary=str(self.data.get("description") or ""),
            constants=constants if isinstance(constants, dict) else {},
            lifecycle=self.lifecycle(self.data.get("metadata"), "/metadata"),
            express=self.express(self.data.get("metadata"), "/metadata"),
            keys=self.keys(self.data.get("metadata"), "/metadata"),
        )

    def _enter(self) -> tuple[DataStep, ...]:
        """The input is an object, and none is an empty one (specification 0.8, "Workflow Data Input").

        Then it is checked, unless events start the run (decision B39).
        """
        whole = (
            Transform(expressions.compile("if . == null then {} else . end", variables=())),
            Validate(Schema({"type": "object"}), "input"),
        )
        written = self.data.get("dataInputSchema")
        details: JsonObject = written if isinstance(written, dict) else {"schema": written}
        schema = self._pinned_schema(details.get("schema"), "/dataInputSchema")
        fatal = details.get("failOnValidationErrors", True) is not False
        return whole if schema is None else (*whole, Validate(schema, "input", fatal=fatal, given=True))

    def _leave(self) -> tuple[DataStep, ...]:
        """The output is checked where SonataFlow's extension has a schema for it."""
        address, fatal = operations.output_schema(self.data)
        schema = self._pinned_schema(address, "/extensions")
        return () if schema is None else (Validate(schema, "output", fatal=fatal),)

    def _pinned_schema(self, address: Json, at: str) -> Schema | None:
        if not isinstance(address, str) or self.resources is None:
            return None
        try:
            return pinned({}, address, self.resources)
        except ValueError as error:
            self.problem("invalid-schema", f"this is not a usable JSON Schema: {error}", at)
        return None

    def _name(self) -> WorkflowName:
        key = "id" if "id" in self.data else "key"
        name, version = str(self.data.get(key)), str(self.data.get("version") or "1.0")
        for place, text in ((key, name), ("version", version)):
            if "${" in text:
                message = f"the {place} must be literal, not an expression (decision B44)"
                self.problem("invalid-value", message, f"/{place}")
            elif text in {".", ".."} or not _ADDRESSABLE.fullmatch(text):
                message = (
                    f"{text!r} cannot be part of an address: no slash, no control character, 200 at most, and not "
                    "`.` or `..`"
                )
                self.problem("invalid-name", message, f"/{place}")
        return WorkflowName("default", name, version)

    def undefined(self, kind: str, name: str, at: str) -> None:
        """Report that no *kind* (function, event, error, retry) is called *name*.

        What another file defines is not known.
        """
        kinds = {
            "function": ("functions", self.functions),
            "event": ("events", self.events),
            "error": ("errors", self.errors),
            "retry": ("retries", self.retries),
        }
        key, known = kinds[kind]
        if not isinstance(self.data.get(key), str):
            self.unknown(f"unknown-{kind}", kind, name, known, at)

    # --- states -------------------------------------------------------------------------------------------

    def _start(self) -> Transition:
        start = self.data.get("start")
        if start is None:
            return GoTo("/states/0")
        if not isinstance(start, dict):
            return self.to(str(start), "/start")
        return self.to(str(start.get("stateName")), "/start/stateName")

    @property
    def starts_by_event(self) -> bool:
        """Whether the workflow begins with an event state."""
        return isinstance(self.start, GoTo) and self.body_of(self.start.state).get("type") == "event"

    def body_of(self, id: str) -> JsonObject:
        """The state with the pointer *id*, as it is written."""
        return self.bodies[id]

    def to(self, name: str, at: str) -> Transition:
        """Go to the state called *name*, or else with that id (decision B35)."""
        found = self.names.get(name) or self.ids.get(name)
        if found is not None:
            compensates = bool(self.body_of(found).get("usedForCompensation"))
            if compensates != self.compensating:
                message = (
                    f"{name!r} is a compensation state, to which only `compensatedBy` and its like lead"
                    if compensates
                    else f"{name!r} is no compensation state; one that is leads to its like alone"
                )
                self.problem("misplaced-compensation", message, at)
            return GoTo(found)
        self.unknown("unknown-state", "state", name, chain(self.names, self.ids), at)
        return End()

    def _trigger(self, start: Transition, lowered: dict[str, State]) -> Trigger | None:
        """An event state that the workflow starts with starts it (dsl.md §2.2); an event switch does not."""
        if not isinstance(start, GoTo):
            return None
        state = lowered[start.state]
        body = self.body_of(state.id)
        if body.get("type") != "event" or not isinstance(state.action, Event):
            return None
        kept, strategy = self.data.get("keepActive") is True, state.action.strategy
        within: Duration | None = None
        if strategy.mode == "all" and len(strategy.filters) > 1:
            within = self._within(state.action.timeout, f"{state.id}/timeouts/eventTimeout", kept=kept)
        return Trigger(strategy, state.action.channel, "envelope", state.id, kept, within)

    def _within(self, timeout: Timing | None, at: str, *, kept: bool) -> Duration | None:
        """``eventTimeout`` of a start state that waits for all of its events: the longest time from the first one
        to the last, or else there is no run (dsl.md §2.9).
        """
        if isinstance(timeout, Expression):
            what = "an expression as the `eventTimeout` of the events that start a run, which would have to exist"
            self.unsupported(what, at)
            return None
        if timeout is not None and kept:
            what = (
                "`eventTimeout` of the start state of a run that is kept active, which the first event starts"
            )
            self.unsupported(what, at)
        return timeout

    def _state(self, at: str, body: JsonObject) -> State:
        self.compensating = bool(body.get("usedForCompensation"))
        following = transitions.checked(self, body, at, self.way(body, at))
        action = states.action(self, body, at, following)
        filters = body.get("stateDataFilter")
        known: JsonObject = filters if isinstance(filters, dict) else {}
        metadata = body.get("metadata")
        return State(
            id=at,
            name=str(body.get("name")),
            action=action,
            next=following,
            otherwise=following,
            enter=self.select(known["input"], at + "/stateDataFilter/input", wrap=False)
            if "input" in known
            else (),
            leave=self.select(known["output"], at + "/stateDataFilter/output", wrap=True)
            if "output" in known
            else (),
            timeout=state_timeout(self, body, at),
            metadata=metadata if isinstance(metadata, dict) else {},
            rescues=errors.rescues(self, body, at),
            compensated=regions.compensated(self, body, at),
        )

    def way(self, body: JsonObject, at: str) -> Transition:
        """Where ``transition`` or ``end`` of *body* leads; what is done on the way is a state of its own.

        ``terminate`` says nothing more, unless a run is kept active: only one state of a run is ever active, and a
        sub-workflow ends itself alone (decision B46).
        """
        return transitions.way(self, body, at)


def lower(
    document: Document, resources: Mapping[str, Json] | None = None, *, lost: frozenset[str] = frozenset()
) -> tuple[StateGraph, WorkflowLowering]:
    """The graph of *document*, and the lowering with the problems it found; *resources* are what is pinned."""
    lowering = WorkflowLowering(document, resources, lost=lost)
    return lowering.lower(), lowering
