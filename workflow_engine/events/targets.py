"""Where deliveries go, and how a target says what became of one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from workflow_engine.values import JsonObject


@dataclass(frozen=True, slots=True)
class Listening:
    """The part of a delivery that is for a run that listens.

    *seq* counts the deliveries of this listener from 0, without a gap. *index* is the filter that the event
    satisfied. *ends*: the event satisfied ``until``; it is not part of the output, and *index* is ``None``.
    *complete*: this is the last one.
    """

    run_id: str
    listen_id: str
    seq: int
    index: int | None
    ends: bool
    complete: bool


@dataclass(frozen=True, slots=True)
class Delivery:
    """Events on loan to one target, in the order of being received; a target must bear to get it twice.

    *id* is the same in every attempt. *identity* is 32 hexadecimal digits made of the subscription, the channel
    and the source and id of the last event: equal for the same cause, whatever happens to the store. *attempt*
    counts from 1. *target* is what the subscription says. Positions are ``partition:offset``. *received* is when the
    first of the events was, for a target that asks for it (``received: true``).
    """

    id: str
    identity: str
    channel: str
    target: JsonObject
    events: tuple[JsonObject, ...]
    positions: tuple[str, ...]
    attempt: int
    subscription: str | None = None
    listening: Listening | None = None
    received: datetime | None = None

    @property
    def event(self) -> JsonObject:
        """The last event: the one that caused the delivery."""
        return self.events[-1]


@dataclass(frozen=True, slots=True)
class Delivered:
    """The target has it. *code* is its answer, *reference* what came of it, such as the id of a run.

    Nothing else of the subscription is sent to it for *after* seconds.
    """

    code: str = "ok"
    detail: str = ""
    reference: str = ""
    after: float = 0.0


class Retry(Exception):
    """The target may take it later; *after* is how many seconds it asks for, and *whole* that nothing else of the
    subscription is sent to it before. With *patient* it is not given up for the number of attempts.
    """

    def __init__(
        self,
        reason: str = "",
        *,
        after: float | None = None,
        code: str = "retry",
        whole: bool = False,
        patient: bool = False,
    ) -> None:
        super().__init__(reason or code)
        self.after, self.code, self.whole, self.patient = after, code, whole, patient


class Drop(Exception):
    """The target will never take it: it becomes a dead letter."""

    def __init__(self, reason: str, *, code: str = "rejected") -> None:
        super().__init__(reason)
        self.code = code


class Gone(Exception):
    """The target is not there any more: a run is forgotten, a subscription disabled."""


class Target(Protocol):
    """One kind of place that deliveries go to."""

    async def deliver(self, delivery: Delivery) -> Delivered:
        """Hand it over. Raises `Retry`, `Drop` or `Gone`; any other exception is tried again like `Retry`.

        It is cancelled when it takes longer than the timeout of the retry policy, which counts as a failure.
        Deliveries to one listener come one at a time in the order of `seq`; others come concurrently.
        """


@runtime_checkable
class CheckedTarget(Protocol):
    """A target that says beforehand what is wrong with what a subscription wants of it."""

    def check(self, target: JsonObject, *path: str | int) -> None:
        """Raise `Rejected`, with the place below *path*, for a *target* that cannot be delivered to."""


@runtime_checkable
class PermittedTarget(Protocol):
    """A target that asks who receives for permission, which the router keeps as long as a subscription needs it."""

    def permission(self, target: JsonObject) -> str | None:
        """The id of the permission that is needed to deliver to *target*; None if it needs none."""


@runtime_checkable
class AdmittingTarget(Protocol):
    """As `CheckedTarget`, of one that has to ask others for that."""

    async def admit(self, target: JsonObject, *path: str) -> None:
        """Raise `Rejected`, with the place below *path*, for a *target* that cannot be delivered to."""
