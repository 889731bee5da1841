"""`Fault` and Temporal's failures, both ways, in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ApplicationErrorCategory,
    ChildWorkflowError,
    FailureError,
    TimeoutError,
    TimeoutType,
    is_cancelled_exception,
)

from workflow_engine.errors import Error, Fault, fault
from workflow_engine.interpreter.effects import Attempted, Expired
from workflow_engine.values import JsonObject

SLOW = "it takes longer than a workflow task may wait, and is made again as an activity of its own"
FULL = "too many calls go on that take long, so it is made as an activity of its own"
TO_BE_RECORDED = "what was done before it is to be recorded first, so it is made as an activity of its own"
NOTHING_KEPT = "its worker has no interim store, so it is made as an activity of its own"
GONE = "it does not go on here any more, and is made again as an activity of its own"
GOES_ON = "GoesOn"
"""The type of the failure of a local activity that goes on; an activity of the queue in its details takes it over."""
UNSUITED = "Unsuited"
"""The type of the failure of a local activity that is to be made as an activity of its own."""
UNKEPT = "Unkept"
"""That of one which follows others, where the worker keeps nothing between one call and the next (`interim`)."""
FAULT = "wfe.fault"
"""The category mark in an application error's details: its second detail says that the first is a fault."""
LONGEST_MESSAGE = 8 * 1024
LONGEST_TEXT = 64 * 1024
"""How many characters of a fault, and of each of its texts, a failure has: with more than 2 MB Temporal refuses it."""
LOCAL_FAILURES = (ActivityError, ApplicationError)
"""How a local activity that has failed shows itself: as what it raised, or wrapped as others are."""


def failure_of(raised: Fault, *, of_call: bool = False, told: JsonObject | None = None) -> ApplicationError:
    """*raised* as a failure that Temporal shows by its type and never retries by itself.

    That of a call is benign: a document may expect it, so workers do not log it as an error. *told* is how far its
    attempts had come (`Attempted`).
    """
    error = {name: _cut(value, LONGEST_TEXT) for name, value in raised.error.to_json().items()}
    category = ApplicationErrorCategory.BENIGN if of_call else ApplicationErrorCategory.UNSPECIFIED
    details = [error, FAULT, *([] if told is None else [told])]
    message, type = _cut(str(raised), LONGEST_MESSAGE), _cut(raised.error.type, LONGEST_MESSAGE)
    return ApplicationError(message, *details, type=type, non_retryable=True, category=category)


def _cut(value: Any, most: int) -> Any:
    return f"{value[: most - 1]}…" if isinstance(value, str) and len(value) > most else value


def unsuited(why: str, progress: JsonObject | None = None) -> ApplicationError:
    """The failure of a local activity that is to be made as an activity of its own, which goes on from *progress*."""
    details = [] if progress is None else [progress]
    category = ApplicationErrorCategory.BENIGN
    return ApplicationError(why, *details, type=UNSUITED, non_retryable=True, category=category)


def unkept() -> ApplicationError:
    """The failure of a local activity that follows others, where its worker cannot keep what they gave."""
    category = ApplicationErrorCategory.BENIGN
    return ApplicationError(NOTHING_KEPT, type=UNKEPT, non_retryable=True, category=category)


def is_unkept(failure: BaseException | None) -> bool:
    """Whether *failure* stands for `unkept`."""
    return any(each.type == UNKEPT for each in _told(failure))


def is_to_be_recorded(failure: BaseException | None) -> bool:
    """Whether what has failed so is to be made as an activity of its own, by `unsuited` or by `unkept`."""
    return any(each.type in (UNSUITED, UNKEPT) for each in _told(failure))


def goes_on(queue: str | None) -> ApplicationError:
    """The failure of a local activity that goes on, to be taken over by an activity of *queue*."""
    why, category = "it goes on as an activity", ApplicationErrorCategory.BENIGN
    return ApplicationError(why, queue, type=GOES_ON, non_retryable=True, category=category)


def queue_of(failure: BaseException | None) -> str | None:
    """Where that `goes_on` which *failure* stands for; None where it is another failure."""
    return next((str(each.details[0]) for each in _told(failure) if each.type == GOES_ON), None)


def progress_of(failure: BaseException | None) -> JsonObject | None:
    """How far the attempts of an `unsuited` local activity had come."""
    unsuited = next((each for each in _told(failure) if each.type == UNSUITED), None)
    return unsuited.details[0] if unsuited is not None and unsuited.details else None


def fault_of(failure: BaseException | None) -> Fault | None:
    """The fault that *failure* or one of its causes carries; None when it is no fault of the workflow."""
    for each in _told(failure):
        if len(each.details) >= 2 and each.details[1] == FAULT:
            error = Error.from_json(each.details[0])
            return Fault(error) if len(each.details) == 2 else Attempted(error, each.details[2])
    return None


def _told(failure: BaseException | None) -> Iterator[ApplicationError]:
    """What activities have raised, of *failure* and its causes."""
    while failure is not None:
        if isinstance(failure, ApplicationError):
            yield failure
        failure = getattr(failure, "cause", None) or failure.__cause__


def reraise(failure: FailureError) -> Exception:
    """What the interpreter is to see of *failure*: a `Fault`, `Expired`, or the failure itself."""
    raised = fault_of(failure)
    if raised is not None:
        return raised
    cause = failure.cause
    if isinstance(cause, TimeoutError):
        if cause.type == TimeoutType.SCHEDULE_TO_CLOSE:
            return Expired()
        return fault("timeout", f"no worker finished it in time ({cause})")
    if isinstance(failure, ChildWorkflowError):
        return fault("runtime", f"the run {failure.workflow_id} ended without a result: {cause}")
    return failure


def cancelled_or(failure: FailureError) -> BaseException:
    """The same, but of what was cancelled that it was."""
    return asyncio.CancelledError() if is_cancelled_exception(failure) else reraise(failure)
