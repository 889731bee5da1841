"""Runs whose workflow task fails: by a bug of the engine, or a version of it that does not follow their history.

Such a run is not over. Temporal gives its task to a worker again and again, and once one that is fixed has it, the run
goes on. The first failure is in its history; of the later ones only the number is known.
"""

from __future__ import annotations

from datetime import UTC

from temporalio.api.common.v1 import WorkflowExecution as ExecutionId
from temporalio.api.enums.v1 import EventType
from temporalio.api.history.v1 import HistoryEvent
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.client import Client, WorkflowExecutionDescription
from temporalio.common import SearchAttributeKey, TypedSearchAttributes
from temporalio.exceptions import FailureError
from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.engine.runtime import Parked
from workflow_engine.errors import Unavailable
from workflow_engine.interpreter.bugs import split
from workflow_engine.runtimes.temporal.load import quoted

PROBLEMS = SearchAttributeKey.for_keyword_list("TemporalReportedProblems")
"""What the server keeps with a run whose workflow tasks fail; servers before 1.29 do not know it."""
FAILING = "TemporalReportedProblems = 'category=WorkflowTaskFailed'"
_LOOKED_BACK = 20
"""How many events from the end the failure is looked for: behind it are at most those that came meanwhile."""
_LONGEST = 4000
"""How much of a message or of a trace is shown, in characters."""


def reported(attributes: TypedSearchAttributes) -> bool:
    """Whether the server has told that a run with these *attributes* is parked."""
    return any(problem == "category=WorkflowTaskFailed" for problem in attributes.get(PROBLEMS) or ())


async def parked(client: Client, description: WorkflowExecutionDescription) -> Parked | None:
    """Why the workflow task of a run fails, or None where it does not."""
    pending = description.raw_description.pending_workflow_task
    if pending.attempt <= 1 and not reported(description.typed_search_attributes):
        return None
    failed = await _failed(client, description)
    if failed is None:
        return None
    attributes = failed.workflow_task_failed_event_attributes
    text, trace = attributes.failure.message, attributes.failure.stack_trace
    if attributes.failure.HasField("encoded_attributes"):
        decoded: BaseException | None = None
        try:
            decoded = await client.data_converter.decode_failure(attributes.failure)
        except Unavailable as error:  # a key that is not here, for one
            text = f"why it failed cannot be read: {error}"
        if isinstance(decoded, FailureError) and decoded.failure is not None:
            text, trace = decoded.failure.message, decoded.failure.stack_trace
    cause = attributes.failure.cause
    if cause.stack_trace:
        trace = cause.stack_trace
    state, exception = split(text)
    return Parked(
        exception=exception[:_LONGEST],
        state=state,
        since=failed.event_time.ToDatetime(UTC),
        attempts=max(1, pending.attempt - 1),
        trace=trace[-_LONGEST:],
    )


async def _failed(client: Client, description: WorkflowExecutionDescription) -> HistoryEvent | None:
    """The failure of the workflow task that is tried again; None where the last one was completed."""
    response = await client.workflow_service.get_workflow_execution_history_reverse(
        GetWorkflowExecutionHistoryReverseRequest(
            namespace=client.namespace,
            execution=ExecutionId(workflow_id=description.id, run_id=description.run_id),
            maximum_page_size=_LOOKED_BACK,
        )
    )
    for event in response.history.events:
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED:
            return event
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
            return None
    return None


async def count(client: Client, task_queue: str) -> int:
    """How many runs of *task_queue* the server tells to be parked."""
    try:
        return (await client.count_workflows(f"TaskQueue = '{quoted(task_queue)}' AND {FAILING}")).count
    except RPCError as error:
        if error.status == RPCStatusCode.INVALID_ARGUMENT:
            raise Unavailable(f"this Temporal server does not tell which runs are parked: {error}") from None
        raise
