"""What workers and runs ask of the event router; the router itself, or a client of one elsewhere, does it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from workflow_engine.values import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Published:
    """A published event: *position* is ``partition:offset`` in its channel; of a *duplicate*, that of the first."""

    id: str
    position: str
    duplicate: bool

    def to_json(self) -> JsonObject:
        return {"id": self.id, "position": self.position, "duplicate": self.duplicate}


class Events(Protocol):
    """Every method may be repeated: done twice is done once."""

    async def publish(self, channel: str, events: Sequence[Json]) -> list[Published]:
        """Store CloudEvents, all or nothing; durable on return. `Rejected` has the place of what is wrong."""

    async def listen(
        self, run_id: str, listen_id: str, spec: JsonObject, *, since: datetime, channel: str = "default"
    ) -> None:
        """Deliver to the run what *spec* (see `workflow_engine.filters`) accepts, from *since* on."""

    async def unlisten(self, run_id: str, listen_id: str, *, used: int | None = None) -> None:
        """Stop that. Events with ``seq >= used`` are free for later listeners of the run."""

    async def forget_run(self, run_id: str, *, keep: bool = False) -> None:
        """The run has ended: remove all that is kept for it, but which events it took if *keep*."""
