"""The deliveries and the ledger of a store in PostgreSQL."""

# ruff: noqa: S608  only names of columns and tables are put into statements; values are bound

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workflow_engine.events.spi import Again, Attempt, Backlog, Done, Hit, Parked, Position, Query, Settled
from workflow_engine.events.stores.postgresql_connection import Db
from workflow_engine.events.stores.postgresql_log import RECORD, PostgresLog, affected, stored

_PARKED = "id, channel, grp, part, off, due_us, payload, key, attempt, first_us, reason, owner"
_FEW = 500
"""Up to how many deliveries that are due are looked at one by one; with more, groups are, which are fewer."""
_TURNS = 64
"""How many groups are asked for what is due with one statement."""
_LOCKS = 1024

_GROUPS = """WITH RECURSIVE g AS (
    (SELECT grp FROM parked WHERE NOT blocked AND grp > $1 ORDER BY grp LIMIT 1)
    UNION ALL
    SELECT (SELECT grp FROM parked WHERE NOT blocked AND grp > g.grp ORDER BY grp LIMIT 1) FROM g WHERE grp IS NOT NULL
) SELECT grp FROM g WHERE grp IS NOT NULL"""
"""Every group with deliveries once, by name: each is one look into an index."""


class PostgresDeliveries(PostgresLog):
    """`DeliveryStore` over tables of deliveries and attempts."""

    _last_group = ""

    async def park(self, items: Sequence[Parked]) -> None:
        channels = await self._numbers(item.channel for item in items)
        await self._db.write(lambda db: self._park(db, channels, items))

    async def _numbers(self, names: Iterable[str]) -> dict[str, int]:
        return {name: await self._channel(name) for name in set(names)}

    async def _park(self, db: Db, channels: Mapping[str, int], items: Sequence[Parked]) -> None:
        if not items:
            return
        keyed = {(item.group, item.key) for item in items if item.key is not None}
        taken = await self._taken(db, keyed)
        columns: list[list[Any]] = [[] for _ in range(12)]
        for item in items:
            blocked = (item.group, item.key) in taken
            if item.key is not None:
                taken.add((item.group, item.key))
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
                _text(item.reason),
                blocked,
            )
            for column, value in zip(columns, row, strict=True):
                column.append(value)
        await db.execute(
            "INSERT INTO parked (id, channel, grp, part, off, due_us, payload, key, attempt, first_us, reason, blocked)"
            " SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::int[], $5::bigint[], $6::bigint[],"
            " $7::bytea[], $8::text[], $9::int[], $10::bigint[], $11::text[], $12::bool[])"
            " ON CONFLICT (id) DO NOTHING",
            *columns,
        )

    async def _taken(self, db: Db, keyed: Collection[tuple[str, str | None]]) -> set[tuple[str, str]]:
        """Those keys of groups that have a delivery, which nobody changes until the end of the transaction."""
        if not keyed:
            return set()
        await self._lock(db, *((group, key) for group, key in keyed if key is not None))
        rows = await db.fetch(
            "SELECT t.grp, t.key FROM unnest($1::text[], $2::text[]) AS t (grp, key)"
            " WHERE EXISTS (SELECT FROM parked p WHERE p.grp = t.grp AND p.key = t.key)",
            [group for group, _ in keyed],
            [key for _, key in keyed],
        )
        return {(row[0], row[1]) for row in rows}

    async def _lock(self, db: Db, *keys: tuple[str, str]) -> None:
        """Keep others from adding to, and removing from, the deliveries of *keys*: what is blocked depends on them."""
        numbers = set()
        for group, key in keys:
            text = f"{self._address.schema}\0{group}\0{key}".encode("utf-8", "surrogatepass")
            numbers.add(int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "big") % _LOCKS)
        await db.fetch(
            "SELECT pg_advisory_xact_lock(hashtext($1), n) FROM unnest($2::int[]) AS n",
            f"wfe keys {self._address.schema}",
            sorted(numbers),
        )

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
        async def work(db: Db) -> list[Sequence[Any]]:
            if limits:  # they are for all processes together, which take their turns
                await db.execute(
                    "SELECT pg_advisory_xact_lock(hashtext($1), 0)", f"wfe due {self._address.schema}"
                )
            groups = await self._turns(db, now_us)
            found: list[Sequence[Any]] = []
            for at in range(0, len(groups), _TURNS):
                some = groups[at : at + _TURNS]
                most = [(room or {}).get(group, per_group) for group in some]
                if limits:
                    taken = await _leased(db, [group for group in some if group in limits], now_us)
                    most = [
                        min(n, limits[group] - taken.get(group, 0)) if group in limits else n
                        for group, n in zip(some, most, strict=True)
                    ]
                found += await db.fetch(
                    f"SELECT p.* FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS g (grp, most, turn),"
                    f" LATERAL (SELECT {_PARKED} FROM parked WHERE grp = g.grp AND NOT blocked AND due_us <= $3"
                    " ORDER BY due_us, seq LIMIT g.most FOR UPDATE SKIP LOCKED) p ORDER BY g.turn LIMIT $4",
                    some,
                    [max(0, n) for n in most],
                    now_us,
                    limit - len(found),
                )
                if len(found) == limit:
                    break
            if found:
                await db.execute(
                    "UPDATE parked SET owner = $1, due_us = $2 WHERE id = ANY($3::text[])",
                    owner,
                    now_us + lease_us,
                    [row[0] for row in found],
                )
            return found

        rows = await self._db.write(work, sync=False)
        if rows:
            self._last_group = rows[-1][2]
        return [
            replace(item, owner=owner, due_us=now_us + lease_us)
            for item in sorted(await self._items(rows), key=_place_in(rows))
        ]

    async def _turns(self, db: Db, now_us: int) -> list[str]:
        """The groups that may have something due, beginning after the one that was served last."""
        few = await db.fetch(
            "SELECT grp FROM parked WHERE NOT blocked AND due_us <= $1 ORDER BY due_us, seq LIMIT $2",
            now_us,
            _FEW,
        )
        every = few if len(few) < _FEW else await db.fetch(_GROUPS, "")
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
        held = (item.id, item.owner, item.due_us)
        channels = await self._numbers(row.channel for row in ledger)

        async def work(db: Db) -> tuple[bool, Sequence[Any] | None]:
            await self._log(db, channels, ledger)
            if isinstance(outcome, Again):
                again = await db.execute(
                    "UPDATE parked SET owner = NULL, due_us = $4, reason = $5, attempt = attempt + 1"
                    " WHERE id = $1 AND owner = $2 AND due_us = $3",
                    *held,
                    outcome.due_us,
                    _text(outcome.reason),
                )
                return affected(again) > 0, None
            if item.key is not None:
                await self._lock(db, (item.group, item.key))
            gone = await db.execute("DELETE FROM parked WHERE id = $1 AND owner = $2 AND due_us = $3", *held)
            if not affected(gone) or item.key is None:
                return affected(gone) > 0, None
            leased: Sequence[Any] | None = await db.fetchrow(
                "UPDATE parked SET blocked = false, owner = coalesce($3, owner), due_us = coalesce($4, due_us)"
                " WHERE seq = (SELECT seq FROM parked WHERE grp = $1 AND key = $2 ORDER BY seq LIMIT 1)"
                f" RETURNING {_PARKED}",
                item.group,
                item.key,
                None if next_until_us is None else item.owner,
                next_until_us,
            )
            return True, None if next_until_us is None else leased

        held_still, row = await self._db.write(work, sync=False)
        following = [] if row is None else await self._items([row])
        return Settled(held_still, following[0] if following else None)

    async def discard(self, group: str, key: str | None = None) -> list[Parked]:
        async def work(db: Db) -> list[Sequence[Any]]:
            some, values = ("", [group]) if key is None else (" AND key = $2", [group, key])
            keys = await db.fetch(
                f"SELECT DISTINCT key FROM parked WHERE grp = $1{some} AND key IS NOT NULL", *values
            )
            if keys:
                await self._lock(db, *((group, row[0]) for row in keys))
            rows = await db.fetch(
                f"DELETE FROM parked WHERE grp = $1{some} RETURNING {_PARKED}, seq", *values
            )
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
            where.append("grp = $1")
        if at is not None:
            n = len(values)
            where.append(f"channel = ${n + 1} AND part = ${n + 2} AND off = ${n + 3}")
            values += [await self._channel(at[0]), at[1].partition, at[1].offset]
        query = f"SELECT {_PARKED} FROM parked WHERE {' AND '.join(where)} ORDER BY seq"
        return await self._items(await self._db.read(lambda db: db.fetch(query, *values)))

    async def backlog(self) -> dict[str, int]:
        return {backlog.group: backlog.count for backlog in await self.backlogs()}

    async def backlogs(self) -> list[Backlog]:
        query = "SELECT grp, count(*), min(first_us), max(attempt) FROM parked GROUP BY grp ORDER BY grp"
        return [Backlog(*row) for row in await self._db.read(lambda db: db.fetch(query))]

    async def log_attempts(self, rows: Sequence[Attempt]) -> None:
        channels = await self._numbers(row.channel for row in rows)
        await self._db.write(lambda db: self._log(db, channels, rows), sync=False)

    async def _log(self, db: Db, channels: Mapping[str, int], rows: Sequence[Attempt]) -> None:
        if not rows:
            return
        columns: list[list[Any]] = [[] for _ in range(12)]
        for row in rows:
            values = (
                channels[row.channel],
                row.position.partition,
                row.position.offset,
                row.group,
                row.delivery,
                row.status,
                row.at_us,
                row.n,
                row.ms,
                _text(row.code),
                _text(row.detail),
                _text(row.reference),
            )
            for column, value in zip(columns, values, strict=True):
                column.append(value)
        await db.execute(
            "INSERT INTO attempt (channel, part, off, grp, delivery, status, at_us, n, ms, code, detail, reference)"
            " SELECT * FROM unnest($1::int[], $2::int[], $3::bigint[], $4::text[], $5::text[], $6::text[],"
            " $7::bigint[], $8::int[], $9::float8[], $10::text[], $11::text[], $12::text[])",
            *columns,
        )

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
        wanted: list[tuple[str, str | int | None]] = [
            ("channel =", None if query.channel is None else await self._channel(query.channel)),
            ("type =", query.type),
            ("source =", query.source),
            ("subject =", query.subject),
            ("id =", query.id),
            ("time_us >=", query.from_us),
            ("time_us <", query.to_us),
            ("seq <", None if query.cursor is None else int(query.cursor)),
        ]
        given = [(sql, value) for sql, value in wanted if value is not None]
        where = " AND ".join(["true", *(f"{sql} ${n}" for n, (sql, _) in enumerate(given, 2))])
        statement = f"SELECT {RECORD}, channel, seq FROM record WHERE {where} ORDER BY seq DESC LIMIT $1"
        values = [query.limit, *(value for _, value in given)]
        rows = await self._db.read(lambda db: db.fetch(statement, *values))
        names = await self._names({row[11] for row in rows})
        return [Hit(names[row[11]], stored(row), str(row[12])) for row in rows if row[11] in names]


def _place_in(rows: Sequence[Sequence[Any]]) -> Any:
    places = {row[0]: place for place, row in enumerate(rows)}
    return lambda item: places[item.id]


def _text(text: str) -> str:
    """*text*, which tells what a target said, as PostgreSQL can store it."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


async def _leased(db: Db, groups: list[str], now_us: int) -> dict[str, int]:
    rows = await db.fetch(
        "SELECT grp, count(*) FROM parked WHERE owner IS NOT NULL AND grp = ANY($1::text[]) AND due_us > $2"
        " GROUP BY grp",
        groups,
        now_us,
    )
    return {row[0]: row[1] for row in rows}
