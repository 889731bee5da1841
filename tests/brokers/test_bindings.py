"""CloudEvents in messages as the specifications of their bindings have them, which name each header."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from workflow_engine.calls.brokers.amqp import _plain
from workflow_engine.calls.brokers.cloudevents import events_of, message_of
from workflow_engine.calls.brokers.link import Incoming, named
from workflow_engine.errors import Rejected

EVENT: dict[str, Any] = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "noted"}
JSON = "application/json"
PREFIXES = {"kafka": "ce_", "nats": "ce-", "amqp": "cloudEvents_", "mqtt": ""}


def parsed(
    protocol: str, body: bytes, content_type: str | None, declared: str = JSON, **attributes: Any
) -> Any:
    headers = {PREFIXES[protocol] + name: value for name, value in {**EVENT, **attributes}.items()}
    return events_of(protocol, Incoming(body, headers, content_type), declared, max_bytes=1000)


def test_with_nats_the_type_of_the_data_is_an_attribute_among_the_others() -> None:
    """Binding of NATS, 3.1.3.1: "`datacontenttype` maps to `ce-datacontenttype`"."""
    [event] = parsed("nats", b"hello", None, datacontenttype="text/plain;%20charset=utf-8")
    assert (event["datacontenttype"], event["data"]) == ("text/plain; charset=utf-8", "hello")
    body, _, headers = message_of("nats", "binary", {**event, "shop": 'Euro € "😀"'})
    assert (body, headers["ce-datacontenttype"]) == (b"hello", "text/plain;%20charset=utf-8")
    assert headers["ce-shop"] == "Euro%20%E2%82%AC%20%22%F0%9F%98%80%22"
    [again] = events_of("nats", Incoming(b"hello", dict(headers)), JSON, max_bytes=1000) or []
    assert again == {**event, "shop": 'Euro € "😀"'}


@pytest.mark.parametrize("protocol", ["kafka", "amqp", "mqtt"])
def test_a_type_of_the_data_that_a_sender_has_among_the_attributes_is_taken_where_no_other_is_given(
    protocol: str,
) -> None:
    """As the example of the binding of MQTT has it, and some senders to Kafka."""
    [event] = parsed(protocol, b"hello", None, datacontenttype="text/plain")
    assert (event["datacontenttype"], event["data"]) == ("text/plain", "hello")
    [event] = parsed(protocol, b"hello", "text/html", datacontenttype="text/plain")
    assert event["datacontenttype"] == "text/html"


@pytest.mark.parametrize("protocol", [*PREFIXES])
def test_binary_attributes_count_also_where_the_document_promises_whole_events(protocol: str) -> None:
    [event] = parsed(protocol, b"", None, "application/cloudevents+json")
    assert event == EVENT
    [event] = parsed(protocol, b'{"n": 1}', None, "application/cloudevents+json")
    assert event == {**EVENT, "data": {"n": 1}}


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents", "Application/CloudEvents; charset=utf-8"]
)
def test_a_whole_event_whose_format_is_not_named_is_json(content_type: str) -> None:
    """Binding of NATS, 3: "the `Content-Type` header of `application/cloudevents` is present (…)"."""
    message = Incoming(json.dumps(EVENT).encode(), {}, content_type)
    assert events_of("nats", message, JSON, max_bytes=1000) == [EVENT]
    with pytest.raises(Rejected, match="is no CloudEvent"):
        events_of("nats", Incoming(b"{}", {}, "application/cloudevents+avro"), JSON, max_bytes=1000)


@pytest.mark.parametrize("protocol", [*PREFIXES])
def test_an_event_without_data_has_neither_body_nor_type(protocol: str) -> None:
    body, content_type, headers = message_of(protocol, "binary", EVENT)
    assert (body, content_type) == (None, "")
    assert headers == {PREFIXES[protocol] + name: value for name, value in EVENT.items()}
    assert message_of(protocol, "binary", {**EVENT, "data": None})[:2] == (b"null", JSON)


def test_headers_are_found_in_any_case() -> None:
    assert named({"content-TYPE": "a/b"}, "Content-Type") == "a/b"
    assert named({"other": "a/b"}, "Content-Type") is None


def test_what_amqp_has_types_for_is_text_as_cloudevents_has_it() -> None:
    """Binding of AMQP, 3.1.3.2: the native types are read as the canonical form."""
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    headers = {
        "cloudEvents_time": moment,
        "cloudEvents_expiry": moment,
        "cloudEvents_key": bytearray(b"\xff"),
    }
    headers |= {"cloudEvents_big": 2**40, "cloudEvents_on": True}
    [event] = parsed("amqp", b"", None, **{name[12:]: _plain(value) for name, value in headers.items()})
    assert event["time"] == event["expiry"] == "2026-01-02T03:04:05.000Z"
    assert (event["key"], event["big"], event["on"]) == ("/w==", str(2**40), "true")
