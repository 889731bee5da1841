"""A journal in JetStream of NATS: a stream for the entries, and an object store for the snapshots."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import re
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    ObjectStoreConfig,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, BucketNotFoundError, NotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from workflow_engine.errors import Conflict, Rejected, Unavailable
from workflow_engine.events.stores.journal import Bounds, Moved

CONNECT = 5
ANSWER = 5.0
HOLDER = 2.0
"""Seconds for connecting, for an answer of JetStream, and for who has the journal to say so."""
PING = 10
"""Seconds after which a connection that says nothing is asked for a sign of life; two that are missed end it."""
LARGEST = 512 * 1024
"""Bytes of a message, if the server allows as many: a few dozen are read together."""
FEW = 64
_WRONG_LAST = 10071
"""The error of JetStream for an expected last sequence that is not the last."""
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_ERRORS = (nats.errors.Error, APIError, OSError, TimeoutError, ValueError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where the journal is: *servers* and how to connect to them; *name* of the stream; what it is made with."""

    servers: tuple[str, ...]
    name: str
    shown: str
    replicas: int | None = None
    max_bytes: int | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None
    creds: str | None = None
    nkey: str | None = None
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None

    def options(self) -> dict[str, Any]:
        """How the client is to connect, credentials included."""
        made: dict[str, Any] = {}
        if self.token is not None:
            made["token"] = self.token
        if self.user is not None:
            made |= {"user": self.user, "password": self.password or ""}
        if self.creds is not None:
            made["user_credentials"] = self.creds
        if self.nkey is not None:
            made["nkeys_seed"] = self.nkey
        if self.tls:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
            made["tls"] = context
        return made


class _Client(Client):
    """A client whose connecting ends with the first error; by itself, it tries the same server for ever."""

    connects = True

    async def note(self, error: Exception) -> None:
        if self.connects:
            raise error
        _log.debug("NATS: %s", error)


class NatsJournal:
    """`Journal` in the stream *name*, on the subject ``NAME.journal``, with snapshots in the bucket ``NAME-snapshots``.

    Who has the journal answers on ``NAME.holder``. What is to be done when the server is there again is *on_back*.
    """

    def __init__(self, address: Address, on_back: Callable[[], None]) -> None:
        self._address, self._on_back = address, on_back
        self._subject = f"{address.name}.journal"
        self._holder = f"{address.name}.holder"
        self._bucket = f"{address.name}-snapshots"
        self._client: Client | None = None
        self._away = asyncio.Event()
        self._why: Exception | None = None
        self._who: str | None = None
        self._closing = False
        self._returning: asyncio.Task[None] | None = None
        self._discovered: list[str] = []
        self._reader: tuple[int, JetStreamContext.PullSubscription] | None = None
        self.shown = address.shown
        self.largest = LARGEST

    async def open(self) -> None:
        try:
            self._client = await self._connected()
        except ImportError as error:
            raise Rejected(
                "store-url",
                f"{self.shown}: creds and nkey need the package nkeys: pip install 'nats-py[nkeys]'",
            ) from error
        try:
            async with self._asking() as jetstream:
                await self._make(jetstream)
        except BaseException:
            await self.close()
            raise

    async def _connected(self) -> Client:
        """A connection to the first server that takes it. The client's own way to connect again hides why it cannot."""
        options = self._options()
        servers = [*random.sample(self._address.servers, len(self._address.servers)), *self._discovered]
        failed: BaseException = OSError("no server is named")
        for server in servers:
            client = _Client()
            ended = functools.partial(self._ended, client)
            try:
                async with asyncio.timeout(CONNECT + 1):
                    await client.connect(
                        [server],
                        name="wfe events",
                        connect_timeout=CONNECT,
                        allow_reconnect=False,
                        ping_interval=PING,
                        max_outstanding_pings=2,
                        error_cb=client.note,
                        closed_cb=ended,
                        **options,
                    )
            except _ERRORS as error:
                await _closed(client)
                failed = error
                continue
            client.connects = False
            self._discovered = [each.geturl() for each in client.discovered_servers]
            self.largest = min(LARGEST, client.max_payload)
            return client
        raise self._unavailable(failed) from None

    def _options(self) -> dict[str, Any]:
        try:
            return self._address.options()
        except OSError as error:  # of files of certificates
            raise Unavailable(f"the event store {self.shown} cannot be reached: {error}") from error

    async def _make(self, jetstream: JetStreamContext) -> None:
        chosen = self._address
        try:
            config = (await jetstream.stream_info(chosen.name)).config
        except NotFoundError:
            await jetstream.add_stream(
                StreamConfig(
                    name=chosen.name,
                    description="journal of the event store of the workflow engine",
                    subjects=[self._subject],
                    storage=StorageType.FILE,
                    retention=RetentionPolicy.LIMITS,
                    discard=DiscardPolicy.NEW,
                    num_replicas=chosen.replicas or 1,
                    max_bytes=chosen.max_bytes or -1,
                    deny_delete=True,
                )
            )
            return
        if config.subjects != [self._subject] or config.storage != StorageType.FILE:
            raise Conflict(
                f"{self.shown}: the stream {chosen.name} is there and is no event store; give another name"
            )
        wanted = {"num_replicas": chosen.replicas, "max_bytes": chosen.max_bytes}
        changed = {name: each for name, each in wanted.items() if each and each != getattr(config, name)}
        if changed:
            await jetstream.update_stream(config.evolve(**changed))

    async def close(self) -> None:
        client, self._client = self._client, None
        self._closing = True
        self._away.set()
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)
        if client is not None:
            await _closed(client)

    # What the client tells

    async def _ended(self, client: Client) -> None:
        """A connection is over; if it was the one in use, get another."""
        if client is not self._client or self._closing:
            return
        self._client, self._reader = None, None
        self._away.set()
        _log.warning("the event store %s cannot be reached; trying again", self.shown)
        self._returning = asyncio.create_task(self._return(), name="event store connection")

    async def _return(self) -> None:
        pause = 0.05
        while True:
            try:
                client = await self._connected()
                if self._who is not None:
                    await self._subscribe(client, self._who)
                break
            except (Unavailable, *_ERRORS) as error:
                _log.debug("%s: %s", self.shown, error)
                self._why = error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        self._client = client
        self._away.clear()
        _log.info("the event store %s is there again", self.shown)
        self._on_back()

    def _unavailable(self, error: BaseException) -> Unavailable:
        if isinstance(error, Unavailable):
            return error
        description = getattr(error, "description", None)
        reason = description or str(error).removeprefix("nats: ") or "it does not answer in time"
        refused = isinstance(error, APIError) and description
        return Unavailable(
            f"the event store {self.shown} {'does not work' if refused else 'cannot be reached'}: {reason}"
        )

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[JetStreamContext]:
        client = self._client
        if client is None and self._closing:
            raise Unavailable(f"the event store {self.shown} is not open")
        if client is None or not client.is_connected:
            raise self._unavailable(self._why or ConnectionError("the connection was lost"))
        try:
            yield client.jetstream(timeout=ANSWER)
        except (Conflict, Rejected, Unavailable):
            raise
        except _ERRORS as error:
            raise self._unavailable(error) from error

    # The journal

    async def bounds(self) -> Bounds:
        async with self._asking() as jetstream:
            info = await jetstream.stream_info(self._address.name)
        state = info.state
        first = state.first_seq if state.messages else state.last_seq + 1
        return Bounds(f"{self._address.name} {info.created}", first, state.last_seq)

    async def append(self, messages: Sequence[bytes], after: int) -> int:
        async with self._asking() as jetstream:
            sending = [
                asyncio.ensure_future(
                    jetstream.publish(
                        self._subject,
                        message,
                        stream=self._address.name,
                        headers={"Nats-Expected-Last-Sequence": str(after + number)},
                    )
                )
                for number, message in enumerate(messages)
            ]
            try:
                acknowledged = await self._unless_away(asyncio.gather(*sending))
            except APIError as error:
                if error.err_code == _WRONG_LAST:
                    raise Moved from error
                raise
            finally:
                for each in sending:
                    each.cancel()
        return int(acknowledged[-1].seq)

    async def _unless_away(self, sending: asyncio.Future[Any]) -> Any:
        """Give up at once where the connection ends meanwhile."""
        away = asyncio.ensure_future(self._away.wait())
        try:
            await asyncio.wait({sending, away}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            away.cancel()
        if sending.done():
            return sending.result()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        raise nats.errors.ConnectionClosedError

    async def read(self, after: int) -> list[tuple[int, bytes]]:
        async with self._asking() as jetstream:
            last = (await jetstream.stream_info(self._address.name)).state.last_seq
            if last <= after:
                await self._end_reader(jetstream)
                return []
            if self._reader is None or self._reader[0] != after + 1:
                await self._end_reader(jetstream)
                config = ConsumerConfig(
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=after + 1,
                    ack_policy=AckPolicy.NONE,
                    inactive_threshold=30,
                    mem_storage=True,
                    num_replicas=1,
                )
                made = await jetstream.pull_subscribe(self._subject, stream=self._address.name, config=config)
                self._reader = (after + 1, made)
            subscription = self._reader[1]
            found = await subscription.fetch(min(FEW, last - after), timeout=ANSWER)
            messages = [(message.metadata.sequence.stream, message.data) for message in found]
            self._reader = (messages[-1][0] + 1, subscription)
        return messages

    async def _end_reader(self, jetstream: JetStreamContext) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            with contextlib.suppress(*_ERRORS):
                info = await reader[1].consumer_info()
                await reader[1].unsubscribe()
                await jetstream.delete_consumer(self._address.name, info.name)

    async def forget(self, sequence: int) -> None:
        async with self._asking() as jetstream:
            await jetstream.purge_stream(self._address.name, seq=sequence)
            store = await self._snapshots(jetstream)
            for older in await self.snapshots():
                if older < sequence and store is not None:
                    await store.delete(_snapshot(older))

    # Snapshots

    async def _snapshots(self, jetstream: JetStreamContext) -> ObjectStore | None:
        try:
            return await jetstream.object_store(self._bucket)
        except (BucketNotFoundError, NotFoundError):
            return None

    async def snapshots(self) -> list[int]:
        async with self._asking() as jetstream:
            store = await self._snapshots(jetstream)
            if store is None:
                return []
            try:
                there = await store.list()
            except (NotFoundError, ObjectNotFoundError):
                return []
        names = [info.name for info in there if not info.deleted and info.name.startswith("snapshot-")]
        return sorted((int(name.removeprefix("snapshot-")) for name in names), reverse=True)

    async def keep_snapshot(self, sequence: int, file: Path) -> None:
        async with self._asking() as jetstream:
            store = await self._snapshots(jetstream)
            if store is None:
                store = await jetstream.create_object_store(
                    self._bucket,
                    config=ObjectStoreConfig(storage=StorageType.FILE, replicas=self._address.replicas or 1),
                )
            with file.open("rb") as content:
                await store.put(_snapshot(sequence), content)

    async def load_snapshot(self, sequence: int, file: Path) -> None:
        async with self._asking() as jetstream:
            store = await self._snapshots(jetstream)
            if store is None:
                raise Unavailable(f"the event store {self.shown} has lost its snapshots")
            with file.open("wb") as content:
                await store.get(_snapshot(sequence), writeinto=content)

    # Who has it

    async def holder(self) -> str | None:
        client = self._client
        async with self._asking():
            assert client is not None
            try:
                answer = await client.request(self._holder, b"", timeout=HOLDER)
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                return None
        return answer.data.decode("utf-8", "replace")[:200]

    async def answer(self, who: str) -> None:
        client = self._client
        async with self._asking():
            assert client is not None
            await self._subscribe(client, who)
        self._who = who

    async def _subscribe(self, client: Client, who: str) -> None:
        async def tell(message: Any) -> None:
            await message.respond(who.encode())

        await client.subscribe(self._holder, cb=tell)
        await client.flush()


def _snapshot(sequence: int) -> str:
    return f"snapshot-{sequence:020d}"


async def _closed(client: Client) -> None:
    with contextlib.suppress(*_ERRORS):
        await client.close()


def valid(name: str) -> bool:
    """Whether a stream can be called *name*."""
    return _NAME.fullmatch(name) is not None
