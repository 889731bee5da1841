"""A test that cannot be ended fails, and the others are run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.processes import gone
from tests.test_once_more import ALWAYS, Ci
from tests.watchdog import ENDED, standing

HANGS = """
import asyncio

async def swallows():
    while True:
        try:
            await asyncio.sleep(99)
        except BaseException:
            pass

@pytest.mark.timeout(1)
def test_hangs():
    seen = Path(__file__).with_name("seen")
    times = len(seen.read_text()) if seen.exists() else 0
    seen.write_text("." * (times + 1))
    if times < TIMES:
        started = subprocess.Popen(["sleep", "999"])
        Path(__file__).with_name(f"started{times}").write_text(str(started.pid))
        asyncio.run(swallows())

def test_comes_after_it(): pass
def test_comes_last(): pass
"""


@pytest.fixture
def ci(tmp_path: Path) -> Ci:
    return Ci(tmp_path)


def test_one_that_hangs_after_its_time_limit_has_failed_and_is_made_once_more(ci: Ci) -> None:
    code, lines = ci.run(grace=1, hangs=HANGS.replace("TIMES", "1"), sound=ALWAYS)
    assert code == 0
    assert lines[-1] == "flaky: test_hangs.py::test_hangs failed beside others, and passed alone"
    assert [line for line in lines if "1 failed, 3 passed" in line], "the others were run"


def test_it_is_told_where_everything_stood(ci: Ci) -> None:
    _, lines = ci.run(grace=1, hangs=HANGS.replace("TIMES", "1"))
    assert "test_hangs.py::test_hangs goes on after its time limit; this process is ended." in lines
    assert [line for line in lines if "test_hangs.py" in line and line.endswith(" in test_hangs")], (
        "the thread"
    )
    assert [line for line in lines if "test_hangs.py" in line and line.endswith(" in swallows")], "the task"


def test_what_it_had_started_is_ended_with_it(ci: Ci, tmp_path: Path) -> None:
    ci.run(grace=1, hangs=HANGS.replace("TIMES", "1"))
    assert gone(int((tmp_path / "started0").read_text()))


def test_one_that_hangs_alone_too_fails_all(ci: Ci) -> None:
    code, _ = ci.run(grace=1, hangs=HANGS.replace("TIMES", "9"), sound=ALWAYS)
    assert code != 0


def test_the_last_test_of_a_file_holds_nobody_up_either(ci: Ci) -> None:
    hangs = HANGS.replace("TIMES", "1").partition("def test_comes_after_it")[0]
    code, lines = ci.run(grace=1, hangs=hangs, sound=ALWAYS, also="def test_fails(): assert not 'sound'\n")
    assert code == 1
    assert lines[-1] == "flaky: test_hangs.py::test_hangs failed beside others, and passed alone"


def test_processes_of_which_none_reports_are_ended_with_the_one_that_waits_for_them(ci: Ci) -> None:
    code, lines = ci.run(quiet=3, hangs=HANGS.replace("TIMES", "9"), sound=ALWAYS)
    assert code == ENDED
    assert "no process has reported a test for 3 s; this process is ended." in lines


async def test_the_place_of_a_task_is_told_down_to_what_it_waits_for() -> None:
    async def inner() -> None:
        await asyncio.Event().wait()

    async def outer() -> None:
        await inner()

    task = asyncio.create_task(outer(), name="waits")
    await asyncio.sleep(0)
    lines = [*standing(iter([task]))]
    task.cancel()
    assert lines[0] == "Task waits:"
    assert [line.rpartition(".")[2] for line in lines[1:4]] == ["outer", "inner", "wait"]
