"""Deliveries that are fetched: whoever asks for them has them on loan, and says what became of each."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import orjson

from workflow_engine.errors import Conflict, NotFound, Rejected
from workflow_engine.events.attempts import delivery_of
from workflow_engine.events.records import Position, moment
from workflow_engine.events.redriving import Redriving
from workflow_engine.events.spi import LENT, RAN_OUT, Again, Attempt, Done, Parked
from workflow_engine.events.subscriptions import Subscription
from workflow_engine.events.targets import Delivered, Delivery, Retry
from workflow_engine.events.transforms import NotTransformed, all_transformed
from workflow_engine.values import Json, JsonObject, pointer, rfc3339

KIND = "pull"
MOST = 100
"""How many deliveries are lent at a time at most."""
LONGEST = 3600.0
"""For how many seconds at most."""
MAX_WAIT = 60.0
_PAUSE, _LOOK = 0.01, 0.5
"""Seconds between two looks for what is due: at least; and at most, for what waits for another attempt tells nobody."""
_KEY = "pull-key"


class PullTarget:
    """``{"kind": "pull"}``: deliveries wait until they are fetched (`Pulling.pull`)."""

    def check(self, target: JsonObject, *path: str | int) -> None:
        for name in target:
            if name != "kind":
                raise Rejected(
                    "target-invalid",
                    "a target that is fetched has a kind alone",
                    pointer=pointer(*path, name),
                )

    async def deliver(self, delivery: Delivery) -> Delivered:
        raise Retry("it waits to be fetched", code="waits")


@dataclass(frozen=True, slots=True)
class Lent:
    """A delivery on loan until *until_us*; *receipt* is what says how it went."""

    receipt: str
    events: tuple[JsonObject, ...]
    positions: tuple[str, ...]
    attempt: int
    until_us: int

    def to_json(self) -> JsonObject:
        return {
            "receipt": self.receipt,
            "events": [*self.events],
            "positions": [*self.positions],
            "attempt": self.attempt,
            "until": rfc3339(moment(self.until_us)),
        }


class Pulling(Redriving):
    """The part of the router that lends deliveries to who asks for them."""

    _pull_key = b""

    async def pull(self, id: str, *, most: int = 10, lease: float = 60.0, wait: float = 0.0) -> list[Lent]:
        """Up to *most* deliveries of a subscription whose target is ``pull``, for *lease* seconds each; where there are
        none, those that come within *wait* seconds. What is not settled in time was an attempt: it is lent again, or
        a dead letter after as many as the subscription permits.

        `NotFound` where there is no such subscription, `Conflict` where it has another target or is paused.
        """
        if not (1 <= most <= MOST and 1 <= lease <= LONGEST and 0 <= wait <= MAX_WAIT):
            message = (
                f"from 1 to {MOST} deliveries, for 1 to {LONGEST:g} seconds, waiting {MAX_WAIT:g} at most"
            )
            raise Rejected("pull-invalid", message)
        deadline = asyncio.get_running_loop().time() + wait
        while True:
            ticket, subscription = self._deliverer.ticket(), await self._fetchable(id)
            lent = await self._lend(subscription, most, lease)
            left = deadline - asyncio.get_running_loop().time()
            if lent or left <= 0:
                return lent
            await asyncio.wait({ticket}, timeout=min(_LOOK, left))
            await asyncio.sleep(_PAUSE)

    async def _existing(self, id: str) -> Subscription:
        found = await self.find_subscription(id)
        if found is None:
            raise NotFound("subscription", id)
        return found

    async def _fetchable(self, id: str) -> Subscription:
        found = await self._existing(id)
        if found.target.get("kind") != KIND:
            raise Conflict(f"{id} has the target {found.target.get('kind')}: what it gets is not fetched")
        if not found.enabled:
            raise Conflict(f"{id} is paused")
        return found

    async def _lend(self, subscription: Subscription, most: int, lease: float) -> list[Lent]:
        group, lent = f"sub:{subscription.id}", list[Lent]()
        while not lent:
            now_us = self._now_us()
            items = await self._store.due(
                LENT, now_us, limit=most, lease_us=int(lease * 1e6), per_group=0, room={group: most}
            )
            for item in items:
                if (one := await self._one(subscription, item)) is not None:
                    lent.append(one)
            if not items:
                break
        return lent

    async def _one(self, subscription: Subscription, item: Parked) -> Lent | None:
        """What is lent of a delivery, or None where it is given up instead."""
        if item.reason == RAN_OUT and await self._ran_out(subscription, item):
            return None
        positions, events = await self._events(item)
        code, why = "", ""
        if len(events) < len(positions):
            code, why = "trimmed", "the event is not in the log any more"
        elif subscription.transform is not None:
            try:
                events = await asyncio.to_thread(all_transformed, subscription.transform, events)
            except NotTransformed as error:
                code, why = "not-transformed", str(error)
        if code:
            await self._give_up(item, code, why)
            return None
        receipt = await self._receipt(item)
        return Lent(receipt, events, tuple(map(str, positions)), item.attempt + 1, item.due_us)

    async def _ran_out(self, subscription: Subscription, item: Parked) -> bool:
        """Whether it is given up now that its loan ended by itself, which was an attempt."""
        then = replace(item, attempt=item.attempt - 1)  # as it was lent
        if self._is_spent(subscription, then):
            why = "it was lent as often, or for as long, as its subscription permits, and nobody settled it"
            await self._give_up(then, "expired", why)
            return True
        await self._store.log_attempts(self._rows(then, "retry", "expired", ""))
        return False

    def _is_spent(self, subscription: Subscription, item: Parked) -> bool:
        policy = subscription.retry
        spent = policy.max_attempts is not None and item.attempt + 1 >= policy.max_attempts
        aged = policy.max_age is not None and self._now_us() - item.first_us >= policy.max_age * 1e6
        return spent or aged

    async def settle(self, id: str, verdicts: list[tuple[str, str, Any]]) -> list[bool]:
        """Say how deliveries went: each with its receipt, ``done``, ``again`` (after how many seconds, or None for what
        the subscription's policy says) or ``dead`` (why). Whether each was still on loan; the others are lent again.

        What was lent is settled though the subscription is paused meanwhile, or has another target. `Rejected` for what
        is no receipt, and then none of them is settled.
        """
        subscription = await self._existing(id)
        items = [await self._lent(id, receipt) for receipt, _, _ in verdicts]
        return [
            await self._settle(subscription, item, how, more)
            for item, (_, how, more) in zip(items, verdicts, strict=True)
        ]

    async def _settle(self, subscription: Subscription, item: Parked, how: str, more: Any) -> bool:
        policy = subscription.retry
        if how == "done":
            return await self._close(item, "delivered", "ack", "")
        if how == "again":
            if not self._is_spent(subscription, item):
                wait = policy.delay(item.attempt + 1) if more is None else float(more)
                due_us = self._now_us() + int(wait * 1e6)
                rows = self._rows(item, "retry", "nack", "")
                held = (await self._store.settle(item, Again(due_us, "nack"), ledger=rows)).held
                self._deliverer.wake()
                return held
            more = "it was given back as often, or for as long, as its subscription permits"
        return await self._give_up(item, "rejected" if how == "dead" else "nack", str(more or ""))

    async def _events(self, item: Parked) -> tuple[list[Position], tuple[JsonObject, ...]]:
        payload = orjson.loads(item.payload)
        positions = [Position.parse(text) for text in payload["events"]]
        return positions, await self._deliverer.events_at(item.channel, positions, payload.get("kept", {}))

    async def _give_up(self, item: Parked, code: str, why: str) -> bool:
        """Make a dead letter of what is lent; False where it is so no more."""
        lent = await self._store.parked(item.group, at=(item.channel, item.position))
        held = next((each for each in lent if _loan(each) == _loan(item)), None)
        if held is None:
            return False
        held = replace(held, attempt=item.attempt)
        _, events = await self._events(held)  # a receipt has none that are in the log no more
        delivery = delivery_of(held, orjson.loads(held.payload), {"kind": KIND}, events)
        # First, for it must not be lost; done twice it is done once.
        await self.bury(delivery, held, code, why)
        return await self._close(item, "dead", code, why)

    async def _close(self, item: Parked, status: str, code: str, detail: str) -> bool:
        return (await self._store.settle(item, Done(), ledger=self._rows(item, status, code, detail))).held

    def _rows(self, item: Parked, status: str, code: str, detail: str) -> list[Attempt]:
        return [
            Attempt(
                channel=item.channel,
                position=Position.parse(text),
                group=item.group,
                delivery=item.id,
                status=status,
                at_us=self._now_us(),
                n=item.attempt + 1,
                code=code,
                detail=detail[:1024],
            )
            for text in orjson.loads(item.payload)["events"]
        ]

    # Receipts: the lease itself, signed, so that any process of the router can settle it and nobody can make one up

    async def _receipt(self, item: Parked) -> str:
        payload = {name: value for name, value in orjson.loads(item.payload).items() if name != "kept"}
        text = orjson.dumps(payload).decode()
        body = orjson.dumps(
            [item.id, item.channel, item.group, str(item.position), item.due_us, text, item.key, item.attempt,
             item.first_us, item.owner]
        )  # fmt: skip
        signature = hmac.new(await self._signing_key(), body, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(signature + body).decode()

    async def _lent(self, id: str, receipt: str) -> Parked:
        try:
            raw = base64.urlsafe_b64decode(receipt.encode())
        except ValueError:
            raw = b""
        signature, body = raw[:32], raw[32:]
        expected = hmac.new(await self._signing_key(), body, hashlib.sha256).digest()
        if not hmac.compare_digest(signature, expected):
            raise Rejected("receipt-invalid", "this is no receipt of a delivery of this router")
        name, channel, group, position, due_us, payload, key, attempt, first_us, owner = orjson.loads(body)
        if group != f"sub:{id}":
            raise Rejected("receipt-invalid", f"the receipt is of a delivery to {group.removeprefix('sub:')}")
        return Parked(
            name,
            channel,
            group,
            Position.parse(position),
            due_us,
            payload.encode(),
            key,
            attempt,
            first_us,
            "",
            owner,
        )

    async def _signing_key(self) -> bytes:
        if not self._pull_key:
            entry = await self._store.get(_KEY)
            if entry is None:
                with contextlib.suppress(Conflict):  # another process was first
                    await self._store.put(_KEY, secrets.token_bytes(32), if_rev=0)
                entry = await self._store.get(_KEY)
            assert entry is not None
            self._pull_key = entry.value
        return self._pull_key


def _loan(item: Parked) -> tuple[str, str | None, int]:
    return item.id, item.owner, item.due_us


def verdicts_of(body: Mapping[str, Json]) -> list[tuple[str, str, Any]]:
    """What ``{"ack": [receipt], "nack": [{receipt, after}], "reject": [{receipt, reason}]}`` says, for `settle`."""
    found: list[tuple[str, str, Any]] = []
    for member, how, more in (
        ("ack", "done", None),
        ("nack", "again", "after"),
        ("reject", "dead", "reason"),
    ):
        given = body.get(member, [])
        if not isinstance(given, list):
            raise Rejected("settle-invalid", "expected a list", pointer=pointer(member))
        for number, item in enumerate(given):
            members = {"receipt": item} if isinstance(item, str) else item
            if not isinstance(members, dict) or not isinstance(members.get("receipt"), str):
                raise Rejected("settle-invalid", "expected a receipt", pointer=pointer(member, number))
            unknown = members.keys() - {"receipt", more}
            if unknown:
                raise Rejected(
                    "settle-invalid", f"{min(unknown)} is not expected", pointer=pointer(member, number)
                )
            value = members.get(str(more))
            if (
                more == "after"
                and value is not None
                and not (
                    isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 86_400
                )
            ):
                raise Rejected(
                    "settle-invalid",
                    "expected seconds, a day at most",
                    pointer=pointer(member, number, "after"),
                )
            found.append((str(members["receipt"]), how, value))
    if not 1 <= len(found) <= 10 * MOST:
        raise Rejected("settle-invalid", f"from 1 to {10 * MOST} receipts in ack, nack and reject")
    return found
