"""What waits for its delivery, and what was given up: numbers for who operates the router."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from workflow_engine.errors import NotFound
from workflow_engine.events.letters import DEAD_LETTERS
from workflow_engine.events.spi import Backlog, Query, Store
from workflow_engine.events.subscriptions import Subscription
from workflow_engine.values import Json, JsonObject


async def describe(
    store: Store, subscriptions: Iterable[Subscription], now_us: int, failed: Mapping[str, int]
) -> JsonObject:
    """``{subscriptions, listeners, dead_letters}``.

    Of each subscription ``{id, channel, enabled, waiting, oldest_seconds, attempts, filter_errors}``: how many
    deliveries wait for their turn or their next attempt, since when the oldest does, the most attempts that one of them
    had, and how many events its filters could not judge, which *failed* has by group. Of the runs that listen the same,
    of all together. Of dead letters ``{count, oldest_seconds, newest_seconds}``: times are None where there are none.
    """
    found = {backlog.group: backlog for backlog in await store.backlogs()}
    listed: list[Json] = [
        {
            "id": each.id,
            "channel": each.channel,
            "enabled": each.enabled,
            **_numbers([found[f"sub:{each.id}"]] if f"sub:{each.id}" in found else [], now_us),
            "filter_errors": failed.get(f"sub:{each.id}", 0),
        }
        for each in subscriptions
    ]
    runs = [backlog for group, backlog in found.items() if group.startswith("run:")]
    return {
        "subscriptions": listed,
        "listeners": {**_numbers(runs, now_us), "filter_errors": failed.get("run", 0)},
        "dead_letters": await _letters(store, now_us),
    }


def _numbers(backlogs: list[Backlog], now_us: int) -> JsonObject:
    first_us = min((backlog.first_us for backlog in backlogs), default=now_us)
    return {
        "waiting": sum(backlog.count for backlog in backlogs),
        "oldest_seconds": _seconds(now_us - first_us),
        "attempts": max((backlog.attempts for backlog in backlogs), default=0),
    }


async def _letters(store: Store, now_us: int) -> JsonObject:
    try:
        stats = await store.stats(DEAD_LETTERS)
    except NotFound:
        stats = []
    oldest = [item.oldest_us for item in stats if item.oldest_us is not None]
    newest = await store.search(Query(channel=DEAD_LETTERS, limit=1)) if oldest else []
    return {
        "count": sum(item.count for item in stats),
        "oldest_seconds": _seconds(now_us - min(oldest)) if oldest else None,
        "newest_seconds": _seconds(now_us - newest[0].stored.time_us) if newest else None,
    }


def _seconds(microseconds: int) -> float:
    return max(0, microseconds) / 1e6
