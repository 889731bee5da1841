"""Which events start which workflow: kept as subscriptions of the router, one for each workflow."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol
from urllib.parse import quote

from workflow_engine.errors import NotFound, Unavailable
from workflow_engine.events.subscriptions import RetryPolicy, Subscription
from workflow_engine.graph.model import StateGraph
from workflow_engine.interpreter.listening import triggering
from workflow_engine.values import JsonObject

OWN = "workflow:"
"""How the subscriptions of deployed workflows begin; others may only pause and resume them, and let them begin anew."""
UNTIL_STARTED = RetryPolicy(max_attempts=None, max_age=None, initial=0.2, max_delay=30.0)
"""An event that starts a run is never given up while Temporal cannot be reached."""
AGAIN = 1.0
"""Seconds until it is tried again to set the triggers, where the store was away."""

_log = logging.getLogger(__name__)


def id_of(namespace: str, name: str) -> str:
    """The id of the subscription of a workflow."""
    return f"{OWN}{quote(namespace)}/{quote(name)}"


class Subscriptions(Protocol):
    """What the router offers."""

    async def find_subscription(self, id: str) -> Subscription | None:
        """The one of this id, if there is one."""

    async def put_subscription(self, subscription: Subscription) -> Any:
        """Keep it; one with that id keeps its place in the channel."""

    def subscriptions(self) -> Sequence[Subscription]:
        """All of them, by id."""

    async def delete_subscription(self, id: str) -> Any:
        """Forget it; `NotFound` when it is not there."""


class Triggers:
    """Sets the trigger of a workflow: that of its latest version."""

    def __init__(self, router: Subscriptions) -> None:
        self._router = router

    async def remove(self, namespace: str, name: str) -> None:
        """Let no events start the workflow any more, not even those that wait to; no-op where none did."""
        with contextlib.suppress(NotFound):
            await self._router.delete_subscription(id_of(namespace, name))

    def known(self) -> Sequence[tuple[str, str]]:
        """Namespace and name of every workflow that has a subscription of its own."""
        own = (each.target for each in self._router.subscriptions() if each.id.startswith(OWN))
        return [(str(target.get("namespace")), str(target.get("name"))) for target in own]

    def starting(self, namespace: str, name: str) -> Sequence[Subscription]:
        """The subscriptions by which events start the workflow, its own and others, by id; none that is paused."""
        wanted = ("workflow", namespace, name)
        return [
            each
            for each in self._router.subscriptions()
            if each.enabled
            and tuple(each.target.get(member) for member in ("kind", "namespace", "name")) == wanted
        ]

    async def set(self, graph: StateGraph) -> None:
        """Let events start *graph*'s workflow from now on, or no longer, when it has no trigger.

        A trigger that somebody has paused stays so, whatever is deployed and started meanwhile.
        """
        name = graph.name
        if graph.trigger is None:
            await self.remove(name.namespace, name.name)
            return
        id = id_of(name.namespace, name.name)
        target: JsonObject = {"kind": "workflow", "namespace": name.namespace, "name": name.name}
        if graph.trigger.keeps:
            target["received"] = True
        there = await self._router.find_subscription(id)
        await self._router.put_subscription(
            Subscription(
                id=id,
                channel=graph.trigger.channel,
                strategy=triggering(graph.trigger),
                target=target,
                retry=UNTIL_STARTED,
                enabled=there is None or there.enabled,
                # Its run is started by the first event of several, and hears what came since: never a later one.
                in_order=graph.trigger.keeps,
                within=None if graph.trigger.within is None else str(graph.trigger.within),
            )
        )


class StandingBy(Protocol):
    """What the router tells of a store that one process has at a time."""

    @property
    def stands_by(self) -> bool:
        """Whether another process has it."""

    async def until_it_has_the_store(self) -> None:
        """Wait until this one has it."""


@contextlib.asynccontextmanager
async def restored(router: StandingBy, restore: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Let *restore* set the triggers of all workflows, before the block, or once the router stands by no more."""

    async def later() -> None:
        while True:
            await router.until_it_has_the_store()
            try:
                await restore()
            except Unavailable as error:
                _log.warning("events do not start workflows yet: %s", error)
                await asyncio.sleep(AGAIN)
            else:
                return

    if not router.stands_by:
        await restore()
        yield
        return
    restoring = asyncio.create_task(later(), name="triggers")
    try:
        yield
    finally:
        restoring.cancel()
        await asyncio.gather(restoring, return_exceptions=True)
