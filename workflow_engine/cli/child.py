"""One program that is kept running: started, waited for until ready, started again when it dies."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from workflow_engine.errors import Unavailable
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.processes.output import RotatingLog, Tail

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_SHOWN_LINES = 12
_POLL_EVERY = 0.05
_PROBE_BOUND = 2.0


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When a child that died is started again, in seconds: after *delay*, then twice that…, at most *max_delay*.

    Given up at the *limit*-th death within *window*; before it was ready for the first time, at the *first_limit*-th
    (what cannot even start will hardly do so later).
    """

    delay: float = 0.2
    max_delay: float = 10.0
    limit: int = 5
    window: float = 60.0
    first_limit: int = 2


@dataclass(frozen=True, slots=True)
class Child:
    """What to run, and how to know that it runs.

    *command* is run without a shell, with *env* added to our environment. *ready*: a URL that answers 2xx, a coroutine
    function that returns once ready (or raises), or None for ready at once. *after*: names of children that must be
    ready before this one is started, and that outlast it. *url* is shown to the user. *ports*: what it will listen on,
    as (host, port), checked before anything starts. *lock*: a file held locked while it runs. *grace*: seconds
    between SIGTERM and SIGKILL.
    """

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: str | Callable[[], Awaitable[object]] | None = None
    after: tuple[str, ...] = ()
    url: str = ""
    ports: tuple[tuple[str, int], ...] = ()
    lock: Path | None = None
    ready_timeout: float = 60.0
    grace: float = 10.0
    restart: RestartPolicy = RestartPolicy()

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"the name of a child names its log file too: {self.name!r} cannot")


class GaveUp(Unavailable):
    """A child died too often; the message says how, and which log to read."""


class Keeper:
    """Keeps one child running, from `keep` until that is cancelled.

    *say* shows a line to the user; *echo*, if there is one, gets all the child prints. *ready* is set once, when the
    child is ready for the first time. *log* is the caller's to close.
    """

    def __init__(
        self,
        child: Child,
        log: RotatingLog,
        *,
        say: Callable[[str], None],
        echo: Callable[[bytes], None] | None = None,
        keep_open: Iterable[int] = (),
    ) -> None:
        self.child = child
        self.ready = asyncio.Event()
        self._log = log
        self._say = say
        self._sinks = (log.write,) if echo is None else (log.write, echo)
        self._keep_open = tuple(keep_open)
        self._process: GuardedProcess | None = None
        self._hurried = False

    async def keep(self) -> None:
        """Does not return: raises GaveUp. Cancelled, it ends the child first: SIGTERM, SIGKILL after `child.grace`."""
        policy = self.child.restart
        failures = 0
        deaths: deque[float] = deque()
        while True:
            tail = Tail(_SHOWN_LINES)
            end = await self._live(tail)
            if self._hurried:
                await (
                    asyncio.Event().wait()
                )  # it was we who killed it: whoever wanted that cancels us in turn
            self._report(end, tail)
            if self.ready.is_set():
                deaths.append(asyncio.get_running_loop().time())
                while deaths[0] < deaths[-1] - policy.window:
                    deaths.popleft()
                if len(deaths) >= policy.limit:
                    raise GaveUp(self._obituary(f"died {len(deaths)} times in {policy.window:g} s", end))
            else:
                failures += 1
                if failures >= policy.first_limit:
                    raise GaveUp(self._obituary("does not start", end))
            doublings = min((len(deaths) or failures) - 1, 30)
            pause = min(policy.delay * 2**doublings, policy.max_delay)
            self._say(f"starts again in {pause:.1f} s")
            await asyncio.sleep(pause)

    def hurry(self) -> None:
        """End the child now (SIGKILL), whatever it is doing."""
        self._hurried = True
        if self._process is not None:
            self._process.kill()

    async def _live(self, tail: Tail) -> str:
        """One life of the child, from start to end; how it ended."""
        self._say("starting…")
        started = asyncio.get_running_loop().time()
        try:
            self._process = process = await GuardedProcess.start(
                self.child.command,
                output=(tail.write, *self._sinks),
                env=self.child.env,
                grace=self.child.grace,
                keep=self._keep_open,
            )
        except OSError as error:
            return str(error)
        self._note(f"started, pid {process.pid}")
        try:
            if problem := await self._until_ready(process):
                await process.stop(self.child.grace)
                return problem
            if process.returncode is None or self.child.ready is None:
                seconds = asyncio.get_running_loop().time() - started
                again = " again" if self.ready.is_set() else ""
                self._say(f"ready{again} in {seconds:.1f} s  {self.child.url}".rstrip())
                self.ready.set()
            return _ending(await process.wait())
        finally:
            code = await process.stop(0 if self._hurried else self.child.grace)
            self._process = None
            self._note(f"ended: {_ending(code)}")

    async def _until_ready(self, process: GuardedProcess) -> str | None:
        """Until the child is ready or has ended (None), or shall not be waited for any longer (why)."""
        probing = asyncio.create_task(_answers(self.child.ready))
        ending = asyncio.create_task(process.wait())
        try:
            await asyncio.wait(
                (probing, ending), timeout=self.child.ready_timeout, return_when=asyncio.FIRST_COMPLETED
            )
            if ending.done():
                return None
            if not probing.done():
                return f"not ready within {self.child.ready_timeout:g} s"
            if (error := probing.exception()) is not None:
                return f"not ready: {error}"
            return None
        finally:
            for task in (probing, ending):
                task.cancel()
            await asyncio.gather(probing, ending, return_exceptions=True)

    def _report(self, end: str, tail: Tail) -> None:
        self._say(f"died: {end}")
        for line in tail.lines():
            self._say(f"  | {line}")

    def _obituary(self, what: str, end: str) -> str:
        return f"{self.child.name} {what} ({end}); read {self._log.path}"

    def _note(self, text: str) -> None:
        self._log.write(f"--- {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}\n".encode())


async def _answers(ready: str | Callable[[], Awaitable[object]] | None) -> None:
    if isinstance(ready, str):
        await _answers_http(ready)
    elif ready is not None:
        await ready()


async def _answers_http(url: str) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PROBE_BOUND)) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url, allow_redirects=False) as response:
                    if response.ok:
                        return
            await asyncio.sleep(_POLL_EVERY)


def _ending(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"
