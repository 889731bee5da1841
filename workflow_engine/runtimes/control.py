"""What may be done to a run of the local runtime from outside: suspend, resume, skip, cancel."""

from __future__ import annotations

from workflow_engine.interpreter.retrying import Wish
from workflow_engine.interpreter.run import Run
from workflow_engine.interpreter.skipping import skip
from workflow_engine.runtimes.scheduler import Promise, Scheduler
from workflow_engine.values import Json


class CancelledRun(Exception):
    """Somebody has cancelled the run."""


class Control:
    """Holds one run at its gate, or ends it; called by what runs on the same scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._run: Run | None = None
        self._going: Promise[None] | None = None
        self._cancelling: Promise[None] = Promise()

    def suspend(self) -> None:
        """Let the run stop before its next state."""
        if self._going is None:
            self._going = Promise()
            if self._run is not None:
                self._run.suspend()

    def resume(self) -> None:
        """Let it go on."""
        if self._going is not None:
            going, self._going = self._going, None
            if self._run is not None:
                self._run.resume()
            going.resolve(None)

    def skip(self, wish: Wish) -> None:
        """Let it leave out the state at which it is: `Rejected` where that cannot be (`interpreter.skipping`)."""
        assert self._run is not None
        skip(self._run, wish)

    def cancel(self) -> None:
        """Let the run end where it is."""
        self._cancelling.resolve(None)

    async def gate(self) -> None:
        """Return at once, unless the run is suspended."""
        while self._going is not None:
            await self._going

    async def drive(self, run: Run) -> Json:
        """The output of *run*; `CancelledRun` once it has ended for having been cancelled."""
        self._run = run
        if self._going is not None:
            run.suspend()

        async def cancelled() -> Json:
            await self._cancelling
            raise CancelledRun

        first = await self._scheduler.join([run.execute, cancelled], need=1, tolerant=False)
        return next(iter(first.values()))
