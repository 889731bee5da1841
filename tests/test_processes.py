from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.processes import gone, has_gone
from workflow_engine.errors import Conflict
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.processes.leftovers import remove_leftovers, scratch
from workflow_engine.processes.lockfile import LockFile
from workflow_engine.processes.output import RotatingLog, Tail
from workflow_engine.processes.ports import free_ports, port_in_use


async def ended(*command: str, **options) -> tuple[int, bytes]:
    printed = []
    process = await GuardedProcess.start(command, output=[printed.append], **options)
    return await process.wait(), b"".join(printed)


@pytest.mark.parametrize(
    ("script", "code"),
    [("exit 0", 0), ("exit 7", 7), ("kill -TERM $$", -15), ("kill -KILL $$", -9), ("kill -ABRT $$", -6)],
)
async def test_a_guarded_program_ends_as_it_would_alone(script, code):
    assert (await ended("sh", "-c", script))[0] == code


async def test_programs_that_end_at_once_are_noticed():
    assert await asyncio.gather(*(ended("sh", "-c", f"echo {n}; exit {n}") for n in range(12))) == [
        (n, f"{n}\n".encode()) for n in range(12)
    ]


async def test_what_it_prints_and_gets_is_its_own(tmp_path):
    code, output = await ended(
        "sh", "-c", "echo out; echo err >&2; pwd; cat; echo $X", env={"X": "y"}, cwd=tmp_path
    )
    assert (code, output.decode().split()) == (0, ["out", "err", str(tmp_path), "y"])


async def test_it_leads_a_group_of_its_own_in_a_session_of_its_own():
    _, output = await ended(
        sys.executable, "-c", "import os; print(os.getpid(), os.getpgid(0), os.getsid(0))"
    )
    pid, group, session = map(int, output.split())
    assert pid == group != session != os.getsid(0)


@pytest.mark.parametrize("command", ["/nowhere/program", "/etc"])
async def test_a_program_that_cannot_be_started_is_an_error_at_once(command):
    with pytest.raises(OSError, match=f"cannot start {command}: "):
        await GuardedProcess.start([command])


async def test_signals_to_the_guard_reach_the_program():
    printed = asyncio.Queue()
    script = "trap 'echo usr1; exit 3' USR1; echo up; while :; do sleep 0.01; done"
    process = await GuardedProcess.start(["sh", "-c", script], output=[printed.put_nowait])
    assert await printed.get() == b"up\n"
    os.kill(process.guard_pid, signal.SIGUSR1)
    assert await process.wait() == 3
    assert printed.get_nowait() == b"usr1\n"


async def test_a_guard_that_does_not_answer_is_killed_and_its_program_with_it():
    process = await GuardedProcess.start(["sleep", "600"])
    os.kill(process.guard_pid, signal.SIGSTOP)
    assert await process.stop(0) == -signal.SIGKILL
    await has_gone(process.pid)


async def test_when_the_guard_is_killed_all_of_the_group_ends():
    printed = asyncio.Queue()
    process = await GuardedProcess.start(
        ["sh", "-c", "sleep 600 & echo $!; wait"], output=[printed.put_nowait]
    )
    sleeper = int(await printed.get())
    os.kill(process.guard_pid, signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    await has_gone(process.pid, sleeper)


OWNER = """
import asyncio, os, time
from workflow_engine.processes.guarded import GuardedProcess
async def main():
    process = await GuardedProcess.start(["sleep", "600"])
    if not (stray := os.fork()):
        time.sleep(600)
    print(process.pid, process.guard_pid, stray, flush=True)
    await process.wait()
asyncio.run(main())
"""


async def test_a_stray_process_that_holds_our_end_does_not_keep_the_program_running():
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, stdout=PIPE)
    *program, stray = map(int, (await owner.stdout.readline()).split())
    owner.kill()
    await has_gone(*program)
    assert not gone(stray)
    os.kill(stray, signal.SIGKILL)
    await owner.communicate()


TESTS = """
import sys, time
from pathlib import Path
from tests.standins.postgresql import PostgresServer
server = PostgresServer(Path(sys.argv[1]))
server.start()
print(server._process.pid, server._process.program, flush=True)
time.sleep(600)
"""


async def test_a_server_of_tests_that_are_killed_ends_with_them_and_leaves_no_data():
    folder = Path(tempfile.mkdtemp())
    owner = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", TESTS, str(folder)),
        env={**os.environ, "TMPDIR": str(folder)},
        cwd=Path(__file__).parents[1],
        stdout=PIPE,
    )
    guard, server = map(int, (await owner.stdout.readline()).split())
    owner.kill()
    await has_gone(server, guard)
    await owner.communicate()
    assert not await asyncio.to_thread(folder.exists)


async def test_a_program_stopped_twice_stays_stopped():
    process = await GuardedProcess.start(["sleep", "600"])
    assert await process.stop() == -signal.SIGTERM
    assert await process.stop(0) == process.returncode == -signal.SIGTERM
    process.terminate()
    process.kill()


async def test_a_start_that_is_cancelled_leaves_nothing(tmp_path):
    mark = tmp_path / "pid"
    script = f"echo $$ > {mark}.new; mv {mark}.new {mark}; sleep 600"
    for moment in (0.0, 0.01, 0.03, 0.06):
        starting = asyncio.create_task(GuardedProcess.start(["sh", "-c", script]))
        await asyncio.sleep(moment)
        starting.cancel()
        try:
            process = await starting
        except asyncio.CancelledError:
            if mark.exists():
                await has_gone(int(mark.read_text()))
        else:
            await process.stop(0)


async def test_a_lock_lasts_as_long_as_the_program_that_inherited_it(tmp_path):
    path = tmp_path / "deep" / "lock"
    lock = await LockFile.acquire(path, "the folder")
    process = await GuardedProcess.start(["sleep", "600"], keep=[lock.fd])
    lock.close()
    lock.close()
    with pytest.raises(Conflict, match=rf"the folder is in use by process {os.getpid()}"):
        await LockFile.acquire(path, "the folder")
    await process.stop(0)
    (await LockFile.acquire(path, "the folder")).close()


HOLDER = """
import fcntl, os, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(fd, fcntl.LOCK_EX)
os.write(fd, b"%d" % os.getpid())
heir = os.fork()
if not heir:
    os.close(1)
    sys.stdin.read()
else:
    print(heir, flush=True)
"""


async def test_a_lock_left_to_the_programs_of_one_that_ended_is_waited_for_and_then_told(tmp_path):
    path = tmp_path / "lock"
    theirs, ours = os.pipe()
    command = (sys.executable, "-c", HOLDER, str(path))
    holder = await asyncio.create_subprocess_exec(*command, stdin=theirs, stdout=PIPE)
    os.close(theirs)
    heir = int(await holder.stdout.read())
    await holder.wait()
    with pytest.raises(
        Conflict, match=rf"in use by programs that process {holder.pid} started before it ended"
    ):
        await LockFile.acquire(path, "the file", patience=0.15)
    waiting = asyncio.create_task(LockFile.acquire(path, "the file", patience=20))
    await asyncio.sleep(0)
    os.close(ours)
    (await waiting).close()
    await has_gone(heir)


async def test_a_lock_whose_holder_is_unknown_is_still_a_lock(tmp_path):
    path = tmp_path / "lock"
    path.write_text("not a number")
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(Conflict, match="in use by another process"):
            await LockFile.acquire(path, "the file")


def test_free_ports_are_different_and_free():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    assert [port_in_use("127.0.0.1", port) for port in ports] == [None] * 5


def test_free_ports_are_none_that_a_connection_may_take():
    least = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    if least > 20_000:
        assert max(free_ports(5)) < least


@pytest.mark.parametrize("bound", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("asked", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_in_use_names_the_program_and_its_pid(bound, asked):
    with socket.create_server((bound, 0)) as server:
        user = port_in_use(asked, server.getsockname()[1])
    assert user is not None
    assert user.endswith(f"(pid {os.getpid()})")


@given(st.lists(st.binary(max_size=30)), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_the_tail_is_the_end_of_the_text_however_it_comes(chunks, lines):
    tail = Tail(lines)
    for chunk in chunks:
        tail.write(chunk)
    *whole, rest = b"".join(chunks).decode(errors="replace").split("\n")
    expected = [line.rstrip() for line in whole][-lines:] + ([rest.rstrip()] if rest.rstrip() else [])
    assert tail.lines() == expected


def test_a_line_without_end_takes_bounded_memory():
    tail = Tail()
    for _ in range(100):
        tail.write(b"x" * 10_000)
    assert [len(line) for line in tail.lines()] == [2000]


def test_a_log_is_rotated_before_it_outgrows_its_size(tmp_path):
    log = RotatingLog(tmp_path / "logs" / "a.log", size=10, backups=2)
    for letter in b"abcd":
        log.write(bytes([letter]) * 6)
    log.close()
    assert [(tmp_path / "logs" / name).read_text() for name in ("a.log", "a.log.1", "a.log.2")] == [
        "dddddd", "cccccc", "bbbbbb",
    ]  # fmt: skip
    again = RotatingLog(tmp_path / "logs" / "a.log", size=10, backups=2)
    again.write(b"e" * 4)
    again.write(b"f" * 40)
    again.close()
    assert (tmp_path / "logs" / "a.log.1").read_text() == "ddddddeeee"
    assert (tmp_path / "logs" / "a.log").read_text() == "f" * 40


def test_gone_knows_the_living():
    assert not gone(os.getpid())


def test_a_folder_whose_owner_was_killed_is_removed_and_no_other(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "wfe-process-left" / "a").mkdir(parents=True)
    (tmp_path / "wfe-process-link").symlink_to(tmp_path / "other")
    (tmp_path / "other").mkdir()
    with scratch() as folder:
        (folder / "file").write_text("in use")
        remove_leftovers()
        assert (folder / "file").exists()
        assert not (tmp_path / "wfe-process-left").exists()
    assert not folder.exists()
    assert (tmp_path / "other").exists()
