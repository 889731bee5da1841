"""How much the runs weigh that a worker keeps in memory between their tasks: the large values that they were given.

A worker keeps a thousand runs, whatever they have. Where those that rest have more than `most` bytes of large values
between them, the ones that were given one longest ago are let go of: they are made again from their histories, and
fetch their values, when there is something to do for them (`admission`).
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
import weakref
from functools import cache

from temporalio import workflow

from workflow_engine.processes.memory import for_values

RESTS = 5.0
"""After so many seconds without a large value a run may be let go of; so often it is looked which ones are."""
_MMAP_THRESHOLD, _ARENA_MAX = -3, -8
"""Parameters of ``mallopt`` of the GNU C library."""
_APART, _ARENAS = 1024 * 1024, 4


@cache
def return_what_is_free() -> None:
    """Have the C library give memory of large values back as soon as it is free. By itself it comes to keep what has up
    to 32 MiB, in a heap for each of many threads, so that a worker would have a multiple of what it uses.
    """
    if sys.platform != "linux":
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(_MMAP_THRESHOLD, _APART)
    mallopt(_ARENA_MAX, _ARENAS)


class Weights:
    """Of all runs of this process, which may have *most* bytes between them."""

    def __init__(self, most: int | None = None) -> None:
        self.most, self.rests = for_values() if most is None else most, RESTS
        self._lock = threading.Lock()
        self._runs: dict[str, tuple[weakref.ref[object], int, float]] = {}
        self._reserved: dict[str, int] = {}
        self._leaving: dict[str, int] = {}

    def reserve(self, id: str, size: int) -> None:
        """The run *id* is about to be given *size* bytes."""
        with self._lock:
            self._reserved[id] = self._reserved.get(id, 0) + size

    def settle(self, id: str) -> None:
        """It has been given what it was to be given."""
        with self._lock:
            self._reserved.pop(id, None)

    def add(self, size: int) -> None:
        """The run that is at work was given *size* bytes more."""
        id, run = workflow.info().run_id, weakref.ref(workflow.instance())
        with self._lock:
            known = self._runs.pop(id, None)
            before = known[1] if known is not None and known[0]() is not None else 0
            self._runs[id] = (run, before + size, time.monotonic())
            if id in self._reserved:
                self._reserved[id] = max(0, self._reserved[id] - size)

    def gone(self, id: str) -> int:
        """The run *id* is not kept any more; how many bytes of large values it had."""
        with self._lock:
            known = self._runs.pop(id, None)
            return self._leaving.pop(id, 0) if known is None else known[1]

    def taken(self) -> int:
        """How many bytes there are, and are about to be."""
        self.runs()
        with self._lock:
            return sum(weight for _, weight, _ in self._runs.values()) + sum(self._reserved.values())

    def runs(self) -> list[str]:
        """The executions that are kept and have large values, those first that were given one longest ago."""
        with self._lock:
            for gone in [id for id, (known, _, _) in self._runs.items() if known() is None]:
                del self._runs[gone]
            return [*self._runs]

    def by_age(self) -> list[tuple[str, int]]:
        """`runs` with what each has."""
        oldest = self.runs()
        with self._lock:
            return [(id, self._runs[id][1]) for id in oldest if id in self._runs]

    def too_many(self) -> list[str]:
        """Those of `runs` that are to be let go of, for they have rested; they are no longer counted."""
        oldest = self.runs()
        leaving: list[str] = []
        before = time.monotonic() - self.rests
        with self._lock:
            over = sum(weight for _, weight, _ in self._runs.values()) - self.most
            for id in oldest:
                if over <= 0 or id not in self._runs or self._runs[id][2] > before:
                    break
                self._leaving[id] = self._runs.pop(id)[1]
                over -= self._leaving[id]
                leaving.append(id)
        return leaving


WEIGHTS = Weights()
