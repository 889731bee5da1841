"""The store in NATS when a part of it is lost, full, of something else, or in doubt: nothing else is lost by that."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import sqlite3
import threading

import nats
import pytest

from tests.events.conftest import eventually
from tests.events.test_nats import content, jetstream, opened
from tests.standins.nats import NatsServer
from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.spi import ChannelSpec
from workflow_engine.events.stores import nats as stores
from workflow_engine.events.stores import open_store
from workflow_engine.testing.event_store_fixtures import record

# The copy


async def test_a_copy_goes_on_though_the_journal_was_emptied_by_hand(nats_url, tmp_path):
    """It has everything; and others can go on from it, for it is made a snapshot of."""
    kept = f"{nats_url}?file={tmp_path}/copy.db"
    async with opened(kept) as store:
        await store.put("a", b"1")
    async with jetstream(nats_url) as (js, name):
        await js.purge_stream(name)
    async with opened(kept) as store:
        assert (await store.get("a")).value == b"1"
        await store.put("b", b"2")
        before = await content(store)
        await eventually(lambda: store._snapshotting is None)
    async with opened(nats_url) as anew:
        assert await content(anew) == before


async def test_a_copy_that_nothing_can_take_the_place_of_is_kept(nats_url, tmp_path):
    kept = f"{nats_url}?file={tmp_path}/copy.db"
    async with opened(kept) as store:
        await store.put("a", b"1")
    async with opened(nats_url) as elsewhere:
        for n in range(5):
            await elsewhere.put("b", str(n).encode())
        last = (await elsewhere._journal.bounds()).last
    async with jetstream(nats_url) as (js, name):
        await js.purge_stream(name, seq=last)
    for _ in range(2):
        with pytest.raises(Conflict, match=f"begins at {last} and has no snapshot of what was before"):
            await open_store(kept).open()
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as db:
        assert db.execute("SELECT value FROM setting WHERE key = 'a'").fetchone() == (b"1",)


@pytest.mark.parametrize("kind", ["store", "database", "text"])
async def test_a_file_of_something_else_is_not_taken_for_a_copy(nats_url, tmp_path, kind):
    file = tmp_path / "events.db"
    if kind == "store":
        async with opened(f"sqlite:///{file}") as other:
            await other.put("a", b"1")
    elif kind == "database":
        with contextlib.closing(sqlite3.connect(file)) as db, db:
            db.execute("CREATE TABLE mine (a)")
    else:
        file.write_text("my notes\n")
    before = file.read_bytes()
    with pytest.raises(Conflict, match=r"events\.db is there and is no copy of an event store in NATS"):
        await open_store(f"{nats_url}?file={file}").open()
    assert file.read_bytes() == before
    async with opened(nats_url):
        pass


async def test_a_copy_that_is_damaged_is_told(nats_url, tmp_path):
    kept = f"{nats_url}?file={tmp_path}/copy.db"
    async with opened(kept) as store:
        await store.ensure_channel(ChannelSpec("c"))
        await store.append("c", [record(str(n), body=b"x" * 2000) for n in range(100)])
    data = bytearray((tmp_path / "copy.db").read_bytes())
    for at in range(4096 * 3, len(data)):
        data[at] = 0xAA
    (tmp_path / "copy.db").write_bytes(data)
    with pytest.raises(Unavailable, match=r"copy\.db"):
        await open_store(kept).open()


# The room


async def test_an_entry_that_has_no_room_leaves_nothing_that_takes_the_room_of_others(nats_url):
    """In parts it would fill the journal with what is never whole."""
    async with opened(f"{nats_url}?max_bytes=1500000") as store:
        await store.put("a", b"1")
        size = (await store._journal.bounds()).size
        for _ in range(2):
            with pytest.raises(Unavailable, match="has no room"):
                await store.put("big", random.Random(0).randbytes(2_000_000))
        assert (await store._journal.bounds()).size <= size + 1000
        await store.put("b", b"2")


# The journal


async def test_a_reader_that_the_server_has_forgotten_is_made_again(nats_url):
    async with opened(nats_url) as store:
        for n in range(100):
            await store.put("a", str(n).encode())
        journal = store._journal
        first = await journal.read(0)
        async with jetstream(nats_url) as (js, name):
            for consumer in await js.consumers_info(name):
                await js.delete_consumer(name, consumer.name)

        async def rest():
            with contextlib.suppress(Unavailable):
                return await journal.read(first[-1][0])

        found = await rest() or await rest()
        assert [sequence for sequence, _ in found] == [
            *range(first[-1][0] + 1, first[-1][0] + 1 + len(found))
        ]


# Snapshots


async def test_what_is_no_snapshot_in_the_bucket_of_snapshots_is_left_alone(nats_url):
    async with opened(nats_url) as store:
        await store.put("a", b"1")
        await store.snapshot()
        async with jetstream(nats_url) as (js, name):
            bucket = await js.object_store(f"{name}-snapshots")
            await bucket.put("snapshot-by-hand", b"mine")
    async with opened(nats_url) as store:
        assert (await store.get("a")).value == b"1"
        await store.put("a", b"2")
        await store.snapshot()
    async with jetstream(nats_url) as (js, name):
        bucket = await js.object_store(f"{name}-snapshots")
        assert (await bucket.get("snapshot-by-hand")).data == b"mine"


async def test_a_snapshot_under_way_ends_before_the_store_is_closed(nats_url, tmp_path, monkeypatch):
    """Or it would write into the files of the next one, which the same process makes when it has the store again."""
    packing, began, go, done = stores.pack, threading.Event(), threading.Event(), threading.Event()

    def slow(*given):
        began.set()
        go.wait()
        try:
            return packing(*given)
        finally:
            done.set()

    store = open_store(f"{nats_url}?file={tmp_path}/copy.db")
    await store.open()
    await store.put("a", b"1")
    monkeypatch.setattr(stores, "pack", slow)
    store._make_room()
    await asyncio.to_thread(began.wait)
    closing = asyncio.create_task(store.close())
    for _ in range(20):
        await asyncio.sleep(0)
    go.set()
    await closing
    assert done.is_set()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["copy.db", "copy.db.lock"]


async def test_a_damaged_snapshot_is_passed_over_where_the_one_before_it_will_do(nats_url, monkeypatch):
    async with opened(nats_url) as store:
        await store.put("a", b"1")
        await store.snapshot()
        await store.put("a", b"2")

        async def dies(*_):
            raise Unavailable("killed")

        monkeypatch.setattr(store._journal, "forget", dies)
        with pytest.raises(Unavailable, match="killed"):
            await store.snapshot()
        at = (await store._journal.snapshots())[0].sequence
        async with jetstream(nats_url) as (js, name):
            bucket = await js.object_store(f"{name}-snapshots")
            await bucket.put(f"snapshot-{at:020d}", b"not what it was")
    async with opened(nats_url) as again:
        assert (await again.get("a")).value == b"2"


async def test_a_copy_elsewhere_does_not_go_on_without_what_was_put_back(own_nats_server, tmp_path):
    """It ends where the server does, which has lost what came after; and then that is put back from another copy."""
    server = own_nats_server
    url = server.url()
    one, other = (f"{url}?file={tmp_path}/{name}.db" for name in ("one", "other"))
    async with opened(other) as store:
        await store.put("a", b"1")
    await asyncio.to_thread(server.stop)
    older = shutil.copytree(server.folder / "streams", tmp_path / "older")
    await asyncio.to_thread(server.start)
    async with opened(one) as store:
        await store.put("b", b"2")
    await asyncio.to_thread(server.kill)
    shutil.rmtree(server.folder / "streams")
    shutil.copytree(older, server.folder / "streams")
    await asyncio.to_thread(server.start)
    async with opened(f"{one}&recover=copy") as store:
        await store.put("c", b"3")
        before = await content(store)
    async with opened(other) as store:
        assert await content(store) == before


# The server


async def test_a_server_that_takes_hardly_anything_is_refused(tmp_path):
    (tmp_path / "server.conf").write_text("max_payload: 1024\n")
    server = NatsServer(tmp_path, "-c", str(tmp_path / "server.conf"))
    server.start()
    try:
        with pytest.raises(Conflict, match=r"takes messages of 1024 bytes at most \(max_payload\)"):
            await open_store(server.url()).open()
    finally:
        server.stop()


async def test_the_connection_comes_back_whatever_went_wrong_meanwhile(own_nats_server, monkeypatch):
    async with opened(own_nats_server.url()) as store:
        connecting, failed = store._journal._connected, []

        async def fails_once():
            if not failed:
                failed.append(True)
                raise RuntimeError("what nobody thought of")
            return await connecting()

        monkeypatch.setattr(store._journal, "_connected", fails_once)
        await asyncio.to_thread(own_nats_server.kill)
        await eventually(lambda: failed)
        await asyncio.to_thread(own_nats_server.start)

        async def again():
            with contextlib.suppress(Unavailable):
                return await store.put("a", b"1")

        await eventually(again)


async def test_who_has_it_answers_though_the_connection_is_another_one_since_it_began(nats_url, monkeypatch):
    """Else the next one takes the store from it."""
    store = open_store(nats_url)
    announcing = store._journal.announce

    async def interrupted():
        before = store._journal._client
        await before.close()
        await eventually(lambda: store._journal._client not in (None, before))
        await announcing()

    monkeypatch.setattr(store._journal, "announce", interrupted)
    await store.open()
    try:

        async def refused():
            with contextlib.suppress(Unavailable):
                async with jetstream(nats_url) as (js, name):
                    with contextlib.suppress(nats.errors.Error):
                        return await js._nc.request(f"{name}.holder", b"")

        await eventually(refused)
        await store.put("a", b"1")
    finally:
        await store.close()


async def test_a_journal_that_is_full_does_not_wait_for_the_next_try_of_a_snapshot(nats_url, monkeypatch):
    """One that failed is tried again after a minute; but not while nothing has room."""
    dice = random.Random(0)
    async with opened(f"{nats_url}?max_bytes=100000") as store:
        keeping, failed = store._journal.keep_snapshot, []

        async def fails_once(*given):
            if not failed:
                failed.append(True)
                raise Unavailable("away")
            await keeping(*given)

        monkeypatch.setattr(store._journal, "keep_snapshot", fails_once)

        async def written():
            with contextlib.suppress(Unavailable):
                return await store.put("a", dice.randbytes(2000))

        async with asyncio.timeout(30):
            for _ in range(150):
                await eventually(written)
        assert failed
        assert await store._journal.snapshots()
