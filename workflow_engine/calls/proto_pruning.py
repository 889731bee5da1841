"""Cut a descriptor set down to what one method needs, so that it can travel with each run."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.protobuf.message import Message

_ANY = ".google.protobuf.Any"
_OPTIONS = ("google/protobuf/descriptor.proto", "google/api/")
"""The files whose messages are options."""
_MEANT = frozenset({"packed", "features", "map_entry", "message_set_wire_format", "allow_alias"})
"""The options that change what a message looks like; the others are for those who generate code."""


def pruned(descriptors: FileDescriptorSet, service: str, method: MethodDescriptorProto) -> FileDescriptorSet:
    """The messages that *method* of *service* (its full name) takes and gives, and what is in those, by file.

    A message with an ``Any`` in it may hold every other, so that then all of them stay.
    """
    owners = dict(_owners(descriptors))
    needed = _reached(owners, [method.input_type, method.output_type])
    if _ANY in needed:
        needed |= {top for file, top, _ in owners.values() if not file.startswith(_OPTIONS)}
    kept = FileDescriptorSet()
    for file in descriptors.file:
        made = FileDescriptorProto(name=file.name, package=file.package)
        if file.HasField("syntax"):  # absent it is proto2; empty it is nothing
            made.syntax = file.syntax
        if file.HasField("edition"):
            made.edition = file.edition
        if file.options.HasField("features"):
            made.options.features.CopyFrom(file.options.features)
        prefix = f".{file.package}." if file.package else "."
        made.message_type.extend(item for item in file.message_type if prefix + item.name in needed)
        made.enum_type.extend(item for item in file.enum_type if prefix + item.name in needed)
        for item in file.service:
            if prefix + item.name == f".{service}":
                added = made.service.add(name=item.name)
                added.method.add().CopyFrom(method)
                added.method[0].ClearField("options")
        if made.message_type or made.enum_type or made.service:
            for message in made.message_type:
                _plain(message)
            for enum in made.enum_type:
                _plain_enum(enum)
            kept.file.append(made)
    _depend(kept, owners)
    return kept


_Owners = dict[str, tuple[str, str, DescriptorProto | EnumDescriptorProto]]
"""Full name of a type, nested ones too -> the file, the full name and the descriptor of the top-level type around."""


def _owners(
    descriptors: FileDescriptorSet,
) -> Iterator[tuple[str, tuple[str, str, DescriptorProto | EnumDescriptorProto]]]:
    for file in descriptors.file:
        prefix = f".{file.package}." if file.package else "."
        for enum in file.enum_type:
            yield prefix + enum.name, (file.name, prefix + enum.name, enum)
        for message in file.message_type:
            top = prefix + message.name
            for name in _nested(message, top):
                yield name, (file.name, top, message)


def _nested(message: DescriptorProto, name: str) -> Iterator[str]:
    yield name
    for enum in message.enum_type:
        yield f"{name}.{enum.name}"
    for inner in message.nested_type:
        yield from _nested(inner, f"{name}.{inner.name}")


def _fields(message: DescriptorProto) -> Iterator[FieldDescriptorProto]:
    yield from message.field
    for inner in message.nested_type:
        yield from _fields(inner)


def _reached(owners: _Owners, names: list[str]) -> set[str]:
    """The full names of the top-level types that *names* lead to."""
    reached: set[str] = set()
    waiting = list(names)
    while waiting:
        found = owners.get(waiting.pop())
        if found is None or found[1] in reached:
            continue
        reached.add(found[1])
        if isinstance(found[2], DescriptorProto):
            waiting += [field.type_name for field in _fields(found[2]) if field.type_name]
    return reached


def _plain(message: DescriptorProto) -> None:
    """Take out extensions, and options that change nothing."""
    message.ClearField("extension")
    _strip(message)
    for field in message.field:
        _strip(field)
    for extensions in message.extension_range:
        _strip(extensions)
    for oneof in message.oneof_decl:
        _strip(oneof)
    for enum in message.enum_type:
        _plain_enum(enum)
    for inner in message.nested_type:
        _plain(inner)


def _plain_enum(enum: EnumDescriptorProto) -> None:
    _strip(enum)
    for value in enum.value:
        _strip(value)


def _strip(described: Message) -> None:
    options = described.options  # type: ignore[attr-defined]
    for field, _ in options.ListFields():
        if field.name not in _MEANT:
            options.ClearField(field.name) if not field.is_extension else options.ClearExtension(field)
    options.DiscardUnknownFields()
    if not options.ListFields():
        described.ClearField("options")


def _depend(kept: FileDescriptorSet, owners: _Owners) -> None:
    """Say of each file which others it needs, in the order in which they come."""
    order = [file.name for file in kept.file]
    for file in kept.file:
        names = [field.type_name for message in file.message_type for field in _fields(message)]
        names += [
            name for item in file.service for rpc in item.method for name in (rpc.input_type, rpc.output_type)
        ]
        needed = {owners[name][0] for name in names if name in owners} - {file.name}
        file.dependency.extend(name for name in order if name in needed)
