"""What is real of a local run: its calls, and the evaluation of what uses secrets."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from workflow_engine.calls import CallContext, Caller, Egress
from workflow_engine.calls.activity import KIND
from workflow_engine.calls.context import DEFAULT_BOUNDS, ProcessBounds, Reception
from workflow_engine.calls.evaluations import call_with_secrets, evaluate_with_secrets
from workflow_engine.calls.reach import UNLIMITED, Reaches
from workflow_engine.calls.secrets import NO_SECRETS, Secrets
from workflow_engine.errors import fault
from workflow_engine.events.ports import Published
from workflow_engine.graph.actions import PROCESSES
from workflow_engine.interpreter.effects import Call, Evaluation, Place
from workflow_engine.runtimes.local import LocalRun, PerformCall, PerformEvaluation
from workflow_engine.runtimes.local_activities import NO_ACTIVITIES, LocalActivity, perform_activity
from workflow_engine.values import Json, JsonObject


def real_calls(
    egress: Egress,
    callers: Mapping[str, Caller],
    secrets: Secrets = NO_SECRETS,
    processes: frozenset[str] = frozenset(),
    bounds: ProcessBounds = DEFAULT_BOUNDS,
    activities: Mapping[str, LocalActivity] = NO_ACTIVITIES,
    reach: Reaches = UNLIMITED,
) -> PerformCall:
    """Perform calls with *callers*, through *egress*; what they publish goes to the run's own channels.

    *processes* are the kinds of processes that they may start, each within *bounds*. *activities* are what
    ``call: activity`` calls here, by their types. *reach* is what each namespace may use.
    """

    async def perform(local: LocalRun, call: Call, place: Place) -> Json:
        if call.kind == KIND:
            return await perform_activity(call, activities, local.now())
        if call.kind not in callers:
            raise fault("configuration", f"there is no caller for {call.kind!r}")
        name = local.graph.name
        own = reach.of_namespace(name.namespace)
        longest = math.inf if call.kind in PROCESSES else egress.seconds
        context = CallContext(
            idempotency_key=f"{local.run_id}{place.id}",
            run_id=local.run_id,
            state=place.state,
            source=f"/{name.namespace}/{name.name}/{name.version}",
            resources=call.resources,  # type: ignore[arg-type]
            events=_Channels(local),
            egress=own.egress(egress),
            now=local.now(),
            # The run itself keeps the time that the document sets: the call is only not to stay behind.
            timeout=longest if call.timeout is None else call.timeout + 1.0,
            processes=own.started(processes),
            bounds=bounds,
            reception=None if call.reception is None else Reception(**call.reception),  # type: ignore[arg-type]
        )
        caller = callers[call.kind]
        if call.deferred is not None:
            return await call_with_secrets(
                caller, call.arguments, call.deferred, context, own.keeping(secrets)
            )
        return await caller(call.arguments, context)

    return perform


def real_evaluations(egress: Egress, secrets: Secrets, reach: Reaches = UNLIMITED) -> PerformEvaluation:
    """Evaluate what uses *secrets*; what credentials need is fetched through *egress*. *reach* as for calls."""

    async def evaluate(evaluation: Evaluation) -> Json:
        own = reach.of_namespace(evaluation.namespace)
        return await evaluate_with_secrets(asdict(evaluation), own.keeping(secrets), own.egress(egress))

    return evaluate


def evaluated_arguments(egress: Egress, secrets: Secrets) -> Callable[[Call], Awaitable[Json]]:
    """Evaluates arguments that use *secrets*, without making the call; those that credentials which must be fetched are
    a part of stay as they are written.
    """

    async def evaluate(call: Call) -> Json:
        made: Json = call.arguments

        async def keep(arguments: JsonObject, context: CallContext) -> Json:
            nonlocal made
            made = arguments
            return None

        if call.deferred is not None and "policy" not in call.deferred:
            now = datetime.now(UTC)
            context = CallContext("", "", "", "", {}, None, egress, now=now, timeout=egress.seconds)
            await call_with_secrets(keep, call.arguments, call.deferred, context, secrets)
        return made

    return evaluate


@dataclass(frozen=True, slots=True)
class _Channels:
    local: LocalRun

    async def publish(self, channel: str, events: list[JsonObject]) -> list[Published]:
        return [Published(str(event["id"]), "", not self.local.store(channel, event)) for event in events]
