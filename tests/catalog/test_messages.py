from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from catalog import describe_document
from catalog.errors import InvalidMessage
from catalog.messages import address, locate, validate
from tests.catalog.documents import LIGHTS, ORDERS

CREATE, CREATED, AUDIT = (operation.to_json() for operation in describe_document(ORDERS).operations)
TURN_ON, MEASURED = (operation.to_json() for operation in describe_document(LIGHTS).operations)
ORDER = {"id": 1, "items": [{"sku": "ABC-1", "parts": [{"sku": "XYZ-22"}]}]}
HEADERS = {"trace": "t"}


def operation(payload, **members):
    return {
        "messages": [
            {"name": "m", "content_type": "application/json", "payload": payload, "headers": None} | members
        ]
    }


def test_a_message_that_fits_has_no_problems():
    outcome = validate(CREATE, ORDER, HEADERS)
    assert (outcome.valid, outcome.message, outcome.problems) == (True, "Order", ())


def test_every_problem_of_payload_and_headers_has_its_pointer():
    payload = {"id": 0, "items": [{"sku": "ABC-1", "parts": [{"sku": "nothing"}]}, {}]}
    outcome = validate(CREATE, payload, {"trace": 7})
    assert [(problem.pointer, problem.message) for problem in outcome.problems] == [
        ("/payload/id", "'id' must be at least 1"),
        ("/payload/items/0/parts/0/sku", "'sku' must match ^[A-Z]{3}-[0-9]+$"),
        ("/payload/items/1", "'1' must have 'sku'"),
        ("/headers/trace", "'trace' must be text"),
    ]


def test_headers_that_are_missing_are_told():
    assert [problem.pointer for problem in validate(CREATE, ORDER).problems] == ["/headers"]


def test_of_several_messages_the_one_that_fits_is_named():
    assert validate(CREATED, {"reason": "no"}).message == "Refusal"
    assert validate(CREATED, ORDER, HEADERS).message == "Order"


def test_if_no_message_fits_the_problems_are_those_of_the_closest():
    outcome = validate(CREATED, {"id": 1}, {})
    assert outcome.message == "Refusal"
    assert [problem.code for problem in outcome.problems] == ["no-matching-message", "schema-violation"]
    assert "Order, Refusal" in outcome.problems[0].message


def test_an_operation_without_messages_takes_anything():
    assert validate({"messages": []}, object).valid
    assert validate({"messages": []}, 1).message is None


def test_a_schema_that_allows_nothing_and_one_that_allows_anything():
    assert not validate(operation(False), 1).valid
    assert validate(operation(True), 1).valid


@pytest.mark.parametrize(
    ("content_type", "checked"),
    [
        ("application/json", True),
        ("application/vnd.orders+json; charset=utf-8", True),
        ("text/plain", True),
        ("application/octet-stream", False),
        ("image/png", False),
    ],
)
def test_only_json_and_text_are_checked(content_type, checked):
    outcome = validate(operation({"type": "integer"}, content_type=content_type), "text")
    assert outcome.valid is not checked


def test_a_schema_that_holds_itself_checks_every_level():
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}}, "additionalProperties": False}
    assert validate(operation(tree), {"left": {"left": {}}}).valid
    (problem,) = validate(operation(tree), {"left": {"right": {}}}).problems
    assert (problem.pointer, problem.message) == ("/payload/left", "'left' may not have 'right'")


def test_a_pattern_that_would_backtrack_for_ever_is_checked_at_once():
    schema = {"pattern": "^(a+)+$", "patternProperties": {"^(b+)+$": False}, "additionalProperties": False}
    assert not validate(operation(schema), "a" * 100_000 + "!").valid
    assert not validate(operation(schema), {"b" * 100_000 + "!": 1}).valid


def test_a_schema_that_doubles_at_each_reference_is_given_up():
    definitions = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)}
    schema = {"$ref": "#/$defs/d0", "$defs": definitions | {"d40": {}}}
    (problem,) = validate(operation(schema), 1).problems
    assert problem.code == "unchecked-message"


def test_a_schema_that_leads_on_and_on_is_given_up():
    definitions = {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}]} for n in range(5000)}
    schema = {"$ref": "#/$defs/d0", "$defs": definitions | {"d5000": {}}}
    assert [problem.code for problem in validate(operation(schema), 1).problems] == ["unchecked-message"]


def test_a_payload_nested_too_deep_to_check_is_told():
    def nested(levels):
        payload = {}
        for _ in range(levels):
            payload = {"left": payload}
        return validate(operation({"properties": {"left": {"$ref": "#"}}}), payload)

    assert nested(50).valid
    assert [problem.code for problem in nested(2000).problems] == ["unchecked-message"]
    assert [problem.code for problem in nested(100_000).problems] == ["unchecked-message"]


def test_a_schema_that_needs_another_document_is_told_and_nothing_is_fetched():
    (problem,) = validate(operation({"$ref": "http://127.0.0.1:1/schema.json"}), 1).problems
    assert problem.code == "unchecked-message"


@pytest.mark.parametrize(("price", "valid"), [(19.99, True), (1.15, True), (19.995, False), (3, True)])
def test_a_price_is_a_multiple_of_a_cent_by_its_decimal_digits(price, valid):
    assert validate(operation({"multipleOf": 0.01}), price).valid is valid


def test_large_arrays_are_unique_or_not_without_comparing_all_pairs():
    schema = {"uniqueItems": True}
    assert validate(operation(schema), [{"n": n} for n in range(20_000)]).valid
    assert not validate(operation(schema), [{"a": 1, "b": 2}, {"b": 2.0, "a": 1.0}]).valid
    assert validate(operation(schema), [1, True, "1", [1], {"1": 1}]).valid


NAMES = st.sampled_from(["a", "b", "ab"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.5]) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SCHEMAS = st.recursive(
    st.booleans()
    | st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string", "integer", "number", "null", "boolean"]),
            "pattern": st.sampled_from(["^a", "b$", "[ab]{2}"]),
            "uniqueItems": st.booleans(),
            "enum": st.lists(VALUES, min_size=1, max_size=2),
            "minimum": st.integers(-2, 2),
        },
    ),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(NAMES, inner, max_size=2),
            "patternProperties": st.dictionaries(st.sampled_from(["^a", "b"]), inner, max_size=2),
            "additionalProperties": inner,
            "items": inner,
            "anyOf": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(SCHEMAS, VALUES)
def test_the_verdict_is_that_of_draft_07(schema, value):
    assert validate(operation(schema), value).valid is Draft7Validator(schema).is_valid(value)


def test_values_are_found_by_runtime_expressions():
    assert locate("$message.header#/a~1b", None, {"a/b": 1}) == 1
    assert locate("$message.payload#/items/1/id", {"items": [0, {"id": 2}]}) == 2
    assert locate("$message.payload#", [1]) == [1]
    for expression in ("$message.payload#/none", "$message.body#/a", "$message.header#/x"):
        with pytest.raises(InvalidMessage):
            locate(expression, {})


def test_an_address_is_filled_in_from_what_is_given_the_message_or_the_default():
    assert address(CREATE, {"region": "us"}, {"region": "eu"}) == "orders/us/created"
    assert address(CREATE, payload={"region": "eu"}) == "orders/eu/created"
    assert address(TURN_ON) == "lights/a/on"
    assert address(TURN_ON, payload={"id": "b"}) == "lights/b/on"
    assert address(MEASURED) == "lights/measured"


@pytest.mark.parametrize("region", ["mars", "", None, ["eu"], 3])
def test_an_address_is_refused_without_an_allowed_value(region):
    with pytest.raises(InvalidMessage, match="region"):
        address(CREATE, {"region": region})


def test_a_parameter_that_is_a_number_is_written_out():
    channel = {
        "channel": "a/{n}",
        "channel_details": {"parameters": [{"name": "n", "schema": {"type": "integer"}}]},
    }
    assert address(channel, {"n": 7}) == "a/7"
    assert address({"channel": "a/{n}"}, {"n": 7}) == "a/7"


def test_an_address_that_is_known_only_when_running_is_told():
    with pytest.raises(InvalidMessage, match="only when running"):
        address({"channel": None})
