"""The consumer groups of a store in PostgreSQL."""

# ruff: noqa: S608  only names of columns and tables are put into statements; values are bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from workflow_engine.events.shared_store import Claim
from workflow_engine.events.spi import Assignment, Attempt, Fenced, Parked
from workflow_engine.events.stores.indices import between
from workflow_engine.events.stores.postgresql_connection import Address, Db
from workflow_engine.events.stores.postgresql_deliveries import NO_CLAIM, PostgresDeliveries, ledger_rows
from workflow_engine.events.stores.postgresql_functions import COMMIT, called
from workflow_engine.events.stores.postgresql_log import affected
from workflow_engine.events.stores.postgresql_settling import ledger_columns, text

_COMMIT = called(COMMIT, 25 + 22)


class PostgresGroups(PostgresDeliveries):
    """`GroupStore` over tables of members, cursors and state. Who changes a group's members holds its row until the
    commit, and whose commits depend on them hold it too: an older epoch cannot slip through.

    A commit that moves a cursor need not be flushed: what it did can be done again from the log, which is. Whoever made
    it goes on from what it knows, though, and the server may crash alone, or fail over. So each commit says where those
    before it left the cursors; where they are not there, it is fenced, and who made it begins anew from what is there.
    """

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._moved: dict[tuple[int, str], tuple[int, dict[int, int]]] = {}
        """Where commits have left the cursors of a group, and of which epoch they were."""

    async def join(self, name: str, group: str, member: str, now_us: int, ttl_us: int) -> Assignment:
        channel = await self._channel(name)

        async def work(db: Db) -> Assignment:
            await _advance(db, channel, group)
            await db.execute(
                "DELETE FROM member WHERE channel = $1 AND grp = $2 AND expires_us <= $3",
                channel,
                group,
                now_us,
            )
            await db.execute(
                "INSERT INTO member VALUES ($1, $2, $3, $4) ON CONFLICT (channel, grp, name)"
                " DO UPDATE SET expires_us = excluded.expires_us",
                channel,
                group,
                member,
                now_us + ttl_us,
            )
            return await self._assignment(db, name, group, member)

        return await self._db.write(work)

    async def _assignment(self, db: Db, name: str, group: str, member: str) -> Assignment:
        channel, spec = self._channels[name]
        rows = await db.fetch(
            "SELECT name, expires_us FROM member WHERE channel = $1 AND grp = $2 ORDER BY name",
            channel,
            group,
        )
        members = {row[0]: row[1] for row in rows}
        held = range(list(members).index(member), spec.partitions, len(members))
        epoch = await _epoch(db, channel, group, "")
        return Assignment(name, group, member, tuple(held), epoch, members[member])

    async def heartbeat(self, held: Assignment, now_us: int, ttl_us: int) -> Assignment:
        channel = await self._channel(held.channel)
        me = (channel, held.group, held.member)

        async def work(db: Db) -> Assignment:
            await _epoch(db, channel, held.group, "FOR UPDATE")
            alive = await db.execute(
                "UPDATE member SET expires_us = $4 WHERE channel = $1 AND grp = $2 AND name = $3 AND expires_us > $5",
                *me,
                now_us + ttl_us,
                now_us,
            )
            if not affected(alive):
                raise Fenced(f"member {held.member} of {held.group} was silent for too long")
            gone = await db.execute(
                "DELETE FROM member WHERE channel = $1 AND grp = $2 AND expires_us <= $3", *me[:2], now_us
            )
            if affected(gone):
                await _advance(db, channel, held.group)
            return await self._assignment(db, held.channel, held.group, held.member)

        return await self._db.write(work)

    async def leave(self, held: Assignment) -> None:
        me = (await self._channel(held.channel), held.group, held.member)

        async def work(db: Db) -> None:
            await _epoch(db, *me[:2], "FOR UPDATE")
            gone = await db.execute("DELETE FROM member WHERE channel = $1 AND grp = $2 AND name = $3", *me)
            if affected(gone):
                await _advance(db, *me[:2])

        await self._db.write(work)

    async def committed(self, name: str, group: str) -> dict[int, int]:
        channel = await self._channel(name)
        query = "SELECT part, off FROM cursor WHERE channel = $1 AND grp = $2"
        rows = await self._db.read(lambda db: db.fetch(query, channel, group))
        return {row[0]: row[1] for row in rows}

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
        await self._commit(held, offsets, outbox, state or {}, ledger, NO_CLAIM, sync=sync)

    async def commit_and_claim(
        self,
        held: Assignment,
        offsets: Mapping[int, int],
        *,
        outbox: Sequence[Parked],
        state: Mapping[str, bytes | None],
        ledger: Sequence[Attempt],
        sync: bool,
        claim: Claim,
    ) -> tuple[list[Parked], bool]:
        given = self._claiming(claim.room, claim.limits)
        arguments = (claim.owner, claim.now_us, claim.until_us, *given)
        ids, more = await self._commit(held, offsets, outbox, state, ledger, arguments, sync=sync)
        taken = set(ids)
        return [
            replace(item, owner=claim.owner, due_us=claim.until_us, reason=text(item.reason))
            for item in outbox
            if item.id in taken
        ], more

    async def _commit(
        self,
        held: Assignment,
        offsets: Mapping[int, int],
        outbox: Sequence[Parked],
        state: Mapping[str, bytes | None],
        ledger: Sequence[Attempt],
        claim: tuple[Any, ...],
        *,
        sync: bool,
    ) -> tuple[list[str], bool]:
        """The ids of what was leased at once, and whether there is more that is due."""
        channel, group = await self._channel(held.channel), held.group
        channels = await self._numbers([*(item.channel for item in outbox), *(row.channel for row in ledger)])
        written = sorted(key for key, value in state.items() if value is not None)
        deleted = [key for key, value in state.items() if value is None]
        epoch, moved = self._moved.pop((channel, group), (held.epoch, {}))
        if epoch != held.epoch:
            moved = {}
        arguments = (
            channel,
            group,
            held.member,
            held.epoch,
            list(offsets),
            list(offsets.values()),
            list(moved),
            list(moved.values()),
            sync or not offsets,
            deleted,
            written,
            [state[key] for key in written],
            *ledger_columns(ledger_rows(channels, ledger)),
            self._topic,
            *self._parking(channels, outbox),
            *claim,
        )
        now = held.epoch
        if {*offsets} <= {*held.partitions}:
            now, holds, claimed, more = await self._db.statement(lambda db: db.fetchrow(_COMMIT, *arguments))
            if holds:
                self._moved[channel, group] = (held.epoch, {**moved, **offsets})
                return claimed or [], more
            if now == held.epoch:
                raise Fenced(f"the server has not what was committed last for {group} of {held.channel}")
        raise Fenced(f"{group} of {held.channel} was given to others (epoch {now or 0})")

    async def states(
        self, name: str, group: str, prefix: str = "", *, after: str | None = None, limit: int | None = None
    ) -> dict[str, bytes]:
        channel = await self._channel(name)
        where, values = between("key", prefix, "$4", "$5", after)
        query = (
            f"SELECT key, value FROM state WHERE channel = $1 AND grp = $2 AND {where} ORDER BY key LIMIT $3"
        )
        rows = await self._db.read(lambda db: db.fetch(query, channel, group, limit, *values))
        return {row[0]: row[1] for row in rows}

    async def seek(self, name: str, group: str, offsets: Mapping[int, int]) -> None:
        channel = await self._channel(name)

        async def work(db: Db) -> None:
            await _advance(db, channel, group)
            await _move(db, channel, group, offsets)

        await self._db.write(work)

    async def drop_group(self, name: str, group: str) -> None:
        channel = await self._channel(name)
        self._moved.pop((channel, group), None)

        async def work(db: Db) -> None:
            await _advance(db, channel, group)
            for table in ("member", "cursor", "state"):
                await db.execute(f"DELETE FROM {table} WHERE channel = $1 AND grp = $2", channel, group)

        await self._db.write(work)


async def _epoch(db: Db, channel: int, group: str, lock: str) -> int:
    query = f"SELECT epoch FROM grp WHERE channel = $1 AND name = $2 {lock}"
    return await db.fetchval(query, channel, group) or 0


async def _advance(db: Db, channel: int, group: str) -> None:
    await db.execute(
        "INSERT INTO grp AS g VALUES ($1, $2, 1) ON CONFLICT (channel, name) DO UPDATE SET epoch = g.epoch + 1",
        channel,
        group,
    )


async def _move(db: Db, channel: int, group: str, offsets: Mapping[int, int]) -> None:
    if offsets:
        await db.execute(
            "INSERT INTO cursor SELECT $1, $2, * FROM unnest($3::int[], $4::bigint[])"
            " ON CONFLICT (channel, grp, part) DO UPDATE SET off = excluded.off",
            channel,
            group,
            list(offsets),
            list(offsets.values()),
        )
