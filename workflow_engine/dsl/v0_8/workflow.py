"""Lower a whole DSL 0.8 document: its states are one region, its definitions are looked up by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from workflow_engine import expressions
from workflow_engine.dsl import definition_files
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.lowering import Lowering
from workflow_engine.dsl.schema_resources import pinned
from workflow_engine.dsl.v0_8 import definitions, errors, regions, schedules, secrets, states, transitions
from workflow_engine.dsl.v0_8.actions import last_name, without_root
from workflow_engine.dsl.v0_8.timeouts import state_timeout, workflow_timeout
from workflow_engine.dsl.v0_8.variables import SECRETS
from workflow_engine.expressions import Expression, ExpressionError, Template, jsonpath
from workflow_engine.expressions.schemas import Schema
from workflow_engine.graph.model import (
    DataStep,
    End,
    Event,
    GoTo,
    Path,
    Region,
    Select,
    State,
    StateGraph,
    Timing,
    Transform,
    Transition,
    Trigger,
    Validate,
    WorkflowName,
)
from workflow_engine.values import Json, JsonObject, pointer

VARIABLES = frozenset({"CONST"})
_FUNCTION = re.compile(r"^\s*fn:(.+?)\s*$", re.DOTALL)
_EMBEDDED = re.compile(r"\$\{\s*fn:([^{}]+?)\s*\}")
_LATE_DAYS = re.compile(r"T.*[DW]", re.IGNORECASE)
_ADDRESSABLE = re.compile(r"[^/\s\x00-\x1f][^/\x00-\x1f]{0,199}")


class WorkflowLowering(Lowering):
    """A DSL 0.8 document on its way to a graph; *functions* and *events* are its definitions by name.

    *everything* is the value slot that yields all of the data, in the language of the document.
    """

    def __init__(self, document: Document, resources: Mapping[str, Json] | None = None) -> None:
        super().__init__(definition_files.expanded(document, resources))
        self.resources = resources
        self.jsonpath = self.data.get("expressionLang") == "jsonpath"
        self.everything = "${ $ }" if self.jsonpath else "${ . }"
        assert isinstance(document.data, dict)
        definition_files.check(self, document.data, deployed=resources is not None)
        self.functions = definitions.named(self, "functions")
        self.events = definitions.named(self, "events")
        self.auth = definitions.named(self, "auth")
        self.errors = definitions.named(self, "errors")
        self.retries = definitions.named(self, "retries")
        self.states = definitions.objects(self.data.get("states"))
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

    def _identify(self, number: int, text: str, key: str, known: dict[str, str]) -> None:
        if text in known:
            message = f"two states have the {key} {text!r}; rename one"
            self.problem("duplicate-state", message, f"/states/{number}/{key}")
        known.setdefault(text, f"/states/{number}")

    def lower(self) -> StateGraph:
        """The graph; what is wrong is in `problems`."""
        definitions.check(self)
        errors.check(self)
        start = self.start = self._start()
        lowered = {
            f"/states/{number}": self._state(number, state) for number, state in enumerate(self.states)
        }
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
            trigger=self._trigger(start, lowered),
            schedule=schedules.schedule(self),
            title=str(self.data.get("name") or ""),
            summary=str(self.data.get("description") or ""),
            constants=constants if isinstance(constants, dict) else {},
            lifecycle=self.lifecycle(self.data.get("metadata"), "/metadata"),
            express=self.express(self.data.get("metadata"), "/metadata"),
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
        address = details.get("schema")
        if not isinstance(address, str) or self.resources is None:
            return whole
        try:
            schema = pinned({}, address, self.resources)
        except ValueError as error:
            message = f"this is not a usable JSON Schema: {error}"
            self.problem("invalid-schema", message, "/dataInputSchema")
            return whole
        fatal = details.get("failOnValidationErrors", True) is not False
        return (*whole, Validate(schema, "input", fatal=fatal, given=True))

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
        return self.states[int(id.rpartition("/")[2])]

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
        self.unknown("unknown-state", "state", name, [*self.names, *self.ids], at)
        return End()

    def _trigger(self, start: Transition, lowered: dict[str, State]) -> Trigger | None:
        """An event state that the workflow starts with starts it (dsl.md §2.2); an event switch does not."""
        if not isinstance(start, GoTo):
            return None
        state = lowered[start.state]
        body = self.body_of(state.id)
        if body.get("type") != "event" or not isinstance(state.action, Event):
            return None
        if state.action.strategy.mode == "all" and state.action.timeout is not None:
            message = "`eventTimeout` of a start state that waits for all of several events"
            self.unsupported(message, f"{state.id}/timeouts/eventTimeout")
        kept = self.data.get("keepActive") is True
        return Trigger(state.action.strategy, state.action.channel, "envelope", state.id, kept)

    def _state(self, number: int, body: JsonObject) -> State:
        at = f"/states/{number}"
        self.compensating = bool(body.get("usedForCompensation"))
        following = self.way(body, at)
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
            enter=self.select(known.get("input"), at + "/stateDataFilter/input", wrap=False),
            leave=self.select(known.get("output"), at + "/stateDataFilter/output", wrap=True),
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

    # --- expressions --------------------------------------------------------------------------------------

    def select(self, text: Json, at: str, *, wrap: bool) -> tuple[DataStep, ...]:
        """A state data filter; *wrap* keeps a non-object result under its last name (decision B1)."""
        if not isinstance(text, str) or not text.strip():
            return ()
        expression = self.expression(text, VARIABLES, at)
        return (Select(expression, last_name(text) if wrap else None),)

    def expression(self, text: Json, variables: Collection[str], pointer: str) -> Expression:
        """Compile an expression slot; ``fn:name`` stands for that expression function (decision B47)."""
        program = self.unwrapped(str(text))
        match = _FUNCTION.match(program)
        if match is not None:
            program = self._function(match[1], pointer)
        elif not self.jsonpath:
            return self._compiled(text, variables, pointer)
        return self._compiled(self.in_jq(program, pointer), variables, pointer)

    def _expression_problem(self, error: ExpressionError, source: str, pointer: str) -> None:
        if "variable $WORKFLOW" in error.message:
            message = (
                f"there is no $WORKFLOW in DSL 0.8, later versions brought it; in `{source.strip()[:100]}`"
            )
            self.problem("invalid-expression", message, pointer)
        else:
            super()._expression_problem(error, source, pointer)

    def _compiled(self, text: Json, variables: Collection[str], pointer: str) -> Expression:
        compiled = super().expression(text, {*variables, *SECRETS}, pointer)
        if compiled.variables & SECRETS:
            secrets.check(self, _whole(compiled.source), pointer)
        return compiled

    def unwrapped(self, text: str) -> str:
        """The expression in *text*, bare or in ``${ … }``."""
        inner = jsonpath.unwrap(text) if self.jsonpath else expressions.unwrap(text)
        return text if inner is None else inner

    def condition(self, text: Json, variables: Collection[str], pointer: str) -> Expression:
        """Compile an expression that holds or does not; in JSONPath it holds where something matches."""
        if not self.jsonpath:
            return self.expression(text, variables, pointer)
        program = self.inlined(self.unwrapped(str(text)), pointer, translated=False)
        return self._compiled(self.in_jq(program, pointer, jsonpath.condition_to_jq), variables, pointer)

    def in_jq(self, program: str, at: str, to: Callable[[str], str] = jsonpath.to_jq) -> str:
        """*program*, which is in the language of the document, in jq."""
        if not self.jsonpath:
            return program
        try:
            return to(program)
        except ExpressionError as error:
            self._expression_problem(error, program, at)
            return "null"

    def template(self, value: Json, variables: Collection[str], pointer: str) -> Template:
        """Compile a value slot; ``${ fn:name }`` inside it stands for that expression function."""
        written = self.with_functions(value, pointer)
        compiled = super().template(written, {*variables, *SECRETS}, pointer)
        if compiled.variables & SECRETS:
            secrets.check(self, written, pointer)
        return compiled

    def inlined(self, source: str, at: str, *, translated: bool = True) -> str:
        """The jq for *source*, or for the expression function that it names (``fn:name``)."""
        match = _FUNCTION.match(source)
        program = source if match is None else self._function(match[1], at)
        return self.in_jq(program, at) if translated else program

    def with_functions(self, value: Json, at: str) -> Json:
        """*value* with the functions that it names in their place, and all of its expressions in jq."""
        if isinstance(value, str) and self.jsonpath:
            close = jsonpath.closing_brace
            return expressions.translated(value, lambda program: self.inlined(program, at) + "\n", close)
        if isinstance(value, str) and "fn:" in value:
            return _EMBEDDED.sub(lambda match: _whole(self._function(match[1], at)), value)
        if isinstance(value, list):
            return [self.with_functions(item, f"{at}/{number}") for number, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self.with_functions(item, at + pointer(key)) for key, item in value.items()}
        return value

    def _function(self, name: str, at: str) -> str:
        """The jq of the expression function that the text at *at* names."""
        known = [key for key, (item, _) in self.functions.items() if item.get("type") == "expression"]
        if name.strip() not in known:
            if not isinstance(self.data.get("functions"), str):
                self.unknown("unknown-function", "expression function", name.strip(), known, at)
            return "null"
        return self._source(name.strip())

    def _source(self, name: str) -> str:
        """The jq of an expression function; something harmless for one that is wrong where it is defined."""
        operation = self.unwrapped(str(self.functions[name][0].get("operation")))
        return "null" if name in self.broken else operation

    def function_template(self, name: str, variables: Collection[str]) -> Template:
        """The expression function *name* as an action."""
        _, at = self.functions[name]
        program = self.in_jq(self._source(name), f"{at}/operation")
        return super().template(_whole(program), variables, f"{at}/operation")

    def path(self, text: Json, at: str) -> Path:
        """Where a result goes: an expression that is a plain path (decision B5)."""
        if text is None:
            return ()
        found = expressions.assignment_path(without_root(str(text)))
        if found is None:
            message = f"{text!r} must be a plain path such as `.customer.name`: it says where to put a value"
            self.problem("not-a-path", message, at)
            return ()
        return tuple(found)

    def timing(self, value: Json, variables: Collection[str], pointer: str) -> Timing:
        """Compile a duration; days or weeks after the ``T`` are understood, with a warning (decision B38)."""
        text = str(value)
        if "${" not in text and _LATE_DAYS.search(text):
            message = (
                f"{text!r} has days or weeks after the T, where ISO 8601 has only hours, minutes, seconds"
            )
            self.warning("days-after-t", message, pointer)
        timing = super().timing(value, variables, pointer)
        if isinstance(timing, Expression) and timing.variables & SECRETS:
            self.unsupported("`$SECRETS` in how long a run waits, which is kept in its history", pointer)
        return timing


def _whole(source: str) -> str:
    """*source* as one whole expression, even if it ends in a comment."""
    return "${ " + source + "\n}"


def lower(
    document: Document, resources: Mapping[str, Json] | None = None
) -> tuple[StateGraph, WorkflowLowering]:
    """The graph of *document*, and the lowering with the problems it found; *resources* are what is pinned."""
    lowering = WorkflowLowering(document, resources)
    return lowering.lower(), lowering
