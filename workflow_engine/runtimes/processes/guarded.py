"""A program that cannot outlive us: it runs under `guard`, and this is our end of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from workflow_engine.runtimes.processes import guard

DEFAULT_GRACE = 10.0
_GUARD_START_BOUND = 30.0
_GUARD_END_BOUND = guard.SWEEP_BOUND + 1.0


class GuardedProcess:
    """A running program, its guard between us. Make one with `start`; every one must be awaited to its end
    (`wait` or `stop`).

    *pid* is the program's own, *guard_pid* the guard's. *output* has the program's stdout and stderr, joined;
    who does not read it stops the program once the pipe is full. Needs POSIX; what is killed with what is told
    in `guard`.
    """

    def __init__(self, process: subprocess.Process, control: socket.socket, greeting: str) -> None:
        assert process.stdout is not None
        self._process = process
        self._control = control
        self._said = greeting
        self.pid = int(greeting.split()[1])
        self.output = process.stdout

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        grace: float = DEFAULT_GRACE,
        keep: Iterable[int] = (),
    ) -> GuardedProcess:
        """Start *command* (no shell) in a process group of its own, with *env* added to our environment.

        *grace*: seconds between SIGTERM and SIGKILL when it is our death that ends it. *keep*: descriptors the
        program holds open all its life (a lock's, so that the lock lasts as long as it does). Raises OSError
        when it cannot be started.
        """
        ours, theirs = socket.socketpair()
        kept = tuple(keep)
        process: subprocess.Process | None = None
        try:
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", guard.__file__),
                *(str(theirs.fileno()), str(os.getpid()), str(grace), ",".join(map(str, kept)), "--"),
                *command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                pass_fds=(theirs.fileno(), *kept),
                start_new_session=True,
            )
            theirs.close()
            greeting = await _greeting(ours, process)
        except BaseException:
            with contextlib.suppress(OSError):
                ours.send(b"K")
            ours.close()  # what the guard has started, or is about to start, ends with this
            theirs.close()
            if process is not None:
                await _drained(process)
            raise
        return cls(process, ours, greeting)

    @property
    def guard_pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The program's exit code, or minus the signal that ended it; None while it runs."""
        return self._process.returncode

    def terminate(self) -> None:
        """Ask the program to end (SIGTERM)."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def kill(self) -> None:
        """End the program and all of its group now (SIGKILL)."""
        if self.returncode is None:
            with contextlib.suppress(OSError):
                self._control.send(b"K")

    async def wait(self) -> int:
        """Until the program and what it left behind have ended; its `returncode`. Somebody else must read
        `output`.
        """
        code = await self._process.wait()
        if self._control.fileno() >= 0:
            if not self._ended_in_order():  # the guard itself was killed: its work is ours
                with contextlib.suppress(OSError):
                    os.killpg(self.pid, signal.SIGKILL)
            self._control.close()
        return code

    async def stop(self, grace: float = DEFAULT_GRACE) -> int:
        """SIGTERM, and SIGKILL after *grace* seconds (at once when 0); the program's `returncode`."""
        if grace > 0:
            self.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    return await self.wait()
        self.kill()
        try:
            async with asyncio.timeout(_GUARD_END_BOUND):
                return await self.wait()
        except TimeoutError:  # a guard that does not answer (stopped by a debugger, say): without it, then
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            return await self.wait()

    def _ended_in_order(self) -> bool:
        with contextlib.suppress(OSError):
            self._said += self._control.recv(4096).decode(errors="replace")
        return self._said.endswith("end\n")


async def _greeting(control: socket.socket, process: subprocess.Process) -> str:
    """`pid N`, and all else the guard said meanwhile: `end`, where the program ended at once."""
    async with asyncio.timeout(_GUARD_START_BOUND):
        said = (await asyncio.get_running_loop().sock_recv(control, 4096)).decode(errors="replace")
    if said.startswith("pid "):
        return said
    if said.startswith("failed "):
        raise OSError(f"cannot start {said.removeprefix('failed ').strip()}")
    log = (await _drained(process)).decode(errors="replace").strip()
    raise OSError(f"the guard process did not start: {log[-500:] or 'no output'}")


async def _drained(process: subprocess.Process) -> bytes:
    assert process.stdout is not None
    output = await process.stdout.read()
    await process.wait()
    return output
