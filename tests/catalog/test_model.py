from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from catalog import Operation, Spec, describe_document
from catalog.model import Channel, Message, Parameter, Reply, Security, Server
from tests.catalog.documents import LIGHTS, ORDERS

TEXT = st.text(max_size=8)
SOME = st.none() | TEXT
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
TUPLES = {"max_size": 2}
SECURITY = st.builds(Security, TEXT, TEXT, st.lists(TEXT, **TUPLES).map(tuple), JSON)
SECURITIES = st.lists(SECURITY, **TUPLES).map(tuple)
SERVERS = st.lists(
    st.builds(Server, TEXT, TEXT, TEXT, TEXT, TEXT, SOME, SOME, JSON, SECURITIES, JSON), **TUPLES
).map(tuple)
PARAMETERS = st.lists(st.builds(Parameter, TEXT, SOME, SOME, JSON), **TUPLES).map(tuple)
CHANNEL = st.builds(Channel, TEXT, SOME, PARAMETERS, SOME, JSON)
MESSAGES = st.lists(st.builds(Message, TEXT, SOME, TEXT, JSON, JSON, SOME, SOME, JSON), **TUPLES).map(tuple)
OPERATIONS = st.builds(
    Operation,
    id=SOME,
    action=st.sampled_from(["send", "receive"]),
    keyword=st.sampled_from(["publish", "subscribe", "send", "receive"]),
    channel=CHANNEL,
    service=TEXT,
    version=TEXT,
    asyncapi=TEXT,
    digest=TEXT,
    servers=SERVERS,
    messages=MESSAGES,
    reply=st.none() | st.builds(Reply, st.none() | CHANNEL, SOME, MESSAGES),
    title=SOME,
    summary=SOME,
    description=SOME,
    tags=st.lists(TEXT, **TUPLES).map(tuple),
    security=SECURITIES,
    bindings=JSON,
)


@settings(max_examples=60, deadline=None)
@given(OPERATIONS)
def test_an_operation_survives_being_pinned_as_json(operation):
    assert Operation.from_json(json.loads(json.dumps(operation.to_json()))) == operation


@pytest.mark.parametrize("text", [ORDERS, LIGHTS])
def test_a_pinned_operation_needs_no_other_document(text):
    for operation in describe_document(text).operations:
        assert Operation.from_json(json.loads(json.dumps(operation.to_json()))) == operation
        for message in operation.messages:
            Draft7Validator.check_schema(message.payload)
            Draft7Validator(message.payload).is_valid({"id": 1, "items": [{"sku": "ABC-1", "parts": [{}]}]})


def test_a_pinned_operation_says_all_that_a_caller_needs():
    pinned = describe_document(ORDERS).operations[0].to_json()
    assert {
        name: pinned[name]
        for name in ("service", "operation", "channel", "action", "workflow_may", "asyncapi")
    } == {
        "service": "orders",
        "operation": "createOrder",
        "channel": "orders/{region}/created",
        "action": "receive",
        "workflow_may": "publish",
        "asyncapi": "2.6.0",
    }
    assert set(pinned["messages"][0]) >= {"name", "content_type", "payload", "headers", "correlation_id"}


def test_what_is_no_pinned_operation_is_told():
    with pytest.raises(ValueError, match="'reply' is missing"):
        Operation.from_json({})


def test_a_spec_survives_being_json():
    spec = Spec("n", "1", "t", "2.6.0", None, "sha256:0", datetime(2026, 1, 31, 12, 0, 0, 5, tzinfo=UTC), 3)
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
