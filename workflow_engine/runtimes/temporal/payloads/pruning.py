"""Delete what no run claims any longer: mark what is claimed, sweep the rest.

Temporal forgets a run some time after its end (the retention of its namespace); what only that run has claimed is of
no use then. An object may be claimed by several runs, for it is named by its content, so every history that is there is
asked, and every schedule. What was put lately is left alone: its claim may be on its way into a history.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from dataclasses import dataclass

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.runtimes.temporal.payloads.references import claimed
from workflow_engine.runtimes.temporal.payloads.store import Store

GRACE = 24 * 3600.0
"""How many seconds an object is kept at least since it was put last."""
_SIDE_BY_SIDE = 16


@dataclass
class Pruned:
    """What was found: sizes in bytes."""

    objects: int = 0
    size: int = 0
    runs: int = 0
    deleted: int = 0
    freed: int = 0


async def prune(
    client: Client,
    store: Store,
    *,
    older: float = GRACE,
    dry: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> Pruned:
    """Delete the objects of the client's namespace that were put over *older* seconds ago and no history claims.

    *dry* deletes nothing, and counts what would be. Nothing is deleted unless every history has been read.
    """
    before = time.time() - older
    found = Pruned()
    candidates: dict[str, int] = {}
    async for stored in store.objects(client.namespace):
        found.objects += 1
        found.size += stored.size
        if stored.modified < before:
            candidates[stored.key] = stored.size
    progress(f"{found.objects:,} objects, {len(candidates):,} of them older than {older / 3600:g} hours")
    if not candidates:
        return found
    async for keys in _claims(client, found, progress):
        for key in keys:
            candidates.pop(key, None)
    for key, size in candidates.items():
        if dry or await store.delete(key, before):
            found.deleted += 1
            found.freed += size
    return found


async def _claims(
    client: Client, found: Pruned, progress: Callable[[str], None]
) -> AsyncIterator[Collection[str]]:
    """The keys that the schedules and the histories of the namespace claim; some more than once."""
    async for schedule in await client.list_schedules():
        description = await client.get_schedule_handle(schedule.id).describe()
        yield _keys(description.raw_description)
    batch: list[tuple[str, str]] = []
    async for execution in client.list_workflows():
        batch.append((execution.id, execution.run_id))
        if len(batch) == _SIDE_BY_SIDE:
            yield await _claimed_by(client, batch)
            batch = []
        found.runs += 1
        if found.runs % 1000 == 0:
            progress(f"{found.runs:,} runs")
    yield await _claimed_by(client, batch)


async def _claimed_by(client: Client, executions: Collection[tuple[str, str]]) -> set[str]:
    """The keys that the histories of *executions* claim, read side by side."""
    return set().union(*await asyncio.gather(*(_claimed_by_one(client, *each) for each in executions)))


async def _claimed_by_one(client: Client, id: str, execution: str) -> set[str]:
    """Likewise of one; none of a run that has been forgotten meanwhile."""
    keys: set[str] = set()
    handle = client.get_workflow_handle(id, run_id=execution)
    try:
        async for event in handle.fetch_history_events():
            keys |= _keys(event)
        # A heartbeat of an activity under way is in no history.
        keys |= _keys((await handle.describe()).raw_description)
    except RPCError as error:
        if error.status != RPCStatusCode.NOT_FOUND:
            raise
    return keys


def _keys(message: Message) -> set[str]:
    return {key for payload in payloads_in(message) if (key := claimed(payload))}


def payloads_in(message: Message) -> Iterator[Payload]:
    """Every payload that *message* has, however deep."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            if field.message_type.fields_by_name["value"].message_type is not None:
                for each in value.values():
                    yield from payloads_in(each)
        elif isinstance(value, Message):
            yield from payloads_in(value)
        else:
            for each in value:
                yield from payloads_in(each)
