"""What an expression may name: the arguments of DSL 1.0 (dsl.md §1.4), the constants of 0.8, bound variables.

A scope is lazy: a descriptor is built only for an expression that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from workflow_engine import __version__
from workflow_engine.graph.model import State
from workflow_engine.interpreter.position import Frame
from workflow_engine.values import Json, JsonObject, rfc3339

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

RESULT = "__result"
"""The variable of a frame that holds the last action's filtered result, for ``foreach`` of 0.8 (B25)."""
RUNTIME: JsonObject = {"name": "serverless-workflow-engine", "version": __version__, "metadata": {}}


def moment(at: datetime) -> JsonObject:
    """The date-time descriptor of DSL 1.0: *at* as ISO 8601 text and as seconds and milliseconds."""
    milliseconds = int(at.timestamp() * 1000)
    return {
        "iso8601": rfc3339(at),
        "epoch": {"seconds": milliseconds // 1000, "milliseconds": milliseconds},
    }


Makers: TypeAlias = Mapping[str, Callable[["Scope"], Json]]
"""How the variables are made that an expression may use, once it uses them."""


class Scope(Mapping[str, Json]):
    """The variables that one expression may use; absent ones are null, as in jq."""

    __slots__ = ("_given", "_made", "_makers", "frame", "run", "state")

    def __init__(
        self,
        given: Mapping[str, Json],
        makers: Makers,
        run: Run | None = None,
        state: State | None = None,
        frame: Frame | None = None,
    ) -> None:
        """*run*, *state* and *frame* are those that ask: None where only what is pure is evaluated; of the workflow,
        only *run* is there. *makers* make what is not *given*.
        """
        self._given = given
        self._makers = makers
        self._made: JsonObject = {}
        self.run = run
        self.state = state
        self.frame = frame

    def __getitem__(self, name: str) -> Json:
        if name in self._given:
            return self._given[name]
        if name not in self._made:
            self._made[name] = self._makers[name](self)
        return self._made[name]

    def get(self, name: str, default: Any = None) -> Json:
        # What a mapping inherits comes to the same by way of an exception; expressions ask for each variable by it.
        if name in self._given:
            return self._given[name]
        return self[name] if name in self._makers else cast("Json", default)

    def __iter__(self) -> Iterator[str]:
        yield from self._given
        yield from (name for name in self._makers if name not in self._given)

    def __len__(self) -> int:
        return len(set(self._given) | set(self._makers))

    def __contains__(self, name: object) -> bool:
        return name in self._given or name in self._makers


def workflow_scope(run: Run, context: Json = None, **given: Json) -> Scope:
    """The scope of the workflow's own ``input.from`` and ``output.as``."""
    return Scope({"context": context, **given}, _OF_WORKFLOW, run)


def state_scope(run: Run, state: State, frame: Frame, **given: Json) -> Scope:
    """The scope of an expression of *state*; *given* adds ``input`` and ``output`` where they are known."""
    return Scope({**frame.lexical(), **given}, _OF_STATE, run, state, frame)


def _descriptor(run: Run) -> JsonObject:
    """``$workflow``; its input is the raw one."""
    _tell(run, run.started.timestamp())
    return {
        "id": run.effects.run_id,
        "definition": run.graph.source,
        "input": run.input,
        "startedAt": moment(run.started),
    }


def _sonataflow(run: Run, frame: Frame) -> JsonObject:
    """What SonataFlow tells of a run in DSL 0.8, as far as it is known here."""
    name, kept = run.graph.name, frame.owner.context
    return {
        "instanceId": run.effects.run_id,
        "id": name.name,
        "name": run.graph.title or name.name,
        "version": name.version,
        "input": run.input,
        "prevActionResult": frame.lexical().get(RESULT),
        "statusCode": kept.get("statusCode") if isinstance(kept, dict) else None,
    }


def _described(run: Run, state: State, frame: Frame, raw_output: Json) -> JsonObject:
    """``$task``: *state*, or in an extension the state that it extends (decision A53)."""
    extended = frame
    while extended.region.startswith("/use/extensions/") and extended.parent is not None:
        extended = extended.parent
    if extended is frame:
        return _task(run, state.name, state.id, frame, raw_output)
    progress = extended.local.get("extensions")
    raw_output = progress.get("output") if isinstance(progress, dict) and "then" in progress else None
    return _task(run, run.names.of(extended.state), str(extended.state), extended, raw_output)


def _tell(run: Run, at: float) -> None:
    """An expression is told a moment: the run's time, if it is the present one."""
    if at == run.effects.now().timestamp():
        run.effects.told_time()


def _task(run: Run, name: str, id: str, frame: Frame, raw_output: Json) -> JsonObject:
    _tell(run, frame.started)
    return {
        "name": name,
        "reference": id,
        "definition": run.graph.definition(id),
        "input": frame.data,
        "output": raw_output,
        "startedAt": moment(datetime.fromtimestamp(frame.started, UTC)),
    }


def _run(scope: Scope) -> Run:
    assert scope.run is not None
    return scope.run


def _frame(scope: Scope) -> Frame:
    assert scope.frame is not None
    return scope.frame


def _task_of(scope: Scope) -> Json:
    assert scope.state is not None
    return _described(_run(scope), scope.state, _frame(scope), scope.get("__raw_output"))


def _constants(scope: Scope) -> Json:
    return _run(scope).graph.constants


def _now(scope: Scope) -> Json:
    return _run(scope).effects.told_time().timestamp()


def _spent(scope: Scope) -> Json:
    return cast("Json", _run(scope).effects.spent)  # no expression can name it


def _workflow_of(scope: Scope) -> Json:
    run = _run(scope)
    return _sonataflow(run, run.root if scope.frame is None else scope.frame)


_OF_WORKFLOW: Makers = {
    "workflow": lambda scope: _descriptor(_run(scope)),
    "runtime": lambda _: RUNTIME,
    "CONST": _constants,
    "WORKFLOW": _workflow_of,
    "__correlation": lambda scope: _run(scope).correlation,
    "__now": _now,
    "__spent": _spent,
}
_OF_STATE: Makers = {
    **_OF_WORKFLOW,
    "context": lambda scope: _frame(scope).owner.context,
    "task": _task_of,
}
