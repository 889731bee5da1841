"""Lifecycle events through the API and the command line; every one is there, once, though workers are killed."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError

import pytest

from tests.acceptance.test_durability import completed, get, kill_the_worker, post, program, state_of, until
from tests.cli.test_dev import Dev, dev

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

TOLD = """
document: {dsl: '1.0.3', namespace: test, name: told, version: '1.0.0'}
do:
  - first: {set: '${ . + {first: true} }'}
  - loop:
      for: {in: '[1, 2, 3]'}
      do:
        - nap: {wait: PT2S}
        - step: {set: '${ . + {step: $item} }'}
  - both:
      fork:
        branches:
          - left: {do: [{rest: {wait: PT1S}}, {leave: {set: left}}]}
          - right: {emit: {event: {with: {type: t.told}}}, output: {as: '"right"'}}
"""
QUICK = """
document: {dsl: '1.0.3', namespace: test, name: quick, version: '1.0.0'}
do: [{only: {set: {side: left}}}]
"""
FAILS = """
document: {dsl: '1.0.3', namespace: test, name: fails, version: '1.0.0'}
do: [{fail: {raise: {error: {type: 'https://e.example/x', status: 418}}}}]
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    folder = tmp_path_factory.mktemp("told") / "data"
    with dev(folder, env={"WFE_LIFECYCLE_EVENTS": "task"}) as started:
        for text in (TOLD, QUICK, FAILS):
            post(started.urls["api"], "/v1/workflows", text, "application/yaml")
        yield started


def told(running: Dev, run: str) -> list[dict[str, Any]]:
    """What the run has told, oldest first, as the command line lists it."""
    ended = running.wfe("events", "list", "--channel", "lifecycle", "--limit", "1000", "--json")
    assert ended.code == 0, ended.err
    events = [entry["event"] for entry in json.loads(ended.out)]
    return [event for event in reversed(events) if event["id"].startswith(f"{run}/")]


def told_so_far(base: str, run: str) -> int:
    """How much the run has told, as the API lists it."""
    events = get(base, "/v1/events?channel=lifecycle&limit=1000")["events"]
    return sum(entry["event"]["id"].startswith(f"{run}/") for entry in events)


RIGHT = "/task/do/2/both/fork/branches/1/right#1/completed"
"""Told by a branch while another one waits for a second: in time, unless the machine is busy."""


def expected() -> list[str]:
    """The ids, without the run, in order."""

    def task(place: str, number: int, *phases: str) -> list[str]:
        return [f"/task{place}#{number}/{phase}" for phase in phases]

    whole = ("created", "started", "completed")
    ids = ["/workflow/started", *task("/do/0/first", 1, *whole), *task("/do/1/loop", 1, "created", "started")]
    for number in (1, 2, 3):
        ids += task("/do/1/loop/do/0/nap", number, *whole) + task("/do/1/loop/do/1/step", number, *whole)
    ids += task("/do/1/loop", 1, "completed") + task("/do/2/both", 1, "created", "started")
    branches = "/do/2/both/fork/branches"
    left = f"{branches}/0/left"
    ids += task(left, 1, "created", "started") + task(f"{left}/do/0/rest", 1, "created", "started")
    ids += task(f"{branches}/1/right", 1, *whole) + task(f"{left}/do/0/rest", 1, "completed")
    ids += task(f"{left}/do/1/leave", 1, *whole) + task(left, 1, "completed")
    return [*ids, *task("/do/2/both", 1, "completed"), "/workflow/completed"]


def test_every_event_is_told_once_and_in_order_though_workers_are_killed(running: Dev) -> None:
    base = running.urls["api"]
    post(base, "/v1/workflows/test/told/latest/runs?id=k1", {})
    until(lambda: state_of(base, "k1")[1] == ["nap"], "the run has come to its first wait")
    kill_the_worker(running)
    until(lambda: told_so_far(base, "k1") > 12, "it goes on")
    kill_the_worker(running)
    assert completed(base, "k1") == ["left", "right"]
    ids = [event["id"].removeprefix("k1") for event in told(running, "k1")]
    assert sorted(ids) == sorted(expected())
    assert [id for id in ids if id != RIGHT] == [id for id in expected() if id != RIGHT]
    started, both = RIGHT.replace("completed", "started"), "/task/do/2/both#1/completed"
    assert ids.index(started) < ids.index(RIGHT) < ids.index(both)


def test_a_run_whose_worker_is_killed_as_it_tells_tells_all(running: Dev) -> None:
    base = running.urls["api"]
    api = program(running, "workflow_engine", "api")
    post(base, "/v1/workflows/test/told/latest/runs?id=k2", {})
    until(lambda: state_of(base, "k2")[1] == ["nap"], "the run has come to its first wait")
    os.kill(api, signal.SIGSTOP)  # what is told from now on is not answered
    try:
        time.sleep(3)  # the wait is over, and the worker tells so
        kill_the_worker(running)
        time.sleep(1)
    finally:
        os.kill(api, signal.SIGCONT)
    assert completed(base, "k2") == ["left", "right"]
    assert sorted(event["id"].removeprefix("k2") for event in told(running, "k2")) == sorted(expected())


def test_the_address_of_the_output_answers_with_the_output(running: Dev) -> None:
    base = running.urls["api"]
    post(base, "/v1/workflows/test/quick/latest/runs?id=k3", {})
    assert completed(base, "k3") == {"side": "left"}
    address = told(running, "k3")[-1]["data"]["outputUri"]
    assert address == f"{base}/v1/runs/k3/output"
    assert get(address, "") == {"side": "left"}


def test_a_faulted_run_has_told_its_error_and_has_no_output(running: Dev) -> None:
    base = running.urls["api"]
    post(base, "/v1/workflows/test/fails/latest/runs?id=k4&wait=30", {})
    last = told(running, "k4")[-1]
    assert last["type"] == "io.serverlessworkflow.workflow.faulted.v1"
    assert last["subject"] == "fails-k4.test"
    assert last["data"]["error"]["status"] == 418
    with pytest.raises(HTTPError) as refused:
        get(base, "/v1/runs/k4/output")
    assert refused.value.code == 409


WATCHES = """
document:
  dsl: '1.0.3'
  namespace: test
  name: watches
  version: '1.0.0'
  metadata: {channel: lifecycle, lifecycleEvents: none}
schedule: {on: {one: {with: {type: io.serverlessworkflow.workflow.faulted.v1, subject: fails-k5.test}}}, read: data}
do: [{seen: {set: '${ .[0].error.status }'}}]
"""


def test_a_workflow_may_be_started_by_what_another_one_tells(running: Dev) -> None:
    base = running.urls["api"]
    post(base, "/v1/workflows", WATCHES, "application/yaml")
    post(base, "/v1/workflows/test/fails/latest/runs?id=k5&wait=30", {})

    def watched() -> Any:
        runs = get(base, "/v1/runs?workflow=watches")["runs"]
        return [run["id"] for run in runs if run["status"] == "completed"]

    [run] = until(watched, "the other workflow is started and completes")
    assert get(base, f"/v1/runs/{run}/output") == 418
    assert told(running, run) == []
