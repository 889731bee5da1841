"""What a limited token sees and may do, route by route: `DECISIONS` has every one, and what is not there is refused.

What it may not see is not there (404, or left out of a list); what it may not do is refused with 403 and the reason.
Where the answer depends on a body or on what is found, the route itself asks (`SHOWN`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from fastapi import Request

from workflow_engine.api.grants import DEAD_LETTERS, Grant, granted
from workflow_engine.engine.engine import Engine
from workflow_engine.errors import NotFound
from workflow_engine.events.router import Router
from workflow_engine.events.tracing import state_of
from workflow_engine.values import Json, JsonObject

_LOOKS = 20
"""How many runs are looked at side by side."""
MOST_RUNS = 200
"""How many of those that took an event are looked at."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request of somebody whose token is limited."""

    request: Request
    grant: Grant
    engine: Engine
    router: Router

    def named(self, name: str) -> str:
        """The part *name* of the address."""
        return str(self.request.path_params.get(name, ""))


Decision: TypeAlias = Callable[[Asked], Awaitable[None]]


async def everybody(asked: Asked) -> None:
    """Nothing in it belongs to a namespace or a channel."""


async def shown(asked: Asked) -> None:
    """The route itself leaves out, or refuses, what is not for the token."""


async def unlimited(asked: Asked) -> None:
    raise asked.grant.refuse("this concerns all namespaces and channels")


async def workflow(asked: Asked) -> None:
    namespace, name = asked.named("namespace"), asked.named("name")
    if not asked.grant.sees(namespace):
        raise NotFound("workflow", f"{namespace}/{name}")


async def schedule(asked: Asked) -> None:
    namespace, name = asked.named("namespace"), asked.named("name")
    if not asked.grant.sees(namespace):
        raise NotFound("schedule", f"{namespace}/{name}")


async def run(asked: Asked) -> None:
    run_id = asked.named("run_id")
    if not await sees_run(asked.engine, run_id):
        raise NotFound("run", run_id)


async def sees_run(engine: Engine, run_id: str) -> bool:
    """Whether there is a run *run_id*, and of a workflow that is for the token."""
    try:
        return granted().sees((await engine.describe(run_id)).workflow)
    except NotFound:
        return False


async def batch(asked: Asked) -> None:
    """Batches of limited tokens have their namespace in their id."""
    batch_id = asked.named("batch_id")
    namespace, mark, _ = batch_id.partition("~")
    if not mark or not asked.grant.sees(namespace):
        raise NotFound("batch", batch_id)


async def channel(asked: Asked) -> None:
    asked.grant.check_channel(asked.named("name"))


async def heard(asked: Asked) -> None:
    if not asked.grant.hears(asked.named("name")):
        raise NotFound("channel", asked.named("name"))


async def publishing(asked: Asked) -> None:
    asked.grant.check_channel(asked.request.query_params.get("channel", "default"))


async def subscription(asked: Asked) -> None:
    found = await asked.router.find_subscription(asked.named("id"))
    if found is None or not hears(asked.grant, found.channel, found.target):
        raise NotFound("subscription", asked.named("id"))


async def redriving(asked: Asked) -> None:
    named = asked.request.query_params.get("subscription")
    if named is None:
        raise asked.grant.refuse("name the subscription, for this concerns all of them")
    found = await asked.router.find_subscription(named)
    if found is None or not hears(asked.grant, found.channel, found.target):
        raise NotFound("subscription", named)


async def letters(asked: Asked) -> None:
    """Who hears dead letters may have its own tried again: to try one is to deliver, or to publish."""
    position = asked.named("position")
    asked.grant.check_channel(DEAD_LETTERS)
    letter = await asked.router.letter(position)
    whose = str(letter.get("dlqsubscription"))
    if not asked.grant.hears(str(letter.get("dlqchannel"))):
        raise NotFound("dead letter", position)
    if whose.startswith("run:"):
        if asked.grant.namespaces is not None and not await sees_run(
            asked.engine, whose.removeprefix("run:")
        ):
            raise NotFound("dead letter", position)
    elif "dlqsource" not in letter:
        found = await asked.router.find_subscription(whose)
        if found is not None and not hears(asked.grant, found.channel, found.target):
            raise NotFound("dead letter", position)


async def source(asked: Asked) -> None:
    found = await asked.router.get_source(asked.named("id"))
    if not asked.grant.hears(found.channel):
        raise NotFound("source", asked.named("id"))


def hears(grant: Grant, on: str, target: object) -> bool:
    """Whether a subscription on the channel *on* is for *grant*: what it leads to, and answers, must be its own too."""
    if not grant.hears(on):
        return False
    where = target if isinstance(target, dict) else {}
    if where.get("kind") == "workflow":
        return grant.sees(str(where.get("namespace")))
    return all(grant.hears(channel) for _, channel in published_by(where))


def published_by(target: JsonObject) -> list[tuple[str, str]]:
    """Each member of *target* that has a channel which it publishes to, and that channel."""
    member = {"channel": "channel", "webhook": "replies"}.get(str(target.get("kind")))
    return [] if member is None or target.get(member) is None else [(member, str(target[member]))]


async def traced(engine: Engine, router: Router, found: JsonObject) -> JsonObject:
    """What became of an event, as `events.tracing.trace` tells it, without recipients that are not for the token.

    Each run is looked at, and of very many only the first `MOST_RUNS`; the others are left out.
    """
    grant, recipients = granted(), found["recipients"]
    if not grant.limited or not isinstance(recipients, list):
        return found
    room, looked = asyncio.Semaphore(_LOOKS), 0

    async def seen(recipient: Json) -> bool:
        assert isinstance(recipient, dict)
        if "subscription" in recipient:
            known = await router.find_subscription(str(recipient["subscription"]))
            return known is not None and hears(grant, known.channel, known.target)
        if grant.namespaces is None:
            return True
        nonlocal looked
        looked += 1
        if looked > MOST_RUNS:
            return False
        async with room:
            return await sees_run(engine, str(recipient["run_id"]))

    judged = await asyncio.gather(*(seen(each) for each in recipients))
    left = [each for each, is_seen in zip(recipients, judged, strict=True) if is_seen]
    return {**found, "state": state_of(left), "recipients": left}


DECISIONS: dict[str, Decision] = {
    "GET /livez": everybody,
    "GET /readyz": everybody,
    "GET /metrics": unlimited,
    "POST /v1/workflows": shown,
    "GET /v1/workflows": shown,
    "POST /v1/workflows/validate": everybody,
    "POST /v1/workflows/check": shown,
    "GET /v1/workflows/{namespace}/{name}": workflow,
    "DELETE /v1/workflows/{namespace}/{name}": workflow,
    "GET /v1/workflows/{namespace}/{name}/{version}": workflow,
    "DELETE /v1/workflows/{namespace}/{name}/{version}": workflow,
    "GET /v1/workflows/{namespace}/{name}/{version}/graph": workflow,
    "GET /v1/workflows/{namespace}/{name}/{version}/{contract}": workflow,
    "POST /v1/workflows/{namespace}/{name}/{version}/runs": workflow,
    "POST /v1/runs": shown,
    "GET /v1/runs": shown,
    "POST /v1/runs/batch": shown,
    "GET /v1/runs/batch/{batch_id}": batch,
    "POST /v1/runs/batch/{batch_id}/cancel": batch,
    "GET /v1/runs/{run_id}": run,
    "GET /v1/runs/{run_id}/output": run,
    "GET /v1/runs/{run_id}/history": run,
    "GET /v1/runs/{run_id}/standing": run,
    "POST /v1/runs/{run_id}/retry": run,
    "POST /v1/runs/{run_id}/skip": run,
    "POST /v1/runs/{run_id}/edit": run,
    "POST /v1/runs/{run_id}/migrate": run,
    "POST /v1/runs/{run_id}/{command}": run,
    "GET /v1/schedules": shown,
    "GET /v1/schedules/{namespace}/{name}": schedule,
    "POST /v1/schedules/{namespace}/{name}/{command}": schedule,
    "POST /v1/events": publishing,
    "GET /v1/events": shown,
    "GET /v1/events/{event_id}/trace": shown,
    "GET /v1/channels": shown,
    "GET /v1/channels/{name}": heard,
    "PUT /v1/channels/{name}": channel,
    "GET /v1/backlog": unlimited,
    "POST /v1/dead-letters/redrive": redriving,
    "POST /v1/dead-letters/{position}/redrive": letters,
    "GET /v1/subscriptions": shown,
    "POST /v1/subscriptions": shown,
    "POST /v1/subscriptions/test": everybody,
    "GET /v1/subscriptions/{id}": subscription,
    "PUT /v1/subscriptions/{id}": shown,
    "DELETE /v1/subscriptions/{id}": subscription,
    "POST /v1/subscriptions/{id}/seek": subscription,
    "POST /v1/subscriptions/{id}/pull": subscription,
    "POST /v1/subscriptions/{id}/settle": subscription,
    "GET /v1/sources": shown,
    "GET /v1/sources/{id}": source,
    "PUT /v1/sources/{id}": shown,
    "DELETE /v1/sources/{id}": source,
    "POST /v1/sources/{id}/pause": source,
    "POST /v1/sources/{id}/resume": source,
    "OPTIONS /v1/sources/{id}/events": everybody,
    "POST /v1/sources/{id}/events": everybody,  # who sends is known by a signature, and needs no token
    "GET /v1/webhooks/{id}/allow": everybody,  # who was told the key of the address
    "POST /v1/webhooks/{id}/allow": everybody,
    "GET /v1/listeners": unlimited,
    "PUT /v1/listeners": unlimited,
    "POST /v1/listeners/repair": unlimited,
    "DELETE /v1/listeners/{run_id}": unlimited,
    "GET /v1/bundles": unlimited,
    "OPTIONS /v1/codec/{direction}": everybody,  # a browser asks before it has the token
    "POST /v1/codec/decode": unlimited,
    "POST /v1/codec/encode": unlimited,
    "GET /v1/catalog/specs": everybody,
    "PUT /v1/catalog/specs/{name}": unlimited,
    "GET /v1/catalog/specs/{name}": everybody,
    "DELETE /v1/catalog/specs/{name}": unlimited,
    "GET /v1/catalog/specs/{name}/document": everybody,
    "GET /v1/catalog/operations": everybody,
    "GET /v1/catalog/operations/{service}/{operation}": everybody,
    "POST /v1/catalog/operations/{service}/{operation}/validate": everybody,
    "GET /v1/catalog/resolve": everybody,
    "POST /v1/catalog/lint": everybody,
}
"""By method and path, as the documentation of the API has them."""


def deciding(engine: Engine, router: Router) -> Callable[[Request], Awaitable[None]]:
    """What every route depends on: it lets a limited token in, or raises why not."""

    async def decide(request: Request) -> None:
        found = granted()
        if not found.limited:
            return
        path = str(getattr(request.scope.get("route"), "path", "")).replace(":path}", "}")
        method = "GET" if request.method == "HEAD" else request.method
        decision = DECISIONS.get(f"{method} {path}", unlimited)
        await decision(Asked(request, found, engine, router))

    return decide
