"""The router's store and Temporal, of which one may have been restored from a backup that is older than the other.

Both keep a stamp, renewed every minute, the store first: so the store's is never older, unless the store is. Then runs
may wait for events without their listener, since the store has forgotten it, or never knew it. Runs know themselves
what they listen for; each is asked, and its listeners are registered once more.

Where Temporal is the older one, events have been taken by runs that are no more, or that do not know it any more. Those
listeners are put right too; what started runs that are gone can only be told.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.values import JsonObject, rfc3339

EVERY = 60.0
"""After how many seconds the stamps are renewed."""
LATE = 3 * EVERY
"""How much older Temporal's stamp may be: a process can end between the two."""
AT_ONCE = 8
SETTLES = 1.0
"""After how many seconds a run is asked again whether it got what is on its way to it."""
MOST_NAMED = 100
NOBODY = 32
"""When so many runs could not be asked, and none could, no others are."""

_log = logging.getLogger("wfe")


class Heard(NamedTuple):
    """A listener of a run, as the run knows it: *received* is how many events the router has given it."""

    listen_id: str
    channel: str
    spec: JsonObject
    since: datetime
    received: int


class Stamp(NamedTuple):
    """Which store it is, and when it was stamped, in seconds since 1970."""

    store: str
    at: float

    def moment(self) -> str:
        return rfc3339(datetime.fromtimestamp(self.at, UTC))


class Stamps(Protocol):
    """Where a stamp is kept. `Unavailable` when it cannot be reached."""

    async def read(self) -> Stamp | None:
        """The stamp; None where there was never one."""

    async def write(self, stamp: Stamp) -> None:
        """Keep *stamp* instead."""


class Listening(Protocol):
    """The router, as far as it concerns runs that listen."""

    async def every_listener(self) -> list[JsonObject]:
        """``{run_id, listen_id, delivered, complete, …}`` each."""

    async def undelivered(self, run_id: str, listen_id: str) -> int:
        """How many events wait for their delivery to the listener."""

    async def listen(
        self,
        run_id: str,
        listen_id: str,
        spec: JsonObject,
        *,
        since: datetime,
        channel: str = "default",
        seq: int = 0,
    ) -> None:
        """Register a listener, whose next event has the number *seq*."""

    async def unlisten(self, run_id: str, listen_id: str, *, used: int | None = None) -> None:
        """Take it back; events from the number *used* on are free."""


class Stamped(Protocol):
    """A router whose store keeps a mark."""

    async def stamp(self) -> bytes | None:
        """The mark, if there is one."""

    async def put_stamp(self, value: bytes) -> None:
        """Keep another one."""


class StoreStamps:
    """The stamp in the store of a router."""

    def __init__(self, router: Stamped) -> None:
        self._router = router

    async def read(self) -> Stamp | None:
        value = await self._router.stamp()
        if value is None:
            return None
        store, at = json.loads(value)
        return Stamp(str(store), float(at))

    async def write(self, stamp: Stamp) -> None:
        await self._router.put_stamp(json.dumps(stamp).encode())


Ask = Callable[[str], Awaitable[list[Heard] | None]]
"""What a run listens for; None where no worker can tell."""


@dataclass(slots=True)
class Repaired:
    """How many open *runs* there were, how many *listeners* they have, and how many of those were *registered* once
    more, since the router did not know them, or *renewed*, since it had given them other events than they have.
    *unanswered* are runs that no worker could ask.
    """

    runs: int = 0
    listeners: int = 0
    registered: int = 0
    renewed: int = 0
    unanswered: list[str] = field(default_factory=list)

    def to_json(self) -> JsonObject:
        return {
            "runs": self.runs,
            "listeners": self.listeners,
            "registered": self.registered,
            "renewed": self.renewed,
            "unanswered": [*self.unanswered[:MOST_NAMED]],
        }

    def __str__(self) -> str:
        told = f"{self.registered} listeners registered and {self.renewed} renewed, of {self.listeners}"
        told += f" of {self.runs} open runs"
        return told + (f"; {len(self.unanswered)} runs could not be asked" if self.unanswered else "")


class Restoring:
    """Compares the stamps, and repairs what runs listen for."""

    def __init__(
        self,
        router: Listening,
        runs: Callable[[], AsyncIterator[str]],
        ask: Ask,
        *,
        store: Stamps,
        temporal: Stamps,
        every: float = EVERY,
    ) -> None:
        self._router, self._runs, self._ask = router, runs, ask
        self._store, self._temporal, self._every = store, temporal, every
        self._one = asyncio.Lock()
        self._halfway = False
        self.warnings: dict[str, str] = {}
        """What deserves a look, by what it is about."""

    async def keep(self) -> None:
        """Compare and renew the stamps again and again, until cancelled."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                _log.debug("stamps are not compared: %s", error)  # whoever needs it says so
            except Exception:  # noqa: BLE001 - a bug must not end this task
                _log.exception("the stamps of store and Temporal are not compared")
            await asyncio.sleep(self._every)

    async def look(self) -> None:
        """Compare the stamps, repair what one that is older has lost, and renew them."""
        theirs = await self._temporal.read()  # first: the store is stamped before Temporal is
        ours = await self._store.read()
        if self._halfway and ours is not None:
            stamp = ours  # which Temporal could not take: so the store's is not renewed either, until it can
        elif await self._settled(ours, theirs):
            stamp = Stamp(ours.store if ours is not None else uuid.uuid4().hex, time.time())
            await self._store.write(stamp)
        else:
            return  # with the stamps as they are: it is tried again
        self._halfway = True
        await self._temporal.write(stamp)
        self._halfway = False

    async def _settled(self, ours: Stamp | None, theirs: Stamp | None) -> bool:
        if theirs is not None and (ours is None or ours.store != theirs.store or ours.at < theirs.at):
            was = "is another one" if ours is None or ours.store != theirs.store else f"is of {ours.moment()}"
            what = f"the router's store {was}, and Temporal is of {theirs.moment()}"
            return await self._mended(
                "store", f"{what}: events since then are lost; runs are asked what they hear"
            )
        if ours is not None and (theirs is None or theirs.at < ours.at - LATE):
            was = "has never seen this store" if theirs is None else f"is of {theirs.moment()}"
            what = f"Temporal {was}, and the router's store is of {ours.moment()}"
            advice = (
                "events since then have started runs that are gone: seek their subscriptions back to then"
            )
            return await self._mended("temporal", f"{what}: {advice} (docs/runbook.md, Backups)")
        if "asking" in self.warnings:
            del self.warnings["asking"]
        return True

    async def _mended(self, part: str, what: str) -> bool:
        if self.warnings.get(part) != what:
            _log.error("restored from a backup? %s", what)
            self.warnings[part] = what
        repaired = await self.repair()
        if repaired.unanswered:
            self.warnings["asking"] = (
                f"{repaired}: is a worker there? It is tried again every {self._every:g} s"
            )
            return False
        self.warnings.pop("asking", None)
        _log.warning("after a restoration: %s", repaired)
        return True

    async def asked(self) -> Repaired:
        """`repair` for somebody who has looked: what was told of is not told any more, if every run could be asked."""
        repaired = await self.repair()
        if not repaired.unanswered:
            self.warnings.clear()
        return repaired

    async def repair(self) -> Repaired:
        """Ask every open run what it listens for, and have the router know it."""
        async with self._one:
            known = {
                (str(each["run_id"]), str(each["listen_id"])): each
                for each in await self._router.every_listener()
            }
            found, room = Repaired(), asyncio.Semaphore(AT_ONCE)

            async def look(run_id: str) -> None:
                try:
                    await self._look_at(run_id, known, found)
                finally:
                    room.release()

            async with asyncio.TaskGroup() as looking:
                async for run_id in self._runs():
                    await room.acquire()
                    if len(found.unanswered) == found.runs >= NOBODY:
                        break  # no worker is there
                    found.runs += 1
                    looking.create_task(look(run_id))
            return found

    async def _look_at(self, run_id: str, known: dict[tuple[str, str], JsonObject], found: Repaired) -> None:
        told = await self._ask(run_id)
        if told is None:
            found.unanswered.append(run_id)
            return
        for ear in told:
            found.listeners += 1
            there = known.get((run_id, ear.listen_id))
            if there is None:
                await self._register(run_id, ear)
                found.registered += 1
            elif await self._apart(run_id, ear, int(str(there["delivered"]))):
                await self._router.unlisten(run_id, ear.listen_id, used=ear.received)
                await self._register(run_id, ear)
                found.renewed += 1

    async def _apart(self, run_id: str, ear: Heard, given: int) -> bool:
        """Whether the run has other events than the router has *given* it; what is on its way settles soon."""
        if given - await self._router.undelivered(run_id, ear.listen_id) == ear.received:
            return False
        await asyncio.sleep(SETTLES)
        now = await self._now(run_id, ear.listen_id)
        if now is None:
            return False  # it has ended meanwhile
        given = next(
            (
                int(str(each["delivered"]))
                for each in await self._router.every_listener()
                if (each["run_id"], each["listen_id"]) == (run_id, ear.listen_id)
            ),
            given,
        )
        return given - await self._router.undelivered(run_id, ear.listen_id) != now.received

    async def _register(self, run_id: str, ear: Heard) -> None:
        await self._router.listen(
            run_id, ear.listen_id, ear.spec, since=ear.since, channel=ear.channel, seq=ear.received
        )
        # It may have ended meanwhile, and have told the router before this did.
        now = await self._ask(run_id)
        if now is not None and ear.listen_id not in {each.listen_id for each in now}:
            await self._router.unlisten(run_id, ear.listen_id, used=ear.received)

    async def _now(self, run_id: str, listen_id: str) -> Heard | None:
        try:
            told = await self._ask(run_id)
        except NotFound:
            return None
        return next((each for each in told or [] if each.listen_id == listen_id), None)
