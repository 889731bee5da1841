"""The calls of the hand-written workflows: async activities that share one HTTP client, the one that the engine has."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import aiohttp
from temporalio import activity

from benchmarks.engine.by_hand.model import Assessed, Charge, Enquiry, Paid, Reservation, Reserved


class Services:
    """The services of the benchmark, at *address*."""

    def __init__(self, session: aiohttp.ClientSession, address: str) -> None:
        self._session = session
        self._address = address

    @activity.defn
    async def reserve(self, reservation: Reservation) -> Reserved:
        return Reserved(**await self._post("/reserve", asdict(reservation)))

    @activity.defn
    async def charge(self, charge: Charge) -> Paid:
        return Paid(**await self._post("/charge", asdict(charge)))

    @activity.defn
    async def assess(self, enquiry: Enquiry) -> Assessed:
        return Assessed(**await self._post(f"/external?delayMs={enquiry.delayMs}", asdict(enquiry)))

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self._session.post(self._address + path, json=body) as answer:
            answer.raise_for_status()
            content: dict[str, Any] = await answer.json()
            return content
