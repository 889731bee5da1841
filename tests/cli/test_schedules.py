"""`wfe schedules` and what `wfe deploy` says of a schedule, on a server that is started here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import wfe
from tests.cli.test_dev import PATIENCE, Dev, dev

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dev]:
    with dev(tmp_path_factory.mktemp("schedules") / "data") as started:
        yield started


def write(folder: Path, name: str, schedule: str, version: str = "1.0.0") -> Path:
    path = folder / f"{name}.yaml"
    header = f"document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '{version}'}}\n"
    path.write_text(f"{header}schedule: {schedule}\ndo: [{{note: {{set: {{got: '${{ . }}'}}}}}}]\n")
    return path


def test_deploying_says_when_the_workflow_is_run_first(running: Dev, tmp_path: Path) -> None:
    file = write(tmp_path, "hourly", "{every: PT1H}")
    ended = running.wfe("deploy", file)
    assert (ended.code, ended.out.split()[-1]) == (0, "created")
    assert ended.err.startswith(f"{file}: runs every PT1H, next at 20")
    assert running.wfe("deploy", "--json", file).json[0]["schedule"]["every"] == "PT1H"


def test_a_schedule_is_shown_held_and_let_go(running: Dev, tmp_path: Path) -> None:
    assert running.wfe("deploy", write(tmp_path, "morning", "{cron: '30 6 * * mon-fri'}")).code == 0
    shown = running.wfe("schedules", "show", "morning")
    assert shown.code == 0, shown.err
    assert "runs      at 30 6 * * mon-fri (UTC)" in shown.out
    assert "T06:30:00.000Z" in shown.out
    assert "so far    0 started" in shown.out
    held = running.wfe("schedules", "pause", "test/morning", "--reason", "holidays")
    assert (held.code, "paused    holidays" in held.out) == (0, True)
    assert "paused" in running.wfe("schedules", "list").out
    deployed = running.wfe("deploy", tmp_path / "morning.yaml")
    assert "but is paused (holidays)" in deployed.err
    triggered = running.wfe("schedules", "trigger", "morning", "--json")
    assert triggered.code == 0, triggered.err
    [run] = triggered.json["recent"]
    ended = running.wfe("runs", "wait", run["id"])
    assert (ended.code, ended.json) == (0, {"got": {}})
    assert "paused" not in running.wfe("schedules", "resume", "morning").out


def test_runs_that_follow_each_other_are_listed(running: Dev, tmp_path: Path) -> None:
    ended = running.wfe("deploy", write(tmp_path, "again", "{after: PT0.5S}"))
    assert ended.code == 0, ended.err
    assert "runs PT0.5S after each run" in ended.err
    deadline = time.monotonic() + PATIENCE
    while running.wfe("schedules", "show", "again", "--json").json["started"] < 2:
        assert time.monotonic() < deadline
    listed = running.wfe("schedules", "list", "--json").json
    assert "again" in [item["name"] for item in listed]
    while not (runs := running.wfe("runs", "list", "--workflow", "test/again", "--json").json):
        assert time.monotonic() < deadline  # lists are a moment behind
    assert {run["id"].partition("-20")[0] for run in runs} == {"test.again"}
    ended = running.wfe("deploy", write(tmp_path, "again", "{every: P1D}", "2.0.0"))
    assert "runs every P1D, next at" in ended.err


def test_what_is_not_scheduled_is_told_so(running: Dev, tmp_path: Path) -> None:
    file = tmp_path / "plain.yaml"
    file.write_text("document: {dsl: '1.0.3', namespace: test, name: plain, version: '1.0.0'}\ndo: []\n")
    assert running.wfe("deploy", file).err == ""
    ended = running.wfe("schedules", "show", "plain")
    assert (ended.code, ended.out) == (1, "")
    assert "has no schedule of the clock" in ended.err


def test_a_scheduled_document_is_run_once_by_hand(tmp_path: Path) -> None:
    file = write(tmp_path, "once", "{every: PT1S}")
    for runtime in ("local", "temporal"):
        ended = wfe("run", file, "--runtime", runtime, "--input", '{"n": 1}')
        assert (ended.code, ended.json) == (0, {"got": {"n": 1}}), ended.err
