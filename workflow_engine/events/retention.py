"""Forgetting events that are old enough and that nothing needs any more."""

from __future__ import annotations

import orjson

from workflow_engine.events.dispatch import Dispatcher
from workflow_engine.events.records import Position
from workflow_engine.events.spi import Store


async def trim(store: Store, dispatcher: Dispatcher, before_us: int) -> int:
    """Remove events received before; how many. Kept is everything from the first event on that the dispatcher,
    a subscription that is paused or catches up, a strategy half way, or a delivery still needs.
    """
    name, partitions = dispatcher.name, range(dispatcher.spec.partitions)
    old = {part: await store.offset_at(name, part, before_us) for part in partitions}
    if all([old[part] <= await store.offset_at(name, part, "earliest") for part in partitions]):
        return 0  # and what is needed, which may be much, need not be looked at
    async with dispatcher.lock:
        needed = await dispatcher.subscribers.needed()
        for item in await store.parked():
            if item.channel == name:
                payload = orjson.loads(item.payload)
                kept = payload.get("kept", {})
                needed += [Position.parse(text) for text in payload["events"] if text not in kept]
        removed = 0
        for partition, cursor in dispatcher.cursor.items():
            offsets = [at.offset for at in needed if at.partition == partition]
            removed += await store.trim(name, partition, min([old[partition], cursor, *offsets]))
        return removed
