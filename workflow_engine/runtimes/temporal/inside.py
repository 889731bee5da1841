"""What the engine takes from inside the Temporal SDK, beyond what that promises: all of it, in one place.

A version of the SDK that has something of it in another way would not fail where it matters, it would do without: a
worker that keeps no bound of memory, or takes busy runs for stuck. So `check` looks for each part as a worker or a
client is made, and a version that is not one of `SDK` is refused; `tests/runtimes/test_inside.py` tells whoever
upgrades it which of these methods are others than before.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, wraps
from typing import Any

import temporalio.bridge.worker
import temporalio.converter
import temporalio.worker
import temporalio.workflow
from temporalio.api.enums.v1 import WorkflowExecutionStatus as ApiStatus
from temporalio.bridge.proto.workflow_activation import WorkflowActivation
from temporalio.bridge.proto.workflow_completion import WorkflowActivationCompletion
from temporalio.client import WorkflowExecutionDescription, WorkflowExecutionStatus, WorkflowHandle
from temporalio.converter import DataConverter
from temporalio.service import __version__
from temporalio.worker import StartLocalActivityInput, Worker

from workflow_engine.errors import Unavailable

SDK = ("1.35",)
"""The versions of the SDK of which it is known how they do it inside; also the bounds in ``pyproject.toml``."""
_EAGERLY = "__temporal_eagerly_started"
"""What the SDK notes of a run whose first task came with the answer to its start."""
_AT_WORK = "wfe_at_work"


@cache
def check() -> None:
    """Raise `Unavailable` unless the SDK is one that the engine knows."""
    refuse(__version__, [*missing()])


def refuse(version: str, lost: list[str]) -> None:
    """Raise `Unavailable` when *version* is none of `SDK`, or has *lost* what is taken from inside it."""
    known = version.rpartition(".")[0] in SDK
    if known and not lost:
        return
    wrong = f"; in it, what the engine needs is not there: {', '.join(lost)}" if lost else ""
    raise Unavailable(
        f"the Temporal SDK {version} is not one that this version of the engine runs on, which are "
        f"{' and '.join(f'{each}.*' for each in SDK)}{wrong}. Install one: "
        f"pip install 'temporalio=={SDK[-1]}.*'"
    )


def missing() -> Iterator[str]:
    """What is not there of all that is used here."""
    made = _class("worker._workflow", "_WorkflowWorker")
    for method, used in (
        ("run", {"_handle_activation"}),
        (
            "_handle_activation",
            {
                "_running_workflows",
                "_deadlock_timeout_seconds",
                "_handle_cache_eviction",
                "decode_activation",
                "encode_completion",
            },
        ),
        ("_handle_cache_eviction", {"_running_workflows", "_on_eviction_hook", "_deadlock_timeout_seconds"}),
    ):
        found = getattr(made, method, None)
        if not inspect.iscoroutinefunction(found):
            yield f"_WorkflowWorker.{method}"
        else:
            yield from (f"_WorkflowWorker.{each}" for each in sorted(used - {*found.__code__.co_names}))
    taken = getattr(made, "_handle_activation", None)
    if callable(taken) and [*inspect.signature(taken).parameters] != ["self", "act"]:
        yield "_WorkflowWorker._handle_activation(act)"
    for module, name, sets in (
        (
            "worker._worker",
            "Worker",
            {"_workflow_worker", "_activity_worker", "_bridge_worker", "_shutdown_event"},
        ),
        ("worker._activity", "_ActivityWorker", {"_handle_cancel_activity_task", "_running_activities"}),
        ("worker._workflow", "_RunningWorkflow", {"instance", "workflow_id", "deadlocked_activation_task"}),
        (
            "worker._workflow_instance",
            "_WorkflowInstanceImpl",
            {"_pending_activities", "_object", "_deleting", "_tasks"},
        ),
        ("worker._workflow_instance", "_ActivityHandle", {"_input"}),
        ("worker._workflow_instance", "_WorkflowInstanceImpl", {"workflow_get_current_details"}),
    ):
        methods = filter(inspect.isfunction, vars(_class(module, name) or object).values())
        there = {each for method in methods for each in method.__code__.co_names}
        yield from (f"{name}.{each}" for each in sorted(sets - there))
    if not callable(
        getattr(_class("worker._workflow", "_RunningWorkflow"), "attempt_deadlock_interruption", None)
    ):
        yield "_RunningWorkflow.attempt_deadlock_interruption"
    if not getattr(_class("worker._workflow_instance", "_WorkflowInstanceImpl"), "__dictoffset__", 0):
        yield "_WorkflowInstanceImpl.__dict__"
    starts = getattr(_class("client._impl", "_ClientImpl"), "start_workflow", None)
    if _EAGERLY not in getattr(getattr(starts, "__code__", None), "co_consts", ()):
        yield f"_ClientImpl.start_workflow: {_EAGERLY}"
    bridge = temporalio.bridge.worker.Worker
    for each in ("request_workflow_eviction", "complete_workflow_activation"):
        if not callable(getattr(bridge, each, None)):
            yield f"bridge.Worker.{each}"
    for each in ("_store_payload", "_store_payload_sequence"):
        if not inspect.iscoroutinefunction(getattr(temporalio.converter.ExternalStorage, each, None)):
            yield f"ExternalStorage.{each}"
    for each in ("decode_activation", "encode_completion"):
        if not inspect.iscoroutinefunction(getattr(temporalio.bridge.worker, each, None)):
            yield f"bridge.worker.{each}"
    if not isinstance(_metrics(), ContextVar):
        yield "_extstore._current_storage_metrics"


PAUSED = int(ApiStatus.WORKFLOW_EXECUTION_STATUS_PAUSED)


def _known(kind: type[WorkflowExecutionStatus], value: object) -> WorkflowExecutionStatus | None:
    return kind.RUNNING if value == PAUSED else None


# Where a server can pause runs, the SDK cannot read a list that has one: it knows no such status.
WorkflowExecutionStatus._missing_ = classmethod(_known)  # type: ignore[method-assign, assignment]


def is_paused(description: WorkflowExecutionDescription) -> bool:
    """Whether somebody has paused a run by Temporal's own means: no worker is given a task of it."""
    return description.raw_description.workflow_execution_info.status == PAUSED


def _class(module: str, name: str) -> Any:
    """A class of the module of the SDK with that name; None where it is not there."""
    try:
        return getattr(__import__(f"temporalio.{module}", fromlist=[name]), name, None)
    except ImportError:
        return None


@cache
def _metrics() -> Any:
    return getattr(getattr(temporalio.converter, "_extstore", None), "_current_storage_metrics", None)


def stored_of_task() -> Any:
    """What the SDK counts of the workflow task, or the activity, that is being encoded; None within neither."""
    return _metrics().get()


class Tasks:
    """The tasks of runs of one worker, as they are inside of it."""

    def __init__(self, made: Worker) -> None:
        check()
        self._made = made
        self._tasks: Any = made._workflow_worker
        if self._tasks is None:
            raise Unavailable("the worker does no tasks of runs")

    def stuck_after(self, seconds: float) -> None:
        """Take a task for stuck after so many *seconds*. One that is debugged is never."""
        if self._tasks._deadlock_timeout_seconds is not None:
            self._tasks._deadlock_timeout_seconds = seconds

    def on_let_go(self, tell: Callable[[str, Any], None]) -> None:
        """Have *tell* told the execution that is let go of, and why (a `RemoveFromCache`)."""
        self._tasks._on_eviction_hook = tell

    def wrap(
        self, wrapped: Callable[[Callable[[Any], Awaitable[None]]], Callable[[Any], Awaitable[None]]]
    ) -> None:
        """Have each task (a `WorkflowActivation`) done by what *wrapped* makes of what does it."""
        self._tasks._handle_activation = wrapped(self._tasks._handle_activation)

    def forget(self, id: str) -> None:
        """Let go of a run that is over, before the SDK is told to: there is nothing of it that a thread has to end."""
        there = self._tasks._running_workflows.get(id)
        if there is not None and there.deadlocked_activation_task is None and not there.instance._tasks:
            del self._tasks._running_workflows[id]

    def running(self) -> Mapping[str, Any]:
        """The runs that are in memory, by their executions: `instance_of` each."""
        found: Mapping[str, Any] = self._tasks._running_workflows
        return found


@cache
def passes(
    comes: Callable[[WorkflowActivation, DataConverter], bool],
    goes: Callable[[WorkflowActivationCompletion, DataConverter], bool],
) -> None:
    """From now on, have the values of a task not looked at of which *comes* says that they come as they are to be, and
    those of what it came to of which *goes* says that they go so.
    """
    bridge, nothing = temporalio.bridge.worker, temporalio.converter._extstore.StorageOperationMetrics
    decode, encode = bridge.decode_activation, bridge.encode_completion

    async def decoded(
        activation: WorkflowActivation, converter: DataConverter, *args: Any, **named: Any
    ) -> Any:
        if comes(activation, converter):
            return nothing()
        return await decode(activation, converter, *args, **named)

    @wraps(encode)
    async def encoded(
        completion: WorkflowActivationCompletion, converter: DataConverter, *args: Any, **named: Any
    ) -> Any:
        if goes(completion, converter):
            return nothing()
        return await encode(completion, converter, *args, **named)

    bridge.decode_activation, bridge.encode_completion = decoded, encoded  # type: ignore[assignment]


def one_after_the_other(instance: Any) -> None:
    """Have each task of a run (a `WorkflowInstance`) done to its end before the next, where one is taken for stuck too.

    The SDK throws an exception into that then, wherever it is; and lets go of the run while it goes on, in another
    thread: it means to wait for its end, but waits for what it has cancelled. Either may leave something of the run
    that is never woken again, so that it cannot be let go of, and its worker cannot stop. What the engine does in a
    task ends by itself, for there is a limit for everything.
    """
    _asks_before_it_interrupts()
    activate, at_work = instance.activate, threading.Lock()

    def activated(act: Any) -> Any:
        with at_work:
            return activate(act)

    instance.activate = activated
    setattr(instance, _AT_WORK, at_work)


async def has_ended(there: Any) -> None:
    """Return when no task is at work of one of the runs that are in memory. Where it was taken for stuck, none follows
    but that which lets go of the run.
    """
    at_work = None if there is None else getattr(there.instance, _AT_WORK, None)
    while at_work is not None and at_work.locked():  # noqa: ASYNC110 - a thread has it, which tells nobody
        await asyncio.sleep(0.02)


@cache
def _asks_before_it_interrupts() -> None:
    running = _class("worker._workflow", "_RunningWorkflow")
    interrupt = running.attempt_deadlock_interruption

    @wraps(interrupt)
    def unless_it_ends(there: Any) -> None:
        if not hasattr(there.instance, _AT_WORK):
            interrupt(there)

    running.attempt_deadlock_interruption = unless_it_ends


def tells(details: Callable[[], str]) -> None:
    """Have the run whose task this is answer with *details* when its current details are asked for."""
    temporalio.workflow._Runtime.current().workflow_get_current_details = details  # type: ignore[method-assign]


async def stops(made: Worker) -> None:
    """Return when the worker is told to stop."""
    await made._shutdown_event.wait()


def forgets_ended_calls(made: Worker) -> None:
    """Have the worker take no notice where a call is cancelled that has just ended.

    A run that is let go of while its local activity ends has that cancelled all the same. The SDK warns of each that it
    does not find, of which nobody can make anything; and where warnings are errors, the worker would end of it.
    """
    calls: Any = made._activity_worker
    if calls is None:
        return
    cancel, running = calls._handle_cancel_activity_task, calls._running_activities

    def cancel_if_there(token: bytes, how: Any) -> None:
        if token in running:
            cancel(token, how)

    calls._handle_cancel_activity_task = cancel_if_there


def evicts(made: Worker) -> Callable[[str], None] | None:
    """What lets go of a run of a worker, by its execution; None where that worker is no more."""
    if made.is_shutdown:
        return None
    found: Callable[[str], None] = made._bridge_worker.request_workflow_eviction
    return found


async def complete(made: Worker, completion: Any) -> None:
    """Say what came of a task (a `WorkflowActivationCompletion`) in place of the SDK."""
    await made._bridge_worker.complete_workflow_activation(completion)


def started_here(handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether the answer to the start of a run had its first task, for the worker beside the client."""
    return getattr(handle, _EAGERLY, False) is True


def workflow_id_of(there: Any) -> str | None:
    """The id of one of the runs that are in memory."""
    return None if there is None else str(there.workflow_id)


def waits_for_local(there: Any) -> bool:
    """Whether one of the runs in memory waits for a local activity."""
    pending = {} if there is None else there.instance._pending_activities
    return any(isinstance(handle._input, StartLocalActivityInput) for handle in pending.values())


def object_of(there: Any) -> Any:
    """The object of the workflow class of one of the runs in memory; None before it has begun."""
    return None if there is None else there.instance._object


def take_apart(there: Any) -> None:
    """Have nothing left of one of the runs that were in memory, once its worker has let go of it.

    It knows still that it is deleted: then it says nothing of tasks whose exceptions nobody has asked for.
    """
    if there is not None:
        there.instance.__dict__ = {"_deleting": True}
