"""Finding events, and what became of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import unquote

import orjson

from workflow_engine.errors import NotFound, Rejected
from workflow_engine.events.cloudevents import decode
from workflow_engine.events.dispatch import GROUP, Dispatcher
from workflow_engine.events.letters import DEAD_LETTERS, REDRIVEN
from workflow_engine.events.records import ChannelSpec, Position, microseconds, moment
from workflow_engine.events.spi import Attempt, Hit, Parked, Query, Store
from workflow_engine.events.subscriptions import Subscription
from workflow_engine.values import Json, JsonObject, rfc3339

MAX_PAGE = 1000
_TOGETHER = 32
"""How many dead letters are looked up at a time."""
LEAST_PAGE, MOST_PAGES = 100, 50
"""How many events are looked at together for those of some channels, at least; and how often, for one page of them."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events that were found: ``{channel, position, received, event}`` each, and of a dead letter when it was
    ``redriven`` last. *cursor* asks for the next page; ``None`` at the end.
    """

    events: list[JsonObject]
    cursor: str | None

    def to_json(self) -> JsonObject:
        return {"events": [*self.events], "cursor": self.cursor}


async def search(
    store: Store,
    *,
    channel: str | None,
    type: str | None,
    source: str | None,
    subject: str | None,
    id: str | None,
    from_: datetime | None,
    to: datetime | None,
    limit: int,
    cursor: str | None,
    hears: Callable[[str], bool] | None = None,
) -> Page:
    """The newest events that fit, newest first; those alone of channels that somebody *hears*.

    A page is full, or the last one, unless `MOST_PAGES` of all that fit do not have enough of theirs.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise Rejected("limit", f"from 1 to {MAX_PAGE}", pointer="/limit")
    if cursor is not None and not (cursor.isdecimal() and len(cursor) < 20):
        raise Rejected("cursor", "expected the cursor of a page before", pointer="/cursor")
    query = Query(
        channel=channel,
        type=type,
        source=source,
        subject=subject,
        id=id,
        from_us=None if from_ is None else microseconds(from_),
        to_us=None if to is None else microseconds(to),
        limit=limit,
        cursor=cursor,
    )
    if hears is None or channel is not None:
        hits = await store.search(query)
        return Page([_found(hit) for hit in hits], hits[-1].cursor if len(hits) == limit else None)
    query, kept = replace(query, limit=max(limit, LEAST_PAGE)), list[Hit]()
    for _ in range(MOST_PAGES):
        hits = await store.search(query)
        kept += [hit for hit in hits if hears(hit.channel)]
        if len(kept) >= limit:
            return Page([_found(hit) for hit in kept[:limit]], kept[limit - 1].cursor)
        if len(hits) < query.limit:
            return Page([_found(hit) for hit in kept], None)
        query = replace(query, cursor=hits[-1].cursor)
    return Page([_found(hit) for hit in kept], query.cursor)


def _found(hit: Hit) -> JsonObject:
    return {
        "channel": hit.channel,
        "position": str(hit.stored.position),
        "received": rfc3339(moment(hit.stored.time_us)),
        "event": decode(hit.stored.record.body),
    }


async def marked(store: Store, events: Iterable[JsonObject]) -> None:
    """Note of each dead letter among *events* when it was redriven last, or that it was not."""
    letters = [each for each in events if each["channel"] == DEAD_LETTERS]
    for at in range(0, len(letters), _TOGETHER):
        some = letters[at : at + _TOGETHER]
        positions = [Position.parse(str(each["position"])) for each in some]
        found = await asyncio.gather(*(store.attempts(DEAD_LETTERS, position) for position in positions))
        for letter, rows in zip(some, found, strict=True):
            times = [row.at_us for row in rows if row.status == REDRIVEN]
            letter["redriven"] = rfc3339(moment(max(times))) if times else None


async def trace(store: Store, event_id: str, channel: str | None) -> list[JsonObject]:
    """For each event with this id, newest first: the event as in `Page`, its *state* and its *recipients*.

    The state of an event is the first of ``dead``, ``pending``, ``delivered`` that one of its recipients has, or
    ``none`` if nobody wanted it. A recipient is a subscription or a listener of a run: ``{subscription | run_id and
    listen_id, state, due?, attempts, notes}``. Its state may also be ``held`` (taken towards a strategy that is not
    complete) and ``dropped`` (deleted meanwhile). An attempt has ``{n, at, status, ms, code, detail, reference,
    delivery}``; notes tell of filters that failed and of events that were held.
    """
    hits = await store.search(Query(channel=channel, id=event_id, limit=MAX_PAGE))
    if not hits:
        raise NotFound("event", event_id)
    traces: list[JsonObject] = []
    for hit in hits:
        found = _found(hit)
        await marked(store, [found])
        rows = await store.attempts(hit.channel, hit.stored.position)
        parked = await store.parked(at=(hit.channel, hit.stored.position))
        groups = dict.fromkeys([*(row.group for row in rows), *(item.group for item in parked)])
        recipients = [
            _recipient(
                group,
                [row for row in rows if row.group == group],
                [item for item in parked if item.group == group],
            )
            for group in groups
        ]
        traces.append({**found, "state": state_of(recipients), "recipients": [*recipients]})
    return traces


def state_of(recipients: Iterable[Json]) -> str:
    """The state of an event that these *recipients* have, or are to have."""
    states = {str(recipient["state"]) for recipient in recipients if isinstance(recipient, dict)}
    states = {"pending" if state == "held" else state for state in states}
    return next((name for name in ("dead", "pending", "delivered") if name in states), "none")


_STATES = {
    "delivered": "delivered",
    "dead": "dead",
    "gone": "dead",
    "dropped": "dropped",
    "given-up": "dropped",
}


def _recipient(group: str, rows: list[Attempt], parked: list[Parked]) -> JsonObject:
    kind, _, id = group.partition(":")
    attempts: list[Json] = []
    notes: list[Json] = []
    state = "none"
    for row in rows:
        at = rfc3339(moment(row.at_us))
        if row.n == 0:
            notes.append({"at": at, "status": row.status, "detail": row.detail})
            if row.status in ("held", "queued", "given-up"):
                state = {"held": "held", "queued": "pending"}.get(row.status, "dropped")
            continue
        attempts.append(
            {
                "n": row.n,
                "at": at,
                "status": row.status,
                "ms": row.ms,
                "code": row.code,
                "detail": row.detail,
                "reference": row.reference,
                "delivery": row.delivery,
            }
        )
        state = _STATES.get(row.status, "pending")
    recipient: JsonObject = {
        ("subscription" if kind == "sub" else "run_id"): id,
        "state": "pending" if parked else state,
        "attempts": attempts,
        "notes": notes,
    }
    if parked:
        recipient["due"] = rfc3339(moment(min(item.due_us for item in parked)))
    named = [*(item.id for item in parked), *(row.delivery for row in rows if row.delivery)]
    if kind == "run" and named:
        recipient["listen_id"] = unquote(named[0].split("/")[1])
    return recipient


async def describe(store: Store, dispatcher: Dispatcher) -> JsonObject:
    """A channel in numbers."""
    return {
        **await _counted(store, dispatcher.spec, dispatcher.cursor),
        "subscriptions": len(dispatcher.subscribers),
        "catching_up": dispatcher.subscribers.catching_up,
        "listeners": sum(not waiter.waited.complete for waiter in dispatcher.waiters.all()),
    }


async def describe_elsewhere(
    store: Store, spec: ChannelSpec, subscriptions: Iterable[Subscription]
) -> JsonObject:
    """A channel in numbers that another process dispatches."""
    its = [subscription for subscription in subscriptions if subscription.channel == spec.name]
    states = await store.states(spec.name, GROUP)
    kinds = Counter(key.partition("/")[0] for key in states)
    complete = sum(
        orjson.loads(value)["complete"] for key, value in states.items() if key.startswith("waited/")
    )
    return {
        **await _counted(store, spec, await store.committed(spec.name, GROUP)),
        "subscriptions": len(its),
        "catching_up": max(0, sum(subscription.enabled for subscription in its) - kinds["joined"]),
        "listeners": kinds["waiter"] - complete,
    }


async def _counted(store: Store, spec: ChannelSpec, cursor: Mapping[int, int]) -> JsonObject:
    stats = await store.stats(spec.name)
    oldest = [item.oldest_us for item in stats if item.oldest_us is not None]
    return {
        "name": spec.name,
        "partitions": spec.partitions,
        "dedupe_seconds": None if spec.dedupe_us is None else spec.dedupe_us / 1e6,
        "events": sum(item.count for item in stats),
        "bytes": sum(item.bytes for item in stats),
        "oldest": rfc3339(moment(min(oldest))) if oldest else None,
        "lag": sum(max(0, item.next - cursor.get(item.partition, 0)) for item in stats),
    }
