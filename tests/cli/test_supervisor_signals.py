"""The supervisor as a program of its own, and what the terminal, `kill` and `kill -9` do to it."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.cli.programs import Journal
from tests.processes import gone, has_gone, parent_of

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from tests.cli.programs import Journal
from workflow_engine.cli.supervisor import run
data, terminal, grace, *children = sys.argv[1:]
if terminal:
    os.open(terminal, os.O_RDWR)  # a session's first terminal becomes its own
journal = Journal(Path(data) / "journal")
children = [journal.child(*child.split(), grace=float(grace)) for child in children]
sys.exit(asyncio.run(run(children, Path(data), lambda: print("ready", flush=True))))
"""


@asynccontextmanager
async def supervising(
    data: Path, *children: str, terminal: str = "", grace: float = 20
) -> AsyncIterator[Process]:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM, str(data), terminal, str(grace), *children),
        cwd=ROOT,
        stdout=PIPE,
        stderr=PIPE,
        start_new_session=True,
    )
    try:
        said = await program.stdout.readline()
        assert said == b"ready\n", (await program.communicate())[1].decode()
        yield program
    finally:
        if program.returncode is None:
            program.kill()
        await program.communicate()


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
async def test_a_signal_stops_all_in_order_and_the_exit_code_is_0(how, journal, tmp_path):
    async with supervising(tmp_path, "one", "two") as program:
        program.send_signal(signal.Signals[how])
        _, shown = await program.communicate()
    assert program.returncode == 0, shown.decode()
    assert sorted(journal.of("down")) == ["one", "two"]
    assert all(gone(pid) for name in ("one", "two") for pid in journal.values(name, "pid"))


async def test_ctrl_c_on_the_terminal_reaches_the_supervisor_alone(journal, tmp_path):
    ours, theirs = pty.openpty()
    try:
        async with supervising(tmp_path, "one", terminal=os.ttyname(theirs)) as program:
            os.write(ours, b"\x03")
            await program.communicate()
    finally:
        os.close(ours)
        os.close(theirs)
    assert program.returncode == 0
    assert (journal.of("SIGINT"), journal.of("SIGTERM")) == ([], ["one"])


async def test_a_second_ctrl_c_kills_at_once(journal, tmp_path):
    async with supervising(tmp_path, "deaf deaf", grace=300) as program:
        program.send_signal(signal.SIGINT)
        await journal.has("deaf", "SIGTERM")
        program.send_signal(signal.SIGINT)
        await program.communicate()
    assert program.returncode == 0
    assert all(gone(pid) for pid in journal.values("deaf", "pid"))


async def test_all_end_when_the_supervisor_is_killed_and_another_can_take_over(journal, tmp_path):
    async with supervising(tmp_path, "one", "deaf deaf", "parent heir", grace=0.5) as program:
        pids = [int(value) for _, what, value in journal.entries() if what in ("pid", "heir")]
        assert len(pids) == 4
        program.kill()
        await program.communicate()
        async with supervising(tmp_path, "one") as successor:
            assert all(gone(pid) for pid in pids)
            successor.send_signal(signal.SIGINT)
            await successor.communicate()
    assert successor.returncode == 0


async def test_all_end_when_supervisor_and_guards_are_killed_together(journal, tmp_path):
    async with supervising(tmp_path, "one", "two") as program:
        pids = [pid for name in ("one", "two") for pid in journal.values(name, "pid")]
        guards = [parent_of(pid) for pid in pids]
        for pid in (program.pid, *guards):
            os.kill(pid, signal.SIGKILL)
        await has_gone(*pids, *guards)
