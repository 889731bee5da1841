"""When deliveries are begun: those that the dispatcher has just made, and those that a look into the store finds."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter, deque
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, cast

from workflow_engine.errors import Unavailable
from workflow_engine.events.outages import report
from workflow_engine.events.shared_store import Claim, ClaimingStore, DoubtfulStore, SharedStore, TellingStore
from workflow_engine.events.spi import Assignment, Attempt, Caps, Fenced, Parked, Store
from workflow_engine.events.stores.wakeups import Wakeups
from workflow_engine.events.subscriptions import MAX_TIMEOUT

PER_GROUP = 32
"""How many deliveries of one group are fetched at a time."""
MAX_IN_FLIGHT = 256
"""How many deliveries are with their targets at a time, over all groups."""
RUN_IN_FLIGHT = 32
"""How many of one run; its listeners get theirs one by one."""
LEASE_US = int((MAX_TIMEOUT + 60) * 1_000_000)
LOOK_AROUND = 1.0
"""How many seconds apart a process looks whether others left it something to deliver."""

_log = logging.getLogger("workflow_engine.events.deliveries")


class HandingOut:
    """Begins what is due, fairly to all groups, and sleeps while there is nothing to do.

    It looks into the store where something may be due that it does not know of: when it is woken, when the earliest
    of what waits is due, and when there is room again for a group that had more than there was room for.
    """

    def __init__(
        self, store: Store, *, owner: str, now_us: Callable[[], int], limits: Callable[[], Mapping[str, int]]
    ) -> None:
        """*limits* tells how many deliveries of a group may be under way, of those that have a limit of their own."""
        self._store, self._owner, self._now_us, self._limits = store, owner, now_us, limits
        self._shared = cast("SharedStore", store) if Caps.SHARED in store.caps else None
        self._claims = store if isinstance(store, ClaimingStore) else None
        self._doubtful = store if isinstance(store, DoubtfulStore) else None
        self._woken, self._due_now = asyncio.Event(), Wakeups()
        self._in_flight: dict[asyncio.Task[None], Parked] = {}
        self._per_group: Counter[str] = Counter()
        self._with_targets: dict[asyncio.Task[None], str] = {}
        self._at_work: Counter[str] = Counter()
        self._turns: dict[str, deque[asyncio.Future[None]]] = {}
        """Which deliveries are with their targets, how many of each group, and what those wait for that are leased
        beyond its limit: a look and a commit may each find the same room.
        """
        self._claiming: Counter[str] = Counter()
        self._offered: set[str] = set()
        """How many of each group commits may lease that are under way, and the ids that they park or lease."""
        self._commits: set[asyncio.Task[list[Parked]]] = set()
        self._look, self._wait_until_us = True, 0
        self._held: dict[str, int] = {}
        """Groups of which nothing is handed out until then, for their target asked for that."""
        self._crowded = False
        """Whether something may be due that there is no room for, whichever group it is of."""
        self._filled: Collection[str] = ()
        """The groups that may have more that is due than there was room for."""
        self._pump: asyncio.Task[None] | None = None
        self._stopping = self._in_doubt = False

    async def check(self) -> None:
        """Raise `Unavailable` when the store cannot be written, or nothing is handed out."""
        await self._store.put("check", b"")  # which needs room, as an event does
        if self._pump is None or self._pump.done() or self._stopping:
            raise Unavailable("the router delivers nothing; it is not started, or it stops")

    def wake(self) -> None:
        """There may be something to do."""
        self._look = True
        self._woken.set()
        self._due_now.notify("")

    def ticket(self) -> asyncio.Future[None]:
        """What ends when something may be due that is not handed out here."""
        return self._due_now.ticket("")

    def hold(self, group: str, until_us: int) -> None:
        """Hand out nothing of *group* until then."""
        self._held[group] = until_us
        self.later(until_us)

    def let_go(self, group: str) -> None:
        """What its target asked for is of no account any more: there may be another one."""
        self._held.pop(group, None)

    def start(self) -> None:
        self._stopping, self._look = False, True
        if isinstance(self._store, TellingStore):
            self._store.when_due(self.wake)
        self._pump = asyncio.create_task(self._run(), name="deliveries")

    async def stop(self, grace: float) -> None:
        """Hand out nothing more, wait *grace* seconds for what is under way, and put the rest back."""
        self._stopping = True
        self._woken.set()
        if self._pump is not None:
            await self._pump
        while self._offered or self._commits:  # what a commit leases is begun, and put back
            await asyncio.gather(asyncio.sleep(0), *self._commits, return_exceptions=True)
        if self._in_flight:
            await asyncio.wait(self._in_flight, timeout=grace)
        for task in list(self._in_flight):
            task.cancel()
        await asyncio.gather(*self._in_flight, return_exceptions=True)

    async def settled(self, group: str, key: str) -> None:
        """Wait until no delivery of *key* is under way; the caller sees to it that none begins."""
        while tasks := [
            task for task, item in self._in_flight.items() if (item.group, item.key) == (group, key)
        ]:
            await asyncio.wait(tasks)
        if self._shared is not None:
            begun = {(item.id, item.due_us) for item in await self._elsewhere(group, key)}
            while begun & {(item.id, item.due_us) for item in await self._elsewhere(group, key)}:  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def _elsewhere(self, group: str, key: str) -> list[Parked]:
        """The deliveries of *key* that other processes have under way."""
        return [
            item
            for item in await self._store.parked(group)
            if item.key == key and item.owner not in (None, self._owner) and item.due_us > self._now_us()
        ]

    # What the dispatcher makes

    async def commit(
        self,
        held: Assignment,
        offsets: Mapping[int, int],
        *,
        outbox: Sequence[Parked],
        state: Mapping[str, bytes | None],
        ledger: Sequence[Attempt],
        sync: bool,
    ) -> list[Parked]:
        """As the store's. What is leased with it, if the store can, and there is room, is for the caller to begin."""
        room = self._claimable(outbox)
        if self._claims is None or not room:
            await self._store.commit(held, offsets, outbox=outbox, state=state, ledger=ledger, sync=sync)
            if outbox:
                self.wake()
            return []
        now_us = self._now_us()
        limits = {} if self._shared is None else self._limits()
        claim = Claim(
            owner=self._owner,
            now_us=now_us,
            until_us=now_us + LEASE_US,
            room=room,
            limits={group: limits[group] for group in room if group in limits},
        )
        commit = self._claims.commit_and_claim(
            held, offsets, outbox=outbox, state=state, ledger=ledger, sync=sync, claim=claim
        )
        task = asyncio.create_task(self._claim(commit, room, {item.id for item in outbox}), name="commit")
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(self._begin_with)
            raise

    def _begin_with(self, task: asyncio.Task[list[Parked]]) -> None:
        if not task.cancelled() and task.exception() is None:
            self.begin(task.result())

    async def _claim(
        self, commit: Coroutine[Any, Any, tuple[list[Parked], bool]], room: Mapping[str, int], ids: set[str]
    ) -> list[Parked]:
        self._claiming.update(room)
        self._offered |= ids
        items: list[Parked] = []
        try:
            items, more = await commit
            if more:
                self.wake()
            return items
        except Fenced:
            raise
        except BaseException:
            self._in_doubt = True
            self.wake()
            raise
        finally:
            self._claiming.subtract(room)
            self._claiming.update(item.group for item in items)
            self._claiming += Counter()  # without those of which there are none
            self._offered = (self._offered - ids) | {item.id for item in items}
            self._look_again(room)

    def _claimable(self, outbox: Sequence[Parked]) -> dict[str, int]:
        """How many of each group may be begun of what is parked."""
        free = MAX_IN_FLIGHT - len(self._in_flight) - self._claiming.total()
        room: dict[str, int] = {}
        if free <= 0 or self._crowded or self._stopping:
            return room
        limits = self._limits()
        for group, count in Counter(item.group for item in outbox).items():
            left = limits.get(group, RUN_IN_FLIGHT) - self._per_group[group] - self._claiming[group]
            most = 0 if group in self._held else min(left, count, free, PER_GROUP)
            if most > 0:
                room[group] = most
                free -= most
        return room

    def begin(self, items: Sequence[Parked]) -> None:
        """Work on what is leased."""
        for item in items:
            task = asyncio.create_task(self._work(item), name=f"deliver {item.id}")
            self._in_flight[task] = item
            self._per_group[item.group] += 1
            if item.id in self._offered:
                self._offered.discard(item.id)
                self._claiming -= Counter([item.group])
            task.add_done_callback(self._finished)

    def _turn(self, group: str) -> asyncio.Future[None] | None:
        """What to wait for before a delivery of *group* goes to its target; None when it may go at once. The task that
        asks has the turn until it ends.
        """
        task = asyncio.current_task()
        assert task is not None
        if self._at_work[group] < self._most_of(group):
            self._at_work[group] += 1
            self._with_targets[task] = group
            return None
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turn.add_done_callback(partial(self._has_turn, task, group))
        self._turns.setdefault(group, deque()).append(turn)
        return turn

    def _has_turn(self, task: asyncio.Task[None], group: str, turn: asyncio.Future[None]) -> None:
        if not turn.cancelled():
            self._with_targets[task] = group

    def _next_turn(self, group: str) -> None:
        """One of *group* has ended: another one has its turn, unless fewer may be at work now."""
        turns = self._turns.get(group, ())
        while turns and self._at_work[group] <= self._most_of(group):
            turn = turns.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        if not turns:
            self._turns.pop(group, None)
        self._at_work[group] -= 1
        if not self._at_work[group]:
            del self._at_work[group]

    def _most_of(self, group: str) -> int:
        # One at least: what is leased of a subscription that has been switched off since must come to its end.
        return max(1, self._limits().get(group, RUN_IN_FLIGHT))

    def _finished(self, task: asyncio.Task[None]) -> None:
        item = self._in_flight.pop(task)
        if task in self._with_targets:
            self._next_turn(self._with_targets.pop(task))
        self._per_group[item.group] -= 1
        if not self._per_group[item.group]:
            del self._per_group[item.group]
        self._look_again([item.group])

    def _look_again(self, groups: Collection[str]) -> None:
        """There may be room again for some of *groups*."""
        if any(group in self._filled and self._room_of(group) > 0 for group in groups):
            self._look = True
        if self._look:
            self._woken.set()

    async def _work(self, item: Parked) -> None:
        """Do what is to be done with a delivery that is leased."""
        raise NotImplementedError

    # What a look finds

    def later(self, due_us: int) -> None:
        """Something will be due then."""
        if due_us < self._wait_until_us:
            self._wait_until_us = due_us
            self._woken.set()

    def _room(self) -> dict[str, int]:
        """How many more of each group may be handed out, where that is not `PER_GROUP`.

        A group that is busy is filled up when half of it is done, so that few questions fetch many.
        """
        room = {group: limit for group, limit in self._limits().items() if limit < PER_GROUP}
        now_us = self._now_us()
        self._held = {group: until_us for group, until_us in self._held.items() if until_us > now_us}
        busy = (*self._per_group, *self._claiming, *self._held)
        return room | {group: self._room_of(group) for group in busy}

    def _room_of(self, group: str) -> int:
        limit = self._limits().get(group, RUN_IN_FLIGHT)
        running = self._per_group[group] + self._claiming[group]
        return min(PER_GROUP, limit - running) if running <= limit // 2 and group not in self._held else 0

    async def _run(self) -> None:
        pause = 0.05
        while not self._stopping:
            self._woken.clear()
            try:
                wait = await self._hand_out()
                pause = 0.05
            except Exception as error:  # noqa: BLE001  a bug must not stop all the others
                report(_log, error, "deliveries wait: %s", error)
                self._in_doubt = self._look = True
                wait, pause = pause, min(pause * 2, 5.0)
            if wait is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait):
                        await self._woken.wait()

    async def _hand_out(self) -> float | None:
        """Begin what is due; how many seconds to wait for more, ``None`` for until something happens."""
        now_us = self._now_us()
        if not self._look and now_us < self._wait_until_us:
            return self._wait()
        free = MAX_IN_FLIGHT - len(self._in_flight) - self._claiming.total()
        if free <= 0:
            self._look = self._crowded = True
            return None
        self._look, room = False, self._room()
        self._wait_until_us = _NEVER_US
        items = await self._due(now_us, free, room)
        self.begin(items)
        found = Counter(item.group for item in items)
        full = {group for group, n in found.items() if self._shared or n >= room.get(group, PER_GROUP)}
        self._filled = full | {group for group, left in room.items() if left <= 0}
        self._crowded = len(items) == free
        # What ended while the store was asked has said so to those groups alone that were full before.
        if self._crowded or any(self._room_of(group) > 0 for group in self._filled):
            self._look = True
            return None if self._crowded else 0.0
        due_us = await self._store.next_due({group for group, left in room.items() if left <= 0})
        until_us = min(self._held.values(), default=_NEVER_US)
        until_us = until_us if due_us is None else min(until_us, due_us)
        if self._shared is not None:
            until_us = min(until_us, now_us + int(LOOK_AROUND * 1e6))
        self._wait_until_us = min(self._wait_until_us, until_us)
        return None if self._wait_until_us == _NEVER_US else self._wait()

    def _wait(self) -> float:
        return 0.0 if self._look else max(0.001, (self._wait_until_us - self._now_us()) / 1e6)

    async def _due(self, now_us: int, free: int, room: Mapping[str, int]) -> list[Parked]:
        in_doubt, self._in_doubt = self._in_doubt, False
        if (
            in_doubt and self._doubtful is not None
        ):  # what failed may have been done: leases of which nobody heard
            known = [*(item.id for item in self._in_flight.values()), *self._offered]
            await self._doubtful.put_back(self._owner, keep=known)
        if self._shared is None:
            return await self._store.due(
                self._owner, now_us, limit=free, lease_us=LEASE_US, per_group=PER_GROUP, room=room
            )
        return await self._shared.due(
            self._owner,
            now_us,
            limit=free,
            lease_us=LEASE_US,
            per_group=PER_GROUP,
            room=room,
            limits=self._limits(),
        )


_NEVER_US = 1 << 62
