"""Sources that are heard at a broker: what is kept of one. Who hears it is `calls.brokers.hearing`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

import orjson

from workflow_engine import expressions
from workflow_engine.errors import Rejected
from workflow_engine.events.letters import DEAD_LETTERS
from workflow_engine.events.subscriptions import called, check_channel, check_filters, start_us
from workflow_engine.events.transforms import NotTransformed
from workflow_engine.values import Json, JsonObject, pointer

VARIABLES = frozenset({"headers", "address"})
_MEMBERS: dict[str, type] = {
    "id": str,
    "operation": str,
    "server": dict,
    "protocol": str,
    "authentication": dict,
    "channel": str,
    "event": dict,
    "filters": list,
    "start": str,
    "group": str,
    "enabled": bool,
}
"""What a request may say."""
_PLACE = ("operation", "server", "protocol", "start", "address")
"""What is heard, and from where on: one of which this changes begins anew."""


@dataclass(frozen=True, slots=True)
class BrokerSource:
    """Messages of *operation*, a reference to one of the catalog whose service sends, become events of *channel*.

    *server*, *protocol* and *authentication* are as a call of it has them, but that who connects is named by a secret.
    *event* is a template of the attributes and ``data``, whose expressions see the payload as ``.``, and ``$headers``
    and ``$address``; a message that is a CloudEvent stays as it is. With *filters* only events of which all are true.
    *start* is ``latest``, ``earliest`` or a timestamp: from where on a broker that keeps messages is asked for them.
    By *group* the broker knows who hears. One that is not *enabled* keeps its place there.

    *pinned* is the operation, as the catalog had it when the source was put, and *address* what is subscribed to.
    """

    id: str
    operation: str
    server: JsonObject | None = None
    protocol: str | None = None
    authentication: JsonObject | None = None
    channel: str = ""
    event: JsonObject = field(default_factory=dict)
    filters: list[Json] | None = None
    start: str = "latest"
    group: str = ""
    enabled: bool = True
    address: str = ""
    pinned: JsonObject = field(default_factory=dict)

    def check(self) -> None:
        """Raise `Rejected` for what is wrong with it, as far as the catalog need not be asked."""
        if self.channel:
            check_channel(self.channel, "channel")
        if self.channel == DEAD_LETTERS:
            raise invalid("only the router writes there", "channel")
        if self.filters is not None:
            check_filters(self.filters, "filters")
        start_us(self.start)
        try:
            expressions.template(self.event, variables=VARIABLES)
        except expressions.ExpressionError as error:
            raise invalid(str(error), "event") from None

    def to_json(self) -> JsonObject:
        """All of it, to be kept."""
        members: JsonObject = asdict(self)
        return members

    def shown(self) -> JsonObject:
        """What its operator is told: all but the operation itself, of which there is where it is from."""
        members = self.to_json()
        del members["pinned"]
        return {**members, "service": self.pinned.get("service"), "version": self.pinned.get("version")}

    @classmethod
    def from_json(cls, members: Any) -> BrokerSource:
        """Read what a request says; `Rejected` names the place."""
        if not isinstance(members, dict):
            raise invalid("expected an object")
        given = {name: value for name, value in members.items() if value is not None}
        for name, value in given.items():
            if name not in _MEMBERS:
                raise invalid(f"expected one of {', '.join(_MEMBERS)}", name)
            if not isinstance(value, _MEMBERS[name]):
                raise invalid(f"expected {called(_MEMBERS[name])}", name)
        if "operation" not in given:
            raise invalid("operation is required", "operation")
        source = cls(**given)
        source.check()
        return source

    @classmethod
    def kept(cls, members: JsonObject) -> BrokerSource:
        """Read what `to_json` wrote."""
        return cls(**members)  # type: ignore[arg-type]

    def goes_on_from(self, before: BrokerSource) -> bool:
        """Whether it hears the same, so that it keeps the place of *before* at the broker."""
        same = all(getattr(self, name) == getattr(before, name) for name in _PLACE)
        return same and self.group in ("", before.group)

    def paused(self, paused: bool) -> BrokerSource:
        return replace(self, enabled=not paused)

    def filled(self, payload: Json, headers: JsonObject, address: str) -> JsonObject:
        """What the template gives for a message; `NotTransformed` where it cannot be evaluated."""
        try:
            given = _template(orjson.dumps(self.event)).evaluate(
                payload, {"headers": headers, "address": address}
            )
        except expressions.EvaluationError as error:
            raise NotTransformed(str(error)) from None
        return given if isinstance(given, dict) else {}


@lru_cache(maxsize=1024)
def _template(text: bytes) -> expressions.Template:
    return expressions.template(orjson.loads(text), variables=VARIABLES)


def invalid(message: str, *path: str) -> Rejected:
    """The refusal of a source, with the place of what is wrong."""
    return Rejected("source-invalid", message, pointer=pointer(*path))
