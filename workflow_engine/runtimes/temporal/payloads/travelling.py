"""`Payloads`: the whole way of a value, as the settings want it, for whoever has a client of Temporal."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from temporalio.api.common.v1 import Payload
from temporalio.common import RawValue
from temporalio.converter import (
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    ExternalStorage,
    StorageDriverSelectContext,
)

from workflow_engine.errors import fault
from workflow_engine.runtimes.temporal import inside
from workflow_engine.runtimes.temporal.converter import DIGEST, EngineConverter, KeyMissing, json_of
from workflow_engine.runtimes.temporal.held import HELD, is_token
from workflow_engine.runtimes.temporal.payloads.driver import JSON, REMEMBERED, ClaimCheck
from workflow_engine.runtimes.temporal.payloads.encryption import Encryption
from workflow_engine.runtimes.temporal.payloads.keys import Keys
from workflow_engine.runtimes.temporal.payloads.references import claimed, is_reference, size_of
from workflow_engine.runtimes.temporal.payloads.store import Store, StoreUnavailable
from workflow_engine.runtimes.temporal.payloads.stores.nowhere import Nowhere

KIB = 1024
THRESHOLD = 128 * KIB
LARGEST = 64 * KIB * KIB
INLINE = 2 * KIB * KIB - 64 * KIB
"""The largest payload that Temporal takes, in bytes, with room for what goes with it."""
BUNDLES = 512 * KIB
"""A bundle up to this size is in the history of each of its runs, which is whole then without the store."""
ROOM = 1024 * KIB
"""How much a workflow task may send that is not in the store: with more, `SMALL` payloads go there too, for the server
takes 4 MB in one message."""
SMALL = KIB
_LONGEST_PAUSE = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Payloads:
    """How values travel: from *threshold* bytes on by claim in the *store*, and encrypted if there are *keys*.

    A result of a call with over *largest* bytes is refused. The *namespace* is that of Temporal.
    """

    store: Store | None = None
    keys: Keys | None = None
    namespace: str = "default"
    threshold: int = THRESHOLD
    largest: int = LARGEST

    def converter(self) -> DataConverter:
        """The data converter of a client and its workers."""
        encryption = None if self.keys is None else Encryption(self.keys, self.threshold)
        kind = EngineConverter if self.store is None else _holding(self.threshold)
        converter = Travelling(payload_converter_class=kind, external_storage=self._storage(encryption))
        if encryption is None:
            return converter
        return dataclasses.replace(
            converter,
            payload_codec=encryption,
            failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
        )

    def _storage(self, encryption: Encryption | None) -> ExternalStorage:
        if self.store is None:
            return Sized([ClaimCheck(Nowhere(), self.namespace)], payload_size_threshold=INLINE)
        driver = ClaimCheck(self.store, self.namespace, max(REMEMBERED, 2 * self.largest), encryption)
        choice = Choice(driver, self.threshold)
        return Sized([driver], driver_selector=choice, payload_size_threshold=0)

    def keeper(self, converter: DataConverter) -> Keeper:
        """What an activity gives its result to, before it ends (see `kept`)."""
        return Keeper(self, converter)

    async def kept(self, value: Any, converter: DataConverter) -> Any:
        """*value* as an activity is to give it: a claim, if it is large, of what is in the store by then.

        While the store does not answer, it is tried again: what was done must not be done again for that. A fault
        when it is too large.
        """
        if value is None:
            return None
        content = json_of(value)
        if content is None:
            content = converter.payload_converter.to_payloads([value])[0].data
        size = len(content)
        most = self.largest if self.store is not None else INLINE
        if size > most:
            raise too_large(size, most, self.store is not None)
        if size < self.threshold or self.store is None:
            return RawValue(Payload(metadata={"encoding": JSON}, data=content))
        del value
        pause = 1.0
        while True:
            try:
                [claim] = await converter.encode([RawValue(HELD.hold(content))])
                return RawValue(claim)
            except StoreUnavailable as error:
                _log.error("the result of a call waits for the payload store: %s", error)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)


@dataclass(frozen=True, slots=True)
class Choice:
    """Says which values go to the store of the *driver*: none that has fewer than `least` bytes."""

    driver: ClaimCheck
    threshold: int

    @property
    def least(self) -> int:
        return min(SMALL, self.threshold)

    def __call__(self, _: StorageDriverSelectContext, payload: Payload) -> ClaimCheck | None:
        if is_token(payload):
            return self.driver
        return self.driver if payload.ByteSize() >= self.least and _leaves(payload, self.threshold) else None


@dataclass(frozen=True, slots=True)
class Keeper:
    """`Payloads.kept` with its converter."""

    payloads: Payloads
    converter: DataConverter

    @property
    def stores(self) -> bool:
        """Whether there is a store."""
        return self.payloads.store is not None

    def __call__(self, value: Any) -> Awaitable[Any]:
        return self.payloads.kept(value, self.converter)


class Unread(list[Any]):
    """Values that cannot be read now: who looks at them gets the *error*."""

    def __init__(self, error: KeyMissing) -> None:
        super().__init__()
        self._error = error

    def _refuse(self, *_: object) -> NoReturn:
        raise self._error

    __iter__ = __getitem__ = __len__ = __bool__ = _refuse


class Sized(ExternalStorage):
    """Has Temporal told how much is in the store, where the SDK saw no more than the token of a value."""

    async def _store_payload(self, payload: Payload) -> Payload:
        return _sized(await super()._store_payload(payload))

    async def _store_payload_sequence(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [_sized(each) for each in await super()._store_payload_sequence(payloads)]


def _sized(payload: Payload) -> Payload:
    if len(payload.external_payloads) == 1 and claimed(payload) is not None:
        payload.external_payloads[0].size_bytes = size_of(payload)
    return payload


class Travelling(DataConverter):
    """Leaves a claim as it is to who wants a raw value: it is fetched when there is room for it.

    What nobody says the type of may be how far an activity had come: where the key of that is missing, the SDK would
    take the activity for failed for good, and its run with it. Whoever uses it is refused, and tried again.
    """

    async def decode(self, payloads: Sequence[Payload], type_hints: list[type] | None = None) -> list[Any]:
        if type_hints is None:
            try:
                return await super().decode(payloads, type_hints)
            except KeyMissing as error:
                return Unread(error)
        if RawValue not in type_hints or not any(map(is_reference, payloads)):
            return await super().decode(payloads, type_hints)
        decoded: list[Any] = []
        for payload, hint in zip(payloads, type_hints, strict=True):
            raw = hint is RawValue and is_reference(payload)
            decoded += [RawValue(payload)] if raw else await super().decode([payload], [hint])
        return decoded


def _holding(threshold: int) -> type[EngineConverter]:
    class Holding(EngineConverter):
        """Holds values of *threshold* bytes and more: the SDK wants a class."""

        def __init__(self) -> None:
            super().__init__(threshold)

    return Holding


def too_large(size: int, most: int, stored: bool) -> Exception:
    """The fault of a value that is larger than values may be."""
    setting = "WFE_PAYLOAD_LARGEST" if stored else "without WFE_PAYLOAD_STORE"
    return fault(
        "runtime", f"the value has {size:,} bytes, and at most {most:,} may travel ({setting})", status=413
    )


def _leaves(payload: Payload, threshold: int) -> bool:
    """Whether *payload* goes to the store: it is large, or what is sent with it has no room for it."""
    size = payload.ByteSize()
    if size >= max(threshold, BUNDLES if DIGEST in payload.metadata else 0):
        return True
    if DIGEST in payload.metadata:
        return False
    # The SDK counts for each workflow task what it stores; what it does not store is counted beside that.
    task = inside.stored_of_task()
    if task is None:
        return False
    sent = vars(task).setdefault("wfe_sent", 0) + size
    if sent > ROOM:
        return True
    vars(task)["wfe_sent"] = sent
    return False
