"""The store in NATS when something goes wrong: with its streams, its backups, between two steps, or with its hosts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter

import pytest
from nats.js.api import DiscardPolicy, PersistMode, RetentionPolicy

from tests.events.test_nats import busy, content, jetstream, opened
from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.stores import journal as entries
from workflow_engine.events.stores import nats as stores
from workflow_engine.events.stores import nats_snapshots, open_store
from workflow_engine.testing.event_store_fixtures import bodies

FULL = os.environ.get("WFE_SIZE") == "full"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"max_age": 60}, "max_age=60"),
        ({"max_msgs": 10}, "discard=old with a limit"),
        ({"max_bytes": 10_000, "discard": DiscardPolicy.OLD}, "discard=old with a limit"),
        ({"max_msgs_per_subject": 3}, "max_msgs_per_subject=3"),
        ({"retention": RetentionPolicy.WORK_QUEUE}, "retention=workqueue"),
        ({"no_ack": True}, "no_ack"),
        ({"persist_mode": PersistMode.ASYNC}, "persist_mode=async"),
    ],
)
async def test_a_stream_that_would_forget_what_was_acknowledged_is_refused(nats_url, given, told):
    async with jetstream(nats_url) as (js, name):
        await js.add_stream(name=name, subjects=[f"{name}.journal"], **given)
    with pytest.raises(Conflict, match=f"has .*{told}.*, and would lose what was acknowledged"):
        await open_store(nats_url).open()


async def test_snapshots_that_would_end_by_themselves_are_refused(nats_url):
    async with opened(nats_url) as store:
        await store.put("a", b"1")
    async with jetstream(nats_url) as (js, name):
        config = (await js.stream_info(f"OBJ_{name}-snapshots")).config
        await js.update_stream(config.evolve(max_age=3600.0))
    with pytest.raises(Conflict, match=r"the stream OBJ_.* has max_age=3600"):
        await open_store(nats_url).open()


async def test_a_stream_of_small_messages_gets_entries_in_more_parts(nats_url):
    async with jetstream(nats_url) as (js, name):
        await js.add_stream(name=name, subjects=[f"{name}.journal"], max_msg_size=4096)
    big = random.Random(0).randbytes(100_000)
    async with opened(nats_url) as store:
        await store.put("a", big)
        assert (await store._journal.bounds()).last > 30
    async with opened(nats_url) as again:
        assert (await again.get("a")).value == big


async def test_an_entry_that_is_damaged_is_told_and_nobody_waits_for_ever(nats_url):
    async with opened(nats_url) as store:
        await store.put("a", b"1")
        last = (await store._journal.bounds()).last
        good = entries.parts(store._db._me, 99, [("DELETE FROM setting", [()])], 1000)[0]
        await store._journal.append([good[:-5]], last)
        for _ in range(3):
            async with asyncio.timeout(10):
                with pytest.raises(Unavailable, match=f"entry {last + 1} is damaged|try again"):
                    await store.put("a", b"2")


async def test_putting_back_that_ends_half_way_loses_nothing(nats_url, tmp_path, monkeypatch):
    """Neither what the copy has, nor that the journal has to be given it, without which nobody goes on."""
    kept = f"{nats_url}?file={tmp_path}/copy.db"
    async with opened(kept) as store:
        await store.put("a", b"1")
        before = await content(store)
    async with jetstream(nats_url) as (js, name):
        await js.delete_stream(name)

    def dies(*_args):
        raise KeyboardInterrupt

    for where in ("keep_snapshot", "append"):
        store = open_store(f"{kept}&recover=copy")
        with monkeypatch.context() as patched:
            patched.setattr(store._journal, where, dies)
            with pytest.raises(KeyboardInterrupt):
                await store.open()
        with pytest.raises(Conflict, match="has not what was acknowledged up to"):
            await open_store(kept).open()
    with pytest.raises(Conflict, match="to which its snapshot of 1 does not fit"):
        await open_store(nats_url).open()
    async with opened(f"{kept}&recover=copy") as store:
        assert await content(store) == before
    async with opened(nats_url) as elsewhere:
        assert await content(elsewhere) == before


async def test_a_copy_that_was_half_made_of_a_snapshot_is_made_anew(nats_url, tmp_path, monkeypatch):
    async with opened(nats_url) as store:
        await store.put("a", b"1")
        await store.snapshot()
    kept = f"{nats_url}?file={tmp_path}/copy.db"
    unpacking = nats_snapshots.unpack

    def dies(*given):
        unpacking(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(stores, "unpack", dies)
        with pytest.raises(KeyboardInterrupt):
            await open_store(kept).open()
    assert not (tmp_path / "copy.db").exists()
    async with opened(kept) as again:
        assert (await again.get("a")).value == b"1"


async def backup(js, stream) -> tuple[dict, list[bytes]]:
    """What ``nats stream backup`` asks for: the stream as it is, and the pieces of its files."""
    client, pieces = js._nc, []
    inbox = client.new_inbox()
    pending = await client.subscribe(inbox)
    asked = json.dumps({"deliver_subject": inbox, "chunk_size": 65536}).encode()
    answer = json.loads((await client.request(f"$JS.API.STREAM.SNAPSHOT.{stream}", asked)).data)
    while (message := await pending.next_msg(5)).data:
        pieces.append(message.data)
        if message.reply:
            await message.respond(b"")
    await pending.unsubscribe()
    return answer, pieces


async def restore(js, stream, kept) -> None:
    """What ``nats stream restore`` does."""
    answer, pieces = kept
    client = js._nc
    asked = json.dumps({"config": answer["config"], "state": answer["state"]}).encode()
    told = json.loads((await client.request(f"$JS.API.STREAM.RESTORE.{stream}", asked)).data)
    for piece in [*pieces, b""]:
        last = await client.request(told["deliver_subject"], piece, timeout=30)
    assert "error" not in json.loads(last.data or b"{}")


@pytest.mark.parametrize("between", [False, True])
async def test_streams_that_were_backed_up_are_restored(nats_url, tmp_path, between):
    """While it is in use, and though a snapshot is made between the two; the copy is of later, and moved away."""
    kept, dice = f"{nats_url}?file={tmp_path}/copy.db", random.Random(0)
    async with opened(kept) as store, jetstream(nats_url) as (js, name):
        bucket = f"OBJ_{name}-snapshots"
        await busy(store, dice)
        await store.snapshot()
        await busy(store, dice)
        before = await content(store)
        first = await backup(js, name)
        if between:
            await store.put("later", b"1")
            await store.snapshot()
        second = await backup(js, bucket)
        await store.put("later", b"2")
    async with jetstream(nats_url) as (js, name):
        await js.delete_stream(name)
        await js.delete_stream(bucket)
        await restore(js, name, first)
        await restore(js, bucket, second)
    with pytest.raises(Conflict, match=r"ove the file away"):
        await open_store(kept).open()
    (tmp_path / "copy.db").rename(tmp_path / "moved.db")
    ignored = ('INSERT INTO "parked"', 'INSERT INTO "grp"', 'INSERT INTO "member"')

    def known(rows):
        return [row for row in rows if not row.startswith(ignored)]

    for url in (kept, nats_url):
        async with opened(url) as again:
            assert known(await content(again)) == known(before)
            taken = [each.sequence for each in await again._journal.snapshots()]
            assert max(taken) <= first[0]["state"]["last_seq"]
    async with opened(kept) as again:
        for n in range(20):  # past where the snapshot of later was
            await again.put("new", str(n).encode())
    async with opened(nats_url) as anew:
        assert (await anew.get("new")).value == b"19"
        assert await anew.get("later") is None


async def test_a_snapshot_of_another_time_is_not_taken_for_one_of_this(nats_url):
    """The stream was restored, went its own way, and passed the place of a snapshot that was not removed."""
    async with opened(nats_url) as store, jetstream(nats_url) as (js, name):
        await store.put("a", b"1")
        await store.snapshot()
        older = await backup(js, name)
        for n in range(5):
            await store.put("a", str(n).encode())
        at = await store.snapshot()
        bucket = await js.object_store(f"{name}-snapshots")
        later = (await bucket.get(f"snapshot-{at:020d}")).data
    async with jetstream(nats_url) as (js, name):
        await js.delete_stream(name)
        await restore(js, name, older)
    async with opened(nats_url) as store, jetstream(nats_url) as (js, name):
        for _ in range(9):
            await store.put("a", b"other")
        bucket = await js.object_store(f"{name}-snapshots")
        await bucket.put(f"snapshot-{at:020d}", later)
    async with opened(nats_url) as store:
        assert (await store.get("a")).value == b"other"


async def test_a_copy_of_the_copy_is_a_backup_that_an_empty_server_is_given(nats_server, tmp_path):
    """``sqlite3 events-nats.db ".backup FILE"`` while it is in use, and ``recover=copy``."""
    url, dice = nats_server.url(), random.Random(1)
    async with opened(f"{url}?file={tmp_path}/copy.db") as store:
        await busy(store, dice)
        with (
            contextlib.closing(sqlite3.connect(tmp_path / "copy.db")) as db,
            contextlib.closing(sqlite3.connect(tmp_path / "backup.db")) as kept,
        ):
            db.backup(kept)
        await store.put("later", b"1")
    async with jetstream(url) as (js, name):
        await js.delete_stream(name)
        await js.delete_stream(f"OBJ_{name}-snapshots")
    async with opened(f"{url}?file={tmp_path}/backup.db&recover=copy") as restored:
        assert await restored.get("later") is None
        before = await content(restored)
    async with opened(url) as anew:
        assert await content(anew) == before


# Who has it


WRITER = """
import asyncio, sys
from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.spi import ChannelSpec
from workflow_engine.events.stores import open_store
from workflow_engine.testing.event_store_fixtures import record

async def life(url, me, n):
    store = open_store(url)
    lost = asyncio.Event()
    store.when_lost(lost.set)
    try:
        await store.open()
    except (Conflict, Unavailable):
        await asyncio.sleep(0.05)
        return n
    try:
        await store.ensure_channel(ChannelSpec("c"))
        print("has", flush=True)
        while not lost.is_set():
            ids = [f"{me}-{n}-{m}" for m in range(3)]
            try:
                await store.append("c", [record(id, body=b"x" * 2000) for id in ids])
            except Unavailable:
                await asyncio.sleep(0.02)
            else:
                print("ack", *ids, flush=True)
            n += 1
    finally:
        await store.close()
    return n

async def main():
    n = 0
    while True:
        n = await life(sys.argv[1], sys.argv[2], n)

asyncio.run(main())
"""


def hears(process, acknowledged, seconds):
    """Read what it says for so long; whether it said anything."""
    until, said = time.monotonic() + seconds, False
    os.set_blocking(process.stdout.fileno(), False)
    while time.monotonic() < until:
        for line in iter(process.stdout.readline, b""):
            process.rest = getattr(process, "rest", b"") + line
            if process.rest.endswith(b"\n"):
                word, *ids = process.rest.decode().split()
                process.rest = b""
                acknowledged += ids if word == "ack" else []
                said = True
        time.sleep(0.01)
    return said


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5 if FULL else 1))
async def test_nothing_acknowledged_is_lost_when_processes_and_the_server_are_killed_and_frozen(
    own_nats_server, tmp_path, seed
):
    """Three want to write; one of them is killed or stopped for a while, or the server is killed. With
    ``WFE_SIZE=full`` 40 times with each of five seeds.
    """
    server, dice, acknowledged = own_nats_server, random.Random(seed), []
    url = server.url()
    lives = iter(range(1000))

    def begin(number):
        kept = f"&file={tmp_path}/{number}.db" if number else ""
        return subprocess.Popen(
            [sys.executable, "-c", WRITER, f"{url}?snapshot=40000{kept}", f"{number}-{next(lives)}"],
            stdout=subprocess.PIPE,
        )

    def campaign():
        writers = [begin(number) for number in range(3)]
        held = Counter()
        try:
            for _ in range(40 if FULL else 2):
                wait = time.monotonic() + 60
                while True:
                    said = [hears(each, acknowledged, dice.uniform(0.05, 0.2)) for each in writers]
                    if any(said):
                        break
                    assert time.monotonic() < wait, "nobody writes"
                who = dice.randrange(3)
                match dice.choice(["process", "process", "server", "frozen", "holder"]):
                    case "process" | "holder":
                        writers[who].kill()
                        writers[who].wait()
                        hears(writers[who], acknowledged, 0.02)
                        writers[who].stdout.close()
                        writers[who] = begin(who)
                    case "server":
                        server.kill()
                        time.sleep(dice.uniform(0, 0.3))
                        server.start()
                    case "frozen":
                        os.kill(writers[who].pid, signal.SIGSTOP)
                        time.sleep(3)  # longer than who asks for the holder waits
                        os.kill(writers[who].pid, signal.SIGCONT)
                held[who] += 1
        finally:
            for each in writers:
                each.kill()
                each.wait()
                hears(each, acknowledged, 0.02)
                each.stdout.close()

    await asyncio.to_thread(campaign)
    async with opened(url) as store:
        there = await bodies(store, limit=1_000_000)
        assert acknowledged
        assert set(acknowledged) <= set(there)
        assert len(there) == len(set(there))
        assert all(count == 3 for count in Counter(id.rpartition("-")[0] for id in there).values())
    async with opened(f"{url}?file={tmp_path}/1.db") as followed, jetstream(url):
        before = await content(followed)
    async with opened(url) as anew:
        assert await content(anew) == before
