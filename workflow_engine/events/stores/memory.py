"""A store in the memory of this process: for tests, and for runs that shall leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import islice

from workflow_engine.errors import Conflict
from workflow_engine.events.spi import Assignment, Attempt, Change, Fenced, Lease, Parked, Versioned
from workflow_engine.events.stores.memory_deliveries import MemoryDeliveries
from workflow_engine.events.stores.memory_log import Group

_SETTINGS = "\0settings"


class MemoryStore(MemoryDeliveries):
    """All four protocols in memory. Everything is gone with `close`."""

    def __init__(self) -> None:
        super().__init__()
        self._settings: dict[str, tuple[bytes | None, int]] = {}
        self._rev = 0
        self._leases: dict[str, Lease] = {}

    async def close(self) -> None:
        self._settings.clear()
        self._leases.clear()
        await super().close()

    def _group(self, name: str, group: str) -> Group:
        return self._channel(name).groups.setdefault(group, Group())

    async def join(self, name: str, group: str, member: str, now_us: int, ttl_us: int) -> Assignment:
        state = self._group(name, group)
        state.members = {other: until for other, until in state.members.items() if until > now_us}
        state.members[member] = now_us + ttl_us
        state.epoch += 1
        return self._assignment(name, group, member)

    def _assignment(self, name: str, group: str, member: str) -> Assignment:
        state = self._group(name, group)
        rank = sorted(state.members).index(member)
        held = range(rank, self._channel(name).spec.partitions, len(state.members))
        return Assignment(name, group, member, tuple(held), state.epoch, state.members[member])

    async def heartbeat(self, held: Assignment, now_us: int, ttl_us: int) -> Assignment:
        state = self._group(held.channel, held.group)
        if state.members.get(held.member, 0) <= now_us:
            raise Fenced(f"member {held.member} of {held.group} was silent for too long")
        alive = {member: until for member, until in state.members.items() if until > now_us}
        if alive.keys() != state.members.keys():
            state.epoch += 1
        state.members = alive | {held.member: now_us + ttl_us}
        return self._assignment(held.channel, held.group, held.member)

    async def leave(self, held: Assignment) -> None:
        state = self._group(held.channel, held.group)
        if state.members.pop(held.member, None) is not None:
            state.epoch += 1

    async def committed(self, name: str, group: str) -> dict[int, int]:
        return dict(self._group(name, group).cursor)

    async def commit(
        self,
        held: Assignment,
        offsets: Mapping[int, int],
        *,
        outbox: Sequence[Parked] = (),
        state: Mapping[str, bytes | None] | None = None,
        ledger: Sequence[Attempt] = (),
        sync: bool = True,
    ) -> None:
        group = self._group(held.channel, held.group)
        for name in {*(item.channel for item in outbox), *(row.channel for row in ledger)}:
            self._channel(name)
        if (
            group.epoch != held.epoch
            or held.member not in group.members
            or not {*offsets} <= {*held.partitions}
        ):
            raise Fenced(f"{held.group} of {held.channel} was given to others (epoch {group.epoch})")
        group.cursor |= offsets
        self._park(outbox)
        for key, value in (state or {}).items():
            if value is None:
                group.state.pop(key, None)
            else:
                group.state[key] = value
        self._log_attempts(ledger)

    async def states(
        self, name: str, group: str, prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> dict[str, bytes]:
        state = self._group(name, group).state
        found = sorted(key for key in state if key.startswith(prefix) and (after is None or key > after))
        return {key: state[key] for key in found[:limit]}

    async def seek(self, name: str, group: str, offsets: Mapping[int, int]) -> None:
        state = self._group(name, group)
        state.cursor |= offsets
        state.epoch += 1

    async def drop_group(self, name: str, group: str) -> None:
        epoch = self._group(name, group).epoch
        self._channel(name).groups[group] = Group(epoch=epoch + 1)

    async def get(self, key: str) -> Versioned | None:
        self._use()
        value, rev = self._settings.get(key, (None, 0))
        return None if value is None else Versioned(key, value, rev)

    def _require(self, key: str, if_rev: int | None) -> bool:
        self._use()
        value, rev = self._settings.get(key, (None, 0))
        present = 0 if value is None else rev
        if if_rev is not None and if_rev != present:
            raise Conflict(f"{key} is at revision {present}, not {if_rev}; read it again")
        return value is not None

    def _write(self, key: str, value: bytes | None) -> int:
        self._rev += 1
        self._settings[key] = (value, self._rev)
        self._wakeups.notify(_SETTINGS)
        return self._rev

    async def put(self, key: str, value: bytes, *, if_rev: int | None = None) -> int:
        self._require(key, if_rev)
        return self._write(key, value)

    async def delete(self, key: str, *, if_rev: int | None = None) -> bool:
        present = self._require(key, if_rev)
        if present:
            self._write(key, None)
        return present

    async def entries(
        self, prefix: str, *, after: str | None = None, limit: int | None = None
    ) -> list[Versioned]:
        self._use()
        behind = sorted(
            key for key in self._settings if key.startswith(prefix) and (after is None or key > after)
        )
        there = ((key, *self._settings[key]) for key in behind)
        found = (Versioned(key, value, rev) for key, value, rev in there if value is not None)
        return list(islice(found, limit))

    async def watch(self, prefix: str, from_rev: int) -> AsyncIterator[Change]:
        while True:
            self._use()
            ticket = self._wakeups.ticket(_SETTINGS)
            changes = [
                Change(key, value, rev)
                for key, (value, rev) in self._settings.items()
                if rev > from_rev and key.startswith(prefix)
            ]
            for change in sorted(changes, key=lambda change: change.rev):
                from_rev = change.rev
                yield change
            if not changes:
                await ticket

    async def lease(self, key: str, owner: str, now_us: int, ttl_us: int) -> Lease:
        self._use()
        held = self._leases.get(key, Lease(key, "", 0, 0))
        if held.owner != owner and held.expires_us > now_us:
            raise Conflict(f"{key} is held by {held.owner}")
        epoch = held.epoch if held.owner == owner else held.epoch + 1
        self._leases[key] = Lease(key, owner, epoch, now_us + ttl_us)
        return self._leases[key]

    async def release(self, lease: Lease) -> None:
        self._use()
        held = self._leases.get(lease.key)
        if held is not None and (held.owner, held.epoch) == (lease.owner, lease.epoch):
            self._leases[lease.key] = Lease(lease.key, "", held.epoch, 0)
