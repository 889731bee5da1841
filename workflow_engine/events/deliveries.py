"""Takes parked deliveries to their targets, and settles what became of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

import orjson

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.attempts import Verdict, delivery_of, storable, tell
from workflow_engine.events.cloudevents import decode
from workflow_engine.events.handing import LEASE_US, HandingOut
from workflow_engine.events.outages import report
from workflow_engine.events.recent import RecentBodies
from workflow_engine.events.records import Position, moment
from workflow_engine.events.spans import delivered
from workflow_engine.events.spi import Again, Attempt, Done, Parked, Settled, Store
from workflow_engine.events.subscriptions import FOREVER, RetryPolicy, Subscription
from workflow_engine.events.targets import Delivered, Delivery, Drop, Gone, Retry, Target
from workflow_engine.events.transforms import NotTransformed, all_transformed
from workflow_engine.telemetry.spans import tracer
from workflow_engine.values import JsonObject

IN_A_ROW = 64
"""How many deliveries of one listener are made before others of its run have a turn."""
MAX_RETRY_AFTER = 3600.0

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


class Deliverer(HandingOut):
    """Takes what is handed out to its target."""

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
        super().__init__(store, owner=owner, now_us=now_us, limits=recipients.limits)
        self._targets, self._recipients, self._recent = targets, recipients, recent

    async def _work(self, item: Parked) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            if (turn := self._turn(item.group)) is not None:
                await turn
            for left in reversed(range(IN_A_ROW)):
                settled = await self._attempt(item, left)
                if settled.next is None:
                    if item.key is not None and (left == 0 or self._stands(item.group)):
                        self.wake()  # for the next of its key
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
            self.wake()
            return

    async def _attempt(self, item: Parked, left: int) -> Settled:
        payload = orjson.loads(item.payload)
        policy = FOREVER
        if "run" in payload:
            state = await self._recipients.state_of(item.channel, payload["run"], payload["listen"])
            if state == "closing":
                return await self._again(item, self._now_us() + 50_000, "the listener is being closed")
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
            return await self._close(item, self._rows(item, payload, verdict, 0.0), left)
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
        verdict = storable(self._give_up(item, verdict, policy, started))
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
                self.hold(item.group, due_us)
            reason = f"{verdict.code}: {verdict.detail}"[:1024]
            return await self._again(item, due_us, reason, rows)
        if verdict.status == "delivered" and verdict.after:
            self.hold(item.group, self._now_us() + int(verdict.after * 1e6))
        if verdict.status == "dead" or (verdict.status == "gone" and delivery.listening is None):
            await self._recipients.bury(delivery, item, verdict.code, verdict.detail)
        if verdict.status == "gone":
            await self._recipients.gone(delivery)
        return await self._close(item, rows, left)

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
                made = await asyncio.to_thread(all_transformed, transform, delivery.events)
                delivery = replace(delivery, events=made)
            async with asyncio.timeout(policy.timeout):
                answer: Delivered
                if (tracing := tracer()) is None:
                    answer = await target.deliver(delivery)
                else:
                    answer = await delivered(tracing, kind, target, delivery, events)
        except Retry as error:
            return Verdict(
                "retry",
                error.code,
                str(error),
                after=error.after,
                whole=error.whole,
                patient=error.patient,
            )
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
        return Verdict("delivered", answer.code, answer.detail, answer.reference, answer.after or None)

    def _give_up(self, item: Parked, verdict: Verdict, policy: RetryPolicy, now_us: int) -> Verdict:
        if verdict.status != "retry":
            return verdict
        most = None if verdict.patient else policy.max_attempts
        attempts = most is not None and item.attempt + 1 >= most
        aged = policy.max_age is not None and now_us - item.first_us >= policy.max_age * 1e6
        return Verdict("dead", verdict.code, verdict.detail) if attempts or aged else verdict

    async def _again(self, item: Parked, due_us: int, reason: str, rows: Sequence[Attempt] = ()) -> Settled:
        settled = await self._store.settle(item, Again(due_us, reason), ledger=rows)
        self.later(due_us)
        return settled

    def _stands(self, group: str) -> bool:
        """Whether nothing more of *group* is to be delivered now: it is paused, or its target asked to wait."""
        return self._stopping or group in self._held or not self._recipients.limits().get(group, 1)

    async def _close(self, item: Parked, rows: list[Attempt], left: int) -> Settled:
        """The delivery is over; go on with the next of its key, if some are *left* in a row and the group may go on."""
        last = left == 0 or self._stands(item.group)
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
