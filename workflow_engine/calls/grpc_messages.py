"""Messages of gRPC: from JSON and back by the canonical mapping of Protocol Buffers, within bounds."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, EncodeError, Message

from workflow_engine.calls.content import kind
from workflow_engine.calls.openapi_document import suggestion
from workflow_engine.calls.url import bounded
from workflow_engine.errors import Fault, fault
from workflow_engine.values import Json, JsonObject, pointer

MAX_VALUES = 1_000_000
"""How many values one message may become: two bytes on the wire can be an object with a hundred members."""
_OWN_JSON = "google.protobuf."
"""The package of the types that have a JSON form of their own, such as a Timestamp."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method, with the classes of its messages; *pool* knows what an ``Any`` in them may hold."""

    service: str
    name: str
    takes: type[Message]
    gives: type[Message]
    takes_stream: bool
    gives_stream: bool
    pool: DescriptorPool

    @property
    def path(self) -> str:
        return f"/{self.service}/{self.name}"


def method_of(pinned: JsonObject) -> Method:
    """The method that the bundle has; a configuration fault where that is damaged."""
    try:
        return _method(str(pinned["service"]), str(pinned["method"]), str(pinned["descriptors"]))
    except (KeyError, TypeError, ValueError, DecodeError) as error:
        raise fault(
            "configuration", f"what the bundle has of the proto is damaged: {bounded(str(error), 200)}"
        ) from None


@lru_cache(maxsize=64)
def _method(service: str, method: str, descriptors: str) -> Method:
    try:
        content = base64.b64decode(descriptors, validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None
    pool = DescriptorPool()
    for file in FileDescriptorSet.FromString(content).file:
        pool.AddSerializedFile(file.SerializeToString())
    found = pool.FindServiceByName(service).FindMethodByName(method)
    return Method(
        service,
        method,
        message_factory.GetMessageClass(found.input_type),
        message_factory.GetMessageClass(found.output_type),
        found.client_streaming,
        found.server_streaming,
        pool,
    )


def written(method: Method, value: Json, path: str) -> bytes:
    """The bytes of the message that *value* is; *path* is its place in the arguments, for faults.

    Members may have their JSON name or that of the proto; null is the default, as if it were absent. A validation
    fault says where a member is that the message does not have, or that does not fit.
    """
    if not isinstance(value, dict) and not method.takes.DESCRIPTOR.full_name.startswith(_OWN_JSON):
        raise fault("validation", f"{path} must be an object, not {kind(value)}")
    try:
        message = json_format.ParseDict(value, method.takes(), descriptor_pool=method.pool)  # type: ignore[arg-type]
        return message.SerializeToString()
    except EncodeError as error:
        raise fault("validation", f"{path}: {bounded(str(error), 300)}") from None
    except (json_format.ParseError, ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise _misfit(method, value, path, error) from None


def read(method: Method, content: bytes, limit: int) -> tuple[Json, int]:
    """The JSON of the message *content*, and its length as text.

    Names are in lowerCamelCase, 64-bit integers are strings, bytes base64. Fields with a default value are there,
    unless the message tells an absent one apart. A communication fault where it is no message of its type, or where it
    would be larger than *limit* bytes.
    """
    what = f"the answer is no {method.gives.DESCRIPTOR.full_name}"
    try:
        message = method.gives.FromString(content)
    except DecodeError:
        raise fault("communication", f"{what} in wire format") from None
    _weigh(message, MAX_VALUES)
    try:
        value: Json = json_format.MessageToDict(
            message, always_print_fields_with_no_presence=True, descriptor_pool=method.pool
        )
        size = len(orjson.dumps(value))
    except (json_format.Error, TypeError, ValueError, RecursionError) as error:
        raise fault("communication", f"{what} that can be JSON: {bounded(str(error), 200)}") from None
    if size > limit:
        raise fault("communication", f"the answer is larger than {limit} bytes, the limit for one response")
    return value, size


def _weigh(message: Any, left: int) -> int:
    """How many values of *left* remain after those of *message*; a communication fault when none do."""
    left -= 1 + len(message.DESCRIPTOR.fields)
    if left < 0:
        raise fault("communication", f"the answer has more than {MAX_VALUES:,} values")
    for field, value in message.ListFields():
        if field.message_type is None:
            left -= len(value) if field.is_repeated else 0
        elif not field.is_repeated:
            left = _weigh(value, left)
        elif field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"].message_type
            left -= len(value)
            for key in value if inner is not None else ():
                left = _weigh(value[key], left)
        else:
            for item in value:
                left = _weigh(item, left)
    if left < 0:
        raise fault("communication", f"the answer has more than {MAX_VALUES:,} values")
    return left


# --- what does not fit ----------------------------------------------------------------------------------------


def _misfit(method: Method, value: Json, path: str, error: Exception) -> Fault:
    """Why *value* is no message, with the place of the first member that is to blame."""
    for place, reason in _blamed(method.takes.DESCRIPTOR, value, path, method.pool):
        return fault("validation", f"{place}: {reason}")
    return fault("validation", f"{path}: {_reason(error)}")


def _blamed(descriptor: Any, value: Json, path: str, pool: DescriptorPool) -> Iterator[tuple[str, str]]:
    if descriptor.full_name.startswith(_OWN_JSON):
        yield from _blamed_alone(descriptor, value, path, pool)
        return
    if not isinstance(value, dict):
        yield path, f"it must be an object, not {kind(value)}"
        return
    fields = {name: field for field in descriptor.fields for name in (field.name, field.json_name)}
    for name, member in value.items():
        place = path + pointer(name)
        field = fields.get(name)
        if field is None:
            close = suggestion(name, [field.json_name for field in descriptor.fields])
            yield place, f"{descriptor.full_name} has no such field{close}"
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            yield from _blamed_map(field, member, place, pool)
        elif field.message_type is not None and member is not None:
            if not field.is_repeated:
                yield from _blamed(field.message_type, member, place, pool)
            elif not isinstance(member, list):
                yield place, f"it must be an array, not {kind(member)}"
            else:
                for number, item in enumerate(member):
                    yield from _blamed(field.message_type, item, f"{place}/{number}", pool)
        else:
            yield from _blamed_alone(descriptor, {name: member}, place, pool)


def _blamed_map(field: Any, member: Json, place: str, pool: DescriptorPool) -> Iterator[tuple[str, str]]:
    inner = field.message_type.fields_by_name["value"].message_type
    if isinstance(member, dict):
        for key, item in member.items():
            if inner is not None:
                yield from _blamed(inner, item, place + pointer(key), pool)
            else:
                yield from _blamed_alone(
                    field.containing_type, {field.name: {key: item}}, place + pointer(key), pool
                )
    elif member is not None:
        yield place, f"it must be an object, not {kind(member)}"


def _blamed_alone(descriptor: Any, value: Any, place: str, pool: DescriptorPool) -> Iterator[tuple[str, str]]:
    try:
        json_format.ParseDict(value, message_factory.GetMessageClass(descriptor)(), descriptor_pool=pool)
    except Exception as error:  # noqa: BLE001 - whatever it is, this member is to blame
        yield place, _reason(error)


def _reason(error: Exception) -> str:
    """What the library says, without its own idea of the place."""
    said = str(error).partition("\n")[0]
    if isinstance(error, json_format.ParseError):
        while said.startswith("Failed to parse ") and " field: " in said:
            said = said.partition(" field: ")[2]
    return bounded(said.rstrip("."), 300)
