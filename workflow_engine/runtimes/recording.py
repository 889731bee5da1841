"""Two runs whose calls are made once: the answers of the first are those of the second."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from workflow_engine.dsl.migration.comparison import Made
from workflow_engine.errors import Fault, fault
from workflow_engine.interpreter.effects import Call, Place
from workflow_engine.runtimes.local import LocalRun, PerformCall
from workflow_engine.values import Json

_NEVER: Any = object()
"""What is kept of a call that was given up: its answer never came."""

Watch = Callable[[PerformCall], PerformCall]


class Recording:
    """The calls of a run that `first` watched, with their answers; a run that `second` watches is given these.

    What the second one calls and the first did not is not called: it is a fault, and `unknown` has it.
    """

    def __init__(self) -> None:
        self.calls: list[Made] = []
        self.unknown: list[Made] = []
        self._answers: dict[str, deque[Any]] = {}

    def first(self, perform: PerformCall) -> PerformCall:
        """Perform calls with *perform*, and keep each with what came of it."""

        async def recorded(local: LocalRun, call: Call, place: Place) -> Json:
            made = _made(local, call, place)
            self.calls.append(made)
            kept = self._answers.setdefault(made.what, deque())
            try:
                answer = await perform(local, call, place)
            except Fault as raised:
                kept.append(raised)
                raise
            except BaseException:
                kept.append(_NEVER)
                raise
            kept.append(answer)
            return answer

        return recorded

    def second(self, calls: list[Made]) -> Watch:
        """Answer calls with what was kept; each is put into *calls*."""

        def watch(perform: PerformCall) -> PerformCall:
            async def replayed(local: LocalRun, call: Call, place: Place) -> Json:
                made = _made(local, call, place)
                calls.append(made)
                if _published_here(call):
                    return await perform(local, call, place)
                kept = self._answers.get(made.what)
                if not kept:
                    self.unknown.append(made)
                    raise fault("runtime", "the 0.8 run did not make this call")
                answer = kept.popleft()
                if answer is _NEVER:
                    await asyncio.get_running_loop().create_future()
                if isinstance(answer, Fault):
                    raise answer
                return cast("Json", answer)

            return replayed

        return watch


def _made(local: LocalRun, call: Call, place: Place) -> Made:
    # Where secrets belong into them the arguments are not evaluated yet: two languages write them in two ways.
    arguments = call.arguments if call.deferred is None else "with secrets"
    return Made(local.graph.name.name, place.state, call.kind, arguments)


def _published_here(call: Call) -> bool:
    """Whether *call* does nothing but put a message into a channel of the run itself."""
    given = call.arguments
    return call.kind == "asyncapi" and isinstance(given, dict) and not {"server", "protocol"} & given.keys()
