"""Forgetting events that are old enough and that nothing needs any more."""

from __future__ import annotations

from collections.abc import Iterable

import orjson

from workflow_engine.events.dispatch import Dispatcher
from workflow_engine.events.records import Position
from workflow_engine.events.spi import Store

PAGE = 1000
"""How many deliveries are looked at together."""
PIECE = 20_000
"""How many events are removed together: whoever writes meanwhile waits for so many."""


async def trim(store: Store, dispatcher: Dispatcher, before_us: int) -> int:
    """Remove events received before; how many. Kept is everything from the first event on that the dispatcher,
    a subscription that is paused or catches up, a strategy half way, or a delivery still needs.
    """
    name, partitions = dispatcher.name, range(dispatcher.spec.partitions)
    first = {part: await store.offset_at(name, part, "earliest") for part in partitions}
    ends = {part: await store.offset_at(name, part, before_us) for part in partitions}
    if all(ends[part] <= first[part] for part in partitions):
        return 0  # and what is needed, which may be much, need not be looked at
    async with dispatcher.lock:
        for part, cursor in dispatcher.cursor.items():
            ends[part] = min(ends[part], cursor)
        _keep(ends, await dispatcher.subscribers.needed())
        after = 0
        # Page by page: deliveries that wait may be many more than there is memory for.
        while page := await store.parked_page(after, PAGE):
            after = page[-1][0]
            for _, item in page:
                if item.channel == name:
                    payload = orjson.loads(item.payload)
                    kept = payload.get("kept", {})
                    _keep(ends, (Position.parse(text) for text in payload["events"] if text not in kept))
            if all(ends[part] <= first[part] for part in partitions):
                return 0
        removed = 0
        for part in partitions:
            at = first[part]
            while at < ends[part]:
                at = min(at + PIECE, ends[part])
                removed += await store.trim(name, part, at)
        return removed


def _keep(ends: dict[int, int], needed: Iterable[Position]) -> None:
    for at in needed:
        if at.offset < ends.get(at.partition, 0):
            ends[at.partition] = at.offset
