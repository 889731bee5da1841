from __future__ import annotations

import pytest

from workflow_engine.expressions import Schema, check_schema, missing_references
from workflow_engine.values import Json


def test_problems_name_their_place():
    schema = Schema({"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}})
    assert schema.problems({"a": [1, 2]}) == []
    assert schema.problems({"a": [1, "x"]}) == ["/a/1: 'x' is not of type 'integer'"]
    assert schema.problems([]) == ["/: [] is not of type 'object'"]


def test_at_most_as_many_problems_as_asked_for():
    assert len(Schema({"items": {"type": "string"}}).problems([1] * 50)) == 10
    assert len(Schema({"items": {"type": "string"}}).problems([1] * 50, limit=3)) == 3


def test_the_dialect_is_honoured():
    draft4 = {"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 5, "exclusiveMaximum": True}
    assert Schema(draft4).problems(5)
    with pytest.raises(ValueError, match="exclusiveMaximum"):
        check_schema({"maximum": 5, "exclusiveMaximum": True})


def test_an_unknown_dialect_is_refused():
    with pytest.raises(ValueError, match="dialect"):
        check_schema({"$schema": "https://example.org/mine"})


@pytest.mark.parametrize(
    "schema",
    [{"type": "strng"}, {"properties": []}, 5, {"$ref": "#/$defs/none"}, {"$ref": "https://example.org/x"}],
)
def test_a_faulty_schema_is_refused(schema):
    with pytest.raises(ValueError, match="/"):
        check_schema(schema)


def test_references_inside_the_schema_and_to_the_drafts_are_resolved():
    tree = {
        "$id": "urn:x",
        "properties": {"next": {"$ref": "#"}, "v": {"$ref": "#/$defs/v"}},
        "$defs": {"v": {"type": "string"}},
    }
    assert Schema(tree).problems({"next": {"v": 1}}) == ["/next/v: 1 is not of type 'string'"]
    assert Schema({"$ref": "https://json-schema.org/draft/2020-12/schema"}).problems({"type": "strng"})


def test_patterns_cannot_freeze_the_worker():
    schema = Schema({"pattern": "^(x+x+)+y$"})
    assert schema.problems("x" * 5000)
    with pytest.raises(ValueError, match="RE2"):
        check_schema({"properties": {"a": {"pattern": "(?=x)"}}})


def test_pattern_properties_and_additional_properties():
    schema = Schema(
        {
            "patternProperties": {"^n": {"type": "integer"}},
            "properties": {"a": {}},
            "additionalProperties": False,
        }
    )
    assert schema.problems({"n1": 1, "a": "x"}) == []
    assert schema.problems({"n1": "x"}) == ["/n1: 'x' is not of type 'integer'"]
    assert "'z' is not allowed" in schema.problems({"z": 1})[0]


def test_a_schema_that_refers_to_itself_for_ever_is_a_problem_not_a_crash():
    assert "nested too deeply" in Schema({"$ref": "#"}).problems(1)[-1]


def test_a_boolean_is_a_schema():
    assert Schema(True).problems(1) == []
    assert Schema(False).problems(1)


def test_unique_items_are_as_json_has_it_and_take_no_time():
    schema = Schema({"uniqueItems": True})
    for unique in ([1, True, "1", None], [0, False], [{"a": 1}, {"a": 2}], [[1], [2]], []):
        assert schema.problems(unique) == [], unique
    for repeated in ([1, 1.0], [{"a": 1, "b": 2}, {"b": 2, "a": 1.0}], [[1], [1]], [None, None]):
        assert "non-unique" in schema.problems(repeated)[0], repeated
    assert schema.problems([{"n": number} for number in range(20_000)]) == []


def test_a_check_takes_a_bounded_number_of_steps():
    steps = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)}
    bomb = Schema({"$ref": "#/$defs/a0", "$defs": {**steps, "a40": {"type": "integer"}}})
    assert "more than 40,000 steps" in bomb.problems(1)[0]


def test_a_part_that_names_its_dialect_is_bounded_too():
    for schema in (
        {"properties": {"x": {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": "^(a+)+$"}}},
        {
            "$schema": "http://json-schema.org/draft-07/schema#",
            "properties": {"y": {"$ref": "#"}, "x": {"pattern": "^(a+)+$"}},
        },
    ):
        assert Schema(schema).problems({"x": "a" * 60 + "!", "y": {"x": "a" * 60 + "!"}})


def test_documents_beside_a_schema_have_dialects_of_their_own():
    other = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"pair": {"items": [{"type": "integer"}]}},
    }
    schema = Schema(
        {
            "properties": {
                "p": {"$ref": "other.json#/definitions/pair"},
                "q": {"prefixItems": [{"type": "string"}]},
            }
        },
        "https://x.example/a/b.json",
        {"https://x.example/a/other.json": other},
    )
    assert schema.problems({"p": [1, "x"], "q": ["x", 1]}) == []
    assert len(schema.problems({"p": ["x"], "q": [1]})) == 2
    assert missing_references({"$ref": "c.json#/x"}, "https://x.example/a/b.json") == [
        "https://x.example/a/c.json"
    ]
    assert (
        missing_references(
            {"$ref": "#/x", "$defs": {"y": {"$ref": "https://json-schema.org/draft/2020-12/schema"}}}
        )
        == []
    )


@pytest.mark.parametrize(
    ("unit", "value", "fits"),
    [
        (0.01, 19.99, True),
        (0.01, 1.15, True),
        (0.1, 0.3, True),
        (0.01, 1.155, False),
        (1e-9, 12345678.123, True),
        (0.3, 1, False),
        (2, 10.0, True),
        (2, 2**63 + 1, False),
        (0.5, 1e300, True),
        (1e-300, 1e300, True),
        (2, True, True),
        (2, "text", True),
    ],
)
def test_a_number_is_a_multiple_of_another_by_their_decimal_digits(
    unit: float, value: Json, fits: bool
) -> None:
    assert bool(Schema({"multipleOf": unit}).problems(value)) is not fits
    assert bool(Schema({"not": {"multipleOf": unit}}).problems(value)) is fits


def test_of_a_run_that_began_before_it_goes_by_binary_fractions() -> None:
    assert Schema({"multipleOf": 0.01}).problems(19.99, decimal=False)
    assert not Schema({"multipleOf": 0.25}).problems(19.75, decimal=False)
