"""Payloads as Temporal's UI and command line send them to a codec server: JSON of Protobuf, both ways."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.runtimes.temporal.converter import BUNDLE_ENCODING, DIGEST, is_bundle
from workflow_engine.runtimes.temporal.held import whole
from workflow_engine.runtimes.temporal.payloads.references import claimed

SHOWN = 64 * 1024 * 1024
"""How many bytes one answer has of what was decoded; a person who looks at a run asks for many payloads at once."""


class RemoteCodec:
    """Encodes and decodes as the *converter* of a client does, but for its last step: payloads stay payloads."""

    def __init__(self, converter: DataConverter) -> None:
        self._converter = converter

    async def encode(self, payloads: Sequence[Any]) -> list[dict[str, Any]]:
        """Encrypt *payloads*; what is large is put into the store."""
        read = _read(payloads)
        encoded = await self._converter._encode_payload_sequence(read)
        stored = await self._converter._external_store_payload_sequence(encoded)
        return [MessageToDict(payload) for payload in stored]

    async def decode(self, payloads: Sequence[Any]) -> list[dict[str, Any]]:
        """Decrypt *payloads*, and fetch those that are claims. One that cannot be read says why in its place."""
        left, decoded = SHOWN, []
        for payload in _read(payloads):
            if left <= 0:
                decoded.append(
                    _told("too much to be shown with the rest; `wfe runs show` has inputs and outputs")
                )
                continue
            shown = await self._decoded(payload)
            left -= shown.ByteSize()
            decoded.append(shown)
        return [MessageToDict(payload) for payload in decoded]

    async def _decoded(self, payload: Payload) -> Payload:
        try:
            found = await self._converter._external_retrieve_payload_sequence([payload])
            return _shown(whole((await self._converter._decode_payload_sequence(found))[0]))
        except (Unavailable, Rejected) as error:
            return _told(f"{claimed(payload) or 'it'} cannot be read: {error}")


def _shown(payload: Payload) -> Payload:
    """*payload*, a compressed bundle as the JSON that is in it."""
    if payload.metadata.get("encoding") != BUNDLE_ENCODING.encode() or not is_bundle(payload):
        return payload
    metadata = {**payload.metadata, "encoding": b"json/plain"}
    return Payload(metadata=metadata, data=Bundle(payload.metadata[DIGEST].decode(), payload.data).plain())


def _read(payloads: Sequence[Any]) -> list[Payload]:
    try:
        return [ParseDict(payload, Payload(), ignore_unknown_fields=True) for payload in payloads]
    except (ParseError, ValueError, TypeError, AttributeError) as error:
        raise Rejected("invalid-payload", f"this is no payload of Temporal: {str(error)[:300]}") from None


def _told(why: str) -> Payload:
    import orjson

    return Payload(metadata={"encoding": b"json/plain"}, data=orjson.dumps({"unreadable": why}))
