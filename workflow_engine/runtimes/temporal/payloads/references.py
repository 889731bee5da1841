"""The claim that stands in a history in the place of a large value: the SDK's own form of it."""

from __future__ import annotations

from temporalio.api.common.v1 import Payload
from temporalio.api.sdk.v1.external_storage_pb2 import ExternalStorageReference
from temporalio.converter import JSONProtoPayloadConverter

_TYPE = ExternalStorageReference.DESCRIPTOR.full_name.encode()
_CONVERTER = JSONProtoPayloadConverter()
DRIVER = "wfe"
"""The name of our store in a claim, wherever it is: it may move."""
KEY = "key"
"""The member of a claim that says what the object is called."""
SIZE = "size"
"""The member that says how many bytes it has."""
MOST = 1024 * 1024 * 1024
"""No object is larger, in bytes; what a claim says of one is not believed beyond that."""


def is_reference(payload: Payload) -> bool:
    """Whether *payload* is a claim, of whatever store."""
    metadata = payload.metadata
    return metadata.get("encoding") == b"json/protobuf" and metadata.get("messageType") == _TYPE


def claimed(payload: Payload) -> str | None:
    """The key of the object that *payload* is a claim of; None when it is none, or of another store."""
    if not is_reference(payload):
        return None
    reference = _CONVERTER.from_payload(payload, ExternalStorageReference)
    return reference.claim_data.get(KEY) if reference.driver_name == DRIVER else None


def size_of(payload: Payload) -> int:
    """How many bytes *payload* has, where it is a claim those of the object, as far as it says."""
    if not is_reference(payload):
        return len(payload.data)
    size = _CONVERTER.from_payload(payload, ExternalStorageReference).claim_data.get(SIZE, "")
    return min(int(size), MOST) if size.isdecimal() else 0
