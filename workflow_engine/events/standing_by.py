"""What becomes of a router whose store another process took: it lets everything go, and has it back when it can."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable

from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.outages import report
from workflow_engine.events.shared_store import LosableStore

EVERY = 2.0
"""About how many seconds apart it is asked whether the store can be had again."""
_log = logging.getLogger(__name__)


class StandBy:
    """Watches over *store*: *let_go* closes what there is, *take_up* opens it and goes on; `Conflict` while another
    process has it. *taken* says who has it from the beginning, if anybody has.
    """

    def __init__(
        self,
        store: LosableStore,
        *,
        let_go: Callable[[], Awaitable[None]],
        take_up: Callable[[], Awaitable[None]],
        taken: str = "",
    ) -> None:
        self._let_go, self._take_up = let_go, take_up
        self._lost, self._has = asyncio.Event(), asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._why = f"this process stands by: {taken}" if taken else ""
        (self._lost if taken else self._has).set()
        store.when_lost(self._lost.set)
        self._task = asyncio.create_task(self._run(), name="standing by")

    def require(self) -> None:
        """`Unavailable` while another process has the store."""
        if self._lost.is_set() or self._why:
            raise Unavailable(self._why or "another process has taken the event store over")

    @property
    def waits(self) -> bool:
        """Whether another process has the store."""
        return not self._has.is_set()

    async def until_it_has(self) -> None:
        """Wait until this process has the store."""
        await self._has.wait()

    async def stop(self) -> None:
        """Stand by no more; what was being let go is let go."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        if self._ending is not None:
            await asyncio.gather(self._ending, return_exceptions=True)

    async def _pause(self) -> None:
        await asyncio.sleep(random.uniform(0.5, 1.0) * EVERY)  # noqa: S311  so that several do not ask at once

    async def _run(self) -> None:
        while True:
            await self._lost.wait()
            self._has.clear()
            self._why = self._why or "another process has taken the event store over; this one stands by"
            _log.warning("%s", self._why)
            while self._why:
                try:
                    self._ending = asyncio.ensure_future(self._let_go())
                    await asyncio.shield(self._ending)
                    self._lost.clear()
                    await self._pause()
                    await self._take_up()
                except (Conflict, Unavailable) as error:
                    self._why = f"this process stands by: {error}"
                except Exception as error:  # noqa: BLE001  a bug must not stop it for good
                    self._why = f"this process stands by, for it cannot go on: {error}"
                    report(_log, error, "the router cannot go on: %s", error)
                else:
                    self._why = ""
                if self._lost.is_set():  # it was not let go of
                    await self._pause()
            self._has.set()
            _log.warning("this process has the event store now")
