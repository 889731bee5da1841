"""What a caller is given: the world it may use for one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from workflow_engine.calls.egress import Egress
from workflow_engine.values import Json, JsonObject


class Publisher(Protocol):
    """Where events go: the router, or whatever stands in its place."""

    async def publish(self, channel: str, events: list[JsonObject]) -> Any:
        """Store *events* (CloudEvents in JSON form) in *channel*; returns once they are durable.

        An event that *channel* already has, by source and id, is accepted and stored once.
        """
        ...


@dataclass(frozen=True, slots=True)
class ProcessBounds:
    """What one process may use: *seconds* of time, *memory* in bytes, a number of *processes* that it consists of, and
    *output* in bytes of what it writes for us.
    """

    seconds: float = 3600.0
    memory: int = 1024 * 1024 * 1024
    processes: int = 64
    output: int = 1024 * 1024


DEFAULT_BOUNDS = ProcessBounds()


@dataclass(frozen=True, slots=True)
class CallContext:
    """Everything around one call that is not its arguments.

    *idempotency_key* is the same for every attempt: run, state and iteration. *state* is the pointer of
    the state that calls. *source* is the URI that published events come from (``/default/order/1.0.0``).
    *resources* are what the bundle pinned: by URI, ``{"content": text, "media_type"?: text}``, or, for an
    asyncapi operation, the operation as JSON. *timeout* is in seconds and covers the whole call.
    *redact* takes the values of secrets out of a text before a part of it is quoted. *processes* are the kinds of
    processes that may be started on this machine (``script``, ``shell``, ``container``, ``mcp``), within *bounds*.
    """

    idempotency_key: str
    run_id: str
    state: str
    source: str
    resources: Mapping[str, JsonObject]
    events: Publisher | None
    egress: Egress
    now: datetime
    timeout: float = 60.0
    redact: Callable[[str], str] = str
    processes: frozenset[str] = frozenset()
    bounds: ProcessBounds = DEFAULT_BOUNDS


Caller: TypeAlias = Callable[[JsonObject, CallContext], Awaitable[Json]]
"""Performs one call: evaluated arguments in, its output out. It raises `Fault`; anything else is a bug."""
