"""What only DSL 0.8 has survives its worker: it is killed in the middle of each, and nothing is done twice.

All runs go on side by side, so that one death is one for each of them. What they do in the middle takes long enough for
all of them to be there at the same time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.acceptance.test_durability import at, completed, get, kill_the_worker, post, published, until
from tests.cli.test_dev import dev

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
    duration: PT1S
    end: {compensate: true, produceEvents: [{eventRef: Told, data: '${ .log }'}]}
  - name: CancelFlight
    type: sleep
    duration: PT6S
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
  - {name: Nap, type: sleep, duration: PT5S, transition: Count}
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
timeouts: {workflowExecTimeout: {duration: PT24S, runBefore: Report}}
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
    "  - {name: S, type: sleep, duration: PT6S, transition: Q}\n"
    "  - {name: Q, type: inject, data: {quick: true}, end: true}\n"
)


def deploy(base: str, *texts: str) -> None:
    for text in texts:
        post(base, "/v1/workflows", text, "application/yaml")


def start(base: str, name: str, run: str, input: Any) -> None:
    post(base, f"/v1/workflows/default/{name}/latest/runs?id={run}", input)


@pytest.fixture(scope="module")
def survived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where runs of all these go on whose worker has been killed in the middle of each; the URL of the API."""
    with dev(tmp_path_factory.mktemp("survived") / "data") as running:
        base = running.urls["api"]
        deploy(base, COMPENSATION, CONTINUED, KEPT, SOME, SLOW, QUICK)
        start(base, "booking", "c1", {"n": 1})
        at(base, "c1", "CancelFlight")
        start(base, "again", "a1", {"n": 0})
        start(base, "some", "s1", {"n": 1})
        readings(base, 0, 1)
        at(base, "s1", "quick")
        at(base, "a1", "Nap")
        kill_the_worker(running)
        readings(base, 2, 3)
        until(lambda: published(base, "t.told", "a1"), "the run has gone on as another")
        at(base, "a1", "Nap")
        kill_the_worker(running)
        yield base


def readings(base: str, *numbers: int) -> None:
    for number in numbers:
        event = {
            "specversion": "1.0",
            "id": f"r{number}",
            "source": "here",
            "type": "t.reading",
            "room": "kitchen",
        }
        post(base, "/v1/events", event | {"data": number}, "application/cloudevents+json")


def test_b34_compensation_is_done_once_though_the_worker_dies_in_the_middle_of_it(survived: str) -> None:
    assert completed(survived, "c1") == {"n": 1, "log": ["hotel", "flight", "no flight", "no hotel"]}
    assert len(published(survived, "t.told", "c1")) == 2


def test_a_run_goes_on_as_another_though_the_worker_dies_in_the_middle(survived: str) -> None:
    assert completed(survived, "a1") == {"n": 2}
    assert len(published(survived, "t.told", "a1")) == 2


def test_b19_a_run_that_is_kept_active_loses_no_event_and_reports_before_its_end(survived: str) -> None:
    [run] = until(lambda: runs_of(survived, "rooms"), "the first event starts a run")
    assert completed(survived, run["id"]) == {"readings": [0, 1, 2, 3], "reported": True}
    told = [item["event"]["id"] for item in get(survived, "/v1/events?type=t.told&limit=200")["events"]]
    assert sum(id.startswith(run["id"]) for id in told) == 1
    assert len(runs_of(survived, "rooms")) == 1


def test_b27_enough_branches_end_the_others_though_the_worker_dies_meanwhile(survived: str) -> None:
    assert completed(survived, "s1") == {"n": 1, "quick": True}
    assert len(published(survived, "t.told", "s1")) == 1

    def slow() -> list[str]:  # which the list tells a moment later
        found = [run["status"] for run in runs_of(survived, "slow") if run["id"].startswith("s1")]
        return found if found and "waiting" not in found and "running" not in found else []

    assert until(slow, "the slow one has ended") == ["cancelled"]


def runs_of(base: str, workflow: str) -> list[Any]:
    return list(get(base, f"/v1/runs?workflow={workflow}")["runs"])
