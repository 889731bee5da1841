"""Processes are killed at the worst moments; every run ends as its document says, each effect once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.cli.test_dev import Dev, dev
from tests.standins import httpbin
from tests.standins.server import ServerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PATIENCE = 90.0

JOURNEY = """
document: {{dsl: '1.0.3', namespace: test, name: journey, version: '1.0.0', title: A journey}}
do:
  - depart:
      emit: {{event: {{with: {{type: t.depart, data: '${{ . }}'}}}}}}
      output: {{as: .data}}
  - ferry:
      call: http
      with: {{method: post, endpoint: '{url}/delay/2', body: '${{ . }}'}}
      output: {{as: $input}}
  - rest: {{wait: PT6S}}
  - branches:
      fork:
        branches:
          - one: {{emit: {{event: {{with: {{type: t.arrive, subject: one, data: '${{ . }}'}}}}}}}}
          - two:
              do:
                - nap: {{wait: PT1S}}
                - say: {{emit: {{event: {{with: {{type: t.arrive, subject: two}}}}}}}}
      output: {{as: $input}}
"""
STARTED = """
id: started-by-event
specVersion: '0.8'
version: '1.0'
start: Hear
states:
  - name: Hear
    type: event
    onEvents: [{eventRefs: [Ping]}]
    transition: Note
  - name: Note
    type: inject
    data: {heard: true}
    end: true
events: [{name: Ping, type: t.ping, source: here}]
"""


def until(what: Callable[[], Any], reason: str, seconds: float = PATIENCE) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {reason}"
        time.sleep(0.05)
    return found


def get(base: str, path: str) -> Any:
    with urlopen(base + path, timeout=10) as answer:
        return json.load(answer)


def post(base: str, path: str, body: Any, kind: str = "application/json") -> Any:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    request = Request(base + path, data=data, headers={"Content-Type": kind}, method="POST")
    with urlopen(request, timeout=10) as answer:
        return json.load(answer)


def state_of(base: str, run: str) -> tuple[str, list[str]]:
    try:
        found = get(base, f"/v1/runs/{run}")
    except OSError:
        return "", []
    return found["status"], [state["name"] for state in found["states"]]


def program(running: Dev, *words: str) -> int:
    """The process of *running* whose command line ends in, or has, all *words*; not its guard."""
    for pid in running.programs():
        try:
            line = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            continue
        if all(word in line for word in words) and not any("guard" in part for part in line):
            return pid
    raise AssertionError(f"no process has {words}")


def completed(base: str, run: str) -> Any:
    until(lambda: state_of(base, run)[0] in {"completed", "faulted", "cancelled"}, f"{run} ends")
    found = get(base, f"/v1/runs/{run}")
    assert found["status"] == "completed", found["error"]
    return found["output"]


def published(base: str, type: str, run: str) -> list[str]:
    events = get(base, f"/v1/events?type={type}&limit=200")["events"]
    return sorted(event["event"]["id"] for event in events if event["event"]["id"].startswith(f"{run}/"))


@contextmanager
def journey(tmp_path: Path) -> Iterator[tuple[Dev, Any]]:
    with ServerThread(httpbin.app) as server, dev(tmp_path / "data") as running:
        post(running.urls["api"], "/v1/workflows", JOURNEY.format(url=server.url), "application/yaml")
        yield running, server


def check_effects(base: str, server: Any, run: str) -> None:
    """One departure, both arrivals, and one ferry by its idempotency key, however often it was asked."""
    assert published(base, "t.depart", run) == [f"{run}/do/0/depart"]
    assert len(published(base, "t.arrive", run)) == 2
    keys = {request.headers["Idempotency-Key"] for request in server.requests if request.method == "POST"}
    assert keys == {f"{run}/do/1/ferry"}


def test_a_run_completes_though_its_worker_is_killed_during_a_call_and_during_a_wait(tmp_path: Path) -> None:
    with journey(tmp_path) as (running, server):
        base = running.urls["api"]
        post(base, "/v1/workflows/test/journey/latest/runs?id=j1", {"n": 1})
        until(lambda: server.requests, "the call is under way")
        os.kill(program(running, "workflow_engine", "worker"), signal.SIGKILL)
        until(lambda: "rest" in state_of(base, "j1")[1], "the run has come to its wait")
        os.kill(program(running, "workflow_engine", "worker"), signal.SIGKILL)
        assert completed(base, "j1") == {"n": 1}
        check_effects(base, server, "j1")


def test_a_run_completes_though_the_whole_of_wfe_dev_is_killed(tmp_path: Path) -> None:
    with ServerThread(httpbin.app) as server:
        with dev(tmp_path / "data") as running:
            base = running.urls["api"]
            post(base, "/v1/workflows", JOURNEY.format(url=server.url), "application/yaml")
            post(base, "/v1/workflows/test/journey/latest/runs?id=j2", {"n": 2})
            until(lambda: server.requests, "the call is under way")
            running.process.kill()
            running.process.wait()
        with dev(tmp_path / "data") as running:
            base = running.urls["api"]
            assert completed(base, "j2") == {"n": 2}
            check_effects(base, server, "j2")


PROCESSES = """
document: {dsl: '1.0.3', namespace: test, name: processes, version: '1.0.0'}
do:
  - forget:
      run:
        await: false
        shell:
          command: |
            mark() { echo "$WFE_IDEMPOTENCY_KEY $$ $1" >> FILE; }
            mark detached; sleep 4; mark done
  - work:
      run:
        shell: {command: 'echo "$WFE_IDEMPOTENCY_KEY $$ work" >> FILE; sleep 4; echo worked'}
"""


def test_processes_that_are_lost_with_their_worker_are_run_again_under_the_same_key(tmp_path: Path) -> None:
    """Also one that nobody waits for, and whose run has ended."""
    file = tmp_path / "marks"

    def marks(what: str) -> list[list[str]]:
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.split() for line in lines if line.endswith(what)]

    text = PROCESSES.replace("FILE", str(file))
    with dev(tmp_path / "data") as running:
        base = running.urls["api"]
        post(base, "/v1/workflows", text, "application/yaml")
        post(base, "/v1/workflows/test/processes/latest/runs?id=p1", {})
        until(lambda: marks("work") and marks("detached"), "both processes run")
        os.kill(program(running, "workflow_engine", "worker"), signal.SIGKILL)
        assert completed(base, "p1") == "worked\n"
        until(lambda: marks("done"), "the process that nobody waits for is done")
    for what, place in (("work", "/do/1/work"), ("detached", "/do/0/forget")):
        keys, pids = {each[0] for each in marks(what)}, {each[1] for each in marks(what)}
        assert keys == {f"p1{place}"}
        assert len(pids) == 2, "the first of them ended with its worker"
    assert len(marks("done")) == 1


def test_an_acknowledged_event_starts_one_run_though_the_api_dies_before_it_could(tmp_path: Path) -> None:
    with dev(tmp_path / "data") as running:
        base = running.urls["api"]
        post(base, "/v1/workflows", STARTED, "application/yaml")
        event = {"specversion": "1.0", "id": "p1", "source": "here", "type": "t.ping", "data": {"n": 1}}
        server = program(running, "server", "start-dev")
        os.kill(server, signal.SIGSTOP)  # nothing can be started now
        try:
            accepted = post(base, "/v1/events", event, "application/cloudevents+json")["accepted"]
            assert [item["duplicate"] for item in accepted] == [False]
            os.kill(program(running, "workflow_engine", "api"), signal.SIGKILL)
        finally:
            os.kill(server, signal.SIGCONT)

        def runs() -> Any:
            try:
                found = get(base, "/v1/runs?workflow=started-by-event")["runs"]
            except OSError:
                return []
            return found if found and all(run["status"] == "completed" for run in found) else []

        [run] = until(runs, "the run is started and completes")
        assert get(base, f"/v1/runs/{run['id']}")["output"] == {"n": 1, "heard": True}
        again = post(base, "/v1/events", event, "application/cloudevents+json")["accepted"]
        assert [item["duplicate"] for item in again] == [True]
        time.sleep(1)  # time in which a second run would show
        assert len(runs()) == 1
