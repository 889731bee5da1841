"""Lower a whole DSL 0.8 document: its states are one region, its definitions are looked up by name."""

from __future__ import annotations

import re
from collections.abc import Collection

from workflow_engine import expressions
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.lowering import Lowering
from workflow_engine.dsl.v0_8 import states
from workflow_engine.dsl.v0_8.actions import last_name
from workflow_engine.expressions import Expression, Template
from workflow_engine.graph.model import (
    DataStep,
    End,
    Event,
    Exit,
    GoTo,
    Path,
    Region,
    Select,
    State,
    StateGraph,
    Transition,
    Trigger,
    WorkflowName,
)
from workflow_engine.values import Json, JsonObject, pointer

VARIABLES = frozenset({"CONST"})
_FUNCTION = re.compile(r"^\s*fn:(.+?)\s*$", re.DOTALL)
_EMBEDDED = re.compile(r"\$\{\s*fn:([^{}]+?)\s*\}")

_NOT_YET = {
    "auth": "`auth`",
    "secrets": "`secrets`",
    "timeouts": "`timeouts` of the workflow",
    "dataInputSchema": "`dataInputSchema`",
    "keepActive": "`keepActive`",
    "autoRetries": "`autoRetries`",
}
_DEFINITIONS = ("functions", "events", "errors", "retries", "constants")


class WorkflowLowering(Lowering):
    """A DSL 0.8 document on its way to a graph; *functions* and *events* are its definitions by name."""

    def __init__(self, document: Document) -> None:
        super().__init__(document)
        self.functions = self._named("functions")
        self.events = self._named("events")
        listed = self.data.get("states")
        self.states: list[JsonObject] = (
            [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
        )
        self.ids: dict[str, str] = {}
        for number, state in enumerate(self.states):
            name = str(state.get("name"))
            if name in self.ids:
                self.problem("duplicate-state", f"two states are called {name!r}", f"/states/{number}/name")
            self.ids.setdefault(name, f"/states/{number}")

    def lower(self) -> StateGraph:
        """The graph; what is wrong is in `problems`."""
        self._refuse()
        lowered = {
            f"/states/{number}": self._state(number, state) for number, state in enumerate(self.states)
        }
        name = str(self.data.get("id") or self.data.get("key"))
        version = str(self.data.get("version") or "1.0")
        for key, text in (("id", name), ("version", version)):
            if not re.fullmatch(r"[^/\s\x00-\x1f][^/\x00-\x1f]{0,199}", text):
                message = (
                    f"{text!r} cannot be part of an address: no slash, no control character, 200 at most"
                )
                self.problem("invalid-name", message, f"/{key}")
        start = self._start()
        constants = self.data.get("constants")
        return StateGraph(
            name=WorkflowName("default", name, version),
            dialect="0.8",
            root=Region("/states", start, lowered),
            source=self.data,
            trigger=self._trigger(start, lowered),
            title=str(self.data.get("name") or ""),
            summary=str(self.data.get("description") or ""),
            constants=constants if isinstance(constants, dict) else {},
        )

    def _named(self, kind: str) -> dict[str, tuple[JsonObject, str]]:
        """The definitions under *kind*: name to definition and pointer."""
        listed = self.data.get(kind)
        found: dict[str, tuple[JsonObject, str]] = {}
        for number, item in enumerate(listed if isinstance(listed, list) else []):
            assert isinstance(item, dict)
            name, at = str(item.get("name")), f"/{kind}/{number}"
            if name in found:
                self.problem("duplicate-definition", f"two {kind} are called {name!r}", at + "/name")
            found.setdefault(name, (item, at))
        return found

    def _refuse(self) -> None:
        for key, what in _NOT_YET.items():
            if self.data.get(key):
                self.unsupported(what, f"/{key}")
        for key in _DEFINITIONS:
            if isinstance(self.data.get(key), str):
                self.unsupported(f"`{key}` from another file", f"/{key}")
        if self.data.get("expressionLang", "jq") != "jq":
            self.unsupported(f"the expression language {self.data['expressionLang']!r}", "/expressionLang")
        if "${" in str(self.data.get("version", "")):
            self.problem(
                "invalid-value", "a version must be literal, not an expression (decision B44)", "/version"
            )

    def _start(self) -> Transition:
        start = self.data.get("start")
        if isinstance(start, dict):
            if "schedule" in start:
                self.unsupported("`start.schedule`", "/start/schedule")
            start = start.get("stateName")
        if start is None:
            return GoTo("/states/0") if self.states else Exit()
        return self._to(str(start), "/start")

    def _to(self, name: str, at: str) -> Transition:
        """Go to the state called *name*, or with that id (decision B35)."""
        if name in self.ids:
            return GoTo(self.ids[name])
        for number, state in enumerate(self.states):
            if state.get("id") == name:
                return GoTo(f"/states/{number}")
        self.unknown("unknown-state", "state", name, self.ids, at)
        return End()

    def _trigger(self, start: Transition, lowered: dict[str, State]) -> Trigger | None:
        """An event state that the workflow starts with starts it (dsl.md §2.2)."""
        if not isinstance(start, GoTo):
            return None
        state = lowered.get(start.state)
        if state is None or not isinstance(state.action, Event):
            return None
        return Trigger(state.action.strategy, state.action.channel, "envelope", state.id)

    # --- states -------------------------------------------------------------------------------------------

    def _state(self, number: int, body: JsonObject) -> State:
        at = f"/states/{number}"
        for key in ("onErrors", "compensatedBy", "usedForCompensation"):
            if body.get(key):
                self.unsupported(f"`{key}`", f"{at}/{key}")
        ends = bool(body.get("end"))
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
            leave=self.select(known.get("output"), at + "/stateDataFilter/output", wrap=not ends),
            timeout=states.state_timeout(self, body, at),
            metadata=metadata if isinstance(metadata, dict) else {},
        )

    def way(self, body: JsonObject, at: str) -> Transition:
        """Where ``transition`` or ``end`` of *body* leads."""
        transition, end = body.get("transition"), body.get("end")
        if isinstance(transition, dict):
            for key in ("produceEvents", "compensate"):
                if transition.get(key):
                    self.unsupported(f"`{key}` of a transition", f"{at}/transition/{key}")
            return self._to(str(transition.get("nextState")), f"{at}/transition/nextState")
        if transition is not None:
            return self._to(str(transition), f"{at}/transition")
        if isinstance(end, dict):
            for key in ("produceEvents", "compensate", "continueAs"):
                if end.get(key):
                    self.unsupported(f"`{key}` of an end", f"{at}/end/{key}")
        return End()

    # --- expressions --------------------------------------------------------------------------------------

    def select(self, text: Json, at: str, *, wrap: bool) -> tuple[DataStep, ...]:
        """A state data filter; *wrap* keeps a non-object result under its last name (decision B1)."""
        if not isinstance(text, str) or not text.strip():
            return ()
        expression = self.expression(text, VARIABLES, at)
        return (Select(expression, last_name(text) if wrap else None),)

    def expression(self, text: Json, variables: Collection[str], pointer: str) -> Expression:
        """Compile an expression slot; ``fn:name`` stands for that expression function (decision B47)."""
        source = str(text)
        inner = expressions.unwrap(source)
        match = _FUNCTION.match(source if inner is None else inner)
        if match is None:
            return super().expression(text, variables, pointer)
        return super().expression(self.function_source(match[1], pointer), variables, pointer)

    def template(self, value: Json, variables: Collection[str], pointer: str) -> Template:
        """Compile a value slot; ``${ fn:name }`` inside it stands for that expression function."""
        return super().template(self._with_functions(value, pointer), variables, pointer)

    def _with_functions(self, value: Json, at: str) -> Json:
        if isinstance(value, str) and "fn:" in value:
            return _EMBEDDED.sub(lambda match: "${ " + self.function_source(match[1], at) + " }", value)
        if isinstance(value, list):
            return [self._with_functions(item, f"{at}/{number}") for number, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self._with_functions(item, at + pointer(key)) for key, item in value.items()}
        return value

    def function_source(self, name: str, at: str) -> str:
        """The jq of the expression function *name*."""
        function, _ = self.functions.get(name.strip(), (None, ""))
        if function is None or function.get("type") != "expression":
            known = [key for key, (item, _) in self.functions.items() if item.get("type") == "expression"]
            self.unknown("unknown-function", "expression function", name.strip(), known, at)
            return "null"
        operation = str(function.get("operation"))
        inner = expressions.unwrap(operation)
        return operation if inner is None else inner

    def path(self, text: Json, at: str) -> Path:
        """Where a result goes: an expression that is a plain path (decision B5)."""
        if text is None:
            return ()
        found = expressions.assignment_path(str(text))
        if found is None:
            message = f"{text!r} must be a plain path such as `.customer.name`: it says where to put a value"
            self.problem("not-a-path", message, at)
            return ()
        return tuple(found)


def lower(document: Document) -> tuple[StateGraph, WorkflowLowering]:
    """The graph of *document*, and the lowering with the problems it found."""
    lowering = WorkflowLowering(document)
    return lowering.lower(), lowering
