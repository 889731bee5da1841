"""Runs whose values are too large for Temporal, on a real server: what is in its file, and what comes back.

`WFE_SIZE=full .venv/bin/python -m pytest -n 0 -s tests/payloads/test_runs.py` does it with 40 MB, and prints the peak
of memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from temporalio.client import WorkflowHandle

from tests.payloads.test_stores import ACCESS, SECRET, s3_server
from tests.running import TemporalRunner, temporal_runner
from tests.standins.internet import Internet
from tests.standins.server import Server, serve
from tests.temporal_server import server_in_thread
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal.debugging import debugged
from workflow_engine.runtimes.temporal.histories import parsed, sizes_in
from workflow_engine.runtimes.temporal.payloads.keys import new_key
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.server import DevServer, ServerOptions

pytestmark = pytest.mark.temporal
FULL = os.environ.get("WFE_SIZE") == "full"
SIZE = 40_000_000 if FULL else 10_000_000
WORD = "what-nobody-may-read "
LARGEST = 4 * SIZE


def text(size: int, word: str = WORD) -> str:
    return word * (size // len(word))


def service() -> web.Application:
    """Gives large answers, and says how much it was sent."""
    app = web.Application(client_max_size=LARGEST)

    async def large(request: web.Request) -> web.Response:
        await asyncio.sleep(float(request.query.get("after", "0")))
        return web.json_response({"text": text(int(request.match_info["size"]))})

    async def size(request: web.Request) -> web.Response:
        return web.json_response({"bytes": len(await request.read())})

    app.router.add_get("/large/{size}", large)
    app.router.add_post("/size", size)
    return app


@pytest.fixture
async def heavy() -> AsyncIterator[Server]:
    async with serve(service()) as server:
        yield server


@pytest.fixture(scope="module")
def kept_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[DevServer, Path]]:
    """A server that keeps what it has in a file, to look into."""
    file = tmp_path_factory.mktemp("temporal") / "temporal.db"
    with server_in_thread(ServerOptions(headless=True, log_level="error", data_file=file)) as server:
        yield server, file


@contextlib.asynccontextmanager
async def runner(
    address: str, net: Internet, store: Path, keys: Path | None = None, *, queue: str = "", **options: Any
) -> AsyncIterator[TemporalRunner]:
    place = None if keys is None else keys.as_uri()
    async with (
        open_payloads(store=store.as_uri(), keys=place, **{"largest": LARGEST, **options}) as payloads,
        temporal_runner(address, net, payloads=payloads, queue=queue) as run,
    ):
        yield run


def written(file: Path) -> bytes:
    """What a server has written, its journal included."""
    return b"".join(part.read_bytes() for part in file.parent.glob(file.name + "*"))


def stored(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and path.name != "wfe-payloads"]


async def history_bytes(handle: WorkflowHandle[Any, Any]) -> int:
    return sum([event.ByteSize() async for event in handle.fetch_history_events()])


HEAVY = """
document: {dsl: '1.0.3', namespace: tests, name: heavy, version: '1.0.0'}
do:
  - fetch:
      call: http
      with: {method: get, endpoint: 'URL/large/SIZE'}
      export: {as: '${ {kept: .text, given: $workflow.input.text} }'}
  - hand:
      call: http
      with: {method: post, endpoint: 'URL/size', body: '${ $context }'}
  - again:
      call: http
      with: {method: post, endpoint: 'URL/size', body: '${ $context }'}
  - answer:
      set: {sent: '${ .bytes }', text: '${ $context.kept }'}
"""


@pytest.mark.timeout(900 if FULL else 120)
@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted"])
async def test_input_answer_context_and_output_of_ten_megabytes(
    sealed: bool, kept_server: tuple[DevServer, Path], internet: Internet, heavy: Server, tmp_path: Path
) -> None:
    size = SIZE if sealed or FULL else SIZE // 5
    server, file = kept_server
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "k1").write_text(new_key())
    word = f"read-by-nobody-{'sealed' if sealed else 'plain'} "
    async with runner(server.address, internet, tmp_path / "store", keys if sealed else None) as run:
        document = HEAVY.replace("URL", heavy.url).replace("SIZE", str(size))
        bundle, run_id = Bundle.of(dsl.parse(document), {}), f"heavy-{uuid.uuid4()}"
        given = {"text": text(size, word), "name": word * 3}
        await run.runtime.start(Start(run_id, bundle.graph().name, bundle, given))
        ended = await run.runtime.wait(run_id, 500 if FULL else 60)
        assert ended.status == "completed", ended.error
        assert ended.output["text"] == text(size)
        assert ended.output["sent"] > 1.99 * size
        assert await history_bytes(run.client.get_workflow_handle(run_id)) < 20_000
    sizes = sorted(path.stat().st_size for path in stored(tmp_path / "store"))
    assert len(sizes) == 4, "the input, the answer, what is sent (twice, and once here), the output"
    assert word.encode() not in written(file)
    found = any(word.encode() in path.read_bytes()[:1000] for path in stored(tmp_path / "store"))
    assert found is not sealed
    if FULL:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(
            f"\n{'encrypted' if sealed else 'plain'}: values of {size:,} bytes, peak of memory {peak:,} MiB"
        )


IGNORED = {
    "restored by 1.0": """
document: {dsl: '1.0.3', namespace: tests, name: ignored, version: '1.0.0'}
do:
  - fetch:
      call: http
      with: {method: get, endpoint: 'URL/large/300000'}
      output: {as: $input}
      export: {as: '${ {kept: (.number + 1)} }'}
  - give: {set: {number: '${ .number }', kept: '${ $context.kept }', note: '${ .note | length }'}}
""",
    "made of something else by 1.0": """
document: {dsl: '1.0.3', namespace: tests, name: ignored, version: '1.0.0'}
do:
  - fetch:
      call: http
      with: {method: get, endpoint: 'URL/large/300000'}
      output: {as: {number: '${ $input.number }', kept: 8, note: '${ $workflow.input.note }'}}
  - give: {set: {number: '${ .number }', kept: '${ .kept }', note: '${ .note | length }'}}
""",
    "not used by 0.8": """
id: ignored
specVersion: '0.8'
version: '1.0'
functions: [{name: fetch, operation: 'rest:get:URL/large/300000', type: custom}]
states:
  - name: Fetch
    type: operation
    actions: [{functionRef: fetch, actionDataFilter: {useResults: false}}]
    stateDataFilter: {output: '${ {number, kept: (.number + 1), note: (.note | length)} }'}
    end: true
""",
}


@pytest.mark.parametrize("document", IGNORED.values(), ids=IGNORED)
async def test_an_answer_that_the_run_does_not_look_at_stays_where_it_was_given(
    document: str, temporal_address: str, internet: Internet, heavy: Server, tmp_path: Path
) -> None:
    async with runner(temporal_address, internet, tmp_path / "store") as run:
        given = {"number": 7, "note": "longer than filters may need to be told" * 50}
        ended = await run(document.replace("URL", heavy.url), given)
    assert (ended.status, ended.output) == ("completed", {"number": 7, "kept": 8, "note": 39 * 50}), ended
    assert len(heavy.requests) == 1
    assert not stored(tmp_path / "store")


BRANCH = """\
        - branch-NUMBER: {{call: http, with: {{method: post, endpoint: 'URL/size', body: '${{ $workflow.input }}'}}}}
"""


async def test_many_values_that_are_not_large_each_fit_one_message_together(
    temporal_address: str, internet: Internet, heavy: Server, tmp_path: Path
) -> None:
    """45 branches call with 100 kB each in one workflow task: 4.5 MB, and the server takes 4."""
    branches = "".join(BRANCH.format().replace("NUMBER", str(n)).replace("URL", heavy.url) for n in range(45))
    document = (
        "document: {dsl: '1.0.3', namespace: tests, name: many, version: '1.0.0'}\n"
        f"do:\n  - all:\n      fork:\n        branches:\n{branches.replace('        -', '          -')}"
    )
    async with runner(temporal_address, internet, tmp_path / "store", threshold=128 * 1024) as run:
        ended = await run(document, {"text": text(100_000)})
    assert ended.status == "completed", ended.error
    assert len(ended.output) == 45


async def test_a_result_that_is_too_large_is_a_fault_that_can_be_caught(
    temporal_address: str, internet: Internet, heavy: Server, tmp_path: Path
) -> None:
    document = f"""
document: {{dsl: '1.0.3', namespace: tests, name: too-large, version: '1.0.0'}}
do:
  - attempt:
      try:
        - fetch: {{call: http, with: {{method: get, endpoint: '{heavy.url}/large/900000', output: content}}}}
      catch:
        errors: {{with: {{status: 413}}}}
        do:
          - told: {{set: {{told: '${{ $error.detail }}'}}}}
"""
    async with runner(temporal_address, internet, tmp_path / "store", largest=1_000_000) as run:
        ended = await run(document, {})
        assert ended.status == "completed"
        assert len(ended.output["text"]) > 800_000
        run.egress.max_response = 10_000_000
        ended = await run(document.replace("900000", "1100000"), {})
        assert ended.status == "completed", ended.error
        assert "at most 1,000,000 may travel (WFE_PAYLOAD_LARGEST)" in ended.output["told"]


WAITS = """
document: {dsl: '1.0.3', namespace: tests, name: waits, version: '1.0.0'}
do:
  - fetch: {call: http, with: {method: get, endpoint: 'URL/large/300000?after=0.5'}}
  - hand: {call: http, with: {method: post, endpoint: 'URL/size', body: '${ $workflow.input }'}}
  - rest: {wait: {milliseconds: 300}}
  - answer: {set: {sent: '${ .bytes }', given: '${ $workflow.input.text | length }'}}
"""


async def test_a_run_waits_for_a_store_that_is_gone_and_goes_on(
    temporal_address: str, internet: Internet, heavy: Server, tmp_path: Path
) -> None:
    """The folder is taken away after the start, before the answer is there; a call is made once for all that."""
    store, away = tmp_path / "store", tmp_path / "away"
    async with runner(temporal_address, internet, store) as run:
        started = asyncio.create_task(run(WAITS.replace("URL", heavy.url), {"text": text(400_000)}))
        while not heavy.requests:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        store.rename(away)
        await asyncio.sleep(3)
        assert not started.done()
        away.rename(store)
        ended = await started
    assert (ended.status, ended.output) == ("completed", {"sent": 399_987 + 11, "given": 399_987}), ended
    assert [request.target[:6] for request in heavy.requests] == ["/large", "/size"]


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "encrypted"])
async def test_temporal_is_told_how_large_the_values_in_the_store_are(
    sealed: bool, temporal_address: str, internet: Internet, tmp_path: Path
) -> None:
    """What `temporal workflow describe` shows of a run, and each claim in its history."""
    size = 300_000
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "k1").write_text(new_key())
    document = """
document: {dsl: '1.0.3', namespace: tests, name: passes, version: '1.0.0'}
do: [{pass: {set: {text: '${ .text }'}}}]
"""
    async with runner(temporal_address, internet, tmp_path / "store", keys if sealed else None) as run:
        ended = await run(document, {"text": text(size)})
        assert ended.status == "completed", ended.error
        handle = run.client.get_workflow_handle(ended.run_id)
        info = (await handle.describe()).raw_description.workflow_execution_info
        history = [event async for event in handle.fetch_history_events()]
    began, end = history[0].workflow_execution_started_event_attributes, history[-1]
    claims = [*began.input.payloads, *end.workflow_execution_completed_event_attributes.result.payloads]
    sizes = [each.size_bytes for payload in claims for each in payload.external_payloads]
    assert len(sizes) == 2
    assert all(size <= each < 1.1 * size for each in sizes)
    assert info.external_payload_count == 2
    assert info.external_payload_size_bytes == sum(sizes)


LONG = """
document: {dsl: '1.0.3', namespace: tests, name: heavy-and-long, version: '1.0.0'}
do:
  - fetch:
      call: http
      with: {method: get, endpoint: 'URL/large/SIZE'}
      export: {as: '${ {kept: .text} }'}
  - all:
      for: {each: number, in: '${ [range(6)] }'}
      do:
        - hand: {call: http, with: {method: post, endpoint: 'URL/size', body: '${ {number: $number} }'}}
  - answer:
      set: {text: '${ $context.kept }', given: '${ $workflow.input.text | length }'}
"""


async def test_a_heavy_run_goes_on_in_a_new_history(
    temporal_address: str, internet: Internet, heavy: Server, tmp_path: Path
) -> None:
    """Its position has the input and the context, each too large for Temporal."""
    size = SIZE // 3
    async with runner(temporal_address, internet, tmp_path / "store") as run:
        run.limits = Limits(events=10)
        ended = await run(LONG.replace("URL", heavy.url).replace("SIZE", str(size)), {"text": text(size)})
        assert ended.status == "completed", ended.error
        assert ended.output == {"text": text(size), "given": len(text(size))}
        description = await run.client.get_workflow_handle(ended.run_id).describe()
        first = description.raw_description.workflow_execution_info.first_run_id

        async def histories() -> list[str]:
            query = f"WorkflowId = '{ended.run_id}'"
            return [execution.run_id async for execution in run.client.list_workflows(query)]

        async with asyncio.timeout(20):  # lists are a moment behind
            while len(listed := await histories()) <= 2 or first not in listed:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    # The input, the answer, the text of it that is kept, and the output: no more with each history.
    assert sum(path.stat().st_size for path in stored(tmp_path / "store")) < 4.1 * size
    assert len([1 for request in heavy.requests if request.target == "/size"]) == 6


LISTENS = """
document: {dsl: '1.0.3', namespace: tests, name: heavy-wait, version: '1.0.0'}
do:
  - fetch:
      call: http
      with: {method: get, endpoint: 'URL/large/SIZE'}
      export: {as: '${ {kept: .text} }'}
  - heard: {listen: {to: {one: {with: {type: com.example.heavy, source: 'https://example.com/SIZE'}}}}}
  - answer: {set: {text: '${ $context.kept }', heard: '${ .[0].text | length }'}}
"""


async def test_another_worker_goes_on_with_a_heavy_run(
    temporal_address: str, internet: Internet, heavy: Server, tmp_path: Path
) -> None:
    """It replays the history, and has the values from the store; the event is large, too."""
    document = LISTENS.replace("URL", heavy.url).replace("SIZE", str(SIZE // 3))
    queue = f"heavy-{uuid.uuid4()}"
    async with runner(temporal_address, internet, tmp_path / "store", queue=queue) as first:
        bundle = Bundle.of(dsl.parse(document), {})
        run_id = f"heavy-wait-{uuid.uuid4()}"
        await first.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))
        while (await first.runtime.describe(run_id)).status != "waiting":  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    async with runner(temporal_address, internet, tmp_path / "store", queue=queue) as second:
        event = {
            "specversion": "1.0",
            "id": run_id,
            "source": "/x",
            "type": "x",
            "data": {"text": text(SIZE // 3)},
        }
        message = {"seq": 0, "event": event, "index": 0, "complete": True}
        assert await second.runtime.deliver(run_id, "/do/1/heard", message)
        ended = await second.runtime.wait(run_id, 30)
        assert ended.status == "completed", ended.error
        assert ended.output == {"text": text(SIZE // 3), "heard": len(text(SIZE // 3))}
    assert [request.target[:6] for request in heavy.requests] == ["/large"]


async def test_a_heavy_run_with_a_bucket(
    temporal_address: str, internet: Internet, heavy: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    async with (
        s3_server(tmp_path) as endpoint,
        open_payloads(store=f"s3://bucket/runs?endpoint={endpoint}") as payloads,
        temporal_runner(temporal_address, internet, payloads=payloads) as run,
    ):
        ended = await run(WAITS.replace("URL", heavy.url), {"text": text(400_000)})
        assert ended.status == "completed", ended.error
        assert ended.output["given"] == len(text(400_000))
    assert len(stored(tmp_path / "bucket" / "runs" / "default")) == 3


async def test_what_a_run_cost_is_what_the_server_keeps_and_not_what_is_in_the_store(
    temporal_address: str, internet: Internet, tmp_path: Path
) -> None:
    document = "document: {dsl: '1.0.3', namespace: tests, name: cost, version: '1.0.0'}\ndo: [{a: {wait: PT0.01S}}]\n"
    async with runner(temporal_address, internet, tmp_path / "store", threshold=20_000) as run:
        ended = await run(document, {"text": text(50_000)})
        content = await run.runtime.history(ended.run_id, None)
        kept = await history_bytes(run.client.get_workflow_handle(ended.run_id))
    told = await debugged(parsed(content), sizes=sizes_in(content))
    assert told["bytes"] == kept < 20_000
    assert told["bytes"] == sum(state["bytes"] for state in told["states"])  # type: ignore[index,union-attr,call-overload,misc]
    assert sum(event.ByteSize() for event in parsed(content).events) > 100_000  # input and output
