"""With keys, nothing that a run works with is in the file of the Temporal server, but for names."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.payloads.test_runs import runner, written
from tests.running import TemporalRunner
from tests.standins.internet import Internet
from tests.temporal_server import server_in_thread
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import RunQuery, Start
from workflow_engine.engine.schedules import Plan
from workflow_engine.errors import Unavailable
from workflow_engine.graph.lifecycle import Told
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.payloads import keys as keys_module
from workflow_engine.runtimes.temporal.payloads.encryption import ENCODING
from workflow_engine.runtimes.temporal.payloads.keys import new_key
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.schedules import TemporalSchedules
from workflow_engine.runtimes.temporal.server import DevServer, ServerOptions

pytestmark = pytest.mark.temporal
HIDDEN = "hidden-words"
SOON = timedelta(seconds=3)
"""After which a workflow task that has failed is given out again."""


@pytest.fixture(scope="module")
def kept_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DevServer, Path]]:
    file = tmp_path_factory.mktemp("temporal") / "temporal.db"
    with server_in_thread(ServerOptions(headless=True, log_level="error", data_file=file)) as server:
        yield server, file


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "k1").write_text(new_key())
    return folder


EVERYWHERE = """
document:
  dsl: '1.0.3'
  namespace: tests
  name: secret-run
  version: '1.0.0'
  title: Title HIDDEN
  summary: In short HIDDEN
do:
  - told: {emit: {event: {with: {type: com.example.told, source: /here, data: {said: HIDDEN}}}}}
  - tried:
      try:
        - other:
            run: {workflow: {namespace: tests, name: secret-part, version: '1.0.0', input: '${ {part: .given} }'}}
      catch: {as: caught, do: [{keep: {set: {detail: '${ $caught.detail }'}}}]}
  - heard: {listen: {to: {one: {with: {type: com.example.heard}}}}}
  - rest: {wait: {milliseconds: 10}}
  - failed:
      raise:
        error:
          type: https://example.com/errors/x
          status: 500
          title: T HIDDEN
          detail: '${ "HIDDEN " + (.[0] | tostring) }'
"""
PART = """
document: {dsl: '1.0.3', namespace: tests, name: secret-part, version: '1.0.0'}
do:
  - failed: {raise: {error: {type: 'https://example.com/errors/y', status: 400, detail: '${ "HIDDEN " + .part }'}}}
"""


@pytest.mark.parametrize("sealed", [True, False], ids=["encrypted", "plain"])
async def test_nothing_of_a_run_is_in_the_servers_file(
    sealed: bool, kept_server: tuple[DevServer, Path], internet: Internet, tmp_path: Path, keys: Path
) -> None:
    """Without keys it is: so it would be found."""
    server, file = kept_server
    hidden = f"hidden-words-{sealed}"
    audience = Audience(Told.parse("task,status"), "lifecycle", f"http://{hidden}")
    event = {
        "specversion": "1.0",
        "id": "1",
        "source": "/x",
        "type": "com.example.heard",
        "data": {"v": hidden},
    }
    async with runner(server.address, internet, tmp_path / "store", keys if sealed else None) as run:
        document, part = (text.replace("HIDDEN", hidden) for text in (EVERYWHERE, PART))
        ended = await run(document, {"given": hidden}, events=[event], others=[part], audience=audience)
        assert ended.status == "faulted"
        assert ended.error["detail"].count(hidden) == 2, ended.error
        handle = run.client.get_workflow_handle(ended.run_id)
        history = (await handle.fetch_history()).to_json()
        assert "secret-run" in history, "names are not encrypted"
    assert (hidden.encode() in written(file)) is not sealed
    assert b"secret-run" in written(file)


async def test_what_a_schedule_starts_with_is_not_in_the_servers_file(
    kept_server: tuple[DevServer, Path], internet: Internet, tmp_path: Path, keys: Path
) -> None:
    server, file = kept_server
    words = f"planned-{HIDDEN}"
    document = (
        "document: {dsl: '1.0.3', namespace: tests, name: planned, version: '1.0.0'}\n"
        f"schedule: {{every: {{hours: 1}}}}\ndo: [{{a: {{set: {{b: '{words}'}}}}}}]\n"
    )
    async with runner(server.address, internet, tmp_path / "store", keys) as run:
        bundle = Bundle.of(dsl.parse(document), {})
        graph = bundle.graph()
        plan = Plan(graph.name, graph.schedule, bundle, datetime.now(UTC), words, words)
        schedules = TemporalSchedules(run.client, run.queue, search_attributes=False)
        await schedules.set(plan)
        await schedules.set(plan)  # finds that it is kept already
        await schedules.trigger(plan)
        async with asyncio.timeout(20):
            while not (recent := (await schedules.state(plan)).recent):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        [started] = recent
        ended = await run.runtime.wait(started.run_id, 20)
        assert ended.output == {"b": words}
        await schedules.remove("tests", "planned")
    assert words.encode() not in written(file)


async def test_keys_are_rotated_while_a_run_goes_on(
    temporal_address: str, internet: Internet, tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys_module, "AGAIN", 0.0)
    document = """
document: {dsl: '1.0.3', namespace: tests, name: rotated, version: '1.0.0'}
do:
  - heard: {listen: {to: {one: {with: {type: com.example.turned}}}}}
  - answer: {set: {given: '${ $workflow.input.given }'}}
"""
    async with runner(temporal_address, internet, tmp_path / "store", keys) as run:
        run_id = await begun(run, document, {"given": HIDDEN})
        (keys / "k2").write_text(new_key())
        (keys / "current").write_text("k2")
        await run.router.publish(
            "default",
            [{"specversion": "1.0", "id": str(uuid.uuid4()), "source": "/x", "type": "com.example.turned"}],
        )
        ended = await run.runtime.wait(run_id, 20)
        assert ended.output == {"given": HIDDEN}
        used = {
            payload.metadata["encryption-key-id"]
            async for event in run.client.get_workflow_handle(run_id).fetch_history_events()
            for payload in [
                *event.workflow_execution_started_event_attributes.input.payloads,
                *event.workflow_execution_completed_event_attributes.result.payloads,
            ]
            if payload.metadata["encoding"] == ENCODING
        }
        assert used == {b"k1", b"k2"}


async def test_a_run_waits_for_a_key_that_is_not_there_yet(
    temporal_address: str, internet: Internet, tmp_path: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The API has a new key already, and the worker has not."""
    monkeypatch.setattr(keys_module, "AGAIN", 0.0)
    document = "document: {dsl: '1.0.3', namespace: tests, name: early, version: '1.0.0'}\ndo: [{a: {set: {b: 1}}}]\n"
    ahead = tmp_path / "ahead"
    ahead.mkdir()
    (ahead / "k1").write_text((keys / "k1").read_text())
    (ahead / "k2").write_text(new_key())
    (ahead / "current").write_text("k2")
    async with (
        runner(temporal_address, internet, tmp_path / "store", keys) as behind,
        runner(temporal_address, internet, tmp_path / "store", ahead) as other,
    ):
        other.runtime._queue = behind.queue
        run_id, bundle = f"early-{uuid.uuid4()}", Bundle.of(dsl.parse(document), {})
        await other.client.start_workflow(
            "early", args=[{"given": 1}, bundle], id=run_id, task_queue=behind.queue, task_timeout=SOON
        )
        await asyncio.sleep(1.5)
        assert (await other.runtime.describe(run_id)).status == "running"
        (keys / "k2").write_text((ahead / "k2").read_text())
        (keys / "current").write_text("k2")
        assert (await other.runtime.wait(run_id, 30)).output == {"b": 1}


async def begun(run: TemporalRunner, document: str, input: object) -> str:
    """The id of a run that stands at its first state."""
    bundle = Bundle.of(dsl.parse(document), {})
    name = bundle.graph().name
    run_id = f"{name.name}-{uuid.uuid4()}"
    await run.runtime.start(Start(run_id, name, bundle, input))
    while (await run.runtime.describe(run_id)).status != "waiting":  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    return run_id


async def test_who_has_no_keys_is_told_so_and_still_lists_the_runs(
    temporal_address: str, internet: Internet, tmp_path: Path, keys: Path
) -> None:
    document = "document: {dsl: '1.0.3', namespace: tests, name: sealed, version: '1.0.0'}\ndo: [{a: {wait: PT1H}}]\n"
    async with runner(temporal_address, internet, tmp_path / "store", keys) as run:
        run_id = await begun(run, document, {"given": HIDDEN})
        keyless = TemporalRuntime(
            await connect(temporal_address, "default"), run.queue, search_attributes=False
        )
        with pytest.raises(
            Unavailable, match="the key 'k1', and this process has no keys: set WFE_PAYLOAD_KEYS"
        ):
            await keyless.describe(run_id)
        async with asyncio.timeout(20):
            while not (listed := (await keyless.list(RunQuery())).runs):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert [(each.id, each.workflow.name) for each in listed] == [(run_id, "sealed")]
        await keyless.list(RunQuery(parked=True))
        [sealed] = [run async for run in keyless._client.list_workflows(f"WorkflowId = '{run_id}'")]
        looked_at = await keyless._looked_at_one(sealed)  # as a list of parked runs does
        assert looked_at is not None
        assert (looked_at.id, looked_at.workflow.name) == (run_id, "sealed")
        await keyless.terminate(run_id, "the test is over")
