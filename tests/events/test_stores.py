"""The built-in stores keep the contract."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys

import pytest

from workflow_engine.errors import Conflict, NotFound, Rejected, Unavailable
from workflow_engine.events.spi import Attempt, ChannelSpec, Position, Query, Store
from workflow_engine.events.stores import open_store
from workflow_engine.testing.event_store import EventStoreContract
from workflow_engine.testing.event_store_fixtures import NOW, bodies, delivery, record


class TestMemory(EventStoreContract):
    @pytest.fixture
    def url(self):
        return "memory:"


class TestSqlite(EventStoreContract):
    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path}/new folder/events.db?synchronous=normal"


class TestPostgresql(EventStoreContract):
    @pytest.fixture
    def url(self, postgresql_schema):
        return postgresql_schema


class TestNats(EventStoreContract):
    @pytest.fixture
    def url(self, nats_url):
        return nats_url


class TestUrls:
    def test_an_unknown_scheme_names_those_that_are_known(self):
        with pytest.raises(Rejected, match="memory, nats, postgres, postgresql, sqlite, tls"):
            open_store("oracle://host/db")

    @pytest.mark.parametrize(
        "url", ["sqlite://host/x", "sqlite:", "sqlite:///x?synchronous=off", "sqlite:///x?y=1", "memory:/x"]
    )
    def test_a_url_that_says_nothing_clear_is_refused(self, url):
        with pytest.raises(Rejected):
            open_store(url)

    @pytest.mark.parametrize("url", ["memory:", "sqlite:///x.db", "SQLITE:////tmp/x.db"])
    def test_a_store_is_all_four_protocols(self, url):
        assert isinstance(open_store(url), Store)


async def opened(path) -> Store:
    store = open_store(f"sqlite:///{path}")
    await store.open()
    return store


async def test_a_file_is_opened_by_one_process_and_the_second_learns_which(tmp_path):
    store = await opened(tmp_path / "e.db")
    with pytest.raises(Conflict, match=rf"e\.db is in use by process {os.getpid()}"):
        await opened(tmp_path / "e.db")
    await store.close()
    await (await opened(tmp_path / "e.db")).close()


async def test_a_file_that_is_no_database_is_refused_and_let_go(tmp_path):
    (tmp_path / "e.db").write_bytes(b"not a database" * 100)
    for _ in range(2):
        with pytest.raises(Unavailable, match=r"e\.db"):
            await opened(tmp_path / "e.db")


async def test_a_file_of_a_newer_version_is_refused(tmp_path):
    with sqlite3.connect(tmp_path / "e.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(Conflict, match="format 99"):
        await opened(tmp_path / "e.db")


async def test_a_write_that_fails_leaves_those_of_its_group_alone(tmp_path):
    store = await opened(tmp_path / "e.db")
    await store.ensure_channel(ChannelSpec("c"))
    rev = await store.put("k", b"1")
    results = await asyncio.gather(
        store.put("a", b"1"),
        store.put("k", b"2", if_rev=rev + 7),
        store.append("c", [record("1")]),
        return_exceptions=True,
    )
    assert isinstance(results[1], Conflict)
    assert await bodies(store) == ["1"]
    assert await store.get("a") is not None
    await store.close()


async def test_who_writes_while_a_channel_is_dropped_is_told_and_leaves_nothing_behind(url):
    """An orphan would be in the way of every delivery."""
    store = open_store(url)
    await store.open()
    for _ in range(5):
        await store.ensure_channel(ChannelSpec("c"))
        await store.ensure_channel(ChannelSpec("d"))
        dropped, *others = await asyncio.gather(
            store.drop_channel("c"),
            store.park([delivery("1"), delivery("2", channel="d")]),
            store.append("c", [record("1")]),
            store.log_attempts([Attempt("c", Position(0, 0), "g", "1", "x", NOW)]),
            store.parked(),
            return_exceptions=True,
        )
        assert dropped is None
        assert all(isinstance(each, NotFound | None | list) for each in others)
    async with asyncio.timeout(20):
        assert {item.channel for item in await store.parked()} <= {"d"}
        assert {item.channel for item in await store.due("me", NOW, limit=9, lease_us=1, per_group=9)} <= {
            "d"
        }
        assert await store.search(Query()) == []
    await store.close()


async def test_a_write_that_goes_wrong_in_an_unknown_way_ends_nothing_but_itself(tmp_path):
    store = await opened(tmp_path / "e.db")

    def stops(_db):
        raise StopIteration

    for _ in range(2):
        with pytest.raises(RuntimeError):
            await store._db.write(stops)
    committing, store._db._commit = store._db._commit, None
    with pytest.raises(Unavailable, match="cannot be written"):
        await store.put("a", b"1")
    store._db._commit = committing
    await store.put("a", b"2")
    await store.close()


async def test_a_file_that_is_damaged_is_said_to_be(tmp_path):
    store = await opened(tmp_path / "e.db")
    await store.ensure_channel(ChannelSpec("c"))
    await store.append("c", [record(str(n), body=bytes(5000)) for n in range(200)])
    await store.close()
    with (tmp_path / "e.db").open("r+b") as file:
        file.seek(4096 * 30)
        file.write(b"\xff" * 4096 * 60)
    store = await opened(tmp_path / "e.db")
    with pytest.raises(Unavailable, match=r"cannot be read: database disk image is malformed"):
        await store.read("c", 0, 0, limit=1000)
    await store.close()


PUBLISHER = """
import asyncio, sys
from workflow_engine.events.spi import ChannelSpec
from workflow_engine.events.stores import open_store
from workflow_engine.testing.event_store_fixtures import record

async def main():
    store = open_store(sys.argv[1])
    await store.open()
    await store.ensure_channel(ChannelSpec("c"))

    async def publish(worker):
        for n in range(100000):
            batch = [record(f"{sys.argv[2]}-{worker}-{n}-{m}") for m in range(worker + 1)]
            await store.append("c", batch)
            print(*(r.id for r in batch), flush=True)

    await asyncio.gather(*map(publish, range(3)))

asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(3))
def test_what_was_acknowledged_survives_the_killing_of_the_process(tmp_path, seed):
    acknowledged: list[str] = []
    for life in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", PUBLISHER, f"sqlite:///{tmp_path}/e.db", str(life)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(20 + 37 * seed):
            acknowledged += child.stdout.readline().split()
        child.kill()
        for line in child.stdout.read().splitlines(keepends=True):
            acknowledged += line.split() if line.endswith("\n") else []
        child.wait()
        child.stdout.close()
    there = asyncio.run(ids_in(tmp_path / "e.db"))
    assert set(acknowledged) <= set(there)
    assert len(there) == len(set(there))
    batches = {}
    for id in there:
        batches.setdefault(id.rsplit("-", 1)[0], []).append(id)
    assert all(len(ids) == int(name.split("-")[1]) + 1 for name, ids in batches.items())


async def ids_in(path) -> list[str]:
    store = await opened(path)
    there = await bodies(store, limit=1_000_000)
    await store.close()
    return there


@pytest.mark.parametrize("older", [False, True])
async def test_events_of_a_source_are_found_by_an_index_which_an_older_file_gets(tmp_path, older):
    store = await opened(tmp_path / "e.db")
    await store.ensure_channel(ChannelSpec("c", partitions=2))
    await store.append("c", [record("1", source="/rare"), *(record(str(n)) for n in range(2, 50))])
    if older:
        await store._db.write(lambda db: db.execute("DROP INDEX record_source"))
        await store.close()
        store = await opened(tmp_path / "e.db")
    asked = []

    def traced(db):
        db.set_trace_callback(asked.append)

    reading = store._db._read
    store._db._read = lambda work: reading(lambda db: (traced(db), work(db))[1])
    for query in (Query(source="/rare"), Query(source="/rare", from_us=1, to_us=NOW + 1)):
        assert [hit.stored.record.id for hit in await store.search(query)] == ["1"]
    found = [sql for sql in asked if "source = " in sql]
    assert len(found) == 2
    plans = await store._db.write(
        lambda db: [db.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()[0][3] for sql in found]
    )
    assert all("record_source (source=? AND channel=? AND part=?" in plan for plan in plans), plans
    await store.close()
