"""``schedule`` of DSL 1.0: which runs the clock starts, and what is refused when a document is loaded.

That the clock starts them is tested in `tests.runtimes.test_schedules`, on real Temporal.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.semantics.v1.documents import event, output, problems, refused, warnings, workflow
from workflow_engine import dsl
from workflow_engine.dsl.cron import calendars
from workflow_engine.graph import render
from workflow_engine.graph.model import Schedule
from workflow_engine.graph.schedule import After, Calendar, Cron, Every, Range
from workflow_engine.values import Duration

ROME = "document: {dsl: '1.0.3', namespace: t, name: t, version: '1.0.0', metadata: {timezone: %s}}\n"


def schedule(written: str) -> Schedule | None:
    return dsl.compile(dsl.parse(workflow(f"schedule: {written}\ndo: []"))).schedule


def holds(calendar: Calendar, moment: datetime) -> bool:
    """Whether *moment* is one of those of *calendar*, by what a calendar says it means."""
    parts = (
        (calendar.minute, moment.minute),
        (calendar.hour, moment.hour),
        (calendar.day, moment.day),
        (calendar.month, moment.month),
        (calendar.weekday, moment.isoweekday() % 7),
        (calendar.second, moment.second),
    )
    return all(
        any(number in range(item.start, item.end + 1, item.step) for item in ranges)
        for ranges, number in parts
    )


def moments(text: str, count: int, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> list[str]:
    """The first *count* moments of a cron expression from *start* on."""
    found, wanted = calendars(text), []
    while len(wanted) < count:
        if any(holds(calendar, start) for calendar in found):
            wanted.append(start.strftime("%a %d %b %H:%M"))
        start += timedelta(minutes=1)
    return wanted


def test_a46_every_is_so_many_seconds_after_cron_a_calendar_after_a_delay() -> None:
    assert schedule("{every: PT1H30M}") == Schedule(Every(5400))
    assert schedule("{every: {days: 1, seconds: 1}}") == Schedule(Every(86401))
    assert schedule("{after: PT0.2S}") == Schedule(After(Duration(0, 0.2)))
    assert schedule("{after: P1M}") == Schedule(After(Duration(1, 0)))
    found = schedule("{cron: ' 0   6 * * 1 '}")
    assert found is not None
    assert isinstance(found.recurrence, Cron)
    assert found.recurrence.text == "0 6 * * 1"
    assert schedule("{on: {one: {with: {type: a}}}}") is None


def test_a46_a_schedule_has_exactly_one_of_its_keys() -> None:
    assert refused("schedule: {every: PT1H, after: PT1H}\ndo: []").code == "conflicting-properties"
    assert refused("schedule: {}\ndo: []").code == "missing-property"
    assert refused("schedule: {every: PT1H, read: data}\ndo: []").code == "misplaced-property"


def test_a46_cron_is_in_utc_unless_the_metadata_name_a_time_zone() -> None:
    utc = schedule("{cron: '0 0 * * *'}")
    assert utc is not None
    assert utc.timezone == "UTC"
    text = ROME % "Europe/Rome" + "schedule: {cron: '0 0 * * *'}\ndo: []"
    there = dsl.compile(dsl.parse(text)).schedule
    assert there is not None
    assert there.timezone == "Europe/Rome"


@pytest.mark.parametrize("name", ["Europe/Roma", "''", "../UTC", "/etc/passwd", "5", "Europe"])
def test_a_time_zone_that_is_not_known_is_refused(name: str) -> None:
    text = ROME % name + "schedule: {cron: '0 0 * * *'}\ndo: []"
    [found] = dsl.check(dsl.parse(text))
    assert (found.code, found.pointer) == ("unknown-timezone", "/document/metadata/timezone")
    if name == "Europe/Roma":
        assert "did you mean 'Europe/Rome'?" in found.message


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("* * * * *", ["Thu 01 Jan 00:00", "Thu 01 Jan 00:01"]),
        ("*/25 * * * *", ["Thu 01 Jan 00:00", "Thu 01 Jan 00:25", "Thu 01 Jan 00:50", "Thu 01 Jan 01:00"]),
        ("5/30 0 * * *", ["Thu 01 Jan 00:05", "Thu 01 Jan 00:35", "Fri 02 Jan 00:05"]),
        ("0 8-18/5 * * *", ["Thu 01 Jan 08:00", "Thu 01 Jan 13:00", "Thu 01 Jan 18:00", "Fri 02 Jan 08:00"]),
        ("30 6 * * mon-fri", ["Thu 01 Jan 06:30", "Fri 02 Jan 06:30", "Mon 05 Jan 06:30"]),
        ("0 0 * * 7", ["Sun 04 Jan 00:00", "Sun 11 Jan 00:00"]),
        ("0 0 * * FRI-SUN", ["Fri 02 Jan 00:00", "Sat 03 Jan 00:00", "Sun 04 Jan 00:00", "Fri 09 Jan 00:00"]),
        ("0 0 * * sun-sat", ["Thu 01 Jan 00:00", "Fri 02 Jan 00:00"]),
        ("0 12 1,15 jan,mar *", ["Thu 01 Jan 12:00", "Thu 15 Jan 12:00", "Sun 01 Mar 12:00"]),
        ("0 0 31 * *", ["Sat 31 Jan 00:00", "Tue 31 Mar 00:00"]),
    ],
)
def test_a46_the_five_fields_of_cron_mean_what_crontab_says(text: str, first: list[str]) -> None:
    assert moments(text, len(first)) == first


def test_a46_of_a_restricted_day_and_a_restricted_weekday_either_will_do() -> None:
    assert moments("0 0 13 * fri", 3) == ["Fri 02 Jan 00:00", "Fri 09 Jan 00:00", "Tue 13 Jan 00:00"]
    assert moments("0 0 */13 * fri", 2) == ["Fri 27 Feb 00:00", "Fri 27 Mar 00:00"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("60 * * * *", "minute is from 0 to 59"),
        ("* 24 * * *", "hour is from 0 to 23"),
        ("* * 0 * *", "day of the month is from 1 to 31"),
        ("* * * 13 *", "month is from 1 to 12, or a name such as feb"),
        ("* * * * 8", "day of the week is from 0 to 7"),
        ("5-1 * * * *", "goes backwards"),
        ("*/0 * * * *", "step of the minute is from 1"),
        ("1- * * * *", "write a number"),
        ("1,,2 * * * *", "write a number"),
        ("* * * *", "got 4 fields"),
        ("0 0 12 * * ?", "got 6 fields; seconds and years are not among them"),
        ("0 0 ? * *", "signs of Quartz"),
        ("0 0 L * *", "signs of Quartz"),
        ("0 0 * * 1#2", "signs of Quartz"),
        ("@daily", "write '0 0 \\* \\* \\*'"),
        ("@every 5m", "write `every: PT1H`"),
        ("0 0 31 2 *", "never comes"),
        ("0 0 31 4,6 *", "never comes"),
        ("* " * 300, "at most 500"),
    ],
)
def test_a_cron_expression_that_cannot_be_read_or_never_comes_is_refused(text: str, says: str) -> None:
    found = refused(f"schedule: {{cron: '{text}'}}\ndo: []")
    assert (found.code, found.pointer) == ("invalid-cron", "/schedule/cron")
    with pytest.raises(ValueError, match=says):
        calendars(text)


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("{every: PT0S}", "invalid-interval"),
        ("{every: {seconds: 0}}", "invalid-interval"),
        ("{every: PT0.5S}", "invalid-interval"),
        ("{every: {milliseconds: 1500}}", "invalid-interval"),
        ("{every: P1M}", "invalid-interval"),
        ("{every: P1YT1H}", "invalid-interval"),
        ("{every: P200Y}", "invalid-interval"),
        ("{every: P40000D}", "invalid-interval"),
        ("{every: '${ .interval }'}", "invalid-interval"),
        ("{every: -PT1H}", "invalid-duration"),
        ("{every: {hours: -1}}", "invalid-value"),
        ("{every: hourly}", "invalid-duration"),
        ("{after: PT0S}", "invalid-interval"),
        ("{after: '${ $context.pause }'}", "invalid-interval"),
        ("{after: P101Y}", "invalid-interval"),
    ],
)
def test_an_interval_that_cannot_be_kept_is_refused(written: str, code: str) -> None:
    found = problems(f"schedule: {written}\ndo: []")
    assert {problem.code for problem in found} == {code}
    assert all(problem.pointer.startswith("/schedule/") for problem in found)


@pytest.mark.parametrize(
    ("written", "label"),
    [
        ("{every: PT90M}", "every 1 h 30 min"),
        ("{cron: '0 6 * * *'}", "at 0 6 * * *"),
        ("{after: PT5M}", "5 min after each run"),
    ],
)
def test_a_diagram_says_when_runs_start(written: str, label: str) -> None:
    graph = dsl.compile(dsl.parse(workflow(f"schedule: {written}\ndo: []")))
    assert render.to_json(graph)["schedule"] == {"label": label}
    assert label.partition(" *")[0] in render.dot(graph)


async def test_a_scheduled_document_that_is_run_by_hand_runs_once_with_the_given_input(run: Any) -> None:
    body = "schedule: {%s}\ndo: [{a: {set: {got: '${ . }'}}}]"
    for written in ("every: PT1H", "cron: '0 0 1 1 *'", "after: PT1H"):
        assert await output(run, body % written, {"n": 1}) == {"got": {"n": 1}}


async def test_a44_until_a_condition_holds_events_are_gathered_for_one_run(run: Any) -> None:
    body = """
    schedule:
      on: {any: [{with: {type: t}}], until: '(map(.data) | add) >= 10'}
    do: [{a: {set: {got: '${ map(.data) }'}}}]
    """
    events = [
        event("t", "1", 3),
        event("u", "2", 9),
        event("t", "3", 4),
        event("t", "4", 5),
        event("t", "5", 6),
    ]
    assert await output(run, body, events=events) == {"got": [3, 4, 5]}


async def test_a36_the_condition_of_until_sees_the_events_as_they_are_read(run: Any) -> None:
    body = """
    schedule: {on: {any: [{with: {type: t}}], until: '. == [1, 2]'}, read: data}
    do: [{a: {set: {got: '${ . }'}}}]
    """
    assert await output(run, body, events=[event("t", "1", 1), event("t", "2", 2)]) == {"got": [1, 2]}


async def test_a44_until_an_event_comes_which_is_not_part_of_the_input(run: Any) -> None:
    body = """
    schedule:
      read: data
      on: {any: [{with: {type: t}}, {with: {type: u}}], until: {one: {with: {type: stop}}}}
    do: [{a: {set: {got: '${ . }'}}}]
    """
    events = [event("t", "1", 1), event("u", "2", 2), event("stop", "3", 3), event("t", "4", 4)]
    assert await output(run, body, events=events) == {"got": [1, 2]}


def test_until_goes_with_any_alone_and_sees_no_variables() -> None:
    assert refused("schedule: {on: {one: {with: {type: a}}, until: 'true'}}\ndo: []").code in {
        "misplaced-property",
        "misplaced-until",
    }
    found = refused("schedule: {on: {any: [{with: {type: a}}], until: '$context.enough'}}\ndo: []")
    assert (found.code, found.pointer) == ("invalid-expression", "/schedule/on/until")


def test_what_a_correlation_expects_can_be_computed_when_the_workflow_is_deployed() -> None:
    body = "schedule: {on: {%s}}\ndo: []"
    one = "{with: {type: a}, correlate: {k: {from: .id, expect: '%s'}}}"
    assert problems(body % f"one: {one % '${ 1 + 1 }'}") == []
    found = refused(body % f"one: {one % '${ 1 / 0 }'}")
    assert (found.code, found.pointer) == ("invalid-expression", "/schedule/on/one/correlate/k/expect")
    found = refused(body % f"any: [], until: {{all: [{one % 'x'}, {one % '${ error }'}]}}")
    assert found.pointer == "/schedule/on/until/all/1/correlate/k/expect"


def test_a_diagram_says_until_when_events_are_gathered() -> None:
    body = "schedule: {on: {any: [{with: {type: t}}], until: '(. | length) == 3'}}\ndo: []"
    label = render.to_json(dsl.compile(dsl.parse(workflow(body))))["trigger"]["label"]
    assert label == "on t until (. | length) == 3"


def test_an_input_schema_that_no_scheduled_run_can_satisfy_is_warned_of() -> None:
    body = "schedule: %s\ninput: {schema: {document: {type: object, required: [id]}}}\ndo: []"
    assert warnings(body % "{every: PT1H}") == ["scheduled-input"]
    assert warnings(body % "{on: {one: {with: {type: a}}}}") == []
    assert warnings((body % "{after: PT1H}").replace("[id]", "[]")) == []


def test_ranges_are_kept_as_they_are_written() -> None:
    [calendar] = calendars("*/15 8-18 * * *")
    assert calendar.minute == (Range(0, 59, 15),)
    assert calendar.hour == (Range(8, 18),)
    assert calendar.second == (Range(0, 0),)
    assert calendar.year == ()
