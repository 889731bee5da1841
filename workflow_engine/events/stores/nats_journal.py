"""A journal in JetStream of NATS: a stream for the entries, and an object store for the snapshots."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    ObjectStoreConfig,
    PersistMode,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, BucketNotFoundError, NotFoundError, ObjectNotFoundError
from nats.js.object_store import ObjectStore

from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.stores.journal import Bounds, Full, Moved, Snapshot, TooLarge
from workflow_engine.events.stores.nats_address import Address
from workflow_engine.events.stores.nats_connection import ANSWER, ERRORS, HEADERS, NatsConnection

FEW = 64
"""How many messages are read together."""
TOGETHER = 32
"""How many are under way at most: a server bounds what it has not stored yet."""
SLOW = 250_000
"""Bytes a second, of a connection so slow that it is taken for broken."""
LEAST = 1024
"""How many bytes a message has to have room for."""
ABANDONED = timedelta(hours=6)
"""After which what is left of a snapshot is not worked on by anybody."""
OVERHEAD = 256
"""Bytes that a server needs for a message besides its content, at most."""
_SNAPSHOT = re.compile(r"snapshot-(\d{20})")
_WRONG_LAST = 10071
"""The error of JetStream for an expected last sequence that is not the last."""
_NO_ROOM = (10002, 10023, 10047, 10077)
"""Those for what an account, a cluster, a server or a stream may not have more of, or what its disk does not take."""


class NatsJournal(NatsConnection):
    """`Journal` in the stream ``NAME`` with the subject ``NAME.journal``, and snapshots in ``NAME-snapshots``."""

    def __init__(self, address: Address, on_back: Callable[[], None]) -> None:
        super().__init__(address, on_back)
        self._subject = f"{address.name}.journal"
        self._bucket = f"{address.name}-snapshots"
        self._chunks = f"OBJ_{self._bucket}"
        self._reader: tuple[object, int, JetStreamContext.PullSubscription] | None = None
        self._room = 0

    async def open(self) -> None:
        await super().open()
        try:
            if self.largest < LEAST:
                raise Conflict(
                    f"{self.shown}: the server takes messages of {self.largest + HEADERS} bytes at most (max_payload)"
                )
            async with self.asking() as jetstream:
                await self._make(jetstream)
        except BaseException:
            await self.close()
            raise

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
            if await self._snapshots(jetstream) is None:
                await self._make_snapshots(jetstream)  # now, when all servers of a cluster are there
            return
        if config.subjects != [self._subject] or config.storage != StorageType.FILE:
            raise Conflict(
                f"{self.shown}: the stream {chosen.name} is there and is no event store; give another name"
            )
        self._require_lasting(config)
        room = config.max_msg_size or 0
        if room > 0:
            self.most = room - HEADERS
            if self.most < LEAST:
                raise Conflict(
                    f"{self.shown}: the stream {chosen.name} takes messages of {room} bytes at most"
                )
        wanted = {"num_replicas": chosen.replicas, "max_bytes": chosen.max_bytes}
        changed = {name: each for name, each in wanted.items() if each and each != getattr(config, name)}
        if changed:
            await jetstream.update_stream(config.evolve(**changed))
        with contextlib.suppress(NotFoundError):
            self._require_lasting((await jetstream.stream_info(self._chunks)).config)

    def _require_lasting(self, config: StreamConfig) -> None:
        """`Conflict` for a stream that whoever made or changed it has told to forget what was acknowledged."""
        bounded = any((each or 0) > 0 for each in (config.max_bytes, config.max_msgs))
        reasons = {
            f"retention={config.retention}": config.retention not in (None, RetentionPolicy.LIMITS),
            f"max_age={config.max_age} s": (config.max_age or 0) > 0,
            f"max_msgs_per_subject={config.max_msgs_per_subject}": (config.max_msgs_per_subject or 0) > 0,
            "discard=old with a limit": config.discard != DiscardPolicy.NEW and bounded,
            "no_ack": bool(config.no_ack),
            "persist_mode=async": config.persist_mode == PersistMode.ASYNC,
        }
        found = [reason for reason, holds in reasons.items() if holds]
        if found:
            raise Conflict(
                f"{self.shown}: the stream {config.name} has {', '.join(found)}, and would lose what was acknowledged; "
                "change that, or give another name"
            )

    # The journal

    async def bounds(self) -> Bounds:
        async with self.asking() as jetstream:
            info = await jetstream.stream_info(self._address.name)
        state = info.state
        first = state.first_seq if state.messages else state.last_seq + 1
        self._room = max(info.config.max_bytes or 0, 0)
        identity = f"{self._address.name} {info.created}"
        return Bounds(identity, first, state.last_seq, state.bytes, self._room)

    async def append(self, messages: Sequence[bytes], after: int) -> int:
        size = sum(map(len, messages)) + OVERHEAD * len(messages)
        taken = 0
        if len(messages) > 1:  # the first would stay in the journal without the last, in the room of others
            taken = (await self.bounds()).size
        if self._room and taken + size > self._room >= 2 * size:
            raise Full(f"the event store {self.shown} has no room for {size} bytes more")
        if self._room and size > self._room // 2:
            raise TooLarge(
                f"the event store {self.shown} has no room: {size} bytes are more than half of max_bytes={self._room}; "
                "raise that"
            )
        for at in range(0, len(messages), TOGETHER):
            after = await self._append(messages[at : at + TOGETHER], after)
        return after

    async def _append(self, messages: Sequence[bytes], after: int) -> int:
        patience = ANSWER + sum(map(len, messages)) / SLOW
        async with self.asking() as jetstream:
            sending = [
                asyncio.ensure_future(
                    jetstream.publish(
                        self._subject,
                        message,
                        timeout=patience,
                        stream=self._address.name,
                        headers={"Nats-Expected-Last-Sequence": str(after + number)},
                    )
                )
                for number, message in enumerate(messages)
            ]
            try:
                acknowledged = await self.unless_away(asyncio.gather(*sending))
            except APIError as error:
                if error.err_code == _WRONG_LAST:
                    raise Moved from error
                if error.err_code in _NO_ROOM:
                    raise Full(f"the event store {self.shown} has no room: {error.description}") from error
                raise
            finally:
                for each in sending:
                    each.cancel()
        return int(acknowledged[-1].seq)

    async def read(self, after: int) -> list[tuple[int, bytes]]:
        async with self.asking() as jetstream:
            last = (await jetstream.stream_info(self._address.name)).state.last_seq
            if last <= after:
                await self._end_reader(jetstream)
                return []
            if self._reader is None or self._reader[:2] != (self._client, after + 1):
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
                self._reader = (self._client, after + 1, made)
            subscription = self._reader[2]
            try:
                found = await subscription.fetch(min(FEW, last - after), timeout=ANSWER)
            except BaseException:
                self._reader = (
                    None  # the server that had it may have ended, or this process stood still for long
                )
                with contextlib.suppress(*ERRORS):
                    await subscription.unsubscribe()
                raise
            messages = [(message.metadata.sequence.stream, message.data) for message in found]
            self._reader = (self._client, messages[-1][0] + 1, subscription)
        return messages

    async def _end_reader(self, jetstream: JetStreamContext) -> None:
        reader, self._reader = self._reader, None
        if reader is not None and reader[0] is self._client:
            with contextlib.suppress(*ERRORS):
                info = await reader[2].consumer_info()
                await reader[2].unsubscribe()
                await jetstream.delete_consumer(self._address.name, info.name)

    async def forget(self, sequence: int) -> None:
        async with self.asking() as jetstream:
            if sequence > 1:  # none would mean all of them
                await jetstream.purge_stream(self._address.name, seq=sequence)
            earlier = [each for each in await self.snapshots() if each.sequence < sequence]
            # The newest before it stays: it fits a copy of the stream that was made just before this.
            await self._remove(jetstream, earlier[1:])

    async def forget_later(self, sequence: int) -> None:
        async with self.asking() as jetstream:
            later = [each for each in await self.snapshots() if each.sequence > sequence]
            await self._remove(jetstream, later)

    async def _remove(self, jetstream: JetStreamContext, snapshots: Sequence[Snapshot]) -> None:
        store = await self._snapshots(jetstream)
        if store is None:
            return
        for each in snapshots:
            name = _snapshot(each.sequence)
            await store.delete(name)
            # which leaves a note that it was there
            await jetstream.purge_stream(self._chunks, subject=self._note_of(name))
        await self._sweep(jetstream, store)

    async def _sweep(self, jetstream: JetStreamContext, store: ObjectStore) -> None:
        """Remove what is left of snapshots that did not become whole, once nobody can be at them any more."""
        prefix = f"$O.{self._bucket}.C."
        there = (await jetstream.stream_info(self._chunks, subjects_filter=f"{prefix}>")).state.subjects or {}
        whole = {info.nuid for info in await store.list()}
        for subject in there:
            if subject.removeprefix(prefix) not in whole:
                newest = await jetstream.get_last_msg(self._chunks, subject)
                if newest.time is not None and datetime.now(UTC) - newest.time > ABANDONED:
                    await jetstream.purge_stream(self._chunks, subject=subject)

    def _note_of(self, name: str) -> str:
        return f"$O.{self._bucket}.M.{base64.urlsafe_b64encode(name.encode()).decode()}"

    # Snapshots

    async def _snapshots(self, jetstream: JetStreamContext) -> ObjectStore | None:
        try:
            return await jetstream.object_store(self._bucket)
        except (BucketNotFoundError, NotFoundError):
            return None

    async def _make_snapshots(self, jetstream: JetStreamContext) -> ObjectStore:
        config = ObjectStoreConfig(storage=StorageType.FILE, replicas=self._address.replicas or 1)
        return await jetstream.create_object_store(self._bucket, config=config)

    async def snapshots(self) -> list[Snapshot]:
        async with self.asking() as jetstream:
            store = await self._snapshots(jetstream)
            if store is None:
                return []
            try:
                there = await store.list()
            except (NotFoundError, ObjectNotFoundError):
                return []
        found = [
            Snapshot(int(name[1]), info.size or 0)
            for info in there
            if not info.deleted and (name := _SNAPSHOT.fullmatch(info.name))
        ]
        return sorted(found, key=lambda snapshot: snapshot.sequence, reverse=True)

    async def keep_snapshot(self, sequence: int, file: Path) -> None:
        async with self.asking() as jetstream:
            store = await self._snapshots(jetstream)
            if store is None:
                store = await self._make_snapshots(jetstream)
            with file.open("rb") as content:
                await store.put(_snapshot(sequence), content)

    async def load_snapshot(self, sequence: int, file: Path) -> None:
        async with self.asking() as jetstream:
            store = await self._snapshots(jetstream)
            if store is None:
                raise Unavailable(f"the event store {self.shown} has lost its snapshots")
            size = (await store.get_info(_snapshot(sequence))).size or 0
            with file.open("wb") as content:
                async with asyncio.timeout(ANSWER + size / SLOW):
                    await store.get(_snapshot(sequence), writeinto=content)


def _snapshot(sequence: int) -> str:
    return f"snapshot-{sequence:020d}"
