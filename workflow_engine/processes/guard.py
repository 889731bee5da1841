"""The program between us and a program that must not outlive us.

Run as a script, in a session of its own, with the standard library alone (`python -I -S guard.py`, about 20 ms)::

    guard.py CONTROL_FD PARENT_PID GRACE_SECONDS KEPT_FDS -- PROGRAM ARGUMENT…

It starts PROGRAM as the leader of a process group, passes signals on to it, and ends as it ended: with its exit
code, or by the same signal. The first line on the socket CONTROL_FD says more, as JSON: ``env``, the environment;
``limits``, see `Limits`; ``scratch``, a folder to remove should the parent not be there to do it, or null.

Three things may go wrong, and each ends PROGRAM too:

* The parent ends, by whatever means: the other end of the socket CONTROL_FD closes (and, should a stray process
  still hold it, our parent is no longer PARENT_PID). PROGRAM gets SIGTERM, and SIGKILL after GRACE_SECONDS.
* The guard is killed: on Linux the kernel kills PROGRAM (PR_SET_PDEATHSIG, which follows the *thread* that
  started it; the guard has one thread only, which is why the parent, who may have many, does not set it).
  Elsewhere the parent kills the group.
* PROGRAM ends but leaves processes behind: its group is killed, and on Linux also those that left the group,
  for the guard adopts orphans (PR_SET_CHILD_SUBREAPER).

On the socket the guard says `pid N` or `failed REASON`, `over LIMIT` when it ends PROGRAM for what that uses, and
`end` when nothing of PROGRAM is left. The parent may say `T`: SIGTERM to all of it; and `K`: kill at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
PARENT_POLL = 0.5
"""Seconds between looks at who our parent is: the second net, below the socket."""
SWEEP_BOUND = 2.0
"""Seconds given to killed orphans to vanish; one in an uninterruptible system call is left to the kernel."""
LOOK_EVERY = 0.025
"""Seconds between looks at what a program uses that has limits, while it multiplies; four times as many while not."""
_SET_PDEATHSIG, _CAPBSET_DROP, _SET_CHILD_SUBREAPER, _SET_NO_NEW_PRIVS = 1, 24, 36, 38
_PRYING = (19, 21, 38)  # CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON
_MANY = 1000
_TASKS = 16
"""How many tasks (threads too) the kernel allows for each process that the limit does."""
_SLACK = 256 * 1024 * 1024
"""What one process may map beyond the limit of memory: much of what a runtime maps it never uses."""


class Limits(NamedTuple):
    """What a program and everything it starts may use together; 0 is any amount.

    *memory* is in bytes, *processes* a number, *file* the bytes of one file that they write, *files* how many one of
    them has open. Memory and processes are looked at again and again, and what is over its limit is killed. Besides,
    one process cannot map much more memory than the limit at all; and where we may make control groups, the kernel
    lets there be no more than a multiple of the processes, so that they cannot outrun us. A program with any limit
    gives way to others on a busy machine, is the first to go when there is no memory left, gains no privileges from
    programs that it executes, and cannot look into us, even as root. Linux; elsewhere only *file* and *files* hold.
    """

    memory: int = 0
    processes: int = 0
    file: int = 0
    files: int = 0


def main(arguments: list[str]) -> NoReturn:
    separator = arguments.index("--")
    control_fd, parent, grace, kept = arguments[:separator]
    control = socket.socket(fileno=int(control_fd))
    control.set_inheritable(False)
    orders = _orders(control)
    keep = tuple(int(fd) for fd in kept.split(",") if fd)
    guard = _Guard(control, int(parent), float(grace), Limits(**orders["limits"]))
    guard.start(arguments[separator + 1 :], keep, orders["env"])
    status = guard.watch()
    if guard.orphaned and orders["scratch"]:
        import shutil

        shutil.rmtree(orders["scratch"], ignore_errors=True)
    _end_as(status)


def _orders(control: socket.socket) -> dict[str, Any]:
    said = b""
    while not said.endswith(b"\n"):
        piece = control.recv(65536)
        if not piece:
            os._exit(127)  # the parent is gone, and nothing was started
        said += piece
    return json.loads(said)  # type: ignore[no-any-return]


class _Guard:
    def __init__(self, control: socket.socket, parent: int, grace: float, limits: Limits) -> None:
        self._control = control
        self._parent = parent
        self._grace = grace
        self._limits = limits
        self._pace, self._seen = LOOK_EVERY, 0
        self._program: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._status: int | None = None
        self._kill_at: float | None = None
        self.orphaned = False
        self._wakeup, wakeup = socket.socketpair()
        for end in (self._wakeup, wakeup):
            end.setblocking(False)
        self._writer = wakeup  # referenced for as long as signals may come
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGCHLD):
            signal.signal(number, _noted)

    def start(self, command: list[str], keep: tuple[int, ...], env: dict[str, str]) -> None:
        self._group = _control_group(self._limits.processes)
        prepare = _ties_to_this_process(self._limits, self._group)
        if self._limits.processes:
            _take_precedence()
        try:
            # Held for good: a Popen that is collected reaps its program, and the exit code would be lost.
            self._program = subprocess.Popen(
                command,
                process_group=0,
                preexec_fn=prepare,  # noqa: PLW1509 - one thread: nothing else can hold a lock across the fork
                pass_fds=keep,
                env=env,
            )
        except (OSError, ValueError) as error:
            self._say(f"failed {command[0]}: {getattr(error, 'strerror', None) or error}")
            os._exit(127)
        self._pid = self._program.pid
        self._say(f"pid {self._pid}")

    def watch(self) -> int:
        """Until nothing of the program is left; its wait status."""
        while self._status is None:
            watched = [self._wakeup] if self.orphaned else [self._wakeup, self._control]
            ready, _, _ = select.select(watched, [], [], self._patience())
            if self._wakeup in ready:
                self._pass_on(self._wakeup.recv(4096))
            if self._control in ready:
                self._obey()
            if not self.orphaned and os.getppid() != self._parent:
                self._orphaned()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill_all()
            self._reap()
            self._look()
        self._kill_group()
        self._sweep()
        if self._group is not None:
            with contextlib.suppress(OSError):
                self._group.rmdir()
        self._say("end")
        return self._status

    def _patience(self) -> float:
        most = self._pace if self._limits.memory or self._limits.processes else PARENT_POLL
        return most if self._kill_at is None else min(most, max(0.0, self._kill_at - time.monotonic()))

    def _look(self) -> None:
        """End the program when it uses more than it may."""
        limits = self._limits
        if not (limits.memory or limits.processes) or self._status is not None or self._kill_at is not None:
            return
        tree = _tree(limits.processes)
        self._pace = LOOK_EVERY if len(tree) > self._seen else min(self._pace * 1.1, LOOK_EVERY * 4)
        self._seen = len(tree)
        over = ""
        if limits.processes and len(tree) > limits.processes:
            over = "processes"
        elif limits.memory and sum(map(_resident, tree)) > limits.memory:
            # Pages that processes share are counted once, which takes longer.
            over = "memory" if sum(map(_proportional, tree)) > limits.memory else ""
        if over:
            self._say(f"over {over}")
            self._kill_all()

    def _pass_on(self, signals: bytes) -> None:
        for number in signals:
            if number in FORWARDED:
                self._signal(number)

    def _obey(self) -> None:
        try:
            said = self._control.recv(64)
        except OSError:
            said = b""
        if b"K" in said:
            self._kill_all()
        elif b"T" in said:
            with contextlib.suppress(OSError):
                os.killpg(self._pid, signal.SIGTERM)
        elif not said:
            self._orphaned()

    def _orphaned(self) -> None:
        self.orphaned = True
        self._signal(signal.SIGTERM)
        self._kill_at = time.monotonic() + self._grace

    def _signal(self, number: int) -> None:
        if self._status is None:
            with contextlib.suppress(OSError):
                os.kill(self._pid, number)

    def _kill_group(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._pid, signal.SIGKILL)

    def _kill_all(self) -> None:
        """The group at once, which nothing in it can outrun; then those that left it, until there are no new ones or
        time is up.
        """
        deadline = time.monotonic() + SWEEP_BOUND
        while True:
            self._kill_group()
            self._reap()
            escaped = [pid for pid in _tree(_MANY) if not _is_over(pid)]
            for pid in escaped:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            if not escaped or time.monotonic() >= deadline:
                break
        self._kill_at = time.monotonic() + PARENT_POLL  # again, should it have forked meanwhile

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._pid:
                    self._status = ended[1]

    def _sweep(self) -> None:
        deadline = time.monotonic() + SWEEP_BOUND
        while _children(os.getpid()) and time.monotonic() < deadline:
            self._kill_all()
            self._reap()
            time.sleep(0.005)

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the parent is gone: nobody needs to know
            self._control.send(text.encode(errors="replace")[:1000] + b"\n")


def _noted(number: int, frame: FrameType | None) -> None:
    """The wake-up socket carries the signal; a handler must only exist."""


def _ties_to_this_process(limits: Limits, group: Path | None) -> Callable[[], None]:
    """What the program does between fork and exec: take its limits, and (Linux) be killed by the kernel when the
    guard is killed.
    """
    bounds = [
        (number, size)
        for number, size in (
            (resource.RLIMIT_DATA, limits.memory and limits.memory + _SLACK),
            (resource.RLIMIT_FSIZE, limits.file),
            (resource.RLIMIT_NOFILE, limits.files),
        )
        if size
    ]
    limited = any(limits)
    guard = os.getpid()
    prctl = None
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def tie() -> None:
        if prctl is not None:
            prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != guard:  # killed before the line above took hold
                os._exit(1)
        if limited:
            _limit(bounds)
            if prctl is not None:
                _give_way(group)
                for capability in _PRYING:
                    prctl(_CAPBSET_DROP, capability, 0, 0, 0)
                prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    return tie


def _limit(bounds: list[tuple[int, int]]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number, size in bounds:
        most = resource.getrlimit(number)[1]
        least = size if most == resource.RLIM_INFINITY else min(size, most)
        resource.setrlimit(number, (least, least))


def _give_way(group: Path | None) -> None:
    """Before others at every shortage; and in *group*, if we have one."""
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    os.nice(10)
    files = [(Path("/proc/self/oom_score_adj"), "1000")] + ([(group / "cgroup.procs", "0")] if group else [])
    for file, text in files:
        with contextlib.suppress(OSError):
            file.write_text(text)


def _children(pid: int) -> list[int]:
    """The children of *pid* that still run or wait to be reaped, orphans adopted by it among them; none where the
    kernel does not tell.
    """
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - a tenth of the time
            with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{thread}/children", "rb") as listed:  # noqa: PTH123
                found += map(int, listed.read().split())
    return found


def _tree(most: int = 0) -> list[int]:
    """Everything that descends from us; no more than a few beyond *most*, if that is given."""
    found: list[int] = []
    waiting = [os.getpid()]
    while waiting and not (most and len(found) > most):
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def _take_precedence() -> None:
    """Be scheduled before what we watch, where we may."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def _control_group(processes: int) -> Path | None:
    """A control group for a program that may start *processes*; None where there need not or cannot be one."""
    if not processes:
        return None
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "pids"):
                continue
            root = Path("/sys/fs/cgroup") / controllers
            group = Path(f"{root}{path}") / f"wfe-{os.getpid()}"
            try:
                group.mkdir()
                (group / "pids.max").write_text(str(processes * _TASKS))
            except OSError:
                with contextlib.suppress(OSError):
                    group.rmdir()
                continue
            return group
    return None


def _is_over(pid: int) -> bool:
    """Whether *pid* has ended and only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def _resident(pid: int) -> int:
    """How many bytes of *pid* are in memory; 0 when it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        return 0


def _proportional(pid: int) -> int:
    """The same, with each shared page divided among those that share it."""
    with contextlib.suppress(OSError, IndexError, ValueError):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        return int(text.partition("\nPss:")[2].split()[0]) * 1024
    return _resident(pid)


def _end_as(status: int) -> NoReturn:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(1)  # not reached by signals that end a process
        os._exit(128 + number)
    os._exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main(sys.argv[1:])
