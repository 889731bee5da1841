"""``wfe demo``: an order goes through everything that ``wfe dev`` starts, and each step is told."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.options import forget_cluster
from workflow_engine.cli.terminal import FAILED, FINE, INTERRUPTED, result, say
from workflow_engine.errors import Unavailable
from workflow_engine.settings import Settings

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi
    from workflow_engine.cli.stack import Stack

SERVICES = ("orderapp", "paymentapp", "expressapp")
CHANNELS = ("order/create", "payment/create", "express/create")
WAITING = "store-order-1.0"
STARTED = "store-order-0.8"
PATIENCE = 30.0
"""Seconds that one step may take; each takes far less than one."""
_POLL_EVERY = 0.05


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe demo`` takes."""
    parser.description = (
        "Watch an order go through the engine: starts Temporal, the API and a worker in a temporary folder, registers\n"
        "three services, deploys an order workflow in both DSLs, publishes one event, and shows what came of it.\n"
        "Then everything is stopped and removed again."
    )
    parser.add_argument("--keep", action="store_true", help="leave it running until Ctrl-C, to look around")
    parser.set_defaults(work=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    return asyncio.run(_supervise(keep=arguments.keep))


async def _supervise(*, keep: bool) -> int:
    from workflow_engine.cli.stack import Stack
    from workflow_engine.cli.supervisor import Supervisor
    from workflow_engine.processes.ports import free_ports

    forget_cluster()
    began = time.monotonic()
    with _temporary_folder() as folder:
        port, temporal_port, ui_port = free_ports(3)
        stack = Stack.of(Settings(data=folder, port=port), temporal_port=temporal_port, ui_port=ui_port)
        log = io.StringIO()
        supervisor = Supervisor(stack.children(), folder, out=log)
        story = Story(stack)

        async def ready() -> None:
            result(f"   ready after {time.monotonic() - began:.1f} s")
            result(f"   API {stack.urls['docs']}, Temporal UI {stack.urls['temporal_ui']}")
            await story.tell()
            result(f"\nAll this took {time.monotonic() - began:.1f} s.")
            if keep:
                _invite(stack)
            else:
                supervisor.stop()

        result(f"Starting a Temporal server, the API and a worker, in {folder}")
        code = FAILED
        try:
            code = await supervisor.run(ready)
        finally:
            if not story.good and (code or story.failed):
                say(log.getvalue().rstrip())
        if code != FINE:
            return code
        if story.good and not keep:
            result(
                "Everything is stopped. `wfe demo --keep` leaves it running; `wfe dev` is for your own workflows."
            )
        if story.good:
            return FINE
        return FAILED if story.failed else INTERRUPTED


@contextlib.contextmanager
def _temporary_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="wfe-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _invite(stack: Stack) -> None:
    result("Look around:")
    for title, name in (("Temporal UI", "temporal_ui"), ("API docs", "docs"), ("API", "api")):
        result(f"   {title:<12} {stack.urls[name]}")
    result(
        f"   export WFE_API_URL={stack.urls['api']}    # then: wfe runs list, wfe events list, wfe catalog list"
    )
    say("Ctrl-C stops everything.")


def examples() -> Path:
    """The folder of the example workflows: in the package when it was installed, else in the checkout."""
    here = Path(__file__).absolute()
    for folder in (here.parent / "examples", here.parents[2] / "examples" / "workflows"):
        if (folder / WAITING).is_dir():
            return folder
    raise Unavailable("the example workflows are missing from this installation; install wfe again")


class Story:
    """What is done and told once all runs: *good* at the end when every step came out as it should."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._folder = examples()
        self.good = False
        self.failed = False

    async def tell(self) -> None:
        """Tell it; a step that does not come out as it should leaves *failed* set and ends the story."""
        from workflow_engine.api.client import HttpApi

        try:
            async with HttpApi(self._stack.settings.api_url) as api:
                self.good = await self._order(api)
        except TimeoutError:
            raise Unavailable(f"the last step took longer than {PATIENCE:g} s") from None
        finally:
            self.failed = not self.good

    async def _order(self, api: HttpApi) -> bool:
        await self._register()
        names = await self._deploy(api)
        waiting = await self._start(api, names[WAITING])
        event = self._event()
        started = await self._publish(api, event, waiting, names[STARTED])
        runs = [await api.run(id, wait=PATIENCE) for id in (waiting, started)]
        completed = self._tell_runs(runs)
        return await self._tell_messages(api, event["data"], len(runs)) and completed

    async def _register(self) -> None:
        from catalog.client import HttpCatalog

        result("1. Three services say in AsyncAPI documents what they can be sent; they go to the catalog.")
        async with HttpCatalog(self._stack.settings.api_url) as catalog:
            for service in SERVICES:
                text = (self._folder / WAITING / "catalog" / f"{service}.yaml").read_text()
                spec = await catalog.add(service, text)
                result(f"   {spec.name} {spec.version}, {spec.operation_count} operations")

    async def _deploy(self, api: HttpApi) -> dict[str, str]:
        result("2. The order workflow is deployed, in both forms of the Serverless Workflow DSL.")
        names = {}
        for example, does in ((WAITING, "waits for an order"), (STARTED, "is started by an order")):
            file = self._folder / example / "workflow.yaml"
            deployed = await api.deploy(file.read_text(), name=str(file))
            names[example] = f"{deployed['namespace']}/{deployed['name']}/{deployed['version']}"
            result(f"   {names[example]:<24} DSL {deployed['dsl']}, {does}")
        return names

    async def _start(self, api: HttpApi, name: str) -> str:
        namespace, local, version = name.split("/")
        run: dict[str, Any] = await api.start(namespace, local, version, {})
        async with asyncio.timeout(PATIENCE):
            while run["status"] in ("pending", "running"):
                await asyncio.sleep(_POLL_EVERY)
                run = await api.run(str(run["id"]))
        doing = ", ".join(f"{state['name']} is {state['doing']}" for state in run["states"])
        result(f"3. A run of {name} is started; it is {run['status']} now: {doing}.")
        result(f"   {run['id']}")
        return str(run["id"])

    def _event(self) -> dict[str, Any]:
        [event] = json.loads((self._folder / WAITING / "events.json").read_text())
        return dict(event)

    async def _publish(self, api: HttpApi, event: dict[str, Any], waiting: str, name: str) -> str:
        """Publish *event*; the id of the run that it starts. It must reach the run *waiting* too."""
        result(
            f"4. One event is published: {event['type']} from {event['source']}, {json.dumps(event['data'])}."
        )
        await api.publish("default", [event])
        async with asyncio.timeout(PATIENCE):
            while True:
                reached = [
                    attempt["reference"]
                    for trace in await api.trace(event["id"], channel="default")
                    for recipient in _objects(trace["recipients"])
                    for attempt in _objects(recipient["attempts"])
                    if attempt["reference"]
                ]
                started = [str(run) for run in reached if run != waiting]
                if started and waiting in reached:
                    break
                await asyncio.sleep(_POLL_EVERY)
        result(f"   It reached the run that waits, and started one of {name}:")
        result(f"   {started[0]}")
        return started[0]

    def _tell_runs(self, runs: list[dict[str, Any]]) -> bool:
        result("5. Both runs go through: announce the order, have it paid, have it shipped.")
        for run in runs:
            result(f"   {run['id']}: {run['status']}, output {json.dumps(run['output'])}")
            if run["error"]:
                result(f"   {json.dumps(run['error'])}")
        return all(run["status"] == "completed" for run in runs)

    async def _tell_messages(self, api: HttpApi, data: object, expected: int) -> bool:
        result("6. Each service has got its message from each run, checked against its AsyncAPI document.")
        good = True
        for channel in CHANNELS:
            page: dict[str, Any] = await api.events(channel=channel)
            events = [found["event"] for found in page["events"]]
            result(f"   channel {channel}: {len(events)} messages")
            for event in events:
                result(f"      {event['type']} from {event['source']}: {json.dumps(event['data'])}")
            good = good and len(events) == expected and all(event["data"] == data for event in events)
        return good


def _objects(value: object) -> list[dict[str, Any]]:
    return value if isinstance(value, list) else []
