"""Filters whose expressions take their time: they hold up their own channel at most, and not for long."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.events.conftest import quiet, subscription
from tests.events.samples import event
from workflow_engine.events import dispatch
from workflow_engine.events.router import Router
from workflow_engine.filters import Impatient, machine, patience
from workflow_engine.filters.patience import QUICK


@pytest.fixture
def url() -> str:
    return "memory:"


COSTLY = f"[range({QUICK})] | length > 0"


def where(*sources: str) -> dict[str, Any]:
    """A strategy of which all these expressions over the data must be true."""
    both = " and ".join(f"({each})" for each in sources)
    return {"mode": "one", "filters": [{"attributes": {"data": {"expression": both}}}]}


async def test_a_costly_filter_is_judged_aside_and_an_endless_one_takes_nothing(
    router: Router, workflows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    aside = dispatch._slowly

    def watched(*given: Any) -> None:
        threads.append(threading.current_thread())
        aside(*given)

    monkeypatch.setattr(dispatch, "_slowly", watched)
    await router.put_subscription(subscription("quick", where(".n > 0")))
    await router.put_subscription(subscription("costly", where(COSTLY, ".n > 1")))
    await router.put_subscription(subscription("endless", where("last(range(1e9)) > 0")))
    await router.publish("c", [event(str(n), data={"n": n}) for n in (1, 2, 3)])
    await quiet(router)
    got = sorted((each.subscription, each.event["id"]) for each in workflows.got)
    assert got == [("costly", "2"), ("costly", "3"), ("quick", "1"), ("quick", "2"), ("quick", "3")]
    (trace,) = await router.trace("1")
    notes = {each["subscription"]: each["notes"] for each in trace["recipients"] if each["notes"]}
    assert "steps" in notes["endless"][0]["detail"]
    assert len(threads) == 6
    assert threading.main_thread() not in threads
    assert threading.current_thread() not in threads


def test_the_expressions_of_a_strategy_have_the_steps_of_one_together() -> None:
    spec = {"mode": "any", "filters": [
        {"attributes": {"data": {"expression": f"[range(70000)] | length > {100_000 + n}"}}} for n in range(20)
    ]}  # fmt: skip
    asked, errors = machine(spec), []  # type: ignore[var-annotated]
    with patience(quick=False):
        assert asked.accept(asked.initial(), event("1", data={}), errors) is None
    assert 0 < len(errors) < 20, "the first ones could be judged"
    asked.accept(asked.initial(), event("1", data={}), alone := [])
    assert alone == []


def test_who_is_to_be_quick_is_told_to_ask_again() -> None:
    asked = machine(where(COSTLY))
    with pytest.raises(Impatient), patience(quick=True):
        asked.accept(asked.initial(), event("1", data={}))
    assert asked.accept(asked.initial(), event("1", data={})) is not None


async def test_a_question_that_many_ask_and_that_is_costly_is_asked_by_each_of_them(
    router: Router, workflows: Any
) -> None:
    """Who listens for an answer of its own is looked up by it, unless that takes too long to find out."""
    key = f"[range({QUICK})] | length"
    for n, expected in enumerate((QUICK, 7)):
        correlate = {"k": {"from": key, "expect": expected}}
        await router.put_subscription(
            subscription(f"s{n}", {"mode": "one", "filters": [{"correlate": correlate}]})
        )
    await router.publish("c", [event("1", data={})])
    await quiet(router)
    assert [each.subscription for each in workflows.got] == ["s0"]
