"""`Engine`: what the HTTP API and the command line both call."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle, says_express
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.pinning import pin
from workflow_engine.engine.batches import Batches
from workflow_engine.engine.definitions import Definitions
from workflow_engine.engine.deployed import Allowed, Bounds, Deployed, Resolve, anything
from workflow_engine.engine.processes import refused
from workflow_engine.engine.queues import Queues
from workflow_engine.engine.runtime import Retry, RunDescription, RunPage, RunQuery, Runtime
from workflow_engine.engine.schedules import ScheduleDescription
from workflow_engine.engine.scheduling import Scheduling
from workflow_engine.engine.starting import checked, correlation_of, id_of, keys_of, new_id, start_of
from workflow_engine.engine.store import Definition, DefinitionStore, Removed, workflows_of
from workflow_engine.engine.triggers import Triggers
from workflow_engine.errors import Conflict, InvalidDocument, NotFound, Problem, Rejected
from workflow_engine.filters import read
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.lifecycle import correlation_keys
from workflow_engine.interpreter.listening import triggering
from workflow_engine.interpreter.retrying import ABSENT, Standing, Wish
from workflow_engine.values import Json, JsonObject

_log = logging.getLogger(__name__)


class Engine(Definitions):
    """Deploys, starts and follows workflows. It owns nothing: stores and runtimes are given to it."""

    def __init__(
        self,
        store: DefinitionStore,
        runtime: Runtime,
        *,
        resolve: Resolve,
        processes: Collection[str] | None = None,
        queues: Queues | None = None,
        express: bool = False,
        bounds: Bounds | None = None,
    ) -> None:
        """*processes* are the kinds of processes that workflows may start (None: all), *queues* those whose activities
        they may call; a workflow that starts or calls another is refused. *express*: runs are, where neither the
        document nor who deploys or starts it says whether they are. *bounds* are those of each namespace.
        """
        super().__init__(store)
        self._bounds = bounds
        self._express = express
        self._processes = processes
        self._queues = queues
        self._runtime = runtime
        self._resolve = resolve
        self._triggering = asyncio.Lock()
        self.triggers: Triggers | None = None
        """Where events that start workflows are asked for; set once the router is there, for it needs us."""
        self.scheduling: Scheduling | None = None
        """What has the clock start workflows; None where nothing does."""
        self.batches: Batches | None = None
        """What does something to many runs; None where only one at a time can be dealt with."""

    # --- workflows ----------------------------------------------------------------------------------------

    async def deploy(
        self,
        text: str,
        *,
        name: str = "<text>",
        resources: Mapping[str, Json] | None = None,
        express: bool | None = None,
        allowed: Allowed = anything,
    ) -> Deployed:
        """Check, bundle and keep a workflow, and let its events and its schedule start it from now on.

        *resources* are answers to needs that the author sends along, by key. *express*: whether its runs are, whatever
        it says itself. `InvalidDocument` has every problem; `Conflict` when another text has that version, or the same
        one with another *express*. Nothing is kept of a workflow that fails, or for which *allowed* raises.
        """
        document, warnings = await self._check(text, name)
        graph = await asyncio.to_thread(dsl.compile, document)
        allowed(graph)
        present = await self._present(graph)
        if present is not None:
            said = present.bundle.graph().express
            if express is not None and said is not express:
                how, of = {None: "with nothing said of", True: "with", False: "without"}[said], graph.name
                raise Conflict(
                    f"version {of.version} of {of.namespace}/{of.name} is deployed {how} express runs; choose "
                    "so for a new version"
                )
            return await self._deployed(present, document, text, warnings, created=False)
        bundle = await self._bundle(document, resources or {}, express, allowed)
        title = graph.title or graph.name.name
        definition = Definition(graph.name, document.dialect, text, bundle, title, datetime.now(UTC))
        kept = await self._store.add(definition)
        created = kept.deployed_at == definition.deployed_at
        return await self._deployed(kept, document, text, warnings, created=created)

    async def _deployed(
        self,
        kept: Definition,
        document: Document,
        text: str,
        warnings: Sequence[Problem],
        *,
        created: bool,
    ) -> Deployed:
        """What to answer when *kept* is what has the version, and its trigger is set."""
        name = kept.workflow
        if kept.text != text and kept.bundle.open()[0].data != document.data:
            raise Conflict(
                f"version {name.version} of {name.namespace}/{name.name} is deployed with another text; "
                "give the new text a new version"
            )
        schedule = await self.settle(name.namespace, name.name)  # also when nothing is new
        if schedule is not None and schedule.workflow != name:
            schedule = None
        return Deployed(kept, created, warnings, schedule)

    async def _check(self, text: str, name: str) -> tuple[Document, list[Problem]]:
        def look() -> tuple[Document, list[Problem]]:
            document = dsl.parse(text, name=name)
            return document, dsl.check(document)

        # A large document takes most of a second, in which other requests are answered.
        document, problems = await asyncio.to_thread(look)
        if any(problem.severity == "error" for problem in problems):
            raise InvalidDocument(problems, name=name)
        return document, problems

    async def _present(self, graph: StateGraph) -> Definition | None:
        try:
            return await self._store.get(graph.name.namespace, graph.name.name, graph.name.version)
        except NotFound:
            return None

    async def _bundle(
        self,
        document: Document,
        given: Mapping[str, Json],
        express: bool | None = None,
        allowed: Allowed = anything,
    ) -> Bundle:
        """Resolve every need; those that fail are problems of the document, all at once."""
        if express is None and self._express and not says_express(document):
            express = True
        resolve = self._resolve
        if allowed is not anything or self._bounds is not None:
            # Before anything is fetched for it, with the secrets of its namespace.
            graph = await asyncio.to_thread(dsl.compile, document)
            allowed(graph)
            if self._bounds is not None:
                self._check_bounds(document, graph)
                resolve = self._bounds.resolving(graph.name.namespace)
        bundle = Bundle.of(document, await pin(document, resolve, given), express=express)
        graph = await asyncio.to_thread(bundle.graph)
        allowed(graph)  # also with what its functions from elsewhere do
        problems = refused(document, graph, self._processes)
        problems += self._queues.refused(document, graph) if self._queues is not None else []
        if problems:
            raise InvalidDocument(problems, name=document.name)
        self._check_bounds(document, graph)
        return bundle

    def _check_bounds(self, document: Document, graph: StateGraph) -> None:
        """`InvalidDocument` with what *graph* does and its namespace may not."""
        if self._bounds is None:
            return
        found, namespace = self._bounds, graph.name.namespace
        problems = found.refused(document, graph)
        problems += refused(document, graph, found.processes(namespace), "WFE_REACH")
        if self._queues is not None:
            queues = Queues(found.queues(namespace), self._queues.own, "WFE_REACH")
            problems += queues.refused(document, graph)
        if problems:
            raise InvalidDocument(problems, name=document.name)

    async def settle(self, namespace: str, name: str, *, gone: bool = False) -> ScheduleDescription | None:
        """Let the events and the schedule of its latest version start a workflow, or nothing any more when it has none;
        the schedule, where there is one. *gone*: a version was deleted. Again is harmless: a process may have died
        before.
        """
        await self._trigger(namespace, name)
        if self.scheduling is None:
            return None
        return await self.scheduling.settle(namespace, name, gone=gone)

    async def _trigger(self, namespace: str, name: str) -> None:
        if self.triggers is None:
            return
        # Who sets it last must have seen the latest version, however many are deployed at a time.
        async with self._triggering:
            latest = await self._latest(namespace, name)
            while True:
                if latest is None:
                    await self.triggers.remove(namespace, name)
                else:
                    await self.triggers.set(latest.bundle.graph())
                seen, latest = latest, await self._latest(namespace, name)
                # else another process has deployed or deleted one meanwhile
                if (seen and seen.workflow) == (latest and latest.workflow):
                    break

    async def _latest(self, namespace: str, name: str) -> Definition | None:
        try:
            return await self._store.get(namespace, name, None)
        except NotFound:
            return None

    async def restore_triggers(self) -> None:
        """After a start of the process: let every deployed workflow be started by its events, none that was deleted.

        One that this version of the engine cannot run any more is passed over, and told in the log.
        """
        for key in self.triggers.known() if self.triggers is not None else ():
            try:
                await self._store.get(*key, None)
            except Removed:
                await self._trigger(*key)
            except NotFound:
                pass
        async for listed in workflows_of(self._store):
            name = listed.workflow
            try:
                await self._trigger(name.namespace, name.name)
            except (InvalidDocument, Rejected) as invalid:
                _log.error("events do not start %s/%s: %s", name.namespace, name.name, invalid)

    # --- runs ---------------------------------------------------------------------------------------------

    async def start(
        self,
        namespace: str,
        name: str,
        version: str | None,
        input: Json,
        *,
        run_id: str | None = None,
        express: bool | None = None,
        awaited: float = 0.0,
    ) -> str:
        """Start a run and return its id; `Conflict` when *run_id* is taken. *express*: whether it is, for once.
        *awaited*: for so many seconds its end will be waited for.
        """
        definition = await self.definition(namespace, name, version)
        return await self._start(definition.bundle.expressed(express), input, run_id, awaited)

    async def run_once(
        self,
        text: str,
        input: Json,
        *,
        run_id: str | None = None,
        resources: Mapping[str, Json] | None = None,
        express: bool | None = None,
        awaited: float = 0.0,
        allowed: Allowed = anything,
    ) -> str:
        """Run a document without deploying it; *awaited* as in `start`, *allowed* as in `deploy`."""
        document, _ = await self._check(text, "<text>")
        bundle = await self._bundle(document, resources or {}, express, allowed)
        return await self._start(bundle, input, run_id, awaited)

    async def _start(self, bundle: Bundle, input: Json, run_id: str | None, awaited: float) -> str:
        graph = bundle.graph()
        id = new_id(graph.name.name) if run_id is None else checked(run_id)
        keys = await _keys(graph, input)
        start = start_of(id, bundle, graph, input, (), awaited=awaited, keys=keys)
        if not await self._runtime.start(start):
            raise Conflict(f"a run {id!r} exists already; choose another id, or look at it")
        return id

    async def start_by_events(
        self,
        namespace: str,
        name: str,
        identity: str,
        events: Sequence[JsonObject],
        *,
        received: datetime | None = None,
    ) -> str:
        """Start the run that *events* trigger; the same *identity* starts at most one (router.md §6.7).

        A run that is kept active hears what came since its first event was *received* (decision B19).
        """
        definition = await self.definition(namespace, name, None)
        graph = definition.bundle.graph()
        trigger = graph.trigger
        if trigger is None:
            raise NotFound("trigger", f"{namespace}/{name}", "the latest version is not started by events")
        id = id_of(graph.name.name, correlation_of(trigger, events) if trigger.keeps else identity)
        by_state = trigger.state is not None
        given: Json = {} if by_state else [read(event, trigger.read) for event in events]
        start = start_of(id, definition.bundle, graph, given, events if by_state else ())
        agreed = correlation_keys(triggering(trigger), events)
        start = replace(start, again=trigger.keeps, since=received, keys=await _keys(graph, given, agreed))
        await self._runtime.start(start if by_state else replace(start, correlated=agreed))
        return id

    async def describe(self, run_id: str) -> RunDescription:
        """The run as it is now."""
        return await self._runtime.describe(run_id)

    async def wait(self, run_id: str, seconds: float) -> RunDescription:
        """The run once it has ended, or as it is after *seconds*."""
        return await self._runtime.wait(run_id, seconds)

    async def output(self, run_id: str, seconds: float = 0.0) -> Json:
        """The output of a run that has completed, or does within *seconds*; else `Conflict`."""
        return await self._runtime.output(run_id, seconds)

    async def runs(self, query: RunQuery) -> RunPage:
        """Runs, newest first."""
        return await self._runtime.list(query)

    @property
    def runtime(self) -> Runtime:
        """Where the runs live."""
        return self._runtime

    async def candidate(
        self,
        text: str,
        name: str,
        resources: Mapping[str, Json] | None,
        allowed: Allowed = anything,
    ) -> Bundle:
        """The bundle of a workflow as it would be deployed; nothing is kept of it."""
        document, _ = await self._check(text, name)
        return await self._bundle(document, resources or {}, allowed=allowed)

    async def history(self, run_id: str, execution: str | None = None) -> JsonObject:
        """All that Temporal recorded of a run, or of one *execution* of it: the last one if none is named."""
        return await self._runtime.history(run_id, execution)

    async def standing(self, run_id: str) -> Sequence[Standing]:
        """Where a run stands, or stood when it ended, with its data."""
        return await self._runtime.standing(run_id)

    async def retry(
        self,
        run_id: str,
        wish: Wish,
        *,
        input: Json = ABSENT,
        version: str | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        """Let a run go on that has ended: with another *input*, or *version* of its workflow (`Retry`), if given."""
        bundle: Bundle | None = None
        if version is not None:
            name = (await self._runtime.describe(run_id)).workflow
            if name is None:
                raise Conflict(f"of which workflow {run_id!r} is a run is not known")
            bundle = (await self.definition(name.namespace, name.name, version)).bundle
        await self._runtime.retry(run_id, Retry(wish, input, bundle, names=names or {}))

    async def skip(self, run_id: str, wish: Wish) -> None:
        """Let a run leave out a state: the one that failed, or one at which it is."""
        if (await self._runtime.describe(run_id)).ended:
            await self._runtime.retry(run_id, Retry(wish, what="skip"))
        else:
            await self._runtime.skip(run_id, wish)

    async def edit(self, run_id: str, wish: Wish) -> None:
        """Change the data of a suspended run before its next state."""
        await self._runtime.edit(run_id, wish)

    async def control(self, run_id: str, command: str, reason: str = "") -> None:
        """Do *command* (cancel, terminate, suspend, resume) to a run."""
        match command:
            case "cancel":
                await self._runtime.cancel(run_id)
            case "terminate":
                await self._runtime.terminate(run_id, reason or "terminated over the API")
            case "suspend":
                await self._runtime.suspend(run_id)
            case "resume":
                await self._runtime.resume(run_id)
            case _:
                raise NotFound(
                    "command", command, "use cancel, terminate, suspend, resume, retry, skip or edit"
                )


async def _keys(graph: StateGraph, input: Json, agreed: JsonObject | None = None) -> Sequence[str]:
    """`keys_of`, apart from the event loop where there are expressions: they may take a while each."""
    if graph.keys:
        return await asyncio.to_thread(keys_of, graph, input, agreed)
    return keys_of(graph, input, agreed)
