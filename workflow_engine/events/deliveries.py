"""Takes parked deliveries to their targets, and settles what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol, cast

import orjson

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.attempts import Verdict, delivery_of, tell
from workflow_engine.events.cloudevents import decode
from workflow_engine.events.outages import report
from workflow_engine.events.recent import RecentBodies
from workflow_engine.events.records import Position, moment
from workflow_engine.events.shared_store import SharedStore
from workflow_engine.events.spans import delivered
from workflow_engine.events.spi import Again, Attempt, Caps, Done, Parked, Settled, Store
from workflow_engine.events.subscriptions import FOREVER, MAX_TIMEOUT, RetryPolicy, Subscription
from workflow_engine.events.targets import Delivered, Delivery, Drop, Gone, Retry, Target
from workflow_engine.events.transforms import NotTransformed, transformed
from workflow_engine.telemetry.spans import tracer
from workflow_engine.values import JsonObject

PER_GROUP = 32
"""How many deliveries of one group are fetched at a time."""
IN_A_ROW = 64
"""How many deliveries of one listener are made before others of its run have a turn."""
MAX_IN_FLIGHT = 256
"""How many deliveries are with their targets at a time, over all groups."""
RUN_IN_FLIGHT = 32
"""How many of one run; its listeners get theirs one by one."""
LEASE_US = int((MAX_TIMEOUT + 60) * 1_000_000)
MAX_RETRY_AFTER = 3600.0
LOOK_AROUND = 1.0
"""How many seconds apart a process looks whether others left it something to deliver."""

_log = logging.getLogger(__name__)


class Recipients(Protocol):
    """Who deliveries are for, and what else has to happen; the router."""

    async def find_subscription(self, id: str) -> Subscription | None:
        """The subscription, or ``None`` if it was deleted."""

    def limits(self) -> Mapping[str, int]:
        """How many deliveries of each subscription's group may be under way; 0 where it is not enabled."""

    async def state_of(self, channel: str, run_id: str, listen_id: str) -> str:
        """``listening``, ``closing`` or ``unknown``: of a listener to *channel*."""

    async def gone(self, delivery: Delivery) -> None:
        """The target is no more: forget the run, or disable the subscription."""

    async def bury(self, delivery: Delivery, item: Parked, code: str, reason: str) -> None:
        """Publish dead letters of a delivery that is given up."""


class Deliverer:
    """Hands out what is due, fairly to all groups, and sleeps while there is nothing to do."""

    def __init__(
        self,
        store: Store,
        targets: Mapping[str, Target],
        recipients: Recipients,
        *,
        owner: str,
        now_us: Callable[[], int],
        recent: RecentBodies,
    ) -> None:
        self._store, self._targets, self._recipients = store, targets, recipients
        self._owner, self._now_us, self._recent = owner, now_us, recent
        self._woken = asyncio.Event()
        self._in_flight: dict[asyncio.Task[None], Parked] = {}
        self._per_group: Counter[str] = Counter()
        self._held: dict[str, int] = {}
        """Groups of which nothing is handed out until then, for their target asked for that."""
        self._pump: asyncio.Task[None] | None = None
        self._stopping = self._in_doubt = False
        self._shared = cast("SharedStore", store) if Caps.SHARED in store.caps else None

    async def check(self) -> None:
        """Raise `Unavailable` when the store cannot be written, or nothing is handed out."""
        await self._store.put("check", b"")  # which needs room, as an event does
        if self._pump is None or self._pump.done() or self._stopping:
            raise Unavailable("the router delivers nothing; it is not started, or it stops")

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    def let_go(self, group: str) -> None:
        """What its target asked for is of no account any more: there may be another one."""
        self._held.pop(group, None)

    def start(self) -> None:
        self._stopping = False
        self._pump = asyncio.create_task(self._run(), name="deliveries")

    async def stop(self, grace: float) -> None:
        """Hand out nothing more, wait *grace* seconds for what is under way, and put the rest back."""
        self._stopping = True
        self._woken.set()
        if self._pump is not None:
            await self._pump
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

    def _room(self) -> dict[str, int]:
        """How many more of each group may be handed out, where that is not `PER_GROUP`.

        A group that is busy is filled up when half of it is done, so that few questions fetch many.
        """
        limits = self._recipients.limits()
        room = {group: limit for group, limit in limits.items() if limit < PER_GROUP}
        for group, running in self._per_group.items():
            limit = limits.get(group, RUN_IN_FLIGHT)
            room[group] = min(PER_GROUP, limit - running) if running <= limit // 2 else 0
        now_us = self._now_us()
        self._held = {group: until_us for group, until_us in self._held.items() if until_us > now_us}
        return room | dict.fromkeys(self._held, 0)

    async def _run(self) -> None:
        pause = 0.05
        while not self._stopping:
            self._woken.clear()
            try:
                wait = await self._hand_out()
                pause = 0.05
            except Exception as error:  # noqa: BLE001  a bug must not stop all the others
                report(_log, error, "deliveries wait: %s", error)
                self._in_doubt = True
                wait, pause = pause, min(pause * 2, 5.0)
            if wait is None or wait > 0:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), wait)

    async def _hand_out(self) -> float | None:
        """Begin what is due; how many seconds to wait for more, ``None`` for until something happens."""
        free = MAX_IN_FLIGHT - len(self._in_flight)
        if free <= 0:
            return None
        room, now_us = self._room(), self._now_us()
        items = await self._due(now_us, free, room)
        for item in items:
            task = asyncio.create_task(self._work(item), name=f"deliver {item.id}")
            self._in_flight[task] = item
            self._per_group[item.group] += 1
            task.add_done_callback(self._finished)
        if items:
            return 0.0
        due_us = await self._store.next_due({group for group, left in room.items() if left <= 0})
        due_us = min([*self._held.values(), *(() if due_us is None else (due_us,))], default=None)
        wait = None if due_us is None else max(0.001, (due_us - self._now_us()) / 1e6)
        return wait if self._shared is None else min(wait or LOOK_AROUND, LOOK_AROUND)

    async def _due(self, now_us: int, free: int, room: Mapping[str, int]) -> list[Parked]:
        if self._shared is None:
            return await self._store.due(
                self._owner, now_us, limit=free, lease_us=LEASE_US, per_group=PER_GROUP, room=room
            )
        if self._in_doubt:  # what failed may have been done: leases that nobody here has heard of
            await self._shared.put_back(self._owner, keep=[item.id for item in self._in_flight.values()])
            self._in_doubt = False
        return await self._shared.due(
            self._owner,
            now_us,
            limit=free,
            lease_us=LEASE_US,
            per_group=PER_GROUP,
            room=room,
            limits=self._recipients.limits(),
        )

    def _finished(self, task: asyncio.Task[None]) -> None:
        item = self._in_flight.pop(task)
        self._per_group[item.group] -= 1
        if not self._per_group[item.group]:
            del self._per_group[item.group]
        self._woken.set()

    async def _work(self, item: Parked) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            for left in reversed(range(IN_A_ROW)):
                last = left == 0 or self._stopping or item.group in self._held
                settled = await self._attempt(item, last=last)
                if settled.next is None:
                    return
                item = self._in_flight[task] = settled.next
        except asyncio.CancelledError:
            await self._store.settle(item, Again(self._now_us(), "the router stopped"))
            raise
        except NotFound:
            return  # the channel was dropped with its deliveries
        except Exception as error:  # noqa: BLE001  a bug must not stop all the others
            report(_log, error, "delivery %s waits: %s", item.id, error)
            self._in_doubt = True
            await self._put_back(item)

    async def _put_back(self, item: Parked) -> None:
        pause = 0.05
        while not self._stopping:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)
            try:
                await self._store.settle(item, Again(self._now_us(), "the store was not available"))
            except Unavailable:
                continue
            except NotFound:
                pass  # the channel was dropped
            return

    async def _attempt(self, item: Parked, *, last: bool) -> Settled:
        payload = orjson.loads(item.payload)
        policy = FOREVER
        if "run" in payload:
            state = await self._recipients.state_of(item.channel, payload["run"], payload["listen"])
            if state == "closing":
                return await self._store.settle(
                    item, Again(self._now_us() + 50_000, "the listener is being closed")
                )
            target: JsonObject = {"kind": "run"}
            kind, gone = "run", state == "unknown"
        else:
            subscription = await self._recipients.find_subscription(item.group.partition(":")[2])
            gone = subscription is None
            target = {} if subscription is None else subscription.target
            kind = str(target.get("kind"))
            policy = policy if subscription is None else subscription.retry
        if gone:
            verdict = Verdict("dropped", "unwanted", "nobody waits for it any more")
            return await self._close(item, self._rows(item, payload, verdict, 0.0), last=last)
        positions = [Position.parse(text) for text in payload["events"]]
        events = await self.events_at(item.channel, positions, payload.get("kept", {}))
        delivery = delivery_of(item, payload, target, events)
        if target.get("received") is True:
            delivery = replace(delivery, received=await self._received(item.channel, positions[0]))
        started = self._now_us()
        if len(events) < len(positions):
            verdict = Verdict("dead", "trimmed", "the event is not in the log any more")
        else:
            transform = None if "run" in payload or subscription is None else subscription.transform
            verdict = await self._call(kind, delivery, policy, transform)
        verdict = self._give_up(item, verdict, policy, started)
        tell(item, payload, verdict)
        rows = self._rows(item, payload, verdict, (self._now_us() - started) / 1000)
        if verdict.status == "retry":
            wait = (
                policy.delay(item.attempt + 1)
                if verdict.after is None
                else min(verdict.after, MAX_RETRY_AFTER)
            )
            due_us = self._now_us() + int(max(0.0, wait) * 1e6)
            if verdict.whole and verdict.after:
                self._held[item.group] = due_us
            reason = f"{verdict.code}: {verdict.detail}"[:1024]
            return await self._store.settle(item, Again(due_us, reason), ledger=rows)
        if verdict.status == "dead" or (verdict.status == "gone" and delivery.listening is None):
            await self._recipients.bury(delivery, item, verdict.code, verdict.detail)
        if verdict.status == "gone":
            await self._recipients.gone(delivery)
        return await self._close(item, rows, last=last)

    async def events_at(
        self, channel: str, positions: list[Position], kept: Mapping[str, JsonObject]
    ) -> tuple[JsonObject, ...]:
        """The events that are still there, or else among those that were *kept*, by their positions."""
        bodies = [self._recent.get(channel, at) for at in positions]
        if None in bodies:
            found = await self._store.fetch(channel, positions)
            bodies = [None if stored is None else stored.record.body for stored in found]
        events = [
            kept.get(str(at)) if body is None else decode(body)
            for at, body in zip(positions, bodies, strict=True)
        ]
        return tuple(event for event in events if event is not None)

    async def _received(self, channel: str, position: Position) -> datetime | None:
        (found,) = await self._store.fetch(channel, [position])
        return None if found is None else moment(found.time_us)

    async def _call(
        self, kind: str, delivery: Delivery, policy: RetryPolicy, transform: JsonObject | None
    ) -> Verdict:
        target = self._targets.get(kind)
        if target is None:
            return Verdict("retry", "no-target", f"this router has no target of kind {kind!r}")
        events = delivery.events
        try:
            if transform is not None:
                made = tuple(transformed(transform, event) for event in delivery.events)
                delivery = replace(delivery, events=made)
            async with asyncio.timeout(policy.timeout):
                answer: Delivered
                if (tracing := tracer()) is None:
                    answer = await target.deliver(delivery)
                else:
                    answer = await delivered(tracing, kind, target, delivery, events)
        except Retry as error:
            return Verdict("retry", error.code, str(error), after=error.after, whole=error.whole)
        except Drop as error:
            return Verdict("dead", error.code, str(error))
        except Gone as error:
            return Verdict("gone", "gone", str(error))
        except NotTransformed as error:
            return Verdict("dead", "not-transformed", str(error))
        except TimeoutError:
            return Verdict("retry", "timeout", f"no answer within {policy.timeout:g} s")
        except Exception as error:  # noqa: BLE001  whatever a target raises is one failed attempt
            return Verdict("retry", type(error).__name__, str(error))
        return Verdict("delivered", answer.code, answer.detail, answer.reference)

    def _give_up(self, item: Parked, verdict: Verdict, policy: RetryPolicy, now_us: int) -> Verdict:
        if verdict.status != "retry":
            return verdict
        attempts = policy.max_attempts is not None and item.attempt + 1 >= policy.max_attempts
        aged = policy.max_age is not None and now_us - item.first_us >= policy.max_age * 1e6
        return Verdict("dead", verdict.code, verdict.detail) if attempts or aged else verdict

    async def _close(self, item: Parked, rows: list[Attempt], *, last: bool) -> Settled:
        """The delivery is over; unless it is the *last* in a row, go on with the next of its key."""
        until_us = None if last else self._now_us() + LEASE_US
        return await self._store.settle(item, Done(), ledger=rows, next_until_us=until_us)

    def _rows(self, item: Parked, payload: dict[str, Any], verdict: Verdict, ms: float) -> list[Attempt]:
        return [
            Attempt(
                channel=item.channel,
                position=Position.parse(text),
                group=item.group,
                delivery=item.id,
                status=verdict.status,
                at_us=self._now_us(),
                n=item.attempt + 1,
                ms=round(ms, 3),
                code=verdict.code,
                detail=verdict.detail[:1024],
                reference=verdict.reference[:1024],
            )
            for text in payload["events"]
        ]
