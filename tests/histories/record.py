"""Record the histories of `documents.RUNS` from real Temporal: ``python -m tests.histories.record [name …]``.

A history that is there stays as it is unless it is named: each is a promise to runs that are under way. Names of
machines are left out, and so is what no replay looks at.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory

from tests.histories.documents import RUNS, Recorded
from tests.running import TemporalRunner, temporal_runner
from tests.standins.activities import somebody_else
from tests.standins.greeter import greeter
from tests.standins.internet import internet_thread
from tests.temporal_server import server_in_thread
from workflow_engine.calls.custom import FUNCTIONS
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.server import ServerOptions

FOLDER = Path(__file__).parent


def path(name: str) -> Path:
    return FOLDER / f"{name}.json"


async def record(runner: TemporalRunner, name: str, wanted: Recorded) -> str:
    """The history of one run, as JSON."""
    runner.limits = Limits(events=wanted.longest) if wanted.longest else None
    ended = await runner(
        wanted.text,
        wanted.input,
        events=wanted.events,
        others=wanted.others,
        resources=wanted.resources,
        commands=wanted.commands,
    )
    assert ended.status == wanted.status, (name, ended)
    id = ended.run_id + wanted.child
    await runner.runtime.wait(id, 30)
    events = await runner.history(id)
    if wanted.first:
        one = runner.client.get_workflow_handle(id, run_id=await first_execution(runner, id))
        events = [*(await one.fetch_history()).events]
    elif wanted.longest:
        first = await runner.client.get_workflow_handle(
            id, run_id=await first_execution(runner, id)
        ).fetch_history()
        second = first.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        events = [*(await runner.client.get_workflow_handle(id, run_id=second).fetch_history()).events]
    history = json.loads(WorkflowHistory(id, events).to_json())
    return json.dumps(plain({"id": id, **history}), indent=1) + "\n"


async def first_execution(runner: TemporalRunner, id: str) -> str:
    description = await runner.client.get_workflow_handle(id).describe()
    return str(description.raw_description.workflow_execution_info.first_run_id)


def plain(value: Any) -> Any:
    """*value* without what tells of the machine that recorded it."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items() if key not in {"identity", "stackTrace"}}
    return value


async def main(names: list[str]) -> None:
    FUNCTIONS.register("history.Sums::add", lambda arguments, context: arguments["a"] + arguments["b"])
    wanted = names or [name for name in RUNS if not path(name).exists()]
    with (
        tempfile.TemporaryDirectory() as folder,
        internet_thread() as internet,
        server_in_thread(ServerOptions(headless=True)) as server,
    ):
        async with (
            temporal_runner(server.address, internet, interim=f"sqlite:///{folder}/interim.db") as runner,
            greeter(port=5011),
            somebody_else(server.address),
        ):
            for name in wanted:
                path(name).write_text(await record(runner, name, RUNS[name]))
                print(f"recorded {name}: {path(name).stat().st_size:,} bytes")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main(sys.argv[1:]))
