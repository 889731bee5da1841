"""Sub-flows whose run was ended by Temporal's own means: they are ended too.

The sub-flows that something may go on beside are abandoned children (`sub_flows`), so that they outlive that their run
goes on in a new history. A run that ends, or is ended by us, ends them. One that somebody terminates in the Temporal
UI, or that the server ends, has no chance to. So whoever serves the API asks now and then which runs have ended like
that, and ends what they have left. Usual runs cost nothing for it, and no event: it is one query, and one more for each
run that was terminated. Several may do it at once.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal import outcomes
from workflow_engine.runtimes.temporal.connection import translated
from workflow_engine.runtimes.temporal.naming import GENERATION, identity_of
from workflow_engine.runtimes.temporal.outcomes import GOES_ON
from workflow_engine.values import rfc3339

EVERY = 20.0
"""After how many seconds it is looked again."""
BACK = timedelta(days=7)
"""How far it is looked back at first: for what was ended while nobody looked."""
LATE = timedelta(minutes=2)
"""How much later a run may be found than it began or ended."""
MOST = 1000
"""How many ended runs are looked at in one go, the newest first."""
REASON = "the run that began it was terminated"
_log = logging.getLogger("wfe")


class Orphans:
    """The sub-flows of the runs of one task queue that nobody waits for any longer."""

    def __init__(self, client: Client, task_queue: str, *, every: float = EVERY) -> None:
        self._client, self._queue, self._every = client, task_queue, every
        self._since = datetime.now(UTC) - BACK
        self._seen: dict[str, datetime] = {}
        self._told: str | None = None

    async def keep(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            try:
                await self.look()
                self._told = None
            except Unavailable:
                pass  # whoever needs the server says so
            except Exception as error:  # noqa: BLE001 - what the server cannot, or a bug, must not end this task
                if self._told != repr(error):
                    self._told = repr(error)
                    _log.warning("sub-flows of runs that were terminated are not ended: %s", error)
            await asyncio.sleep(self._every)

    async def look(self) -> list[str]:
        """End what the runs have left that were ended since this was asked last; the ids of those."""
        began = datetime.now(UTC)
        ended: list[str] = []
        queue = self._queue.replace("\\", "\\\\").replace("'", "\\'")
        query = (
            f"TaskQueue = '{queue}' AND ExecutionStatus IN ('Terminated', 'TimedOut') "
            f"AND CloseTime >= '{rfc3339(self._since - 2 * LATE)}'"
        )
        with translated():
            async for run in self._client.list_workflows(query, limit=MOST):
                if run.run_id not in self._seen:
                    ended += await self._left_by(run.id)
                    if run.close_time is not None and began - run.close_time > LATE:
                        self._seen[run.run_id] = began  # what it began last can be found by now, too
        self._since = began
        self._seen = {run: at for run, at in self._seen.items() if at > began - BACK}
        return ended

    async def _left_by(self, run_id: str) -> list[str]:
        """End what the run has left, unless it goes on: it may have been begun anew, or reset."""
        left = sorted(await outcomes.bound(self._client, run_id))
        if left:
            left = [child for child in left if not await self._belongs(child, run_id)]
        for child in left:
            _log.info("ending %s: %s", child, REASON)
            await outcomes.terminate(self._client, child, REASON)
        return left

    async def _belongs(self, child: str, run_id: str) -> bool:
        """Whether *child* is one of the run *run_id* that goes on now, and not of one that had this id before."""
        try:
            description = await self._client.get_workflow_handle(run_id).describe()
        except RPCError as error:
            if error.status == RPCStatusCode.NOT_FOUND:
                return False
            raise
        if description.status not in GOES_ON:
            return False
        generation = (await description.memo()).get(GENERATION)
        return child.startswith(identity_of(run_id, generation) + ".")
