"""What stands in the place of the world while a workflow is tested: answers to calls, on the virtual clock."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from workflow_engine import expressions
from workflow_engine.errors import Error, Fault
from workflow_engine.interpreter.effects import Call, Place, SubRun, Thunk
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.runtimes.local import LocalRun

_ROUNDS = re.compile(r"(\[\d+\])+$")
_OURS = frozenset({"sysout"})


class Unanswered(Exception):
    """A workflow that is tested made a call that has no answer: it is not made, and the test has failed."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes of one call: its *output*, an *error*, or nothing for ever (*never*); after *takes* seconds.

    An expression in the output sees the arguments of the call as ``.``.
    """

    output: Json = None
    error: Error | None = None
    never: bool = False
    takes: float = 0.0


@dataclass(slots=True)
class CallMade:
    """A call of a run: in which *state*, by its name and *pointer*, of which *kind*, with which *arguments*.

    *task* is the state whose part it is: the task that calls a function, the state that has an action; else itself.

    A sub-workflow has the kind ``workflow``.
    """

    state: str
    task: str
    pointer: str
    kind: str
    arguments: Json

    def to_json(self) -> JsonObject:
        return {
            "state": self.state,
            "task": self.task,
            "pointer": self.pointer,
            "kind": self.kind,
            "with": self.arguments,
        }


@dataclass
class Answers:
    """Answers by the pointer of a state, the name of the task whose part it is, or its own name, the first that there
    is; a list has one for each call, in their order.

    What only writes to the log or publishes to the run's own channels is done, unless it is answered.
    `made` has all calls in the order in which they were begun.
    """

    given: Mapping[str, Answer | Sequence[Answer]]
    evaluate: Callable[[Call], Awaitable[Json]] | None = None
    """Evaluates the arguments of a call that use secrets."""
    made: list[CallMade] = field(default_factory=list)
    _counts: Counter[str] = field(default_factory=Counter)

    def call(self, run: LocalRun, call: Call, place: Place) -> Thunk[Json] | None:
        """What comes of *call*; None: make it. `Unanswered` where neither is possible."""
        if call.reception is not None:
            return partial(_never, run)  # messages are among the events of the test
        answer = self._next(place, call.kind, call.arguments)
        if answer is None:
            if call.kind in _OURS or _published_here(call):
                return None
            raise Unanswered(
                f"{place.label} ({place.state}) makes a call ({call.kind}) that the scenario has no answer for: write "
                "one below `calls`"
            )
        return partial(self._give, run, answer, self.made[-1], call)

    def sub_run(self, run: LocalRun, sub_run: SubRun, place: Place) -> Thunk[Json] | None:
        """What comes of running another workflow; None: run it."""
        arguments: JsonObject = {
            "namespace": sub_run.namespace,
            "name": sub_run.name,
            "version": sub_run.version,
            "input": sub_run.input,
        }
        answer = self._next(place, "workflow", arguments)
        return None if answer is None else partial(self._give, run, answer, self.made[-1])

    def _next(self, place: Place, kind: str, arguments: JsonObject) -> Answer | None:
        name, task = _names(place)
        self.made.append(CallMade(name, task, place.state, kind, arguments))
        key = next((known for known in (place.state, task, name) if known in self.given), None)
        if key is None:
            return None
        answers = self.given[key]
        if isinstance(answers, Answer):
            return answers
        number = self._counts[key]
        self._counts[key] += 1
        if number >= len(answers):
            times = "once" if len(answers) == 1 else f"{len(answers)} times"
            raise Unanswered(f"{key!r} makes a call ({kind}) once more; it is answered {times}")
        return answers[number]

    async def _give(self, run: LocalRun, answer: Answer, made: CallMade, call: Call | None = None) -> Json:
        if call is not None and call.deferred is not None and self.evaluate is not None:
            made.arguments = await run.scheduler.real(self.evaluate(call))
        if answer.takes:
            await run.scheduler.sleep(answer.takes)
        if answer.never:
            await run.never()
        if answer.error is not None:
            raise Fault(answer.error)
        return expressions.template(answer.output, variables=()).evaluate(made.arguments, {})


def _names(place: Place) -> tuple[str, str]:
    """The name of the state at *place*, and of the one whose part it is: what its label is made of."""
    parts = _ROUNDS.sub("", place.label).split(" › ")
    return parts[-1], parts[0]


async def _never(run: LocalRun) -> Json:
    await run.never()
    return None


def _published_here(call: Call) -> bool:
    """Whether *call* does nothing but put a message into a channel of the run itself."""
    return call.kind == "asyncapi" and not {"server", "protocol"} & call.arguments.keys()
