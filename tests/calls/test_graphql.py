"""What is sent to a GraphQL service: values as the grammar has them, selections that cannot leave their field."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import (
    FieldNode,
    GraphQLSyntaxError,
    OperationDefinitionNode,
    parse,
    parse_value,
    value_from_ast_untyped,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.calls.graphql import literal, written
from workflow_engine.dsl.graphql import is_type, open_string, variable_types, wrong_selection
from workflow_engine.errors import Fault

NAMES = st.from_regex(r"[_A-Za-z][_0-9A-Za-z]{0,5}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
TOKENS = ("{", "}", "(", ")", "[", "]", ":", "a", "b1", "$v", "@skip", "...", "on", '"', '"s"', '"""', '"""b"""', "\\",
          ",", "#", "\n", " ", "1", "-2.5e3", "true", "null", "|", "&", "!", "=", "query", "mutation", "fragment",
          "\ufeff", "ü", "'")  # fmt: skip


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_every_value_is_read_as_it_was(value: Any) -> None:
    assert value_from_ast_untyped(parse_value(literal(value))) == value


@given(st.lists(st.sampled_from(TOKENS), max_size=14).map("".join))
@settings(max_examples=1500, deadline=None)
def test_a_selection_set_is_one_and_stays_in_its_field(tokens: str) -> None:
    for text in (tokens, "{" + tokens + "}", "{ a " + tokens + " b }"):
        ours = wrong_selection([text]) == ""
        try:
            [operation] = parse("query { f " + text + " }").definitions
        except (GraphQLSyntaxError, ValueError):
            continue  # what we let through, and is wrong, the service refuses
        alone = (
            isinstance(operation, OperationDefinitionNode) and len(operation.selection_set.selections) == 1
        )
        field = operation.selection_set.selections[0] if alone else None
        selects = isinstance(field, FieldNode) and field.selection_set is not None and not field.arguments
        plain = selects and not field.directives and field.alias is None and field.name.value == "f"
        if ours:
            assert plain, text
        elif plain and text.strip("\ufeff\t ,\r\n").startswith("{"):
            pytest.fail(f"a right selection set is refused: {text!r}: {wrong_selection([text])}")


@given(st.lists(VALUES, min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_values_in_a_selection_set_are_values(values: list[Any]) -> None:
    parts: list[Any] = ["{ a(v: "]
    for value in values:
        parts += [value, ', s: "x ']
        parts += [value, ' y") { b }, c(v: ']
    parts[-1] = ' y") { b } }'
    document, _ = written({"operation": "query", "field": "f", "selectionSet": parts})
    [operation] = parse(document).definitions
    [field] = operation.selection_set.selections
    found = [{each.name.value: value_from_ast_untyped(each.value) for each in part.arguments}
             for part in field.selection_set.selections]  # fmt: skip
    assert [each["v"] for each in found] == values
    for each, value in zip(found, values, strict=True):
        assert each["s"] == f"x {value if isinstance(value, str) else literal(value)} y"


@pytest.mark.parametrize("value", [{"a-b": 1}, {"": 1}, {"a": {"1": 2}}])
def test_a_name_that_graphql_cannot_have_is_a_validation_fault(value: Any) -> None:
    with pytest.raises(Fault, match="cannot be a name in GraphQL"):
        literal(value)


def test_deep_values_are_refused() -> None:
    value: Any = 1
    for _ in range(100):
        value = [value]
    with pytest.raises(Fault, match="nested more than 64"):
        literal(value)
    assert "nested more than" in wrong_selection(["{" * 65 + "}" * 65])
    assert "longer than" in wrong_selection(["{" + "a " * 40_000 + "}"])


def test_arguments_with_a_type_are_variables() -> None:
    arguments = {"id": 1, "pet": {"mood": "WILD"}}
    given = {"operation": "mutation", "field": "f", "arguments": arguments, "types": {"pet": "PetInput!"}}
    assert written(given) == ("mutation($pet: PetInput!) { f(id: 1, pet: $pet) }", {"pet": {"mood": "WILD"}})
    assert variable_types({"$pet": "PetInput!", "owner": "us", "$": "x"}) == {"pet": "PetInput!"}


@pytest.mark.parametrize(
    ("text", "fits"),
    [("Int", True), ("Int!", True), ("[Int!]!", True), ("[[a]]", True), ("Int!!", False), ("[Int", False),
     ("", False), ("Int) { x", False), ("[]", False)],
)  # fmt: skip
def test_types_are_those_of_the_grammar(text: str, fits: bool) -> None:
    assert is_type(text) is fits


@pytest.mark.parametrize(
    ("text", "quotes"),
    [("{ a", ""), ('{ a(b: "', '"'), ('{ a(b: "x\\"', '"'), ('{ a(b: "x")', ""), ('{ a(b: """', '"""'),
     ('{ a(b: """x" y', '"""'), ('{ a(b: """x""")', ""), ('{ a # "', ""), ('{ a(b: "")', "")],
)  # fmt: skip
def test_where_a_string_is_open_is_known(text: str, quotes: str) -> None:
    assert open_string(text) == quotes


def test_an_expression_in_a_block_string_is_refused() -> None:
    assert "block string" in wrong_selection(['{ a(b: """', None, '""") }'])
