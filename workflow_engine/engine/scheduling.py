"""Which workflows the clock starts: the latest version of each that has a schedule.

Deploying stores the definition first; the schedule follows from it. So whatever happens in between, what is stored
says what is to be, and `Scheduling.keep` makes it so: after a start of the process, and again while the place where
schedules live could not be reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.schedules import MAX_NOTE, Plan, ScheduleDescription, Schedules, ScheduleState
from workflow_engine.engine.store import PAGE, Definition, DefinitionStore, Listed, Removed, workflows_of
from workflow_engine.errors import InvalidDocument, NotFound, Rejected, Unavailable
from workflow_engine.graph.model import WorkflowName

_log = logging.getLogger(__name__)
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_LOOKS = 16
"""How many schedules are looked at side by side."""
MOST_PAGES = 50
"""How often workflows are read, for one page of those that have a schedule."""


class Scheduling:
    """Keeps the schedules of deployed workflows as their latest versions say."""

    def __init__(self, store: DefinitionStore, schedules: Schedules) -> None:
        self._store = store
        self._schedules = schedules
        self._locks: defaultdict[tuple[str, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._unsettled: dict[tuple[str, str], str] = {}
        self._wake = asyncio.Event()

    async def settle(self, namespace: str, name: str, *, gone: bool = False) -> ScheduleDescription | None:
        """Make the schedule of a workflow what its latest version says; None where that has none. *gone*: a version was
        deleted, which may have had one.

        What cannot be done now is done later, by `keep`; the description remarks on it.
        """
        key = namespace, name
        # Who sets it last must have seen the latest version, however many are deployed at a time.
        async with self._locks[key]:
            latest = await self._latest(namespace, name)
            plan = None if latest is None else plan_of(latest)
            try:
                if plan is not None:
                    await self._schedules.set(plan)
                elif gone or latest is None or key in self._unsettled or await self._had_one(latest.workflow):
                    await self._schedules.remove(namespace, name)
                self._unsettled.pop(key, None)
            except (Unavailable, NotFound) as error:  # not found: somebody else removed it meanwhile
                self._unsettled[key] = f"it is not set yet, and will be once it can: {error}"
                self._wake.set()
            except Rejected as error:
                self._unsettled[key] = f"it cannot be set: {error}"
                _log.error("the clock does not start %s/%s: %s", namespace, name, error)
        return None if plan is None else await self._describe(plan)

    async def _latest(self, namespace: str, name: str) -> Definition | None:
        try:
            return await self._store.get(namespace, name, None)
        except NotFound:
            return None

    async def _had_one(self, workflow: WorkflowName) -> bool:
        for item in await self._store.versions(workflow.namespace, workflow.name):
            if item.workflow != workflow and await self._is_scheduled(item):
                return True
        return False

    async def _is_scheduled(self, listed: Listed) -> bool | None:
        """Whether the clock starts *listed*; None where this version of the engine cannot tell."""
        if listed.digest not in _known:
            name = listed.workflow
            try:
                _scheduled((await self._store.get(name.namespace, name.name, name.version)).bundle)
            except NotFound:  # it was deleted meanwhile
                return False
        return _known.get(listed.digest)

    async def keep(self) -> None:
        """Settle every workflow, then, until cancelled, each that could not be settled before."""
        await self._until_done(self._settle_all)
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._until_done(self._settle_late)

    async def _until_done(self, work: Callable[[], Awaitable[None]]) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await work()
            except Unavailable as error:
                _log.warning("schedules wait: %s", error)
            except Exception:  # noqa: BLE001  a bug must not end this task
                _log.exception("schedules wait for a bug to be mended")
            else:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _settle_all(self) -> None:
        there = set(await self._schedules.names())
        deployed = [listed async for listed in workflows_of(self._store)]
        unknown = there - {(item.workflow.namespace, item.workflow.name) for item in deployed}
        for key in sorted(unknown):
            try:
                await self._store.get(*key, None)
            except Removed:  # and whoever deleted it has not come to its schedule
                await self._schedules.remove(*key)
                unknown.discard(key)
            except NotFound:
                pass
        if unknown:
            names = ", ".join("/".join(key) for key in sorted(unknown)[:10])
            _log.warning("the clock starts workflows that are not deployed here: %s", names)
        for listed in deployed:
            name = listed.workflow
            key = name.namespace, name.name
            scheduled = await self._is_scheduled(listed)
            if scheduled:
                await self.settle(*key)
            elif scheduled is False and key in there:
                await self._schedules.remove(*key)

    async def _settle_late(self) -> None:
        for key in list(self._unsettled):
            await self.settle(*key)
        if self._wake.is_set():
            self._wake.clear()
            raise Unavailable(next(iter(self._unsettled.values()), "schedules could not be set"))

    # --- for who looks at them ------------------------------------------------------------------------------

    async def page(
        self, after: tuple[str, str] | None, limit: int, within: Sequence[str] | None = None
    ) -> tuple[Sequence[ScheduleDescription], tuple[str, str] | None]:
        """Up to *limit* schedules, by namespace and name, from behind *after* on, and behind which workflow there may
        be more; None where there are none. It is not full where `MOST_PAGES` of workflows have not so many schedules.
        """
        found: list[Listed] = []
        for _ in range(MOST_PAGES):
            read = await self._store.page(after, PAGE, within=within)
            for listed in read:
                after = listed.workflow.namespace, listed.workflow.name
                if await self._is_scheduled(listed):
                    found.append(listed)
                if len(found) > limit:
                    last = found[limit - 1].workflow
                    return await self._described(found[:limit]), (last.namespace, last.name)
            if len(read) < PAGE:
                return await self._described(found), None
        return await self._described(found), after

    async def _described(self, found: Sequence[Listed]) -> Sequence[ScheduleDescription]:
        room = asyncio.Semaphore(_LOOKS)

        async def look(listed: Listed) -> ScheduleDescription | None:
            name = listed.workflow
            async with room:
                with contextlib.suppress(NotFound):  # it was deleted, or its latest version has none any more
                    return await self.description(name.namespace, name.name)
            return None

        looked = await asyncio.gather(*map(look, found))
        return [each for each in looked if each is not None]

    async def description(self, namespace: str, name: str) -> ScheduleDescription:
        """The schedule of a workflow; `NotFound` when its latest version has none."""
        return await self._describe(await self._plan(namespace, name))

    async def control(self, namespace: str, name: str, command: str, note: str = "") -> ScheduleDescription:
        """Do *command* (pause, resume, trigger) to a schedule; how it is then."""
        plan = await self._plan(namespace, name)
        match command:
            case "pause":
                if len(note) > MAX_NOTE:
                    raise Rejected("too-large", f"a note has at most {MAX_NOTE} characters")
                await self._schedules.pause(plan, note)
            case "resume":
                await self._schedules.resume(plan)
            case "trigger":
                await self._schedules.trigger(plan)
            case _:
                raise NotFound("command", command, "use pause, resume or trigger")
        return await self._describe(plan)

    async def _plan(self, namespace: str, name: str) -> Plan:
        latest = await self._store.get(namespace, name, None)
        plan = plan_of(latest)
        if plan is None:
            version = latest.workflow.version
            hint = f"version {version} of the workflow, the latest, has no schedule of the clock"
            raise NotFound("schedule", f"{namespace}/{name}", hint)
        return plan

    async def _describe(self, plan: Plan) -> ScheduleDescription:
        name = plan.workflow
        remark = self._unsettled.get((name.namespace, name.name))
        nothing = ScheduleState(name)
        try:
            state = nothing if remark else await self._schedules.state(plan)
        except NotFound:
            state, remark = nothing, "it is not set yet"
        except Unavailable as error:
            state, remark = nothing, f"how it is cannot be told: {error}"
        return ScheduleDescription(name, plan.schedule, state, remark)


_known: dict[str, bool] = {}


def _scheduled(bundle: Bundle) -> bool | None:
    """Whether the clock starts what *bundle* holds; None where this version of the engine cannot tell."""
    if bundle.digest not in _known:
        try:
            _known[bundle.digest] = bundle.graph().schedule is not None
        except (InvalidDocument, Rejected):
            return None
    return _known[bundle.digest]


def plan_of(definition: Definition) -> Plan | None:
    """What is to be kept for *definition*; None where the clock does not start it."""
    graph = definition.bundle.graph()
    if graph.schedule is None:
        return None
    title = graph.title or graph.name.name
    return Plan(graph.name, graph.schedule, definition.bundle, definition.deployed_at, title, graph.summary)
