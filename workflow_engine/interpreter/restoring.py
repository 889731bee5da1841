"""The position of a run, written and read: all that another `Run` needs to go on from there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.references import References
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


def position_of(run: Run) -> JsonObject:
    """Where *run* is."""
    references = run.referring
    return {
        "root": run.root.to_json(),
        "counts": dict(run.counts),
        "started": run.started.timestamp(),
        "seeds": list(run.seeds),
        "begun_by": list(run.begun_by),
        "nonce": None if references is None else references.nonce,
        "completed": list(run.completed),
        "correlation": dict(run.correlation),
        "lifecycle": None if run.lifecycle is None else run.lifecycle.position(),
    }


def restore(run: Run, position: JsonObject) -> None:
    """Put *run* where another one was."""
    root, counts, started = position["root"], position["counts"], position["started"]
    seeds, begun_by = position["seeds"], position.get("begun_by", [])
    nonce = position.get("nonce")
    completed, correlation = position.get("completed", []), position.get("correlation", {})
    assert isinstance(root, dict)
    assert isinstance(counts, dict)
    assert isinstance(started, float | int)
    assert isinstance(seeds, list)
    assert isinstance(begun_by, list)
    assert isinstance(completed, list)
    assert isinstance(correlation, dict)
    run.root = Frame.from_json(root)
    run.counts = {state: count for state, count in counts.items() if isinstance(count, int)}
    run.started = datetime.fromtimestamp(started, UTC)
    run.seeds = [seed for seed in seeds if isinstance(seed, dict)]
    run.begun_by = [str(id) for id in begun_by]
    run.refer(References(nonce) if isinstance(nonce, str) else None)
    run.completed = [str(state) for state in completed]
    run.correlation = correlation
    if run.lifecycle is not None:
        run.lifecycle.restore(position.get("lifecycle"))
