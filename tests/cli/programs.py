"""Small programs for a supervisor to run: what they do is told by words of their command line.

Each writes what happens to it into a journal, a file shared by all of a test: lines of `NAME WHAT VALUE`.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from workflow_engine.cli.child import Child, RestartPolicy

SOURCE = Path(__file__).with_name("program.py")
QUICK = RestartPolicy(delay=0.01, max_delay=0.02, limit=3, window=60)


class Journal:
    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def entries(self) -> list[list[str]]:
        return [line.split() for line in self.path.read_text().splitlines()]

    def of(self, what: str) -> list[str]:
        """Names of the programs to which *what* happened, in order."""
        return [name for name, happened, _ in self.entries() if happened == what]

    def values(self, name: str, what: str) -> list[int]:
        return [int(value) for who, happened, value in self.entries() if (who, happened) == (name, what)]

    async def has(self, name: str, what: str, times: int = 1) -> list[int]:
        """Wait until *what* happened to *name* that often; the values noted."""
        async with asyncio.timeout(20):
            while len(found := self.values(name, what)) < times:  # noqa: ASYNC110 - written by other processes
                await asyncio.sleep(0.005)
        return found

    def ready(self, name: str):
        """Readiness of *name*: it has noted its `up`, once more than before."""
        seen = 0

        async def wait() -> None:
            nonlocal seen
            seen = len(await self.has(name, "up", seen + 1))

        return wait

    def child(self, name: str, *does: str, **options: object) -> Child:
        """A child that does what *does* says, ready when it is up."""
        command = [sys.executable, "-I", "-S", str(SOURCE), name, str(self.path), *does]
        return Child(name, command, **{"ready": self.ready(name), "restart": QUICK, "grace": 20.0, **options})
