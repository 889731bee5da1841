"""CloudEvents: what is let in, and the HTTP binding."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import orjson
import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events.conftest import event
from workflow_engine.errors import Rejected
from workflow_engine.events.cloudevents import MAX_BATCH, decode, records
from workflow_engine.events.http import BATCHED, STRUCTURED, parse


def refusal(*events, max_bytes=10_000) -> tuple[str, str]:
    with pytest.raises(Rejected) as caught:
        records(events, 0, max_bytes=max_bytes)
    return caught.value.code, caught.value.pointer


class TestAttributes:
    def test_a_valid_event_is_kept_as_it_is_without_its_nulls(self):
        given = event(
            "1",
            time="2026-01-31T12:00:00.123456789+01:00",
            subject="s",
            dataschema="https://acme.com/schema",
            datacontenttype="application/json; charset=utf-8",
            count=3,
            urgent=True,
            averylongextensionattributename="x",
            data={"n": [1, None, 1.5]},
        )
        (record,) = records([{**given, "nothing": None}], 7, max_bytes=10_000)
        assert decode(record.body) == given
        assert (record.source, record.id, record.type, record.subject, record.time_us) == (
            "/test",
            "1",
            "made",
            "s",
            7,
        )

    def test_null_data_is_data(self):
        (record,) = records([event("1", data=None)], 0, max_bytes=10_000)
        assert decode(record.body) == event("1", data=None)

    @pytest.mark.parametrize(
        ("changes", "key"),
        [({}, "/test"), ({"subject": "s"}, "s"), ({"subject": "s", "partitionkey": "p"}, "p")],
    )
    def test_the_partition_key_is_the_most_specific_that_there_is(self, changes, key):
        assert records([event("1", **changes)], 0, max_bytes=10_000)[0].key == key

    @pytest.mark.parametrize("name", ["id", "source", "type"])
    @pytest.mark.parametrize("value", ["", None, 5, "a\x00b", "\ud800", "x" * 5000])
    def test_required_attributes_are_texts(self, name, value):
        code, pointer = refusal(event("0"), {**event("1"), name: value})
        assert pointer == f"/1/{name}"
        assert code == ("attribute-missing" if value is None else "attribute-invalid")

    @pytest.mark.parametrize("version", [None, "0.3", "1.1", 1.0])
    def test_another_version_is_refused(self, version):
        assert refusal({**event("1"), "specversion": version})[1] == "/0/specversion"

    @pytest.mark.parametrize("name", ["Upper", "with-dash", "with_under", "ä", "", "x" * 65])
    def test_a_name_that_no_attribute_may_have_is_refused(self, name):
        assert refusal({**event("1"), name: "x"})[0] == "attribute-name"

    @pytest.mark.parametrize("value", [1.5, 2**31, [], {}])
    def test_an_extension_is_a_text_a_boolean_or_a_small_integer(self, value):
        assert refusal(event("1", ext=value)) == ("attribute-invalid", "/0/ext")

    @pytest.mark.parametrize(
        "time",
        ["2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T12:00:00", "2026-01-31T25:00:00Z", "now", ""],
    )
    def test_time_is_a_timestamp_of_rfc_3339(self, time):
        assert refusal(event("1", time=time)) == ("attribute-invalid", "/0/time")

    @pytest.mark.parametrize(
        "time", ["2026-01-31T12:00:00Z", "2016-12-31t23:59:60z", "2024-02-29T00:00:00.1-12:30"]
    )
    def test_every_timestamp_of_rfc_3339_is_let_in(self, time):
        assert records([event("1", time=time)], 0, max_bytes=10_000)

    @pytest.mark.parametrize(
        ("name", "value"),
        [("source", "has space"), ("dataschema", "<x>"), ("datacontenttype", "json"), ("subject", "")],
    )
    def test_attributes_with_a_form_must_have_it(self, name, value):
        assert refusal({**event("1"), name: value}) == ("attribute-invalid", f"/0/{name}")

    def test_data_comes_once_and_base64_is_base64(self):
        assert refusal(event("1", data=1, data_base64="eA=="))[0] == "data-twice"
        assert refusal(event("1", data_base64="%%%")) == ("attribute-invalid", "/0/data_base64")
        assert refusal(event("1", data_base64=5)) == ("attribute-invalid", "/0/data_base64")

    def test_what_is_too_much_is_refused(self):
        assert refusal(*[event("1")] * (MAX_BATCH + 1))[0] == "batch-too-large"
        assert refusal(event("1", **{f"a{n}": "x" for n in range(100)}))[0] == "attributes-too-many"
        assert refusal(event("1", data="x" * 10_000)) == ("event-too-large", "/0")
        deep: list = []
        for _ in range(300):
            deep = [deep]
        assert refusal(event("1", data=deep))[0] == "event-not-json"
        assert refusal(event("1", data=2**70))[0] == "event-not-json"

    @pytest.mark.parametrize("given", [None, [], "text", 5])
    def test_an_event_is_an_object(self, given):
        assert refusal(given)[0] == "event-not-object"


HEADERS = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/test", "ce-type": "made"}


def asked(headers, body=b"", max_bytes=10_000):
    return parse(headers, body, max_bytes=max_bytes)


def refused(headers, body=b"", **options) -> tuple[int, str, str]:
    with pytest.raises(Rejected) as caught:
        asked(headers, body, **options)
    return caught.value.status, caught.value.code, caught.value.pointer


class TestHttp:
    def test_a_structured_request_is_its_event(self):
        for content_type in (STRUCTURED, "Application/CloudEvents+JSON; charset=UTF-8"):
            assert asked({"Content-Type": content_type}, orjson.dumps(event("1"))) == [event("1")]

    def test_a_batch_is_all_of_its_events(self):
        events = [event("1"), event("2", data=2)]
        assert asked({"content-type": BATCHED}, orjson.dumps(events)) == events
        assert asked({"content-type": BATCHED}, b"[]") == []

    def test_a_binary_request_is_put_together(self):
        headers = {
            **HEADERS,
            "CE-Subject": "Euro %E2%82%AC %F0%9F%98%80",
            "ce-ext": '"a \\"b\\""',
            "accept": "*/*",
        }
        assert asked({**headers, "Content-Type": "application/json"}, b'{"n": 1}') == [
            event("1", subject="Euro € 😀", ext='a "b"', datacontenttype="application/json", data={"n": 1})
        ]
        assert asked(HEADERS) == [event("1")]

    @pytest.mark.parametrize(
        ("content_type", "body", "members"),
        [
            ("text/plain", "grün".encode(), {"data": "grün"}),
            ("application/xml", b"<a/>", {"data": "<a/>"}),
            (
                "text/plain; charset=latin-1",
                b"gr\xfcn",
                {"data_base64": base64.b64encode(b"gr\xfcn").decode()},
            ),
            ("text/plain", b"\xff", {"data_base64": "/w=="}),
            ("image/png", b"\x89PNG", {"data_base64": "iVBORw=="}),
            ("application/vnd.acme+json", b"[1]", {"data": [1]}),
            ("", b"[1]", {"data": [1]}),
            ("", b"\x00", {"data_base64": "AA=="}),
        ],
    )
    def test_the_body_of_a_binary_request_is_data_by_its_type(self, content_type, body, members):
        headers = {**HEADERS, **({"content-type": content_type} if content_type else {})}
        typed = {"datacontenttype": content_type} if content_type else {}
        assert asked(headers, body) == [event("1", **typed, **members)]

    @pytest.mark.parametrize(
        "content_type",
        [
            "",
            "application/json",
            "application/cloudevents+avro",
            "application/cloudevents",
            f"{STRUCTURED}; charset=utf-16",
        ],
    )
    def test_what_is_no_cloudevent_is_an_unsupported_media_type(self, content_type):
        assert refused({"content-type": content_type}, b"{}")[:2] == (415, "content-type")

    def test_a_large_body_is_refused_before_it_is_read(self):
        assert refused({}, b"x" * 11, max_bytes=10)[:2] == (413, "body-too-large")

    def test_what_is_wrong_has_its_place(self):
        structured, batched = {"content-type": STRUCTURED}, {"content-type": BATCHED}
        assert refused(structured, b"{") == (400, "body-not-json", "")
        assert refused(structured, b"{}") == (400, "specversion", "/specversion")
        assert refused(batched, b"{}") == (400, "batch-not-array", "")
        bad = orjson.dumps([event("1"), {**event("2"), "source": ""}])
        assert refused(batched, bad) == (400, "attribute-invalid", "/1/source")
        assert refused(batched, orjson.dumps([{}] * (MAX_BATCH + 1)))[:2] == (413, "batch-too-large")
        assert refused({**HEADERS, "ce-id": ""}) == (400, "attribute-invalid", "/id")
        assert refused({**HEADERS, "ce-subject": "%ff"}) == (400, "attribute-invalid", "/subject")
        assert refused({**HEADERS, "ce-datacontenttype": "x/y"})[1] == "attribute-name"
        assert refused({**HEADERS, "content-type": "application/json"}, b"{") == (
            400,
            "data-not-json",
            "/data",
        )

    def test_an_id_and_a_time_are_never_made_up(self):
        headers = dict(HEADERS)
        del headers["ce-id"]
        assert refused(headers) == (400, "attribute-missing", "/id")
        assert "time" not in asked(HEADERS)[0]


@settings(max_examples=50, deadline=None)
@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=30),
    st.dictionaries(
        st.text("abc123", min_size=1, max_size=8), st.integers() | st.text(max_size=5), max_size=3
    ),
)
def test_what_the_sdk_sends_is_understood(subject, data):
    attributes = {
        "id": "1",
        "source": "/test",
        "type": "made",
        "subject": subject,
        "time": datetime(2026, 1, 31, tzinfo=UTC),
    }
    sent = CloudEvent({**attributes, "specversion": "1.0", "datacontenttype": "application/json"}, data)
    expected = event(
        "1", subject=subject, time="2026-01-31T00:00:00Z", datacontenttype="application/json", data=data
    )
    for message in (to_binary_event(sent), to_structured_event(sent)):
        assert asked(message.headers, message.body, max_bytes=1_000_000) == [expected]
