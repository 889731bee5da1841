"""How a reader sleeps until something is written, without polling and without missing it."""

from __future__ import annotations

import asyncio


class Wakeups:
    """Tickets by topic. Take one, look, and if there was nothing wait on it: what came meanwhile ends it.

    For use from one event loop.
    """

    def __init__(self) -> None:
        self._tickets: dict[str, asyncio.Future[None]] = {}

    def ticket(self, topic: str) -> asyncio.Future[None]:
        """A future that ends at the next `notify` of *topic*."""
        ticket = self._tickets.get(topic)
        if ticket is None or ticket.done():
            ticket = self._tickets[topic] = asyncio.get_running_loop().create_future()
        return ticket

    def notify(self, topic: str) -> None:
        """Wake everyone who holds a ticket of *topic*."""
        ticket = self._tickets.pop(topic, None)
        if ticket is not None and not ticket.done():
            ticket.set_result(None)

    def notify_all(self) -> None:
        """Wake everyone: the store closes."""
        for topic in list(self._tickets):
            self.notify(topic)
