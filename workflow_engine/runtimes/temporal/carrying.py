"""What a run has from before it began: the fourth argument of its workflow.

A JSON object, of which every member may be missing:

``since``      from when on it hears events, an ISO 8601 time: the runs of a schedule, and those that go on for another
``counts``     how often its states were done, of the run whose id it has (DSL 0.8 ``continueAs``)
``position``   where another run of the workflow was, to go on from there: `interpreter.run.Run.position`, packed or
               not; what is large in it may be kept apart (`packing.pack_apart`), as further arguments after this one
``runs``       of a retried run: what the workflows that it had run came to, or where they go on, by place (`retrying`)

Of a run that goes on in a new history, besides:

``suspended``  whether it was
``listened``   whether the router knows of it
``ears``       its listeners by their places: how many events it ``received``, how many it ``handed`` on, and the
               ``arrived`` ones that it did not, each an array of the members of an `Arrival`; null: the time was up
``sub_flows``  the places of those that are ``under_way``, of which those that are ``followed`` tell when they end, and
               the ids of those that are ``bound`` to it
``followers``  the runs that it tells when it ends, each with the place where that waits for it (also of ``continueAs``)
``recent``     what its states did last: ``steps``, each as a number and its time, and what is done ``of`` which state
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from temporalio import workflow

from workflow_engine.dsl.bundle import SEMANTICS, Bundle
from workflow_engine.interpreter.packing import pack
from workflow_engine.values import JsonObject

STARTED = "started"
"""The member of a run's memo that says when it started, where that is before its present history did."""
LARGE = 64 * 1024
"""A bundle of more bytes that the run found by its name is found again by its version, which never changes."""


def before(*, since: datetime | None = None, position: JsonObject | None = None) -> JsonObject:
    """The argument for a run that hears the events *since* then, or goes on from a *position*."""
    given: JsonObject = {}
    if since is not None:
        given["since"] = since.isoformat()
    if position is not None:
        given["position"] = pack(position)
    return given


def started() -> str:
    """When the run began, in whichever of its histories."""
    return str(workflow.memo_value(STARTED, None) or workflow.info().workflow_start_time.isoformat())


def travelling(bundle: Bundle, *, named: bool) -> Any:
    """*bundle* for the next history, which is that of an engine of today; *named*: the run found it by its name."""
    if named and len(bundle.data) > LARGE:
        name = bundle.graph().name
        return {"namespace": name.namespace, "name": name.name, "version": name.version}
    return Bundle(bundle.digest, bundle.data, SEMANTICS)
