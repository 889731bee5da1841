"""One call."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from benchmarks.engine.by_hand.activities import Services
    from benchmarks.engine.by_hand.model import Assessed, Enquiry

A_CALL = timedelta(seconds=60)


@workflow.defn(name="external-call")
class ExternalCall:
    """One call of a service that takes a while."""

    @workflow.run
    async def run(self, enquiry: Enquiry) -> Assessed:
        answer = await workflow.execute_activity_method(
            Services.assess, replace(enquiry, status="RECEIVED"), start_to_close_timeout=A_CALL
        )
        return replace(answer, status="COMPLETED")
