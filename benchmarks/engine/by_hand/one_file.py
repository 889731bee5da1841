"""The order workflow as a first program is written: all of it in one file, nothing said to the sandbox about imports.

The sandbox loads this file, and the HTTP library that its activities use, anew for each run. The SDK's guide tells how
to spare that (`order.py` does); nothing but the CPU that it takes says that it is so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

import aiohttp
from temporalio import activity, workflow
from temporalio.client import Client
from temporalio.worker import Worker

A_CALL = timedelta(seconds=60)


@dataclass
class Item:
    sku: str
    price: float
    quantity: int


@dataclass
class Order:
    orderId: str  # noqa: N815 - the names of the data are those of the services
    customerId: str  # noqa: N815
    items: list[Item] = field(default_factory=list)


@dataclass
class Reservation:
    orderId: str  # noqa: N815
    items: list[Item]


@dataclass
class Charge:
    orderId: str  # noqa: N815
    customerId: str  # noqa: N815
    amount: float
    tier: str


@dataclass
class OrderDone:
    orderId: str  # noqa: N815
    total: float
    tier: str
    reservation: str
    payment: str
    status: str


class Services:
    """The services of the benchmark, at *address*."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    @activity.defn
    async def reserve(self, reservation: Reservation) -> str:
        return str((await self._post("/reserve", asdict(reservation)))["reservation"])

    @activity.defn
    async def charge(self, charge: Charge) -> str:
        return str((await self._post("/charge", asdict(charge)))["payment"])

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._session.post(self._address + path, json=body) as answer:
            answer.raise_for_status()
            content: dict[str, Any] = await answer.json()
            return content


@workflow.defn(name="order")
class OrderWorkflow:
    """Add up an order, choose a tier, reserve, charge: two activities in sequence."""

    @workflow.run
    async def run(self, order: Order) -> OrderDone:
        total = sum(item.price * item.quantity for item in order.items)
        tier = "premium" if total > 1000 else "standard"
        reservation = await workflow.execute_activity_method(
            Services.reserve, Reservation(order.orderId, order.items), start_to_close_timeout=A_CALL
        )
        payment = await workflow.execute_activity_method(
            Services.charge,
            Charge(order.orderId, order.customerId, total, tier),
            start_to_close_timeout=A_CALL,
        )
        return OrderDone(order.orderId, total, tier, reservation, payment, "CONFIRMED")


@asynccontextmanager
async def at_work(client: Client, queue: str, services: str) -> AsyncIterator[None]:
    """Work until the block ends."""
    async with aiohttp.ClientSession() as session:
        calls = Services(session, services)
        activities: list[Callable[..., Any]] = [calls.reserve, calls.charge]
        async with Worker(client, task_queue=queue, workflows=[OrderWorkflow], activities=activities):
            yield
