"""What a caller is given: the world it may use for one call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from workflow_engine.calls.egress import Egress
from workflow_engine.values import Json, JsonObject


class Publisher(Protocol):
    """Where events go: the router, or whatever stands in its place."""

    async def publish(self, channel: str, events: list[JsonObject]) -> Any:
        """Store *events* (CloudEvents in JSON form) in *channel*; returns once they are durable.

        An event that *channel* already has, by source and id, is accepted and stored once. What is returned has, for
        each event, something that says whether it was a ``duplicate``.
        """
        ...


@dataclass(slots=True)
class Reception:
    """Where what a broker sends goes, while a state waits for messages: *channel* of the router, as events of *source*.

    *since* is when the run started, in seconds since 1970. After *amount* messages that the filters of *spec* take, no
    more are wanted; None: until the state has enough. *progress* is how far it is, from which a later attempt goes on
    unless that is not known. *leaving*: the worker stops, and another one will go on.
    """

    channel: str
    source: str
    since: float
    amount: int | None = None
    spec: JsonObject | None = None
    progress: JsonObject = field(default_factory=dict)
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class ProcessBounds:
    """What one process may use: *seconds* of time, *memory* in bytes, a number of *processes* that it consists of, and
    *output* in bytes of what it writes for us. A container besides: *cpus* (0: all), and *volumes*, the folders of the
    host that it may mount (``*``: any).
    """

    seconds: float = 3600.0
    memory: int = 1024 * 1024 * 1024
    processes: int = 64
    output: int = 1024 * 1024
    cpus: float = 0.0
    volumes: tuple[str, ...] = ()


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
    *reception* is given to a call that receives until it is cancelled.
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
    reception: Reception | None = None


Caller: TypeAlias = Callable[[JsonObject, CallContext], Awaitable[Json]]
"""Performs one call: evaluated arguments in, its output out. It raises `Fault`; anything else is a bug."""
