"""Many small steps that do not act on the world: plain Python, which costs Temporal nothing."""

from __future__ import annotations

from dataclasses import replace

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from benchmarks.engine.by_hand.model import Stepped
    from benchmarks.engine.steps import statuses


class _Steps:
    """Many small steps: an order whose status changes."""

    count = 0

    def walk(self, order: Stepped) -> Stepped:
        for status in statuses(self.count):
            order = replace(order, status=status)
        return order


@workflow.defn(name="tasks-20")
class Steps20(_Steps):
    """20 steps."""

    count = 20

    @workflow.run
    async def run(self, order: Stepped) -> Stepped:
        return self.walk(order)


@workflow.defn(name="tasks-50")
class Steps50(_Steps):
    """50 steps."""

    count = 50

    @workflow.run
    async def run(self, order: Stepped) -> Stepped:
        return self.walk(order)


@workflow.defn(name="tasks-100")
class Steps100(_Steps):
    """100 steps."""

    count = 100

    @workflow.run
    async def run(self, order: Stepped) -> Stepped:
        return self.walk(order)
