"""What a store has to answer, as simply as it can be said: lists that are looked through, and nothing is fast."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from workflow_engine.errors import Conflict, NotFound
from workflow_engine.events.records import partition_of
from workflow_engine.events.spi import (
    LENT,
    RAN_OUT,
    Again,
    Appended,
    Assignment,
    Attempt,
    Backlog,
    ChannelSpec,
    Fenced,
    Hit,
    Parked,
    Position,
    Query,
    Record,
    Settled,
    StoredRecord,
)


@dataclass
class Row:
    channel: str
    stored: StoredRecord
    gone: bool = False


class Model:
    """A store; deliveries are handed out of the groups in any order, but within one by when they are due."""

    def __init__(self) -> None:
        self.specs: dict[str, ChannelSpec] = {}
        self.rows: list[Row] = []
        self.known: dict[tuple[str, bytes], tuple[Position, int]] = {}
        self.items: list[Parked] = []
        self.ledger: list[Attempt] = []
        self.members: dict[tuple[str, str], dict[str, int]] = {}
        self.epochs: dict[tuple[str, str], int] = {}
        self.cursors: dict[tuple[str, str], dict[int, int]] = {}
        self.state: dict[tuple[str, str], dict[str, bytes]] = {}
        self.settings: dict[str, bytes] = {}
        self.leases: dict[str, tuple[str, int]] = {}

    def restart(self) -> None:
        """What opening the store of one process ends."""
        self.items = [
            item if item.owner in (None, LENT) else replace(item, owner=None, due_us=0) for item in self.items
        ]
        for group in [group for group, members in self.members.items() if members]:
            self.members[group] = {}
            self._advance(group)

    def _of(self, channel: str, part: int, *, all: bool = False) -> list[StoredRecord]:
        if channel not in self.specs:
            raise NotFound("channel", channel)
        return [
            row.stored
            for row in self.rows
            if row.channel == channel and row.stored.position.partition == part and (all or not row.gone)
        ]

    # The log

    def ensure_channel(self, spec: ChannelSpec) -> ChannelSpec:
        return self.specs.setdefault(spec.name, spec)

    def drop_channel(self, name: str) -> None:
        self._of(name, 0)
        del self.specs[name]
        self.rows = [row for row in self.rows if row.channel != name]
        self.known = {key: value for key, value in self.known.items() if key[0] != name}
        self.items = [item for item in self.items if item.channel != name]
        self.ledger = [row for row in self.ledger if row.channel != name]
        for kept in (self.members, self.epochs, self.cursors, self.state):
            for key in [key for key in kept if key[0] == name]:
                del kept[key]

    def append(self, name: str, batch: list[Record]) -> list[Appended]:
        self._of(name, 0)
        spec, answers = self.specs[name], []
        for record in batch:
            found = self.known.get((name, record.digest()))
            if (
                found
                and spec.dedupe_us != 0
                and (spec.dedupe_us is None or record.time_us - found[1] < spec.dedupe_us)
            ):
                answers.append(Appended(found[0], duplicate=True))
                continue
            part = partition_of(record.key, spec.partitions)
            before = self._of(name, part, all=True)
            at = Position(part, len(before))
            time_us = max([record.time_us, *(stored.time_us for stored in before)])
            self.rows.append(Row(name, StoredRecord(at, record, time_us)))
            self.known[name, record.digest()] = at, record.time_us
            answers.append(Appended(at, duplicate=False))
        return answers

    def read(
        self, name: str, part: int, offset: int, *, limit: int, types: list[str] | None = None
    ) -> list[StoredRecord]:
        found = [each for each in self._of(name, part) if each.position.offset >= offset]
        return [each for each in found if types is None or each.record.type in types][:limit]

    def fetch(self, name: str, positions: list[Position]) -> list[StoredRecord | None]:
        return [
            next((each for each in self._of(name, at.partition) if each.position == at), None)
            for at in positions
        ]

    def offset_at(self, name: str, part: int, start: Any) -> int:
        ahead = len(self._of(name, part, all=True))
        if start == "latest":
            return ahead
        times = [each for each in self._of(name, part) if start == "earliest" or each.time_us >= start]
        return times[0].position.offset if times else ahead

    def trim(self, name: str, part: int, before: int) -> int:
        gone = [each.position for each in self._of(name, part) if each.position.offset < before]
        for row in self.rows:
            row.gone = row.gone or (row.channel == name and row.stored.position in gone)
        self.ledger = [
            row
            for row in self.ledger
            if (row.channel, row.position.partition) != (name, part) or row.position.offset >= before
        ]
        last = max((each.time_us for each in self._of(name, part, all=True)), default=0)
        window = self.specs[name].dedupe_us
        if window is not None:
            self.known = {
                key: value for key, value in self.known.items() if key[0] != name or value[1] > last - window
            }
        return len(gone)

    # Groups

    def _advance(self, group: tuple[str, str]) -> None:
        self.epochs[group] = self.epochs.get(group, 0) + 1

    def _assigned(self, name: str, group: str, member: str) -> Assignment:
        members = self.members[name, group]
        held = range(sorted(members).index(member), self.specs[name].partitions, len(members))
        return Assignment(name, group, member, tuple(held), self.epochs[name, group], members[member])

    def join(self, name: str, group: str, member: str, now_us: int, ttl_us: int) -> Assignment:
        self._of(name, 0)
        alive = {who: until for who, until in self.members.get((name, group), {}).items() if until > now_us}
        self.members[name, group] = {**alive, member: now_us + ttl_us}
        self._advance((name, group))
        return self._assigned(name, group, member)

    def heartbeat(self, held: Assignment, now_us: int, ttl_us: int) -> Assignment:
        group = held.channel, held.group
        self._of(held.channel, 0)
        members = self.members.get(group, {})
        if members.get(held.member, 0) <= now_us:
            raise Fenced
        alive = {who: until for who, until in members.items() if until > now_us}
        if alive.keys() != members.keys():
            self._advance(group)
        self.members[group] = {**alive, held.member: now_us + ttl_us}
        return self._assigned(held.channel, held.group, held.member)

    def leave(self, held: Assignment) -> None:
        self._of(held.channel, 0)
        if self.members.get((held.channel, held.group), {}).pop(held.member, None) is not None:
            self._advance((held.channel, held.group))

    def committed(self, name: str, group: str) -> dict[int, int]:
        self._of(name, 0)
        return dict(self.cursors.get((name, group), {}))

    def states(self, name: str, group: str, prefix: str = "") -> dict[str, bytes]:
        self._of(name, 0)
        found = sorted(self.state.get((name, group), {}).items())
        return {key: value for key, value in found if key.startswith(prefix)}

    def commit(
        self,
        held: Assignment,
        offsets: dict[int, int],
        *,
        outbox: list[Parked],
        state: dict[str, bytes | None],
        ledger: list[Attempt],
    ) -> None:
        group = held.channel, held.group
        for name in {held.channel, *(item.channel for item in outbox), *(row.channel for row in ledger)}:
            self._of(name, 0)
        holds = held.member in self.members.get(group, {}) and self.epochs.get(group, 0) == held.epoch
        if not holds or not {*offsets} <= {*held.partitions}:
            raise Fenced
        self.cursors.setdefault(group, {}).update(offsets)
        self.park(outbox)
        kept = self.state.setdefault(group, {})
        for key, value in state.items():
            kept.pop(key, None)
            if value is not None:
                kept[key] = value
        self.ledger += ledger

    def seek(self, name: str, group: str, offsets: dict[int, int]) -> None:
        self._of(name, 0)
        self.cursors.setdefault((name, group), {}).update(offsets)
        self._advance((name, group))

    def drop_group(self, name: str, group: str) -> None:
        self._of(name, 0)
        for kept in (self.members, self.cursors, self.state):
            kept.pop((name, group), None)
        self._advance((name, group))

    # Deliveries

    def park(self, items: list[Parked]) -> None:
        for item in items:
            self._of(item.channel, 0)
        for item in items:
            if all(item.id != each.id for each in self.items):
                self.items.append(replace(item, owner=None))

    def _free(self, item: Parked) -> bool:
        """Whether no other of its key is before it."""
        if item.key is None:
            return True
        first = next(each for each in self.items if (each.group, each.key) == (item.group, item.key))
        return first is item

    def _put(self, item: Parked) -> Parked:
        self.items = [item if each.id == item.id else each for each in self.items]
        return item

    def due(self, owner: str, now_us: int, *, lease_us: int, per_group: int) -> list[Parked]:
        """Without a limit for all groups, for then it is not said whose turn it is."""
        leased = []
        for group in sorted({item.group for item in self.items}):
            free = [item for item in self.items if item.group == group and self._free(item)]
            ready = sorted((item for item in free if item.due_us <= now_us), key=lambda item: item.due_us)
            for item in ready[:per_group]:
                again = {} if item.owner is None else {"attempt": item.attempt + 1, "reason": RAN_OUT}
                leased.append(self._put(replace(item, owner=owner, due_us=now_us + lease_us, **again)))
        return leased

    def next_due(self, exclude: list[str]) -> int | None:
        free = [item for item in self.items if item.group not in exclude and self._free(item)]
        return min((item.due_us for item in free), default=None)

    def settle(
        self, item: Parked, outcome: Any, *, ledger: list[Attempt], next_until_us: int | None
    ) -> Settled:
        for row in ledger:
            self._of(row.channel, 0)
        self.ledger += ledger
        there = next((each for each in self.items if each.id == item.id), None)
        if there is None or (there.owner, there.due_us) != (item.owner, item.due_us):
            return Settled(held=False)
        if isinstance(outcome, Again):
            again = replace(there, owner=None, due_us=outcome.due_us, reason=outcome.reason)
            self._put(replace(again, attempt=there.attempt + 1))
            return Settled(held=True)
        self.items.remove(there)
        same = [each for each in self.items if (each.group, each.key) == (item.group, item.key)]
        if item.key is None or next_until_us is None or not same:
            return Settled(held=True)
        return Settled(held=True, next=self._put(replace(same[0], owner=item.owner, due_us=next_until_us)))

    def discard(self, group: str, key: str | None = None) -> list[Parked]:
        gone = [item for item in self.items if item.group == group and key in (None, item.key)]
        self.items = [item for item in self.items if item not in gone]
        return gone

    def parked(self, group: str | None, at: tuple[str, Position] | None) -> list[Parked]:
        if at is not None:
            self._of(at[0], 0)
        found = [item for item in self.items if group in (None, item.group)]
        return [item for item in found if at is None or (item.channel, item.position) == at]

    def backlogs(self) -> list[Backlog]:
        found = []
        for group in sorted({item.group for item in self.items}):
            items = [item for item in self.items if item.group == group]
            first, most = min(item.first_us for item in items), max(item.attempt for item in items)
            found.append(Backlog(group, len(items), first, most))
        return found

    def attempts(self, name: str, position: Position) -> list[Attempt]:
        self._of(name, 0)
        return [row for row in self.ledger if (row.channel, row.position) == (name, position)]

    def search(self, query: Query) -> list[Hit]:
        if query.channel is not None:
            self._of(query.channel, 0)
        found = []
        for row in reversed(self.rows):
            record = row.stored.record
            wanted = (query.channel, query.type, query.source, query.subject, query.id)
            has = (row.channel, record.type, record.source, record.subject, record.id)
            fits = all(want in (None, got) for want, got in zip(wanted, has, strict=True))
            since = query.from_us is None or row.stored.time_us >= query.from_us
            until = query.to_us is None or row.stored.time_us < query.to_us
            if fits and since and until and not row.gone:
                found.append(Hit(row.channel, row.stored, ""))
        return found[: query.limit]

    # Settings

    def get(self, key: str) -> bytes | None:
        return self.settings.get(key)

    def put(self, key: str, value: bytes) -> None:
        self.settings[key] = value

    def delete(self, key: str) -> bool:
        return self.settings.pop(key, None) is not None

    def entries(self, prefix: str) -> list[tuple[str, bytes]]:
        return sorted(each for each in self.settings.items() if each[0].startswith(prefix))

    def lease(self, key: str, owner: str, now_us: int, ttl_us: int) -> int:
        holder, until = self.leases.get(key, ("", 0))
        if holder not in ("", owner) and until > now_us:
            raise Conflict(f"{key} is held")
        self.leases[key] = owner, now_us + ttl_us
        return now_us + ttl_us
