"""Queries of the command line."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from workflow_engine.cli.control import parse_query
from workflow_engine.errors import Rejected

NOW = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("all", {}),
        ("status=faulted", {"status": "faulted"}),
        ("workflow=order", {"workflow": "order"}),
        (
            "workflow=shop/order/1.0.0, error = timeout",
            {"namespace": "shop", "workflow": "order", "version": "1.0.0", "error": "timeout"},
        ),
        ("after=2h", {"started_after": "2026-01-02T10:00:00.000Z"}),
        ("before=2026-01-01T00:00:00Z", {"started_before": "2026-01-01T00:00:00Z"}),
        ("Customer=acme", {"attributes": {"Customer": "acme"}}),
    ],
)
def test_a_query_names_what_holds_of_runs(text: str, query: object) -> None:
    assert parse_query(text, NOW) == query


@pytest.mark.parametrize("text", ["", "faulted", "status=", "=x", "status=faulted,"])
def test_a_query_that_is_none_says_what_one_is(text: str) -> None:
    with pytest.raises(Rejected, match="NAME=VALUE"):
        parse_query(text, NOW)
