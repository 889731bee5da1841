"""Go on with another version of the workflow from where a run of the one before has ended.

States are those of the same name, as where a run that is under way moves (`moving`). The failed state begins once more,
so it may do something else by now; what has begun and is not done again must mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from workflow_engine.errors import Rejected
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.moving import moved
from workflow_engine.interpreter.retrying import Wish, gone_on
from workflow_engine.values import JsonObject


def gone_on_with(
    old: StateGraph,
    new: StateGraph,
    position: JsonObject,
    wish: Wish,
    now: datetime,
    names: Mapping[str, str] | None = None,
) -> JsonObject:
    """The position from which a run of *new* goes on that had ended as one of *old* in *position*: as `gone_on`.

    *wish* names a state of either: where the run stood, or one that only the new version has. *names* are pointers of
    states in *old* and in *new*, of those that are called otherwise.
    """
    there = names or {}
    if wish.state is None or wish.state in old.states:
        return _moved(gone_on(old, position, wish, now), old, new, there)
    return gone_on(new, _moved(position, old, new, there), wish, now)


def _moved(position: JsonObject, old: StateGraph, new: StateGraph, names: Mapping[str, str]) -> JsonObject:
    found = moved(position, old, new, names)
    if found.position is None:
        reasons = "; ".join(
            f"{each.state}: {each.why}" if each.state else each.why for each in found.hindrances
        )
        message = f"the run cannot go on with version {new.name.version}: {reasons}"
        raise Rejected("position-does-not-fit", message, status=409)
    return found.position
