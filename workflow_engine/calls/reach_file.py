"""The file of `calls.reach`, read again when it changes: what namespaces may use can be taken from them at any time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from workflow_engine.calls.reach import UNLIMITED, Reaches, reaches_in, read_reach
from workflow_engine.errors import Rejected

LOOK_SECONDS = 10.0
"""How often the file is looked at."""

_log = logging.getLogger("wfe")


class ReachFile:
    """Keeps *reaches* at what *file* says; `Rejected` where it cannot be understood at first.

    It is told by its content whether it has changed, so that links and mounts may change behind it. One that cannot be
    read or understood leaves things as they are, and *reaches* say why (`Reaches.failing`).
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._read = read_reach(file)
        self.reaches = reaches_in(self._read, str(file))

    async def refresh(self) -> bool:
        """Look whether the file has changed, and go by it if so; whether it did."""
        try:
            content = await asyncio.to_thread(read_reach, self._file)
            if content == self._read:
                self._told(None)
                return False
            found = await asyncio.to_thread(reaches_in, content, str(self._file))
        except Rejected as refused:
            self._told(str(refused))
            return False
        self._read = content
        self._told(None)
        self.reaches.become(found)
        _log.info("what namespaces and channels may use is now as %s says", self._file)
        return True

    async def keep(self) -> None:
        """Look at the file from time to time."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.refresh()

    def _told(self, why: str | None) -> None:
        if why is not None and why != self.reaches.failing:
            _log.error("what namespaces and channels may use stays as it was: %s", why)
        self.reaches.failing = why


@asynccontextmanager
async def kept_reach(file: Path | None) -> AsyncIterator[Reaches]:
    """What *file* says, by then; `Rejected` where it cannot be understood as the block begins."""
    if file is None:
        yield UNLIMITED
        return
    kept = ReachFile(file)
    task = asyncio.create_task(kept.keep(), name="reach")
    try:
        yield kept.reaches
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
