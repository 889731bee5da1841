"""What one AsyncAPI document says, whether it is registered or not."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.errors import Conflict, NotFound, Problem, did_you_mean
from catalog.model import Channel, Direction, Operation, Service


@dataclass(frozen=True, slots=True)
class Description:
    """A document's service, channels and operations, in document order, and its warnings."""

    asyncapi: str
    digest: str
    service: Service
    channels: tuple[Channel, ...]
    operations: tuple[Operation, ...]
    warnings: tuple[Problem, ...] = ()

    def find(
        self,
        *,
        operation: str | None = None,
        channel: str | None = None,
        workflow_may: Direction | None = None,
    ) -> Operation:
        """The one operation with this id, or on this *channel* (its address, or its name in AsyncAPI 3).

        Raises `NotFound` if there is none, and `Conflict` if several are left: *workflow_may* chooses between
        the two sides of a channel.
        """
        if operation is not None:
            return self._by_id(operation, channel, workflow_may)
        if channel is None:
            raise NotFound("operation", "", "name an operation or a channel")
        found = [item for item in self.operations if channel in (item.channel.address, item.channel.name)]
        if not found:
            known = {item.channel.address or item.channel.name for item in self.operations}
            raise NotFound("channel", channel, did_you_mean(channel, known))
        fitting = [item for item in found if workflow_may in (None, item.workflow_may)]
        if not fitting:
            raise NotFound(
                "operation", channel, f"a workflow may only {found[0].workflow_may} on this channel"
            )
        if len(fitting) > 1:
            names = ", ".join(f"{item.id or '(no id)'} ({item.workflow_may})" for item in fitting)
            raise Conflict(f"the channel {channel!r} has several operations; name one of: {names}")
        return fitting[0]

    def _by_id(self, id: str, channel: str | None, workflow_may: Direction | None) -> Operation:
        found = next((item for item in self.operations if item.id == id), None)
        if found is None:
            raise NotFound(
                "operation", id, did_you_mean(id, (item.id for item in self.operations if item.id))
            )
        if workflow_may not in (None, found.workflow_may):
            raise NotFound("operation", id, f"a workflow may only {found.workflow_may} with it")
        if channel is not None and channel not in (found.channel.address, found.channel.name):
            raise NotFound(
                "operation", id, f"it is on the channel {found.channel.address!r}, not {channel!r}"
            )
        return found
