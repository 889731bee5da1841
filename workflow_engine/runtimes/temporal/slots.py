"""How many tasks of runs a worker takes up at a time: those that wait for room for their large values do not count.

The server gives a worker as many as it has slots for, and nobody knows before whether a task is a large one. One that
waits (`admission`) has its slot, and with as many of them as there are slots small runs would wait too. So for each
that waits there is another slot.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from temporalio.worker import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    WorkerTuner,
)

MOST = 100
"""How many tasks a worker works at, or has ready: as the SDK by itself."""
MOST_ASIDE = 500
"""How many may wait beside these. Those beyond take the slots of others: it keeps a thousand runs, and no more."""


class Slots(CustomSlotSupplier):
    """Those of one worker: *most*, and one more for each task that waits `aside`. They are given back by any thread."""

    def __init__(self, most: int | None = None) -> None:
        self._most = MOST if most is None else most
        self._used = self._aside = 0
        self._lock = threading.Lock()
        self._waiting: deque[asyncio.Future[None]] = deque()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Wait within this, with a task that has a slot."""
        with self._lock:
            self._aside += 1
        self._wake()
        try:
            yield
        finally:
            with self._lock:
                self._aside -= 1

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        while (permit := self.try_reserve_slot(ctx)) is None:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            with self._lock:
                self._waiting.append(turn)
            if self._free():  # by now
                self._wake()
            await turn
        return permit

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        with self._lock:
            if not self._free():
                return None
            self._used += 1
        return SlotPermit()

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        pass

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        with self._lock:
            self._used -= 1
        self._wake()

    def _free(self) -> bool:
        return self._used < self._most + min(self._aside, MOST_ASIDE)

    def _wake(self) -> None:
        """Have all who wait look again: there are as many as there are pollers, a handful."""
        with self._lock:
            waiting, self._waiting = self._waiting, deque()
        for turn in waiting:
            turn.get_loop().call_soon_threadsafe(_resolve, turn)


def _resolve(turn: asyncio.Future[None]) -> None:
    if not turn.done():
        turn.set_result(None)


def tuner(slots: Slots, calls: int) -> WorkerTuner:
    """What a worker is given that has *slots* for tasks of runs, and makes so many *calls* at a time."""
    fixed = FixedSizeSlotSupplier(100)
    return WorkerTuner.create_composite(
        workflow_supplier=slots,
        activity_supplier=FixedSizeSlotSupplier(calls),
        local_activity_supplier=fixed,
        nexus_supplier=fixed,
    )
