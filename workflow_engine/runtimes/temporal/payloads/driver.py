"""Claim check: the SDK's external storage, on our store.

The key of an object is the digest of what is in it. So what is read is checked, a value that is passed on is stored
once, and storing it again, after a crash or by another worker, changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from workflow_engine.calls.content import in_memory
from workflow_engine.calls.flow import SHARE, Flow
from workflow_engine.runtimes.temporal.held import HELD, Content, Loan, is_token
from workflow_engine.runtimes.temporal.loans import BORROWS, LOANS, NOTHING
from workflow_engine.runtimes.temporal.payloads import wire
from workflow_engine.runtimes.temporal.payloads.encryption import ENCODING, Encryption
from workflow_engine.runtimes.temporal.payloads.references import DRIVER, KEY, MOST, SIZE, WEIGHT, number_of
from workflow_engine.runtimes.temporal.payloads.store import (
    YOUNG,
    Store,
    StoreUnavailable,
    ValueLost,
    checked,
    key_of,
)

T = TypeVar("T")

PAUSES = (0.2, 0.5, 1.0)
"""Seconds between attempts. A workflow task that still fails then is tried again by the server."""
REMEMBERED = 64 * 1024 * 1024
"""How many bytes of what was stored or read last are kept: an activity on the same worker reads what the run wrote, and
a workflow task that took too long for all that it had to read goes on from there.
"""
KEPT = 30.0
"""For so many seconds after it was wanted last: a worker that has nothing to do gives its memory back."""
BRIEF = 8 * 1024 * 1024
SLOW = 0.5
"""What has over `BRIEF` bytes is kept only where it took over `SLOW` seconds to read: else it is read as fast again."""
HOLD = 64 * 1024
"""From so many bytes on a value is held on its way (`held`), and not copied with each message."""
JSON = b"json/plain"
_MOST_KNOWN = 10_000
_ELSEWHERE = 64 * 1024


class ClaimCheck(StorageDriver):
    """Stores payloads by content, for one Temporal namespace; the large ones encrypted if there is an *encryption*."""

    def __init__(
        self,
        store: Store,
        namespace: str,
        remembered: int = REMEMBERED,
        encryption: Encryption | None = None,
    ) -> None:
        self._store, self._namespace, self._encryption = store, namespace, encryption
        self._known: OrderedDict[str, float] = OrderedDict()
        self._recent = Recent(remembered)
        self._flow = Flow()

    def name(self) -> str:
        return DRIVER

    def type(self) -> str:
        return "wfe.claim-check"

    async def store(
        self, context: StorageDriverStoreContext, payloads: Sequence[Payload]
    ) -> list[StorageDriverClaim]:
        return await asyncio.gather(*(self.put(payload) for payload in payloads))

    async def put(self, payload: Payload) -> StorageDriverClaim:
        """Store one payload; raises `StoreUnavailable` after a few attempts."""
        size = HELD.size(payload) if is_token(payload) else payload.ByteSize()
        loan = HELD.loan(payload) if is_token(payload) else None
        async with self._flow.of(size):
            pieces, digest, weight = await _aside(size, lambda: self._written(payload))
            key = key_of(self._namespace, digest)
            if time.monotonic() - self._known.get(key, float("-inf")) > YOUNG.total_seconds() / 2:
                await _patiently(lambda: self._store.put(key, *pieces))
                self._known[key] = time.monotonic()
                self._known.move_to_end(key)
                while len(self._known) > _MOST_KNOWN:
                    self._known.popitem(last=False)
            size = sum(len(piece) for piece in pieces)
            if size <= BRIEF:
                self._recent.remember(key, pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if loan is not None:
            LOANS.lend(key, loan.value, loan.run)
        return StorageDriverClaim({KEY: key, SIZE: str(size)} | ({WEIGHT: str(weight)} if weight else {}))

    def _written(self, payload: Payload) -> tuple[Sequence[Content], str, int]:
        """What is stored of *payload*, or of what it is a token of, its digest, and what it takes parsed if known."""
        weight = 0
        if not is_token(payload):
            pieces: Sequence[Content] = [payload.SerializeToString(deterministic=True)]
        else:
            content = HELD.take(payload)
            weight = in_memory(content)
            pieces = [wire.head({"encoding": JSON}, len(content)), content]
            if self._encryption is not None:
                pieces = self._encryption.sealed(pieces)
        digest = hashlib.sha256()
        for piece in pieces:
            digest.update(piece)
        return pieces, digest.hexdigest(), weight

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        return await asyncio.gather(*(self._retrieved(claim) for claim in claims))

    async def _retrieved(self, claim: StorageDriverClaim) -> Payload:
        key, size = checked(claim.claim_data.get(KEY, "")), number_of(claim.claim_data, SIZE)
        if BORROWS.get() and (lent := LOANS.borrow(key)) is not NOTHING:
            return HELD.hold(None, make=lambda: self._again(key), loan=Loan(lent, ""))
        share = SHARE.get()
        if share is not None and size >= HOLD:
            await share.take(size + (number_of(claim.claim_data, WEIGHT) or size))
        async with self._flow.of(size):
            data = await self._object(key)
            if len(data) < HOLD:
                return Payload.FromString(bytes(data))
            held = await _aside(len(data), lambda: self._opened(data))
            return held if isinstance(held, Payload) else HELD.hold(held, lambda: self._again(key))

    async def _object(self, key: str) -> Content:
        data = self._recent.get(key)
        if data is None:
            began = time.monotonic()
            data = await _patiently(lambda: self._read(key))
            if len(data) <= BRIEF or time.monotonic() - began > SLOW:
                self._recent.remember(key, data)
        return data

    def _opened(self, data: Content) -> Payload | Content:
        """The JSON in what is stored, decrypted; a payload where there is something else in it."""
        try:
            metadata, content = wire.opened(data)
            if metadata.get("encoding") == ENCODING and self._encryption is not None:
                data = self._encryption.unsealed(metadata, content)
                metadata, content = wire.opened(data)
            if metadata == {"encoding": JSON}:
                return content
        except wire.Unusual:
            pass
        return Payload.FromString(bytes(data))

    def _again(self, key: str) -> Content:
        """What `_opened` gives, once more; for whatever thread wants it, which may have a loop of its own."""
        with ThreadPoolExecutor(1) as aside:
            data = aside.submit(lambda: asyncio.run(self._read(key))).result()
        opened = self._opened(data)
        return opened.data if isinstance(opened, Payload) else opened

    async def _read(self, key: str) -> Content:
        data = await self._store.get(key, MOST)
        if data is None:
            raise ValueLost(
                f"the payload store {self._store.url} has no object {key}: it was deleted, or this is another "
                "store than the one it was written to"
            )
        if await _aside(len(data), lambda: hashlib.sha256(data).hexdigest()) != key.rpartition("/")[2]:
            raise ValueLost(f"the object {key} of the payload store {self._store.url} is damaged")
        return data


class Recent:
    """What was stored or read last, by key, of *most* bytes in all; each for `KEPT` seconds."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most
        self._entries: OrderedDict[str, tuple[Content, float]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def get(self, key: str) -> Content | None:
        found = self._entries.get(key)
        if found is None:
            return None
        self._entries.move_to_end(key)
        self._entries[key] = (found[0], time.monotonic())
        return found[0]

    def remember(self, key: str, data: Content) -> None:
        self._forget(key)
        if len(data) > self._most // 2:
            return
        self._entries[key] = (data, time.monotonic())
        self._left -= len(data)
        while self._left < 0:
            self._forget(next(iter(self._entries)))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(KEPT, self._clear)

    def _forget(self, key: str) -> None:
        found = self._entries.pop(key, None)
        if found is not None:
            self._left += len(found[0])

    def _clear(self) -> None:
        self._timer = None
        before = time.monotonic() - KEPT
        for key in [key for key, (_, at) in self._entries.items() if at <= before]:
            self._forget(key)
        if self._entries:
            self._timer = asyncio.get_running_loop().call_later(KEPT, self._clear)


async def _aside(size: int, work: Callable[[], T]) -> T:
    """Do *work* on *size* bytes: in another thread if they are many."""
    return work() if size < _ELSEWHERE else await asyncio.to_thread(work)


async def _patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    for pause in PAUSES:
        try:
            return await attempt()
        except (StoreUnavailable, ValueLost):
            await asyncio.sleep(pause)
    return await attempt()
