"""Data that grows, and of which little is left."""

from __future__ import annotations

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from benchmarks.engine.by_hand.model import Grown, Growth


@workflow.defn(name="large-json")
class LargeJson:
    """Data that grows to many entries, and of which a few numbers are left."""

    @workflow.run
    async def run(self, given: Growth) -> Grown:
        data: list[dict[str, Any]] = [{"id": n, "value": f"val-{n}"} for n in range(given.items)]
        data = [{**item, "processed": True} for item in data]
        data = [{**item, "mutations": [f"m-{n}" for n in range(given.iterations)]} for item in data]
        total = len(data) * given.iterations
        return Grown(len(data), given.iterations, given.iterations, total, "COMPLETED")
