"""How runs end whose last task this process does itself.

Where API and worker are one process, whoever waits for a run need not ask the Temporal server how it ended: the worker
knows what it has reported, and is told when the server has taken it. Only what is waited for is kept, and only while it
is. Whatever goes another way (another worker does the task, the server refuses it, the run takes its time) is asked of
the server, as it would be without this.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from typing import Any

from temporalio import workflow

AT_ONCE = 1.0
"""Seconds within which a run that this process works at may end to be known from here; then the server is asked."""
BEGUN_WITHIN = 0.05
"""Seconds within which this process must have begun with it, unless it was given it with the answer to its start."""
MOST = 10_000
"""How many runs are waited for so at a time; those beyond are asked of the server."""


class Unknown:
    """Of which it is not known here how it ended."""


UNKNOWN = Unknown()


class Expected:
    """A run that is waited for, until *until* (`time.monotonic`)."""

    def __init__(self, until: float) -> None:
        self.until = until
        self.begun = False
        self.execution = ""
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[Any] = self._loop.create_future()

    async def output(self, seconds: float) -> Any:
        """What the run has returned, if it does so within *seconds* and that is known here; else `UNKNOWN`."""
        for patience in (BEGUN_WITHIN, AT_ONCE):
            await asyncio.wait({self._ended}, timeout=min(seconds, patience))
            if self._ended.done():
                return self._ended.result()
            if not self.begun:
                break
        return UNKNOWN

    def ended(self, output: Any) -> None:
        """It has, with *output*; from whichever thread."""
        self._loop.call_soon_threadsafe(self._told, output)

    def _told(self, output: Any) -> None:
        if not self._ended.done():
            self._ended.set_result(output)


class Endings:
    """Of all runs of this process that are waited for."""

    def __init__(self) -> None:
        self._expected: dict[str, Expected] = {}
        self._returned: dict[str, tuple[Expected, Any]] = {}

    def expect(self, run_id: str, seconds: float) -> None:
        """The run *run_id*, which is about to be started, will be waited for, for so many *seconds*."""
        now = time.monotonic()
        while self._expected:
            oldest = next(iter(self._expected))
            if self._expected[oldest].until > now:
                break
            self._forget(oldest)  # nobody has come to wait
        if len(self._expected) < MOST:
            self._expected.setdefault(run_id, Expected(now + seconds + AT_ONCE))

    @contextlib.contextmanager
    def waiting(self, run_id: str) -> Iterator[Expected | None]:
        """What is known of the run *run_id*, while it is waited for; None if that was not to be expected."""
        expected = self._expected.get(run_id)
        try:
            yield expected
        finally:
            if expected is not None and self._expected.get(run_id) is expected:
                self._forget(run_id)

    def _forget(self, run_id: str) -> None:
        self._returned.pop(self._expected.pop(run_id).execution, None)

    def given(self, run_id: str) -> None:
        """The answer to the start of a run had its first task: this process begins it as soon as it comes to it."""
        if (expected := self._expected.get(run_id)) is not None:
            expected.begun = True

    def begun(self) -> None:
        """The run that is at work has been begun by this process."""
        if self._expected and (expected := self._expected.get(workflow.info().workflow_id)) is not None:
            expected.begun = True

    def returns(self, output: Any) -> None:
        """The run that is at work is about to end with *output*, or by a failure (`UNKNOWN`)."""
        if self._expected and not workflow.unsafe.is_replaying():
            info = workflow.info()
            if (expected := self._expected.get(info.workflow_id)) is not None:
                expected.execution = info.run_id
                self._returned[info.run_id] = expected, output

    def let_go(self, execution: str, *, ended: bool) -> None:
        """A worker has let go of the run with that *execution*; *ended*: because the server has taken its end."""
        expected, output = self._returned.pop(execution, (None, None))
        if expected is not None and ended:
            expected.ended(output)


ENDINGS = Endings()
