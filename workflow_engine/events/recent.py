"""The bodies of events that were just dispatched, so that delivering them need not read the log again."""

from __future__ import annotations

from collections import OrderedDict

from workflow_engine.events.records import Position

MAX_BYTES = 16 * 1024 * 1024


class RecentBodies:
    """A cache by channel and position; the least recently used go when it holds more than *max_bytes*."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._bodies: OrderedDict[tuple[str, Position], bytes] = OrderedDict()

    def put(self, channel: str, position: Position, body: bytes) -> None:
        """Keep a body; a log never changes, so a position is put with the same body always."""
        if (channel, position) not in self._bodies:
            self._bytes += len(body)
        self._bodies[channel, position] = body
        self._bodies.move_to_end((channel, position))
        while self._bytes > self._max_bytes:
            _, gone = self._bodies.popitem(last=False)
            self._bytes -= len(gone)

    def get(self, channel: str, position: Position) -> bytes | None:
        """The body, if it is still there."""
        body = self._bodies.get((channel, position))
        if body is not None:
            self._bodies.move_to_end((channel, position))
        return body
