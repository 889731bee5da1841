"""What is taken for a sound schema keeps the rules of its draft, and refers to nothing."""

from __future__ import annotations

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
