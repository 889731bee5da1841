"""The time that a whole run may take, and what happens when it is up (dsl.md §1.6, §2.9, decision B18)."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from workflow_engine.errors import Fault, fault
from workflow_engine.interpreter.effects import Expired, Place
from workflow_engine.interpreter.evaluation import seconds
from workflow_engine.interpreter.position import Frame, TimeUp
from workflow_engine.interpreter.scope import workflow_scope
from workflow_engine.values import Json

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


_SINCE = 6
"""From which semantics on (`dsl.bundle.SEMANTICS`) the months of a timeout are those from the beginning of the run, not
of its history."""
ENDED = "__ended"
"""The variable of the root frame that has what the states came to: what is left is the output of the workflow."""


async def bounded(run: Run) -> Json:
    """Walk the whole graph of *run* within its time; then go through what is to be done before its end, or fault."""
    if ENDED not in run.root.variables:
        output = await _walked(run)
        run.root.variables[ENDED] = output
    return run.root.variables[ENDED]


async def _walked(run: Run) -> Json:
    graph, root, before_end = run.graph, run.graph.root, run.graph.before_end
    if before_end is not None and run.root.region == before_end.id:  # gone on with after the time was up
        return await run.to_the_end(before_end)
    if graph.timeout is None:
        return await run.to_the_end(root)
    instance = "/timeout" if graph.dialect == "1.0" else "/timeouts/workflowExecTimeout"
    # A retry begins the time anew: it may come days after the run has faulted (see `retrying`).
    began = max(run.started, datetime.fromtimestamp(run.counts.get("clock", 0) / 1000, UTC))
    since = began if run.effects.semantics >= _SINCE else None
    try:
        allowed = await seconds(graph.timeout, run.input, workflow_scope(run), run, since=since)
    except Fault as raised:
        raise raised.at(instance) from None
    remaining = allowed - (run.effects.now() - began).total_seconds()
    place = Place("/timeout", "/timeout", "workflow timeout")
    try:
        if graph.interrupt:
            return await run.effects.within(remaining, partial(run.to_the_end, root), place)
        run.deadline = began.timestamp() + allowed
        return await run.to_the_end(root)
    except (Expired, TimeUp):
        if before_end is None:
            message = f"the workflow took longer than {allowed:.15g} s"
            raise fault("timeout", message, instance=instance) from None
    run.deadline = None
    run.root = Frame(before_end.id, run.root.data, branch=True, context=run.root.context)
    return await run.to_the_end(before_end)


def time_is_up(run: Run) -> bool:
    """Whether a run that is not to be interrupted has to stop before its next state."""
    return run.deadline is not None and run.effects.now().timestamp() >= run.deadline
