"""Dead letters: burying what is given up, and trying it again."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import orjson

from workflow_engine.errors import NotFound, Rejected
from workflow_engine.events.cloudevents import decode
from workflow_engine.events.letters import DEAD_LETTERS, REDRIVEN, kept, let_in, letters, refusal, revived
from workflow_engine.events.ports import Published
from workflow_engine.events.records import Position
from workflow_engine.events.sharing import Sharing
from workflow_engine.events.spi import Attempt, Parked, StoredRecord
from workflow_engine.events.targets import Delivery
from workflow_engine.values import Json, JsonObject

_REDRIVEN = "redriven/"


class Redriving(Sharing):
    """The part of the router that deals with dead letters."""

    async def publish(self, channel: str, events: Sequence[Json]) -> list[Published]:
        raise NotImplementedError

    async def bury(self, delivery: Delivery, item: Parked, code: str, reason: str) -> None:
        if item.channel == DEAD_LETTERS:
            return
        await self._known(DEAD_LETTERS)
        await self._store.append(DEAD_LETTERS, letters(delivery, item, code, reason, self._now_us()))

    async def refuse(self, source: str, channel: str, refused: Sequence[tuple[JsonObject, str, str]]) -> None:
        """Keep what a source heard and *channel* does not take among the dead letters: events, each with a code and a
        reason. When this returns they are durable.
        """
        await self._known(DEAD_LETTERS)
        now_us = self._now_us()
        batch = [refusal(source, channel, event, code, reason, now_us) for event, code, reason in refused]
        await self._store.append(DEAD_LETTERS, batch)

    async def redrive_all(self, subscription: str | None = None) -> int:
        """`redrive` the dead letters that this has not redriven before, or those of one subscription, oldest first; how
        many. Those that cannot be delivered any more, for what wanted them is gone, are passed over.
        """
        count = await self._at(DEAD_LETTERS, "redrive", {"subscription": subscription})
        return count if isinstance(count, int) else 0

    async def _redrive_all(self, subscription: str | None) -> int:
        dispatcher = self._dispatchers[DEAD_LETTERS]
        whose = subscription or "*"
        async with self._redriving:
            done: dict[str, dict[str, int]] = {
                entry.key.removeprefix(_REDRIVEN): orjson.loads(entry.value)
                for entry in await self._store.entries(_REDRIVEN)
            }
            count = 0
            ends = {
                str(part): await self._store.offset_at(DEAD_LETTERS, part, "latest")
                for part in dispatcher.cursor
            }
            for part in dispatcher.cursor:
                end = ends[str(part)]
                at = max(done.get(who, {}).get(str(part), 0) for who in (whose, "*"))
                while at < end and (found := await self._store.read(DEAD_LETTERS, part, at, limit=100)):
                    at = found[-1].position.offset + 1
                    for stored in found:
                        letter = str(decode(stored.record.body)["dlqsubscription"])
                        if whose not in ("*", letter):
                            continue
                        if stored.position.offset >= done.get(letter, {}).get(str(part), 0):
                            with contextlib.suppress(NotFound, Rejected):
                                await self.redrive(str(stored.position))
                                count += 1
            await self._store.put(_REDRIVEN + whose, orjson.dumps(ends))
            return count

    async def redrive(self, position: str) -> None:
        """Try the delivery of a dead letter again, as if it were new; the letter stays in its channel. What is in its
        own channel no more is taken from the letters. An event that a source was refused is let in.

        `NotFound` if there is no such letter or its subscription was deleted.
        """
        stored = await self._letter(position)
        letter = decode(stored.record.body)
        if (wanted := let_in(letter)) is not None:
            await self.publish(wanted[0], [wanted[1]])
            await self._mark(stored, f"sub:{letter['dlqsubscription']}")
            return
        item = revived(letter, self._now_us())
        if item.group.startswith("sub:"):
            id = item.group.removeprefix("sub:")
            if await self.find_subscription(id) is None:
                raise NotFound("subscription", id)
        else:
            payload = orjson.loads(item.payload)
            if await self.state_of(item.channel, payload["run"], payload["listen"]) == "unknown":
                raise NotFound("listener", payload["listen"])
        await self._store.park([await self._whole(item, stored)])
        self._deliverer.wake()
        await self._mark(stored, item.group)

    async def _mark(self, letter: StoredRecord, group: str) -> None:
        """Note at the *letter* that it was redriven; that is forgotten with it."""
        note = Attempt(DEAD_LETTERS, letter.position, group, "", REDRIVEN, self._now_us())
        await self._store.log_attempts([note])

    async def letter(self, position: str) -> JsonObject:
        """The dead letter at *position*; `NotFound` if there is none."""
        return decode((await self._letter(position)).record.body)

    async def _letter(self, position: str) -> StoredRecord:
        await self._known(DEAD_LETTERS)
        try:
            (stored,) = await self._store.fetch(DEAD_LETTERS, [Position.parse(position)])
        except ValueError as error:
            raise Rejected("position", str(error)) from error
        if stored is None:
            raise NotFound("dead letter", position)
        return stored

    async def _whole(self, item: Parked, letter: StoredRecord) -> Parked:
        """*item* with its events, which the *letter* and those beside it have: they may be forgotten at any moment."""
        payload, body = orjson.loads(item.payload), decode(letter.record.body)
        around: list[StoredRecord] = []
        if (many := len(payload["events"])) > 1:
            first = max(0, letter.position.offset - many)
            around = await self._store.read(
                DEAD_LETTERS, letter.position.partition, first, limit=2 * many + 1
            )
        payload["kept"] = kept(body, (decode(each.record.body) for each in around))
        return replace(item, payload=orjson.dumps(payload))
