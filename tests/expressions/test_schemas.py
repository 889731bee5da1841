from __future__ import annotations

import pytest

from workflow_engine.expressions import Schema, check_schema


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
