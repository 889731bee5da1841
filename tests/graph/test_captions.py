"""Captions that a person understands."""

from __future__ import annotations

import pytest

from tests.graph.build import case, catch, filter, jq, json, listen, put, region, state
from workflow_engine.graph.captions import (
    caught,
    event_type,
    lasting,
    notes,
    summary,
    wanted,
)
from workflow_engine.graph.model import (
    Assign,
    Catch,
    Emit,
    EventFilter,
    ForEach,
    Operation,
    Raise,
    Retry,
    Sequence,
    Sleep,
    Strategy,
    SubFlow,
    Switch,
    Try,
)
from workflow_engine.graph.phrases import SUMMARY, clip
from workflow_engine.values import Duration


@pytest.mark.parametrize(
    ("kind", "arguments", "caption"),
    [
        ("http", {"method": "post", "endpoint": "https://a.io/x"}, "http POST https://a.io/x"),
        ("http", {"method": "get", "endpoint": {"uri": "https://a.io/{id}"}}, "http GET https://a.io/{id}"),
        ("http", {"method": "get", "endpoint": "${ .url }"}, "http GET ${ .url }"),
        ("http", {"method": "get", "endpoint": "https://me:secret@a.io/@x"}, "http GET https://a.io/@x"),
        ("asyncapi", {"operation": "file://paymentapp.yaml#sendPayment"}, "asyncapi paymentapp#sendPayment"),
        ("asyncapi", {"operation": "paymentapp#sendPayment"}, "asyncapi paymentapp#sendPayment"),
        ("asyncapi", {}, "asyncapi"),
        (
            "asyncapi",
            {"document": {"endpoint": "https://a.io/docs/asyncapi.json"}, "operation": "pay"},
            "asyncapi a.io#pay",
        ),
        (
            "asyncapi",
            {"document": {"endpoint": "file://x/chat.yml"}, "channel": "chat", "subscription": {}},
            "asyncapi subscribe chat#chat",
        ),
        (
            "openapi",
            {"document": {"endpoint": "https://petstore.io/v2/swagger.json"}, "operationId": "getPet"},
            "openapi petstore.io#getPet",
        ),
        ("openapi", {"document": {"endpoint": "${ .doc }"}, "operationId": "f"}, "openapi ${ .doc }#f"),
        ("grpc", {"service": {"name": "Greeter", "host": "x"}, "method": "Hello"}, "grpc Greeter/Hello"),
        ("mcp", {"method": "tools/call", "parameters": {"name": "search"}}, "mcp tools/call search"),
        ("a2a", {"method": "message/send", "server": "https://b.io"}, "a2a message/send https://b.io"),
        ("script", {"language": "python", "code": "1"}, "script python"),
        ("shell", {"command": "ls -l"}, "shell ls -l"),
        ("container", {"image": "alpine"}, "container alpine"),
        ("graphql", {"operation": "query", "field": "pet"}, "graphql query pet"),
        ("odata", {"service": "https://c.io/v4", "entitySet": "People"}, "odata People"),
        ("custom", {"names": ["reserve"], "arguments": {}}, "custom reserve"),
        ("telex", {"endpoint": "https://c.io/telex"}, "telex https://c.io/telex"),
        ("telex", {}, "telex"),
        ("http", "${ .all }", "http ${ .all }"),
    ],
)
def test_an_operation_says_what_it_calls(kind, arguments, caption):
    assert summary(Operation(kind, json(arguments))) == caption


@pytest.mark.parametrize(
    ("key", "caption"),
    [
        ("file://paymentapp.yaml#sendPayment", "asyncapi paymentapp#sendPayment"),
        ("https://a.io/apps/paymentapp.yaml#operation:pay", "asyncapi paymentapp#pay"),
    ],
)
def test_an_operation_of_the_catalog_is_known_by_what_the_bundle_pins(key, caption):
    assert summary(Operation("asyncapi", json({"message": {"payload": "${ . }"}}), (key,))) == caption


@pytest.mark.parametrize(
    ("action", "caption"),
    [
        (listen("order.paid"), "wait for order.paid"),
        (listen("a", "b", mode="all"), "wait for all of a, b"),
        (put(a=1, b=2), "set a, b"),
        (put(**{f"m{number}": 1 for number in range(9)}), "set m0, m1, m2, m3 and 5 more"),
        (Assign(json({}), merge=True), "add nothing"),
        (Assign(json("${ .a }")), "set ${ .a }"),
        (Emit(json({"type": "order.placed"}), "default"), "emit order.placed"),
        (Emit(json({"type": "order.placed"}), "orders"), "emit order.placed to orders"),
        (Emit(json("${ .event }"), "default"), "emit an event"),
        (Sleep(Duration(0, 30)), "wait 30 s"),
        (Sleep(jq(".for")), "wait .for"),
        (Raise(json({"type": "timeout", "status": 408})), "raise timeout 408"),
        (Raise(json({"type": "https://x.io/broken", "status": 500})), "raise https://x.io/broken 500"),
        (Raise(json({"title": "Odd"})), "raise title Odd"),
        (Raise(json("${ .error }")), "raise ${ .error }"),
        (Operation("shell", json({"command": "ls"}), wait=False), "start shell ls, without waiting for it"),
        (SubFlow("ns", "child", "1.0.0", json({})), "run ns/child 1.0.0"),
        (SubFlow("ns", "child", None, json({}), wait=False), "start ns/child, without waiting for it"),
        (Switch((case("a", ".a", "b"),)), "choose"),
        (Sequence(region()), "do"),
        (Try(region(), catch()), "try"),
        (Try(region(), catch(retry=Retry(limit=1))), "try, retry once"),
        (Try(region(), catch(retry=Retry(budget=Duration(0, 60)))), "try, retry for ever within 1 min"),
        (
            Try(region(), catch(retry=Retry(jq(".a"), jq(".b"), limit=2))),
            "try, retry 2 times if .a unless .b",
        ),
        (ForEach(jq(".items"), "item", None, region()), "for each item in .items"),
        (ForEach(json([1, 2]), "n", None, region()), "for each n in [1,2]"),
        (ForEach(jq(".a"), "n", None, region(), chained=False, batch=0), "for each n in .a, side by side"),
        (ForEach(jq(".a"), "n", None, region(), chained=False, batch=5), "for each n in .a, 5 at a time"),
    ],
)
def test_a_state_says_what_it_does(action, caption):
    assert summary(action) == caption


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (Duration(), "0 s"),
        (Duration(0, 0.25), "250 ms"),
        (Duration(0, 1.5), "1.5 s"),
        (Duration(0, 61), "1 min 1 s"),
        (Duration(0, 3600), "1 h"),
        (Duration(0, 2 * 86400 + 3 * 3600), "2 days 3 h"),
        (Duration(14, 0), "1 year 2 months"),
        (Duration(24, 86400), "2 years 1 day"),
    ],
)
def test_a_duration_is_told_in_words(duration, words):
    assert lasting(duration) == words


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"type": {"equals": "a.b"}}, "a.b"),
        ({"type": {"equals": "a.*", "pattern": "a.*"}}, "a.*"),
        ({"type": {"expression": '. | startswith("a")'}}, 'type . | startswith("a")'),
        ({"source": {"equals": "store/order"}}, "source store/order"),
        ({}, "NewOrder"),
    ],
)
def test_a_filter_is_known_by_its_type_or_by_what_it_asks_for(attributes, words):
    assert event_type(EventFilter(attributes, name="NewOrder")) == words
    assert event_type(EventFilter({})) == "any event"


def test_a_list_shows_what_fits_and_counts_the_rest():
    types = tuple(f"com.example.hospital.vitals.measurements.{number}" for number in range(6))
    assert wanted(Strategy("all", tuple(map(filter, types)))) == f"all of {types[0]} and 5 more"
    assert wanted(Strategy("any", tuple(map(filter, "abcdef")))) == "any of a, b, c, d and 2 more"


def test_a_listener_says_until_when_it_listens():
    assert wanted(Strategy("any", ())) == "any event"
    assert wanted(Strategy("any", (filter("a"),), Strategy("one", (filter("stop"),)))) == "a until stop"
    assert wanted(Strategy("any", (filter("a"),), jq("length > 2"))) == "a until length > 2"


def test_a_catch_says_which_errors():
    assert caught(catch()) == "on any error"
    assert caught(catch(error={"status": 503})) == "on 503"
    conditional = Catch(json({"type": "timeout"}), "e", jq(".a"), jq(".b"), None, None, None)
    assert caught(conditional) == "on timeout if .a unless .b"


def test_a_state_notes_its_condition_and_its_time():
    noted = state("/a", listen("a", timeout=Duration(0, 5)), when=".go", timeout=Duration(0, 60))
    assert notes(noted) == ("only if .go", "within 1 min", "within 5 s")


def test_a_long_text_is_cut_with_an_ellipsis_however_long_it_is():
    assert clip("a" * 10, 10) == "a" * 10
    assert clip("a" * 11, 10) == "a" * 9 + "…"
    assert clip(" a \n\t b ", 10) == "a b"
    assert clip(" " * 10_000_000 + "b", 10).endswith("…")
    assert len(summary(Operation("http", json({"method": "get", "endpoint": "x" * 1_000_000})))) == SUMMARY
