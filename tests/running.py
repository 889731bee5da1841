"""Run documents on either runtime: the fixture `run` gives the same answers from both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from temporalio.client import Client
from temporalio.service import RPCError

from tests.standins.activities import LOCAL
from tests.standins.internet import Internet, internet_thread
from tests.standins.issuer import APP_SECRET
from workflow_engine import dsl, filters
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.calls.context import ProcessBounds
from workflow_engine.calls.reach import UNLIMITED, Reaches
from workflow_engine.calls.secrets import EnvironmentSecrets
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import NotFound
from workflow_engine.filters import read
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.effects import Progress, SubRun
from workflow_engine.interpreter.lifecycle import Audience, correlation_keys
from workflow_engine.interpreter.listening import triggering
from workflow_engine.interpreter.position import Frame
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.local_calls import real_calls, real_evaluations
from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.interim.opening import open_interim
from workflow_engine.runtimes.temporal.interim.results import Interim
from workflow_engine.runtimes.temporal.payloads.travelling import Payloads
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.worker import GRACEFUL, worker
from workflow_engine.values import Json, JsonObject

KEY = "s3cr3t/key+of=the service"
PASSWORD = 'pass: wörd "quoted"'
_KEYCLOAK = {
    "authority": "http://keycloak/realms/fake-authority",
    "endpoints": {"token": "/auth/token"},
    "grant": "client_credentials",
    "client": {"id": "workflow-runtime-id", "secret": "workflow-runtime-secret"},
}

PLANTED = {
    "WFE_SECRET_KEY": KEY,
    "WFE_SECRET_LOGIN": json.dumps({"username": "countess", "password": PASSWORD}),
    "WFE_SECRET_mySecret": json.dumps(_KEYCLOAK),
    "WFE_SECRET_OAUTH": json.dumps(
        {
            "authority": "https://issuer.example",
            "grantType": "clientCredentials",
            "clientId": "app",
            "clientSecret": APP_SECRET,
        }
    ),
    "WFE_SECRET_MY_CLIENT": json.dumps(
        {
            "authority": "https://issuer.example",
            "grant": "client_credentials",
            "client": {"id": "app", "secret": APP_SECRET},
        }
    ),
}
"""The secrets that there are, on both runtimes."""
PROCESSES = frozenset({"script", "shell", "container", "mcp"})
"""The processes that workflows may start, on both runtimes."""
BOUNDS = ProcessBounds(seconds=60, memory=256 * 1024 * 1024, processes=16, output=100_000)


@dataclass
class Ended:
    status: str
    output: Json = None
    error: JsonObject | None = None
    progress: list[Progress] = field(default_factory=list)
    run_id: str = ""
    channels: dict[str, list[JsonObject]] = field(default_factory=dict)
    told: list[JsonObject] = field(default_factory=list)

    @property
    def order(self) -> list[str]:
        """The names of the states, in the order in which they started."""
        return [step.name for step in self.progress if step.phase == "started"]


class LocalRunner:
    name = "local"

    def __init__(self, egress: Egress, reach: Reaches = UNLIMITED) -> None:
        self.egress = egress
        secrets = EnvironmentSecrets(PLANTED)
        self._perform = real_calls(egress, CALLERS, secrets, PROCESSES, BOUNDS, LOCAL, reach)
        self._evaluate = real_evaluations(egress, EnvironmentSecrets(PLANTED), reach)

    async def __call__(
        self,
        text: str,
        input: Json = None,
        *,
        events: Sequence[JsonObject] = (),
        resources: Mapping[str, Json] | None = None,
        others: Sequence[str] = (),
        audience: Audience | None = None,
        commands: Sequence[tuple[Any, ...]] = (),
    ) -> Ended:
        graph = dsl.compile(dsl.parse(text), resources or {})
        deployed = [Bundle.of(dsl.parse(other), resources or {}) for other in others]

        async def find(sub_run: SubRun) -> StateGraph:
            return named(deployed, sub_run.namespace, sub_run.name, sub_run.version).graph()

        run_id = f"{graph.name.name}-{uuid.uuid4()}"
        local = LocalRun(
            graph,
            run_id=run_id,
            perform=self._perform,
            evaluate=self._evaluate,
            find=find,
            audience=audience,
        )

        async def follow() -> None:
            for name, command, *given in commands:
                while local.run is None or name not in map(named_last, local.run.root.leaves()):
                    await local.scheduler.sleep(0.01)
                getattr(local.control, command)(*given)

        if commands:
            local.scheduler.spawn(follow())
        outcome = await local.execute({} if input is None else input, events)
        error = None if outcome.error is None else outcome.error.to_json()
        told = local.channels.get(audience.channel, []) if audience else []
        return Ended(
            outcome.status, outcome.output, error, local.progress, local.run_id, local.channels, told
        )


class TemporalRunner:
    name = "temporal"

    def __init__(self, client: Client, queue: str, router: Any, egress: Egress) -> None:
        self.client, self.egress = client, egress
        self.queue = queue
        self.router = router
        self.runtime = TemporalRuntime(client, queue, search_attributes=False)
        self.deployed: list[Bundle] = []
        self.limits: Limits | None = None

    async def find(self, namespace: str | None, name: str, version: str | None) -> Bundle:
        return named(self.deployed, namespace, name, version)

    async def __call__(
        self,
        text: str,
        input: Json = None,
        *,
        events: Sequence[JsonObject] = (),
        resources: Mapping[str, Json] | None = None,
        others: Sequence[str] = (),
        audience: Audience | None = None,
        commands: Sequence[tuple[Any, ...]] = (),
    ) -> Ended:
        document = dsl.parse(text)
        bundle = Bundle.of(document, resources or {})
        graph = bundle.graph()
        self.deployed = [Bundle.of(dsl.parse(other), resources or {}) for other in others]
        run_id = f"{graph.name.name}-{uuid.uuid4()}".replace(" ", "-")
        given: Json = {} if input is None else input
        seeds, events = triggered(graph, events)
        correlated = None
        if seeds and graph.trigger is not None and graph.trigger.state is None:
            correlated = correlation_keys(triggering(graph.trigger), seeds)
            given, seeds = [read(seed, graph.trigger.read) for seed in seeds], []
        runtime = TemporalRuntime(
            self.client, self.queue, search_attributes=False, audience=audience, limits=self.limits
        )
        await runtime.start(Start(run_id, graph.name, bundle, given, seeds=seeds, correlated=correlated))
        if events:
            # An identity of their own, for the router is shared and takes an event once.
            await self.router.publish(
                "default", [{**event, "id": f"{event['id']}-{uuid.uuid4()}"} for event in events]
            )
        for name, command, *given_with in commands:
            while name not in [state.name for state in (await runtime.describe(run_id)).states]:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await getattr(runtime, command)(run_id, *given_with)
        run = await self.runtime.wait(run_id, 30)
        recent = await self._recent(run_id)
        progress = [
            Progress(step["phase"], step["state"], step["name"], datetime.fromtimestamp(step["at"], UTC))
            for step in recent
        ]
        told = await self.told(audience.channel, run_id) if audience else []
        return Ended(run.status, run.output, run.error, progress, run_id, told=told)

    async def _recent(self, run_id: str) -> Any:
        """What the run did last. A query that the server has lost on its way to the worker is asked again, sooner than
        the SDK does.
        """
        handle = self.client.get_workflow_handle(run_id)
        for _ in range(5):
            with contextlib.suppress(RPCError):
                return await handle.query("recent", rpc_timeout=timedelta(seconds=6))
        return await handle.query("recent")

    async def told(self, channel: str, run_id: str) -> list[JsonObject]:
        """The lifecycle events of a run and of those that it ran, oldest first."""
        try:
            page = await self.router.events(channel, limit=1000)
        except NotFound:  # nothing was ever published there
            return []
        told = [entry["event"] for entry in page.to_json()["events"]]
        return [event for event in reversed(told) if str(event["id"]).startswith(run_id)]

    async def history(self, run_id: str) -> list[Any]:
        handle = self.client.get_workflow_handle(run_id)
        return [event async for event in handle.fetch_history_events()]


def named_last(frame: Frame) -> str:
    """The name of the state at which *frame* stands: the last part of its pointer."""
    return str(frame.state).rpartition("/")[2]


def named(deployed: Sequence[Bundle], namespace: str | None, name: str, version: str | None) -> Bundle:
    """The last of the *deployed* workflows that a reference fits."""
    for bundle in reversed(deployed):
        known = bundle.graph().name
        if known.name == name and namespace in (None, known.namespace) and version in (None, known.version):
            return bundle
    raise NotFound("workflow", name)


def triggered(
    graph: StateGraph, events: Sequence[JsonObject]
) -> tuple[list[JsonObject], Sequence[JsonObject]]:
    """The events that the trigger of *graph* takes, and those that are left."""
    if graph.trigger is None:
        return [], events
    machine = filters.machine(triggering(graph.trigger))
    state, taken, given = machine.initial(), [], []
    for number, event in enumerate(events):
        accepted = machine.accept(state, event)
        if accepted is not None:
            state = accepted.state
            taken.append(number)
            given += [event] if accepted.index is not None else []
            if accepted.complete:
                left = [event for position, event in enumerate(events) if position not in taken]
                return given, left
    return [], events


@pytest.fixture(scope="session")
def internet() -> Any:
    with internet_thread() as net:
        yield net


class Now:
    """Stands for what the test that is run has, to a worker that was there before."""

    def __init__(self) -> None:
        self.meant: Any = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.meant, name)


class Worked:
    """A client and a worker that the tests of one file have in common, which takes most of the time of a short one.
    It has an interim store, as that of `wfe dev` has. What they could tell of each other is their own: the router,
    what is deployed, and the connections of calls.
    """

    def __init__(self, net: Internet, reach: Reaches = UNLIMITED) -> None:
        self._net, self._reach = net, reach
        self._stack = contextlib.AsyncExitStack()
        self._client: Client | None = None
        self._queue = f"test-{uuid.uuid4()}"
        self._runner, self._router, self._egress = Now(), Now(), Now()

    @contextlib.asynccontextmanager
    async def runner(self, address: str) -> AsyncIterator[TemporalRunner]:
        """For one test at a time; the first has the worker begin."""
        if self._client is None:
            self._client = await connect(address, "default")
            activities = _activities(self._router, self._find, self._egress, reach=self._reach)
            folder = self._stack.enter_context(tempfile.TemporaryDirectory())
            opening = partial(open_interim, f"sqlite:///{folder}/interim.db?synchronous=normal")
            keeping = Interim(opening, self._client.data_converter).at_work()
            activities = replace(activities, interim=await self._stack.enter_async_context(keeping))
            await self._stack.enter_async_context(worker(self._client, self._queue, activities))
        async with _routed(self._client, self._queue, Egress(**self._net.egress)) as runner:
            self._runner.meant, self._router.meant, self._egress.meant = runner, runner.router, runner.egress
            yield runner

    async def _find(self, namespace: str | None, name: str, version: str | None) -> Bundle:
        found: Bundle = await self._runner.find(namespace, name, version)
        return found

    async def end(self) -> None:
        await self._stack.aclose()


@contextlib.asynccontextmanager
async def _routed(client: Client, queue: str, egress: Egress) -> AsyncIterator[TemporalRunner]:
    """What asks the workers of *queue* for runs, with a router that has them go on."""
    from workflow_engine.engine.targets import RunTarget
    from workflow_engine.events.router import Router
    from workflow_engine.events.stores import open_store

    async with egress:
        runtime = TemporalRuntime(client, queue, search_attributes=False)
        router = Router(open_store("memory:"), targets={"run": RunTarget(runtime)})
        await router.start()
        try:
            yield TemporalRunner(client, queue, router, egress)
        finally:
            await router.stop()


def _activities(
    router: Any,
    find: Any,
    egress: Any,
    express_seconds: float = 5.0,
    keep: Any = None,
    reach: Reaches = UNLIMITED,
) -> Activities:
    secrets = EnvironmentSecrets(PLANTED)
    return Activities(CALLERS, router, find, egress, secrets, PROCESSES, BOUNDS, express_seconds, keep, reach)


@contextlib.asynccontextmanager
async def temporal_runner(
    address: str,
    net: Internet,
    *,
    wrap: Callable[[Any], Any] = lambda router: router,
    express_seconds: float = 5.0,
    queue: str = "",
    build: Any = None,
    find: Any = None,
    payloads: Payloads | None = None,
    reach: Reaches = UNLIMITED,
    drain: float = GRACEFUL,
    interim: str | Interim | None = None,
) -> AsyncIterator[TemporalRunner]:
    """A worker with a router of its own, which the worker reaches through *wrap*; *payloads* says how values travel.
    *interim*: what keeps the results of calls in a row, or the URL of its store.
    """
    client = await connect(address, "default", payloads=payloads)
    bounds = {"max_response": payloads.largest} if payloads else {}
    egress = Egress(**net.egress, **bounds)
    async with _routed(client, queue or f"test-{uuid.uuid4()}", egress) as runner:
        keep = payloads.keeper(client.data_converter) if payloads else None
        activities = _activities(
            wrap(runner.router), find or runner.find, egress, express_seconds, keep, reach
        )
        async with contextlib.AsyncExitStack() as stack:
            if isinstance(interim, str):
                interim = Interim(partial(open_interim, interim), client.data_converter)
            if interim is not None:
                activities = replace(activities, interim=await stack.enter_async_context(interim.at_work()))
            await stack.enter_async_context(
                worker(client, runner.queue, activities, build=build, drain=drain)
            )
            yield runner


@pytest.fixture(params=["local", pytest.param("temporal", marks=pytest.mark.temporal)])
async def run(request: pytest.FixtureRequest, internet: Internet) -> AsyncIterator[Any]:
    """Run a document to its end, on each runtime in turn; within the `REACH` of the file, if it has one."""
    reach = getattr(request.module, "REACH", UNLIMITED)
    if request.param == "local":
        async with Egress(**internet.egress) as egress:
            yield LocalRunner(egress, reach)
        return
    address = request.getfixturevalue("temporal_address")
    async with temporal_runner(address, internet, reach=reach) as runner:
        yield runner


@pytest.fixture
async def runner(temporal_address: str, internet: Internet) -> AsyncIterator[TemporalRunner]:
    """Run documents on Temporal alone, and do more to the runs than wait for them."""
    async with temporal_runner(temporal_address, internet) as running:
        yield running
