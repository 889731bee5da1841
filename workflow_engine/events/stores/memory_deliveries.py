"""The deliveries and the ledger of a store in memory."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from workflow_engine.events.spi import (
    RAN_OUT,
    Again,
    Attempt,
    Backlog,
    Done,
    Hit,
    Parked,
    Position,
    Query,
    Settled,
)
from workflow_engine.events.stores.memory_log import MemoryLog


@dataclass(slots=True)
class _Queue:
    """The deliveries of one group. The heap has those that may be handed out; entries that moved are stale."""

    heap: list[tuple[int, int, str]] = field(default_factory=list)
    items: dict[str, tuple[int, Parked]] = field(default_factory=dict)
    keys: dict[str, deque[str]] = field(default_factory=dict)

    def add(self, order: int, item: Parked) -> None:
        self.items[item.id] = (order, item)
        if item.key is not None:
            followers = self.keys.setdefault(item.key, deque())
            followers.append(item.id)
            if len(followers) > 1:
                return
        heapq.heappush(self.heap, (item.due_us, order, item.id))

    def move(self, item: Parked) -> None:
        """Store a changed head again."""
        order = self.items[item.id][0]
        self.items[item.id] = (order, item)
        heapq.heappush(self.heap, (item.due_us, order, item.id))

    def remove(self, id: str) -> Parked:
        _, item = self.items.pop(id)
        if item.key is not None:
            followers = self.keys[item.key]
            was_head = followers[0] == id
            followers.remove(id)
            if not followers:
                del self.keys[item.key]
            elif was_head:
                order, head = self.items[followers[0]]
                heapq.heappush(self.heap, (head.due_us, order, head.id))
        return item

    def head(self) -> Parked | None:
        while self.heap:
            due_us, order, id = self.heap[0]
            present = self.items.get(id)
            if present is not None and present[0] == order and present[1].due_us == due_us:
                return present[1]
            heapq.heappop(self.heap)
        return None


class MemoryDeliveries(MemoryLog):
    """`DeliveryStore` over heaps."""

    def __init__(self) -> None:
        super().__init__()
        self._queues: dict[str, _Queue] = {}
        self._group_of: dict[str, str] = {}
        self._last_group = ""

    async def close(self) -> None:
        await super().close()
        self._queues.clear()
        self._group_of.clear()

    async def park(self, items: Sequence[Parked]) -> None:
        self._use()
        for item in items:
            self._channel(item.channel)
        self._park(items)

    def _park(self, items: Sequence[Parked]) -> None:
        for item in items:
            if item.id not in self._group_of:
                self._group_of[item.id] = item.group
                self._queues.setdefault(item.group, _Queue()).add(
                    next(self._order), replace(item, owner=None)
                )

    async def due(
        self,
        owner: str,
        now_us: int,
        *,
        limit: int,
        lease_us: int,
        per_group: int,
        room: Mapping[str, int] | None = None,
    ) -> list[Parked]:
        self._use()
        groups = sorted(self._queues)
        turn = [group for group in groups if group > self._last_group]
        turn += [group for group in groups if group <= self._last_group]
        leased: list[Parked] = []
        for group in turn:
            queue = self._queues[group]
            for _ in range((room or {}).get(group, per_group)):
                head = queue.head()
                if head is None or head.due_us > now_us or len(leased) == limit:
                    break
                item = replace(head, owner=owner, due_us=now_us + lease_us)
                if head.owner is not None:
                    item = replace(item, attempt=head.attempt + 1, reason=RAN_OUT)
                queue.move(item)
                leased.append(item)
                self._last_group = group
            if len(leased) == limit:
                break
        return leased

    async def next_due(self, exclude: Collection[str] = ()) -> int | None:
        self._use()
        heads = [queue.head() for group, queue in self._queues.items() if group not in exclude]
        return min((head.due_us for head in heads if head is not None), default=None)

    async def settle(
        self,
        item: Parked,
        outcome: Done | Again,
        *,
        ledger: Sequence[Attempt] = (),
        next_until_us: int | None = None,
    ) -> Settled:
        self._use()
        self._log_attempts(ledger)
        queue = self._queues.get(item.group)
        present = queue.items.get(item.id) if queue is not None else None
        if (
            queue is None
            or present is None
            or (present[1].owner, present[1].due_us) != (item.owner, item.due_us)
        ):
            return Settled(held=False)
        if isinstance(outcome, Again):
            attempt = present[1].attempt + 1
            queue.move(
                replace(present[1], owner=None, due_us=outcome.due_us, attempt=attempt, reason=outcome.reason)
            )
            return Settled(held=True)
        self._forget(queue, item.id)
        if next_until_us is None or item.key is None or item.key not in queue.keys:
            return Settled(held=True)
        _, head = queue.items[queue.keys[item.key][0]]
        head = replace(head, owner=item.owner, due_us=next_until_us)
        queue.move(head)
        return Settled(held=True, next=head)

    def _forget(self, queue: _Queue, id: str) -> Parked:
        item = queue.remove(id)
        del self._group_of[id]
        if not queue.items:
            del self._queues[item.group]
        return item

    def _remove(self, group: str, which: Callable[[Parked], bool]) -> list[Parked]:
        queue = self._queues.get(group)
        gone = [item for _, item in queue.items.values() if which(item)] if queue is not None else []
        return [self._forget(queue, item.id) for item in gone] if queue is not None else []

    async def discard(self, group: str, key: str | None = None) -> list[Parked]:
        self._use()
        return self._remove(group, lambda item: key is None or item.key == key)

    def _drop_deliveries(self, channel: str) -> None:
        for group in list(self._queues):
            self._remove(group, lambda item: item.channel == channel)

    async def parked(
        self, group: str | None = None, *, at: tuple[str, Position] | None = None
    ) -> list[Parked]:
        self._use()
        if at is not None:
            self._channel(at[0])
        queues = self._queues.values() if group is None else [self._queues.get(group, _Queue())]
        found = sorted(
            (entry for queue in queues for entry in queue.items.values()), key=lambda entry: entry[0]
        )
        return [item for _, item in found if at is None or (item.channel, item.position) == at]

    async def parked_page(self, after: int, limit: int) -> list[tuple[int, Parked]]:
        self._use()
        items = (entry for queue in self._queues.values() for entry in queue.items.values())
        return heapq.nsmallest(
            limit, (entry for entry in items if entry[0] > after), key=lambda entry: entry[0]
        )

    async def backlog(self) -> dict[str, int]:
        self._use()
        return {group: len(self._queues[group].items) for group in sorted(self._queues)}

    async def backlogs(self) -> list[Backlog]:
        self._use()
        found = []
        for group in sorted(self._queues):
            items = [item for _, item in self._queues[group].items.values()]
            if not items:
                continue
            first, most = min(item.first_us for item in items), max(item.attempt for item in items)
            found.append(Backlog(group, len(items), first, most))
        return found

    async def log_attempts(self, rows: Sequence[Attempt]) -> None:
        self._use()
        self._log_attempts(rows)

    def _log_attempts(self, rows: Sequence[Attempt]) -> None:
        for row in rows:
            self._channel(row.channel)
        for row in rows:
            self._channel(row.channel).ledger.setdefault(row.position, []).append(row)

    async def attempts(self, name: str, position: Position) -> list[Attempt]:
        return list(self._channel(name).ledger.get(position, ()))

    async def search(self, query: Query) -> list[Hit]:
        self._use()
        if query.channel is not None:
            self._channel(query.channel)
        before = int(query.cursor) if query.cursor is not None else None
        found: list[Hit] = []
        for arrival, (name, stored) in reversed(self._arrived.items()):
            if len(found) == query.limit:
                break
            record = stored.record
            wanted = (query.channel, query.type, query.source, query.subject, query.id)
            has = (name, record.type, record.source, record.subject, record.id)
            if (
                (before is None or arrival < before)
                and all(want is None or want == got for want, got in zip(wanted, has, strict=True))
                and (query.from_us is None or stored.time_us >= query.from_us)
                and (query.to_us is None or stored.time_us < query.to_us)
            ):
                found.append(Hit(name, stored, str(arrival)))
        return found
