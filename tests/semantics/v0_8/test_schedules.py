"""What the clock starts: decisions B36 and B37."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.semantics.v0_8.documents import output, problems, workflow
from workflow_engine import dsl
from workflow_engine.graph.schedule import EACH_WEEKDAY, Calendar, Cron, Every, Range, Schedule

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


def body(schedule: str) -> str:
    return f"""
start: {{stateName: A, schedule: {schedule}}}
states: [{{name: A, type: inject, data: {{a: 1}}, end: true}}]
"""


def lowered(schedule: str) -> Schedule:
    found = dsl.compile(dsl.parse(workflow(body(schedule)))).schedule
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("R/PT2H", Schedule(Every(7200))),
        ("{interval: R/PT90S}", Schedule(Every(90))),
        ("'R/2030-01-01T00:00:00Z/PT1H'", Schedule(Every(3600), start=NEW_YEAR)),
        ("'R/PT1H/2030-01-01T00:00:00Z'", Schedule(Every(3600), end=NEW_YEAR)),
        ("'R/PT1H/2030-01-01T00:00:00'", Schedule(Every(3600), end=NEW_YEAR)),
    ],
)
def test_b36_an_interval_repeats_from_a_start_or_until_an_end(written: str, expected: Schedule) -> None:
    assert lowered(written) == expected


@pytest.mark.parametrize("written", ["R/P1M", "R/PT0.5S", "R/PT1H/PT2H", "R/", "R/2030-01-01T00:00:00Z"])
def test_b36_what_is_no_interval_is_refused(written: str) -> None:
    codes = {(found.code, found.pointer) for found in problems(body(f"'{written}'"))}
    assert len(codes) == 1
    code, pointer = codes.pop()
    assert code in ("invalid-interval", "invalid-value")
    assert pointer == "/start/schedule"


def at(**parts: Any) -> Calendar:
    return Calendar(**{name: (Range(*value),) for name, value in parts.items()})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0/15 * * * ?", at(minute=(0, 59, 15), hour=(0, 23), day=(1, 31), month=(1, 12))),
        ("0 0 12 ? * 2-6", at(minute=(0, 0), hour=(12, 12), day=(1, 31), month=(1, 12), weekday=(1, 5))),
        ("0 0 12 ? * MON", at(minute=(0, 0), hour=(12, 12), day=(1, 31), month=(1, 12), weekday=(1, 1))),
        (
            "30 0 0 1 1 ? 2031",
            at(second=(30, 30), minute=(0, 0), hour=(0, 0), day=(1, 1), month=(1, 1), year=(2031, 2031)),
        ),
    ],
)
def test_b37_six_or_seven_fields_are_read_as_quartz_reads_them(text: str, expected: Calendar) -> None:
    found = lowered(f"{{cron: '{text}'}}")
    assert found == Schedule(Cron(text, (expected,)))
    assert found.recurrence.calendars[0].weekday == expected.weekday  # type: ignore[union-attr]


def test_b37_five_fields_are_read_as_cron_reads_them() -> None:
    found = lowered(
        "{cron: {expression: '0 12 * * 1', validUntil: '2030-01-01T00:00:00Z'}, timezone: Europe/Rome}"
    )
    calendar = at(minute=(0, 0), hour=(12, 12), weekday=(1, 1))
    assert found == Schedule(Cron("0 12 * * 1", (calendar,)), "Europe/Rome", end=NEW_YEAR)
    assert calendar.day == Calendar().day
    assert Calendar().weekday == EACH_WEEKDAY


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


async def test_a_scheduled_workflow_can_be_run_at_once(run: Any) -> None:
    assert await output(run, body("R/PT1H")) == {"a": 1}
