"""What a run has from before it began: the fourth argument of its workflow.

A JSON object, of which every member may be missing:

``since``     from when on it hears events, an ISO 8601 time: the runs of a schedule, and those that go on for another
``counts``    how often its states were done, of the run whose id it has (DSL 0.8 ``continueAs``)
``position``  where another run of the workflow was, to go on from there (`interpreter.run.Run.position`)
"""

from __future__ import annotations

from datetime import datetime

from workflow_engine.values import JsonObject


def before(*, since: datetime | None = None, position: JsonObject | None = None) -> JsonObject:
    """The argument for a run that hears the events *since* then, or goes on from a *position*."""
    given: JsonObject = {}
    if since is not None:
        given["since"] = since.isoformat()
    if position is not None:
        given["position"] = position
    return given
