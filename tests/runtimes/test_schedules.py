"""The clock starts runs, on real Temporal: decision A46, and what becomes of a schedule when its workflow changes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from temporalio.client import Client, ScheduleBackfill, ScheduleOverlapPolicy

from tests.standins.internet import Internet
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.runtime import RunDescription, RunQuery
from workflow_engine.engine.schedules import ScheduleDescription
from workflow_engine.engine.scheduling import Scheduling, plan_of
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.errors import Conflict, InvalidDocument, NotFound
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.runtimes.temporal.schedules import TemporalSchedules
from workflow_engine.runtimes.temporal.worker import worker

pytestmark = [pytest.mark.temporal, pytest.mark.timeout(120)]
T = TypeVar("T")
SET = "do: [{note: {set: {got: '${ . }', version: '${ $workflow.definition.document.version }'}}}]"


@dataclass
class Clock:
    """An engine whose schedules are kept by Temporal, and a namespace of workflows that only this test has."""

    client: Client
    queue: str
    store: MemoryDefinitions
    engine: Engine
    scheduling: Scheduling
    namespace: str

    async def deploy(
        self, schedule: str, does: str = SET, *, name: str = "job", version: str = "1.0.0"
    ) -> Any:
        line = f"schedule: {schedule}\n" if schedule else ""
        header = (
            f"document: {{dsl: '1.0.3', namespace: {self.namespace}, name: {name}, version: '{version}'}}\n"
        )
        return await self.engine.deploy(header + line + does)

    async def schedule(self, name: str = "job") -> ScheduleDescription:
        return await self.scheduling.description(self.namespace, name)

    async def control(self, command: str, note: str = "", name: str = "job") -> ScheduleDescription:
        return await self.scheduling.control(self.namespace, name, command, note)

    async def runs(self, name: str = "job") -> list[RunDescription]:
        """Those that have ended, the oldest first, by their order of starting."""
        page = await self.engine.runs(RunQuery(name=name, limit=200))
        return list(reversed(page.runs))

    async def ended(self, count: int, name: str = "job") -> list[RunDescription]:
        async def enough() -> list[RunDescription] | None:
            found = [run for run in await self.runs(name) if run.ended]
            return found if len(found) >= count else None

        return await until(enough, f"{count} runs have ended")


async def until(what: Callable[[], Awaitable[T | None]], reason: str, seconds: float = 60.0) -> T:
    deadline = asyncio.get_running_loop().time() + seconds
    while not (found := await what()):
        assert asyncio.get_running_loop().time() < deadline, f"not within {seconds:g} s: {reason}"
        await asyncio.sleep(0.05)
    return found


async def nothing(need: Any) -> Any:
    raise NotFound("resource", str(need))


@contextlib.asynccontextmanager
async def working(clock: Clock, internet: Internet) -> AsyncIterator[None]:
    router = Router(open_store("memory:"), targets={})
    await router.start()
    async with Egress(**internet.egress) as egress:
        activities = Activities(CALLERS, router, clock.engine.find_bundle, egress)
        async with worker(clock.client, clock.queue, activities):
            yield
    await router.stop()


async def idle_clock(address: str, queue: str | None = None) -> Clock:
    """Without a worker."""
    client = await connect(address, "default")
    queue = queue or f"test-{uuid.uuid4()}"
    store = MemoryDefinitions()
    runtime = TemporalRuntime(client, queue, search_attributes=False)
    engine = Engine(store, runtime, resolve=nothing)
    scheduling = Scheduling(store, TemporalSchedules(client, queue, search_attributes=False))
    engine.scheduling = scheduling
    return Clock(client, queue, store, engine, scheduling, f"n-{uuid.uuid4()}")


@pytest.fixture
async def clock(temporal_address: str, internet: Internet) -> AsyncIterator[Clock]:
    made = await idle_clock(temporal_address)
    async with working(made, internet):
        yield made
    for definition in await made.store.page(None, 100):
        name = definition.workflow
        await TemporalSchedules(made.client, made.queue).remove(name.namespace, name.name)


async def test_a46_every_starts_runs_again_and_again_with_an_empty_object_as_input(clock: Clock) -> None:
    deployed = await clock.deploy("{every: PT1S}")
    assert deployed.schedule.state.next
    runs = await clock.ended(3)
    for run in runs:
        described = await clock.engine.describe(run.id)
        assert described.output == {"got": {}, "version": "1.0.0"}
        assert described.input == {}
        assert described.workflow == deployed.definition.workflow
        assert run.id.startswith(f"{clock.queue}.{clock.namespace}.job-20")
    assert len({run.id for run in runs}) == len(runs)
    state = (await clock.schedule()).state
    assert state.started >= 3
    assert state.recent[0].due > state.recent[-1].due
    assert {run.id for run in runs} <= {run.run_id for run in state.recent} | {run.id for run in runs[:-10]}


async def test_a46_every_does_not_wait_for_the_run_before(clock: Clock) -> None:
    await clock.deploy("{every: PT1S}", "do: [{rest: {wait: PT1H}}]")

    async def two() -> bool:
        return len([run for run in await clock.runs() if not run.ended]) >= 2

    await until(two, "two runs go on side by side")


async def test_a46_cron_skips_a_moment_at_which_a_run_goes_on(clock: Clock) -> None:
    await clock.deploy("{cron: '0 0 1 1 *'}", "do: [{rest: {wait: PT1H}}]")
    state = (await clock.control("trigger")).state
    assert state.started == 1
    [running] = state.running
    with pytest.raises(Conflict, match="goes on"):
        await clock.control("trigger")
    handle = clock.client.get_schedule_handle(f"{clock.queue}/{clock.namespace}/job")
    now = datetime.now(UTC)
    await handle.backfill(ScheduleBackfill(start_at=now - timedelta(days=800), end_at=now))

    async def skipped() -> bool:
        return (await clock.schedule()).state.skipped == 2

    await until(skipped, "the moments are skipped")
    assert [run.id for run in await until(clock.runs, "the run is listed")] == [running]


async def test_a46_cron_means_the_moments_of_its_time_zone(clock: Clock) -> None:
    does = f"schedule: {{cron: '30 6 * * mon'}}\n{SET}"
    for name, zone in (
        ("utc", ""),
        ("rome", ", metadata: {timezone: Europe/Rome}"),
        ("tokyo", ", metadata: {timezone: Asia/Tokyo}"),
    ):
        header = f"document: {{dsl: '1.0.3', namespace: {clock.namespace}, name: {name}, version: '1.0.0'{zone}}}\n"
        await clock.engine.deploy(header + does)
    coming = {name: (await clock.schedule(name)).state.next for name in ("utc", "rome", "tokyo")}
    assert {(moment.isoweekday(), moment.hour, moment.minute) for moment in coming["utc"]} == {(1, 6, 30)}
    assert {moment.hour for moment in coming["rome"]} <= {4, 5}
    assert {(moment.isoweekday(), moment.hour) for moment in coming["tokyo"]} == {(7, 21)}


async def test_a46_cron_with_a_day_and_a_weekday_has_the_moments_of_both(clock: Clock) -> None:
    await clock.deploy("{cron: '0 0 13 * fri'}")
    state = (await clock.schedule()).state
    assert all(moment.day == 13 or moment.isoweekday() == 5 for moment in state.next)
    assert {moment.isoweekday() for moment in state.next} >= {5}
    assert any(moment.isoweekday() == 5 and moment.day != 13 for moment in state.next)


def field(rng: random.Random, least: int, most: int) -> tuple[str, set[int]]:
    """A field of a cron expression, and the numbers that it stands for by the words of crontab(5)."""
    first, last = sorted((rng.randint(least, most), rng.randint(least, most)))
    step = rng.randint(1, max(1, (most - least) // 2))
    match rng.choice(["star", "star", "number", "range", "step", "stepped", "list"]):
        case "number":
            return f"{first}", {first}
        case "range":
            return f"{first}-{last}", set(range(first, last + 1))
        case "step":
            return f"*/{step}", set(range(least, most + 1, step))
        case "stepped":
            return f"{first}-{last}/{step}", set(range(first, last + 1, step))
        case "list":
            return f"{first},{last}", {first, last}
        case _:
            return "*", set(range(least, most + 1))


def moments(expression: str, parts: list[set[int]], now: datetime, count: int) -> list[datetime]:
    """The next moments, found by trying every day."""
    minutes, hours, days, months, weekdays = parts
    _, _, day_field, _, weekday_field = expression.split()
    either = not (day_field.startswith("*") or weekday_field.startswith("*"))
    found: list[datetime] = []
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    while len(found) < count:
        in_day, in_week = day.day in days, day.isoweekday() % 7 in weekdays
        if day.month in months and ((in_day or in_week) if either else (in_day and in_week)):
            moments = (day.replace(hour=h, minute=m) for h in sorted(hours) for m in sorted(minutes))
            found += [moment for moment in moments if moment > now]
        day += timedelta(days=1)
    return found[:count]


async def test_a46_temporal_has_the_moments_that_a_cron_expression_means(clock: Clock) -> None:
    rng = random.Random(46)
    for number in range(40):
        drawn = [field(rng, *bounds) for bounds in ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))]
        expression = " ".join(text for text, _ in drawn)
        before = datetime.now(UTC)
        try:
            deployed = await clock.deploy(f"{{cron: '{expression}'}}", name=f"job-{number}")
        except InvalidDocument:
            assert not (drawn[2][1] & set(range(1, 30)))  # the 30th or the 31st of months that have none
            continue
        coming, fields = list(deployed.schedule.state.next), [numbers for _, numbers in drawn]
        assert len(coming) == 5
        # One of the moments may have passed while it was asked for.
        expected = [moments(expression, fields, now, 5) for now in (before, datetime.now(UTC))]
        assert coming in expected, expression


async def test_versions_deployed_at_the_same_time_leave_the_schedule_of_the_highest(clock: Clock) -> None:
    versions = (3, 1, 5, 2, 4)
    await asyncio.gather(*(clock.deploy(f"{{every: PT{n}H}}", version=f"{n}.0.0") for n in versions))
    first, second, *_ = (await clock.schedule()).state.next
    assert second - first == timedelta(hours=5)


async def test_a46_after_starts_at_once_and_again_after_a_run_completed_or_faulted(clock: Clock) -> None:
    await clock.deploy("{after: PT0.2S}")
    runs = await clock.ended(3)
    for run, following in itertools.pairwise(runs):
        assert following.started_at - run.ended_at >= timedelta(seconds=0.19)
    described = await clock.engine.describe(runs[0].id)
    assert (described.input, described.output) == ({}, {"got": {}, "version": "1.0.0"})
    assert described.workflow.namespace == clock.namespace
    await clock.deploy(
        "{after: PT0.2S}",
        "do: [{no: {raise: {error: {type: 'https://e.example/x', status: 418}}}}]",
        name="bad",
    )
    faulted = await clock.ended(3, "bad")
    assert {run.status for run in faulted} == {"faulted"}


@pytest.mark.parametrize(("command", "how"), [("cancel", "cancelled"), ("terminate", "terminated")])
async def test_a46_after_a_run_that_somebody_ended_there_is_no_other_until_it_is_resumed(
    clock: Clock, command: str, how: str
) -> None:
    await clock.deploy("{after: PT0.2S}", "do: [{rest: {wait: PT1H}}]")

    async def running() -> str | None:
        return next(iter((await clock.schedule()).state.running), None)

    first = await until(running, "a run goes on")
    await clock.engine.control(first, command)

    async def paused() -> ScheduleDescription | None:
        found = await clock.schedule()
        return found if found.state.paused else None

    found = await until(paused, "the schedule is paused")
    assert found.state.note == f"the run {first} was {how}"
    assert found.state.next == ()
    await asyncio.sleep(0.6)  # time in which another run would show
    assert [run.id for run in await until(clock.runs, "the run is listed")] == [first]
    await clock.control("resume")
    second = await until(running, "another run goes on")
    assert second != first


@pytest.mark.parametrize("schedule", ["{every: PT1S}", "{after: PT0.2S}"])
async def test_a_schedule_that_is_paused_starts_nothing_but_what_is_asked_for(
    clock: Clock, schedule: str
) -> None:
    await clock.deploy(schedule)
    await clock.ended(1)
    paused = await clock.control("pause", "too much")
    assert (paused.state.paused, paused.state.note, paused.state.next) == (True, "too much", ())

    async def quiet() -> bool:
        runs = await clock.runs()
        return all(run.ended for run in runs) and (await clock.schedule()).state.started == len(runs)

    await asyncio.sleep(1.2)
    await until(quiet, "what had been started has ended")
    before = len(await clock.runs())
    await asyncio.sleep(1.2)  # time in which another run would show
    assert len(await clock.runs()) == before
    triggered = await clock.control("trigger")
    assert triggered.state.started == before + 1
    assert triggered.state.paused
    await clock.ended(before + 1)
    await clock.control("resume")
    await clock.ended(before + 3)
    assert not (await clock.schedule()).state.paused


async def test_the_same_version_again_leaves_the_schedule_as_it_is(clock: Clock) -> None:
    for name, schedule in (("every", "{every: PT1H}"), ("after", "{after: PT1H}")):
        await clock.deploy(schedule, name=name)
        if name == "every":
            await clock.control("trigger", name=name)
        await clock.ended(1, name)
        await clock.control("pause", "stay", name=name)
        before = (await clock.schedule(name)).state
        again = await clock.deploy(schedule, name=name)
        assert not again.created
        assert again.schedule.state == before
        restarted = Scheduling(
            clock.store, TemporalSchedules(clock.client, clock.queue, search_attributes=False)
        )
        keeping = asyncio.create_task(restarted.keep())
        await asyncio.sleep(0.5)
        keeping.cancel()
        assert (await clock.schedule(name)).state == before


@pytest.mark.parametrize("schedule", ["{every: PT1S}", "{after: PT0.2S}"])
async def test_a_new_version_changes_the_schedule_in_place(clock: Clock, schedule: str) -> None:
    await clock.deploy(schedule)
    await clock.ended(1)
    started = (await clock.schedule()).state.started
    deployed = await clock.deploy(schedule, version="2.0.0")
    assert deployed.schedule.workflow.version == "2.0.0"
    assert deployed.schedule.state.started >= started

    async def second() -> bool:
        runs = [await clock.engine.describe(run.id) for run in await clock.runs() if run.ended]
        return any(run.output["version"] == run.workflow.version == "2.0.0" for run in runs)

    await until(second, "the second version is run")
    older = await clock.deploy("{every: PT5S}", version="1.5.0")
    assert older.schedule is None
    assert (await clock.schedule()).workflow.version == "2.0.0"


async def test_a_new_version_keeps_the_rhythm_of_the_same_interval(clock: Clock) -> None:
    first = await clock.deploy("{every: PT1H}")
    await asyncio.sleep(1.1)
    second = await clock.deploy("{every: PT1H}", version="2.0.0")
    assert second.schedule.state.next == first.schedule.state.next
    third = await clock.deploy("{every: PT2H}", version="3.0.0")
    deployed = third.definition.deployed_at.replace(microsecond=0)
    assert third.schedule.state.next[0] == deployed + timedelta(hours=2)


async def test_a_version_without_a_schedule_removes_it(clock: Clock) -> None:
    for name, schedule in (("every", "{every: PT1S}"), ("after", "{after: PT0.2S}")):
        await clock.deploy(schedule, name=name)
        await clock.ended(1, name)
        await clock.deploy("", name=name, version="2.0.0")
        with pytest.raises(NotFound, match=r"version 2\.0\.0 of the workflow, the latest, has no schedule"):
            await clock.schedule(name)
    removed = datetime.now(UTC)
    assert await clock.scheduling.page(None, 10) == ([], None)
    await asyncio.sleep(2.5)  # time in which another run would show
    for name in ("every", "after"):
        assert all(run.started_at < removed + timedelta(seconds=0.9) for run in await clock.runs(name))


async def test_a_version_may_be_scheduled_in_another_way(clock: Clock) -> None:
    await clock.deploy("{every: PT1H}")
    await clock.deploy("{after: PT0.2S}", version="2.0.0")
    await clock.ended(2)
    with pytest.raises(Exception, match="not found"):
        await clock.client.get_schedule_handle(f"{clock.queue}/{clock.namespace}/job").describe()
    third = await clock.deploy("{cron: '0 0 * * *'}", version="3.0.0")
    assert third.schedule.state.started == 0
    changed = datetime.now(UTC)
    await asyncio.sleep(1.5)  # time in which another run would show
    assert all(run.started_at < changed + timedelta(seconds=0.9) for run in await clock.runs())


async def test_two_namespaces_may_have_workflows_of_one_name(clock: Clock) -> None:
    await clock.deploy("{every: PT1S}")
    there = clock.namespace
    clock.namespace = f"n-{uuid.uuid4()}"
    await clock.deploy("{every: PT1S}")

    async def both() -> bool:
        runs = [run.workflow.namespace for run in await clock.runs() if run.ended]
        return runs.count(there) >= 2 and runs.count(clock.namespace) >= 2

    await until(both, "both are run")
    assert [item.workflow.namespace for item in (await clock.scheduling.page(None, 100))[0]] == sorted(
        [there, clock.namespace]
    )


async def test_a_run_of_a_large_workflow_finds_its_bundle_by_version(clock: Clock) -> None:
    noise = "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=150_000))
    await clock.deploy(
        "{after: PT0.2S}",
        f"output: {{as: '{{length: (.noise | length)}}'}}\ndo: [{{a: {{set: {{noise: {noise}}}}}}}]",
    )
    runs = await clock.ended(2)
    assert (await clock.engine.describe(runs[0].id)).output == {"length": 150_000}


async def test_the_repeating_workflow_is_no_run(clock: Clock) -> None:
    await clock.deploy("{after: PT0.2S}")
    await clock.ended(2)
    page = await clock.engine.runs(RunQuery(limit=200))
    assert {run.workflow.name for run in page.runs} == {"job"}


async def test_a_schedule_goes_on_beyond_one_execution_of_the_repeating_workflow(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflow_engine.runtimes.temporal.repetitions.LONG_HISTORY", 5)
    await clock.deploy("{after: PT0.1S}")
    await clock.ended(4)
    await clock.control("pause")
    started = (await clock.schedule()).state.started
    assert started >= 4
    recent = (await clock.schedule()).state.recent
    assert len(recent) == min(started, 10)

    async def executions() -> bool:
        query = f"WorkflowId = '{clock.queue}/{clock.namespace}/job'"
        return len([found async for found in clock.client.list_workflows(query)]) >= 4

    await until(executions, "four executions are listed")


async def test_without_a_worker_a_schedule_says_so(temporal_address: str) -> None:
    clock = await idle_clock(temporal_address)
    deployed = await clock.deploy("{after: PT1H}")
    assert "no worker of task queue" in deployed.schedule.to_json()["remark"]
    every = await clock.deploy("{every: PT1H}", name="every")
    assert every.schedule.state.next
    for name in ("job", "every"):
        await TemporalSchedules(clock.client, clock.queue).remove(clock.namespace, name)


async def test_deploying_while_temporal_cannot_be_reached_is_made_good_later(temporal_address: str) -> None:
    """The definition is stored; the clock follows when it can."""
    nowhere = await connect("127.0.0.1:1", "default", lazy=True)
    clock = await idle_clock(temporal_address)
    real = clock.scheduling._schedules
    clock.scheduling._schedules = TemporalSchedules(nowhere, clock.queue)
    keeping = asyncio.create_task(clock.scheduling.keep())
    deployed = await clock.deploy("{every: PT1H}")
    assert deployed.created
    assert "not set yet" in deployed.schedule.to_json()["remark"]
    clock.scheduling._schedules = real

    async def there() -> bool:
        return bool((await clock.schedule()).state.next)

    await until(there, "the schedule is set")
    keeping.cancel()
    await real.remove(clock.namespace, "job")


async def test_what_is_stored_is_scheduled_after_a_process_that_died_while_it_deployed(clock: Clock) -> None:
    clock.engine.scheduling = None  # it dies before it gets that far
    await clock.deploy("{every: PT1H}", name="new")
    await clock.deploy("", name="old", version="2.0.0")
    clock.engine.scheduling = clock.scheduling
    await clock.deploy("{every: PT1H}", name="old", version="1.0.0")
    graph = (await clock.store.get(clock.namespace, "old", "1.0.0")).bundle.graph()
    assert graph.schedule is not None
    schedules = clock.scheduling._schedules
    plan = plan_of(await clock.store.get(clock.namespace, "old", "1.0.0"))
    assert plan is not None
    await schedules.set(plan)

    async def visible() -> bool:
        return (clock.namespace, "old") in await schedules.names()

    await until(visible, "the schedule of the old version is listed")
    keeping = asyncio.create_task(clock.scheduling.keep())

    async def settled() -> bool:
        return (clock.namespace, "old") not in await schedules.names()

    await until(settled, "the schedule that the latest version has not is removed")
    assert (await clock.schedule("new")).state.next
    keeping.cancel()


async def test_the_specifications_example_of_cron_backs_up_at_midnight(clock: Clock, spec: Path) -> None:
    text = (spec / "1.0" / "examples" / "schedule-cron.yaml").read_text()
    clock.namespace = f"n-{uuid.uuid4()}"
    deployed = await clock.engine.deploy(text.replace("namespace: examples", f"namespace: {clock.namespace}"))
    assert {(moment.hour, moment.minute) for moment in deployed.schedule.state.next} == {(0, 0)}
    triggered = await clock.control("trigger", name="cron-schedule")
    run = await clock.engine.wait(triggered.state.recent[0].run_id, 30)
    assert run.error is None
    assert (run.output["method"], run.output["path"]) == ("POST", "/api/v1/backup/start")


async def test_b36_and_b37_schedules_of_dsl_0_8_begin_and_end(clock: Clock) -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    soon, later = now + timedelta(days=2, minutes=7), now + timedelta(hours=2, minutes=30)
    written = {
        "from": f"R/{soon.isoformat()}/PT1H",
        "until": f"R/PT1H/{later.isoformat()}",
        "quartz": "{cron: '30 0 6 ? * 2', timezone: Asia/Tokyo}",
        "over": "{cron: {expression: '* * * * *', validUntil: '2020-01-01T00:00:00Z'}}",
        "years": "{cron: '0 0 12 1 1 ? 2098-2099'}",
    }
    coming = {}
    for name, schedule in written.items():
        id = f"{name}-{uuid.uuid4()}"
        deployed = await clock.engine.deploy(
            f"{{id: {id}, specVersion: '0.8', version: '1.0', start: {{stateName: A, schedule: {schedule}}}, "
            "states: [{name: A, type: inject, data: {n: 1}, end: true}]}"
        )
        coming[name] = deployed.schedule.state.next
    assert coming["from"][:2] == (soon, soon + timedelta(hours=1))
    assert coming["until"] == (later - timedelta(hours=2), later - timedelta(hours=1))
    assert {(at.isoweekday(), at.hour, at.second) for at in coming["quartz"]} == {(7, 21, 30)}
    assert coming["over"] == ()
    assert [at.year for at in coming["years"]] == [2098, 2099]


async def test_backfilled_moments_of_every_are_runs_of_their_own(clock: Clock) -> None:
    await clock.deploy("{every: P1D}")
    handle = clock.client.get_schedule_handle(f"{clock.queue}/{clock.namespace}/job")
    now = datetime.now(UTC)
    await handle.backfill(
        ScheduleBackfill(now - timedelta(days=3), now, overlap=ScheduleOverlapPolicy.ALLOW_ALL)
    )
    assert len(await clock.ended(3)) == 3
