"""The claim that stands in a history in the place of a large value: the SDK's own form of it."""

from __future__ import annotations

from collections.abc import Mapping

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
WEIGHT = "weight"
"""The member that says about how many bytes of memory what is in it takes when it is parsed, where that is JSON."""
MOST = 1024 * 1024 * 1024
"""No object is larger, in bytes; what a claim says of one is not believed beyond that."""
MOST_PARSED = 64 * MOST


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
    return number_of(_claim(payload), SIZE) if is_reference(payload) else len(payload.data)


def weight_of(payload: Payload) -> int:
    """How many bytes of memory what the claim *payload* stands for takes; of an older claim, what its text has."""
    claim = _claim(payload)
    return number_of(claim, WEIGHT) or number_of(claim, SIZE)


def _claim(payload: Payload) -> Mapping[str, str]:
    return _CONVERTER.from_payload(payload, ExternalStorageReference).claim_data  # type: ignore[no-any-return]


def number_of(claim: Mapping[str, str], member: str) -> int:
    """How many bytes *claim* says in its *member*, `SIZE` or `WEIGHT`; 0 where it does not say."""
    found = claim.get(member, "")
    return min(int(found), MOST_PARSED if member == WEIGHT else MOST) if found.isdecimal() else 0
