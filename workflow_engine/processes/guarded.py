"""A program that cannot outlive us: it runs under `guard`, and this is our end of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from asyncio import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO

from workflow_engine.processes import guard
from workflow_engine.processes.guard import Limits
from workflow_engine.processes.output import Tail, pump

DEFAULT_GRACE = 10.0
UNLIMITED = Limits()
_GUARD_START_BOUND = 30.0
_GUARD_END_BOUND = guard.SWEEP_BOUND + 1.0
_LAST_OUTPUT_BOUND = 1.0
"""Seconds for the output to end after the program: longer only where something that escaped us still holds the pipe."""


class GuardedProcess:
    """A running program, its guard between us. Make one with `start`; await its end with `wait` or `stop`.

    *pid* is the program's own, *guard_pid* the guard's. Needs POSIX; what is killed with what is told in `guard`.
    """

    def __init__(
        self, process: subprocess.Process, control: socket.socket, greeting: str, *output: _Output
    ) -> None:
        self._process = process
        self._control = control
        self._said = greeting
        self._output = output
        self.pid = int(greeting.split()[1])
        self._end = asyncio.create_task(self._to_the_end())

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        *,
        output: Iterable[Callable[[bytes], None]] = (),
        errors: Iterable[Callable[[bytes], None]] | None = None,
        stdin: IO[bytes] | None = None,
        env: Mapping[str, str] | None = None,
        inherit: bool = True,
        limits: Limits = UNLIMITED,
        cwd: Path | None = None,
        grace: float = DEFAULT_GRACE,
        keep: Iterable[int] = (),
        scratch: Path | None = None,
    ) -> GuardedProcess:
        """Start *command* (no shell) in a process group of its own, with *env* added to our environment, or without
        *inherit* in the place of it.

        *output*: who gets what it prints, stdout and stderr joined, piece by piece; with *errors*, stderr goes there.
        *grace*: seconds between SIGTERM and SIGKILL when it is our death that ends it. *keep*: descriptors the program
        holds open all its life (a lock's, so that the lock lasts as long as it does). *scratch*: a folder that is
        removed when it is our death that ends it. Raises OSError when it cannot be started.
        """
        kept = tuple(keep)
        complaint = Tail()
        process: subprocess.Process | None = None
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        pipes = [_Output((complaint.write, *output))]
        if errors is not None:
            pipes.append(_Output(tuple(errors)))
        whole = {**(os.environ if inherit else {}), **(env or {})}
        orders = json.dumps({"env": whole, "limits": limits._asdict(), "scratch": scratch and str(scratch)})
        try:
            try:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-I", "-S", guard.__file__),
                    *(str(theirs.fileno()), str(os.getpid()), str(grace), ",".join(map(str, kept)), "--"),
                    *command,
                    stdin=subprocess.DEVNULL if stdin is None else stdin,
                    stdout=pipes[0].writing,
                    stderr=pipes[-1].writing,
                    env=None if inherit else {"PATH": os.environ.get("PATH", os.defpath)},
                    cwd=cwd,
                    pass_fds=(theirs.fileno(), *kept),
                    start_new_session=True,
                )
            finally:
                theirs.close()
                for pipe in pipes:
                    pipe.started()
            await asyncio.get_running_loop().sock_sendall(ours, orders.encode() + b"\n")
            greeting = await _greeting(ours)
            if not greeting.startswith("pid "):
                await process.wait()
                await _finish(pipes)
                raise OSError(f"cannot start {greeting.removeprefix('failed ').strip() or complaint.lines()}")
        except BaseException:
            with contextlib.suppress(OSError):
                ours.send(b"K")
            ours.close()  # what the guard has started, or is about to start, ends with this
            if process is not None:
                await process.wait()
            await _finish(pipes)
            raise
        return cls(process, ours, greeting, *pipes)

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

    def terminate_all(self) -> None:
        """Ask the program and all of its group to end (SIGTERM)."""
        with contextlib.suppress(OSError):
            self._control.send(b"T")

    def kill(self) -> None:
        """End the program and all that it started now (SIGKILL)."""
        with contextlib.suppress(OSError):
            self._control.send(b"K")

    async def wait(self) -> int:
        """Until the program and what it left behind have ended and its output was handed over; its `returncode`."""
        return await asyncio.shield(self._end)

    async def stop(self, grace: float = DEFAULT_GRACE) -> int:
        """SIGTERM to the program, and SIGKILL to all after *grace* seconds (at once when 0); its `returncode`."""
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

    @property
    def over(self) -> str | None:
        """Once it has ended: the limit that it was killed for (`memory`, `processes`); None: it was not."""
        said = next((line for line in self._said.splitlines() if line.startswith("over ")), None)
        return said and said.removeprefix("over ")

    async def _to_the_end(self) -> int:
        try:
            code = await self._process.wait()
            if not self._ended_in_order():  # the guard itself was killed: its work is ours
                with contextlib.suppress(OSError):
                    os.killpg(self.pid, signal.SIGKILL)
        finally:
            self._control.close()
            await _finish(self._output)
        return code

    def _ended_in_order(self) -> bool:
        with contextlib.suppress(OSError):
            self._said += self._control.recv(4096).decode(errors="replace")
        return self._said.endswith("end\n")


class _Output:
    """A pipe the program prints to. asyncio must not own our end of it: `wait` would wait for its end."""

    def __init__(self, sinks: Sequence[Callable[[bytes], None]]) -> None:
        reading, self.writing = os.pipe()
        self._pipe = os.fdopen(reading, "rb", buffering=0)
        self._pumping = asyncio.create_task(self._pump(sinks))

    def started(self) -> None:
        """The program has its end, or never will: close ours of it."""
        os.close(self.writing)

    async def _pump(self, sinks: Sequence[Callable[[bytes], None]]) -> None:
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, self._pipe)
        try:
            await pump(reader, *sinks)
        finally:
            transport.close()

    async def finish(self) -> None:
        """Hand over what is left, and close."""
        try:
            await asyncio.wait((self._pumping,), timeout=_LAST_OUTPUT_BOUND)
        finally:
            self._pumping.cancel()
            await asyncio.gather(self._pumping, return_exceptions=True)
            self._pipe.close()


async def _finish(pipes: Iterable[_Output]) -> None:
    for pipe in pipes:
        await pipe.finish()


async def _greeting(control: socket.socket) -> str:
    """`pid N`, and all else the guard said meanwhile (`end`, where the program ended at once); `failed REASON`; or
    nothing, where the guard itself failed.
    """
    async with asyncio.timeout(_GUARD_START_BOUND):
        return (await asyncio.get_running_loop().sock_recv(control, 4096)).decode(errors="replace")
