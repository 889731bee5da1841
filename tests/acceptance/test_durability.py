"""Processes are killed at the worst moments; every run ends as its document says, each effect once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.cli.test_dev import Dev, dev
from tests.processes import gone, parent_of
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
        time.sleep(0.1)
    return found


def get(base: str, path: str) -> Any:
    with urlopen(base + path, timeout=30) as answer:
        return json.load(answer)


def post(base: str, path: str, body: Any, kind: str = "application/json") -> Any:
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    request = Request(base + path, data=data, headers={"Content-Type": kind}, method="POST")
    with urlopen(request, timeout=60) as answer:
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


ENDED = {"completed", "faulted", "cancelled"}


def at(base: str, run: str, state: str) -> None:
    """Wait until the run has come to *state*; or has ended, should the machine have been away for that long."""

    def there() -> bool:
        status, states = state_of(base, run)
        return state in states or status in ENDED

    until(there, f"{run} has come to {state}")


def kill_the_worker(running: Dev) -> None:
    def there() -> int:
        try:
            return program(running, "workflow_engine", "worker")
        except AssertionError:  # the one before has been killed, and the next one is on its way
            return 0

    worker = until(there, "there is a worker")
    os.kill(worker, signal.SIGKILL)
    until(lambda: gone(worker), "the worker has ended")


def of_the_worker(running: Dev, pid: int) -> bool:
    """Whether *pid* is a process that the worker which there is now has started, and not one that is about to end with
    the worker that was killed.
    """
    try:
        return parent_of(parent_of(pid)) == program(running, "workflow_engine", "worker")
    except (OSError, AssertionError):  # it has ended; or there is no worker yet
        return False


def completed(base: str, run: str) -> Any:
    until(lambda: state_of(base, run)[0] in ENDED, f"{run} ends")
    found = get(base, f"/v1/runs/{run}")
    assert found["status"] == "completed", found["error"]
    return found["output"]


def published(base: str, type: str, run: str) -> list[str]:
    events = get(base, f"/v1/events?type={type}&limit=200")["events"]
    return sorted(event["event"]["id"] for event in events if event["event"]["id"].startswith(f"{run}/"))


def check_effects(base: str, server: Any, run: str) -> None:
    """One departure, both arrivals, and one ferry by its idempotency key, however often it was asked."""
    assert published(base, "t.depart", run) == [f"{run}/do/0/depart"]
    assert len(published(base, "t.arrive", run)) == 2
    keys = {request.headers["Idempotency-Key"] for request in server.requests if request.method == "POST"}
    assert keys == {f"{run}/do/1/ferry"}


PROCESSES = """
document: {dsl: '1.0.3', namespace: test, name: processes, version: '1.0.0'}
do:
  - forget:
      run:
        await: false
        shell:
          command: |
            mark() { echo "$WFE_IDEMPOTENCY_KEY $$ $1" >> FILE; }
            mark detached; until [ -e FILE.go ]; do sleep 0.1; done; mark done
  - work:
      run:
        shell:
          command: |
            echo "$WFE_IDEMPOTENCY_KEY $$ work" >> FILE; until [ -e FILE.go ]; do sleep 0.1; done; echo worked
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    """Whose worker is killed twice by all tests together: `wfe dev` gives one up that dies five times in a minute."""
    with dev(tmp_path_factory.mktemp("durable") / "data") as started:
        yield started


def test_runs_complete_though_their_worker_is_killed_during_a_call_a_process_and_a_wait(
    running: Dev, tmp_path: Path
) -> None:
    """Processes that are lost with their worker are run again under the same key: also one that nobody waits for."""
    base, file = running.urls["api"], tmp_path / "marks"

    def marks(what: str) -> list[list[str]]:
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.split() for line in lines if line.endswith(what)]

    def both_run() -> bool:
        return all(
            any(of_the_worker(running, int(pid)) for _, pid, _ in marks(what))
            for what in ("work", "detached")
        )

    with ServerThread(httpbin.app) as server:
        post(base, "/v1/workflows", JOURNEY.format(url=server.url), "application/yaml")
        post(base, "/v1/workflows", PROCESSES.replace("FILE", str(file)), "application/yaml")
        post(base, "/v1/workflows/test/processes/latest/runs?id=p1", {})
        until(both_run, "both processes run")
        post(base, "/v1/workflows/test/journey/latest/runs?id=j1", {"n": 1})
        until(lambda: server.requests, "the call is under way")
        kill_the_worker(running)
        at(base, "j1", "rest")
        kill_the_worker(running)
        until(both_run, "both processes run again")
        lost = [int(pid) for what in ("work", "detached") for _, pid, _ in marks(what)]
        until(
            lambda: sum(not gone(pid) for pid in lost) == 2,
            "those of the workers that were killed have ended",
        )
        file.with_name("marks.go").touch()
        assert completed(base, "j1") == {"n": 1}
        check_effects(base, server, "j1")
    assert completed(base, "p1") == "worked\n"
    until(lambda: marks("done"), "the process that nobody waits for is done")
    for what, place in (("work", "/do/1/work"), ("detached", "/do/0/forget")):
        keys, pids = {each[0] for each in marks(what)}, {each[1] for each in marks(what)}
        assert keys == {f"p1{place}"}
        assert len(pids) in (2, 3), "all but the last of them ended with their worker"
        until(lambda pids=pids: all(gone(int(pid)) for pid in pids), "all processes have ended")
    assert len(marks("done")) == 1


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


def test_an_acknowledged_event_starts_one_run_though_the_api_dies_before_it_could(running: Dev) -> None:
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
