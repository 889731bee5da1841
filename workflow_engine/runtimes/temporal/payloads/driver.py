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
from typing import TypeVar

from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    StorageDriver,
    StorageDriverClaim,
    StorageDriverRetrieveContext,
    StorageDriverStoreContext,
)

from workflow_engine.runtimes.temporal.payloads.references import DRIVER, KEY
from workflow_engine.runtimes.temporal.payloads.store import (
    MOST,
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
_MOST_KNOWN = 10_000
_ELSEWHERE = 64 * 1024


class ClaimCheck(StorageDriver):
    """Stores payloads by content, for one Temporal namespace."""

    def __init__(self, store: Store, namespace: str, remembered: int = REMEMBERED) -> None:
        self._store, self._namespace = store, namespace
        self._known: OrderedDict[str, float] = OrderedDict()
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._room = self._left = remembered

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
        data, digest = await _aside(payload.ByteSize(), lambda: _serialized(payload))
        key = key_of(self._namespace, digest)
        if time.monotonic() - self._known.get(key, float("-inf")) > YOUNG.total_seconds() / 2:
            await _patiently(lambda: self._store.put(key, data))
            self._known[key] = time.monotonic()
            self._known.move_to_end(key)
            while len(self._known) > _MOST_KNOWN:
                self._known.popitem(last=False)
        self._remember(key, data)
        return StorageDriverClaim({KEY: key, "size": str(len(data))})

    async def retrieve(
        self, context: StorageDriverRetrieveContext, claims: Sequence[StorageDriverClaim]
    ) -> list[Payload]:
        return await asyncio.gather(*(self._retrieved(claim) for claim in claims))

    async def _retrieved(self, claim: StorageDriverClaim) -> Payload:
        key = checked(claim.claim_data.get(KEY, ""))
        data = self._recent.get(key)
        if data is None:
            data = await _patiently(lambda: self._read(key))
            self._remember(key, data)
        else:
            self._recent.move_to_end(key)
        return await _aside(len(data), lambda: Payload.FromString(data))

    async def _read(self, key: str) -> bytes:
        data = await self._store.get(key, MOST)
        if data is None:
            raise ValueLost(
                f"the payload store {self._store.url} has no object {key}: it was deleted, or this is another "
                "store than the one it was written to"
            )
        if await _aside(len(data), lambda: hashlib.sha256(data).hexdigest()) != key.rpartition("/")[2]:
            raise ValueLost(f"the object {key} of the payload store {self._store.url} is damaged")
        return data

    def _remember(self, key: str, data: bytes) -> None:
        before = self._recent.pop(key, None)
        self._left += 0 if before is None else len(before)
        if len(data) > self._room // 2:
            return
        self._recent[key] = data
        self._left -= len(data)
        while self._left < 0:
            self._left += len(self._recent.popitem(last=False)[1])


def _serialized(payload: Payload) -> tuple[bytes, str]:
    data = payload.SerializeToString(deterministic=True)
    return data, hashlib.sha256(data).hexdigest()


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
