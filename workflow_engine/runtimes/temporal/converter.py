"""How values travel through Temporal: JSON with the order of keys kept, and bundles as they are.

JSON payloads say ``json/plain``, as every SDK's do, so the UI, the command line and other languages read
them. The stock converter sorts keys, which jq's ``keys_unsorted`` and ``to_entries`` would notice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import orjson
from temporalio import workflow
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    AdvancedJSONEncoder,
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    BinaryProtoPayloadConverter,
    CompositePayloadConverter,
    DataConverter,
    EncodingPayloadConverter,
    JSONPlainPayloadConverter,
    JSONProtoPayloadConverter,
    SerializationContext,
)

from workflow_engine.calls.content import in_memory, loads_any
from workflow_engine.dsl.bundle import SEMANTICS, Bundle
from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal import held
from workflow_engine.runtimes.temporal.held import HELD, Loan
from workflow_engine.runtimes.temporal.loans import BORROWS
from workflow_engine.runtimes.temporal.weights import WEIGHTS

BUNDLE_ENCODING = "binary/wfe-bundle"
SEALED = "binary/wfe-encrypted"
KEY_ID = "encryption-key-id"
"""The metadata of a payload that is encrypted: with which key."""


class KeyMissing(Unavailable):
    """A payload was encrypted with a key that is not here. A run that needs it waits until the key is."""


DIGEST = "digest"
"""The metadata that makes a payload a bundle: reading it costs nothing, so a known bundle is not parsed again."""
SEMANTICS_OF = "semantics"
"""The metadata that says how a run of the bundle asks for things (`dsl.bundle.SEMANTICS`)."""


def is_bundle(payload: Payload) -> bool:
    """Whether *payload* is a bundle, as JSON or compressed."""
    return DIGEST in payload.metadata


def bundle_of(payload: Payload) -> Bundle:
    """The bundle that *payload* is; `UnknownSemantics` for one of a later version, which parks the run."""
    semantics = int(payload.metadata.get(SEMANTICS_OF, b"1"))
    if semantics > SEMANTICS:
        raise UnknownSemantics(
            f"the run began with a later version ({semantics}) than this one ({SEMANTICS})"
        )
    return Bundle(payload.metadata[DIGEST].decode(), payload.data, semantics)


UNREADABLE = (LookupError, RuntimeError, ValueError)
"""What a payload raises that another program has written in its own way. All else comes and goes: bytes are held no
longer, or the store does not answer.
"""


class UnknownSemantics(Exception):
    """A run of a later version of the engine is not for this worker."""


class BundleConverter(EncodingPayloadConverter):
    """A `Bundle` as its own bytes: a small one is JSON, which the Temporal UI shows."""

    @property
    def encoding(self) -> str:
        return BUNDLE_ENCODING

    def to_payload(self, value: Any) -> Payload | None:
        if not isinstance(value, Bundle):
            return None
        encoding = "json/plain" if value.readable else BUNDLE_ENCODING
        metadata = {"encoding": encoding.encode(), DIGEST: value.digest.encode()}
        if value.semantics > 1:
            metadata[SEMANTICS_OF] = str(value.semantics).encode()
        return Payload(metadata=metadata, data=value.data)

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        return bundle_of(payload)


class OrderedJsonConverter(EncodingPayloadConverter):
    """JSON by orjson. What orjson cannot write (an integer beyond 64 bits, an object), the standard library writes.

    From *large* bytes on it is held, and its payload is a token: see `held`. What goes to a call may be lent: `loans`.
    """

    def __init__(self, large: int | None = None, *, lends: bool = False) -> None:
        self._large, self._lends = large, lends

    @property
    def encoding(self) -> str:
        return "json/plain"

    def to_payload(self, value: Any) -> Payload | None:
        data = json_of(value)
        if data is None:
            return _WIDER.to_payload(value)
        if self._large is not None and len(data) >= self._large:
            # A workflow task may send many of them, and values do not change.
            loan = Loan(value, workflow.info().run_id) if self._lends else None
            return HELD.hold(
                data, make=lambda: orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS), loan=loan
            )
        return Payload(metadata={"encoding": b"json/plain"}, data=data)

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        if is_bundle(payload):
            return bundle_of(payload)
        if type_hint in {None, Any, object, dict, list}:
            return loads_any(payload.data)
        return _STOCK.from_payload(payload, type_hint)


def json_of(value: Any) -> bytes | None:
    """*value* as JSON; None where the standard library is to write it."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except (TypeError, orjson.JSONEncodeError):
        return None


def size_of(value: Any) -> int:
    """How many bytes *value* travels as, if it is JSON or a bundle."""
    if isinstance(value, Bundle):
        return len(value.data)
    data = json_of(value)
    if data is None:
        payload = _STOCK.to_payload(value)
        return 0 if payload is None else len(payload.data)
    return len(data)


class HeldConverter(EncodingPayloadConverter):
    """Reads the values that stand behind tokens."""

    @property
    def encoding(self) -> str:
        return held.ENCODING.decode()

    def to_payload(self, value: Any) -> Payload | None:
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        lent = HELD.loan(payload)
        if lent is not None and BORROWS.get():
            return {**lent.value} if type(lent.value) is dict else lent.value
        content = HELD.take(payload)
        if workflow.in_workflow():
            WEIGHTS.add(in_memory(content))
        if type_hint in {None, Any, object, dict, list}:
            return loads_any(content)
        whole = Payload(metadata={"encoding": b"json/plain"}, data=bytes(content))
        return _STOCK.from_payload(whole, type_hint)


class SealedConverter(EncodingPayloadConverter):
    """What is encrypted, in a process that has no keys: it says so."""

    @property
    def encoding(self) -> str:
        return SEALED

    def to_payload(self, value: Any) -> Payload | None:
        return None

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> Any:
        key = payload.metadata.get(KEY_ID, b"").decode(errors="replace")
        raise KeyMissing(
            f"a payload is encrypted with the key {key!r}, and this process has no keys: set WFE_PAYLOAD_KEYS as the "
            "API and the workers have it that wrote it"
        )


class WiderConverter(JSONPlainPayloadConverter):
    """The stock converter, but for the order of keys, which it sorts."""

    def to_payload(self, value: Any) -> Payload | None:
        text = json.dumps(value, cls=AdvancedJSONEncoder, separators=(",", ":"))
        return Payload(metadata={"encoding": b"json/plain"}, data=text.encode())


_STOCK = JSONPlainPayloadConverter()
_WIDER = WiderConverter()


@cache
def _members(large: int | None, lends: bool) -> dict[bytes, EncodingPayloadConverter]:
    """The converters by their encoding. They keep nothing, so all share them: one is made for each task of a run."""
    made = (
        HeldConverter(),
        BinaryNullPayloadConverter(),
        BundleConverter(),
        BinaryPlainPayloadConverter(),
        JSONProtoPayloadConverter(),
        BinaryProtoPayloadConverter(),
        OrderedJsonConverter(large, lends=lends),
        SealedConverter(),
    )
    return {converter.encoding.encode(): converter for converter in made}


class EngineConverter(CompositePayloadConverter):
    """The converters above, before the stock ones. *large* is from how many bytes on values are held."""

    def __init__(self, large: int | None = None, *, lends: bool = False) -> None:
        self._large = large
        self.converters = _members(large, lends)

    def with_context(self, context: SerializationContext) -> EngineConverter:
        """What a run sends to a call may be lent to it; else none of them asks who a value is for."""
        if self._large is None or not isinstance(context, ActivitySerializationContext):
            return self
        return _lending(self._large) if workflow.in_workflow() else self

    def to_payloads(self, values: Sequence[Any]) -> list[Payload]:
        """One payload for each value, in their order; what is plain JSON need not be tried with each of the others."""
        plain = self.converters[_JSON]
        payloads: list[Payload] = []
        for value in values:
            payload = plain.to_payload(value) if type(value) in _PLAIN else None
            payloads += [payload] if payload is not None else super().to_payloads([value])
        return payloads


@cache
def _lending(large: int) -> EngineConverter:
    return EngineConverter(large, lends=True)


_JSON = b"json/plain"
_PLAIN = frozenset({dict, list, str, int, float, bool})

DATA_CONVERTER = DataConverter(payload_converter_class=EngineConverter)
