"""The stores of interim results, each by the same rules."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
from pathlib import Path

import pytest

from tests.standins.postgresql import PostgresServer
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.runtimes.temporal.interim.opening import open_interim


@pytest.fixture(params=["sqlite", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/folder/interim.db"
    return f"{request.getfixturevalue('postgresql_url')}?schema=interim"


async def test_what_is_kept_is_there_for_another_worker(address: str) -> None:
    one, other = await open_interim(address), await open_interim(address)
    await one.keep("run", {"/do/0/a 1": b"\0first", "/do/1/ü\0 2": b""})
    assert await other.of("run") == {"/do/0/a 1": b"\0first", "/do/1/ü\0 2": b""}
    assert await other.of("another") == {}
    await other.keep("run", {"/do/0/a 1": b"again"})
    assert (await one.of("run"))["/do/0/a 1"] == b"again"
    await asyncio.gather(one.close(), other.close())


async def test_many_are_kept_at_a_time_by_several_workers(address: str) -> None:
    stores = [await open_interim(address) for _ in range(3)]
    await asyncio.gather(
        *(
            store.keep(f"run-{number}", {str(key): bytes([number]) for key in range(5)})
            for store in stores
            for number in range(40)
        )
    )
    for number in range(40):
        assert await stores[0].of(f"run-{number}") == {str(key): bytes([number]) for key in range(5)}
    await asyncio.gather(*(store.close() for store in stores))


async def test_runs_and_calls_are_forgotten(address: str) -> None:
    store = await open_interim(address)
    for run in ("one", "two", "three"):
        await store.keep(run, {"a": b"1", "b": b"2"})
    await store.forget(["two", "none"], [("one", "a"), ("three", "c")])
    assert (await store.of("one"), await store.of("two")) == ({"b": b"2"}, {})
    assert await store.of("three") == {"a": b"1", "b": b"2"}
    await store.forget([], [])
    await store.close()


async def test_what_is_older_than_a_moment_is_forgotten(address: str) -> None:
    store = await open_interim(address)
    await store.keep("one", {"old": b"1"})
    await store.keep("two", {"old": b"1"})
    moment = time.time()
    while time.time() <= moment:  # noqa: ASYNC110  clocks have grains
        await asyncio.sleep(0.001)
    await store.keep("one", {"new": b"2"})
    assert await store.prune(moment) == 2
    assert (await store.of("one"), await store.of("two")) == ({"new": b"2"}, {})
    await store.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory:", "'memory' is the scheme of no interim store"),
        ("nats://me:secret@host/x", "'nats' is the scheme of no interim store"),
        ("sqlite://host/path", "expected sqlite:///relative/path"),
        ("sqlite:///x.db?cache=1", "the only option"),
        ("postgresql://host", "expected postgresql://host/database"),
    ],
)
async def test_a_url_that_cannot_be_read_is_refused(url: str, says: str) -> None:
    with pytest.raises(Rejected, match=says) as refused:
        await open_interim(url)
    assert "secret" not in str(refused.value)


async def test_the_file_is_nobody_elses(tmp_path: Path) -> None:
    store = await open_interim(f"sqlite:///{tmp_path}/interim.db")
    await store.keep("run", {"a": b"1"})
    assert {stat.S_IMODE(each.st_mode) for each in map(os.stat, os.scandir(tmp_path))} == {0o600}
    await store.close()


async def test_a_file_of_another_format_and_one_that_is_none_are_left_alone(tmp_path: Path) -> None:
    later, other = tmp_path / "later.db", tmp_path / "other.db"
    with sqlite3.connect(later) as db:
        db.execute("PRAGMA user_version = 9")
    db.close()
    other.write_text("no database, but long enough to be taken for one " * 20)
    for path, says in ((later, "has format 9"), (other, "cannot be opened as an interim store")):
        before = path.read_bytes()
        with pytest.raises(Unavailable, match=says):
            await open_interim(f"sqlite:///{path}")
        assert path.read_bytes() == before


async def test_a_database_that_is_away_is_unavailable() -> None:
    with pytest.raises(Unavailable, match=r"the interim store postgresql://me@127\.0\.0\.1:9/wfe"):
        await open_interim("postgresql://me:secret@127.0.0.1:9/wfe")


async def test_one_that_went_away_is_asked_again(own_postgresql_server: PostgresServer) -> None:
    store = await open_interim(own_postgresql_server.create_database())
    await store.keep("run", {"a": b"1"})
    own_postgresql_server.kill()
    with pytest.raises(Unavailable):
        await store.of("run")
    own_postgresql_server.start()
    assert await store.of("run") == {"a": b"1"}
    await store.close()
