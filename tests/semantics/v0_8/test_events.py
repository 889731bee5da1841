"""Event states and event switches: decisions B2, B9, B21 to B23, B29 and B33, on both runtimes."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from tests.semantics.v0_8.documents import event, output, problems, refused, warnings, workflow
from workflow_engine import dsl
from workflow_engine.graph.model import StateGraph
from workflow_engine.values import Duration

DEFINITIONS = """
events:
  - {name: A, type: a, source: tests}
  - {name: B, type: b, source: tests}
  - {name: C, type: c, source: tests}
  - {name: Whole, type: whole, source: tests, dataOnly: false}
functions:
  - {name: first, type: expression, operation: '{done: ((.done // []) + ["first"]), saw: (.saw // .x)}'}
  - {name: second, type: expression, operation: '{done: ((.done // []) + ["second"])}'}
"""
GO = "  - {name: Go, type: inject, data: {}, transition: Wait}\n"


def wait(settings: str, *, start: bool = False) -> str:
    """An event state with *settings*, which is the start of the workflow or not."""
    head = (
        DEFINITIONS + "states:\n" + ("" if start else GO) + "  - name: Wait\n    type: event\n    end: true\n"
    )
    return head + textwrap.indent(textwrap.dedent(settings).strip(), "    ")


def choose(settings: str) -> str:
    """An event switch with *settings*, and states to go to."""
    head = DEFINITIONS + "states:\n" + GO + "  - name: Wait\n    type: switch\n"
    states = "".join(
        f"\n  - {{name: Got {name}, type: inject, data: {{got: {name}}}, end: true}}"
        for name in ("A", "B", "none")
    )
    return head + textwrap.indent(textwrap.dedent(settings).strip(), "    ") + states


def graph(body: str) -> StateGraph:
    return dsl.compile(dsl.parse(workflow(body)))


# --- what is seen of an event -------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [True, False])
async def test_b2_what_the_filter_selects_of_the_data_is_merged(run: Any, start: bool) -> None:
    cases: list[tuple[str, Any]] = [
        ("{}", {"x": {"y": 1}, "l": [1]}),
        ("{data: '${ .x }'}", {"y": 1}),
        ("{data: .x, toStateData: .got.it}", {"got": {"it": {"y": 1}}}),
        ("{data: .x.y}", {"y": 1}),
        ("{data: .l}", {"l": [1]}),
        ("{data: '.x.y + 1'}", {"response": 2}),
        ("{useData: false, data: .x, toStateData: .never}", {}),
    ]
    for filter, expected in cases:
        body = wait(f"onEvents: [{{eventRefs: [A], eventDataFilter: {filter}}}]", start=start)
        came = event("a", filter, {"x": {"y": 1}, "l": [1]})
        assert await output(run, body, events=[came]) == expected, filter


async def test_b22_an_expression_sees_the_data_alone_and_never_falls_back_to_more(run: Any) -> None:
    body = wait("onEvents: [{eventRefs: [A], eventDataFilter: {data: .data.status}}]")
    assert await output(run, body, events=[event("a", "1", {"status": "ok"})]) == {}


async def test_b22_without_data_only_it_sees_the_whole_event(run: Any) -> None:
    body = wait("onEvents: [{eventRefs: [Whole], eventDataFilter: {data: '{type, room, data}'}}]")
    assert await output(run, body, events=[event("whole", "1", {"n": 1}, room="kitchen")]) == {
        "type": "whole",
        "room": "kitchen",
        "data": {"n": 1},
    }


@pytest.mark.parametrize(
    ("source", "hears"), [("/home/rooms/+", ["/home/rooms/1"]), ("/home/#", ["/home/x/y"])]
)
async def test_b21_a_source_may_have_wildcards(run: Any, source: str, hears: list[str]) -> None:
    body = f"""
    events: [{{name: R, type: r, source: '{source}'}}]
    states:
      - {{name: Go, type: inject, data: {{}}, transition: Wait}}
      - {{name: Wait, type: event, onEvents: [{{eventRefs: [R]}}], end: true}}
    """
    others = [
        {**event("r", f"o{at}", {"from": "other"}), "source": at} for at in ("/garden", "/home", "/rooms/1")
    ]
    mine = [{**event("r", "m", {"from": at}), "source": at} for at in hears]
    if source.endswith("#"):
        others.pop(1)  # `/home/#` is `/home` too
    assert await output(run, body, events=[*others, *mine]) == {"from": hears[0]}


# --- which events, and what is done about them --------------------------------------------------------------

TWO = """
    onEvents:
      - {eventRefs: [A], actions: [{functionRef: first}]}
      - {eventRefs: [B], actions: [{functionRef: second}]}
"""


@pytest.mark.parametrize("start", [True, False])
async def test_b23_any_event_runs_the_actions_of_its_own_entry(run: Any, start: bool) -> None:
    body = wait(TWO, start=start)
    assert await output(run, body, events=[event("b", "1", {"x": 1})]) == {"x": 1, "done": ["second"]}
    assert (await output(run, body, events=[event("a", "2", {"x": 1})]))["done"] == ["first"]


@pytest.mark.parametrize("start", [True, False])
async def test_b23_all_events_are_merged_as_they_come_and_the_actions_run_in_order(
    run: Any, start: bool
) -> None:
    body = wait(
        """
        exclusive: false
        onEvents:
          - eventRefs: [A, C]
            eventDataFilter: {data: .v, toStateData: .list}
            actions: [{functionRef: first}]
          - eventRefs: [B, C]
            eventDataFilter: {toStateData: .b}
            actions: [{functionRef: second}]
        """,
        start=start,
    )
    events = [event("c", "1", {"v": ["c"]}), event("b", "2", {"v": 2}), event("a", "3", {"v": ["a"]})]
    assert await output(run, body, events=events) == {
        "list": ["c", "a"],
        "saw": None,
        "done": ["first", "second"],
        "b": {"v": ["c", 2]},
    }


async def test_b28_the_actions_of_an_event_may_run_side_by_side(run: Any) -> None:
    body = wait("""
        onEvents:
          - eventRefs: [A]
            actionMode: parallel
            actions:
              - {functionRef: first, sleep: {before: PT0.03S}}
              - {functionRef: second}
    """)
    assert (await output(run, body, events=[event("a", "1", {"x": 1})]))["done"] == ["first", "second"]


async def test_an_event_that_came_before_the_wait_is_taken_once(run: Any) -> None:
    body = (
        wait("onEvents: [{eventRefs: [A]}]").replace("end: true", "transition: Again")
        + """
  - {name: Again, type: event, onEvents: [{eventRefs: [A]}], end: true}
"""
    )
    events = [event("a", "1", {"one": 1}), event("a", "2", {"two": 2})]
    assert await output(run, body, events=events) == {"one": 1, "two": 2}


# --- timeouts -----------------------------------------------------------------------------------------------


async def test_without_its_event_a_state_goes_on_in_time_and_without_its_actions(run: Any) -> None:
    body = wait("""
        exclusive: false
        timeouts: {eventTimeout: PT0.2S}
        onEvents: [{eventRefs: [A], actions: [{functionRef: first}]}, {eventRefs: [B]}]
    """)
    assert await output(run, body, {"k": 1}, events=[event("a", "1", {"x": 1})]) == {"k": 1}


async def test_the_time_for_an_event_does_not_count_what_is_done_about_it(run: Any) -> None:
    body = wait("""
        timeouts: {eventTimeout: PT1S}
        onEvents: [{eventRefs: [A], actions: [{functionRef: second, sleep: {before: PT1.2S}}]}]
    """)
    assert await output(run, body, events=[event("a", "1", {})]) == {"done": ["second"]}


CHOICE = """
    eventConditions:
      - {eventRef: A, transition: Got A, eventDataFilter: {toStateData: .a}}
      - {eventRef: B, transition: Got B, eventDataFilter: {useData: false}}
    defaultCondition: {transition: Got none}
"""


async def test_an_event_switch_goes_where_the_first_event_says(run: Any) -> None:
    assert await output(run, choose(CHOICE), events=[event("b", "1", 1), event("a", "2", 2)]) == {"got": "B"}
    assert await output(run, choose(CHOICE), events=[event("a", "3", 2)]) == {"a": 2, "got": "A"}


@pytest.mark.parametrize("place", ["timeouts: {eventTimeout: PT0.05S}", "eventTimeout: PT0.05S"])
async def test_b9_the_default_is_taken_when_no_event_comes_in_time_wherever_that_is_said(
    run: Any, place: str
) -> None:
    body = choose(f"{place}\n" + textwrap.dedent(CHOICE))
    assert await output(run, body) == {"got": "none"}


def test_b9_but_not_in_both_places() -> None:
    found = refused(choose("eventTimeout: PT1S\ntimeouts: {eventTimeout: PT2S}\n" + textwrap.dedent(CHOICE)))
    assert (found.code, found.pointer) == ("conflicting-properties", "/states/1/eventTimeout")


def test_b29_a_switch_without_a_timeout_waits_for_ever_and_that_is_warned_of() -> None:
    assert warnings(choose(CHOICE)) == [
        ("wait-without-timeout", "/states/1"),
        ("unreachable-state", "/states/4"),  # where the default would lead
    ]


# --- starts -------------------------------------------------------------------------------------------------


def test_an_event_state_at_the_start_starts_runs() -> None:
    trigger = graph(wait(TWO, start=True)).trigger
    assert trigger is not None
    assert (trigger.strategy.mode, trigger.channel, trigger.state) == ("any", "default", "/states/0")


def test_an_event_state_elsewhere_and_an_event_switch_at_the_start_do_not() -> None:
    assert graph(wait(TWO)).trigger is None
    assert graph(choose(CHOICE).replace(GO, "")).trigger is None


def test_the_channel_is_what_the_metadata_says() -> None:
    trigger = graph(wait(TWO, start=True) + "\n    metadata: {channel: orders}").trigger
    assert trigger is not None
    assert trigger.channel == "orders"


TIMED = "exclusive: false\ntimeouts: {eventTimeout: %s}\n" + textwrap.dedent(TWO)


async def test_all_events_that_start_a_run_have_a_time_in_which_to_come(run: Any) -> None:
    """The router forgets what has come when it is over (tests/events/test_in_time.py); in time they start the run."""
    body = wait(TIMED % "PT1H", start=True)
    trigger = graph(body).trigger
    assert trigger is not None
    assert trigger.within == Duration.parse("PT1H")
    events = [event("b", "1", {"y": 1}), event("a", "2", {"x": 2})]
    assert (await output(run, body, events=events))["done"] == ["first", "second"]
    # One event is all of them at once, and any of them needs no other.
    for alone in (
        "exclusive: false\ntimeouts: {eventTimeout: PT1H}\nonEvents: [{eventRefs: [A]}]",
        TIMED[17:] % "PT1H",
    ):
        alone_trigger = graph(wait(alone, start=True)).trigger
        assert alone_trigger is not None
        assert alone_trigger.within is None


@pytest.mark.parametrize(
    ("kept", "time"), [("keepActive: true\n", "PT1H"), ("constants: {t: PT1H}\n", "'${ $CONST.t }'")]
)
def test_a_time_for_events_that_cannot_be_kept_is_refused(kept: str, time: str) -> None:
    """A run that is kept active is started by the first event already; an expression has no run to be computed in."""
    found = refused(kept + wait(TIMED % time, start=True))
    assert (found.code, found.pointer) == ("unsupported", "/states/0/timeouts/eventTimeout")


@pytest.mark.parametrize(
    ("state", "pointer"),
    [
        ("{name: W, type: event, onEvents: [], end: true}", "/states/0/onEvents"),
        (
            "{name: W, type: switch, eventConditions: [], defaultCondition: {end: true}}",
            "/states/0/eventConditions",
        ),
    ],
)
def test_a_wait_for_no_event_at_all_is_refused(state: str, pointer: str) -> None:
    assert [(found.code, found.pointer) for found in problems(f"states: [{state}]")] == [
        ("invalid-value", pointer)
    ]


async def test_b33_a_sub_workflow_that_starts_with_an_event_state_waits_inside(run: Any) -> None:
    child = workflow(wait(TWO, start=True), id="child")
    # A run hears what is published from its start on, so that somebody says it until the child is there.
    speaker = """
    document: {dsl: '1.0.3', namespace: default, name: speaker, version: '1.0.0'}
    do:
      - often:
          for: {in: '[range(500)]'}
          do:
            - pause: {wait: {milliseconds: 50}}
            - say: {emit: {event: {with: {source: tests, type: b, data: {x: 2}}}}}
    """
    body = """
    states:
      - name: Run
        type: parallel
        completionType: atLeast
        numCompleted: 1
        branches:
          - {name: hears, actions: [{subFlowRef: child}]}
          - {name: says, actions: [{subFlowRef: speaker}]}
        end: true
    """
    assert await output(run, body, {"k": 1}, others=[child, textwrap.dedent(speaker)]) == {
        "k": 1,
        "x": 2,
        "done": ["second"],
    }


async def test_a_run_that_comes_back_to_its_start_waits_for_another_event(run: Any) -> None:
    body = (
        wait("onEvents: [{eventRefs: [A]}]", start=True).replace("end: true", "transition: Enough")
        + """
  - name: Enough
    type: switch
    dataConditions: [{condition: '.n >= 2', end: true}]
    defaultCondition: {transition: Wait}
"""
    )
    events = [event("a", "1", {"n": 1, "one": True}), event("a", "2", {"n": 2})]
    assert await output(run, body, events=events) == {"n": 2, "one": True}
