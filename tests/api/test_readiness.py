"""What `/readyz` finds out: each part of a server is asked, and the one that does not work is named."""

from __future__ import annotations

import asyncio
import json
import resource
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.api.server import serve
from tests.standins.nats import NatsServer
from tests.standins.postgresql import PostgresServer
from workflow_engine.assembly import open_app
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path, temporal_address="127.0.0.1:1")


@pytest.fixture
async def url(settings: Settings) -> AsyncIterator[str]:
    async with open_app(settings) as app, serve(app) as url:
        yield url


async def parts(url: str) -> dict[str, bool]:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
        found = await answer.json()
        assert (answer.status == 200) == all(found["parts"].values())
        return found["parts"]


async def test_a_file_that_is_no_store_is_said_to_be_none_before_anything_is_served(
    settings: Settings, tmp_path: Path
) -> None:
    for name in ("events", "definitions", "catalog"):
        file = tmp_path / f"{name}.db"
        file.write_bytes(b"not a database, " * 1000)
        with pytest.raises(Unavailable, match=f"{name}.db.* cannot be opened.*: file is not a database"):
            async with open_app(settings):
                pass
        file.unlink()


async def test_a_store_of_the_catalog_that_is_none_is_refused_by_its_setting(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="WFE_CATALOG_STORE: 'nosuch:/x' names no store"):
        async with open_app(Settings(data=tmp_path, catalog_store="nosuch:/x")):
            pass


async def test_why_a_part_does_not_work_is_said(url: str, tmp_path: Path) -> None:
    break_table(tmp_path / "events.db", "setting")
    async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
        reasons = (await answer.json())["reasons"]
    assert reasons["temporal"] == "Temporal does not answer: Connection refused"
    assert "no such table: setting" in reasons["events"]
    assert set(reasons) == {"temporal", "events"}


async def test_an_event_store_with_no_room_is_not_ready(url: str, tmp_path: Path) -> None:
    file = tmp_path / "events.db"
    limit = file.stat().st_size + (tmp_path / "events.db-wal").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit // 4096 * 4096 // 2, hard))
    try:
        assert (await parts(url))["events"] is False
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (await parts(url))["events"] is True


@pytest.mark.temporal
async def test_a_namespace_that_temporal_does_not_have_is_named(
    temporal_address: str, tmp_path: Path
) -> None:
    settings = Settings(data=tmp_path, temporal_address=temporal_address, temporal_namespace="nowhere")
    async with (
        open_app(settings) as app,
        serve(app) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/readyz") as answer,
    ):
        reason = (await answer.json())["reasons"]["temporal"]
    assert reason == "Temporal has no namespace nowhere; create it, or name another"


def break_table(file: Path, table: str) -> None:
    other = sqlite3.connect(file)
    other.execute(f"ALTER TABLE {table} RENAME TO gone")
    other.close()


async def test_a_temporal_server_that_does_not_answer_is_named(url: str) -> None:
    assert await parts(url) == {"temporal": False, "events": True, "definitions": True, "catalog": True}


@pytest.mark.temporal
async def test_all_parts_work_where_temporal_answers(temporal_address: str, tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, temporal_address=temporal_address)
    async with open_app(settings) as app, serve(app) as url:
        assert all((await parts(url)).values())


@pytest.mark.parametrize(
    ("part", "file", "table"),
    [
        ("events", "events.db", "setting"),
        ("definitions", "definitions.db", "definition"),
        ("catalog", "catalog.db", "spec"),
    ],
)
async def test_a_store_that_breaks_is_named(
    url: str, tmp_path: Path, part: str, file: str, table: str
) -> None:
    break_table(tmp_path / file, table)
    assert [name for name, works in (await parts(url)).items() if not works] == ["temporal", part]


async def test_an_event_store_that_somebody_else_has_locked_is_named(url: str, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "events.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        assert (await parts(url))["events"] is False
    finally:
        other.close()
    assert (await parts(url))["events"] is True


async def test_a_database_that_is_away_is_named_and_is_ready_again_by_itself(
    own_postgresql_server: PostgresServer, tmp_path: Path
) -> None:
    server = own_postgresql_server
    settings = Settings(data=tmp_path, temporal_address="127.0.0.1:1", events_store=server.url)
    async with open_app(settings) as app, serve(app) as url:
        assert (await parts(url))["events"] is True
        await asyncio.to_thread(server.kill)
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
            reasons = (await answer.json())["reasons"]
        assert (
            f"postgresql://wfe@{server.address}/postgres (schema wfe) cannot be reached" in reasons["events"]
        )
        await asyncio.to_thread(server.start)
        while not (await parts(url))["events"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_nats_server_that_is_away_is_named_and_publishing_answers_503(
    own_nats_server: NatsServer, tmp_path: Path
) -> None:
    server = own_nats_server
    settings = Settings(data=tmp_path, temporal_address="127.0.0.1:1", events_store=server.url())
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    headers = {"Content-Type": "application/cloudevents+json"}
    async with (
        open_app(settings) as app,
        serve(app) as url,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        assert (await parts(url))["events"] is True
        assert (tmp_path / "events-nats.db").exists()
        await asyncio.to_thread(server.kill)
        async with session.get(f"{url}/readyz") as answer:
            reasons = (await answer.json())["reasons"]
        assert f"the event store nats://127.0.0.1:{server.port}/test-0 cannot be reached" in reasons["events"]
        async with session.post(f"{url}/v1/events", json=event) as answer:
            assert answer.status == 503
        await asyncio.to_thread(server.start)
        while not (await parts(url))["events"]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        async with session.post(f"{url}/v1/events", json=event) as answer:
            assert (answer.status, (await answer.json())["accepted"][0]["duplicate"]) == (202, False)


async def test_a_disk_that_is_nearly_full_is_warned_of(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def warned() -> dict[str, str]:
        async with aiohttp.ClientSession() as session, session.get(f"{url}/readyz") as answer:
            found: dict[str, str] = (await answer.json())["warnings"]
            return found

    assert "disk" not in await warned()
    monkeypatch.setattr("workflow_engine.api.health.SCARCE", 1 << 62)
    assert "bytes are free on the disk of the data folder" in (await warned())["disk"]


async def test_what_is_answered_with_503_is_in_the_log(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    break_table(tmp_path / "events.db", "record")
    event = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
    head = {"Content-Type": "application/cloudevents+json"}
    sent = json.dumps(event)
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/v1/events", data=sent, headers=head) as answer,
    ):
        assert answer.status == 503
        detail = (await answer.json())["detail"]
    assert f"answered 503: {detail}" in caplog.text
