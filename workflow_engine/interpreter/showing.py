"""What a run shows of where it is, to people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.graph.model import Try
from workflow_engine.interpreter.lifecycle import status_of
from workflow_engine.interpreter.position import Frame
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

FAILED = "failed"
"""What the frame of a `Try` remembers between two attempts of why the last one failed."""
_LONGEST = 500


def shown(run: Run, *, suspended: bool) -> list[JsonObject]:
    """The states at which *run* stands: what each does, since when, and which attempt that is.

    ``place`` is the execution (`effects.Place`). ``next_attempt`` is when it begins, while it is waited for.
    """
    states = run.graph.states

    def show(leaf: Frame) -> JsonObject:
        state = states.get(str(leaf.state))
        held = suspended and leaf.task is None  # also amid a state, where the run went on in a new history
        told: JsonObject = {
            "id": leaf.state,
            "name": None if state is None else state.name,
            "status": "suspended" if held else status_of(leaf, suspended=suspended),
            "doing": leaf.doing,
            "since": leaf.started if leaf.entered else None,
        }
        if isinstance(place := leaf.local.get("place"), str):
            told["place"] = place
        tried = _tried(leaf)
        if tried is not None:
            retries, until = tried.local["retries"], tried.local.get("until")
            told["attempt"] = retries + 1 if isinstance(retries, int) else None
            told["failure"] = tried.local.get(FAILED)
            told["next_attempt"] = until if state is not None and isinstance(state.action, Try) else None
        return told

    return [show(leaf) for leaf in run.root.leaves()]


def remember_failure(run: Run, frame: Frame, why: str) -> None:
    """The body of the `Try` at which *frame* stands has failed, and is to be tried again."""
    hidden: Json = run.outside(why)
    frame.local[FAILED] = str(hidden)[:_LONGEST]


def _tried(leaf: Frame) -> Frame | None:
    """The innermost frame around *leaf*, or itself, that tries something once more."""
    frame: Frame | None = leaf
    while frame is not None:
        if "retries" in frame.local and "error" not in frame.local:
            return frame
        frame = frame.parent
    return None
