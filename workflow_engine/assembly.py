"""Put the parts together: the only module that chooses implementations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import catalog
from workflow_engine import dsl
from workflow_engine.api.client import HttpApi
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.calls.container_sweeping import sweeping
from workflow_engine.calls.context import ProcessBounds
from workflow_engine.calls.egress import MAX_RESPONSE
from workflow_engine.calls.resolution import Resolution
from workflow_engine.calls.secrets import open_secrets
from workflow_engine.dsl.pinning import pin
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.processes import refused
from workflow_engine.engine.queues import Queues
from workflow_engine.engine.runtime import RunDescription, RunQuery
from workflow_engine.engine.scheduling import Scheduling
from workflow_engine.engine.stores import open_definitions
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.engine.targets import RunTarget, WorkflowTarget
from workflow_engine.engine.triggers import Triggers
from workflow_engine.errors import InvalidDocument, NotFound, Rejected, Unavailable
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.targets import Target
from workflow_engine.graph.lifecycle import Told
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.effects import SubRun
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.processes.leftovers import remove_leftovers
from workflow_engine.processes.privacy import close_to_others
from workflow_engine.processes.stopping import stopping, tell_of
from workflow_engine.runtimes.local import LocalRun, Outcome, PerformCall
from workflow_engine.runtimes.local_calls import real_calls, real_evaluations
from workflow_engine.runtimes.temporal.activities import Activities, Events, FindBundle, Keep
from workflow_engine.runtimes.temporal.batches import TemporalBatches
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.payloads.remote import RemoteCodec
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.schedules import TemporalSchedules
from workflow_engine.runtimes.temporal.server import ServerOptions, dev_server, ready_unless
from workflow_engine.runtimes.temporal.worker import Build, worker
from workflow_engine.settings import LOOPBACK, Settings
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from fastapi import FastAPI

_log = logging.getLogger("wfe")


def open_egress(settings: Settings) -> Egress:
    """The outgoing side of calls, with what the settings allow."""
    pairs = (pair.partition("=") for pair in settings.connect_to)
    services = (pair.partition("=") for pair in settings.function_urls)
    return Egress(
        allowed_hosts=settings.allowed_hosts or None,
        allow_link_local=settings.allow_link_local,
        allow_private=settings.allow_private,
        connect_to={there: here for there, _, here in pairs},
        services={name: url for name, _, url in services},
        ca_file=settings.ca_file,
        plaintext_hosts=settings.grpc_plaintext_hosts,
        seconds=settings.call_seconds,
        max_response=max(MAX_RESPONSE, settings.largest_input),
    )


def process_bounds(settings: Settings) -> ProcessBounds:
    """What the processes of workflows may use, as the settings say."""
    memory = int(settings.process_memory * 1024 * 1024)
    return ProcessBounds(
        settings.process_seconds,
        memory,
        int(settings.process_count),
        cpus=settings.process_cpus or 0.0,
        volumes=settings.container_volumes,
    )


def audience_of(settings: Settings) -> Audience:
    """Who is told of the lifecycle of runs."""
    told = Told.parse(settings.lifecycle_events)
    return Audience(told, settings.lifecycle_channel, settings.api_url.rstrip("/"))


def open_resolution(settings: Settings, specs: catalog.Catalog, egress: Egress) -> Resolution:
    """What finds the things that workflows need when they are deployed."""
    secrets = open_secrets(settings.secrets)
    return Resolution(specs, egress, secrets=secrets, default_catalog=settings.default_catalog)


def open_client(settings: Settings) -> HttpApi:
    """A client of the API at ``api_url``; use it in ``async with``."""
    return HttpApi(settings.api_url, settings.api_token)


# --- the API process ------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The API with the engine, the router and the catalog behind it; stores are opened and closed with it."""
    settings.checked()
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"the folder {settings.data} cannot be used: {error.strerror}") from None
    async with contextlib.AsyncExitStack() as stack:
        egress = await stack.enter_async_context(open_egress(settings))
        definitions = await open_definitions(settings.definitions_url)
        stack.push_async_callback(definitions.close)
        specs = catalog.Catalog(await catalog.open_store(settings.catalog_url))
        stack.push_async_callback(specs.close)
        payloads = await stack.enter_async_context(open_payloads(**settings.payload_options))
        client = await connect(
            settings.temporal_address,
            settings.temporal_namespace,
            profile=settings.temporal_profile,
            lazy=True,
            payloads=payloads,
        )
        limits = Limits(settings.history_events, drain=settings.drain_seconds)
        runtime = TemporalRuntime(
            client,
            settings.task_queue,
            ui=settings.temporal_ui,
            search_attributes=settings.search_attributes,
            audience=audience_of(settings),
            limits=limits,
        )
        engine = Engine(
            definitions,
            runtime,
            resolve=open_resolution(settings, specs, egress),
            processes=settings.allowed_processes,
            queues=Queues(settings.allowed_queues, settings.task_queue),
            express=settings.express,
        )
        targets: dict[str, Target] = {"run": RunTarget(runtime), "workflow": WorkflowTarget(engine)}
        router = Router(open_store(settings.events_url), targets=targets)
        engine.triggers = Triggers(router)
        await router.start()
        stack.push_async_callback(router.stop)
        await engine.restore_triggers()
        engine.batches = TemporalBatches(client, settings.task_queue, runtime)
        engine.scheduling = Scheduling(
            definitions,
            TemporalSchedules(
                client,
                settings.task_queue,
                search_attributes=settings.search_attributes,
                audience=audience_of(settings),
                limits=limits,
            ),
        )
        keeping = asyncio.create_task(engine.scheduling.keep(), name="schedules")
        stack.push_async_callback(_end, keeping)

        async def ready() -> dict[str, bool]:
            parts: Mapping[str, Awaitable[object]] = {
                "temporal": client.service_client.check_health(),
                "events": router.check(),
                "definitions": definitions.check(),
                "catalog": specs.list("ready"),  # none, but it has been looked for
            }
            if payloads.store is not None:
                parts = {**parts, "payloads": payloads.store.check()}
            works = await asyncio.gather(*(_works(part, check) for part, check in parts.items()))
            return dict(zip(parts, works, strict=True))

        from catalog.api import create_router
        from workflow_engine.api.app import create_app  # and not above: a worker starts sooner without

        yield create_app(
            engine,
            router,
            catalog_router=create_router(specs),
            token=settings.api_token,
            ready=ready,
            codec=RemoteCodec(client.data_converter),
            codec_origins=settings.shown_to,
            largest_input=settings.largest_input,
            loopback_only=settings.host in LOOPBACK and not settings.api_token,
        )


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _works(part: str, check: Awaitable[object]) -> bool:
    """Whether *check* succeeds within two seconds, and is not False; the log has why not."""
    try:
        works, error = await asyncio.wait_for(check, 2) is not False, None
    except Exception as raised:  # noqa: BLE001 - whatever is wrong with it, it is not ready
        works, error = False, raised
    if not works:
        _log.warning("not ready: %s%s", part, f": {error!r}" if error else "")
    return works


async def serve_api(settings: Settings, *, ready: Callable[[], None] | None = None) -> None:
    """Serve the API until the process is told to stop; `Unavailable` when the port is taken."""
    from workflow_engine.api.serving import listen, serve

    settings.checked()
    listening = listen(settings.host, settings.port)
    async with open_app(settings) as app:
        await serve(app, listening, ready)


# --- the worker process ---------------------------------------------------------------------------------------


async def serve_worker(settings: Settings, *, ready: Callable[[], None] | None = None) -> None:
    """Work until the process is told to stop, then finish what is under way, for ``grace_seconds`` at most."""
    close_to_others()
    await asyncio.to_thread(remove_leftovers)
    _log.info("waiting for Temporal at %s", settings.temporal_address)
    with stopping() as stop:
        if await ready_unless(stop, settings.temporal_address, namespace=settings.temporal_namespace):
            await _work(settings, stop, ready)


async def _work(settings: Settings, stop: asyncio.Event, ready: Callable[[], None] | None) -> None:
    async with (
        open_payloads(**settings.payload_options) as payloads,
        open_client(settings) as api,
        open_egress(settings) as egress,
    ):
        client = await connect(
            settings.temporal_address,
            settings.temporal_namespace,
            profile=settings.temporal_profile,
            payloads=payloads,
        )
        processes = settings.allowed_processes
        keep = payloads.keeper(client.data_converter)
        activities = _activities(settings, api, api.bundle, egress, processes, keep)
        async with contextlib.AsyncExitStack() as stack:
            if "container" in processes:
                await stack.enter_async_context(sweeping())
            drain, build = settings.grace_seconds, Build.of(**settings.build)
            working = worker(client, settings.task_queue, activities, build=build, drain=drain)
            await stack.enter_async_context(working)
            if ready is not None:
                ready()
            await stop.wait()
            tell_of(list(activities.under_way), drain)


def _activities(
    settings: Settings,
    events: Events,
    find: FindBundle,
    egress: Egress,
    processes: frozenset[str],
    keep: Keep,
) -> Activities:
    secrets, bounds = open_secrets(settings.secrets), process_bounds(settings)
    express = settings.express_seconds
    return Activities(CALLERS, events, find, egress, secrets, processes, bounds, express, keep)


# --- one run, without servers of one's own --------------------------------------------------------------------


async def run_embedded(
    text: str,
    input: Json,
    *,
    settings: Settings,
    name: str = "<text>",
    events: Sequence[JsonObject] = (),
    resources: Mapping[str, Json] | None = None,
    others: Sequence[str] = (),
    timeout: float = 300.0,
    progress: Callable[[str], None] | None = None,
) -> RunDescription:
    """Run one document on a Temporal server of its own, in memory, and stop the server again.

    *events* are published once the run has started, or start it when its trigger takes them. *others* are
    documents that it may run as sub-workflows. The run is described as it is after *timeout* seconds.
    """
    say = progress or (lambda _: None)
    async with contextlib.AsyncExitStack() as stack:
        egress = await stack.enter_async_context(open_egress(settings))
        say("starting Temporal")
        server = await stack.enter_async_context(dev_server(ServerOptions(headless=True, log_level="error")))
        kept = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wfe-payloads-"))).as_uri()
        options = {
            **settings.payload_options,
            "store": settings.payload_store or kept,
            "namespace": "default",
        }
        payloads = await stack.enter_async_context(open_payloads(**options))
        client = await connect(server.address, "default", payloads=payloads)
        limits = Limits(settings.history_events, drain=settings.drain_seconds)
        runtime = TemporalRuntime(
            client, settings.task_queue, audience=audience_of(settings), limits=limits, eager=True
        )
        specs = catalog.Catalog(await catalog.open_store("memory:"))
        processes = settings.own_processes
        resolution = open_resolution(settings, specs, egress)
        queues = Queues(settings.activity_queues and settings.allowed_queues, settings.task_queue)
        engine = Engine(MemoryDefinitions(), runtime, resolve=resolution, processes=processes, queues=queues)
        targets: dict[str, Target] = {"run": RunTarget(runtime), "workflow": WorkflowTarget(engine)}
        router = Router(open_store("memory:"), targets=targets)
        engine.triggers = Triggers(router)
        await router.start()
        stack.push_async_callback(router.stop)
        keep = payloads.keeper(client.data_converter)
        activities = _activities(settings, router, engine.find_bundle, egress, processes, keep)
        await stack.enter_async_context(worker(client, settings.task_queue, activities))
        for other in others:
            await engine.deploy(other, resources=resources)
        deployed = await engine.deploy(text, name=name, resources=resources)
        graph = deployed.definition.bundle.graph()
        say(f"running {graph.name}")
        if graph.trigger is not None and events:
            await router.publish(graph.trigger.channel, list(events))
            run_id = await _triggered(engine, graph, timeout)
        else:
            run_id = await engine.start(graph.name.namespace, graph.name.name, None, input)
            if events:
                await router.publish("default", list(events))
        return await engine.wait(run_id, timeout)


async def _triggered(engine: Engine, graph: StateGraph, timeout: float) -> str:
    """The id of the run that the events have started, once there is one."""
    deadline = asyncio.get_running_loop().time() + timeout
    while asyncio.get_running_loop().time() < deadline:
        page = await engine.runs(RunQuery(name=graph.name.name, limit=1))
        if page.runs:
            return page.runs[0].id
        await asyncio.sleep(0.05)
    raise Rejected("not-triggered", f"the events did not start {graph.name}; do they match its trigger?")


async def run_local(
    text: str,
    input: Json,
    *,
    settings: Settings,
    name: str = "<text>",
    events: Sequence[JsonObject] = (),
    resources: Mapping[str, Json] | None = None,
    others: Sequence[str] = (),
    watch: Callable[[PerformCall], PerformCall] = lambda perform: perform,
) -> tuple[Outcome, LocalRun]:
    """Run one document in this process on a virtual clock; waiting takes no time, calls are real.

    *watch* may put something before each call.
    """
    graphs: dict[str, StateGraph] = {}

    async def find(sub_run: SubRun) -> StateGraph:
        if sub_run.name not in graphs:
            raise NotFound("workflow", f"{sub_run.namespace}/{sub_run.name}", "give its file along")
        return graphs[sub_run.name]

    async with open_egress(settings) as egress:
        specs = catalog.Catalog(await catalog.open_store("memory:"))
        resolution = open_resolution(settings, specs, egress)
        document = dsl.parse(text, name=name)
        graph = dsl.compile(document)  # problems of the text come before those of what it needs
        graph = dsl.compile(document, await pin(document, resolution, resources))
        for other in (dsl.parse(item) for item in others):
            compiled = dsl.compile(other, await pin(other, resolution, resources))
            graphs[compiled.name.name] = compiled
        problems = refused(document, graph, settings.own_processes)
        if problems:
            raise InvalidDocument(problems, name=name)
        secrets, bounds = open_secrets(settings.secrets), process_bounds(settings)
        local = LocalRun(
            graph,
            run_id=f"local-{uuid.uuid4()}",
            perform=watch(real_calls(egress, CALLERS, secrets, settings.own_processes, bounds)),
            evaluate=real_evaluations(egress, secrets),
            find=find,
            audience=audience_of(settings),
        )
        return await local.execute(input, events), local
