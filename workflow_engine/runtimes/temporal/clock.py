"""The time of a run: that of its workflow task, asked of the SDK without the many steps of `workflow.now`."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime


class Clock:
    """Tells the time within one workflow, whose event loop it is made in: a state asks for it four times."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._at = 0.0
        self._now = datetime.fromtimestamp(0, UTC)

    def time(self) -> float:
        """The same as `workflow.time`."""
        return self._loop.time()

    def now(self) -> datetime:
        """The same as `workflow.now`, for the loop of a workflow keeps the time of its task."""
        at = self._loop.time()
        if at != self._at:
            self._at, self._now = at, datetime.fromtimestamp(at, UTC)
        return self._now
