"""Runs several programs as one: all start, all are kept running, all end together.

::

    starting ──all ready──▶ running ──Ctrl-C, SIGTERM──▶ stopping (last started, first stopped) ──▶ 0
        └──────────a child dies too often──┴──────────────▶ stopping ──────────────────────────────▶ 3

A child is a process group of its own in a session of its own, so that Ctrl-C on the terminal reaches the supervisor
alone; and each runs under a guard, so that it ends even if the supervisor is killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TextIO

from workflow_engine.cli.child import Child, GaveUp, Keeper, RestartPolicy
from workflow_engine.errors import Conflict
from workflow_engine.processes.lockfile import LockFile
from workflow_engine.processes.output import Lines, RotatingLog
from workflow_engine.processes.ports import port_in_use

__all__ = ["GAVE_UP", "Child", "RestartPolicy", "Supervisor", "run"]

GAVE_UP = 3
"""Exit code when a child died too often: a part of the system cannot be reached."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LEFTOVER_PATIENCE = 2.0

OnReady = Callable[[], Awaitable[None] | None]


async def run(children: Sequence[Child], data: Path, on_ready: OnReady | None = None) -> int:
    """Run *children* until Ctrl-C, SIGTERM or SIGHUP (0), or until one dies too often (3). See `Supervisor`."""
    return await Supervisor(children, data).run(on_ready)


class Supervisor:
    """Runs *children* with what they print in `data/logs/NAME.log`, and their progress on *out* (stderr).

    At most one supervisor uses a *data* folder. *echo* shows all they print on *out* too. *log_size*: bytes after
    which a log is rotated; *log_backups* of the earlier ones are kept. Raises ValueError for children that wait for
    each other or for nobody's name.
    """

    def __init__(
        self,
        children: Sequence[Child],
        data: Path,
        *,
        out: TextIO | None = None,
        echo: bool = False,
        log_size: int = 10_000_000,
        log_backups: int = 3,
    ) -> None:
        self._children = {child.name: child for child in children}
        if len(self._children) < len(children):
            raise ValueError("two children have the same name")
        self._order = _start_order(self._children)
        self._data = data
        self._out = out or sys.stderr
        self._echo = echo
        self._log_size = log_size
        self._log_backups = log_backups
        self._width = max(map(len, self._children), default=0)
        self._keepers: dict[str, Keeper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked = asyncio.Event()
        self._stopping = False

    async def run(self, on_ready: OnReady | None = None) -> int:
        """Start all, call *on_ready* once when all are ready, keep them running; the exit code. To be called once.

        Raises Conflict, with nothing started, when the data folder or a port is in use. Cancelled, it stops the
        children as a SIGTERM does.
        """
        async with contextlib.AsyncExitStack() as stack:
            locks = await self._locked(stack)
            self._check_ports()
            stack.enter_context(self._signals())
            try:
                self._start(locks, stack)
                await self._watch(on_ready)
            except GaveUp as error:
                self._print(f"giving up: {error}")
                return GAVE_UP
            finally:
                await self._stop()
        return 0

    def stop(self) -> None:
        """What Ctrl-C does: `run` stops the children and returns 0."""
        self._asked.set()

    async def _locked(self, stack: contextlib.AsyncExitStack) -> dict[Path, int]:
        """Descriptors of the locks held, by path; the children inherit them, so that no lock ends before they do."""
        patience = max((child.grace for child in self._children.values()), default=0.0) + _LEFTOVER_PATIENCE
        wanted = {self._own_lock: f"the data folder {self._data}"}
        wanted |= {child.lock: str(child.lock) for child in self._children.values() if child.lock is not None}
        held = {}
        for path, what in wanted.items():
            lock = await LockFile.acquire(path, what, patience=patience)
            stack.callback(lock.close)
            held[path] = lock.fd
        return held

    @property
    def _own_lock(self) -> Path:
        return self._data / "supervisor.lock"

    def _check_ports(self) -> None:
        taken = [
            f"port {port}, wanted by {child.name}, is in use by {user}"
            for child in self._children.values()
            for host, port in child.ports
            if (user := port_in_use(host, port))
        ]
        if taken:
            raise Conflict("; ".join(taken) + ": stop it, or choose another port")

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        try:
            for number in _SIGNALS:
                loop.add_signal_handler(number, self._interrupted)
        except (RuntimeError, ValueError):  # not in the main thread: whoever is, stops us by cancelling
            yield
            return
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler)

    def _interrupted(self) -> None:
        if self._asked.is_set() or self._stopping:
            self._print("killing")
            for keeper in self._keepers.values():
                keeper.hurry()
        self.stop()

    def _start(self, locks: dict[Path, int], stack: contextlib.AsyncExitStack) -> None:
        for name in self._order:
            child = self._children[name]
            path = self._data / "logs" / f"{name}.log"
            log = RotatingLog(path, size=self._log_size, backups=self._log_backups)
            stack.callback(log.close)
            keeper = Keeper(
                child,
                log,
                say=partial(self._print, name=name),
                echo=Lines(partial(self._show, name=name)).write if self._echo else None,
                keep_open=[locks[path] for path in (self._own_lock, child.lock) if path is not None],
            )
            self._keepers[name] = keeper
            self._tasks[name] = asyncio.create_task(self._keep(keeper), name=f"keep {name}")

    async def _keep(self, keeper: Keeper) -> None:
        for name in keeper.child.after:
            await self._keepers[name].ready.wait()
        await keeper.keep()

    async def _watch(self, on_ready: OnReady | None) -> None:
        """Until somebody asks us to stop, or a child is given up: then its error is raised."""
        asked = asyncio.create_task(self._asked.wait())
        announcing = asyncio.create_task(self._announce(on_ready))
        try:
            waiting: set[asyncio.Task[object]] = {asked, announcing, *self._tasks.values()}
            while not asked.done():
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in (asked, announcing):
                task.cancel()
            await asyncio.gather(asked, announcing, return_exceptions=True)

    async def _announce(self, on_ready: OnReady | None) -> None:
        for keeper in self._keepers.values():
            await keeper.ready.wait()
        if on_ready is not None:
            told = on_ready()
            if inspect.isawaitable(told):
                await told

    async def _stop(self) -> None:
        """A child is stopped when those that need it have ended; the others at the same time."""
        self._stopping = True
        self._print("stopping… (Ctrl-C again kills)" if self._asked.is_set() else "stopping…")
        ended: dict[str, asyncio.Task[None]] = {}
        for name in reversed(self._order):
            dependents = [
                ended[other] for other, task in ended.items() if name in self._children[other].after
            ]
            ended[name] = asyncio.create_task(self._stop_after(dependents, name))
        await asyncio.gather(*ended.values())
        self._print("all stopped")

    async def _stop_after(self, dependents: Sequence[asyncio.Task[None]], name: str) -> None:
        await asyncio.gather(*dependents)
        if (task := self._tasks.get(name)) is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _show(self, line: str, name: str) -> None:
        self._print(f"| {line}", name)

    def _print(self, text: str, name: str = "") -> None:
        with contextlib.suppress(OSError, ValueError):  # the terminal may be gone
            self._out.write(f"{name:<{self._width}}  {text}\n" if name else f"{text}\n")
            self._out.flush()


def _start_order(children: dict[str, Child]) -> list[str]:
    for child in children.values():
        if unknown := [name for name in child.after if name not in children]:
            raise ValueError(f"{child.name} waits for {', '.join(unknown)}, which is not there")
    try:
        return list(TopologicalSorter({name: child.after for name, child in children.items()}).static_order())
    except CycleError as error:
        raise ValueError(f"children wait for each other: {' → '.join(error.args[1])}") from None
