"""Schedules go on through the death of every process: no moment is lost, none is used twice."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.test_durability import get, post, program, until
from tests.cli.test_dev import dev
from tests.standins import httpbin
from tests.standins.server import ServerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
TICK = """
document: {{dsl: '1.0.3', namespace: test, name: tick, version: '1.0.0'}}
schedule: {{every: PT1S}}
do: [{{call: {{call: http, with: {{method: post, endpoint: '{url}/anything', body: {{run: tick}}}}}}}}]
"""
FOLLOW = """
document: {{dsl: '1.0.3', namespace: test, name: follow, version: '1.0.0'}}
schedule: {{after: PT0.2S}}
do: [{{call: {{call: http, with: {{method: post, endpoint: '{url}/delay/0.5', body: {{run: follow}}}}}}}}]
"""
BOTH = ("tick", "follow")


def runs(base: str, name: str) -> list[Any]:
    """Its runs, the oldest first; none while the API is away."""
    try:
        return list(reversed(get(base, f"/v1/runs?workflow={name}&limit=200")["runs"]))
    except OSError:
        return []


def started(base: str, name: str) -> int:
    try:
        found = get(base, f"/v1/schedules/test/{name}")
    except OSError:
        return 0
    return int(found["started"])


def more(base: str, count: int = 3) -> None:
    """Wait until both have started, and completed, some more runs."""
    before = {name: until(lambda name=name: started(base, name), f"{name} is known") for name in BOTH}
    for name in BOTH:
        until(lambda name=name: started(base, name) >= before[name] + count, f"{name} goes on")


def deploy(base: str, url: str) -> None:
    for text in (TICK, FOLLOW):
        post(base, "/v1/workflows", text.format(url=url), "application/yaml")


def settled(base: str, called: Callable[[], set[str]] = set) -> None:
    """Once the schedules are paused: wait until every run has ended, and whatever was *called* is of a run in the list.

    The list follows Temporal by a moment: a run that has just made its call may not be there yet. A second in which
    nothing changes shows that there is no other.
    """

    def complete() -> bool:
        found = [run for name in ("tick", "follow") for run in runs(base, name)]
        known = {run["id"] for run in found}
        return (
            bool(known)
            and all(run["ended_at"] for run in found)
            and {key.partition("/")[0] for key in called()} <= known
        )

    until(complete, "all runs end, and are in the list")
    time.sleep(1)  # time in which another run would show
    until(complete, "all runs end, and are in the list")


def check(base: str) -> None:
    """After a pause: the moments of every run are a second apart, and no run of `after` overlaps another."""
    for name in ("tick", "follow"):
        post(base, f"/v1/schedules/test/{name}/pause", {})
    both = ("tick", "follow")
    settled(base)
    assert [run for name in both for run in runs(base, name) if run["status"] != "completed"] == []
    ticks = [run["id"].removeprefix("test.tick-") for run in runs(base, "tick")]
    moments = sorted(datetime.fromisoformat(tick) for tick in ticks)
    assert {after - before for before, after in pairwise(moments)} == {timedelta(seconds=1)}
    followed = sorted(runs(base, "follow"), key=lambda run: run["started_at"])
    assert all(before["ended_at"] < after["started_at"] for before, after in pairwise(followed))
    assert len(followed) == started(base, "follow")


def test_schedules_go_on_through_the_death_of_api_and_worker_and_a_deployment_of_the_same(
    tmp_path: Path,
) -> None:
    with ServerThread(httpbin.app) as server, dev(tmp_path / "data") as running:
        base = running.urls["api"]
        deploy(base, server.url)
        more(base)
        before = get(base, "/v1/schedules/test/tick")
        for victim in ("worker", "api", "worker"):
            os.kill(program(running, "workflow_engine", victim), signal.SIGKILL)
            until(lambda: runs(base, "tick"), "the API answers")
            deploy(base, server.url)
            more(base)
        after = get(base, "/v1/schedules/test/tick")
        assert after["started"] > before["started"]  # it is the same schedule, with its history
        check(base)
        keys = [request.headers["Idempotency-Key"] for request in server.requests]
        ids = {run["id"] for name in ("tick", "follow") for run in runs(base, name)}
        assert {key.partition("/")[0] for key in keys} == ids


def test_schedules_go_on_when_the_whole_of_wfe_dev_is_killed_and_started_again(tmp_path: Path) -> None:
    with ServerThread(httpbin.app) as server:
        with dev(tmp_path / "data") as running:
            base = running.urls["api"]
            deploy(base, server.url)
            post(base, "/v1/schedules/test/tick/pause", {})
            until(lambda: started(base, "follow") >= 2, "runs follow each other")
            count = started(base, "tick")
            running.process.kill()
            running.process.wait()
        with dev(tmp_path / "data") as running:
            base = running.urls["api"]
            found = get(base, "/v1/schedules/test/tick")
            assert (found["paused"], found["started"]) == (True, count)
            before = started(base, "follow")
            assert before >= 2
            until(lambda: started(base, "follow") >= before + 2, "runs follow each other again")
            followed = sorted(runs(base, "follow"), key=lambda run: run["started_at"])
            ended = [run for run in followed if run["ended_at"]]
            assert all(one["ended_at"] < other["started_at"] for one, other in pairwise(ended))
            assert {run["status"] for run in ended} == {"completed"}


def test_schedules_go_on_when_temporal_itself_is_killed(tmp_path: Path) -> None:
    with ServerThread(httpbin.app) as server, dev(tmp_path / "data") as running:
        base = running.urls["api"]
        deploy(base, server.url)
        more(base)
        before = {name: started(base, name) for name in ("tick", "follow")}
        os.kill(program(running, "server", "start-dev"), signal.SIGKILL)
        for name, count in before.items():
            until(lambda name=name, count=count: started(base, name) >= count + 3, f"{name} goes on")
        for name in before:
            post(base, f"/v1/schedules/test/{name}/pause", {})
        settled(base, called=lambda: {request.headers["Idempotency-Key"] for request in server.requests})
        found = {name: runs(base, name) for name in before}
        assert {run["status"] for name in before for run in found[name]} == {"completed"}
        followed = sorted(found["follow"], key=lambda run: run["started_at"])
        assert all(one["ended_at"] < other["started_at"] for one, other in pairwise(followed))
        keys = {request.headers["Idempotency-Key"].partition("/")[0] for request in server.requests}
        assert keys == {run["id"] for name in before for run in found[name]}
