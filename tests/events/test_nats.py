"""The store in NATS, where it differs from others: a journal, who has it, and a server that goes away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import resource
import shutil
import sqlite3
import sys
from contextlib import asynccontextmanager
from datetime import timedelta

import nats
import pytest
import trustme

from tests.brokers.servers import free_port
from tests.events.conftest import Recorder, event, eventually, quiet, running, subscription
from tests.standins.nats import NatsServer
from workflow_engine.errors import Conflict, Rejected, Unavailable
from workflow_engine.events.spi import Again, ChannelSpec, Done, Fenced, Position
from workflow_engine.events.stores import journal as entries
from workflow_engine.events.stores import open_store
from workflow_engine.testing.event_store_fixtures import NOW, SECOND, bodies, delivery, record


@asynccontextmanager
async def opened(url):
    store = open_store(url)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def jetstream(url):
    """The journal as others see it, and its stream's name."""
    server, _, name = url.partition("?")[0].rpartition("/")
    client = await nats.connect(server)
    try:
        yield client.jetstream(), name
    finally:
        await client.close()


async def content(store) -> list[str]:
    """Everything that the store's file has, as statements; but for who writes it."""

    def dump(db):
        with contextlib.closing(sqlite3.connect(":memory:")) as copy:
            db.backup(copy)
            copy.execute("DELETE FROM writer")
            copy.execute("DELETE FROM replica")
            return [*copy.iterdump()]

    return await store._db.read(dump)


async def busy(store, dice, steps=40):
    """Do what routers do, in an order that the dice choose."""
    kinds = [f"c{n}" for n in range(3)]
    for channel in kinds:
        await store.ensure_channel(
            ChannelSpec(channel, dice.randint(1, 3), dice.choice([None, 0, 5 * SECOND]))
        )
    now = NOW
    for step in range(steps):
        now += dice.randint(0, SECOND)
        channel, group = dice.choice(kinds), dice.choice("gh")
        at = Position(0, dice.randint(0, 5))
        match dice.randint(0, 12):
            case 0 | 1 | 2:
                ids = [str(dice.randint(0, 50)) for _ in range(dice.randint(1, 5))]
                await store.append(
                    channel, [record(id, key=id, time_us=now, body=dice.randbytes(30)) for id in ids]
                )
            case 3 | 4:
                held = await store.join(channel, group, dice.choice("ab"), now, 5 * SECOND)
                parked = [
                    delivery(
                        f"{step}-{n}", channel=channel, group=group, key=dice.choice(["k", None]), due_us=now
                    )
                    for n in range(3)
                ]
                state = {dice.choice("xyz"): dice.choice([None, b"1", dice.randbytes(5)])}
                offsets = {part: dice.randint(0, 9) for part in held.partitions}
                await store.commit(held, offsets, outbox=parked, state=state)
                if dice.random() < 0.3:
                    await store.leave(held)
            case 5 | 6:
                for item in await store.due("me", now, limit=4, lease_us=2 * SECOND, per_group=3):
                    outcome = dice.choice([Done(), Again(now + SECOND, "busy")])
                    await store.settle(item, outcome, next_until_us=dice.choice([None, now + SECOND]))
            case 7:
                await store.trim(channel, 0, dice.randint(0, 9))
            case 8:
                await store.put(dice.choice("pq"), dice.randbytes(4))
            case 9:
                await store.delete(dice.choice("pq"))
            case 10:
                await store.discard(group, dice.choice(["k", None]))
            case 11:
                await dice.choice([store.seek(channel, group, {0: at.offset}) for _ in "1"])
            case 12:
                with contextlib.suppress(Conflict, Fenced):
                    await store.lease("l", dice.choice("ab"), now, SECOND)
                if dice.random() < 0.2:
                    await store.drop_channel(channel)
                    await store.ensure_channel(ChannelSpec(channel, 2))


@pytest.mark.parametrize("seed", range(3))
async def test_snapshot_and_journal_give_what_was_there(nats_url, tmp_path, seed):
    """Also where the copy of an earlier time goes on, and where there is none."""
    dice, kept = random.Random(seed), f"{nats_url}?file={tmp_path}/copy.db"
    for life in range(3):
        async with opened(kept if dice.random() < 0.5 else nats_url) as store:
            await busy(store, dice)
            if dice.random() < 0.6:
                await store.snapshot()
                await busy(store, dice, life * 10)
            before = await content(store)
        async with opened(dice.choice([kept, nats_url])) as again:
            await again._db.write(lambda db: None)
            after = await content(again)
            # what opening ends: leases of deliveries and memberships
            ignored = ('INSERT INTO "parked"', 'INSERT INTO "grp"', 'INSERT INTO "member"')
            assert [row for row in after if not row.startswith(ignored)] == [
                row for row in before if not row.startswith(ignored)
            ]
            built = await content(again)
        async with opened(nats_url) as anew:
            assert await content(anew) == built


async def test_a_second_process_is_refused_and_told_who_has_it(nats_url):
    async with opened(nats_url):
        with pytest.raises(Conflict, match=r"is in use by process \d+ on .*; stop it"):
            await open_store(nats_url).open()
    async with opened(nats_url):
        pass


async def test_of_several_that_open_at_once_one_has_it(nats_url):
    stores = [open_store(nats_url) for _ in range(4)]
    found = await asyncio.gather(*(store.open() for store in stores), return_exceptions=True)
    assert [each for each in found if each is not None and not isinstance(each, Conflict | Unavailable)] == []
    (has,) = [store for store, each in zip(stores, found, strict=True) if each is None]
    await has.put("a", b"1")
    await asyncio.gather(*(store.close() for store in stores))


async def test_a_writer_that_was_cut_off_is_fenced_by_who_took_over(nats_url, monkeypatch):
    async with opened(nats_url) as first:
        await first.ensure_channel(ChannelSpec("c"))
        await first.append("c", [record("1")])
        second = open_store(nats_url)

        async def nobody():
            return None

        monkeypatch.setattr(second._journal, "holder", nobody)
        await second.open()
        try:
            assert await bodies(second) == ["1"]
            await second.append("c", [record("2")])
            await eventually(lambda: first._replica.fenced)  # also if it has nothing to write
            with pytest.raises(Unavailable, match=r"was taken over by (process \d+ on|another process)"):
                await first.append("c", [record("3")])
            with pytest.raises(Unavailable, match="was taken over by"):
                await first.read("c", 0, 0, limit=1)
            await second.append("c", [record("4")])
            assert await bodies(second) == ["1", "2", "4"]
        finally:
            await second.close()
    async with opened(nats_url) as third:
        assert await bodies(third) == ["1", "2", "4"]


async def test_who_was_taken_over_without_learning_of_it_is_refused_by_the_server(nats_url, monkeypatch):
    async with opened(nats_url) as first:
        await first.ensure_channel(ChannelSpec("c"))
        await first._journal.resign()
        async with opened(nats_url) as second:
            await second.append("c", [record("1")])
            assert not first._replica.fenced
            for _ in range(2):
                with pytest.raises(Unavailable, match=r"was taken over by process \d+ on"):
                    await first.append("c", [record("2")])
            await second.append("c", [record("3")])
            assert await bodies(second) == ["1", "3"]


async def test_who_was_taken_over_while_the_server_was_away_answers_no_more(own_nats_server, monkeypatch):
    """Else nobody could open the store once the new one ends."""
    server = own_nats_server
    url = server.url()
    async with opened(url) as first:
        away, connecting = asyncio.Event(), first._journal._connected

        async def not_yet():
            await away.wait()
            return await connecting()

        monkeypatch.setattr(first._journal, "_connected", not_yet)
        await first._journal._client.close()
        async with opened(url) as second:
            await second.put("a", b"1")
            away.set()
            await eventually(lambda: first._replica.fenced)
        async with opened(url) as third:
            assert (await third.get("a")).value == b"1"
            with pytest.raises(Unavailable, match="was taken over by"):
                await first.put("a", b"2")


async def test_what_is_left_of_a_snapshot_that_did_not_become_whole_is_removed(nats_url, monkeypatch):
    async with opened(nats_url) as store:
        await store.put("a", b"1")
        await store.snapshot()
        async with jetstream(nats_url) as (js, name):
            await js.publish(f"$O.{name}-snapshots.C.abandoned", b"half of it")
            await store.snapshot()
            streams = f"OBJ_{name}-snapshots"
            assert (await js.stream_info(streams)).state.messages == 3
            monkeypatch.setattr("workflow_engine.events.stores.nats_journal.ABANDONED", timedelta(0))
            await store.put("a", b"2")
            await store.snapshot()
            assert (await js.stream_info(streams)).state.messages == 4  # of two snapshots


async def test_a_snapshot_that_is_damaged_is_named(nats_url):
    async with opened(nats_url) as store:
        await store.put("a", b"1")
        at = await store.snapshot()
        async with jetstream(nats_url) as (js, name):
            bucket = await js.object_store(f"{name}-snapshots")
            await bucket.put(f"snapshot-{at:020d}", b"not what it was")
    with pytest.raises(Unavailable, match=f"its snapshot of {at} cannot be used: Not a gzipped file"):
        await open_store(nats_url).open()


async def test_a_transaction_larger_than_a_message_is_whole_or_not_at_all(nats_url):
    """It goes in parts; some of them may be there when the connection ends."""
    big = [record(str(n), body=random.Random(n).randbytes(700_000)) for n in range(3)]
    async with opened(nats_url) as store:
        await store.ensure_channel(ChannelSpec("c"))
        await store.append("c", big[:2])
        last = (await store._journal.bounds()).last
        cut = entries.parts(store._db._me, 99, [("DELETE FROM record", [()])], entries._HEAD.size + 10)
        await store._journal.append(cut[:-1], last)
        with pytest.raises(Unavailable, match="try again"):
            await store.append("c", big[2:]) or await store.append("c", big[2:])
        await store.append("c", big[2:])
        assert [stored.record for stored in await store.read("c", 0, 0, limit=9)] == big
    async with opened(nats_url) as again:
        assert [stored.record for stored in await again.read("c", 0, 0, limit=9)] == big


async def test_snapshots_are_made_by_size_and_the_journal_forgets_what_they_have(nats_url):
    async with opened(f"{nats_url}?snapshot=40000") as store:
        await store.ensure_channel(ChannelSpec("c"))
        dice = random.Random(0)
        for n in range(120):
            await store.append("c", [record(str(n), body=dice.randbytes(2000))])
        await eventually(lambda: store._snapshotting is None)
        bounds = await store._journal.bounds()
        snapshot, before = await store._journal.snapshots()
        assert bounds.first == snapshot.sequence > before.sequence > 15
    async with opened(nats_url) as again:
        assert await bodies(again) == [str(n) for n in range(120)]


async def test_a_journal_with_little_room_is_emptied_in_time(nats_url):
    async with opened(f"{nats_url}?max_bytes=100000") as store:
        await store.ensure_channel(ChannelSpec("c"))
        dice, n = random.Random(0), 0
        while n < 100:
            with contextlib.suppress(Unavailable):
                await store.append("c", [record(str(n), body=dice.randbytes(2000))])
                n += 1
        assert await store._journal.snapshots()


async def test_a_full_disk_of_the_engine_costs_nothing_that_the_journal_has(nats_url, tmp_path):
    """The entry is there, but the copy cannot follow: whoever asked is told so, and it is made up for."""
    async with opened(f"{nats_url}?file={tmp_path}/copy.db") as store:
        await store.ensure_channel(ChannelSpec("c"))
        await store.append("c", [record("1")])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "copy.db-wal").stat().st_size, hard))
        try:
            for _ in range(3):
                with pytest.raises(Unavailable, match=r"cannot be (written|applied)"):
                    await store.append("c", [record("2", body=random.Random(0).randbytes(200_000))])
            assert await bodies(store) == ["1"]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

        async def again():
            with contextlib.suppress(Unavailable):
                return (await store.append("c", [record("2")]))[0]

        await eventually(again)
        assert await bodies(store) == ["1", "2"]


async def test_what_has_no_room_is_refused(nats_url, monkeypatch):
    async with opened(f"{nats_url}?max_bytes=50000") as store:
        await store.ensure_channel(ChannelSpec("c"))
        make_room = store.snapshot
        monkeypatch.setattr(store, "_make_room", lambda: None)
        monkeypatch.setattr(store._replica, "_on_full", lambda: None)
        for n in range(12):
            await store.append("c", [record(str(n), body=random.Random(n).randbytes(2000))])
        with pytest.raises(Unavailable, match="has no room: maximum bytes exceeded"):
            await store.append("c", [record("x", body=random.Random(0).randbytes(20000))])
        before = await bodies(store)
        await make_room()
        await store.append("c", [record("new")])
        assert await bodies(store) == [*before, "new"]


async def test_what_has_grown_over_several_lives_is_forgotten_too(nats_url, tmp_path):
    kept = f"{nats_url}?snapshot=4000&file={tmp_path}/copy.db"
    for n in range(6):
        async with opened(kept) as store:
            await store.put("a", random.Random(n).randbytes(1500))
            await eventually(lambda store=store: store._snapshotting is None)
    assert store._largest


async def test_a_copy_that_is_older_than_the_journal_is_made_anew(nats_url, tmp_path):
    kept = f"{nats_url}?file={tmp_path}/copy.db"
    async with opened(kept) as store:
        await store.put("a", b"1")
    async with opened(nats_url) as elsewhere:
        await elsewhere.put("a", b"2")
        await elsewhere.snapshot()
        await elsewhere.put("b", b"3")
    async with opened(kept) as store:
        assert [entry.value for entry in await store.entries("")] == [b"2", b"3"]


async def test_a_journal_that_is_gone_is_not_begun_anew_while_the_copy_has_everything(nats_url, tmp_path):
    kept = f"{nats_url}?file={tmp_path}/copy.db"
    async with opened(kept) as store:
        await store.put("a", b"1")
        await store.snapshot()
        before = await content(store)
    async with jetstream(nats_url) as (js, name):
        await js.delete_stream(name)
    for _ in range(2):
        with pytest.raises(Conflict, match="ends at 0, and has not what was acknowledged up to"):
            await open_store(kept).open()
    async with opened(f"{kept}&recover=copy") as store:
        assert await content(store) == before
        await store.put("b", b"2")
        before = await content(store)
    async with opened(nats_url) as anew:
        assert await content(anew) == before
    async with opened(kept) as store:
        assert await content(store) == before


async def test_what_a_server_has_lost_is_put_back_from_the_copy_where_that_is_wanted(
    own_nats_server, tmp_path
):
    """Its power failed before its disk had everything, or an older state of it was restored."""
    server = own_nats_server
    url = server.url()
    kept = f"{url}?file={tmp_path}/copy.db"
    async with opened(kept) as store:
        await store.ensure_channel(ChannelSpec("c"))
        await store.append("c", [record("1")])
        await store.snapshot()
        await store.append("c", [record("2")])
    await asyncio.to_thread(server.stop)
    older = shutil.copytree(server.folder / "streams", tmp_path / "older")
    await asyncio.to_thread(server.start)
    async with opened(kept) as store:
        await store.append("c", [record("3")])
        await store.snapshot()
        await store.append("c", [record("4")])
        await asyncio.to_thread(server.kill)
        shutil.rmtree(server.folder / "streams")
        shutil.copytree(older, server.folder / "streams")
        await asyncio.to_thread(server.start)

        async def told():
            with pytest.raises(Unavailable) as raised:
                await store.append("c", [record("5")])
            return "has lost what it had confirmed" in str(raised.value)

        await eventually(told)
    with pytest.raises(Conflict, match="add recover=copy to the URL to put it back"):
        await open_store(kept).open()
    async with opened(f"{kept}&recover=copy") as store:
        await store.append("c", [record("5")])
    for again in (kept, url):
        async with opened(again) as store:
            assert await bodies(store) == ["1", "2", "3", "4", "5"]


async def test_a_copy_that_differs_from_what_the_server_has_is_not_thrown_away(nats_server, tmp_path):
    url = nats_server.url()
    kept = f"{url}?file={tmp_path}/copy.db"
    async with opened(kept) as store:
        await store.put("a", b"1")
    other = nats_server.url()
    async with opened(other):
        pass
    for recover in ("", "&recover=copy"):
        with pytest.raises(Conflict, match="is another one than that of which "):
            await open_store(f"{other}?file={tmp_path}/copy.db{recover}").open()
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as db, db:
        db.execute("UPDATE replica SET applied = applied - 1")
    with pytest.raises(Conflict, match="went another way than that of which"):
        await open_store(f"{kept}&recover=copy").open()


async def test_a_journal_with_a_gap_is_refused(nats_url):
    async with opened(nats_url) as store:
        for n in range(5):
            await store.put(str(n), b"")
    async with jetstream(nats_url) as (js, name):
        await js.purge_stream(name, seq=4)
    with pytest.raises(Conflict, match="begins at 4 and has no snapshot of what was before"):
        await open_store(nats_url).open()


async def test_a_stream_of_something_else_is_refused(nats_url):
    async with jetstream(nats_url) as (js, name):
        await js.add_stream(name=name, subjects=[f"{name}.other"])
    with pytest.raises(Conflict, match="is there and is no event store"):
        await open_store(nats_url).open()


async def test_messages_of_something_else_are_left_out(nats_url, caplog):
    """Somebody tries the subject; the store must not be lost by that."""
    async with opened(nats_url) as store:
        await store.put("a", b"1")
        async with jetstream(nats_url) as (js, name):
            await js.publish(f"{name}.journal", b"hello")
        with contextlib.suppress(Unavailable):
            await store.put("a", b"2")
        await store.put("a", b"3")
    async with opened(nats_url) as again:
        assert (await again.get("a")).value == b"3"
    assert "is of somebody else, and is left out" in caplog.text


async def test_entries_of_a_newer_version_are_refused(nats_url):
    async with opened(nats_url) as store:
        message = bytearray(entries.parts(b"x" * 16, 1, [("DELETE FROM setting", [()])], 1000)[0])
        last = (await store._journal.bounds()).last
        message[3] = 9
        await store._journal.append([bytes(message)], last)
    with pytest.raises(Conflict, match="entries of form 9, this version reads up to 1; upgrade"):
        await open_store(nats_url).open()


@pytest.mark.parametrize(
    "sql", ["ATTACH '/tmp/x' AS x", "INSERT INTO setting VALUES ('a', randomblob(1), 9)"]
)
async def test_statements_that_reach_outside_or_differ_each_time_are_refused(nats_url, sql):
    async with opened(nats_url) as store:
        with pytest.raises((sqlite3.DatabaseError, Unavailable), match="not authorized"):
            await store._db.write(lambda db: db.execute(sql))
        last = (await store._journal.bounds()).last
        await store._journal.append(entries.parts(b"x" * 16, 1, [(sql, [()])], 1000), last)
    with pytest.raises(Unavailable, match=r"entry \d+ cannot be applied"):
        await open_store(nats_url).open()


async def test_tables_may_be_changed_by_a_newer_version(nats_url):
    """An older one can read its journal, and then refuses the format with the words for it."""
    statements = [
        "ALTER TABLE setting ADD COLUMN size INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE setting RENAME COLUMN size TO length",
        "ALTER TABLE setting RENAME TO option",
        "CREATE INDEX option_length ON option (length) WHERE length > 0",
        "UPDATE option SET length = length(value)",
        "DROP INDEX option_length",
        "ALTER TABLE option DROP COLUMN length",
        "PRAGMA user_version = 99",
    ]

    def upgrade(db):
        for sql in statements:
            db.execute(sql)

    async with opened(nats_url) as store:
        await store.put("a", b"1")
        await store._db.write(upgrade)
    with pytest.raises(Conflict, match="has format 99, this version reads up to 1; upgrade"):
        await open_store(nats_url).open()


async def test_what_changes_nothing_costs_no_entry(nats_url):
    async with opened(nats_url) as store:
        await store.ensure_channel(ChannelSpec("c"))
        before = await store._journal.bounds()
        assert await store.due("me", NOW, limit=9, lease_us=SECOND, per_group=9) == []
        assert await store.trim("c", 0, 5) == 0
        assert await store.delete("missing") is False
        assert await store._journal.bounds() == before


async def test_a_server_that_is_not_there_is_named_without_what_is_secret():
    for login in ("me:hunter2@", "hunter2@"):
        with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1/x cannot be reached") as raised:
            await open_store(f"nats://{login}127.0.0.1:1/x").open()
        assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "nats://me:hunter2@/x",
        "nats://me:hunter2@host/a.b",
        "nats://me:hunter2@host/a?replicas=2",
        "nats://me:hunter2@host/a?replicas=x",
        "nats://me:hunter2@host/a?other=1",
        "nats://me:hunter2@host/a?key=/k",
        "nats://me:hunter2@host/a?recover=all",
        "nats://hunter2@host:port/a",
        "nats://hunter2@[host/a",
    ],
)
def test_a_url_that_says_nothing_clear_is_refused_without_what_is_secret(url):
    with pytest.raises(Rejected) as raised:
        open_store(url)
    assert "hunter2" not in str(raised.value)


def test_without_the_client_the_url_is_refused_with_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("workflow_engine.events.stores.nats")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(Rejected, match=r"pip install 'serverless-workflow-engine\[nats\]'"):
        open_store("nats://host/x")


async def test_the_store_comes_back_with_the_server_and_nothing_acknowledged_is_lost(own_nats_server, caplog):
    server = own_nats_server
    url = server.url()
    caplog.set_level(logging.WARNING)
    async with opened(url) as store:
        await store.ensure_channel(ChannelSpec("c"))
        acknowledged, outages, stop = [], [], asyncio.Event()

        async def publish(worker):
            n = 0
            while not stop.is_set():
                try:
                    await store.append("c", [record(f"{worker}-{n}")])
                except Unavailable as error:
                    outages.append(str(error))
                    await asyncio.sleep(0.01)
                else:
                    acknowledged.append(f"{worker}-{n}")
                    n += 1

        tasks = [asyncio.create_task(publish(worker)) for worker in range(4)]
        for _ in range(2):
            enough = len(acknowledged) + 50
            await eventually(lambda enough=enough: len(acknowledged) >= enough)
            await asyncio.to_thread(server.kill)
            outages.clear()
            before = len(acknowledged)
            await eventually(outages.copy)
            assert await bodies(store)  # what is known can be read meanwhile
            await asyncio.to_thread(server.start)
            await eventually(lambda before=before: len(acknowledged) > before)
        stop.set()
        await asyncio.gather(*tasks)
        assert all("cannot be reached" in text or "try again" in text for text in outages)
        there = await bodies(store, limit=1_000_000)
        assert len(there) == len(set(there))
        assert set(acknowledged) <= set(there)
    async with opened(url) as again:
        assert await bodies(again, limit=1_000_000) == there
    assert "cannot be reached; trying again" in caplog.text


async def test_what_became_of_a_write_is_found_out_before_the_next(own_nats_server, monkeypatch):
    """The server takes it, and falls silent before it says so."""
    monkeypatch.setattr("workflow_engine.events.stores.nats_journal.ANSWER", 0.3)
    server = own_nats_server
    async with opened(server.url()) as store:
        await store.ensure_channel(ChannelSpec("c"))
        writing, taken = store._journal.append, []

        async def silent(messages, after):
            taken.append(await writing(messages, after))
            raise Unavailable("silence")

        monkeypatch.setattr(store._journal, "append", silent)
        with pytest.raises(Unavailable, match="silence"):
            await store.append("c", [record("1")])
        assert await bodies(store) == []
        monkeypatch.undo()
        with pytest.raises(Unavailable, match="try again"):
            await store.append("c", [record("2")])
        assert (await store.append("c", [record("1")]))[0].duplicate
        await store.append("c", [record("2")])
        await asyncio.to_thread(server.freeze)
        monkeypatch.setattr("workflow_engine.events.stores.nats_journal.ANSWER", 0.3)
        with pytest.raises(Unavailable, match="timeout"):
            await store.append("c", [record("3")])
        await asyncio.to_thread(server.thaw)

        async def goes_on():
            with contextlib.suppress(Unavailable):
                return await store.append("c", [record("3")])

        await eventually(goes_on)
        assert await bodies(store) == ["1", "2", "3"]


async def test_a_router_goes_on_after_its_server_was_killed_and_started_again(own_nats_server):
    """Each event that was acknowledged is delivered, and again at most what was under way."""
    server, target = own_nats_server, Recorder()
    acknowledged: list[str] = []
    async with running(server.url(), {"workflow": target}) as router:
        await router.put_subscription(subscription(max_in_flight=4))

        async def publish(count):
            while count:
                try:
                    await router.publish("c", [event(id := f"{len(acknowledged)}")])
                except Unavailable:
                    await asyncio.sleep(0.01)
                else:
                    acknowledged.append(id)
                    count -= 1

        for _ in range(2):
            publishing = asyncio.create_task(publish(60))
            enough = len(acknowledged) + 20
            await eventually(lambda enough=enough: len(acknowledged) >= enough)
            await asyncio.to_thread(server.kill)
            with pytest.raises(Unavailable, match="cannot be reached"):
                await router.check()
            await asyncio.to_thread(server.start)
            await publishing
        await quiet(router)
        await router.check()
    assert set(target.ids()) == set(acknowledged)
    assert len(target.ids()) - len(acknowledged) <= 2 * 4


async def test_a_server_that_asks_who_one_is(tmp_path):
    """By user and password, by token, and by an nkey; whoever is none of them is told so without what was wrong."""
    nkeys = pytest.importorskip("nkeys")
    from nacl.signing import SigningKey

    raw = bytes(SigningKey(b"1" * 32))
    seed = nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_USER) if hasattr(nkeys, "encode_seed") else None
    assert seed is not None
    public = nkeys.from_seed(bytearray(seed)).public_key.decode()
    (tmp_path / "seed").write_bytes(seed)
    # as the documentation says what a user needs
    needs = """{publish: ["x.journal", "x.holder", "x.taken", "$O.x-snapshots.>", "$JS.API.>", "$JS.FC.>", "_INBOX.>"],
        subscribe: ["x.holder", "x.taken", "_INBOX.>"]}"""
    logins = {
        f"users = [{{user: me, password: hunter2, permissions: {needs}}}, {{nkey: {public}}}]": [
            "me:hunter2@",
            None,
        ],
        "token: hunter2": ["hunter2@"],
    }
    for number, (config, taken) in enumerate(logins.items()):
        file = tmp_path / f"{number}.conf"
        file.write_text(f"authorization {{ {config} }}\n")
        (tmp_path / str(number)).mkdir()
        server = NatsServer(tmp_path / str(number), "-c", str(file))
        server.start()
        try:
            for login in taken:
                url = f"nats://{login or ''}127.0.0.1:{server.port}/x" + (
                    "" if login else f"?nkey={tmp_path}/seed"
                )
                async with opened(url) as store:
                    await store.put("a", b"1")
                    await store.snapshot()
                    assert "hunter2" not in store._shown
                async with opened(url) as store:
                    assert await store.get("a")
            for login in ("me:hunter3@", "hunter3@", ""):
                with pytest.raises(Unavailable, match="Authorization Violation") as raised:
                    await open_store(f"nats://{login}127.0.0.1:{server.port}/x").open()
                assert "hunter3" not in str(raised.value)
        finally:
            server.stop()


async def test_a_server_with_accounts_takes_the_credentials_of_a_user(tmp_path):
    """As ``nsc`` makes them; with what the documentation says that a user needs, and nothing more."""
    pytest.importorskip("nkeys")
    from tests.standins.nats_accounts import Accounts

    accounts = Accounts()
    (tmp_path / "server.conf").write_text(accounts.config)
    needs = {
        "pub": {
            "allow": [
                "x.journal",
                "x.holder",
                "x.taken",
                "$O.x-snapshots.>",
                "$JS.API.>",
                "$JS.FC.>",
                "_INBOX.>",
            ]
        },
        "sub": {"allow": ["x.holder", "x.taken", "_INBOX.>"]},
    }
    mine, others = accounts.user(tmp_path / "me.creds", needs), Accounts().user(tmp_path / "other.creds")
    server = NatsServer(tmp_path, "-c", str(tmp_path / "server.conf"))
    server.start()
    try:
        url = f"nats://127.0.0.1:{server.port}/x"
        async with opened(f"{url}?creds={mine}") as store:
            await store.put("a", b"1")
            await store.snapshot()
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)

            async def again():
                with contextlib.suppress(Unavailable):
                    return await store.put("b", b"2")

            await eventually(again)
        async with opened(f"{url}?creds={mine}") as store:
            assert [entry.key for entry in await store.entries("")] == ["a", "b"]
        for given, told in ((f"?creds={others}", "Authorization Violation"), ("", "Authorization Violation")):
            with pytest.raises(Unavailable, match=told):
                await open_store(url + given).open()
        with pytest.raises(Unavailable, match=r"No such file or directory: '.*missing\.creds'"):
            await open_store(f"{url}?creds={tmp_path}/missing.creds").open()
        for text in ("", "hunter2", mine.read_text().replace("SU", "SUA"), mine.read_text()[:-60]):
            (tmp_path / "bad").write_text(text)
            for option in ("creds", "nkey"):
                with pytest.raises(Unavailable, match=f"{option}=.*bad has no seed of a user") as raised:
                    await open_store(f"{url}?{option}={tmp_path}/bad").open()
                assert "hunter2" not in str(raised.value)
    finally:
        server.stop()


async def test_a_server_behind_tls_is_reached_with_its_certificate_authority(tmp_path):
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    given = ("--tls", f"--tlscert={tmp_path}/server.pem", f"--tlskey={tmp_path}/server.pem")
    server = NatsServer(tmp_path, *given)
    server.start()
    try:
        url = server.url()
        async with opened(f"{url}?ca={tmp_path}/ca.pem") as store:
            await store.put("a", b"1")
        with pytest.raises(Unavailable, match="certificate verify failed"):
            await open_store(url.replace("nats:", "tls:")).open()
        with pytest.raises(Unavailable, match=r"No such file or directory"):
            await open_store(f"{url}?ca={tmp_path}/missing.pem").open()
    finally:
        server.stop()


@pytest.mark.skipif(os.environ.get("WFE_SIZE") != "full", reason="takes half a minute: WFE_SIZE=full")
async def test_a_cluster_loses_a_server_and_nothing_that_was_acknowledged(tmp_path):
    """Each of three in turn, among them the leader of the stream, while four publish."""
    ports = [free_port() for _ in range(3)]
    routes = ",".join(f"nats://127.0.0.1:{port}" for port in ports)
    servers = []
    for number, port in enumerate(ports):
        folder = tmp_path / str(number)
        folder.mkdir()
        given = ("--name", f"n{number}", "--cluster_name", "c", "--cluster", f"nats://127.0.0.1:{port}")
        servers.append(NatsServer(folder, *given, "--routes", routes))
    try:
        for server in servers:
            await asyncio.to_thread(server.start)
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers)
        url = f"nats://{hosts}/orders?replicas=3"

        async def first():
            with contextlib.suppress(Unavailable):
                async with opened(url) as store:
                    await store.ensure_channel(ChannelSpec("c"))
                    return True

        await eventually(first)
        async with opened(url) as store:
            acknowledged, stop = [], asyncio.Event()

            async def publish(worker):
                n = 0
                while not stop.is_set():
                    try:
                        await store.append("c", [record(f"{worker}-{n}")])
                    except Unavailable:
                        await asyncio.sleep(0.02)
                    else:
                        acknowledged.append(f"{worker}-{n}")
                        n += 1
                        await asyncio.sleep(0.005)

            tasks = [asyncio.create_task(publish(worker)) for worker in range(4)]
            for server in servers:
                enough = len(acknowledged) + 50
                await eventually(lambda enough=enough: len(acknowledged) >= enough)
                await asyncio.to_thread(server.kill)
                enough = len(acknowledged) + 50
                await eventually(lambda enough=enough: len(acknowledged) >= enough)

                async def kept():
                    with contextlib.suppress(Unavailable):
                        return await store.snapshot()

                await eventually(kept)
                await asyncio.to_thread(server.start)
                await asyncio.sleep(2)  # until it has caught up
            stop.set()
            await asyncio.gather(*tasks)
            there = await bodies(store, limit=1_000_000)
            assert set(acknowledged) <= set(there)
            assert len(there) == len(set(there))
        async with opened(url) as again:
            assert await bodies(again, limit=1_000_000) == there
    finally:
        for server in servers:
            server.stop()
