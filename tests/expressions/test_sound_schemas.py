"""What is taken for a sound schema keeps the rules of its draft, and refers to nothing."""

from __future__ import annotations

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.expressions import schemas
from workflow_engine.expressions.schemas import Schema, missing_references
from workflow_engine.expressions.sound_schemas import _BY_NAME, _RULES, _WITH_MANY, _WITH_ONE, is_sound

COMMON = {
    "type": "object",
    "title": "an order",
    "properties": {
        "id": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"},
        "total": {"type": ["number", "null"], "minimum": 0.5},
        "items": {"type": "array", "items": {"type": "object", "required": ["sku"]}, "minItems": 1},
        "kind": {"enum": ["a", 1, None]},
        "any": True,
    },
    "required": ["id", "total"],
    "additionalProperties": False,
    "oneOf": [{"required": ["id"]}, {"const": 1}],
}


def test_a_common_schema_is_sound_and_checks_what_it_says():
    assert is_sound(COMMON)
    schema = Schema(COMMON)
    assert schema.problems({"id": "a", "total": 1}) == []
    assert len(schema.problems({"id": "A", "total": 0, "items": [], "other": 1})) == 4


@pytest.mark.parametrize(
    "schema",
    [
        1, None, [], {"type": "text"}, {"type": []}, {"type": ["string", "string"]}, {"type": 1}, {"required": "a"},
        {"required": ["a", "a"]}, {"required": [1]}, {"properties": []}, {"properties": {"a": 1}}, {"allOf": []},
        {"items": []}, {"minLength": -1}, {"minimum": "1"}, {"uniqueItems": 1}, {"enum": 1}, {"pattern": 1},
        {"$ref": "#/$defs/a"}, {"properties": {"a": {"$ref": "https://e.example"}}}, {"maxItems": True}, {"unknown": 1},
        {"$schema": "http://json-schema.org/draft-07/schema#"}, {"not": {"type": "x"}},
    ],
)  # fmt: skip
def test_what_is_wrong_or_rare_is_not_taken_for_sound(schema):
    assert not is_sound(schema)


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 3),
    st.sampled_from([0.5, "string", "object", "a", "", ["a"], ["a", "a"], [], {}, [1]]),
)  # fmt: skip
KEYWORDS = st.sampled_from(
    [
        *_RULES,
        *sorted(_WITH_ONE | _WITH_MANY | _BY_NAME),
        "multipleOf",
        "prefixItems",
        "$defs",
        "$ref",
        "dependentRequired",
    ]
)
SCHEMAS = st.recursive(
    VALUES,
    lambda inner: st.one_of(
        st.dictionaries(KEYWORDS, inner, max_size=4),
        st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
        st.lists(inner, max_size=2),
    ),
    max_leaves=8,
)


@settings(max_examples=1000, deadline=None)
@given(st.dictionaries(KEYWORDS, SCHEMAS, min_size=1, max_size=4))
def test_generated_schemas_are_what_they_seem(schema):
    if is_sound(schema):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert missing_references(schema) == []


def looked_at(schema: Schema, value: object) -> tuple[bool, int]:
    """Whether *value* matches, and the steps of that, without a quick look."""
    check = schemas._Check(schema._dialects)
    token = schemas._check.set(check)
    try:
        wrong = next(schema._validator.iter_errors(value), None)
        return wrong is None, schemas.MAX_STEPS - check.left
    finally:
        schemas._check.reset(token)


DATA = st.recursive(
    VALUES,
    lambda inner: st.one_of(
        st.dictionaries(st.sampled_from("abc"), inner, max_size=3), st.lists(inner, max_size=3)
    ),
    max_leaves=8,
)
NAMED = st.sampled_from("ab")
PARTS = st.recursive(
    st.sampled_from([
        True, False, {}, {"type": "string"}, {"type": ["integer", "null"]}, {"type": "number", "minimum": 0.5},
        {"enum": ["a", 1, True, None, 0]}, {"const": 1}, {"const": False}, {"const": [1]}, {"minItems": 2},
        {"minLength": 1, "pattern": "^a"}, {"exclusiveMinimum": 0, "maximum": 2}, {"maxItems": 1, "uniqueItems": True},
        {"minProperties": 1, "title": "x"}, {"type": "object", "required": ["a"]}, {"type": "boolean"},
        {"exclusiveMaximum": 3, "maxLength": 3},
    ]),
    lambda inner: st.one_of(
        st.fixed_dictionaries({"type": st.just("array"), "items": inner}),
        st.fixed_dictionaries({"items": inner, "minItems": st.just(1)}),
        st.fixed_dictionaries({"properties": st.dictionaries(NAMED, inner), "additionalProperties": inner}),
        st.fixed_dictionaries({"properties": st.dictionaries(NAMED, inner), "required": st.just(["a"])}),
        st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=2)}),
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=1500, deadline=None)
@given(PARTS, DATA)
def test_a_quick_look_sees_the_same_in_as_many_steps(schema, value):
    whole = Schema(schema)
    if whole._quick is not None:
        matches, steps = looked_at(whole, value)
        assert whole._quick(value) == (steps if matches else -1)
        assert (whole.problems(value) == []) is matches


def test_what_takes_too_many_steps_is_not_told_by_a_quick_look():
    schema = Schema({"items": {"type": "integer"}})
    assert schema.problems([1] * schemas.MAX_STEPS) == []
    assert "steps" in schema.problems([1] * (schemas.MAX_STEPS + 1))[0]
    nested = Schema({"items": {"properties": {"a": {"type": "integer"}}}})
    assert nested.problems([{"a": 1}] * (schemas.MAX_STEPS // 2)) == []
    assert "steps" in nested.problems([{"a": 1}] * (schemas.MAX_STEPS // 2 + 1))[0]


def test_most_schemas_can_be_looked_at_quickly():
    assert Schema({key: value for key, value in COMMON.items() if key != "oneOf"})._quick is not None
    assert Schema(COMMON)._quick is None
