"""Calls as activities: how long they may take, and what becomes of one whose worker is lost."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    TimeoutError,
    WorkflowAlreadyStartedError,
    is_cancelled_exception,
)
from temporalio.workflow import ParentClosePolicy

from workflow_engine.errors import Fault
from workflow_engine.graph.model import WorkflowName
from workflow_engine.interpreter.effects import Call, Expired, Place
from workflow_engine.runtimes.temporal.attempts import EXPRESS, INLINE, STAY, TAKEN, gone_on
from workflow_engine.runtimes.temporal.failures import (
    LOCAL_FAILURES,
    is_to_be_recorded,
    is_unkept,
    progress_of,
    queue_of,
    reraise,
)
from workflow_engine.runtimes.temporal.traces import traced
from workflow_engine.values import Json, JsonObject

DETACHED = "wfe.detached"
"""The workflow that makes a call which its run does not wait for."""
GRACE = timedelta(seconds=30)
HEARTBEAT = timedelta(seconds=12)
SHORT_HEARTBEAT = timedelta(seconds=6)
"""For calls that end by being cancelled: they hear of it with the answer to a heartbeat."""
LONGEST = timedelta(days=30)
"""How long an attempt may take that the document does not bound: its worker does, by settings not known here."""
SEVERAL = timedelta(seconds=STAY)
"""How long several attempts may take that follow each other at once."""
CENTURY = timedelta(days=36_500)
UNTIL_IT_WORKS = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=30)
)
"""For what must happen: a fault is not retried, a lost worker or an unreachable router is waited for."""
SUMMARY_BYTES = 200
SHORT = frozenset({"http", "openapi", "grpc", "graphql", "odata", "asyncapi", "mcp", "custom", "sysout"})
"""The kinds of calls that an express run makes within its workflow task: none that starts a process which may take
long, or that waits for what others do."""
PUBLISH = timedelta(seconds=60)
"""How long one attempt to publish may take."""
TAKEN_WITHIN = timedelta(seconds=30)
"""By then the worker at which a call goes on has come for the activity that takes it over, if it lives."""
STUCK = timedelta(seconds=30)
"""How long a local activity may take that should have ended by itself long before."""


@dataclass(frozen=True, slots=True)
class Within:
    """How something is done within a workflow task. It has a *number* in its run: what takes long goes on under that,
    and an activity takes it over; with 0 it is given up, and made again. *inline*: for the shortest time, since nobody
    has said that it is short. *after*: something was done before it in this task, which is to be kept first; None
    where nothing is kept. *done* is to be called once it is, with whether it gave something; *unkept* where the worker
    cannot keep anything.
    """

    number: int
    inline: bool
    after: bool | None
    done: Callable[[bool], None]
    unkept: Callable[[], None]

    def told(self) -> dict[str, Any]:
        """What the activity is told."""
        told: dict[str, Any] = {"within": INLINE if self.inline else EXPRESS}
        return told if self.after is None else {**told, "after": self.after}


async def make(call: Call, place: Place, about: JsonObject, within: Within | None) -> Json:
    """Make *call*, of which *about* tells its activity more; *within* this workflow task, if it can be so."""
    if call.reception is not None:
        return await receive(call.kind, call.arguments, {**about, "reception": call.reception}, place.label)
    if call.filtered is not None:
        about["filtered"] = call.filtered
    if call.attempts is not None:
        about["attempts"] = call.attempts
    # Each attempt has its own time, which the activity itself keeps.
    bound = None if call.attempts is not None else call.timeout
    # One with a time of its own is an activity: that it was up is not told the same when a local one is replayed.
    if within is not None and call.kind in SHORT and bound is None:
        type, told = f"call.{call.kind}", about
        if within.number:
            told = {**about, **within.told(), "number": within.number}
        try:
            try:
                return await shortly(type, [call.arguments, told], place.id, place.label, within)
            except GoesOn as going:
                about["number"] = within.number  # whoever is to make it again may be where it still goes on
                return await take_over(type, told, place.label, going.queue)
        except Unsuited as unsuited:
            if unsuited.progress is not None and call.attempts is not None:
                about["attempts"] = gone_on(call.attempts, unsuited.progress)
    return await execute(call.kind, call.arguments, about, place.label, bound)


async def detach(call: Call, place: Place, about: JsonObject, id: str, name: WorkflowName) -> None:
    """Have *call* made by a workflow of its own, so that it is not lost when the run of *name* ends before it."""
    with contextlib.suppress(WorkflowAlreadyStartedError):  # by this run, before it went on from here
        await workflow.start_child_workflow(
            DETACHED,
            args=[call.kind, call.arguments, about],
            id=id,
            parent_close_policy=ParentClosePolicy.ABANDON,
            static_summary=summary(place.label),
            memo={"namespace": name.namespace, "name": name.name, "version": name.version},
        )


async def execute(
    kind: str, arguments: JsonObject, about: JsonObject, label: str, bound: float | None
) -> Json:
    """Make a call as an activity, which is lost with its worker and made again, within *bound* seconds if any.

    Without a ``timeout`` in *about* one attempt takes the time that the worker's settings allow.
    """
    seconds = about["timeout"]
    longest = timedelta(seconds=seconds) if isinstance(seconds, int | float) else LONGEST
    if "attempts" in about:
        longest += SEVERAL
    return await workflow.execute_activity(  # type: ignore[no-any-return]
        f"call.{kind}",
        args=[arguments, about],
        activity_id=str(about["place"]),
        summary=summary(label),
        start_to_close_timeout=longest + GRACE,
        schedule_to_close_timeout=None if bound is None else timedelta(seconds=max(bound, 0.001)),
        heartbeat_timeout=HEARTBEAT,
        retry_policy=UNTIL_IT_WORKS,
    )


class Unsuited(Exception):
    """What was tried within a workflow task takes longer than it may there, or failed by no fault: not so, then.

    *progress* is how far its attempts had come (`attempts.Attempts`).
    """

    def __init__(self, progress: JsonObject | None = None) -> None:
        super().__init__()
        self.progress = progress


class GoesOn(Exception):
    """What was begun within a workflow task takes longer than it may there, and goes on; *queue* leads to it."""

    def __init__(self, queue: str) -> None:
        super().__init__()
        self.queue = queue


async def shortly(type: str, args: Sequence[Any], id: str, label: str, within: Within) -> Json:
    """Do an activity within this workflow task, which costs one event of history instead of six.

    `Unsuited` where it takes longer than the worker's settings allow there, or fails otherwise than by a fault;
    `GoesOn` where it has a number and does not end.
    """
    well = False
    try:
        given: Json = await workflow.execute_local_activity(
            type,
            args=args,
            activity_id=id,
            summary=summary(label),
            start_to_close_timeout=LONGEST if within.number else STUCK,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
        well = True
        return given
    except LOCAL_FAILURES as failure:
        if is_unkept(failure):
            within.unkept()
        if (queue := queue_of(failure)) is not None:
            raise GoesOn(queue) from None
        raise _unsuited(failure) from None
    finally:
        within.done(well)


async def take_over(type: str, about: JsonObject, label: str, queue: str) -> Json:
    """What becomes of a call that goes on at the worker of *queue*; `Unsuited` where that was lost."""
    try:
        return await workflow.execute_activity(  # type: ignore[no-any-return]
            type,
            args=[None, {**{name: about[name] for name in ("place", "number")}, "within": TAKEN}],
            task_queue=queue,
            activity_id=str(about["place"]),
            summary=summary(label),
            schedule_to_start_timeout=TAKEN_WITHIN,
            start_to_close_timeout=LONGEST,
            heartbeat_timeout=HEARTBEAT,
            retry_policy=RetryPolicy(maximum_attempts=1),
        )
    except ActivityError as failure:
        raise _unsuited(failure) from None


def _unsuited(failure: ActivityError | ApplicationError) -> BaseException:
    """What *failure* is of what can be made again as an activity of its own: `Unsuited` unless it is final."""
    if is_cancelled_exception(failure):
        return asyncio.CancelledError()
    if isinstance(failure.cause, TimeoutError):
        return Unsuited()
    raised = reraise(failure)
    return raised if isinstance(raised, Fault | Expired) else Unsuited(progress_of(failure))


async def publish(
    event: JsonObject, channel: str, place: Place, within: Within | None, trace: Mapping[str, Any]
) -> None:
    """Publish *event*; *within* this workflow task, if it can be so. *trace* is what it is part of."""
    args = [event, traced(channel, trace)]
    label = f"{place.label}: {event.get('type')}"
    if within is not None:
        with contextlib.suppress(Unsuited):
            told = [event, traced(channel, {**trace, **within.told()})] if within.inline else args
            await shortly("event.publish", told, place.id, label, replace(within, number=0))
            return
    await workflow.execute_activity(
        "event.publish",
        args=args,
        activity_id=place.id,
        summary=summary(label),
        start_to_close_timeout=PUBLISH,
        heartbeat_timeout=HEARTBEAT,
        retry_policy=UNTIL_IT_WORKS,
    )


async def tell_router(kind: str, args: Sequence[Any], place: Place, after: bool, keeps: bool) -> None:
    """Tell the router something that it may be told again; *after* what is to be kept before, or recorded unless the
    worker *keeps* it: by a local activity, which is one event of history, if it can be one.
    """
    about: dict[str, Any] = {
        "activity_id": f"{kind}:{place.id}",
        "summary": summary(place.label),
        "start_to_close_timeout": timedelta(seconds=10),
        "retry_policy": UNTIL_IT_WORKS,
    }
    if not after or keeps:
        told = [{**args[0], "after": True}, *args[1:]] if after else args
        try:
            threshold = timedelta(seconds=5)
            await workflow.execute_local_activity(kind, args=told, local_retry_threshold=threshold, **about)
            return
        except LOCAL_FAILURES as failure:
            if not after or not is_to_be_recorded(failure):
                raise
    await workflow.execute_activity(kind, args=args, **about)


async def rest(seconds: float) -> None:
    """Have the workflow task take so many *seconds* more."""
    await workflow.execute_local_activity(
        "run.rest",
        args=[seconds],
        start_to_close_timeout=timedelta(seconds=seconds + 30),
        retry_policy=RetryPolicy(maximum_attempts=1),
    )


async def receive(kind: str, arguments: JsonObject, about: JsonObject, label: str) -> Json:
    """Make a call without a limit of time: another worker goes on with it soon after the one that does it is silent.

    When it is cancelled it is waited for, so that it takes nothing more from anywhere once the run goes on.
    """
    received: Json = await workflow.execute_activity(
        f"call.{kind}",
        args=[arguments, about],
        activity_id=str(about["place"]),
        summary=summary(label),
        start_to_close_timeout=CENTURY,
        heartbeat_timeout=SHORT_HEARTBEAT,
        retry_policy=UNTIL_IT_WORKS,
        cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
    )
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError  # it had just ended by itself, and that is what the library tells
    return received


def summary(text: str) -> str:
    """*text* cut to what Temporal keeps of a summary, 200 bytes."""
    encoded = text.encode()
    return (
        text if len(encoded) <= SUMMARY_BYTES else encoded[: SUMMARY_BYTES - 3].decode(errors="ignore") + "…"
    )
