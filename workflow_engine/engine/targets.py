"""Where the router's deliveries go in this engine: they start runs, and they reach runs that listen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from workflow_engine.engine.runtime import Runtime
from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.targets import Delivered, Delivery, Drop, Gone, Retry
from workflow_engine.values import JsonObject


class RunTarget:
    """Gives an event to a run that listens. Given twice, the run takes it once: it knows the number."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def deliver(self, delivery: Delivery) -> Delivered:
        listening = delivery.listening
        if listening is None:
            raise Drop("a delivery to a run needs a listener", code="no-listener")
        message: JsonObject = {
            "seq": listening.seq,
            "index": listening.index,
            "complete": listening.complete,
            "ends": listening.ends,
            "position": delivery.positions[-1],
            "event": delivery.event,
        }
        try:
            there = await self._runtime.deliver(listening.run_id, listening.listen_id, message)
        except Unavailable as error:
            raise Retry(str(error), code="unavailable") from None
        if not there:
            raise Gone(f"the run {listening.run_id} is over")
        return Delivered("delivered", reference=listening.run_id)


class StartsRuns(Protocol):
    """What starts a run for events that trigger it."""

    async def start_by_events(
        self,
        namespace: str,
        name: str,
        identity: str,
        events: Sequence[JsonObject],
        *,
        received: datetime | None = None,
    ) -> str:
        """Start it, at most once for an *identity*, and return its id. *received*: when the first event was."""


class WorkflowTarget:
    """Starts a run. The run's id comes from the event's identity, so a delivery made twice starts one."""

    def __init__(self, engine: StartsRuns) -> None:
        self._engine = engine

    async def deliver(self, delivery: Delivery) -> Delivered:
        namespace, name = delivery.target.get("namespace"), delivery.target.get("name")
        try:
            run_id = await self._engine.start_by_events(
                str(namespace), str(name), delivery.identity, delivery.events, received=delivery.received
            )
        except Unavailable as error:
            raise Retry(str(error), code="unavailable") from None
        except NotFound as error:
            raise Drop(str(error), code="no-workflow") from None
        return Delivered("started", reference=run_id)
