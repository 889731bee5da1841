"""How much the runs weigh that a worker keeps in memory between their tasks: the large values that they were given.

A worker keeps a thousand runs, whatever they have. Where those that rest have more than `MOST` bytes of large values
between them, the ones that were given one longest ago are let go of: they are made again from their histories, and
fetch their values, when there is something to do for them.
"""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections.abc import Callable

from temporalio import workflow

MOST = 512 * 1024 * 1024
RESTS = 5.0
"""After so many seconds without a large value a run may be let go of; so often it is looked which ones are."""
Evict = Callable[[str], None]
"""Lets go of a run, by the id of its execution; of one that is not there, nothing."""


class Weights:
    """Of all runs of this process."""

    def __init__(self, most: int = MOST) -> None:
        self.most, self.rests = most, RESTS
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[weakref.ref[object], int, float]] = {}

    def add(self, size: int) -> None:
        """The run that is at work was given *size* bytes more."""
        id, run = workflow.info().run_id, weakref.ref(workflow.instance())
        with self._lock:
            known = self._runs.pop(id, None)
            before = known[1] if known is not None and known[0]() is not None else 0
            self._runs[id] = (run, before + size, time.monotonic())

    def runs(self) -> list[str]:
        """The executions that are kept and have large values, those first that were given one longest ago."""
        with self._lock:
            for gone in [id for id, (known, _, _) in self._runs.items() if known() is None]:
                del self._runs[gone]
            return [*self._runs]

    def too_many(self) -> list[str]:
        """Those of `runs` that are to be let go of; they are no longer counted."""
        oldest = self.runs()
        leaving: list[str] = []
        before = time.monotonic() - self.rests
        with self._lock:
            over = sum(weight for _, weight, _ in self._runs.values()) - self.most
            for id in oldest:
                if over <= 0 or id not in self._runs or self._runs[id][2] > before:
                    break
                over -= self._runs.pop(id)[1]
                leaving.append(id)
        return leaving

    def watch(self, evict: Callable[[], Evict | None]) -> None:
        """Have those that are too many let go of by what *evict* gives, until it gives nothing more."""
        loop = asyncio.get_running_loop()

        def look() -> None:
            let_go = evict()
            if let_go is not None:
                loop.call_later(self.rests, look)
                for id in self.too_many():
                    let_go(id)

        loop.call_later(self.rests, look)


WEIGHTS = Weights()
