"""Somebody else's activities: a plain worker of Temporal on a task queue of its own, which knows nothing of us."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

QUEUE = "payments"
tries: Counter[str] = Counter()
"""How often `flaky` and `slow` were tried, by what they were given."""
cancelled: list[str] = []
"""What `slow` was doing when it was cancelled."""


@activity.defn(name="charge")
async def charge(order: dict[str, Any], cents: int) -> dict[str, Any]:
    return {"charged": cents, "order": order["id"]}


@activity.defn(name="greet")
async def greet(person: dict[str, Any]) -> str:
    return f"Hello, {person['name']}!"


@activity.defn(name="nothing")
async def nothing() -> None:
    return None


@activity.defn(name="bytes")
async def some_bytes() -> bytes:
    return b"\x00\xff"


@activity.defn(name="decline")
async def decline() -> None:
    raise ApplicationError("insufficient funds", type="CardDeclined", non_retryable=True)


@activity.defn(name="precise")
async def precise() -> None:
    error = {"type": "https://payments.example/declined", "status": 402, "title": "Declined"}
    raise ApplicationError("insufficient funds", error, type="CardDeclined")


@activity.defn(name="broken")
async def broken() -> None:
    raise ValueError("boom")


@activity.defn(name="flaky")
async def flaky(key: str, failures: int) -> int:
    tries[key] += 1
    if tries[key] <= failures:
        raise ConnectionError("not yet")
    return tries[key]


@activity.defn(name="slow")
async def slow(key: str, seconds: float) -> str:
    tries[key] += 1
    try:
        for _ in range(int(seconds * 20)):
            if activity.in_activity():
                activity.heartbeat(key)
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        cancelled.append(key)
        raise
    return key


@activity.defn(name="silent")
async def silent(seconds: float) -> None:
    await asyncio.sleep(seconds)


@activity.defn(name="whoami")
async def whoami() -> list[str]:
    info = activity.info()
    return [str(info.workflow_id), info.activity_id, info.task_queue]


ALL: list[Callable[..., Awaitable[Any]]] = [
    charge,
    greet,
    nothing,
    some_bytes,
    decline,
    precise,
    broken,
    flaky,
    slow,
    silent,
    whoami,
]
LOCAL: Mapping[str, Callable[..., Awaitable[Any]]] = {
    made.__name__: made for made in (charge, greet, nothing, decline, precise, broken, flaky, slow, silent)
}
"""Those that need nothing of Temporal, for the local runtime."""


@asynccontextmanager
async def somebody_else(address: str) -> AsyncIterator[None]:
    """Their worker, with a client and a data converter of its own."""
    client = await Client.connect(address)
    async with Worker(client, task_queue=QUEUE, activities=ALL):
        yield
