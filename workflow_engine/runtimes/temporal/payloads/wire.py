"""A payload as the bytes that Protobuf makes of it, written and read without a copy of its data.

Only what large payloads have: metadata and data. Whatever else one has makes it `Unusual`, and the library reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

from temporalio.api.common.v1 import Payload

from workflow_engine.runtimes.temporal.held import Content

_METADATA, _DATA = 0x0A, 0x12
"""The tags of ``map<string, bytes> metadata = 1`` and ``bytes data = 2``; of their key and value likewise."""


class Unusual(Exception):
    """These bytes are to be read by the library."""


def head(metadata: Mapping[str, bytes], size: int) -> bytes:
    """What stands before *size* bytes of data in a payload with this *metadata*, as ``deterministic`` writes it."""
    written: bytes = Payload(metadata=metadata).SerializeToString(deterministic=True)
    return written + bytes([_DATA]) + _varint(size)


def opened(content: Content) -> tuple[dict[str, bytes], memoryview]:
    """The metadata and the data of the payload that *content* is."""
    view = memoryview(content)
    metadata: dict[str, bytes] = {}
    at = 0
    while at < len(view):
        tag = view[at]
        size, at = _length(view, at + 1)
        part = view[at : at + size]
        if len(part) < size:
            raise Unusual
        at += size
        if tag == _METADATA:
            key, value = _entry(part)
            metadata[key] = value
        elif tag == _DATA and at == len(view):
            return metadata, part
        else:
            raise Unusual
    return metadata, memoryview(b"")


def _entry(view: memoryview) -> tuple[str, bytes]:
    parts = {_METADATA: b"", _DATA: b""}
    at = 0
    while at < len(view):
        tag = view[at]
        size, at = _length(view, at + 1)
        if tag not in parts:
            raise Unusual
        parts[tag] = bytes(view[at : at + size])
        at += size
    return parts[_METADATA].decode(), parts[_DATA]


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _length(view: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(view) and shift < 63:
        byte = view[at]
        number |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return number, at
    raise Unusual
