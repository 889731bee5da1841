"""The router's target that is an operation, by itself."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import catalog
from tests.brokers.documents import BASE
from workflow_engine.calls import Egress
from workflow_engine.calls.brokers.target import OperationTarget
from workflow_engine.calls.resolution import Resolution
from workflow_engine.calls.secrets import NO_SECRETS
from workflow_engine.events.targets import Delivered, Delivery
from workflow_engine.values import JsonObject


@asynccontextmanager
async def sending(
    document: dict[str, Any], **target: Any
) -> AsyncIterator[Callable[..., Awaitable[Delivered]]]:
    """What delivers events to the operation that receives notes, with an identity."""
    specs = catalog.Catalog(await catalog.open_store("memory:"))
    await specs.add("notes", json.dumps(document))
    async with Egress() as egress:
        operations = OperationTarget(egress, NO_SECRETS, Resolution(specs, egress))
        wanted = {"kind": "asyncapi", "operation": f"{BASE}#note", **target}
        await operations.admit(wanted, "target")

        async def deliver(identity: str, *events: JsonObject) -> Delivered:
            given = Delivery(identity, identity, "c", wanted, events, ("0:0",) * len(events), 1, "s")
            return await operations.deliver(given)

        try:
            yield deliver
        finally:
            await operations.close()


def event(n: Any, id: str = "e-1", **more: Any) -> JsonObject:
    return {"specversion": "1.0", "id": id, "source": "/shop", "type": "noted", "data": {"n": n}, **more}
