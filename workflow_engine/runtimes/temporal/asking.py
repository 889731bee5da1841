"""Asking workers something about a run: again, and before all patience is gone.

A question is lost where it was given to a worker that was just stopping, or the answer came too late for a busy server,
and nobody says so. Who asks waits in vain then, for as long as it may take to replay the longest run. So it is asked a
few times, each time with more patience; what one question has made a worker replay, the next one finds done.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode

FIRST = 4.0
"""For so many seconds it is waited for the first answer; for each further one twice as long."""
NOBODY = frozenset(
    {RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED, RPCStatusCode.FAILED_PRECONDITION}
)
"""How the server says that no worker has answered a query."""
_LOST = frozenset({RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED})


async def ask(handle: WorkflowHandle[Any, Any], query: str, within: timedelta) -> Any:
    """The answer of a worker to *query*; as an error that of the last time, when there is none *within* that time."""
    loop, patience = asyncio.get_running_loop(), FIRST
    until = loop.time() + within.total_seconds()
    while True:
        left = until - loop.time()
        try:
            return await handle.query(query, rpc_timeout=timedelta(seconds=max(0.1, min(patience, left))))
        except RPCError as error:
            if error.status not in _LOST or patience >= left:
                raise
        patience *= 2
