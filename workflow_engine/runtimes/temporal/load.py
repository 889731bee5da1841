"""How much there is to do for workers, who does it, and how runs end: what Temporal tells of a task queue."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest, DescribeTaskQueueResponse
from temporalio.client import Client

from workflow_engine.engine.runtime import Load, QueueLoad

ENDED_WITHIN = timedelta(hours=1)
_SEEN_WITHIN = timedelta(minutes=2)
"""A worker asks again at least once a minute."""
_STATUSES = {
    "Completed": "completed",
    "Failed": "faulted",
    "TimedOut": "faulted",
    "Canceled": "cancelled",
    "Terminated": "terminated",
}
_KINDS = {
    "workflow": TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    "activity": TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


async def check(client: Client, task_queue: str) -> None:
    """Raise what Temporal says when it does not know the namespace, or does not answer."""
    await _describe(client, task_queue, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)


async def load(client: Client, task_queue: str) -> Load:
    """What there is to do on *task_queue*, and what became of its runs of late."""
    now = datetime.now(UTC)
    runs = f"TaskQueue = '{quoted(task_queue)}'"
    since = (now - ENDED_WITHIN).strftime("%Y-%m-%dT%H:%M:%SZ")
    open_, ended, queues = await asyncio.gather(
        client.count_workflows(f"{runs} AND ExecutionStatus = 'Running'"),
        client.count_workflows(f"{runs} AND CloseTime > '{since}' GROUP BY ExecutionStatus"),
        asyncio.gather(*(_describe(client, task_queue, kind) for kind in _KINDS.values())),
    )
    counts = dict.fromkeys(_STATUSES.values(), 0)
    for group in ended.groups:
        status = _STATUSES.get(str(group.group_values[0]))
        if status is not None:
            counts[status] += group.count
    described = {kind: _queue(answer, now) for kind, answer in zip(_KINDS, queues, strict=True)}
    return Load(open_.count, counts, described)


def quoted(text: str) -> str:
    """*text* as it stands in quotes in a query."""
    return text.replace("\\", "\\\\").replace("'", "\\'")


async def _describe(
    client: Client, task_queue: str, kind: TaskQueueType.ValueType
) -> DescribeTaskQueueResponse:
    return await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=task_queue),
            task_queue_type=kind,
            report_stats=True,
        )
    )


def _queue(answer: DescribeTaskQueueResponse, now: datetime) -> QueueLoad:
    seen = {
        poller.identity
        for poller in answer.pollers
        if now - poller.last_access_time.ToDatetime(UTC) < _SEEN_WITHIN
    }
    if not answer.HasField("stats"):  # a server that is older than 1.25
        return QueueLoad(len(seen))
    age = answer.stats.approximate_backlog_age.ToTimedelta().total_seconds()
    return QueueLoad(len(seen), answer.stats.approximate_backlog_count, age)
