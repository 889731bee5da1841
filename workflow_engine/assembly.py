"""Put the parts together: the only module that chooses implementations."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import catalog
from workflow_engine.api.access import Access
from workflow_engine.api.certificates import served, shown
from workflow_engine.api.client import HttpApi
from workflow_engine.api.opening import open_access
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.calls.brokers.hearing import Hearings
from workflow_engine.calls.brokers.target import OperationTarget
from workflow_engine.calls.container_sweeping import sweeping
from workflow_engine.calls.context import ProcessBounds
from workflow_engine.calls.egress import MAX_RESPONSE
from workflow_engine.calls.reach import Reaches
from workflow_engine.calls.reach_file import kept_reach
from workflow_engine.calls.reaching import bounds_of
from workflow_engine.calls.resolution import Resolution
from workflow_engine.calls.secrets import open_secrets
from workflow_engine.calls.webhook import WebhookTarget
from workflow_engine.dsl.collecting import settle
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.queues import Queues
from workflow_engine.engine.restoring import Restoring, StoreStamps
from workflow_engine.engine.scheduling import Scheduling
from workflow_engine.engine.stores import open_definitions
from workflow_engine.engine.targets import RunTarget, WorkflowTarget
from workflow_engine.engine.triggers import Triggers, restored
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.targets import Target
from workflow_engine.graph.lifecycle import Told
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.processes.leftovers import remove_leftovers
from workflow_engine.processes.privacy import close_to_others
from workflow_engine.processes.stopping import stopping, tell_of
from workflow_engine.runtimes.temporal import hearing, load
from workflow_engine.runtimes.temporal.activities import Activities, Events, FindBundle, Keep
from workflow_engine.runtimes.temporal.attributes import see_to
from workflow_engine.runtimes.temporal.batches import TemporalBatches
from workflow_engine.runtimes.temporal.connection import connect, translated
from workflow_engine.runtimes.temporal.interim.opening import open_interim
from workflow_engine.runtimes.temporal.interim.results import Interim
from workflow_engine.runtimes.temporal.orphans import Orphans
from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
from workflow_engine.runtimes.temporal.payloads.remote import RemoteCodec
from workflow_engine.runtimes.temporal.payloads.travelling import Payloads
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.schedules import TemporalSchedules
from workflow_engine.runtimes.temporal.server import ready_unless, wait_ready
from workflow_engine.runtimes.temporal.stamps import TemporalStamps
from workflow_engine.runtimes.temporal.worker import Build, worker
from workflow_engine.settings import LOOPBACK, Settings
from workflow_engine.telemetry.otlp import traces

if TYPE_CHECKING:
    from fastapi import FastAPI
    from temporalio.client import Client

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


def open_traces(settings: Settings) -> AbstractAsyncContextManager[None]:
    """What sends the spans of this process, if there are to be any."""
    return traces(on=settings.traces == "otlp")


def open_client(settings: Settings) -> HttpApi:
    """A client of the API at ``api_url``; use it in ``async with``."""
    return HttpApi(settings.api_url, settings.api_token, certificates=shown(*settings.shown_files))


# --- the API process ------------------------------------------------------------------------------------------


@asynccontextmanager
async def open_app(settings: Settings) -> AsyncIterator[FastAPI]:
    """The API with the engine, the router and the catalog behind it; stores are opened and closed with it."""
    settings.checked()
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"the data folder {settings.data} cannot be used: {error.strerror}") from None
    async with contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(open_traces(settings))
        egress = await stack.enter_async_context(open_egress(settings))
        definitions = await open_definitions(settings.definitions_url)
        stack.push_async_callback(definitions.close)
        specs = await _open_catalog(settings.catalog_url)
        stack.push_async_callback(specs.close)
        payloads = await stack.enter_async_context(open_payloads(**settings.payload_options))
        if settings.api_worker:
            await _make_ready(settings)
            await wait_ready(settings.temporal_address, 60.0, **_served(settings))
        client = await connect(
            settings.temporal_address,
            settings.temporal_namespace,
            profile=settings.temporal_profile,
            lazy=not settings.api_worker,
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
            eager=settings.api_worker,
        )
        reach = await stack.enter_async_context(kept_reach(settings.reach))
        resolution = open_resolution(settings, specs, egress)
        engine = Engine(
            definitions,
            runtime,
            resolve=resolution,
            processes=settings.allowed_processes,
            queues=Queues(settings.allowed_queues, settings.task_queue),
            express=settings.express,
            bounds=bounds_of(reach, resolution),
        )
        secrets = open_secrets(settings.secrets)
        webhook = WebhookTarget(egress, secrets, reach=reach)
        operations = OperationTarget(egress, secrets, resolution, reach)
        stack.push_async_callback(operations.close)
        targets: dict[str, Target] = {"run": RunTarget(runtime), "workflow": WorkflowTarget(engine)}
        targets |= {"webhook": webhook, "asyncapi": operations}
        retention = settings.events_days * 86_400 if settings.events_days else None
        router = Router(open_store(settings.events_url), targets=targets, retention=retention)
        webhook.publish, webhook.handshakes.permissions = router.publish, router
        engine.triggers = Triggers(router)
        await router.start()
        stack.push_async_callback(router.stop)
        await stack.enter_async_context(restored(router, engine.restore_triggers))
        hearings = Hearings(router, egress, secrets, resolution, reach)
        await hearings.start()
        stack.push_async_callback(hearings.stop)
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
        if settings.search_attributes:
            attributes = asyncio.create_task(see_to(client), name="search attributes")
            stack.push_async_callback(_end, attributes)
        restoring = Restoring(
            router,
            partial(hearing.open_runs, client, settings.task_queue),
            partial(hearing.heard, client),
            store=StoreStamps(router),
            temporal=TemporalStamps(client, settings.task_queue),
        )
        stamping = asyncio.create_task(restoring.keep(), name="stamps")
        stack.push_async_callback(_end, stamping)
        orphans = asyncio.create_task(Orphans(client, settings.task_queue).keep(), name="orphans")
        stack.push_async_callback(_end, orphans)
        if settings.api_worker:
            working = _working(settings, client, payloads, router, engine.find_bundle, egress, reach)
            await stack.enter_async_context(working)
        away: set[str] = set()

        async def ready() -> Mapping[str, str | None]:
            parts: Mapping[str, Awaitable[object]] = {
                "temporal": _check_temporal(client, settings.task_queue),
                "events": router.check(),
                "definitions": definitions.check(),
                "catalog": specs.list("ready"),  # none, but it has been looked for
            }
            if payloads.store is not None:
                parts = {**parts, "payloads": payloads.store.check()}
            reasons = await asyncio.gather(*(_reason(part, check, away) for part, check in parts.items()))
            return dict(zip(parts, reasons, strict=True))

        from catalog.api import create_router
        from workflow_engine.api.app import create_app  # and not above: a worker starts sooner without

        app = create_app(
            engine,
            router,
            catalog_router=create_router(specs),
            access=await stack.enter_async_context(_open_access(settings)),
            ready=ready,
            codec=RemoteCodec(client.data_converter),
            codec_origins=settings.shown_to,
            largest_input=settings.largest_input,
            folder=settings.data,
            secrets=secrets,
            reach=reach,
            hearings=hearings,
            restoring=restoring,
            loopback_only=settings.host in LOOPBACK and not settings.api_token,
        )
        if settings.api_worker:
            settle()
        yield app


def _open_access(settings: Settings) -> AbstractAsyncContextManager[Access | None]:
    tokens = {"admin": settings.api_token, "run": settings.api_token_run, "read": settings.api_token_read}
    kept, ca_file = settings.api_issuer_hours, settings.ca_file
    issuer, audience = settings.api_issuer, settings.api_audience
    return open_access(tokens, settings.api_tokens, issuer, audience, kept_hours=kept, ca_file=ca_file)


async def _open_catalog(url: str) -> catalog.Catalog:
    try:
        return catalog.Catalog(await catalog.open_store(url))
    except ConnectionError as error:  # the catalog, which stands alone, has errors of its own
        raise Unavailable(str(error)) from None
    except ValueError as error:
        raise Rejected("catalog-store", f"WFE_CATALOG_STORE: {error}") from None


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _check_temporal(client: Client, task_queue: str) -> None:
    with translated():
        await load.check(client, task_queue)


async def _reason(part: str, check: Awaitable[object], away: set[str]) -> str | None:
    """Why *check* does not succeed within two seconds; None if it does. The log has it too, and that it is back."""
    try:
        async with asyncio.timeout(2):
            reason = "it does not work" if await check is False else None
    except TimeoutError:
        reason = "no answer within 2 s"
    except Exception as raised:  # noqa: BLE001 - whatever is wrong with it, it is not ready
        reason = str(raised) or type(raised).__name__
    if reason is not None:
        _log.warning("not ready: %s: %s", part, reason)
        away.add(part)
    elif part in away:
        _log.info("ready again: %s", part)
        away.discard(part)
    return reason


async def serve_api(settings: Settings, *, ready: Callable[[], None] | None = None) -> None:
    """Serve the API until the process is told to stop; `Unavailable` when the port is taken."""
    from workflow_engine.api.serving import listen, serve

    settings.checked()
    certificates, listening = served(*settings.served_files), listen(settings.host, settings.port)
    async with open_app(settings) as app:
        await serve(app, listening, ready, certificates)


# --- the worker process ---------------------------------------------------------------------------------------


async def serve_worker(settings: Settings, *, ready: Callable[[], None] | None = None) -> None:
    """Work until the process is told to stop, then finish what is under way, for ``grace_seconds`` at most."""
    await _make_ready(settings)
    with stopping() as stop:
        if await ready_unless(stop, settings.temporal_address, **_served(settings)):
            await _work(settings, stop, ready)


async def _make_ready(settings: Settings) -> None:
    close_to_others()
    await asyncio.to_thread(remove_leftovers)
    _log.info("waiting for Temporal at %s", settings.temporal_address)


def _served(settings: Settings) -> dict[str, Any]:
    """What has to be there before a worker can work."""

    def tell(reason: str) -> None:
        _log.warning("Temporal at %s: %s", settings.temporal_address, reason)

    return {"namespace": settings.temporal_namespace, "profile": settings.temporal_profile, "tell": tell}


async def _work(settings: Settings, stop: asyncio.Event, ready: Callable[[], None] | None) -> None:
    async with (
        open_traces(settings),
        open_payloads(**settings.payload_options) as payloads,
        open_client(settings) as api,
        open_egress(settings) as egress,
        kept_reach(settings.reach) as reach,
    ):
        client = await connect(
            settings.temporal_address,
            settings.temporal_namespace,
            profile=settings.temporal_profile,
            payloads=payloads,
        )
        async with _working(settings, client, payloads, api, api.bundle, egress, reach):
            settle()
            if ready is not None:
                ready()
            await stop.wait()


@asynccontextmanager
async def _working(
    settings: Settings,
    client: Client,
    payloads: Payloads,
    events: Events,
    find: FindBundle,
    egress: Egress,
    reach: Reaches,
) -> AsyncIterator[None]:
    """A worker of *client*, until the block ends; then it finishes what it does, for ``grace_seconds`` at most."""
    processes = settings.allowed_processes
    keep = payloads.keeper(client.data_converter)
    activities = activities_of(settings, events, find, egress, processes, keep, reach)
    async with contextlib.AsyncExitStack() as stack:
        if settings.interim_url is not None:
            interim = Interim(partial(open_interim, settings.interim_url), client.data_converter)
            activities = replace(activities, interim=await stack.enter_async_context(interim.at_work()))
        if "container" in processes:
            await stack.enter_async_context(sweeping())
        drain, build = settings.grace_seconds, Build.of(**settings.build)
        await stack.enter_async_context(
            worker(client, settings.task_queue, activities, build=build, drain=drain)
        )
        yield
        tell_of(list(activities.under_way), settings.grace_seconds)


def activities_of(
    settings: Settings,
    events: Events,
    find: FindBundle,
    egress: Egress,
    processes: frozenset[str],
    keep: Keep,
    reach: Reaches,
) -> Activities:
    secrets, bounds = open_secrets(settings.secrets), process_bounds(settings)
    express = settings.express_seconds
    return Activities(CALLERS, events, find, egress, secrets, processes, bounds, express, keep, reach)
