"""Events that are one delivery together, and have a time in which to come."""

from __future__ import annotations

import pytest

from tests.events.conftest import eventually, quiet, running, subscription
from tests.events.samples import all_of, event, every
from workflow_engine.errors import Rejected

TOGETHER = all_of("a", "b", key=".subject")


class Clock:
    """A clock that is set by hand, in seconds."""

    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


def ids(workflows) -> list[list[str]]:
    return [[each["id"] for each in delivery.events] for delivery in workflows.got]


async def noted(router, id: str) -> list[tuple[str, str]]:
    """What the trace of an event says of the one who wants it, apart from attempts."""
    (trace,) = await router.trace(id, "c")
    return [(note["status"], note["detail"]) for each in trace["recipients"] for note in each["notes"]]


async def test_what_is_not_complete_in_time_is_forgotten_and_begins_anew(url, workflows):
    clock = Clock()
    async with running(url, {"workflow": workflows}, clock=clock) as router:
        await router.put_subscription(subscription(strategy=TOGETHER, within="PT1H"))
        await router.publish("c", [event("1", "a", subject="x"), event("2", "a", subject="y")])
        clock.at += 3600
        await router.publish("c", [event("3", "b", subject="y")])  # in time, on the very second
        clock.at += 1
        await router.publish("c", [event("4", "b", subject="x")])  # too late: it is the first of the next
        await workflows.until(1)  # what was in time is looked at before the clock is put on by an hour
        clock.at += 3000
        await router.publish("c", [event("5", "a", subject="x")])
        await workflows.until(2)
        assert ids(workflows) == [["2", "3"], ["4", "5"]]


async def test_the_time_of_what_is_half_way_goes_on_through_a_restart(disk, workflows):
    clock, targets = Clock(), {"workflow": workflows}
    async with running(disk, targets, clock=clock) as router:
        await router.put_subscription(subscription(strategy=TOGETHER, within="P1M"))
        await router.publish("c", [event("1", "a", subject="x"), event("2", "a", subject="y")])
        await quiet(router)
    clock.at += 29 * 86_400
    async with running(disk, targets, clock=clock) as router:
        await router.publish("c", [event("3", "b", subject="x")])
        await workflows.until(1)
        clock.at += 3 * 86_400  # more than any month has
        await router.publish("c", [event("4", "b", subject="y"), event("5", "a", subject="y")])
        await workflows.until(2)
    assert ids(workflows) == [["1", "3"], ["4", "5"]]


async def test_what_is_too_late_is_forgotten_though_nothing_else_comes(url, workflows, monkeypatch):
    """Its trace says so, and it keeps no events from being removed."""
    monkeypatch.setattr("workflow_engine.events.dispatch.SLACK_US", 0)
    async with running(url, {"workflow": workflows}) as router:
        await router.put_subscription(subscription(strategy=TOGETHER, within="PT0.2S"))
        await router.publish("c", [event("1", "a", subject="x")])

        async def given_up() -> bool:
            return ("given-up", "not all events came within PT0.2S") in await noted(router, "1")

        await eventually(given_up)
        await router.publish("c", [event("2", "b", subject="x")])
        await quiet(router)
        assert workflows.got == []


async def test_another_time_gathers_anew(router, workflows):
    await router.put_subscription(subscription(strategy=TOGETHER, within="PT1H"))
    await router.publish("c", [event("1", "a", subject="x")])
    await quiet(router)
    await router.put_subscription(subscription(strategy=TOGETHER, within="PT2H"))
    await router.publish("c", [event("2", "b", subject="x"), event("3", "a", subject="x")])
    await workflows.until(1)
    assert ids(workflows) == [["2", "3"]]


@pytest.mark.parametrize(
    ("strategy", "within"),
    [(all_of("a", "b"), "soon"), (all_of("a", "b"), "PT0S"), (all_of("a"), "PT1H"), (every("a"), "PT1H")],
)
async def test_a_time_that_makes_no_sense_is_refused(router, strategy, within):
    with pytest.raises(Rejected) as refused:
        await router.put_subscription(subscription(strategy=strategy, within=within))
    assert (refused.value.code, refused.value.pointer) == ("within-invalid", "/within")


def test_processes_of_an_earlier_version_are_told_of_no_time_where_there_is_none():
    given = subscription(strategy=TOGETHER)
    assert "within" not in given.to_json()
    timed = subscription(strategy=TOGETHER, within="PT1H")
    assert type(timed).from_json(timed.to_json()) == timed
