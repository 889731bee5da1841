"""The target that publishes to another channel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from workflow_engine.events.subscriptions import check_channel
from workflow_engine.events.targets import Delivered, Delivery, Drop
from workflow_engine.values import JsonObject

HOPS = "routerhops"
"""The extension attribute that counts how often an event was forwarded."""
MAX_HOPS = 3


class ChannelTarget:
    """``{"kind": "channel", "channel": name}``: the events as they are, but for the count of hops.

    An event keeps its source and id, so that forwarding it twice is publishing it once. After three hops it
    becomes a dead letter: it goes in circles.
    """

    def __init__(self, publish: Callable[[str, Sequence[JsonObject]], Awaitable[object]]) -> None:
        self._publish = publish

    def check(self, target: JsonObject, *path: str | int) -> None:
        check_channel(str(target.get("channel", "")), *path, "channel")

    async def deliver(self, delivery: Delivery) -> Delivered:
        channel = delivery.target.get("channel")
        if not isinstance(channel, str):
            raise Drop("the target names no channel", code="no-channel")
        forwarded = []
        for event in delivery.events:
            hops = event.get(HOPS, 0)
            count = int(hops) if isinstance(hops, int) or (isinstance(hops, str) and hops.isdecimal()) else 0
            if count >= MAX_HOPS:
                raise Drop(f"forwarded {count} times already", code="loop")
            forwarded.append({**event, HOPS: count + 1})
        await self._publish(channel, forwarded)
        return Delivered(reference=channel)
