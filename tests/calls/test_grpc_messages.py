"""JSON to messages and back, whatever they are: the canonical mapping holds, and nothing but a fault is raised."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.standins.greeter import pinned
from workflow_engine.calls.grpc_messages import method_of, read, written
from workflow_engine.errors import ERRORS, Fault

METHOD = method_of(asyncio.run(pinned("Echo")))
LIMIT = 8 * 1024 * 1024

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
int64 = st.integers(-(2**63), 2**63 - 1)
known = {
    "displayName": texts,
    "big": int64.map(str),
    "small": st.integers(0, 2**32 - 1),
    "ratio": st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["NaN", "Infinity", "-Infinity"]),
    "flag": st.booleans(),
    "data": st.binary(max_size=10).map(lambda data: base64.b64encode(data).decode()),
    "color": st.sampled_from(["NONE", "RED"]),
    "counts": st.dictionaries(texts, int64.map(str), max_size=3),
    "maybe": st.integers(-(2**31), 2**31 - 1),
    "free": st.dictionaries(
        texts, st.none() | st.booleans() | texts | st.lists(texts, max_size=2), max_size=3
    ),
    "boxed": int64.map(str),
}
messages = st.recursive(
    st.fixed_dictionaries({}, optional=known),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            **known,
            "children": st.lists(inner, max_size=3),
            "named": st.dictionaries(texts, inner, max_size=2),
        },
    ),
    max_leaves=6,
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*known, "children", "x"]), inner)
    ),
    max_leaves=10,
)


def canonical(value: dict) -> dict:
    """What the library's own printer makes of what its own parser makes of *value*."""
    message = json_format.ParseDict(value, METHOD.takes(), descriptor_pool=METHOD.pool)
    return json_format.MessageToDict(
        message, always_print_fields_with_no_presence=True, descriptor_pool=METHOD.pool
    )


def raised(work: Callable[[], object]) -> Fault | None:
    """The fault that *work* ends with; None where it ends well. Anything else is a failure."""
    try:
        work()
    except Fault as fault:
        return fault
    return None


@settings(max_examples=200, deadline=None)
@given(messages)
def test_a_message_comes_back_as_it_was_sent(value):
    found, size = read(METHOD, written(METHOD, value, "arguments"), LIMIT)
    assert found == canonical(value)
    assert size <= len(json.dumps(found, ensure_ascii=False).encode())
    for name in value.keys() & {"displayName", "big", "small", "flag", "data", "color", "counts", "maybe"}:
        assert found[name] == value[name]


@settings(max_examples=200, deadline=None)
@given(anything)
def test_whatever_is_given_is_a_message_or_a_validation_fault(value):
    fault = raised(lambda: written(METHOD, value, "arguments"))
    assert fault is None or fault.error.type == ERRORS + "validation"
    assert fault is None or (fault.error.detail or "").startswith("arguments")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_whatever_comes_back_is_a_message_or_a_communication_fault(content):
    fault = raised(lambda: read(METHOD, content, LIMIT))
    assert fault is None or fault.error.type == ERRORS + "communication"


def test_a_message_that_is_too_deep_is_a_fault_both_ways():
    deep: dict = {}
    for _ in range(200):
        deep = {"children": [deep]}
    with pytest.raises(Fault):
        written(METHOD, deep, "arguments")
    content = b""
    for _ in range(200):
        content = b"\x42" + _varint(len(content)) + content
    with pytest.raises(Fault):
        read(METHOD, content, LIMIT)


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes([*parts, number])
