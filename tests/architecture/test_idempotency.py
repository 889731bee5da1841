"""Every kind of call has something by which a service can tell that it is asked again, and a test that shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workflow_engine.calls import CALLERS
from workflow_engine.calls.activity import KIND

ROOT = Path(__file__).parents[2]
TESTS = ROOT / "tests"
EXCHANGED = "exchanged"
"""It is sent by `calls.exchange`, which adds the header to every request that may change something."""
HARMLESS = "harmless"
SHOWN_BY = {
    "http": "calls/test_http.py::test_a_call_that_changes_something_carries_its_idempotency_key",
    "openapi": EXCHANGED,
    "graphql": EXCHANGED,
    "odata": EXCHANGED,
    "grpc": "semantics/v1/test_grpc.py::test_the_idempotency_key_is_sent_as_metadata",
    "asyncapi": "brokers/test_web.py",
    "asyncapi.receive": HARMLESS,
    "mcp": "calls/test_mcp.py",
    "a2a": "calls/test_a2a.py",
    "script": "semantics/v1/test_run_processes.py",
    "shell": "semantics/v1/test_run_processes.py",
    "container": "calls/test_container.py",
    "custom": "semantics/v0_8/test_functions.py",
    "sysout": HARMLESS,
    KIND: "histories/activity.json",
}
"""By what test each is shown; or that it needs none, for it acts on nothing that others see."""


def test_every_kind_of_call_is_looked_at() -> None:
    assert sorted(SHOWN_BY) == sorted({*CALLERS, KIND}), (
        "say what the new kind carries, and show it by a test"
    )


def test_the_documentation_says_what_each_carries() -> None:
    table = (ROOT / "docs" / "exactly-once.md").read_text()
    assert re.findall(r"^\| `([a-z0-9.]+)` \|", table, re.MULTILINE) == list(SHOWN_BY)


@pytest.mark.parametrize("kind", [kind for kind, shown in SHOWN_BY.items() if shown == EXCHANGED])
def test_what_is_sent_as_http_goes_through_the_exchange(kind: str) -> None:
    module = (ROOT / "workflow_engine" / "calls" / f"{kind}.py").read_text()
    assert re.search(r"import .*\bexchange\b", module)
    assert "await exchange(" in module


@pytest.mark.parametrize(
    ("kind", "shown"), [(kind, shown) for kind, shown in SHOWN_BY.items() if "/" in shown]
)
def test_a_test_shows_what_a_call_carries(kind: str, shown: str) -> None:
    path, _, name = shown.partition("::")
    text = (TESTS / path).read_text()
    assert f"def {name}(" in text or not name
    assert re.search(r"idempotency.?key|activity.?id", text, re.IGNORECASE)
