"""The store in PostgreSQL, where it differs from others: several processes, and a server that goes away."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager

import pytest

from tests.events.conftest import Recorder, event, eventually, quiet, running, subscription
from workflow_engine.errors import Conflict, Rejected, Unavailable
from workflow_engine.events.shared_store import Claim
from workflow_engine.events.spi import Again, ChannelSpec, Done, Fenced
from workflow_engine.events.stores import open_store
from workflow_engine.events.stores.postgresql_connection import Database, shown
from workflow_engine.testing.event_store_fixtures import NOW, SECOND, bodies, delivery, record


@asynccontextmanager
async def opened(url, count=1):
    stores = [open_store(url) for _ in range(count)]
    await asyncio.gather(*(store.open() for store in stores))
    try:
        yield stores if count > 1 else stores[0]
    finally:
        await asyncio.gather(*(store.close() for store in stores))


async def test_several_processes_may_open_a_new_database_at_the_same_time(postgresql_schema):
    async with opened(postgresql_schema, 6) as stores:
        await asyncio.gather(*(store.ensure_channel(ChannelSpec("c", partitions=3)) for store in stores))
        assert [await store.channels() for store in stores] == [[ChannelSpec("c", partitions=3)]] * 6


async def test_an_event_that_two_processes_publish_at_once_is_stored_once(postgresql_schema):
    """Also where its keys send it to different partitions, whose locks do not help."""
    async with opened(postgresql_schema, 2) as stores:
        await stores[0].ensure_channel(ChannelSpec("c", partitions=8))
        appended = await asyncio.gather(
            *(
                store.append("c", [record(f"{n}-{m}", key=f"{who}-{m}") for m in range(4)])
                for n in range(20)
                for who, store in enumerate(stores)
            )
        )
        flat = [answer for answers in appended for answer in answers]
        assert sum(not answer.duplicate for answer in flat) == 80
        assert len({answer.position for answer in flat}) == 80
        there = [id for part in range(8) for id in await bodies(stores[1], part)]
        assert sorted(there) == sorted({f"{n}-{m}" for n in range(20) for m in range(4)})


async def test_a_reader_never_passes_an_event_that_is_committed_later(postgresql_schema):
    async with opened(postgresql_schema, 3) as (reader, *writers):
        await reader.ensure_channel(ChannelSpec("c"))

        async def publish(number, store):
            for n in range(40):
                await store.append("c", [record(f"{number}-{n}-{m}") for m in range(1 + n % 3)])

        async def follow():
            at, seen = 0, []
            while len(seen) < 2 * 79:
                for stored in await reader.read("c", 0, at, limit=7, wait=20):
                    seen.append(stored.position.offset)
                    at = stored.position.offset + 1
            return seen

        _, _, seen = await asyncio.gather(*(publish(n, store) for n, store in enumerate(writers)), follow())
        assert seen == list(range(2 * 79))


async def test_what_another_process_wrote_wakes_readers_and_watches(postgresql_schema):
    async with opened(postgresql_schema, 2) as (mine, yours):
        await mine.ensure_channel(ChannelSpec("c"))
        waiting = asyncio.create_task(mine.read("c", 0, 0, limit=1, wait=30))
        watching = asyncio.create_task(anext(mine.watch("w/", 0)))
        await asyncio.sleep(0.05)
        await yours.append("c", [record("1")])
        await yours.put("w/a", b"1")
        assert [stored.record.id for stored in await waiting] == ["1"]
        assert (await watching).value == b"1"


async def test_revisions_are_seen_in_their_order(postgresql_schema):
    async with opened(postgresql_schema, 3) as (reader, *writers):

        async def follow():
            revs = []
            async for change in reader.watch("", 0):
                revs.append(change.rev)
                if change.value == b"last":
                    break
            return revs

        following = asyncio.create_task(follow())
        await asyncio.gather(*(store.put(f"{n}", b"") for n in range(40) for store in writers))
        await reader.put("end", b"last")
        revs = await following
        assert revs == sorted(revs)


async def test_deliveries_that_are_due_are_leased_by_one_process(postgresql_schema):
    async with opened(postgresql_schema, 2) as stores:
        await stores[0].ensure_channel(ChannelSpec("c"))
        await stores[0].park([delivery(str(n)) for n in range(60)])
        asked = {"lease_us": SECOND, "per_group": 10, "limit": 10}
        leased = await asyncio.gather(
            *(store.due(f"p{n}", NOW, **asked) for n in range(5) for store in stores)
        )
        ids = [item.id for items in leased for item in items]
        assert len(ids) == len(set(ids))
        await stores[1].due("rest", NOW, lease_us=SECOND, per_group=60, limit=60)
        assert {item.owner for item in await stores[0].parked()} >= {"p0"}
        assert all(item.owner for item in await stores[0].parked())


async def test_a_limit_of_a_group_is_for_all_processes_together(postgresql_schema):
    async with opened(postgresql_schema, 2) as stores:
        await stores[0].ensure_channel(ChannelSpec("c"))
        await stores[0].park([delivery(str(n)) for n in range(60)])
        asked = {"lease_us": SECOND, "per_group": 4, "limit": 100, "limits": {"g": 7}}
        leased = await asyncio.gather(
            *(store.due(f"p{n}", NOW, **asked) for n in range(5) for store in stores)
        )
        items = [item for items in leased for item in items]
        assert len(items) == 7
        await stores[1].settle(items[0], Done())
        assert len(await stores[0].due("p9", NOW, **asked)) == 1


async def test_a_limit_of_a_group_is_kept_by_commits_that_lease_too(postgresql_schema):
    async with opened(postgresql_schema, 2) as stores:
        await stores[0].ensure_channel(ChannelSpec("c", partitions=8))
        members = [await stores[n % 2].join("c", "g", f"m{n}", NOW, SECOND) for n in range(4)]
        members = [await stores[n % 2].heartbeat(held, NOW, SECOND) for n, held in enumerate(members)]

        async def commit(n, held):
            claim = Claim(f"p{n}", NOW, NOW + SECOND, {"g": 4}, {"g": 7})
            outbox = [delivery(f"{n}-{m}") for m in range(4)]
            return (
                await stores[n % 2].commit_and_claim(
                    held, {}, outbox=outbox, state={}, ledger=[], sync=True, claim=claim
                )
            )[0]

        asked = {"lease_us": SECOND, "per_group": 3, "limit": 100, "limits": {"g": 7}}
        leased = await asyncio.gather(
            *(commit(n, held) for n, held in enumerate(members)),
            *(store.due(f"d{n}", NOW, **asked) for n, store in enumerate(stores)),
        )
        ids = [item.id for items in leased for item in items]
        assert len(ids) == len(set(ids)) <= 7
        assert len(ids) + len(await stores[0].due("rest", NOW, **asked | {"per_group": 99})) == 7


async def test_an_event_costs_three_statements(postgresql_schema, monkeypatch):
    """It is stored, dispatched and leased, settled; what else is asked now and then does not depend on events."""
    target, asked, once = Recorder(), [], Database._once

    async def counted(self, begin, work):
        asked.append(work.__qualname__.partition(".<locals>")[0])
        return await once(self, begin, work)

    async with running(postgresql_schema, {"workflow": target}) as router:
        await router.put_subscription(subscription())
        await router.publish("c", [event("first")])
        await target.until(1)
        await quiet(router)
        monkeypatch.setattr(Database, "_once", counted)
        for n in range(40):
            await router.publish("c", [event(str(n))])
            await target.until(2 + n)
        monkeypatch.undo()
    assert len(target.got) == 41
    assert [asked.count(step) for step in ("Appender._append", "PostgresGroups._commit")] == [40, 40]
    assert asked.count("Settler._settled") <= 40
    looks = [asked.count(step) for step in ("PostgresDeliveries.due", "PostgresLog.read")]
    assert max(looks) < 20  # by the clock, about once a second: none is for an event


async def test_a_store_hears_that_another_process_left_something_due(postgresql_schema):
    async with opened(postgresql_schema, 2) as (mine, yours):
        await mine.ensure_channel(ChannelSpec("c"))
        heard = asyncio.Event()
        mine.when_due(heard.set)
        held = await yours.join("c", "g", "you", NOW, SECOND)
        await eventually(lambda: mine._database.hears)
        heard.clear()
        await yours.commit(held, {}, outbox=[delivery("a")])
        await heard.wait()


async def test_what_this_process_and_others_store_is_read_once_and_in_order(postgresql_schema):
    """Though it does not ask the database for what it has stored itself."""
    async with opened(postgresql_schema, 2) as (mine, yours):
        await mine.ensure_channel(ChannelSpec("c", partitions=2))

        async def publish(number, store):
            for n in range(60):
                await store.append("c", [record(f"{number}-{n}-{m}", key=str(m)) for m in range(1 + n % 3)])
                if n % 7 == number:
                    await asyncio.sleep(0.01)

        async def follow(part):
            at, seen = 0, []
            while not seen or len(await bodies(mine, part)) > len(seen) or not published.done():
                for stored in await mine.read("c", part, at, limit=5, wait=0.2):
                    seen.append((stored.position, stored.record.id, stored.time_us))
                    at = stored.position.offset + 1
            return seen

        published = asyncio.gather(*(publish(n, store) for n, store in enumerate((mine, yours))))
        followed = await asyncio.gather(*map(follow, range(2)))
        for part, seen in enumerate(followed):
            there = await yours.read("c", part, 0, limit=1000)
            assert seen == [(stored.position, stored.record.id, stored.time_us) for stored in there]
        assert sum(map(len, followed)) == 2 * 120


@asynccontextmanager
async def appending(store):
    """Events that this process stores go on coming all the time."""

    async def go_on():
        n = 0
        while True:
            await store.append("c", [record(f"mine-{(n := n + 1)}")])
            await asyncio.sleep(0.005)

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_a_process_stored_that_died_before_it_told_is_read_though_more_comes_here(
    postgresql_schema, monkeypatch
):
    async with opened(postgresql_schema, 2) as (dead, lives):
        await lives.ensure_channel(ChannelSpec("c"))
        await lives.append("c", [record("0")])
        seen = []

        async def follow():
            while True:
                seen.extend(await lives.read("c", 0, len(seen), limit=100, wait=60))

        following = asyncio.create_task(follow())
        await eventually(lambda: lives._tail.is_followed(1) and len(seen) == 1)
        await lives.append("c", [record("1")])
        await eventually(lambda: len(seen) == 2)
        monkeypatch.setattr(dead._appender, "_topic", lambda _: None)
        monkeypatch.setattr(dead._appender, "_stored", lambda *_: None)
        await dead.append("c", [record("untold")])
        async with appending(lives), asyncio.timeout(20):
            await eventually(lambda: len(seen) > 20)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert [item.record.id for item in seen[:4]] == ["0", "1", "untold", "mine-1"]


async def test_more_than_is_kept_for_readers_is_read_though_more_comes(postgresql_schema, monkeypatch):
    monkeypatch.setattr("workflow_engine.events.stores.postgresql_tail.MAX_BYTES", 1)
    async with opened(postgresql_schema) as store:
        await store.ensure_channel(ChannelSpec("c"))
        assert await store.read("c", 0, 0, limit=100, wait=0.05) == []
        for n in range(5):
            await store.append("c", [record(f"{n}")])
        async with appending(store), asyncio.timeout(20):
            there = await store.read("c", 0, 0, limit=100, wait=60)
        assert [item.record.id for item in there[:5]] == ["0", "1", "2", "3", "4"]


async def test_no_delivery_of_a_key_is_left_behind_by_another_process(postgresql_schema):
    """What is parked while the one before it is settled must neither wait for ever nor come beside it."""
    async with opened(postgresql_schema, 2) as (parking, settling):
        await parking.ensure_channel(ChannelSpec("c"))
        done: list[str] = []

        async def settle():
            while len(done) < 40:
                for item in await settling.due("me", NOW, limit=9, lease_us=SECOND, per_group=9):
                    done.append(item.id)
                    assert (await settling.settle(item, Done())).held

        async def park():
            for n in range(40):
                await parking.park([delivery(f"{n:02}", key="k")])

        async with asyncio.timeout(20):
            await asyncio.gather(settle(), park())
        assert done == [f"{n:02}" for n in range(40)]


async def test_what_a_dead_process_has_leased_is_put_back(postgresql_schema):
    async with opened(postgresql_schema) as store:
        await store.ensure_channel(ChannelSpec("c"))
        await store.park([delivery("a"), delivery("b")])
        (first,) = await store.due("dead", NOW, limit=1, lease_us=100 * SECOND, per_group=9)
        assert await store.put_back("dead", keep=[first.id]) == 0
        assert await store.put_back("dead") == 1
        leased = await store.due("me", NOW, limit=9, lease_us=SECOND, per_group=9)
        assert {item.id for item in leased} == {"a", "b"}
        assert not (await store.settle(first, Done())).held


async def test_an_older_epoch_is_fenced_in_every_process(postgresql_schema):
    async with opened(postgresql_schema, 2) as (mine, yours):
        await mine.ensure_channel(ChannelSpec("c"))
        held = await mine.join("c", "g", "router", NOW, SECOND)
        taken = await yours.join("c", "g", "router", NOW, SECOND)
        with pytest.raises(Fenced):
            await mine.commit(held, {0: 1}, outbox=[delivery("a")])
        await yours.commit(taken, {0: 2})
        assert await mine.committed("c", "g") == {0: 2}
        assert await mine.parked() == []


async def test_text_that_a_target_answered_is_kept_as_far_as_it_can_be(postgresql_schema):
    async with opened(postgresql_schema) as store:
        await store.ensure_channel(ChannelSpec("c"))
        await store.park([delivery("a")])
        (item,) = await store.due("me", NOW, limit=1, lease_us=SECOND, per_group=1)
        await store.settle(item, Again(NOW, "nul \0, lone \ud800"))
        assert [item.reason for item in await store.parked()] == ["nul \ufffd, lone ?"]


async def test_a_channel_made_anew_by_another_process_is_found(postgresql_schema):
    async with opened(postgresql_schema, 2) as (mine, yours):
        await mine.ensure_channel(ChannelSpec("c"))
        await mine.append("c", [record("1")])
        await yours.drop_channel("c")
        await yours.ensure_channel(ChannelSpec("c"))
        assert not (await mine.append("c", [record("1")]))[0].duplicate
        assert await bodies(yours) == ["1"]


async def test_a_schema_of_a_newer_version_is_refused(postgresql_server, postgresql_schema):
    async with opened(postgresql_schema):
        schema = postgresql_schema.partition("schema=")[2]
        postgresql_server.sql(f"UPDATE {schema}.format SET version = 99")
    with pytest.raises(Conflict, match="format 99"):
        await open_store(postgresql_schema).open()


async def test_a_server_that_is_not_there_is_named_without_the_password():
    store = open_store("postgresql://me:hunter2@127.0.0.1:1/db?schema=x")
    with pytest.raises(
        Unavailable, match=r"postgresql://me@127\.0\.0\.1:1/db \(schema x\) cannot be"
    ) as raised:
        await store.open()
    assert "hunter2" not in str(raised.value)


async def test_a_database_that_is_not_there_is_named(postgresql_server):
    with pytest.raises(Unavailable, match='database "missing" does not exist'):
        await open_store(postgresql_server.url.replace("/postgres", "/missing")).open()


async def test_who_may_not_make_the_schema_is_told_what_to_ask_for(postgresql_server, postgresql_schema):
    schema = postgresql_schema.partition("schema=")[2]
    postgresql_server.sql(f"CREATE ROLE {schema} LOGIN")
    store = open_store(postgresql_schema.replace("wfe@", f"{schema}@"))
    with pytest.raises(
        Unavailable, match=f"permission denied.*CREATE SCHEMA {schema} AUTHORIZATION {schema}"
    ):
        await store.open()
    postgresql_server.sql(f"CREATE SCHEMA {schema} AUTHORIZATION {schema}")
    await store.open()
    postgresql_server.sql(f"ALTER TABLE {schema}.setting OWNER TO wfe")
    with pytest.raises(Unavailable, match="does not work: permission denied for table setting"):
        await store.put("a", b"")
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@host",
        "postgresql://me:hunter2@host/db?schema=A-b",
        "postgresql://me:hunter2@host/db?connections=1",
        "postgresql://me:hunter2@host:port/db",
        "postgresql://me:hunter2@host/db/x",
    ],
)
def test_a_url_that_says_nothing_clear_is_refused_without_the_password(url):
    with pytest.raises(Rejected) as raised:
        open_store(url)
    assert "hunter2" not in str(raised.value)


async def test_the_first_of_several_hosts_that_answers_is_taken(postgresql_server, postgresql_schema):
    url = postgresql_schema.replace("@", "@127.0.0.1:1,") + "&target_session_attrs=read-write"
    async with opened(url) as store:
        await store.put("a", b"1")


def test_a_password_is_shown_nowhere():
    assert shown("postgresql://me:hunter2@host:1/db?sslmode=require") == "postgresql://me@host:1/db"
    assert shown("postgresql://host/db?password=hunter2") == "postgresql://host/db"


def test_without_the_client_the_url_is_refused_with_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("workflow_engine.events.stores.postgresql")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(Rejected, match=r"pip install 'serverless-workflow-engine\[postgresql\]'"):
        open_store("postgresql://host/db")


async def test_the_store_comes_back_with_the_server_and_nothing_acknowledged_is_lost(own_postgresql_server):
    server = own_postgresql_server
    async with opened(server.url) as store:
        await store.ensure_channel(ChannelSpec("c"))
        acknowledged, outages, stop = [], [], asyncio.Event()

        async def publish(worker):
            n = 0
            while not stop.is_set():
                try:
                    await store.append("c", [record(f"{worker}-{n}")])
                except Unavailable as error:
                    outages.append(error)
                    await asyncio.sleep(0.01)
                else:
                    acknowledged.append(f"{worker}-{n}")
                    n += 1

        tasks = [asyncio.create_task(publish(worker)) for worker in range(4)]
        waiting = asyncio.create_task(store.read("c", 0, 10**9, limit=1, wait=60))
        for _ in range(2):
            enough = len(acknowledged) + 50
            await eventually(lambda enough=enough: len(acknowledged) >= enough)
            await asyncio.to_thread(server.kill)
            outages.clear()
            before = len(acknowledged)
            await eventually(outages.copy)
            await asyncio.to_thread(server.start)
            await eventually(lambda before=before: len(acknowledged) > before)
        stop.set()
        await asyncio.gather(*tasks)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        there = await bodies(store, limit=1_000_000)
        assert len(there) == len(set(there))
        assert set(acknowledged) <= set(there)
