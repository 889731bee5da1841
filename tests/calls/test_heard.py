"""Messages of brokers that are meant to do harm: each is an event or a dead letter, and none stops its source."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.calls.brokers.heard import read
from workflow_engine.calls.brokers.link import Incoming
from workflow_engine.events.broker_sources import BrokerSource
from workflow_engine.events.letters import refusal
from workflow_engine.filters.envelope import MAX_INDEXED

EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
TREE = {
    "$defs": {"t": {"type": ["object", "array", "integer"], "items": {"$ref": "#/$defs/t"}}},
    "$ref": "#/$defs/t",
}
MESSAGE = {"name": "m", "content_type": "application/json", "payload": TREE}
PINNED = {"operation": "op", "channel": "c/{x}", "messages": [MESSAGE]}
DEEP = b"[" * 500 + b"]" * 500


def source(**changes: Any) -> BrokerSource:
    return BrokerSource("s", "op", channel="c", pinned=PINNED, **changes)


def stored(message: Incoming, protocol: str = "amqp", **changes: Any) -> list[tuple[str, Any]]:
    """What comes of a message: the code of each refusal, or nothing, and what is stored."""
    found = []
    for heard in read(source(**changes), protocol, [message]):
        if not heard.code:
            found.append(("", heard.event))
            continue
        record = refusal("s", "c", heard.event, heard.code, heard.reason, 1)
        for text in (record.id, record.source, record.type):
            assert len(text) <= MAX_INDEXED
            assert "\0" not in text
        found.append((heard.code, orjson.loads(record.body)))
    return found


def test_json_that_is_too_deep_to_be_stored_is_a_dead_letter_with_its_text() -> None:
    [(code, letter)] = stored(Incoming(DEEP, {}, address="c/1"))
    assert code == "event-not-json"
    assert json.loads(letter["data"]) == json.loads(DEEP)
    structured = json.dumps(EVENT | {"data": "@"}).encode().replace(b'"@"', DEEP)
    [(_, event)] = stored(Incoming(structured, {}, "application/cloudevents+json"))
    letter = orjson.loads(refusal("s", "c", event, "event-not-json", "too deep", 1).body)
    assert json.loads(letter["data"]) == json.loads(DEEP)


def test_a_time_that_there_is_not_is_a_dead_letter() -> None:
    headers: Any = {f"cloudEvents_{name}": value for name, value in EVENT.items()} | {
        "cloudEvents_time": 2**62
    }
    [(code, _)] = stored(Incoming(b"1", headers))
    assert code == "not-a-cloudevent"


def test_an_id_that_no_store_can_have_is_replaced_in_the_dead_letter() -> None:
    [(code, letter)] = stored(Incoming(b"1", {}, id="a\0b"))
    assert (code, letter["id"]) == ("attribute-invalid", "a\ufffdb")
    [(_, letter)] = stored(Incoming(b"1", {}, id="x" * 9000))
    assert len(letter["id"]) == MAX_INDEXED


TEXTS = st.sampled_from(["x", "", "\0", "\ud800", "é", "a/b;charset*0*=x", "k" * 5000, "2026-01-01 00:00:00"])
VALUES: st.SearchStrategy[Any] = TEXTS | st.sampled_from(
    [5, 2**62, -(2**62), True, None, ["a"], {"b": 1}, 1e300]
)
NAMES = st.builds(
    lambda prefix, name: prefix + name,
    st.sampled_from(["", "ce_", "ce-", "cloudEvents_"]),
    st.sampled_from([*EVENT, "time", "subject", "data", "foo", "Foo-Bar", "partitionkey", "correlationid"]),
)
WHOLE = {f"cloudEvents_{name}": value for name, value in EVENT.items()}
BODIES = [b"", b"{", b"{}", DEEP, b"\xff\xfe", json.dumps([EVENT]).encode(), json.dumps(EVENT).encode()]
TYPES = ["application/cloudevents-batch+json", "text/plain; charset=bogus", "application/xml"]
MOMENTS = [datetime(2026, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]
MESSAGES = st.builds(
    Incoming,
    st.sampled_from(BODIES),
    st.builds(
        lambda whole, headers: whole | headers,
        st.sampled_from([{}, WHOLE]),
        st.dictionaries(NAMES, VALUES, max_size=3),
    ),
    st.none() | TEXTS | st.sampled_from(TYPES),
    st.none() | TEXTS,
    st.none() | TEXTS,
    key=st.none() | TEXTS,
    address=st.none() | TEXTS,
    moment=st.none() | st.sampled_from(MOMENTS),
)


@settings(max_examples=150, deadline=None)
@given(
    MESSAGES,
    st.sampled_from(["kafka", "nats", "amqp", "mqtt"]),
    st.sampled_from([{}, {"type": "${ .a }"}, {"data": "${ $headers }"}, {"id": "${ $headers.foo }"}]),
)
def test_whatever_comes_is_an_event_or_a_dead_letter_that_can_be_stored(
    message: Incoming, protocol: str, template: Any
) -> None:
    stored(message, protocol, event=template)


@pytest.mark.parametrize("protocol", ["kafka", "nats", "amqp", "mqtt"])
def test_a_bug_over_one_message_is_told_and_the_others_are_heard(
    protocol: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    module = "workflow_engine.calls.brokers.heard.validate"
    monkeypatch.setattr(module, lambda *_: (_ for _ in ()).throw(RuntimeError("oh")))
    [heard] = read(source(), protocol, [Incoming(b"1", {})])
    assert (heard.code, heard.reason) == ("unreadable", "a bug: RuntimeError: oh")
    assert heard.event["data"] == "1"
    assert "source s: a bug" in caplog.text
