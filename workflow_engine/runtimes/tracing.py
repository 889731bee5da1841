"""A run watched while it walks: each step with its data, its expressions and what it asked of the world.

Nothing of this is there when nobody watches: the states and expressions of a `TracedRun` are copies of its own that
tell a `Trace` what they do.
"""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeVar

from workflow_engine.errors import Fault
from workflow_engine.expressions import EvaluationError, Expression, Purse, Template
from workflow_engine.graph.model import End, Exit, GoTo, Operation, State, StateGraph, Transition
from workflow_engine.interpreter.effects import Effects, Place
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.steps import Asked, Evaluated, Step, Total
from workflow_engine.values import Json, JsonObject

T = TypeVar("T")

MOST_STEPS = 20_000
"""How many steps are kept: the first half of them, and the last. All of them are counted."""
MOST_EVALUATIONS = 200
"""How many expressions, and how many effects, of one step are kept."""
_PLAIN = frozenset({"source", "resources", "functions", "metadata", "constants"})
"""Fields of a graph that hold JSON, in which no compiled expression is."""


class Trace:
    """What was seen of one run. Step 0 is the run itself: its own input, output and their expressions."""

    def __init__(self, most: int = MOST_STEPS) -> None:
        self.first: list[Step] = []
        self.last: deque[Step] = deque(maxlen=max(1, most // 2))
        self.count = 0
        self.totals: dict[str, Total] = {}
        self.places: dict[str, str] = {}
        """The state of each place that asked something, by the id of the place."""
        self.labels: dict[str, deque[str]] = {}
        """The states that asked under a label, in the order in which they did."""
        self.run: Run | None = None
        self.closed = False
        """Set when the run is let go of: what unwinds after that has not happened."""
        self.hide: Callable[[Json], Json] = lambda value: value
        self._most = max(1, most - most // 2)
        self._current: ContextVar[Step | None] = ContextVar("step", default=None)

    @property
    def steps(self) -> list[Step]:
        """The steps that are kept, in the order in which they began."""
        return [*self.first, *self.last]

    @property
    def omitted(self) -> int:
        return self.count - len(self.first) - len(self.last)

    def begin(self, state: str, name: str, kind: str, now: float) -> Step:
        around = self._current.get()
        step = Step(self.count, state, name, kind, 0 if around is None else around.depth + 1, now)
        self.count += 1
        (self.first if len(self.first) < self._most else self.last).append(step)
        if state not in self.totals:
            self.totals[state] = Total(name, kind)
        self.totals[state].executions += 1
        return step

    def inside(self, step: Step) -> Any:
        """What follows belongs to *step*, until `outside` gets what this returns."""
        return self._current.set(step)

    def outside(self, token: Any) -> None:
        self._current.reset(token)

    def faulted(self) -> None:
        """The step that is done now has met a fault: what becomes of that is to be seen."""
        step = self._current.get()
        if step is not None:
            step.phase = "faulted"

    def end(self, step: Step, phase: str, now: float) -> None:
        if self.closed:
            return
        step.phase, step.ended = phase, now
        total = self.totals[step.state]
        total.seconds += now - step.began
        total.faults += phase == "faulted"

    def evaluated(self, at: str, source: Json, evaluate: Callable[[], Json]) -> Json:
        """What *evaluate* gives, noted with the step that asks."""
        step = self._current.get()
        if step is None or len(step.expressions) >= MOST_EVALUATIONS:
            if step is not None:
                step.unshown += 1
            return evaluate()
        noted = Evaluated(at, source)
        step.expressions.append(noted)
        try:
            value = evaluate()
        except EvaluationError as error:
            noted.error = str(error)
            raise
        noted.value = self.hide(value)
        return value

    def labelled(self, label: str, state: str) -> None:
        """A timer or a sub-run of *state* is known by *label* only."""
        self.labels.setdefault(label, deque()).append(state)

    def asks(self, what: str, place: Place, given: Json, now: float) -> Asked:
        """Something is asked of the world by the state of *place*."""
        self.places[place.id] = place.state
        asked = Asked(what, place.id, self.hide(given), at=now)
        step = self._current.get()
        if step is not None and len(step.asked) < MOST_EVALUATIONS:
            step.asked.append(asked)
        elif step is not None:
            step.unshown += 1
        return asked


class _TracedExpression(Expression):
    """An expression that tells its trace what it yields."""

    __slots__ = ("trace",)
    trace: Trace

    def evaluate(self, value: Json, scope: Mapping[str, Json]) -> Json:
        evaluate = super().evaluate
        return self.trace.evaluated(self.at, self.source, lambda: evaluate(value, scope))

    def first(self, value: Json, scope: Mapping[str, Json], purse: Purse | None = None) -> Json:
        first = super().first
        return self.trace.evaluated(self.at, self.source, lambda: first(value, scope, purse))


class _TracedTemplate(Template):
    """A template that tells its trace what it yields."""

    __slots__ = ("trace",)
    trace: Trace

    def evaluate(self, value: Json, scope: Mapping[str, Json]) -> Json:
        evaluate = super().evaluate
        if self.constant:
            return evaluate(value, scope)
        return self.trace.evaluated(self.at, self.source, lambda: evaluate(value, scope))


def _watched(inner: Any, kind: type[T], trace: Trace) -> T:
    """*inner* as a *kind*, a subclass of its own class that has a trace."""
    watched = object.__new__(kind)
    for each in type(inner).__mro__:
        for name in getattr(each, "__slots__", ()):
            object.__setattr__(watched, name, getattr(inner, name))
    object.__setattr__(watched, "trace", trace)
    return watched


def watched(graph: StateGraph, trace: Trace) -> StateGraph:
    """*graph* with expressions that tell *trace* what they yield."""
    known: dict[int, Any] = {}

    def copy(value: Any) -> Any:
        if isinstance(value, str | int | float | bool | None):
            return value
        if id(value) not in known:
            known[id(value)] = made(value)
        return known[id(value)]

    def made(value: Any) -> Any:
        if isinstance(value, Expression):
            return _watched(value, _TracedExpression, trace)
        if isinstance(value, Template):
            return _watched(value, _TracedTemplate, trace)
        if isinstance(value, tuple):
            return tuple(copy(item) for item in value)
        if isinstance(value, Mapping):
            return {key: copy(item) for key, item in value.items()}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = [
                each.name for each in dataclasses.fields(value) if each.init and each.name not in _PLAIN
            ]
            changed = {name: copy(getattr(value, name)) for name in fields}
            if all(changed[name] is getattr(value, name) for name in fields):
                return value
            return dataclasses.replace(value, **changed)
        return value

    return copy(graph)  # type: ignore[no-any-return]


class TracedRun(Run):
    """A run that tells a trace of each step."""

    trace: Trace

    @classmethod
    def telling(cls, trace: Trace) -> Callable[..., TracedRun]:
        """Makes runs, as `Run` does, that tell *trace*."""

        def made(graph: StateGraph, input: Json, effects: Effects, **options: Any) -> TracedRun:
            run = cls(watched(graph, trace), input, effects, **options)
            run.trace, trace.run, trace.hide = trace, run, run.outside
            return run

        return made

    async def _execute(self) -> Json:
        trace, name = self.trace, self.graph.name.name
        step = trace.begin("", name, "workflow", self.effects.now().timestamp())
        step.before = self.input
        step.context_before = self.outside(self.root.context)
        token = trace.inside(step)
        try:
            output = await super()._execute()
        except BaseException as error:
            self._failed(step, error)
            raise
        finally:
            trace.outside(token)
        step.after, step.context_after = output, self.outside(self.root.context)
        trace.end(step, "completed", self._moment(step))
        return output

    async def _step(self, state: State, frame: Frame, task: object) -> tuple[Json, Transition]:
        trace = self.trace
        step = trace.begin(state.id, state.name, kind_of(state), self.effects.now().timestamp())
        step.before = self.outside(frame.data)
        step.context_before = self.outside(frame.owner.context)
        step.variables = _shown(self.outside(frame.lexical()))
        token = trace.inside(step)
        try:
            result, transition = await super()._step(state, frame, task)
        except BaseException as error:
            step.input = self.outside(frame.input)
            self._failed(step, error)
            raise
        finally:
            trace.outside(token)
        step.input = self.outside(frame.input)
        step.after, step.context_after = self.outside(result), self.outside(frame.owner.context)
        step.then = _destination(transition)
        ending = "completed" if frame.entered else "skipped"
        trace.end(step, "rescued" if step.phase == "faulted" else ending, self._moment(step))
        return result, transition

    def _note(self, phase: str, state: State) -> None:
        if phase == "faulted":
            self.trace.faulted()
        super()._note(phase, state)

    def _failed(self, step: Step, error: BaseException) -> None:
        if isinstance(error, Fault):
            step.error = self.outside(error.error.to_json())
            self.trace.end(step, "faulted", self._moment(step))
        elif isinstance(error, GeneratorExit):
            return  # nobody goes on with it: it stands here
        elif isinstance(error, Exception):
            step.error = f"{type(error).__name__}: {error}"
            self.trace.end(step, "left", self._moment(step))
        elif self._lives():
            self.trace.end(step, "left", self._moment(step))

    def _moment(self, step: Step) -> float:
        return self.effects.now().timestamp() if self._lives() else step.began

    def _lives(self) -> bool:
        """Whether the run goes on: False while it is let go of, which is no end of what it does."""
        return True


def _shown(variables: Json) -> JsonObject:
    """The variables that a document can name."""
    assert isinstance(variables, dict)
    return {name: value for name, value in variables.items() if not name.startswith("__")}


def kind_of(state: State) -> str:
    """What *state* does, in a word; a call with its kind."""
    action = state.action
    return f"call {action.kind}" if isinstance(action, Operation) else type(action).__name__.lower()


def _destination(transition: Transition) -> str:
    match transition:
        case GoTo(state, _):
            return state
        case Exit(True):
            return "out of the loop"
        case End():
            return "the end of the run"
        case _:
            return "the end of its region"
