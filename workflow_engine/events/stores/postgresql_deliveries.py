"""The deliveries and the ledger of a store in PostgreSQL."""

# ruff: noqa: S608  only names of columns and tables are put into statements; values are bound

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from workflow_engine.errors import Unavailable
from workflow_engine.events.spi import Again, Attempt, Backlog, Done, Hit, Parked, Position, Query, Settled
from workflow_engine.events.stores.indices import by_partition
from workflow_engine.events.stores.postgresql_connection import Address, Db
from workflow_engine.events.stores.postgresql_functions import CLAIM, PARK, PARKED, SINCE, called
from workflow_engine.events.stores.postgresql_log import RECORD, PostgresLog, affected, stored
from workflow_engine.events.stores.postgresql_settling import Settler, Verdict, lock, text

_FEW = 500
"""Up to how many deliveries that are due are looked at one by one; with more, groups are, which are fewer."""
_TURNS = 64
"""How many groups are asked for what is due with one statement."""
_LOCKS = 1024
_PARK, _CLAIM = called(PARK, 22), called(CLAIM, 9)
NO_CLAIM: tuple[Any, ...] = (None, 0, 0, "", [], [], [], [])

_BEFORE = """r.seq < {0} AND r.off < coalesce(
    (SELECT c.off FROM record c WHERE c.seq = {0} AND c.channel = p.channel AND c.part = p.part), (1::bigint << 62))"""
_OF_GROUP = "grp = $1 AND NOT blocked OR grp = $1 AND key IS NOT NULL AND blocked"
"""Only what has a key is blocked; each half has an index."""

_GROUPS = """WITH RECURSIVE g AS (
    (SELECT grp FROM parked WHERE NOT blocked AND grp > $1 ORDER BY grp LIMIT 1)
    UNION ALL
    SELECT (SELECT grp FROM parked WHERE NOT blocked AND grp > g.grp ORDER BY grp LIMIT 1) FROM g WHERE grp IS NOT NULL
) SELECT grp FROM g WHERE grp IS NOT NULL"""
"""Every group with deliveries once, by name: each is one look into an index."""


class PostgresDeliveries(PostgresLog):
    """`DeliveryStore` over tables of deliveries and attempts."""

    _last_group = ""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        self._key_class, self._lease_class = f"wfe keys {address.schema}", f"wfe leases {address.schema}"
        self._settler = Settler(self._database, self._key_class)

    async def _finish(self) -> None:
        await super()._finish()
        await self._settler.finish()

    async def park(self, items: Sequence[Parked]) -> None:
        channels = await self._numbers(item.channel for item in items)
        if items:
            arguments = (*self._parking(channels, items), *NO_CLAIM)
            await self._db.statement(lambda db: db.fetchrow(_PARK, *arguments))

    async def _numbers(self, names: Iterable[str]) -> dict[str, int]:
        return {name: await self._channel(name) for name in set(names)}

    def _parking(self, channels: Mapping[str, int], items: Sequence[Parked]) -> tuple[Any, ...]:
        """What the functions that park are given of *items*."""
        columns: list[list[Any]] = [[] for _ in range(12)]
        keys: set[tuple[str, str]] = set()
        for item in items:
            row = (
                item.id,
                channels[item.channel],
                item.group,
                item.position.partition,
                item.position.offset,
                item.due_us,
                item.payload,
                item.key,
                item.attempt,
                item.first_us,
                text(item.reason),
                (item.group, item.key) in keys,
            )
            if item.key is not None:
                keys.add((item.group, item.key))
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        return self._key_class, self._key_locks(keys), *columns

    def _key_locks(self, keys: Iterable[tuple[str, str]]) -> list[int]:
        """What keeps others from adding to, and removing from, the deliveries of *keys*, on which depends what is
        blocked: in the order in which all take them.
        """
        schema = self._address.schema
        return sorted({lock(f"{schema}\0{group}\0{key}", _LOCKS) for group, key in keys})

    async def _items(self, rows: Sequence[Sequence[Any]]) -> list[Parked]:
        names = await self._names({row[1] for row in rows})
        return [
            Parked(row[0], names[row[1]], row[2], Position(row[3], row[4]), *row[5:])
            for row in rows
            if row[1] in names
        ]

    async def due(
        self,
        owner: str,
        now_us: int,
        *,
        limit: int,
        lease_us: int,
        per_group: int,
        room: Mapping[str, int] | None = None,
        limits: Mapping[str, int] | None = None,
    ) -> list[Parked]:
        until_us, found = now_us + lease_us, list[Sequence[Any]]()
        groups = await self._turns(now_us)
        asked = [(group, most) for group in groups if (most := (room or {}).get(group, per_group)) > 0]
        for at in range(0, len(asked), _TURNS):
            some = dict(asked[at : at + _TURNS])
            arguments = (owner, now_us, until_us, *self._claiming(some, limits or {}), limit - len(found))
            try:
                found += await self._db.statement(
                    lambda db, arguments=arguments: db.fetch(_CLAIM, *arguments)  # type: ignore[misc]
                )
            except Unavailable:
                if not found:
                    raise
                break  # and go on with what is leased
            if len(found) == limit:
                break
        if found:
            self._last_group = found[-1][2]
        return await self._items(found)

    def _claiming(self, room: Mapping[str, int], limits: Mapping[str, int]) -> tuple[Any, ...]:
        """What the functions that lease are given: who leases of a group with a limit for all holds a lock."""
        locks = sorted({lock(group, _LOCKS) for group in room if group in limits})
        return (
            self._lease_class,
            locks,
            list(room),
            list(room.values()),
            [limits.get(group) for group in room],
        )

    async def _turns(self, now_us: int) -> list[str]:
        """The groups that may have something due, beginning after the one that was served last."""
        query = "SELECT grp FROM parked WHERE NOT blocked AND due_us <= $1 ORDER BY due_us, seq LIMIT $2"
        every = await self._db.read(lambda db: db.fetch(query, now_us, _FEW))
        if len(every) == _FEW:
            every = await self._db.read(lambda db: db.fetch(_GROUPS, ""))
        groups = sorted({row[0] for row in every})
        last = self._last_group
        return [*(g for g in groups if g > last), *(g for g in groups if g <= last)]

    async def next_due(self, exclude: Collection[str] = ()) -> int | None:
        async def work(db: Db) -> int | None:
            first = await db.fetch(
                "SELECT due_us, grp FROM parked WHERE NOT blocked ORDER BY due_us, seq LIMIT $1", _FEW
            )
            for due_us, group in first:
                if group not in exclude:
                    return int(due_us)
            if len(first) < _FEW:
                return None
            found: int | None = await db.fetchval(
                f"SELECT min(p.due_us) FROM ({_GROUPS}) g, LATERAL (SELECT due_us FROM parked WHERE grp = g.grp"
                " AND NOT blocked ORDER BY due_us LIMIT 1) p WHERE g.grp <> ALL($2::text[])",
                "",
                list(exclude),
            )
            return found

        return await self._db.read(work)

    async def settle(
        self,
        item: Parked,
        outcome: Done | Again,
        *,
        ledger: Sequence[Attempt] = (),
        next_until_us: int | None = None,
    ) -> Settled:
        channels = await self._numbers(row.channel for row in ledger)
        locks = [] if item.key is None else self._key_locks([(item.group, item.key)])
        rows = ledger_rows(channels, ledger)
        held, row = await self._settler.settle(Verdict(item, outcome, next_until_us, locks, rows))
        following = [] if row is None else await self._items([row])
        return Settled(held, following[0] if following else None)

    async def discard(self, group: str, key: str | None = None) -> list[Parked]:
        async def work(db: Db) -> list[Sequence[Any]]:
            where, values = (_OF_GROUP, [group]) if key is None else ("grp = $1 AND key = $2", [group, key])
            keys = await db.fetch(
                f"SELECT DISTINCT key FROM parked WHERE ({where}) AND key IS NOT NULL", *values
            )
            if keys:
                locks = self._key_locks((group, row[0]) for row in keys)
                await db.fetch(
                    "SELECT pg_advisory_xact_lock(hashtext($1), n) FROM unnest($2::int[]) n",
                    self._key_class,
                    locks,
                )
            rows = await db.fetch(f"DELETE FROM parked WHERE {where} RETURNING {PARKED}, seq", *values)
            return sorted(rows, key=lambda row: int(row[12]))

        return await self._items([tuple(row)[:12] for row in await self._db.write(work)])

    async def put_back(self, owner: str, *, keep: Collection[str] = ()) -> int:
        query = "UPDATE parked SET owner = NULL, due_us = 0 WHERE owner = $1 AND id <> ALL($2::text[])"
        return affected(await self._db.write(lambda db: db.execute(query, owner, list(keep))))

    async def parked(
        self, group: str | None = None, *, at: tuple[str, Position] | None = None
    ) -> list[Parked]:
        values: list[Any] = []
        where = ["true"]
        if group is not None:
            values.append(group)
            where.append(f"({_OF_GROUP})" if at is None else "grp = $1")
        if at is not None:
            n = len(values)
            where.append(f"channel = ${n + 1} AND part = ${n + 2} AND off = ${n + 3}")
            values += [await self._channel(at[0]), at[1].partition, at[1].offset]
        # What is found is sorted: in the order of all, all would be read.
        query = f"WITH found AS MATERIALIZED (SELECT {PARKED}, seq FROM parked WHERE {' AND '.join(where)})"
        query += f" SELECT {PARKED} FROM found ORDER BY seq"
        return await self._items(await self._db.read(lambda db: db.fetch(query, *values)))

    async def parked_page(self, after: int, limit: int) -> list[tuple[int, Parked]]:
        query = f"SELECT {PARKED}, seq FROM parked WHERE seq > $1 ORDER BY seq LIMIT $2"
        rows = await self._db.read(lambda db: db.fetch(query, after, limit))
        items = {item.id: item for item in await self._items([tuple(row)[:12] for row in rows])}
        return [(row[12], items[row[0]]) for row in rows if row[0] in items]

    async def backlog(self) -> dict[str, int]:
        return {backlog.group: backlog.count for backlog in await self.backlogs()}

    async def backlogs(self) -> list[Backlog]:
        query = "SELECT grp, count(*), min(first_us), max(attempt) FROM parked GROUP BY grp ORDER BY grp"
        return [Backlog(*row) for row in await self._db.read(lambda db: db.fetch(query))]

    async def log_attempts(self, rows: Sequence[Attempt]) -> None:
        channels = await self._numbers(row.channel for row in rows)
        if rows:
            await self._settler.settle(Verdict(None, Done(), None, [], ledger_rows(channels, rows)))

    async def attempts(self, name: str, position: Position) -> list[Attempt]:
        channel = await self._channel(name)
        rows = await self._db.read(
            lambda db: db.fetch(
                "SELECT grp, delivery, status, at_us, n, ms, code, detail, reference FROM attempt"
                " WHERE channel = $1 AND part = $2 AND off = $3 ORDER BY seq",
                channel,
                position.partition,
                position.offset,
            )
        )
        return [Attempt(name, position, *row) for row in rows]

    async def search(self, query: Query) -> list[Hit]:
        plain = not by_partition(query)
        since = "r.time_us {} {{}}" if plain else f"r.off {{}} {SINCE}(p.channel, p.part, {{{{}}}})"
        wanted: list[tuple[str, str | int | None]] = [
            (
                "r.channel = {}" if plain else "p.channel = {}",
                query.channel and await self._channel(query.channel),
            ),
            ("r.type = {}", query.type),
            ("r.source = {}", query.source),
            ("r.subject = {}", query.subject),
            ("r.id = {}", query.id),
            (since.format(">="), query.from_us),
            (since.format("<"), query.to_us),
            ("r.seq < {}" if plain else _BEFORE, None if query.cursor is None else int(query.cursor)),
        ]
        given = [(sql, value) for sql, value in wanted if value is not None]
        where = "".join(f" AND {sql.format(f'${n}')}" for n, (sql, _) in enumerate(given, 2))
        found = f"SELECT {RECORD}, channel, seq FROM record r WHERE true{where}"
        if not plain:  # then the newest of each partition, in their order, for which there are indexes
            found += " AND r.channel = p.channel AND r.part = p.part ORDER BY r.off DESC LIMIT $1"
            found = f"SELECT f.* FROM partition p, LATERAL ({found}) f"
        statement = f"{found} ORDER BY seq DESC LIMIT $1"
        values = [query.limit, *(value for _, value in given)]
        rows = await self._db.read(lambda db: db.fetch(statement, *values))
        names = await self._names({row[11] for row in rows})
        return [Hit(names[row[11]], stored(row), str(row[12])) for row in rows if row[11] in names]


def ledger_rows(channels: Mapping[str, int], rows: Sequence[Attempt]) -> list[tuple[Any, ...]]:
    return [
        (
            channels[row.channel],
            row.position.partition,
            row.position.offset,
            row.group,
            row.delivery,
            row.status,
            row.at_us,
            row.n,
            row.ms,
            text(row.code),
            text(row.detail),
            text(row.reference),
        )
        for row in rows
    ]
