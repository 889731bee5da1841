"""What `wfe runs show` says of a run that cannot go on, and what is to be done about it."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_engine.cli.runs import description

BUG = "A bug of the engine."
WANTS = "No bug: the run goes on from here by itself once that is mended."


def shown(exception: str) -> str:
    parked = {"exception": exception, "state": "", "since": "now", "attempts": 2, "trace": "  File x, in y\n"}
    run: dict[str, Any] = {
        "id": "order-1",
        "workflow": {"namespace": "shop", "name": "order", "version": "1.0.0"},
        "status": "running",
        "started_at": "2026-11-27T03:00:00.000Z",
        "ended_at": None,
        **dict.fromkeys(("input", "output", "error", "temporal_url", "remark")),
        "states": [],
        "parked": parked,
    }
    return "\n".join(description(run))


@pytest.mark.parametrize(
    ("exception", "says", "not_says"),
    [
        ("Failed encoding completion: the payload store file:///p is not there", WANTS, BUG),
        ("a payload is encrypted with the key 'k2', which is not at /keys; there are k1", WANTS, BUG),
        ("ValueLost: the payload store file:///p has no object 12", WANTS, BUG),
        ("KeyError: 'a payload'", BUG, WANTS),
    ],
)
def test_what_holds_up_a_run_is_called_a_bug_where_it_is_one(
    exception: str, says: str, not_says: str
) -> None:
    told = shown(exception)
    assert says in told
    assert not_says not in told
    assert ("File x" in told) == (says == BUG)
