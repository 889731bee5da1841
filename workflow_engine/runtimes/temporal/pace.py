"""How much a run computes before other runs get their turn."""

from __future__ import annotations

from temporalio import workflow

MOST = 1_000_000
"""Steps of expressions (`expressions.limits`) that one workflow task of a run may take, and those of the last one more:
about half a second. A worker that is silent for some seconds is taken for stuck (`worker.STUCK`).
"""


class Pace:
    """Has all of a run wait for a moment once its expressions have taken `MOST` steps since it last did.

    Steps are counted and not timed, so a replay waits where the first run did.
    """

    def __init__(self, *, counted: bool) -> None:
        """*counted*: runs that began before there was a pace go on without."""
        self._counted = counted
        self._spent = 0
        self._resting = False

    def spent(self, steps: int) -> None:
        self._spent += steps

    @property
    def due(self) -> bool:
        """Whether `keep` is to be asked."""
        return self._counted and self._spent >= MOST

    async def keep(self) -> None:
        """Return at once, or when the run has paused; of several branches one pauses for all."""
        while self._counted and self._spent >= MOST:
            if self._resting:
                await workflow.wait_condition(lambda: not self._resting)
                continue
            self._resting = True
            try:
                await workflow.sleep(0.001, summary="letting other runs go on")
                self._spent = 0
            finally:
                self._resting = False
