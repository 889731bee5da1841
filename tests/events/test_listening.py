"""Runs that listen."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events.conftest import Recorder, all_of, event, eventually, every, quiet, running
from workflow_engine.errors import Conflict, Rejected
from workflow_engine.events.letters import DEAD_LETTERS
from workflow_engine.events.targets import Drop, Gone, Retry

BEGINNING = datetime(2020, 1, 1, tzinfo=UTC)


def one(type: str = "made", **correlate):
    return {"mode": "one", "filters": [{"attributes": {"type": {"equals": type}}, **correlate}]}


def forever(type: str = "made"):
    return every(type) | {"open": True}


def heard(runs, listen: str | None = None) -> list[tuple[int, str]]:
    """The number and the event of each delivery."""
    return [
        (d.listening.seq, d.event["id"])
        for d in runs.got
        if listen is None or d.listening.listen_id == listen
    ]


async def test_a_run_gets_what_came_before_it_listened_and_what_comes(router, runs):
    await router.publish("default", [event("1"), event("2", "other")])
    await router.listen("r", "l", forever(), since=BEGINNING)
    await router.publish("default", [event("3"), event("4")])
    await runs.until(3)
    assert heard(runs) == [(0, "1"), (1, "3"), (2, "4")]
    first = runs.got[0]
    assert first.listening.run_id == "r"
    assert (first.listening.index, first.listening.ends, first.listening.complete) == (0, False, False)
    assert (first.target, first.positions, first.subscription) == ({"kind": "run"}, ("0:0",), None)


async def test_events_before_the_run_are_not_for_it(url, runs):
    now = 1_800_000_000.0
    async with running(url, {"run": runs}, clock=lambda: now) as router:
        await router.publish("default", [event("1")])
        now += 60
        await router.publish("default", [event("2")])
        await router.listen("r", "l", forever(), since=datetime.fromtimestamp(now, UTC))
        assert await runs.until(1) == ["2"]


async def test_one_is_complete_at_once_and_takes_no_more(router, runs):
    await router.publish("default", [event("1"), event("2")])
    await router.listen("r", "l", one(), since=BEGINNING)
    await router.publish("default", [event("3")])
    await quiet(router)
    assert heard(runs) == [(0, "1")]
    assert runs.got[0].listening.complete
    assert router.listeners() == [
        {"run_id": "r", "listen_id": "l", "channel": "default", "delivered": 1, "complete": True}
    ]


async def test_all_and_until_tell_which_filter_and_the_end(router, runs):
    await router.listen("r", "all", all_of("a", "b"), since=BEGINNING)
    await router.listen("q", "until", every("a") | {"until": every("stop")}, since=BEGINNING)
    await router.publish("default", [event("1", "b"), event("2", "a"), event("3", "stop"), event("4", "a")])
    await quiet(router)
    told = {
        name: [
            (d.event["id"], d.listening.index, d.listening.ends, d.listening.complete)
            for d in runs.got
            if d.listening.listen_id == name
        ]
        for name in ("all", "until")
    }
    assert told["all"] == [("1", 1, False, False), ("2", 0, False, True)]
    assert told["until"] == [("2", 0, False, False), ("3", None, True, True)]


async def test_listening_twice_is_listening_once(router, runs):
    await router.publish("default", [event("1")])
    await asyncio.gather(*(router.listen("r", "l", forever(), since=BEGINNING) for _ in range(5)))
    await quiet(router)
    assert heard(runs) == [(0, "1")]
    with pytest.raises(Conflict):
        await router.listen("r", "l", forever(), since=BEGINNING, channel="other")


async def test_listeners_that_begin_at_once_share_what_was_there(router, runs):
    await router.publish("default", [event(str(number)) for number in range(4)])
    await asyncio.gather(*(router.listen("r", f"l{number}", one(), since=BEGINNING) for number in range(5)))
    await router.publish("default", [event("4")])
    await quiet(router)
    assert sorted(d.event["id"] for d in runs.got) == ["0", "1", "2", "3", "4"]
    assert len({d.listening.listen_id for d in runs.got}) == 5


async def test_an_event_is_taken_once_by_a_run_but_by_every_run(router, runs):
    await router.listen("r", "first", one(), since=BEGINNING)
    await router.publish("default", [event("1"), event("2")])
    await router.listen("r", "second", one(), since=BEGINNING)
    await router.listen("r", "third", forever(), since=BEGINNING)
    await router.listen("q", "first", one(), since=BEGINNING)
    await router.publish("default", [event("3")])
    await quiet(router)
    got = sorted((d.listening.run_id, d.listening.listen_id, d.event["id"]) for d in runs.got)
    assert got == [("q", "first", "1"), ("r", "first", "1"), ("r", "second", "2"), ("r", "third", "3")]


async def test_correlation_is_kept_between_events(router, runs):
    spec = forever()
    spec["filters"][0]["correlate"] = {"order": {"from": ".subject"}}
    await router.listen("r", "l", spec, since=BEGINNING)
    await router.publish(
        "default", [event("1", subject="x"), event("2", subject="y"), event("3", subject="x")]
    )
    await quiet(router)
    assert heard(runs) == [(0, "1"), (1, "3")]


async def test_deliveries_to_a_listener_come_one_at_a_time_in_order(router, runs):
    under_way = 0

    async def slowly(delivery):
        nonlocal under_way
        under_way += 1
        assert under_way == 1
        await asyncio.sleep(0)
        under_way -= 1
        return Retry(after=0) if delivery.attempt == 1 and delivery.listening.seq % 3 == 0 else None

    runs.answer = slowly
    await router.listen("r", "l", forever(), since=BEGINNING)
    await router.publish("default", [event(str(n)) for n in range(30)])
    await quiet(router)
    done = [d.event["id"] for d in runs.got if not (d.attempt == 1 and d.listening.seq % 3 == 0)]
    assert done == [str(n) for n in range(30)]


async def test_what_is_taken_back_is_free_for_the_next_listener(router, runs):
    runs.answer = lambda d: Retry(after=0.01) if d.event["id"] == "3" else None
    await router.listen("r", "l", forever(), since=BEGINNING)
    await router.publish("default", [event(str(n)) for n in range(5)])
    await eventually(lambda: (3, "3") in heard(runs))
    await router.unlisten("r", "l", used=2)
    await router.unlisten("r", "l")
    assert router.listeners() == []
    runs.answer = lambda _: None
    await router.listen("r", "next", forever(), since=BEGINNING)
    await quiet(router)
    assert heard(runs, "next") == [(0, "2"), (1, "3"), (2, "4")]


async def test_without_a_count_what_was_delivered_stays_taken(router, runs):
    await router.listen("r", "l", forever(), since=BEGINNING)
    await router.publish("default", [event("1"), event("2")])
    await quiet(router)
    await router.unlisten("r", "l")
    await router.listen("r", "next", forever(), since=BEGINNING)
    await router.publish("default", [event("3")])
    await quiet(router)
    assert heard(runs, "next") == [(0, "3")]


async def test_a_run_that_ended_is_forgotten(router, runs):
    runs.answer = lambda _: Retry(after=0.01)
    await router.listen("r", "l", forever(), since=BEGINNING)
    await router.listen("r", "other", forever("x"), since=BEGINNING, channel="c")
    await router.publish("default", [event("1")])
    await eventually(lambda: runs.got)
    await router.forget_run("r")
    await router.forget_run("r")
    await quiet(router)
    assert router.listeners() == []


async def test_a_run_that_is_gone_is_forgotten(router, runs):
    runs.answer = lambda _: Gone()
    await router.listen("r", "l", forever(), since=BEGINNING)
    await router.publish("default", [event("1"), event("2")])
    await eventually(lambda: not router.listeners())
    await quiet(router)
    assert heard(runs) == [(0, "1")]


async def test_an_event_that_a_run_refuses_is_a_dead_letter_and_the_next_follows(router, runs):
    runs.answer = lambda d: Drop("too large") if d.event["id"] == "1" else None
    await router.listen("r", "l", forever(), since=BEGINNING)
    await router.publish("default", [event("1"), event("2")])
    await quiet(router)
    assert heard(runs) == [(0, "1"), (1, "2")]
    (found,) = (await router.events(DEAD_LETTERS)).events
    assert found["event"]["dlqsubscription"] == "run:r"
    runs.answer = lambda _: None
    await router.redrive(found["position"])
    await quiet(router)
    assert heard(runs) == [(0, "1"), (1, "2"), (0, "1")]


async def test_listening_survives_a_restart(disk, runs):
    runs.answer = lambda d: Retry() if d.event["id"] == "2" else None
    async with running(disk, {"run": runs}) as router:
        await router.listen("r", "open", forever("a"), since=BEGINNING)
        await router.listen("r", "all", all_of("x", "y"), since=BEGINNING)
        await router.publish("default", [event("1", "a"), event("2", "a"), event("3", "a"), event("4", "x")])
        await eventually(lambda: (1, "2") in heard(runs))
    seen = len(runs.got)
    runs.answer = lambda _: None
    async with running(disk, {"run": runs}) as router:
        await router.listen("r", "open", forever("a"), since=BEGINNING)
        await router.publish("default", [event("5", "y"), event("6", "a")])
        await quiet(router)
        await router.listen("r", "late", forever("a"), since=BEGINNING)
        await quiet(router)
    after = runs.got[seen:]
    opened = [(d.listening.seq, d.event["id"]) for d in after if d.listening.listen_id == "open"]
    assert opened == [(1, "2"), (2, "3"), (3, "6")]
    assert [d.event["id"] for d in after if d.listening.listen_id == "all"][-1] == "5"
    assert not [d for d in after if d.listening.listen_id == "late"]


async def test_a_bad_spec_is_refused_with_its_place(router):
    with pytest.raises(Rejected) as caught:
        await router.listen("r", "l", {"mode": "none"}, since=BEGINNING)
    assert caught.value.pointer == "/spec/mode"


async def test_a_trace_names_the_listener_that_waits(router, runs):
    runs.answer = lambda _: Retry(after=60)
    await router.listen("r", "l", forever(), since=BEGINNING)
    await router.publish("default", [event("1")])
    await eventually(lambda: runs.got)
    (trace,) = await router.trace("1")
    (recipient,) = trace["recipients"]
    assert (recipient["run_id"], recipient["listen_id"], recipient["state"]) == ("r", "l", "pending")


@pytest.mark.parametrize("partitions", [1, 3])
async def test_nothing_is_missed_or_doubled_between_history_and_what_comes(url, runs, partitions):
    async with running(url, {"run": runs}, partitions=partitions) as router:

        async def publish():
            for n in range(30):
                await router.publish("default", [event(f"{n}-{m}", subject=f"k{m}") for m in range(5)])

        async def listen(k):
            for _ in range(k * 7):
                await asyncio.sleep(0)
            await router.listen(f"r{k}", "l", forever(), since=BEGINNING)

        await asyncio.gather(publish(), *(listen(k) for k in range(6)))
        await quiet(router)
        expected = sorted(f"{n}-{m}" for n in range(30) for m in range(5))
        for k in range(6):
            got = [d for d in runs.got if d.listening.run_id == f"r{k}"]
            assert [d.listening.seq for d in got] == list(range(150))
            assert sorted(d.event["id"] for d in got) == expected
            for m in range(5):
                assert [d.event["id"] for d in got if d.event["id"].endswith(f"-{m}")] == [
                    f"{n}-{m}" for n in range(30)
                ]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("publish"), st.sampled_from("ab")),
            st.tuples(st.just("listen"), st.sampled_from("ab")),
            st.tuples(st.just("unlisten"), st.just("")),
        ),
        max_size=14,
    )
)
async def test_every_event_reaches_a_run_once_through_whichever_listener(steps):
    runs = Recorder()
    async with running("memory:", {"run": runs}) as router:
        published, listeners = {"a": [], "b": []}, []
        for number, (what, type) in enumerate(steps):
            if what == "publish":
                await router.publish("default", [event(str(number), type)])
                published[type].append(str(number))
            elif what == "listen":
                await router.listen("r", f"l{number}", forever(type), since=BEGINNING)
                listeners.append((f"l{number}", type))
            elif listeners:
                await router.unlisten("r", listeners.pop(0)[0])
        for type in "ab":
            await router.listen("r", f"last-{type}", forever(type), since=BEGINNING)
        await quiet(router)
    for type in "ab":
        assert sorted(d.event["id"] for d in runs.got if d.event["type"] == type) == sorted(published[type])
