"""One run of one document, without servers of one's own: ``wfe run``, on Temporal or in this process."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType

import catalog
from workflow_engine import dsl
from workflow_engine.assembly import (
    activities_of,
    audience_of,
    open_egress,
    open_resolution,
    open_traces,
    process_bounds,
)
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.calls.reach import open_reach
from workflow_engine.calls.reaching import bounds_of
from workflow_engine.calls.secrets import GivenSecrets, open_secrets
from workflow_engine.dsl.pinning import pin
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.processes import refused
from workflow_engine.engine.queues import Queues
from workflow_engine.engine.runtime import RunDescription, RunQuery
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.engine.targets import RunTarget, WorkflowTarget
from workflow_engine.engine.triggers import Triggers
from workflow_engine.errors import InvalidDocument, NotFound, Rejected
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.targets import Target
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.effects import SubRun
from workflow_engine.runtimes.answers import Answers
from workflow_engine.runtimes.local import FindGraph, LocalRun, Outcome, PerformCall
from workflow_engine.runtimes.local_calls import evaluated_arguments, real_calls, real_evaluations
from workflow_engine.runtimes.scheduler import Scheduler
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.interim.results import Interim
from workflow_engine.runtimes.temporal.interim.sqlite import SqliteInterim
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.server import ServerOptions, dev_server
from workflow_engine.runtimes.temporal.worker import worker
from workflow_engine.settings import Settings
from workflow_engine.values import Json, JsonObject


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
        await stack.enter_async_context(open_traces(settings))
        egress = await stack.enter_async_context(open_egress(settings))
        say("starting Temporal")
        server = await stack.enter_async_context(dev_server(ServerOptions(headless=True, log_level="error")))
        kept = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wfe-run-")))
        options = {
            **settings.payload_options,
            "store": settings.payload_store or (kept / "payloads").as_uri(),
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
        reach = open_reach(settings.reach)
        engine = Engine(
            MemoryDefinitions(),
            runtime,
            resolve=resolution,
            processes=processes,
            queues=queues,
            bounds=bounds_of(reach, resolution),
        )
        targets: dict[str, Target] = {"run": RunTarget(runtime), "workflow": WorkflowTarget(engine)}
        router = Router(open_store("memory:"), targets=targets)
        engine.triggers = Triggers(router)
        await router.start()
        stack.push_async_callback(router.stop)
        keep = payloads.keeper(client.data_converter)
        activities = activities_of(settings, router, engine.find_bundle, egress, processes, keep, reach)
        # Nothing of the run outlives this process; but its history is what it is where there is such a store.
        interim = Interim(partial(SqliteInterim.open, kept / "interim.db"), client.data_converter)
        activities = replace(activities, interim=await stack.enter_async_context(interim.at_work()))
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
    async with open_egress(settings) as egress:
        graph, graphs = await _compiled(text, name, settings, egress, resources, others)
        secrets, bounds = open_secrets(settings.secrets), process_bounds(settings)
        reach = open_reach(settings.reach)
        local = LocalRun(
            graph,
            run_id=f"local-{uuid.uuid4()}",
            perform=watch(real_calls(egress, CALLERS, secrets, settings.own_processes, bounds, reach=reach)),
            evaluate=real_evaluations(egress, secrets, reach),
            find=_finding(graphs),
            audience=audience_of(settings),
        )
        return await local.execute(input, events), local


async def compiled(
    text: str,
    *,
    settings: Settings,
    name: str = "<text>",
    resources: Mapping[str, Json] | None = None,
    others: Sequence[str] = (),
) -> tuple[StateGraph, dict[str, StateGraph]]:
    """The graph of a document, and of the *others* that it may run as sub-workflows, by name; for `try_out`."""
    async with open_egress(settings) as egress:
        return await _compiled(text, name, settings, egress, resources, others)


async def _compiled(
    text: str,
    name: str,
    settings: Settings,
    egress: Egress,
    resources: Mapping[str, Json] | None,
    others: Sequence[str],
) -> tuple[StateGraph, dict[str, StateGraph]]:
    graphs: dict[str, StateGraph] = {}
    specs = catalog.Catalog(await catalog.open_store("memory:"))
    resolution = open_resolution(settings, specs, egress)
    document = dsl.parse(text, name=name)
    graph = dsl.compile(document)  # problems of the text come before those of what it needs
    graph = dsl.compile(document, await pin(document, resolution, resources))
    for other in (dsl.parse(item) for item in others):
        compiled = dsl.compile(other, await pin(other, resolution, resources))
        graphs[compiled.name.name] = compiled
    problems = refused(document, graph, settings.own_processes)
    bounds = bounds_of(open_reach(settings.reach), resolution)
    problems += bounds.refused(document, graph) if bounds is not None else []
    if problems:
        raise InvalidDocument(problems, name=name)
    return graph, graphs


def _finding(graphs: Mapping[str, StateGraph]) -> FindGraph:
    async def find(sub_run: SubRun) -> StateGraph:
        if sub_run.name not in graphs:
            raise NotFound(
                "workflow", f"{sub_run.namespace}/{sub_run.name}", "give its file along (--workflow FILE)"
            )
        return graphs[sub_run.name]

    return find


@dataclass(frozen=True, slots=True)
class Coming:
    """An event that is published in *channel*, *after* so many seconds, or with 0 before the run starts."""

    event: JsonObject
    after: float = 0.0
    channel: str = "default"


async def try_out(
    graph: StateGraph,
    graphs: Mapping[str, StateGraph],
    input: Json,
    *,
    answers: Answers,
    events: Sequence[Coming] = (),
    secrets: Mapping[str, Json] = MappingProxyType({}),
    now: datetime | None = None,
) -> tuple[Outcome, LocalRun]:
    """Run *graph* in this process with *answers* in the place of the world; nothing outside is touched.

    *now* is when the virtual clock begins.
    """
    async with Egress() as egress:
        known = GivenSecrets(secrets)
        answers.evaluate = evaluated_arguments(egress, known)
        local = LocalRun(
            graph,
            run_id="test",
            scheduler=Scheduler(now, still=True),
            perform=real_calls(egress, CALLERS, known),
            evaluate=real_evaluations(egress, known),
            find=_finding(graphs),
            answers=answers,
        )

        async def come(coming: Coming) -> None:
            await local.scheduler.sleep(coming.after)
            local.store(coming.channel, coming.event)

        for coming in events:
            if coming.after:
                local.scheduler.spawn(come(coming))
            elif coming.channel != "default":
                local.channels.setdefault(coming.channel, []).append(coming.event)
        at_once = [each.event for each in events if not each.after and each.channel == "default"]
        return await local.execute(input, at_once), local
