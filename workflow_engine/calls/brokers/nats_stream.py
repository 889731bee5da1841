"""Hearing a stream of NATS for a source: in order, also where another process heard it before."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy, RetentionPolicy
from nats.js.client import JetStreamContext
from nats.js.errors import NotFoundError

from workflow_engine.calls.brokers.link import Hearing, Incoming, Link, closed, lost
from workflow_engine.calls.brokers.nats_messages import WAIT_SECONDS, Client, Messages, numbered
from workflow_engine.errors import fault

_HEARD_SECONDS = 60.0
"""After this time JetStream gives a message again that was not acknowledged: the store may be away for a while."""
_AT_ONCE = 0.15
_ASKED_SECONDS = 25.0
"""How long what was asked for may come."""
_ASKED_BYTES = 72 * 1024 * 1024
"""How much is under way at a time; a message may have 64 MiB."""
_ORDERLY, _SHARED_ORDERLY = 30.0, 2.0
"""How many seconds what is new waits at most for what another was given; and in a group that others may be in."""
_BEATS, _NOBODY = "100", "503"


async def kept(
    link: Link, client: Client, stream: str, hearing: Hearing
) -> AsyncGenerator[list[Incoming], None]:
    """Messages as the server has them, in its order: also what somebody was given who heard before and did not store
    it. Whoever hears before has to have left.
    """
    before = await _durable(link, client, stream, hearing)
    hearing.promise = "exactly-once"
    yield []
    async with aclosing(_asked_for(link, client, stream, hearing)) as portions:
        async for found in portions:
            batch = found if before is None else await before.with_new(found)
            if batch:
                before = None
            for at in range(0, len(batch), hearing.most):
                yield [numbered(message, stream) for message in batch[at : at + hearing.most]]


async def _asked_for(
    link: Link, client: Client, stream: str, hearing: Hearing
) -> AsyncGenerator[list[Any], None]:
    """Messages are asked for in portions, so that there are never more under way than that; none after a while."""
    inbox = client.new_inbox()
    messages = Messages(client, 2 * hearing.most)
    asking = await client.subscribe(
        inbox, cb=messages.put, pending_bytes_limit=4 * _ASKED_BYTES
    )  # never reached
    seconds = {"expires": int(_ASKED_SECONDS * 1e9), "idle_heartbeat": int(WAIT_SECONDS * 1e9 / 2)}
    wanted = json.dumps({"batch": hearing.most, "max_bytes": _ASKED_BYTES, **seconds}).encode()
    left = 0

    async def leave() -> None:
        """Once the server knows, it gives nothing more to who has left: what it gave comes again to the next one."""
        await asking.unsubscribe()
        await client.flush()

    try:
        while True:
            if left <= 0:
                await client.publish(
                    f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{hearing.group}", wanted, reply=inbox
                )
                left = hearing.most
            found = await messages.next(hearing.most)
            batch = []
            for message in found:
                status = None if message.reply else (message.headers or {}).get("Status")
                if status is None:
                    batch.append(message)
                elif (
                    status != _BEATS
                ):  # what was asked for has ended: asked again, unless there is nobody to ask
                    left = 0
                    if status == _NOBODY or "deleted" in str(message.headers.get("Description")).lower():
                        raise lost(link, f"the consumer {hearing.group} is gone")
            left -= len(batch)
            if not found:
                if client.is_closed:
                    raise nats.errors.ConnectionClosedError
                left = 0
            yield batch
    finally:
        if client.is_connected:
            await closed(leave(), 2.0)


class _Before:
    """What another was given, as *known* says, and has not acknowledged: it comes again, and what is new waits."""

    def __init__(
        self, jetstream: JetStreamContext, hearing: Hearing, known: ConsumerInfo, config: ConsumerConfig
    ) -> None:
        self._jetstream, self._stream, self._group = jetstream, known.stream_name, hearing.group
        self._config, self._is_own = config, hearing.is_own
        self._owed = int(known.num_ack_pending or 0)
        self._last = 0 if known.delivered is None else known.delivered.stream_seq
        self._came: dict[int, Any] = {}
        now = time.monotonic()
        self._look, self._until = now + 1.0, now + (_ORDERLY if self._is_own else _SHARED_ORDERLY)

    async def come_again(self) -> None:
        """Let it come before all else: now, and not when the time that it has is over."""
        wait = self._config.ack_wait
        later = _HEARD_SECONDS if self._is_own or wait is None or wait <= 1.0 else wait
        for seconds, pause in ((_AT_ONCE, 2 * _AT_ONCE), (later, 0.0)):
            await self._jetstream.add_consumer(self._stream, config=replace(self._config, ack_wait=seconds))
            await asyncio.sleep(pause)

    async def with_new(self, found: list[Any]) -> list[Any]:
        """It, and behind it what came meanwhile, in the order of the stream; nothing while some of it is missing."""
        self._came |= {message.metadata.sequence.stream: message for message in found}
        now = time.monotonic()
        missing = self._owed - sum(number <= self._last for number in self._came)
        if missing > 0 and now < self._until:
            if now < self._look:
                return []
            self._look = now + 1.0
            info = await self._jetstream.consumer_info(self._stream, self._group)
            if int(info.num_ack_pending or 0) > len(self._came):
                if self._is_own:
                    await self.come_again()
                return []
            self._owed = 0  # it was deleted from the stream
        return [self._came[number] for number in sorted(self._came)]


async def _durable(link: Link, client: Client, stream: str, hearing: Hearing) -> _Before | None:
    """See to it that there is a consumer, which begins where *hearing* says if it is new; what others had of it."""
    jetstream = client.jetstream()

    async def waiting() -> int:
        found = await jetstream.consumer_info(stream, hearing.group)
        return int((found.num_pending or 0) + (found.num_ack_pending or 0))

    hearing.ask = waiting
    try:
        found = await jetstream.consumer_info(stream, hearing.group)
    except NotFoundError:
        config = ConsumerConfig(
            name=hearing.group,
            durable_name=hearing.group,
            filter_subject=link.address,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_HEARD_SECONDS,
            max_ack_pending=4 * hearing.most,
            deliver_policy=DeliverPolicy.ALL,
        )
        info = await jetstream.stream_info(stream)
        known = hearing.at.get(stream)
        if info.config.retention == RetentionPolicy.WORK_QUEUE:
            pass  # it has only what nobody had yet
        elif isinstance(known, int) and known <= info.state.last_seq + 1:  # somebody has deleted the consumer
            config.deliver_policy = DeliverPolicy.BY_START_SEQUENCE
            config.opt_start_seq = known
        elif hearing.start == "earliest":
            pass
        elif hearing.start == "latest":
            config.deliver_policy = DeliverPolicy.NEW
        else:
            config.deliver_policy = DeliverPolicy.BY_START_TIME
            config.opt_start_time = datetime.fromtimestamp(hearing.start, UTC)
        await jetstream.add_consumer(stream, config=config)
    else:
        known_by = found.config.filter_subject if found.config is not None else None
        if known_by and known_by != link.address:
            what = f"{link.shown}: the consumer {hearing.group} hears {known_by!r}"
            raise fault("configuration", f"{what}; give the source another `group`")
        until = time.monotonic() + _ASKED_SECONDS + 1.0
        while hearing.is_own and found.num_waiting and time.monotonic() < until:
            await asyncio.sleep(0.1)  # the server gives what is new to somebody whose end it has not noticed
            found = await jetstream.consumer_info(stream, hearing.group)
        if found.num_ack_pending and found.config is not None:
            before = _Before(jetstream, hearing, found, found.config)
            await before.come_again()
            return before
    return None
