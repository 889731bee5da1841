"""What a store of large values promises, of a folder and of a bucket on a real server that speaks S3."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from workflow_engine.errors import Rejected
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.processes.ports import free_port
from workflow_engine.runtimes.temporal.payloads.opening import open_store
from workflow_engine.runtimes.temporal.payloads.store import Store, StoreUnavailable, ValueLost, key_of
from workflow_engine.runtimes.temporal.payloads.stores.file import MARK, FileStore

KEY = key_of("default", "ab" * 32)
OTHER = key_of("default", "cd" * 32)
ACCESS, SECRET = "access", "secret-of-the-bucket"


@contextlib.asynccontextmanager
async def s3_server(folder: Path, port: int = 0) -> AsyncIterator[str]:
    """`rclone serve s3` over *folder*, whose folders are buckets; it wants signed requests."""
    port = port or free_port("127.0.0.1")
    (folder / "bucket").mkdir(parents=True, exist_ok=True)
    program = Path(os.sys.executable).with_name("rclone")  # type: ignore[attr-defined]
    address = f"127.0.0.1:{port}"
    line = [str(program), "serve", "s3", "--addr", address, "--auth-key", f"{ACCESS},{SECRET}", str(folder)]
    process = await GuardedProcess.start([*line, "--config", "", "--vfs-cache-mode", "off"], output=[])
    try:
        async with asyncio.timeout(20), aiohttp.ClientSession() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://{address}"):
                        break
                await asyncio.sleep(0.05)
        yield f"http://{address}"
    finally:
        await process.stop(2)


@pytest.fixture(params=["file", "s3"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Store]:
    if request.param == "file":
        yield await open_store((tmp_path / "payloads").as_uri())
        return
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    async with s3_server(tmp_path) as endpoint:
        yield await open_store(f"s3://bucket/of/runs?endpoint={endpoint}")


async def test_what_is_put_is_there_and_again_is_harmless(store: Store) -> None:
    await store.check()
    assert await store.get(KEY, 100) is None
    await store.put(KEY, b"value")
    await store.put(KEY, b"value")
    assert await store.get(KEY, 100) == b"value"
    assert await store.get(OTHER, 100) is None


async def test_more_bytes_than_are_wanted_are_not_read(store: Store) -> None:
    await store.put(KEY, b"x" * 11)
    with pytest.raises(ValueLost, match="more than 10 bytes"):
        await store.get(KEY, 10)


async def test_objects_are_listed_by_namespace(store: Store) -> None:
    elsewhere = key_of("default-2", "ab" * 32)
    for key in (KEY, OTHER, elsewhere):
        await store.put(key, b"value")
    listed = [stored async for stored in store.objects("default")]
    assert sorted(stored.key for stored in listed) == [KEY, OTHER]
    assert {stored.size for stored in listed} == {5}
    assert all(abs(stored.modified - time.time()) < 60 for stored in listed)
    assert [stored async for stored in store.objects("nobody")] == []


async def test_what_was_put_lately_is_not_deleted(store: Store) -> None:
    await store.put(KEY, b"value")
    assert not await store.delete(KEY, time.time() - 3600)
    assert await store.get(KEY, 100) == b"value"
    assert await store.delete(KEY, time.time() + 3600)
    assert await store.get(KEY, 100) is None
    assert not await store.delete(KEY, time.time() + 3600)


@pytest.mark.parametrize("key", ["default/../../x", "/etc/passwd", "default/ab/cd", "../" + KEY, ""])
async def test_a_claim_does_not_lead_out_of_the_store(store: Store, key: str) -> None:
    with pytest.raises(ValueLost, match="not the key"):
        await store.get(key, 100)


async def test_a_value_of_many_megabytes_is_stored_whole(store: Store) -> None:
    data = os.urandom(12_000_000)
    await store.put(KEY, data)
    assert await store.get(KEY, 20_000_000) == data


async def test_a_folder_that_was_put_again_is_young(tmp_path: Path) -> None:
    store = await FileStore.open(tmp_path)
    await store.put(KEY, b"value")
    os.utime(tmp_path / KEY, (1000, 1000))
    assert [stored.modified async for stored in store.objects("default")] == [1000]
    await store.put(KEY, b"value")
    assert [stored.modified > 1000 async for stored in store.objects("default")] == [True]


async def test_a_damaged_file_is_written_again(tmp_path: Path) -> None:
    store = await FileStore.open(tmp_path)
    await store.put(KEY, b"value")
    (tmp_path / KEY).write_bytes(b"val")
    await store.put(KEY, b"value")
    assert await store.get(KEY, 100) == b"value"


async def test_files_are_nobody_elses(tmp_path: Path) -> None:
    store = await FileStore.open(tmp_path / "made")
    await store.put(KEY, b"value")
    assert (tmp_path / "made" / KEY).stat().st_mode & 0o077 == 0
    assert (tmp_path / "made").stat().st_mode & 0o077 == 0


async def test_a_folder_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    store = await FileStore.open(tmp_path / "disk")
    (tmp_path / "disk" / MARK).unlink()
    for attempt in (store.put(KEY, b"value"), store.get(KEY, 100), store.check()):
        with pytest.raises(StoreUnavailable, match="not mounted"):
            await attempt


async def test_what_a_writer_that_died_left_is_removed_in_time(tmp_path: Path) -> None:
    store = await FileStore.open(tmp_path)
    await store.put(KEY, b"value")
    (left := (tmp_path / KEY).with_name(".half")).write_bytes(b"va")
    assert len([stored async for stored in store.objects("default")]) == 1
    assert left.exists()
    os.utime(left, (1000, 1000))
    assert len([stored async for stored in store.objects("default")]) == 1
    assert not left.exists()


async def test_a_bucket_whose_server_is_gone_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    store = await open_store(f"s3://bucket?endpoint=http://127.0.0.1:{free_port('127.0.0.1')}")
    with pytest.raises(StoreUnavailable, match="the payload store s3://bucket at http://127") as raised:
        await store.put(KEY, b"value")
    assert SECRET not in str(raised.value)


async def test_a_wrong_secret_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    async with s3_server(tmp_path) as endpoint:
        store = await open_store(f"s3://bucket?endpoint={endpoint}")
        with pytest.raises(StoreUnavailable, match=r"403|SignatureDoesNotMatch|Forbidden") as raised:
            await store.check()
    assert "another-secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["http://x", "file://relative", "s3:bucket", "s3://bucket?color=red", "payloads", "file:///"]
)
async def test_a_url_that_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(Rejected, match="WFE_PAYLOAD_STORE"):
        await open_store(url)
