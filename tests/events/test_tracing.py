"""Finding events, and what became of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from tests.events.conftest import QUICK, eventually, quiet, subscription
from tests.events.samples import all_of, event, every
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.events.targets import Retry


async def test_events_are_found_page_by_page(router):
    await router.publish("c", [event(str(n), "ab"[n % 2], subject=f"s{n}") for n in range(6)])
    page = await router.events("c", type="b", limit=2)
    assert [found["event"]["id"] for found in page.events] == ["5", "3"]
    page = await router.events("c", type="b", limit=2, cursor=page.cursor)
    assert [found["event"]["id"] for found in page.events] == ["1"]
    assert page.cursor is None
    assert [found["position"] for found in (await router.events(subject="s4")).events] == ["0:4"]
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert (await router.events(from_=soon)).events == []
    assert len((await router.events(to=soon, source="/test")).events) == 6
    for bad in ({"limit": 0}, {"cursor": "x"}):
        with pytest.raises(Rejected):
            await router.events(**bad)


async def test_a_trace_tells_what_is_pending_and_held(router, workflows):
    workflows.answer = lambda _: Retry()
    await router.put_subscription(subscription("late", every("a"), retry=replace(QUICK, initial=60)))
    await router.put_subscription(subscription("half", all_of("a", "b")))
    await router.publish("c", [event("1", "a"), event("2", "z")])
    await workflows.until(1)
    await eventually(lambda: _attempts(router, "1"))
    (trace,) = await router.trace("1")
    assert trace["state"] == "pending"
    states = {r["subscription"]: r["state"] for r in trace["recipients"]}
    assert states == {"late": "pending", "half": "held"}
    assert (await router.trace("2"))[0]["state"] == "none"
    with pytest.raises(NotFound):
        await router.trace("3")


async def test_channels_are_told_in_numbers(router):
    await router.put_subscription(subscription())
    await router.publish("c", [event("1")])
    await quiet(router)
    (channel,) = await router.channels()
    told = {
        name: channel[name] for name in ("name", "partitions", "events", "lag", "subscriptions", "listeners")
    }
    assert told == {
        "name": "c",
        "partitions": 1,
        "events": 1,
        "lag": 0,
        "subscriptions": 1,
        "listeners": 0,
    }


async def test_a_strategy_is_tried_on_an_event(router):
    spec = {
        "mode": "any",
        "filters": [*every("x")["filters"], {"attributes": {"data": {"expression": ".n > 1"}}}],
    }
    assert router.test(spec, event("1", data={"n": 2})) == {"matches": True, "filters": [1], "errors": []}
    assert router.test(spec, event("1"))["matches"] is False
    with pytest.raises(Rejected) as caught:
        router.test({"mode": "one", "filters": [{"x": 1}]}, event("1"))
    assert caught.value.pointer == "/strategy/filters/0/x"


async def test_old_events_are_forgotten_as_far_as_nothing_needs_them(router, workflows):
    await router.put_subscription(subscription(strategy=all_of("a", "b")))
    await router.publish("c", [event("1", "z"), event("2", "a"), event("3", "z")])
    await quiet(router)
    assert await router.trim("c", datetime.now(UTC) + timedelta(hours=1)) == 1
    await router.publish("c", [event("4", "b")])
    await workflows.until(1)
    assert [e["id"] for e in workflows.got[0].events] == ["2", "4"]
    await quiet(router)
    assert await router.trim("c", datetime.now(UTC) + timedelta(hours=1)) == 3


async def _attempts(router, id):
    (trace,) = await router.trace(id)
    return any(recipient["attempts"] for recipient in trace["recipients"])
