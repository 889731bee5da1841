"""The attempts at one call within its activity: retries that write nothing into the history of the run.

How far they are travels with the heartbeats, so that a lost worker counts as no attempt. Between two of them nothing is
held: the server begins the next one. What takes long is handed back to the run, which can be suspended and moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from workflow_engine.errors import Fault, fault
from workflow_engine.interpreter.attempts import decide, length
from workflow_engine.runtimes.temporal.failures import SLOW, failure_of, unsuited
from workflow_engine.values import JsonObject

INLINE, EXPRESS, TAKEN = "inline", "express", "taken"
"""What the activity of a call is told of being ``within`` a workflow task, or of taking over what was."""
HEARTBEAT_SECONDS = 3.0
AT_ONCE = 1.0
"""A wait of up to so many seconds is not worth a round trip to the server."""
LONG = 60.0
"""A wait of more than so many seconds is the run's."""
LONGEST_REASON = 200
"""So many characters of the failure of an attempt come into the history: the server shows them until the next one."""
STAY = 300.0
"""After so many seconds, with the wait that is next, the run goes on with the attempts."""


class Clock:
    """The server's time, by which runs tell time too, and not this machine's."""

    def __init__(self, info: activity.Info) -> None:
        self._started, self._since = info.started_time.timestamp(), time.monotonic()

    def now(self) -> float:
        return self._started + time.monotonic() - self._since


@dataclass(frozen=True, slots=True)
class Allowance:
    """What attempts may take within a workflow task: so many *seconds*. *within*: what takes longer goes on, so that
    none has to be given up (`going_on`); and where nobody has said that the call is short, the first one is the only.
    """

    seconds: float
    within: str | None = None


def gone_on(plan: JsonObject, progress: JsonObject) -> JsonObject:
    """*plan* for the attempts that follow those of which *progress* tells."""
    return {**plan, **progress, "tried": progress["retries"]}


class Attempts:
    """The attempts at the call of the current activity, as *plan* says (`interpreter.attempts.planned`)."""

    def __init__(self, plan: JsonObject, state: str, allowed: float | None, express: Allowance) -> None:
        """*state* calls, and an attempt is *allowed* so many seconds, if it has a timeout. *express* is what they may
        all take within a workflow task.
        """
        self._plan, self._state, self._allowed = plan, state, allowed
        self._info = activity.info()
        self._clock = Clock(self._info)
        self._express = express
        details = self._info.heartbeat_details
        self._progress: dict[str, Any] = {"retries": plan["tried"], "before": plan.get("before")}
        if details and isinstance(details[0], dict) and "retries" in details[0]:
            self._progress = dict(details[0])
        elif isinstance(wait := plan.get("wait"), int | float):
            self._again(wait, str(plan.get("why", "made again as an activity of its own")))
        begun = self._info.current_attempt_scheduled_time.timestamp()
        self._since = float(self._progress.get("since", self._clock.now() if self._info.is_local else begun))

    async def make(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """What *call* gives in the first attempt that does not fail, or that of the last one."""
        with contextlib.nullcontext() if self._info.is_local else heartbeat(lambda: self._progress):
            while True:
                self._progress["since"] = self._since
                try:
                    output = await self._attempt(call)
                except Fault as raised:
                    self._progress.pop("since")
                    await self._failed(raised)
                    continue
                if not self._plan["counted"]:
                    return output
                return {
                    "output": output,
                    "retries": self._progress["retries"],
                    "before": self._progress["before"],
                }

    async def _attempt(self, call: Callable[[], Awaitable[Any]]) -> Any:
        limits: list[tuple[float, Fault]] = []  # the outer one first: of two that end at once it counts
        if "attempt" in self._plan:
            late = f"an attempt of {self._plan['name']!r} took longer than it may"
            seconds = length(self._plan["attempt"], self._moment())
            limits.append((seconds, fault("timeout", late, instance=str(self._plan["try"]))))
        if self._allowed is not None:
            late = f"{self._plan['called']!r} took longer than its timeout allows"
            limits.append((self._allowed, fault("timeout", late, instance=self._state)))
        if not limits:
            return await self._within(call)
        seconds, late_fault = min(limits, key=lambda limit: limit[0])
        remaining = self._since + seconds - self._clock.now()
        try:
            async with asyncio.timeout(remaining) as timer:
                return await self._within(call)
        except TimeoutError:
            if not timer.expired():
                raise
            raise late_fault from None

    async def _within(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Make *call*; within a workflow task only for as long as that may wait, and then as an activity of its own."""
        if not self._info.is_local or self._express.within is not None:
            return await call()
        try:
            async with asyncio.timeout(self._left()) as timer:
                return await call()
        except TimeoutError:
            if not timer.expired():
                raise
            raise unsuited(SLOW, {key: self._progress[key] for key in ("retries", "before")}) from None

    def _left(self) -> float:
        """How long a workflow task may still wait."""
        return self._info.started_time.timestamp() + self._express.seconds - self._clock.now()

    async def _failed(self, raised: Fault) -> None:
        """Wait for the next attempt, here; or leave it to the server or the run, or to nobody."""
        error = raised.at(self._state).error.to_json()
        tried, before = self._progress["retries"], self._progress["before"]
        try:
            wait = decide(self._plan, error, tried, before, self._moment(), random.random)
        except Fault:  # the run looks at the policy itself, and sees why
            raise failure_of(raised, of_call=True, told={**self._progress, "undecided": True}) from None
        if wait is None:
            raise failure_of(raised, of_call=True, told=self._progress) from None
        stayed = self._clock.now() - self._info.scheduled_time.timestamp()
        if wait > LONG or stayed + wait > STAY:
            raise failure_of(raised, of_call=True, told={**self._progress, "wait": wait}) from None
        if self._info.is_local and (wait > AT_ONCE or wait > self._left() or self._express.within == INLINE):
            why = str(raised)[:LONGEST_REASON]
            raise unsuited(why, {**self._progress, "wait": wait, "why": why}) from None
        if wait > AT_ONCE:
            self._again(wait, str(raised))
        self._count(wait)
        await asyncio.sleep(wait)
        self._since = self._clock.now()

    def _again(self, wait: float, why: str) -> NoReturn:
        """Have the server begin the next attempt after *wait* seconds."""
        self._count(wait)
        activity.heartbeat(self._progress)
        raise ApplicationError(
            why,
            type="Again",
            next_retry_delay=timedelta(seconds=wait),
            category=ApplicationErrorCategory.BENIGN,
        )

    def _count(self, wait: float) -> None:
        self._progress["retries"] += 1
        if self._plan["backoff"] == "progressive":
            self._progress["before"] = wait

    def _moment(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now(), UTC)


@contextlib.contextmanager
def heartbeat(details: Callable[[], Any] | None = None) -> Iterator[None]:
    """Tell the server now and then that this worker lives, and the *details* if there are any."""
    loop = asyncio.get_running_loop()
    next_beat: list[
        asyncio.TimerHandle
    ] = []  # a timer costs a fraction of a task, and most calls end before it

    def beat(
        again: Callable[..., None],
    ) -> None:  # it does not name itself: with what it knows it would be garbage
        next_beat[0] = loop.call_later(HEARTBEAT_SECONDS, again, again)
        if details is None:
            activity.heartbeat()
        else:
            activity.heartbeat(details())

    next_beat.append(loop.call_later(HEARTBEAT_SECONDS, beat, beat))
    try:
        yield
    finally:
        next_beat.pop().cancel()
