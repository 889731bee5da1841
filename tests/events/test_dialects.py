"""Subscriptions with filters in dialects: what the router delivers, traces, counts and refuses."""

from __future__ import annotations

import pytest

from tests.events.conftest import quiet, running, subscription
from tests.events.samples import all_of, event, every
from workflow_engine.errors import Rejected
from workflow_engine.events.listeners import MAX_FAILED
from workflow_engine.events.subscriptions import Subscription

TARGET = {"kind": "workflow"}


async def test_an_event_is_delivered_that_filters_and_strategy_both_take(router, workflows):
    both = [{"sql": "subject LIKE 'o%'"}, {"pattern": {"data": {"n": [{"numeric": [">", 1]}]}}}]
    await router.put_subscription(subscription("both", filters=both))
    await router.put_subscription(subscription("b", every("b"), filters=both))
    await router.publish(
        "c",
        [
            event("1", "a", subject="o1", data={"n": 1}),
            event("2", "a", subject="o2", data={"n": 2}),
            event("3", "a", subject="p3", data={"n": 3}),
            event("4", "b", subject="o4", data={"n": 4}),
        ],
    )
    await quiet(router)
    got = sorted((delivery.subscription, delivery.event["id"]) for delivery in workflows.got)
    assert got == [("b", "4"), ("both", "2"), ("both", "4")]


async def test_events_are_gathered_of_those_that_the_filters_let_through(router, workflows):
    given = subscription(strategy=all_of("a", "b"), filters=[{"exact": {"subject": "x"}}])
    await router.put_subscription(given)
    events = [event("1", "a", subject="y"), event("2", "b", subject="x"), event("3", "a", subject="x")]
    await router.publish("c", events)
    await workflows.until(1)
    assert [each["id"] for each in workflows.got[0].events] == ["2", "3"]


async def test_filters_outlive_the_router_and_are_asked_of_the_past(disk, workflows):
    targets = {"workflow": workflows}
    async with running(disk, targets) as router:
        await router.publish("c", [event(str(number), subject=f"s{number % 2}") for number in range(6)])
        await quiet(router)
        given = subscription(start="earliest", filters=[{"exact": {"subject": "s1"}}])
        await router.put_subscription(given)
        await workflows.until(3)
    async with running(disk, targets) as router:
        assert router.get_subscription("s").filters == [{"exact": {"subject": "s1"}}]
        await router.publish("c", [event("6", subject="s0"), event("7", subject="s1")])
        assert sorted(await workflows.until(4)) == ["1", "3", "5", "7"]


async def test_a_filter_that_goes_wrong_takes_nothing_and_is_traced_and_counted(router, workflows):
    await router.put_subscription(subscription("wrong", filters=[{"not": {"sql": "priority > 3"}}]))
    await router.put_subscription(
        subscription("fine", filters=[{"any": [{"sql": "priority > 3"}, {"sql": "TRUE"}]}])
    )
    await router.publish("c", [event("1"), event("2", priority=1)])
    await quiet(router)
    assert sorted((each.subscription, each.event["id"]) for each in workflows.got) == [
        ("fine", "1"),
        ("fine", "2"),
        ("wrong", "2"),
    ]
    (trace,) = await router.trace("1")
    (note,) = next(each for each in trace["recipients"] if each["subscription"] == "wrong")["notes"]
    assert (note["status"], note["detail"]) == (
        "filter-error",
        "sql: missingAttribute at 1: the event has no attribute priority",
    )
    counted = {each["id"]: each["filter_errors"] for each in (await router.backlog())["subscriptions"]}
    assert counted == {"wrong": 1, "fine": 0}


async def test_the_trace_of_an_event_has_the_errors_of_so_many_subscriptions_and_no_more(router, workflows):
    for number in range(MAX_FAILED + 5):
        await router.put_subscription(subscription(f"s{number}", filters=[{"sql": "missing = 'x' XOR TRUE"}]))
    await router.publish("c", [event("1")])
    await quiet(router)
    (trace,) = await router.trace("1")
    assert len(trace["recipients"]) == MAX_FAILED
    counted = [each["filter_errors"] for each in (await router.backlog())["subscriptions"]]
    assert counted == [1] * (MAX_FAILED + 5)


async def test_of_many_subscriptions_those_are_asked_that_may_want_the_event(router, workflows):
    for number in range(50):
        await router.put_subscription(subscription(f"s{number}", filters=[{"sql": f"subject = 'o{number}'"}]))
    dispatcher = router._dispatchers["c"]
    found = dispatcher.index.candidates("made", "/test", lambda: event("1", subject="o7"))
    assert [each.subscription.id for each in found] == ["s7"]
    await router.publish("c", [event("1", subject="o7")])
    await quiet(router)
    assert [each.subscription for each in workflows.got] == ["s7"]


def test_a_subscription_needs_a_strategy_or_filters():
    members = {"id": "s", "channel": "c", "target": TARGET}
    with pytest.raises(Rejected, match="strategy or filters are required"):
        Subscription.from_json(members)
    read = Subscription.from_json({**members, "filters": []})
    assert read.strategy == {"mode": "any", "filters": []}
    assert Subscription.from_json(read.to_json()) == read


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ([{"regex": "a"}], "/filters/0/regex"),
        ([{"exact": {"type": "a"}}, {"any": [{"sql": "type = "}]}], "/filters/1/any/0/sql"),
        ([{"eventgrid": {"type": [{"op": "Like"}]}}], "/filters/0/eventgrid/type/0/op"),
        ([{"exact": {"type": "a" * 70_000}}], "/filters"),
        ({"exact": {"type": "a"}}, "/filters"),
    ],
)
def test_filters_that_are_none_are_refused_with_the_place(given, place):
    with pytest.raises(Rejected) as caught:
        Subscription.from_json({"id": "s", "channel": "c", "target": TARGET, "filters": given})
    assert caught.value.pointer == place
