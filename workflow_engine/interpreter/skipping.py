"""Skip a state of a run that goes on: also one that is under way, such as a wait, or a call that nobody answers.

What comes of the state is given, and the run goes on after it as if it had ended so. What it was doing is interrupted,
as it is by a timeout: a wait ends, a listener stops, a call and a sub-flow are cancelled, and so is everything inside
it. Its own output filters, and what it exports, are not done. Its outcome is in its frame (``skipped``) from the moment
that it was asked for: a run that is moved or goes on in a new history meanwhile leaves it out all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.errors import Rejected
from workflow_engine.graph.model import State
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.retrying import ABSENT, Wish
from workflow_engine.values import Json

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


def skippable(run: Run, wish: Wish) -> Frame:
    """The frame at the state that *wish* is about.

    `Rejected`: ``unknown-state``, the run is not there; ``several-states``, it is not said which; ``state-skipped``, it
    is being left out already.
    """
    leaves = list(run.root.leaves())
    where = "it stands at " + (", ".join(str(leaf.state) for leaf in leaves[:20]) or "no state")
    if wish.state is None:
        found, missing = leaves, "the run stands at no state"
    else:
        found, missing = _at(run.root, wish.state), f"the run is not at {wish.state}; {where}"
    if not found:
        raise Rejected("unknown-state", missing, status=409)
    if len(found) > 1:
        which = (
            "say which one is meant" if wish.state is None else f"it is at {wish.state} {len(found)} times"
        )
        raise Rejected("several-states", f"{which}; {where}", status=409)
    frame = found[0]
    if _skipped(frame):
        raise Rejected("state-skipped", f"{frame.state} is being left out already", status=409)
    return frame


def skip(run: Run, wish: Wish) -> Frame:
    """Leave out the state that *wish* is about, and give what comes of it; the frame at it."""
    frame = skippable(run, wish)
    if wish.context is not ABSENT:
        frame.owner.context = wish.context
    given = frame.input if frame.entered else frame.data
    frame.local["skipped"] = given if wish.output is ABSENT else wish.output
    if frame.task is not None:
        frame.interrupted = True
        run.effects.interrupt(frame.task)
    return frame


def outcome(run: Run, state: State, frame: Frame) -> Json:
    """What comes of *state*, which was under way and has been left."""
    frame.interrupted, frame.children = False, {}
    if run.lifecycle is not None and frame.execution:
        run.lifecycle.completed(state, frame)
    return frame.local["skipped"]


def _at(root: Frame, state: str) -> list[Frame]:
    found, frames = list[Frame](), [root]
    for frame in frames:
        frames += frame.children.values()
        if frame.state == state:
            found.append(frame)
    return found


def _skipped(frame: Frame) -> bool:
    above: Frame | None = frame
    while above is not None:
        if "skipped" in above.local:
            return True
        above = above.parent
    return False
