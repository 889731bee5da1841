"""``wfe worker --processes N``: as many workers as there are cores for, kept running and stopped as one."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from workflow_engine.cli.serve import ready_file
from workflow_engine.cli.stack import appears, program
from workflow_engine.cli.supervisor import Child, Supervisor
from workflow_engine.processes.memory import for_values

KILLED_AFTER = 10.0
"""How many seconds a worker may take to end once the time is up in which it finishes its calls."""


def run_several(
    count: int, arguments: Sequence[str], drain: float, ready: Path | None, memory: float | None = None
) -> int:
    """Run *count* workers with the *arguments* of this command until it is told to stop; the exit code. Each has
    *memory* MiB for large values, by itself its part of what one would have.

    What they print is on stderr, each line with the name of its worker. One that dies is started again, unless it does
    so again and again: then all end, with exit code 3. *ready* is written once all are.
    """
    each = for_values(count) / 1024 / 1024 if memory is None else memory
    with tempfile.TemporaryDirectory(prefix="wfe-workers-") as folder, ready_file(ready) as tell:
        children = [
            _child(f"worker-{number}", arguments, Path(folder), drain, each) for number in range(1, count + 1)
        ]
        return asyncio.run(Supervisor(children, Path(folder), echo=True).run(tell))


def _child(name: str, arguments: Sequence[str], folder: Path, drain: float, memory: float) -> Child:
    own = folder / f"{name}.ready"
    command = program(*arguments, "--processes", "1", "--ready-file", str(own))
    env = {"WFE_PAYLOAD_MEMORY": str(memory)}
    return Child(name, command, env=env, ready=appears(own), grace=drain + KILLED_AFTER)
