"""A worker is killed in the middle of calls in a row, whatever comes after them: compensation of DSL 0.8, branches."""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.running import TemporalRunner, temporal_runner
from tests.runtimes.far_side import FarSide
from tests.runtimes.test_inline import HEADER
from tests.runtimes.test_interim import url
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.payloads.travelling import Payloads
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(120)]


@asynccontextmanager
async def killed(
    address: str,
    internet: Any,
    far: FarSide,
    folder: Path,
    text: str,
    at: str,
    given: Any = None,
    places: tuple[str, str] = ("", ""),
) -> AsyncIterator[tuple[TemporalRunner, str]]:
    """A run of *text* whose first worker is killed while it calls *at*, and another worker of its queue.

    *places* are those of large values and of keys.
    """
    far.held.add(at)
    queue, run_id, bundle = f"test-{uuid.uuid4()}", f"inline-{uuid.uuid4()}", Bundle.of(dsl.parse(text), {})
    module = ("-m", "tests.standins.lone_worker", address, queue, *places, url(folder), "patient")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, *module, stdin=pipe, stdout=pipe)
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()).startswith(b"ready")
        async with payloads_at(places) as payloads:
            client = await connect(address, "default", payloads=payloads)
            runtime = TemporalRuntime(client, queue, search_attributes=False)
            await runtime.start(Start(run_id, bundle.graph().name, bundle, given or {}))
            await far.asked_for(at)
    finally:
        process.kill()
        await process.wait()
    far.held.clear()
    async with (
        payloads_at(places) as payloads,
        temporal_runner(address, internet, queue=queue, interim=url(folder), payloads=payloads) as runner,
    ):
        yield runner, run_id


def payloads_at(places: tuple[str, str]) -> AbstractAsyncContextManager[Payloads]:
    store, keys = places
    return open_payloads(store=store or None, keys=keys or None, largest=50_000_000)


async def test_what_was_compensated_and_what_failed_before_it_is_not_called_again(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path
) -> None:
    far.broken.add("pay")
    text = f"""
id: ordering
version: '1.0'
specVersion: '0.8'
start: book
functions:
  - {{name: book, type: custom, operation: 'rest:POST:{far.url}/book'}}
  - {{name: seat, type: custom, operation: 'rest:POST:{far.url}/seat'}}
  - {{name: pay, type: custom, operation: 'rest:POST:{far.url}/pay'}}
  - {{name: undo, type: custom, operation: 'rest:POST:{far.url}/undo'}}
states:
  - name: book
    type: operation
    compensatedBy: undo
    actions: [{{functionRef: book}}, {{functionRef: seat}}]
    transition: pay
  - {{name: undo, type: operation, usedForCompensation: true, actions: [{{functionRef: undo}}]}}
  - name: pay
    type: operation
    actions: [{{functionRef: pay}}]
    onErrors: [{{errorRef: '*', end: {{compensate: true}}}}]
    end: true
"""
    async with killed(temporal_address, internet, far, tmp_path, text, "undo") as (runner, run_id):
        assert (await runner.runtime.wait(run_id, 60)).status == "completed"
    assert [what for what, _ in far.asked] == ["book", "seat", "pay", "undo", "undo"]
    assert len(set(far.keys("undo"))) == 1


async def test_what_a_row_gave_is_there_where_branches_follow(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path
) -> None:
    branches = ", ".join(f"{{{name}: {far.call(name)}}}" for name in "cd")
    row = ", ".join(f"{{{name}: {far.call(name)}}}" for name in "ab")
    text = HEADER + f"do: [{row}, {{f: {{fork: {{branches: [{branches}]}}}}}}, {{e: {far.call('e')}}}]"
    async with killed(temporal_address, internet, far, tmp_path, text, "b") as (runner, run_id):
        assert (await runner.runtime.wait(run_id, 60)).output == {"did": "e"}
    asked = [what for what, _ in far.asked]
    assert (asked[:3], sorted(asked[3:5]), asked[5:]) == (["a", "b", "b"], ["c", "d"], ["e"])


async def test_what_is_large_and_encrypted_is_kept_in_its_own_store_and_found_there(
    temporal_address: str, internet: Any, far: FarSide, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WFE_PAYLOAD_KEY_ONE", "00112233445566778899aabbccddeeff" * 2)
    echo = far.call("WHAT").replace("/WHAT", "/echo/WHAT")
    row = ", ".join(f"{{{name}: {echo.replace('WHAT', name)}}}" for name in "abcd")
    text, given = HEADER + f"do: [{row}]", {"text": "countess" * 300_000}
    places = ((tmp_path / "values").as_uri(), "env:")
    async with killed(temporal_address, internet, far, tmp_path, text, "c", given, places) as (
        runner,
        run_id,
    ):
        assert (await runner.runtime.wait(run_id, 60)).output == given
    assert [what for what, _ in far.asked] == ["a", "b", "c", "c", "d"]
    assert size(tmp_path) < 100_000


def size(folder: Path) -> int:
    """The bytes of the interim store."""
    return sum(part.stat().st_size for part in folder.glob("interim.db*"))
