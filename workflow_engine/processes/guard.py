"""The program between us and a program that must not outlive us.

Run as a script, in a session of its own, with the standard library alone (`python -I -S guard.py`, about 20 ms)::

    guard.py CONTROL_FD PARENT_PID GRACE_SECONDS KEPT_FDS -- PROGRAM ARGUMENT…

It starts PROGRAM as the leader of a process group, passes signals on to it, and ends as it ended: with its exit
code, or by the same signal. Three things may go wrong, and each ends PROGRAM too:

* The parent ends, by whatever means: the other end of the socket CONTROL_FD closes (and, should a stray process
  still hold it, our parent is no longer PARENT_PID). PROGRAM gets SIGTERM, and SIGKILL after GRACE_SECONDS.
* The guard is killed: on Linux the kernel kills PROGRAM (PR_SET_PDEATHSIG, which follows the *thread* that
  started it; the guard has one thread only, which is why the parent, who may have many, does not set it).
  Elsewhere the parent kills the group.
* PROGRAM ends but leaves processes behind: its group is killed, and on Linux also those that left the group,
  for the guard adopts orphans (PR_SET_CHILD_SUBREAPER).

On the socket the guard says `pid N` or `failed REASON`, and `end` when nothing of PROGRAM is left. The parent
may say `K`: kill at once.
"""

from __future__ import annotations

import contextlib
import ctypes
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
from typing import NoReturn

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
PARENT_POLL = 0.5
"""Seconds between looks at who our parent is: the second net, below the socket."""
SWEEP_BOUND = 2.0
"""Seconds given to killed orphans to vanish; one in an uninterruptible system call is left to the kernel."""
_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36


def main(arguments: list[str]) -> NoReturn:
    separator = arguments.index("--")
    control_fd, parent, grace, kept = arguments[:separator]
    control = socket.socket(fileno=int(control_fd))
    control.set_inheritable(False)
    keep = tuple(int(fd) for fd in kept.split(",") if fd)
    guard = _Guard(control, int(parent), float(grace))
    guard.start(arguments[separator + 1 :], keep)
    _end_as(guard.watch())


class _Guard:
    def __init__(self, control: socket.socket, parent: int, grace: float) -> None:
        self._control = control
        self._parent = parent
        self._grace = grace
        self._program: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._status: int | None = None
        self._kill_at: float | None = None
        self._deaf = False
        self._wakeup, wakeup = socket.socketpair()
        for end in (self._wakeup, wakeup):
            end.setblocking(False)
        self._writer = wakeup  # referenced for as long as signals may come
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGCHLD):
            signal.signal(number, _noted)

    def start(self, command: list[str], keep: tuple[int, ...]) -> None:
        prepare = _ties_to_this_process()
        try:
            # Held for good: a Popen that is collected reaps its program, and the exit code would be lost.
            self._program = subprocess.Popen(
                command,
                process_group=0,
                preexec_fn=prepare,  # noqa: PLW1509 - one thread: nothing else can hold a lock across the fork
                pass_fds=keep,
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            self._say(f"failed {command[0]}: {error.strerror or error}")
            os._exit(127)
        self._pid = self._program.pid
        self._say(f"pid {self._pid}")

    def watch(self) -> int:
        """Until nothing of the program is left; its wait status."""
        while self._status is None:
            watched = [self._wakeup] if self._deaf else [self._wakeup, self._control]
            ready, _, _ = select.select(watched, [], [], self._patience())
            if self._wakeup in ready:
                self._pass_on(self._wakeup.recv(4096))
            if self._control in ready:
                self._obey()
            if not self._deaf and os.getppid() != self._parent:
                self._orphaned()
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                self._kill_group()
                self._kill_at = time.monotonic() + PARENT_POLL  # again, should it have forked meanwhile
            self._reap()
        self._kill_group()
        self._sweep()
        self._say("end")
        return self._status

    def _patience(self) -> float:
        if self._kill_at is None:
            return PARENT_POLL
        return min(PARENT_POLL, max(0.0, self._kill_at - time.monotonic()))

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
            self._kill_group()
        elif not said:
            self._orphaned()

    def _orphaned(self) -> None:
        self._deaf = True
        self._signal(signal.SIGTERM)
        self._kill_at = time.monotonic() + self._grace

    def _signal(self, number: int) -> None:
        if self._status is None:
            with contextlib.suppress(OSError):
                os.kill(self._pid, number)

    def _kill_group(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._pid, signal.SIGKILL)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == self._pid:
                    self._status = ended[1]

    def _sweep(self) -> None:
        deadline = time.monotonic() + SWEEP_BOUND
        while (orphans := _children()) and time.monotonic() < deadline:
            for pid in orphans:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self._reap()
            time.sleep(0.005)

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the parent is gone: nobody needs to know
            self._control.send(text.encode(errors="replace")[:1000] + b"\n")


def _noted(number: int, frame: FrameType | None) -> None:
    """The wake-up socket carries the signal; a handler must only exist."""


def _ties_to_this_process() -> Callable[[], None] | None:
    """What the program does between fork and exec, so that the kernel kills it when the guard is killed. Linux
    only.
    """
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    guard = os.getpid()

    def tie() -> None:
        prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != guard:  # killed before the line above took hold
            os._exit(1)

    return tie


def _children() -> list[int]:
    """Our children that still run, orphans adopted from the program among them; none where the kernel does not
    tell.
    """
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except OSError:
        return []


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
