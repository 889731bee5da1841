"""Activities: thin shells over the callers and the router, named by what they do.

An activity that is lost with its worker is made again, on another one, as soon as its heartbeat is missed.
A fault is final; anything else is a bug of ours and is tried again, with growing pauses, until it is fixed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from temporalio import activity
from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from workflow_engine.calls import CallContext, Caller, Egress
from workflow_engine.calls.context import DEFAULT_BOUNDS, ProcessBounds
from workflow_engine.calls.evaluations import call_with_secrets, evaluate_with_secrets
from workflow_engine.calls.flow import ROOM, Flow, Room
from workflow_engine.calls.reach import UNLIMITED, Reaches
from workflow_engine.calls.secrets import NO_SECRETS, Secrets
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import Fault, NotFound, Rejected, fault
from workflow_engine.graph.actions import PROCESSES
from workflow_engine.interpreter.projecting import project
from workflow_engine.runtimes.temporal import outcomes
from workflow_engine.runtimes.temporal.attempts import INLINE, TAKEN, Allowance, Attempts, gone_on, heartbeat
from workflow_engine.runtimes.temporal.failures import (
    SLOW,
    UNSUITED,
    failure_of,
    progress_of,
    unkept,
    unsuited,
)
from workflow_engine.runtimes.temporal.going_on import GoingOn
from workflow_engine.runtimes.temporal.interim.results import Interim
from workflow_engine.runtimes.temporal.leaving import rooms
from workflow_engine.runtimes.temporal.loans import BORROWS
from workflow_engine.runtimes.temporal.payloads.references import is_reference, weight_of
from workflow_engine.runtimes.temporal.receptions import reception_of, until_cancelled
from workflow_engine.runtimes.temporal.spans import called, part_of, sending
from workflow_engine.runtimes.temporal.traces import TRACE, untraced
from workflow_engine.values import JsonObject

SLACK = 1.0
"""How much more time a call is given than its state has, which keeps that itself."""
OVERDUE = 30.0
"""How long after its time a call is given up that does not keep to it: a bug of ours, so it is made again."""
BORROWERS = frozenset({"http"})
"""The kinds of calls that may have their arguments as the run has them (`loans`); they change nothing there."""
INLINE_SECONDS = 0.5
"""For how long a workflow task waits for a call of which nobody has said that it is short."""
BATCH = 500
"""How many lifecycle events are published at once."""
_FINAL = frozenset({400, 413, 422})
"""What the router refuses for what it is, however often it is asked."""
_log = logging.getLogger(__name__)


class Events(Protocol):
    """What activities ask of the router."""

    async def publish(self, channel: str, events: list[JsonObject]) -> Any:
        """Store events durably; those that are there already are accepted and stored once."""

    async def listen(
        self, run_id: str, listen_id: str, spec: JsonObject, *, since: datetime, channel: str
    ) -> None:
        """Deliver to the run what matches, from *since* on; again is harmless."""

    async def unlisten(self, run_id: str, listen_id: str, *, used: int | None = None) -> Any:
        """Deliver no more to this listener; what it got beyond *used* is free for the run's later ones."""

    async def forget_run(self, run_id: str, *, keep: bool = False) -> None:
        """The run has ended; nothing of it needs to be remembered, but which events it took if *keep*."""


Keep = Callable[[Any], Awaitable[Any]]
"""Puts what is large into the store, if there is one: ``stores`` (`payloads.travelling.Keeper`)."""
FindBundle = Callable[[str | None, str, str | None], Awaitable[Bundle]]
"""Finds the bundle of a deployed workflow by namespace, name and version; `NotFound` when there is none."""


@dataclass(frozen=True, slots=True)
class Activities:
    """The activities of one worker, with what they need."""

    callers: Mapping[str, Caller]
    events: Events
    find: FindBundle
    egress: Egress
    secrets: Secrets = NO_SECRETS
    processes: frozenset[str] = frozenset()
    bounds: ProcessBounds = DEFAULT_BOUNDS
    express_seconds: float = 2.0
    keep: Keep | None = None
    """What the result of a call is given to before its activity ends: it puts a large one into the store."""
    reach: Reaches = UNLIMITED
    """What the workflows of each namespace may use of all this."""
    sent: Flow = field(default_factory=Flow)
    received: Flow = field(default_factory=Flow)
    going_on: GoingOn = field(default_factory=GoingOn)
    interim: Interim | None = None
    """What keeps the results of calls within a workflow task between one and the next, if the worker can."""
    under_way: Counter[str] = field(default_factory=Counter)
    """The calls that are made now: the run and the place of each."""

    def all(self) -> list[Callable[..., Any]]:
        """Every activity, each under its own type."""
        events = (self.publish, self.tell, self.listen, self.unlisten, self.forget)
        room = rooms(stores=getattr(self.keep, "stores", False))
        return [*self.calls(), *events, self.evaluate, self.resolve, room, *outcomes.ACTIVITIES]

    def calls(self) -> list[Callable[..., Any]]:
        """The calls among them."""
        return [self._call_activity(kind, caller) for kind, caller in self.callers.items()]

    def _call_activity(self, kind: str, caller: Caller) -> Callable[..., Any]:
        @activity.defn(name=f"call.{kind}")
        async def call(arguments: RawValue, about: dict[str, Any]) -> Any:
            info = activity.info()
            within = about.get("within")
            # One that is made again after a fault has the place of the one before.
            key = f"{info.workflow_run_id}{about['place']} {about.get('number')}"
            if within == TAKEN:
                return await self.going_on.taken(key)
            if within is None:
                if "number" in about:  # nobody came for it in time, but it may go on here all the same
                    try:
                        return await self.going_on.taken(key)
                    except ApplicationError as ended:
                        if ended.type != UNSUITED:
                            raise
                        if (progress := progress_of(ended)) is not None and "attempts" in about:
                            about = {**about, "attempts": gone_on(about["attempts"], progress)}
                return await alone(arguments, about, info)
            longest = INLINE_SECONDS if within == INLINE else self.express_seconds
            briefly = partial(self.going_on.briefly, key, lambda: alone(arguments, about, info), longest)
            interim = self._interim(about)
            if interim is None:
                return await briefly()
            return await interim.call(str(info.workflow_run_id), key, briefly, after=about["after"])

        async def alone(arguments: RawValue, about: dict[str, Any], info: activity.Info) -> Any:
            what = f"{about['place']} of {about.get('run_id') or info.workflow_id}"
            self.under_way[what] += 1
            try:
                async with contextlib.AsyncExitStack() as held:
                    ROOM.set(Room(self.received, held))
                    BORROWS.set(kind in BORROWERS and "deferred" not in about)
                    return await made(await self._given(arguments.payload, about, info, held), about, info)
            finally:
                self.under_way[what] -= 1
                if not self.under_way[what]:
                    del self.under_way[what]

        async def made(arguments: dict[str, Any], about: dict[str, Any], info: activity.Info) -> Any:
            context = self._context(kind, about, info)

            async def once() -> Any:
                now = datetime.now(UTC)
                longest = None if context.reception is not None else context.timeout + OVERDUE
                async with asyncio.timeout(longest):
                    work: Awaitable[Any] = self._made(caller, arguments, about, replace(context, now=now))
                    if TRACE in about:
                        work = called(work, kind, about, context.run_id)
                    output = await _as_faults(work)
                filters = about.get("filtered")
                return output if filters is None else project(filters, output, now.timestamp())

            if context.reception is not None:
                return await until_cancelled(_faults(once()), context.reception)
            plan = about.get("attempts")
            if plan is not None:
                allowed = None if about["timeout"] is None else about["timeout"] - SLACK
                allowance = Allowance(self.express_seconds, about.get("within"))
                attempts = Attempts(plan, about["state"], allowed, allowance)
                return await self._kept(await attempts.make(once))
            if info.is_local and "within" not in about:
                return await self._kept(await _shortly(_faults(once()), self.express_seconds))
            with contextlib.nullcontext() if info.is_local else heartbeat():
                return await self._kept(await _faults(once()))

        return call

    def _interim(self, about: Mapping[str, Any]) -> Interim | None:
        """What keeps the results of this task, for a run that counts on it; `unkept` where it has to and cannot."""
        if self.interim is None and about.get("after"):
            raise unkept()
        return self.interim if "after" in about else None

    async def _before(self, told: Mapping[str, Any]) -> None:
        """Keep what was done before in this task, for what the router is told."""
        if (interim := self._interim(told)) is not None:
            info = activity.info()
            await interim.event(str(info.workflow_run_id), info.activity_id, after=told["after"])

    async def _given(
        self, payload: Payload, about: dict[str, Any], info: activity.Info, held: contextlib.AsyncExitStack
    ) -> dict[str, Any]:
        """The arguments that *payload* has; those that are in the store, once there is room for them."""
        if not is_reference(payload):
            here: dict[str, Any] = activity.payload_converter().from_payload(payload)
            return here
        details = [*info.heartbeat_details]
        with (
            contextlib.nullcontext() if info.is_local else heartbeat(lambda: details[0] if details else None)
        ):
            if "reception" not in about:  # which has no end
                await held.enter_async_context(self.sent.of(weight_of(payload)))
            given: list[dict[str, Any]] = await activity.client().data_converter.decode([payload])
        return given[0]

    def _kept(self, result: Any) -> Awaitable[Any]:
        """No frame but that of `keep` has the result meanwhile: it lets go of a large one."""
        return _itself(result) if self.keep is None else _faults(self.keep(result))

    def _context(self, kind: str, about: dict[str, Any], info: activity.Info) -> CallContext:
        run_id = about.get("run_id") or info.workflow_id
        reception, reach = about.get("reception"), self.reach.of_source(about["source"])
        return CallContext(
            idempotency_key=f"{about.get('identity') or run_id}{about['place']}",
            run_id=str(run_id),
            state=about["state"],
            source=about["source"],
            resources=about["resources"],
            events=self.events,
            egress=reach.egress(self.egress),
            now=datetime.now(UTC),
            timeout=self._seconds(kind) if about["timeout"] is None else about["timeout"],
            processes=reach.started(self.processes),
            bounds=self.bounds,
            reception=None if reception is None else reception_of(reception, info),
        )

    def _made(
        self, caller: Caller, arguments: JsonObject, about: dict[str, Any], context: CallContext
    ) -> Awaitable[Any]:
        deferred = about.get("deferred")
        if deferred is None:
            return caller(arguments, context)
        secrets = self.reach.of_source(context.source).keeping(self.secrets)
        return call_with_secrets(caller, arguments, deferred, context, secrets)

    def _seconds(self, kind: str) -> float:
        """How long a call may take that its document does not bound; processes have a bound of their own."""
        return math.inf if kind in PROCESSES else self.egress.seconds

    @activity.defn(name="expression.evaluate")
    async def evaluate(self, evaluation: RawValue) -> Any:
        """Evaluate an expression that uses secrets; no value of one is in what comes of it."""
        async with contextlib.AsyncExitStack() as held:
            given = await self._given(evaluation.payload, {}, activity.info(), held)
            reach = self.reach.of_namespace(given.get("namespace", ""))
            secrets, egress = reach.keeping(self.secrets), reach.egress(self.egress)
            return await _faults(evaluate_with_secrets(given, secrets, egress))

    @activity.defn(name="event.publish")
    async def publish(self, event: RawValue, where: Any) -> None:
        """Publish *event*; its id comes from the run and the state, so a retry never doubles it."""
        info = activity.info()
        channel, trace = untraced(where)
        async with contextlib.AsyncExitStack() as held:
            given = await self._given(event.payload, {}, info, held)
            inline = isinstance(where, dict) and where.get("within") == INLINE
            if inline:
                await self._before(where)
            publishing: Awaitable[Any] = self.events.publish(channel, [given])
            if trace is not None:
                publishing = sending(publishing, channel, given, trace)
            publishing = _faults(publishing)
            if info.is_local:
                await _shortly(publishing, INLINE_SECONDS if inline else self.express_seconds)
                return
            with heartbeat():
                await publishing

    @activity.defn(name="event.tell")
    async def tell(self, where: Any, events: list[dict[str, Any]]) -> None:
        """Publish lifecycle events, in order. What the router does not take is left out: it is no fault of the run."""
        channel, trace = untraced(where)
        for start in range(0, len(events), BATCH):
            await part_of(self._tell(channel, events[start : start + BATCH]), trace)

    async def _tell(self, channel: str, batch: list[dict[str, Any]]) -> None:
        """Publish *batch*; when it is refused for one of its events, the others all the same."""
        try:
            await self.events.publish(channel, batch)
        except Rejected as refused:
            if refused.status not in _FINAL:
                raise
            if len(batch) == 1:
                _log.error("the lifecycle event %s is not published: %s", batch[0]["id"], refused)
                return
            middle = len(batch) // 2
            await self._tell(channel, batch[:middle])
            await self._tell(channel, batch[middle:])

    @activity.defn(name="event.listen")
    async def listen(self, about: dict[str, Any]) -> None:
        """Register a listener with the router."""
        await self._before(about)
        since = datetime.fromisoformat(about["since"])
        run_id, listen_id, spec = about["run_id"], about["listen_id"], about["spec"]
        await _faults(self.events.listen(run_id, listen_id, spec, since=since, channel=about["channel"]))

    @activity.defn(name="event.unlisten")
    async def unlisten(self, run_id: str, listen_id: str, used: int) -> None:
        """End a listener."""
        await self.events.unlisten(run_id, listen_id, used=used)

    @activity.defn(name="event.forget")
    async def forget(self, run_id: str, keep: bool = False) -> None:
        """Tell the router that the run has ended; to *keep* what it took, for it may be retried."""
        await self.events.forget_run(run_id, keep=keep)

    @activity.defn(name="workflow.resolve")
    async def resolve(self, namespace: str | None, name: str, version: str | None) -> Bundle:
        """Find what a run that was started by name is to run; the answer is in its history."""
        try:
            return await self.find(namespace, name, version)
        except NotFound as missing:
            raise failure_of(fault("configuration", str(missing), status=404), of_call=True) from None


async def _shortly(work: Awaitable[Any], seconds: float) -> Any:
    """Do *work* while a workflow task waits for it: after *seconds* it is given up there, and made as others are."""
    try:
        async with asyncio.timeout(seconds) as timer:
            return await work
    except TimeoutError:
        if not timer.expired():
            raise
        raise unsuited(SLOW) from None


async def _itself(result: Any) -> Any:
    return result


async def _faults(work: Awaitable[Any]) -> Any:
    """Do *work*; a fault of it, and what the router refuses for what it is, end the activity for good."""
    try:
        return await _as_faults(work)
    except Fault as raised:
        raise failure_of(raised, of_call=True) from None


async def _as_faults(work: Awaitable[Any]) -> Any:
    """Do *work*; what the router refuses for what it is, is a fault."""
    try:
        return await work
    except Rejected as refused:
        if refused.status not in _FINAL:
            raise  # a token that is not accepted, for one: an operator can mend that
        raise fault("validation", str(refused)) from None
