"""Event patterns, in the forms of Amazon EventBridge and of Huawei EventGrid."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.filters import filters
from workflow_engine.values import Json, JsonObject


def event(data: Json = None, **attributes: Json) -> JsonObject:
    return {
        "specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed", **attributes, "data": data,
    }  # fmt: skip


def fits(pattern: JsonObject, given_event: JsonObject, dialect: str = "pattern") -> bool:
    errors: list[str] = []
    found = filters([{dialect: pattern}]).take(given_event, errors)
    assert errors == []
    return found


def allows(condition: Json, *values: Json) -> list[bool]:
    """Whether a field of the data that is one of *values* fits *condition*."""
    return [fits({"data": {"n": [condition]}}, event({"n": value})) for value in values]


class TestConditions:
    def test_values_are_compared_as_json(self):
        assert allows("a", "a", "A", 1) == [True, False, False]
        assert allows(1, 1, 1.0, "1", True) == [True, True, False, False]
        assert allows(None, None, "", False) == [True, False, False]
        assert allows(True, True, 1, "true") == [True, False, False]
        assert allows("", "", None) == [True, False]

    def test_prefix_and_suffix_with_and_without_case(self):
        assert allows({"prefix": "ab"}, "abc", "ABC", "xab", 5) == [True, False, False, False]
        assert allows({"suffix": "bc"}, "abc", "ABC", "bcx") == [True, False, False]
        assert allows({"prefix": {"equals-ignore-case": "aB"}}, "abc", "ABC", "xab") == [True, True, False]
        assert allows({"suffix": {"equals-ignore-case": "Bc"}}, "abc", "ABC", "bcx") == [True, True, False]
        assert allows({"equals-ignore-case": "Ab"}, "ab", "AB", "abc") == [True, True, False]
        assert allows({"exactly": "ab"}, "ab", "AB") == [True, False]

    def test_wildcards(self):
        assert allows({"wildcard": "*/bin/*.jar"}, "a/bin/b.jar", "/bin/.jar", "bin/b.jar") == [
            True,
            True,
            False,
        ]
        assert allows({"wildcard": r"a\*b*"}, "a*bc", "axbc") == [True, False]

    def test_anything_but(self):
        assert allows({"anything-but": "a"}, "a", "b", 1, None) == [False, True, True, True]
        assert allows({"anything-but": [1, 2]}, 1, 3, "1") == [False, True, True]
        assert allows({"anything-but": {"prefix": "a"}}, "ab", "b", 5) == [False, True, True]
        assert allows({"anything-but": {"prefix": ["a", "b"]}}, "ab", "bc", "c") == [False, False, True]
        assert allows({"anything-but": {"suffix": ["a"]}}, "ba", "b") == [False, True]
        assert allows({"anything-but": {"equals-ignore-case": ["A"]}}, "a", "b") == [False, True]
        assert allows({"anything-but": {"wildcard": "a*c"}}, "abc", "ab") == [False, True]

    def test_anything_but_needs_a_value(self):
        assert not fits({"data": {"n": [{"anything-but": "a"}]}}, event({}))

    def test_numbers_and_ranges(self):
        assert allows({"numeric": ["=", 3.018e2]}, 301.8, 302) == [True, False]
        assert allows({"numeric": [">", 0, "<=", 5]}, 0, 1, 5, 5.1, "3", True) == [
            False, True, True, False, False, False,
        ]  # fmt: skip
        assert allows({"numeric": ["<", 10]}, 9, 10, 10**30) == [True, False, False]

    def test_networks(self):
        assert allows({"cidr": "10.0.0.0/24"}, "10.0.0.33", "10.0.1.0", "10.0.0", "::a", 5) == [
            True, False, False, False, False,
        ]  # fmt: skip
        assert allows({"cidr": "2001:db8::/32"}, "2001:db8::1", "2001:db9::1", "x" * 50) == [
            True,
            False,
            False,
        ]
        assert allows({"cidr": "10.0.0.7/24"}, "10.0.0.1") == [True]

    def test_existence_is_that_of_a_value_not_of_an_object(self):
        assert allows({"exists": True}, 1, None, {"m": 1}, [], [1]) == [True, True, False, False, True]
        assert allows({"exists": False}, 1, None, {"m": 1}, [], [1]) == [False, False, True, True, False]
        assert fits({"data": {"n": [{"exists": False}]}, "subject": [{"exists": False}]}, event())

    def test_attributes_are_compared_as_texts_for_transports_carry_them_so(self):
        pattern = {"rooms": [5, {"numeric": [">", 7]}], "urgent": [True]}
        assert fits(pattern, event(rooms="5", urgent="true"))
        assert fits(pattern, event(rooms=9, urgent=True))
        assert not fits(pattern, event(rooms="6", urgent="true"))
        assert fits({"rooms": [{"prefix": "1"}]}, event(rooms=12))


class TestFields:
    def test_fields_must_all_fit_and_one_value_of_each_is_enough(self):
        pattern = {
            "type": ["order.placed", "order.sent"],
            "data": {"state": ["new"], "by": {"name": ["ann"]}},
        }
        assert fits(pattern, event({"state": "new", "by": {"name": "ann", "age": 7}}))
        assert not fits(pattern, event({"state": "new", "by": {"name": "bob"}}))
        assert not fits(pattern, event({"state": "new", "by": "ann"}))
        assert not fits(pattern, event("new"))

    def test_data_may_be_a_value_itself(self):
        assert fits({"data": ["a", {"exists": False}]}, event("a"))
        assert fits({"data": [7]}, event([5, [7]]))

    def test_or_takes_one_of_several_objects_of_fields(self):
        pattern: JsonObject = {
            "type": ["order.placed"],
            "$or": [{"subject": ["a"]}, {"data": {"$or": [{"n": [1]}, {"m": [{"numeric": [">", 5]}]}]}}],
        }
        assert fits(pattern, event(subject="a"))
        assert fits(pattern, event({"n": 1}))
        assert fits(pattern, event({"m": 6}))
        assert not fits(pattern, event({"m": 5}, subject="b"))
        assert not fits(pattern, event({"n": 1}, type="order.sent"))


EMPLOYEES: Json = {"employees": [
    {"first": "John", "last": "Doe"}, {"first": "Anna", "last": "Smith"}, {"first": "Peter", "last": "Jones"},
]}  # fmt: skip


class TestArrays:
    def test_a_list_in_the_event_fits_where_one_of_its_elements_does(self):
        assert fits({"data": {"tags": ["b"]}}, event({"tags": ["a", "b"]}))
        assert fits({"data": {"tags": [{"anything-but": "a"}]}}, event({"tags": ["a", "b"]}))
        assert not fits({"data": {"tags": [{"anything-but": ["a", "b"]}]}}, event({"tags": ["a", "b"]}))

    def test_fields_of_a_list_of_objects_are_those_of_one_and_the_same_object(self):
        assert fits({"data": {"employees": {"first": ["Anna"]}}}, event(EMPLOYEES))
        assert fits({"data": {"employees": {"first": ["Anna"], "last": ["Smith"]}}}, event(EMPLOYEES))
        assert not fits({"data": {"employees": {"first": ["Anna"], "last": ["Jones"]}}}, event(EMPLOYEES))

    def test_lists_in_objects_in_lists_keep_what_belongs_together(self):
        songs: Json = [
            {"name": "Help", "by": [{"first": "John", "last": "L"}, {"first": "Paul", "last": "M"}]},
            {"name": "Angie", "by": [{"first": "Mick", "last": "J"}, {"first": "Keith", "last": "R"}]},
        ]
        assert fits(
            {"data": {"songs": {"name": ["Help"], "by": {"first": ["Paul"], "last": ["M"]}}}},
            event({"songs": songs}),
        )
        assert not fits(
            {"data": {"songs": {"name": ["Help"], "by": {"first": ["Mick"]}}}}, event({"songs": songs})
        )
        assert not fits(
            {"data": {"songs": {"by": {"first": ["Mick"], "last": ["M"]}}}}, event({"songs": songs})
        )

    def test_lists_in_lists_are_one_list(self):
        assert isinstance(EMPLOYEES, dict)
        deep = {"employees": [EMPLOYEES["employees"], [[{"first": "Eve", "last": "Jones"}]]]}
        assert fits({"data": {"employees": {"first": ["Eve"], "last": ["Jones"]}}}, event(deep))
        assert not fits({"data": {"employees": {"first": ["Eve"], "last": ["Smith"]}}}, event(deep))

    def test_alternatives_are_of_the_same_element_too(self):
        pattern: JsonObject = {
            "data": {"employees": {"$or": [{"first": ["Anna"]}, {"first": ["John"]}], "last": ["Doe"]}}
        }
        assert fits(pattern, event(EMPLOYEES))
        pattern = {
            "data": {"employees": {"$or": [{"first": ["Anna"]}, {"first": ["Peter"]}], "last": ["Doe"]}}
        }
        assert not fits(pattern, event(EMPLOYEES))

    def test_a_field_does_not_exist_where_no_element_has_it(self):
        pattern: JsonObject = {"data": {"items": {"error": [{"exists": False}]}}}
        assert fits(pattern, event({"items": [{"n": 1}, {"n": 2}]}))
        assert fits(pattern, event({"items": []}))
        assert fits(pattern, event({}))
        assert not fits(pattern, event({"items": [{"n": 1}, {"error": "x"}]}))

    def test_a_field_does_not_exist_in_the_element_that_other_fields_choose(self):
        pattern: JsonObject = {"data": {"items": {"n": [1], "more": {"error": [{"exists": False}]}}}}
        assert fits(pattern, event({"items": [{"n": 1}, {"n": 2, "more": [{"error": "x"}]}]}))
        assert fits(pattern, event({"items": [{"n": 1, "more": {"error": "x"}}, {"n": 1}]}))
        assert not fits(pattern, event({"items": [{"n": 1, "more": [{"m": 1}, {"error": "x"}]}, {"n": 2}]}))

    def test_a_field_may_be_absent_or_a_value(self):
        pattern: JsonObject = {"data": {"items": {"error": [{"exists": False}, "none"]}}}
        assert fits(pattern, event({"items": [{"error": "x"}, {"error": "none"}]}))
        assert fits(pattern, event({"items": [{}, {"n": 1}]}))
        assert not fits(pattern, event({"items": [{}, {"error": "x"}]}))


VALUES = st.recursive(
    st.sampled_from(["a", "b", 1, True, None]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
PATTERNS = st.recursive(
    st.dictionaries(
        st.sampled_from("xyz"),
        st.lists(st.sampled_from(["a", 1, {"exists": True}, {"exists": False}, {"anything-but": "a"}]), min_size=1,
                 max_size=2),
        min_size=1,
        max_size=2,
    ),
    lambda inner: st.dictionaries(st.sampled_from("xyz"), inner, min_size=1, max_size=2),
    max_leaves=4,
)  # fmt: skip


def _leaves(
    value: Json, path: tuple[str, ...], within: dict[Any, int]
) -> list[tuple[tuple[str, ...], Json, dict[Any, int]]]:
    """Every value of an event: its path without lists, and in which element of each list it is."""
    if isinstance(value, dict):
        return [leaf for name, member in value.items() for leaf in _leaves(member, (*path, name), within)]
    if isinstance(value, list):
        here = (path, len(within), tuple(sorted(map(repr, within.items()))))
        return [leaf for i, item in enumerate(value) for leaf in _leaves(item, path, {**within, here: i})]
    return [(path, value, within)]


def _fields(pattern: JsonObject, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], list[Json]]]:
    found = []
    for name, member in pattern.items():
        here = (*path, name)
        found += _fields(member, here) if isinstance(member, dict) else [(here, member)]  # type: ignore[list-item]
    return found  # type: ignore[return-value]


def _holds(condition: Json, value: Json) -> bool:
    match condition:
        case {"exists": True}:
            return True
        case {"anything-but": other}:
            return value != other
        case {"exists": False}:
            return False
    return type(value) is type(condition) and value == condition


def _by_leaves(pattern: JsonObject, data: Json) -> bool:
    """A slow reference: choose a value for each field, or that it is absent; no two values in different elements of one
    list, and no value of an absent field that would go with the others.
    """
    leaves = _leaves(data, (), {})

    def goes(elements: dict[Any, int], within: dict[Any, int]) -> bool:
        return all(within.get(array, i) == i for array, i in elements.items())

    def choose(
        fields: list[tuple[tuple[str, ...], list[Json]]], within: dict[Any, int], absent: set[tuple[str, ...]]
    ) -> bool:
        if not fields:
            return not any(place in absent and goes(elements, within) for place, _, elements in leaves)
        (path, conditions), *rest = fields
        if {"exists": False} in conditions and choose(rest, within, {*absent, path}):
            return True
        return any(
            place == path
            and any(_holds(condition, value) for condition in conditions)
            and goes(elements, within)
            and choose(rest, {**within, **elements}, absent)
            for place, value, elements in leaves
        )

    return choose(_fields(pattern, ()), {}, set())


@settings(max_examples=300, deadline=None)
@given(PATTERNS, st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3))
def test_a_pattern_takes_what_a_choice_of_consistent_values_takes(pattern, data):
    assert fits({"data": pattern}, event(data)) == _by_leaves(pattern, data)


def grid(op: str, *values: Json, **condition: Json) -> list[bool]:
    """Whether a field of the data that is one of *values* fits a condition of EventGrid; `...` is none at all."""
    spec = {"data": {"n": [{"op": op, **condition}]}}
    return [fits(spec, event({} if value is ... else {"n": value}), "eventgrid") for value in values]


class TestEventGrid:
    def test_texts(self):
        assert grid("StringIn", "a", "c", ["c", "b"], 1, values=["a", "b"]) == [True, False, True, False]
        assert grid("StringNotIn", "a", "c", ["c", "b"], 1, ..., values=["a", "b"]) == [
            False,
            True,
            False,
            True,
            False,
        ]
        assert grid("StringStartsWith", "ab", "b", values=["a", "x"]) == [True, False]
        assert grid("StringNotStartsWith", "ab", "b", ["b", "ab"], values=["a"]) == [False, True, False]
        assert grid("StringEndsWith", "ba", "b", values=["a"]) == [True, False]
        assert grid("StringNotEndsWith", "ba", "b", values=["a"]) == [False, True]

    def test_numbers(self):
        assert grid("NumberIn", 10, 10.0, 11, "10", values=[10]) == [True, True, False, False]
        assert grid("NumberNotIn", 10, 11, ..., values=[10]) == [False, True, False]
        assert grid("NumberLessThan", 4, 5, "4", value=5) == [True, False, False]
        assert grid("NumberNotLessThan", 4, 5, "5", value=5) == [False, True, False]
        assert grid("NumberGreaterThan", 5, 6, value=5) == [False, True]
        assert grid("NumberNotGreaterThan", 5, 6, value=5) == [True, False]

    def test_ranges_have_both_their_ends(self):
        ranges: Json = [[1, 3], [7, 9.5]]
        assert grid("NumberInRange", 1, 3, 5, 9.5, "2", values=ranges) == [True, True, False, True, False]
        assert grid("NumberNotInRange", 1, 3, 5, "5", ..., values=ranges) == [
            False,
            False,
            True,
            False,
            False,
        ]

    def test_null_and_true(self):
        assert grid("IsNull", None, 1, ...) == [True, False, True]
        assert grid("IsNotNull", None, 1, ...) == [False, True, False]
        assert grid("IsTrue", True, False, "true", ...) == [True, False, False, False]
        assert grid("IsNotTrue", True, False, "true", ...) == [False, True, True, True]

    def test_conditions_of_a_field_are_alternatives_and_fields_must_all_fit(self):
        spec: JsonObject = {
            "source": [{"op": "StringIn", "values": ["HC.OBS"]}],
            "data": {
                "age": [{"op": "NumberIn", "values": [10]}, {"op": "NumberGreaterThan", "value": 60}],
                "by": {"name": [{"op": "StringStartsWith", "values": ["a"]}]},
            },
        }
        assert fits(spec, event({"age": 70, "by": {"name": "ann"}}, source="HC.OBS"), "eventgrid")
        assert fits(spec, event({"age": 10, "by": {"name": "ann"}}, source="HC.OBS"), "eventgrid")
        assert not fits(spec, event({"age": 11, "by": {"name": "ann"}}, source="HC.OBS"), "eventgrid")
        assert not fits(spec, event({"age": 70, "by": {"name": "bob"}}, source="HC.OBS"), "eventgrid")
        assert not fits(spec, event({"age": 70, "by": {"name": "ann"}}), "eventgrid")

    def test_its_operators_are_eighteen(self):
        from workflow_engine.filters.eventgrid import OPERATORS

        assert len(set(OPERATORS)) == 18
        assert all(re.fullmatch("(String|Number|Is)(Not)?[A-Z][A-Za-z]+", name) for name in OPERATORS)


@pytest.mark.parametrize("levels", [200])
def test_deep_data_is_looked_into(levels):
    data: Json = {"n": 1}
    for _ in range(levels):
        data = [data]
    assert fits({"data": {"n": [1]}}, event(data))


def test_an_event_with_too_much_to_look_at_is_not_taken_and_says_so():
    many: Json = {"a": [{"b": number} for number in range(2000)]}
    alternatives: list[Json] = [{"a": {"b": [-number]}} for number in range(1, 100)]
    assert fits({"data": {"a": {"b": [1999]}}}, event(many))
    assert not fits({"data": {"$or": alternatives}}, event(many))
    errors: list[str] = []
    alternatives = [{"a": {"b": [{"anything-but": {"prefix": [str(number)]}}, -1]}} for number in range(150)]
    assert not filters([{"not": {"pattern": {"data": {"$or": alternatives}}}}]).take(
        event({"a": [[{"b": []}] * 3000]}), errors
    )
    assert errors == ["pattern: the event has too much to look at: more than 250000 elements of lists"]


def test_what_is_asked_of_each_element_counts():
    wanted: Json = [{"wildcard": f"*{number}"} for number in range(200)]
    errors: list[str] = []
    assert not filters([{"pattern": {"data": wanted}}]).take(event(["x"] * 2000), errors)
    assert len(errors) == 1
    assert not filters([{"pattern": {"data": [f"{number}" for number in range(900)]}}]).take(
        event(["x"] * 2000), []
    )
    assert fits({"data": ["x", *(f"{number}" for number in range(900))]}, event(["y"] * 2000 + ["x"]))
