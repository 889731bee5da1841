"""What starts a workflow is a subscription of the router, with all that its document says of it."""

from __future__ import annotations

from workflow_engine import dsl
from workflow_engine.engine.triggers import Triggers
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.targets import Delivered, Delivery

TEXT = """
id: together
specVersion: '0.8'
events: [{name: A, type: a, source: tests}, {name: B, type: b, source: tests}]
states:
  - name: Wait
    type: event
    exclusive: false
    timeouts: {eventTimeout: P1M}
    onEvents: [{eventRefs: [A, B], actions: []}]
    end: true
"""


class Started:
    """A target to which nothing is delivered here."""

    async def deliver(self, delivery: Delivery) -> Delivered:
        raise AssertionError(delivery)


async def test_the_events_that_start_a_run_have_the_time_that_its_document_says() -> None:
    router = Router(open_store("memory:"), targets={"workflow": Started()})
    await router.start()
    try:
        await Triggers(router).set(dsl.compile(dsl.parse(TEXT)))
        found = await router.find_subscription("workflow:default/together")
        assert found is not None
        assert found.within == "P1M"
    finally:
        await router.stop()
