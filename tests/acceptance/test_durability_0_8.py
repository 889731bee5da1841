"""What only DSL 0.8 has survives its worker: it is killed in the middle of each, and nothing is done twice.

Once in each test: a worker that dies five times within a minute is given up by `wfe dev`.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_durability import completed, get, post, program, published, state_of, until
from tests.cli.test_dev import Dev, dev

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

HEAD = "id: {id}\nspecVersion: '0.8'\nversion: '1.0'\n"
EVENTS = """
events:
  - {name: Told, type: t.told, kind: produced}
  - {name: Reading, type: t.reading, source: here, correlation: [{contextAttributeName: room}]}
"""
COMPENSATION = (
    HEAD.format(id="booking")
    + EVENTS
    + """
states:
  - {name: Hotel, type: inject, data: {log: [hotel]}, compensatedBy: CancelHotel, transition: Flight}
  - {name: Flight, type: inject, data: {log: [flight]}, compensatedBy: CancelFlight, transition: Decide}
  - name: Decide
    type: sleep
    duration: PT2S
    end: {compensate: true, produceEvents: [{eventRef: Told, data: '${ .log }'}]}
  - name: CancelFlight
    type: sleep
    duration: PT4S
    usedForCompensation: true
    transition: {nextState: FlightCancelled, produceEvents: [{eventRef: Told, data: '${ "flight" }'}]}
  - {name: FlightCancelled, type: inject, data: {log: [no flight]}, usedForCompensation: true}
  - name: CancelHotel
    type: inject
    data: {log: [no hotel]}
    usedForCompensation: true
"""
)
CONTINUED = (
    HEAD.format(id="again")
    + EVENTS
    + """
states:
  - {name: Nap, type: sleep, duration: PT3S, transition: Count}
  - name: Count
    type: switch
    dataConditions:
      - condition: .n < 2
        end:
          continueAs: {workflowId: again, data: '${ {n: (.n + 1)} }'}
          produceEvents: [{eventRef: Told, data: '${ .n }'}]
    defaultCondition: {end: true}
"""
)
KEPT = (
    HEAD.format(id="rooms")
    + EVENTS
    + """
keepActive: true
timeouts: {workflowExecTimeout: {duration: PT12S, runBefore: Report}}
states:
  - name: Read
    type: event
    onEvents: [{eventRefs: [Reading], eventDataFilter: {data: '${ [.] }', toStateData: .readings}}]
    end: true
  - {name: Report, type: inject, data: {reported: true}, end: {terminate: true, produceEvents: [{eventRef: Told}]}}
"""
)
SOME = (
    HEAD.format(id="some")
    + EVENTS
    + """
states:
  - name: Race
    type: parallel
    completionType: atLeast
    numCompleted: 1
    branches:
      - {name: slow, actions: [{subFlowRef: slow}]}
      - {name: quick, actions: [{subFlowRef: quick}]}
    end: {produceEvents: [{eventRef: Told, data: '${ .quick }'}]}
"""
)
SLOW = HEAD.format(id="slow") + "states: [{name: S, type: sleep, duration: PT1H, end: true}]\n"
QUICK = HEAD.format(id="quick") + (
    "states:\n"
    "  - {name: S, type: sleep, duration: PT4S, transition: Q}\n"
    "  - {name: Q, type: inject, data: {quick: true}, end: true}\n"
)


def deploy(base: str, *texts: str) -> None:
    for text in texts:
        post(base, "/v1/workflows", text, "application/yaml")


def start(base: str, name: str, run: str, input: Any) -> None:
    post(base, f"/v1/workflows/default/{name}/latest/runs?id={run}", input)


def kill_the_worker(running: Dev) -> None:
    def there() -> int:
        try:
            return program(running, "workflow_engine", "worker")
        except AssertionError:  # the one before has been killed, and the next one is on its way
            return 0

    os.kill(until(there, "there is a worker"), signal.SIGKILL)


def at(base: str, run: str, state: str) -> None:
    until(lambda: state in state_of(base, run)[1], f"{run} has come to {state}")


@pytest.fixture
def running(tmp_path: Path) -> Any:
    """One for each test, since `wfe dev` gives a worker up that dies five times within a minute."""
    with dev(tmp_path / "data") as running:
        yield running


def test_b34_compensation_is_done_once_though_the_worker_dies_in_the_middle_of_it(running: Dev) -> None:
    base = running.urls["api"]
    deploy(base, COMPENSATION)
    start(base, "booking", "c1", {"n": 1})
    at(base, "c1", "CancelFlight")
    kill_the_worker(running)
    assert completed(base, "c1") == {"n": 1, "log": ["hotel", "flight", "no flight", "no hotel"]}
    assert len(published(base, "t.told", "c1")) == 2


def test_a_run_goes_on_as_another_though_the_worker_dies_in_the_middle(running: Dev) -> None:
    base = running.urls["api"]
    deploy(base, CONTINUED)
    start(base, "again", "a1", {"n": 0})
    for number in range(2):
        at(base, "a1", "Nap")
        kill_the_worker(running)
        until(
            lambda number=number: len(published(base, "t.told", "a1")) > number, f"run {number} has gone on"
        )
    assert completed(base, "a1") == {"n": 2}
    assert len(published(base, "t.told", "a1")) == 2


def test_b19_a_run_that_is_kept_active_loses_no_event_and_reports_before_its_end(
    running: Dev, tmp_path: Path
) -> None:
    base = running.urls["api"]
    deploy(base, KEPT)
    for number in range(4):
        event = {
            "specversion": "1.0",
            "id": f"r{number}",
            "source": "here",
            "type": "t.reading",
            "room": "kitchen",
            "data": number,
        }
        post(base, "/v1/events", event, "application/cloudevents+json")
        if number == 1:
            kill_the_worker(running)
    found = until(lambda: get(base, "/v1/runs?workflow=rooms")["runs"], "the first event starts a run")
    assert len(found) == 1
    run = found[0]["id"]
    assert completed(base, run) == {"readings": [0, 1, 2, 3], "reported": True}
    told = [item["event"]["id"] for item in get(base, "/v1/events?type=t.told&limit=200")["events"]]
    assert sum(id.startswith(run) for id in told) == 1


def test_b27_enough_branches_end_the_others_though_the_worker_dies_meanwhile(running: Dev) -> None:
    base = running.urls["api"]
    deploy(base, SOME, SLOW, QUICK)
    start(base, "some", "s1", {"n": 1})
    at(base, "s1", "quick")
    kill_the_worker(running)
    assert completed(base, "s1") == {"n": 1, "quick": True}
    assert len(published(base, "t.told", "s1")) == 1
    slow = [run for run in get(base, "/v1/runs?workflow=slow")["runs"] if run["id"].startswith("s1")]
    assert [run["status"] for run in slow] == ["cancelled"]
