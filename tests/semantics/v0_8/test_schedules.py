"""`start.schedule` of DSL 0.8: when the clock starts runs, and what is refused (decisions B36 and B37)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.semantics.v0_8.documents import event, output, problems, workflow
from workflow_engine import dsl
from workflow_engine.dsl.cron import calendars
from workflow_engine.graph.model import Schedule
from workflow_engine.graph.schedule import Calendar, Cron, Every, Range

STATES = "states: [{name: A, type: inject, data: {n: 1}, end: true}]"
NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


def body(schedule: str) -> str:
    return f"start: {{stateName: A, schedule: {schedule}}}\n{STATES}"


def schedule(written: str) -> Schedule | None:
    return dsl.compile(dsl.parse(workflow(body(written)))).schedule


def test_b36_an_interval_repeats_from_the_deployment_from_a_moment_or_up_to_one() -> None:
    assert schedule("R/PT2H") == Schedule(Every(7200))
    assert schedule("{interval: R/PT15M}") == Schedule(Every(900))
    assert schedule("R/2030-01-01T12:00:00Z/PT2H") == Schedule(Every(7200, NOON), start=NOON)
    assert schedule("R/PT2H/2030-01-01T12:00:00Z") == Schedule(Every(7200, NOON), end=NOON)
    assert schedule("R/P1D/2030-01-01") == Schedule(
        Every(86400, NOON.replace(hour=0)), end=NOON.replace(hour=0)
    )


def test_b36_a_moment_without_a_zone_is_one_of_the_time_zone() -> None:
    found = schedule("{interval: 'R/2030-07-01T12:00:00/PT1H', timezone: Europe/Rome}")
    assert found is not None
    assert found.start == datetime(2030, 7, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("PT2H", "invalid-value"),
        ("2020-03-20T09:00:00Z/2020-03-20T15:00:00Z", "invalid-value"),
        ("R/2030-01-01T12:00:00Z/2031-01-01T12:00:00Z", "invalid-interval"),
        ("R5/PT2H", "invalid-value"),
        ("R/2030-01-01", "invalid-interval"),
        ("R/PT1H/PT2H", "invalid-interval"),
        ("R/tomorrow/PT2H", "invalid-interval"),
        ("R/P1M", "invalid-interval"),
        ("R/PT0S", "invalid-interval"),
        ("R/PT0.5S", "invalid-interval"),
        ("R/P", "invalid-duration"),
        ("{cron: '0 0 * *'}", "invalid-cron"),
        ("{cron: {expression: '0 0 * * *', validUntil: never}}", "invalid-value"),
        ("{cron: '0 0 * * *', timezone: Mars/Olympus}", "unknown-timezone"),
    ],
)
def test_b36_what_is_no_repeating_interval_or_cron_is_refused(written: str, code: str) -> None:
    assert {problem.code for problem in problems(body(written))} == {code}


def test_days_after_the_t_are_understood_with_a_warning() -> None:
    found = dsl.check(dsl.parse(workflow(body("R/PT2D"))))
    assert [problem.code for problem in found] == ["days-after-t"]
    assert schedule("R/PT2D") == Schedule(Every(172_800))


def test_b37_five_fields_are_crontabs_and_six_or_seven_are_those_of_quartz() -> None:
    assert calendars("0 6 * * 1", quartz=True) == calendars("0 6 * * 1")
    [quarter] = calendars("0 0/15 * * * ?", quartz=True)
    assert quarter == Calendar(minute=(Range(0, 59, 15),))
    [sundays] = calendars("30 0 12 ? * 1", quartz=True)
    assert (sundays.second, sundays.weekday) == ((Range(30, 30),), (Range(0, 0),))
    [weekdays] = calendars("0 0 8 ? jan-mar MON-FRI 2030-2031", quartz=True)
    assert (weekdays.weekday, weekdays.month) == ((Range(1, 5),), (Range(1, 3),))
    assert weekdays.year == (Range(2030, 2031),)
    [saturday] = calendars("0 0 8 ? * 7 *", quartz=True)
    assert (saturday.weekday, saturday.year) == ((Range(6, 6),), ())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0 12 1 * MON", "one must be \\?"),
        ("0 0 12 L * ?", "L, W and #"),
        ("0 0 12 ? * 6#3", "L, W and #"),
        ("? 0 12 * * ?", "stands for a day alone"),
        ("60 0 12 * * ?", "second is from 0 to 59"),
        ("0 0 12 ? * 0", "day of the week is from 1 to 7"),
        ("0 0 12 * * ? 1969", "year is from 1970"),
        ("0 0 0 31 2 ?", "never comes"),
        ("0 0 ? * *", "signs of Quartz"),
    ],
)
def test_b37_what_quartz_has_and_the_engine_has_not_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        calendars(text, quartz=True)


def test_b37_cron_is_in_utc_unless_the_schedule_names_a_time_zone_and_may_have_an_end() -> None:
    found = schedule("{cron: {expression: '0 0/15 * * * ?', validUntil: '2030-01-01T12:00:00Z'}}")
    assert found is not None
    assert isinstance(found.recurrence, Cron)
    assert (found.timezone, found.end) == ("UTC", NOON)
    there = schedule(
        "{cron: {expression: '0 6 * * *', validUntil: '2030-01-01T12:00:00'}, timezone: America/New_York}"
    )
    assert there is not None
    assert (there.timezone, there.end) == ("America/New_York", NOON + timedelta(hours=5))


async def test_a_scheduled_document_that_is_run_by_hand_runs_once(run: Any) -> None:
    assert await output(run, body("R/PT2H"), {"given": 1}) == {"given": 1, "n": 1}


BIDS = """
start: {stateName: A, schedule: %s}
events: [{name: Bid, type: bid, source: tests}]
states:
  - {name: A, type: event, onEvents: [{eventRefs: [Bid]}], timeouts: {eventTimeout: PT30S}, end: true}
"""


async def test_where_events_start_runs_an_interval_says_when_they_may(run: Any) -> None:
    graph = dsl.compile(dsl.parse(workflow(BIDS % "R/PT2H")))
    assert graph.schedule is None
    assert graph.trigger is not None
    warned = dsl.check(dsl.parse(workflow(BIDS % "R/PT2H")))
    assert [problem.code for problem in warned] == ["schedule-of-events"]
    assert await output(run, BIDS % "R/PT2H", events=[event("bid", "1", {"amount": 5})]) == {"amount": 5}


@pytest.mark.parametrize("written", ["R/PT2H/2030-01-01T00:00:00Z", "{cron: '0 0 * * *'}"])
def test_a_time_in_which_alone_events_start_runs_is_refused(written: str) -> None:
    assert [problem.code for problem in problems(BIDS % written)] == ["unsupported"]


@pytest.mark.parametrize(
    ("schedule", "code", "pointer"),
    [
        ("{cron: '0 0 12 L * ?'}", "invalid-cron", "/start/schedule/cron"),
        ("{cron: '0 0 12 1 * 2'}", "invalid-cron", "/start/schedule/cron"),
        ("{cron: {expression: '* *'}}", "invalid-cron", "/start/schedule/cron/expression"),
        (
            "{cron: {expression: '0 0 * * *', validUntil: soon}}",
            "invalid-value",
            "/start/schedule/cron/validUntil",
        ),
        ("{cron: '0 0 * * *', timezone: Europe/Roma}", "unknown-timezone", "/start/schedule/timezone"),
    ],
)
def test_what_is_wrong_with_a_schedule_is_refused_at_its_place(
    schedule: str, code: str, pointer: str
) -> None:
    assert [(found.code, found.pointer) for found in problems(body(schedule))] == [(code, pointer)]
