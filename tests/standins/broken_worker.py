"""``python -m tests.standins.broken_worker worker …``: a `wfe worker` with a bug of the interpreter in it.

It knows no state that is called ``broken``, and what it does about that is to raise a `KeyError`.
"""

from __future__ import annotations

import sys

from workflow_engine.cli.main import main
from workflow_engine.graph.model import State, Transition
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.run import Run
from workflow_engine.values import Json


def break_it(raises: Exception | None = None) -> None:
    """Put the bug into the interpreter of this process, or one that *raises* something else."""
    act = Run._act

    async def broken(self: Run, state: State, frame: Frame, allowed: float | None) -> tuple[Json, Transition]:
        if state.name == "broken":
            raise raises or KeyError("what to do")
        return await act(self, state, frame, allowed)

    Run._act = broken  # type: ignore[method-assign]


if __name__ == "__main__":
    break_it()
    sys.exit(main(sys.argv[1:]))
