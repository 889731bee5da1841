"""What is deleted from a store, and what is not."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from pathlib import Path

import pytest

from tests.cli.command import wfe
from tests.payloads.test_runs import runner, stored, text
from tests.payloads.test_secrecy import begun
from tests.running import TemporalRunner
from tests.standins.internet import Internet
from workflow_engine.cli.main import main
from workflow_engine.runtimes.temporal.payloads.keys import open_keys
from workflow_engine.runtimes.temporal.payloads.opening import open_store
from workflow_engine.runtimes.temporal.payloads.pruning import prune
from workflow_engine.runtimes.temporal.payloads.store import key_of

DOCUMENT = """
document: {dsl: '1.0.3', namespace: tests, name: pruned, version: '1.0.0'}
do:
  - heard: {listen: {to: {one: {with: {type: com.example.pruned}}}}}
"""
SHORT = "document: {dsl: '1.0.3', namespace: tests, name: short, version: '1.0.0'}\ndo: [{a: {set: '${ .given }'}}]\n"


def age(folder: Path, hours: float) -> None:
    then = time.time() - hours * 3600
    for path in stored(folder):
        os.utime(path, (then, then))


async def listed(run: TemporalRunner, *ids: str) -> None:
    """Until Temporal lists the runs, some moments after they have begun: no value is deleted that soon."""
    for id in ids:
        query = f"WorkflowId = '{id}'"
        while not [found async for found in run.client.list_workflows(query)]:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


@pytest.mark.temporal
async def test_what_a_run_claims_is_kept_and_what_none_claims_is_deleted(
    temporal_address: str, internet: Internet, tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    async with runner(temporal_address, internet, folder, threshold=2000) as run:
        waits = await begun(run, DOCUMENT, {"given": text(3000, "open ")})
        ended = await run(SHORT, {"given": {"text": text(3000, "ended ")}})
        store = await open_store(folder.as_uri())
        for digest in ("12" * 32, "34" * 32):
            await store.put(key_of("default", digest), b"of a run that Temporal has forgotten")
        assert len(stored(folder)) == 5  # two inputs, the output of what has ended
        assert (await prune(run.client, store)).deleted == 0, "all of it is young"
        await listed(run, waits, ended.run_id)
        age(folder, 48)
        await store.put(key_of("default", "ab" * 32), b"young")
        dry = await prune(run.client, store, dry=True)
        assert (dry.objects, dry.deleted) == (6, 2)
        found = await prune(run.client, store)
        assert (found.objects, found.deleted) == (6, 2)
        assert found.freed == 72
        assert len(stored(folder)) == 4
        assert (await run.runtime.describe(waits)).input == {"given": text(3000, "open ")}
        assert (await run.runtime.describe(ended.run_id)).output == {"text": text(3000, "ended ")}
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/x", "type": "com.example.pruned"}
        await run.router.publish("default", [event])
        assert (await run.runtime.wait(waits, 20)).status == "completed"


@pytest.mark.temporal
async def test_a_run_that_is_passed_an_old_value_makes_it_young(
    temporal_address: str, internet: Internet, tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    for _ in range(2):
        async with runner(temporal_address, internet, folder, threshold=2000) as run:
            await run(SHORT, {"given": {"text": text(3000)}})
            assert all(time.time() - path.stat().st_mtime < 3600 for path in stored(folder))
            age(folder, 48)
    assert len(stored(folder)) == 2


def test_a_key_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    made = wfe("payloads", "key", "--folder", str(folder), "--id", "k7", "--current")
    assert made.code == 0, made
    assert (folder / "k7").stat().st_mode & 0o077 == 0
    assert (folder / "current").read_text() == "k7\n"
    again = wfe("payloads", "key", "--folder", str(folder), "--id", "k7")
    assert again.code == 1
    assert "never overwritten" in again.err


def test_a_second_key_leaves_the_first_one_in_use_until_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "keys"
    for id in ("k1", "k2", "k3"):
        assert main(["payloads", "key", "--folder", str(folder), "--id", id]) == 0
        assert open_keys(folder.as_uri(), None).current().id == "k1"
    assert f"once {folder}/current names it" in capsys.readouterr().err
    (folder / "current").write_text("k3\n")
    assert open_keys(folder.as_uri(), None).current().id == "k3"


def test_a_folder_that_is_no_store_is_not_made_one_by_pruning_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["payloads", "prune", "--payload-store", (tmp_path / "typo").as_uri()]) == 3
    assert "is not there (it has no file wfe-payloads)" in capsys.readouterr().err
    assert not (tmp_path / "typo").exists()
