"""Deliveries that are fetched: lent, settled, given back, given up, and lent again when nobody settles them."""

from __future__ import annotations

import asyncio

import pytest

from tests.events.conftest import QUICK, event, quiet, running, subscription
from workflow_engine.errors import Conflict, NotFound, Rejected, Unavailable
from workflow_engine.events.subscriptions import RetryPolicy

PULL = {"kind": "pull"}


def ids(lent) -> list[str]:
    return [each.events[-1]["id"] for each in lent]


async def test_deliveries_are_lent_once_and_done_when_they_are_said_to_be(url):
    async with running(url, {}) as router:
        await router.put_subscription(subscription("s", target=PULL))
        await router.publish("c", [event(str(number)) for number in range(5)])
        first = await router.pull("s", most=3, wait=10)
        rest = await router.pull("s", most=10, wait=10)
        assert sorted(ids(first) + ids(rest)) == [*"01234"]
        assert {each.attempt for each in first} == {1}
        assert await router.pull("s") == []
        done = [(each.receipt, "done", None) for each in (*first, *rest)]
        assert await router.settle("s", done) == [True] * 5
        await quiet(router)
        [trace] = await router.trace("0")
        assert trace["recipients"][0]["state"] == "delivered"
        assert [each["code"] for each in trace["recipients"][0]["attempts"]] == ["ack"]
        assert await router.settle("s", done) == [False] * 5


async def test_who_waits_gets_what_comes(url):
    async with running(url, {}) as router:
        await router.put_subscription(subscription("s", target=PULL))
        waiting = asyncio.create_task(router.pull("s", wait=20))
        await asyncio.sleep(0.05)
        await router.publish("c", [event("1")])
        assert ids(await waiting) == ["1"]


async def test_what_nobody_settles_is_lent_again_and_its_first_receipt_is_worth_nothing(url):
    now = [1000.0]
    async with running(url, {}, clock=lambda: now[0]) as router:
        await router.put_subscription(subscription("s", target=PULL))
        await router.publish("c", [event("1")])
        [first] = await router.pull("s", lease=30, wait=10)
        now[0] += 29
        assert await router.pull("s") == []
        now[0] += 2
        [second] = await router.pull("s", lease=30)
        assert (second.events, second.attempt) == (first.events, 2)
        assert await router.settle("s", [(first.receipt, "done", None)]) == [False]
        assert await router.settle("s", [(second.receipt, "done", None)]) == [True]


async def test_what_is_given_back_comes_again_and_in_the_end_is_a_dead_letter(url):
    policy = RetryPolicy(max_attempts=3, initial=0.0, jitter=False)
    async with running(url, {}) as router:
        await router.put_subscription(subscription("s", target=PULL, retry=policy))
        await router.publish("c", [event("1"), event("2")])
        for attempt in (1, 2, 3):
            lent = []
            while len(lent) < 2:
                lent += await router.pull("s", wait=5)
            assert {each.attempt for each in lent} == {attempt}
            await router.settle("s", [(each.receipt, "again", 0) for each in lent])
        assert await router.pull("s") == []
        letters = (await router.events("dead-letters")).to_json()["events"]
        assert {letter["event"]["dlqcode"] for letter in letters} == {"nack"}
        assert await router.redrive_all("s") == 2
        [again, *_] = await router.pull("s", wait=10)
        await router.settle("s", [(again.receipt, "dead", "it is broken")])
        [newest, *_] = (await router.events("dead-letters")).to_json()["events"]
        assert (newest["event"]["dlqcode"], newest["event"]["dlqreason"]) == ("rejected", "it is broken")


async def test_a_delivery_that_is_given_back_waits_as_long_as_it_is_told(url):
    now = [1000.0]
    async with running(url, {}, clock=lambda: now[0]) as router:
        await router.put_subscription(subscription("s", target=PULL))
        await router.publish("c", [event("1")])
        [lent] = await router.pull("s", wait=10)
        await router.settle("s", [(lent.receipt, "again", 5.0)])
        now[0] += 4
        assert await router.pull("s") == []
        now[0] += 2
        assert ids(await router.pull("s")) == ["1"]


async def test_in_order_one_is_lent_after_the_other(url):
    async with running(url, {}) as router:
        await router.put_subscription(subscription("s", target=PULL, in_order=True))
        await router.publish("c", [event("1"), event("2")])
        [first] = await router.pull("s", wait=10)
        assert ids([first]) == ["1"]
        assert await router.pull("s") == []
        await router.settle("s", [(first.receipt, "done", None)])
        assert ids(await router.pull("s", wait=10)) == ["2"]


async def test_what_is_fetched_is_transformed_or_else_a_dead_letter(url):
    async with running(url, {}) as router:
        transform = {"event": {"type": "${ .data.kind }"}}
        await router.put_subscription(subscription("s", target=PULL, transform=transform))
        await router.publish(
            "c", [event("1") | {"data": {"kind": None}}, event("2") | {"data": {"kind": "b"}}]
        )
        lent = await router.pull("s", wait=10)
        lent = lent or await router.pull("s", wait=10)
        assert [each.events[0]["type"] for each in lent] == ["b"]
        [letter] = (await router.events("dead-letters")).to_json()["events"]
        assert letter["event"]["id"] == "1"


async def test_what_is_rejected_while_the_store_fails_is_not_lost(url, monkeypatch):
    async with running(url, {}) as router:
        await router.put_subscription(subscription("s", target=PULL))
        await router.publish("c", [event("1")])
        [lent] = await router.pull("s", wait=10)

        async def fails(*_args):
            raise Unavailable("the store is away")

        with monkeypatch.context() as away:
            away.setattr(router, "bury", fails)
            with pytest.raises(Unavailable):
                await router.settle("s", [(lent.receipt, "dead", "broken")])
        assert await router.settle("s", [(lent.receipt, "dead", "broken")]) == [True]
        assert await router.settle("s", [(lent.receipt, "dead", "broken")]) == [False]
        [letter] = (await router.events("dead-letters")).events
        assert letter["event"]["dlqreason"] == "broken"


async def test_what_was_lent_is_settled_though_the_subscription_is_paused_or_goes_elsewhere(url, workflows):
    async with running(url, {"workflow": workflows}) as router:
        await router.put_subscription(subscription("s", target=PULL))
        await router.publish("c", [event("1"), event("2")])
        first, second = await router.pull("s", wait=10)
        await router.put_subscription(subscription("s", target=PULL, enabled=False))
        assert await router.settle("s", [(first.receipt, "done", None)]) == [True]
        await router.put_subscription(subscription("s"))
        assert await router.settle("s", [(second.receipt, "done", None)]) == [True]
        await quiet(router)
    assert workflows.got == []


async def test_where_one_receipt_is_none_no_other_is_settled(url):
    async with running(url, {}) as router:
        await router.put_subscription(subscription("s", target=PULL))
        await router.publish("c", [event("1")])
        [lent] = await router.pull("s", wait=10)
        with pytest.raises(Rejected):
            await router.settle("s", [(lent.receipt, "done", None), ("nonsense", "done", None)])
        assert await router.settle("s", [(lent.receipt, "done", None)]) == [True]


async def test_what_nobody_settles_is_a_dead_letter_in_the_end(url):
    """An event that ends every program that has it would be lent for ever."""
    now, policy = [1000.0], RetryPolicy(max_attempts=3, initial=0.0, jitter=False)
    async with running(url, {}, clock=lambda: now[0]) as router:
        await router.put_subscription(subscription("s", target=PULL, retry=policy, in_order=True))
        await router.publish("c", [event("1"), event("2")])
        for attempt in (1, 2):
            [lent] = await router.pull("s", lease=30, wait=10)
            assert (ids([lent]), lent.attempt) == (["1"], attempt)
            now[0] += 31
        [lent] = await router.pull("s", lease=30)
        await router.settle("s", [(lent.receipt, "again", 5.0)])
        [letter] = (await router.events("dead-letters")).to_json()["events"]
        assert letter["event"]["dlqattempts"] == 3
        [lent] = await router.pull("s", lease=30, wait=10)
        assert (ids([lent]), lent.attempt) == (["2"], 1)
        for _ in range(3):
            assert ids([lent]) == ["2"]
            now[0] += 31
            [lent] = await router.pull("s", lease=30) or [lent]
        assert await router.pull("s") == []
        [newest, _] = (await router.events("dead-letters")).to_json()["events"]
        assert (newest["event"]["dlqcode"], newest["event"]["dlqattempts"]) == ("expired", 3)
        [trace] = await router.trace("2", "c")
        made = [(each["n"], each["status"], each["code"]) for each in trace["recipients"][0]["attempts"]]
        assert made == [(1, "retry", "expired"), (2, "retry", "expired"), (3, "dead", "expired")]
        await quiet(router)


async def test_who_asks_gets_what_comes_after_those_that_are_given_up(url):
    now, policy = [1000.0], RetryPolicy(max_attempts=1)
    async with running(url, {}, clock=lambda: now[0]) as router:
        await router.put_subscription(subscription("s", target=PULL, retry=policy, in_order=True))
        await router.publish("c", [event("1"), event("2")])
        assert ids(await router.pull("s", lease=30, wait=10)) == ["1"]
        now[0] += 31
        assert ids(await router.pull("s")) == ["2"]


async def test_what_was_lent_is_there_after_a_restart_and_receipts_are_kept(disk):
    async with running(disk, {}) as router:
        await router.put_subscription(subscription("s", target=PULL))
        await router.publish("c", [event("1"), event("2")])
        lent = await router.pull("s", most=1, wait=10)
    async with running(disk, {}) as router:
        again = await router.pull("s", wait=10)
        assert sorted(ids(lent + again)) == ["1", "2"]
        both = [(each.receipt, "done", None) for each in lent + again]
        assert await router.settle("s", both) == [True, True]
        assert await router.settle("s", both) == [False, False]


async def test_a_subscription_that_is_not_fetched_from_is_refused_and_so_is_what_is_no_receipt(
    url, workflows
):
    async with running(url, {"workflow": workflows}) as router:
        with pytest.raises(NotFound):
            await router.pull("nobody")
        await router.put_subscription(subscription("pushed"))
        with pytest.raises(Conflict):
            await router.pull("pushed")
        await router.put_subscription(subscription("s", target=PULL))
        await router.put_subscription(subscription("other", target=PULL))
        await router.publish("c", [event("1")])
        [lent] = await router.pull("s", wait=10)
        for id, receipt in (
            ("other", lent.receipt),
            ("s", lent.receipt[:-4]),
            ("s", ""),
            ("s", "ä"),
            ("s", "AAAA" * 40),
        ):
            with pytest.raises(Rejected):
                await router.settle(id, [(receipt, "done", None)])
        for wrong in ({"most": 0}, {"most": 101}, {"lease": 0}, {"wait": 61}):
            with pytest.raises(Rejected):
                await router.pull("s", **wrong)
        await router.put_subscription(subscription("s", target=PULL, enabled=False, retry=QUICK))
        with pytest.raises(Conflict):
            await router.pull("s")
        with pytest.raises(Rejected):
            await router.put_subscription(subscription("x", target={**PULL, "url": "x"}))
