"""Ten calls."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from benchmarks.engine.by_hand.activities import Services
    from benchmarks.engine.by_hand.model import Assessed, Enquiry

A_CALL = timedelta(seconds=60)


@workflow.defn(name="ten-calls")
class TenCalls:
    """Ten calls, one after the other."""

    @workflow.run
    async def run(self, enquiry: Enquiry) -> Assessed:
        answer: Assessed | None = None
        for number in range(10):
            answer = await workflow.execute_activity_method(
                Services.assess, replace(enquiry, status=f"CALL_{number + 1}"), start_to_close_timeout=A_CALL
            )
        assert answer is not None
        return replace(answer, status="COMPLETED")
