"""Filters of subscriptions in dialects: what is taken, what is refused and where, what is looked up by."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.events.index import InterestIndex
from workflow_engine.filters import filters
from workflow_engine.filters.interest import Interest
from workflow_engine.values import Json, JsonObject


def event(**members: Json) -> JsonObject:
    return {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order.placed", **members}


def takes(spec: JsonObject, given: JsonObject) -> bool:
    errors: list[str] = []
    found = filters([spec]).take(given, errors)
    assert errors == []
    return found


class TestTheSubscriptionsApi:
    def test_exact_prefix_and_suffix_must_hold_of_every_attribute_named(self):
        given = event(subject="orders/7", rooms=5)
        assert takes({"exact": {"type": "order.placed", "subject": "orders/7"}}, given)
        assert not takes({"exact": {"type": "order.placed", "subject": "orders/8"}}, given)
        assert takes({"prefix": {"type": "order.", "source": "/s"}}, given)
        assert not takes({"prefix": {"type": "Order."}}, given)
        assert takes({"suffix": {"type": ".placed"}}, given)
        assert takes({"exact": {"rooms": "5"}}, given)

    def test_an_attribute_that_is_not_there_is_like_nothing(self):
        for dialect in ("exact", "prefix", "suffix"):
            assert not takes({dialect: {"subject": "a"}}, event())
            assert takes({"not": {dialect: {"subject": "a"}}}, event())

    def test_filters_are_joined_by_all_any_and_not(self):
        placed, sent = {"exact": {"type": "order.placed"}}, {"exact": {"type": "order.sent"}}
        assert takes({"any": [sent, placed]}, event())
        assert not takes({"all": [sent, placed]}, event())
        assert takes({"all": [{"not": sent}, {"any": [placed]}]}, event())

    def test_every_filter_of_the_list_must_be_true_and_no_filter_takes_every_event(self):
        both = filters([{"prefix": {"type": "order."}}, {"exact": {"source": "/other"}}])
        assert not both.take(event(), [])
        assert both.true_of(event(), []) == [0]
        assert filters([]).take(event(), [])

    def test_sql_takes_an_event_where_its_value_is_true_and_nothing_else(self):
        assert takes({"sql": "type LIKE 'order.%' AND EXISTS subject"}, event(subject="a"))
        assert takes({"cesql": "priority > 3"}, event(priority="5"))
        assert not takes({"sql": "priority"}, event(priority="5"))
        assert not takes({"sql": "1 + 1"}, event())


class TestFailingClosed:
    def test_what_goes_wrong_is_no_match_and_says_why(self):
        errors: list[str] = []
        assert not filters([{"sql": "priority > 3"}]).take(event(), errors)
        assert errors == ["sql: missingAttribute at 1: the event has no attribute priority"]

    def test_not_does_not_make_a_match_of_what_went_wrong(self):
        errors: list[str] = []
        assert not filters([{"not": {"sql": "priority > 3"}}]).take(event(), errors)
        assert len(errors) == 1

    def test_an_alternative_that_is_true_is_enough_and_one_condition_that_is_false_too(self):
        wrong, right = {"sql": "1 / 0 = 1"}, {"exact": {"source": "/shop"}}
        assert takes({"any": [wrong, right]}, event())
        assert not takes({"all": [wrong, {"not": right}]}, event())
        errors: list[str] = []
        assert not filters([{"all": [wrong, right]}]).take(event(), errors)
        assert errors == ["sql: math at 3: division by zero"]


@pytest.mark.parametrize(
    ("spec", "place", "message"),
    [
        ({"exact": {}}, "/0/exact", "expected an object of attributes"),
        ({"exact": {"type": ""}}, "/0/exact/type", "expected a text that is not empty"),
        ({"exact": {"Type": "a"}}, "/0/exact/Type", "no attribute is called so"),
        ({"prefix": {"data": "a"}}, "/0/prefix/data", "no attribute is called so"),
        ({"any": []}, "/0/any", "at least one filter"),
        (
            {"all": [{"not": {"regex": "a"}}]},
            "/0/all/0/not/regex",
            "unknown dialect; expected one of exact, ",
        ),
        ({"exact": {"type": "a"}, "not": {}}, "/0", "a filter of one dialect"),
        ({"sql": 5}, "/0/sql", "expected an expression, which is a text"),
        ({"sql": "type ="}, "/0/sql", "line 1, column 7: expected a value, not the end"),
        (
            {"sql": "TRUE OR LEN(type) = 1"},
            "/0/sql",
            "line 1, column 9: there is no function LEN of 1 arguments",
        ),
        ({"pattern": {}}, "/0/pattern", "expected an object of fields"),
        ({"pattern": {"detail": {"a": [1]}}}, "/0/pattern/detail", "an attribute has no fields"),
        ({"pattern": {"detail-type": ["a"]}}, "/0/pattern/detail-type", "no attribute is called so"),
        ({"pattern": {"type": "a"}}, "/0/pattern/type", "expected a list of what it may be"),
        ({"pattern": {"type": []}}, "/0/pattern/type", "expected a list of what it may be"),
        ({"pattern": {"type": [["a"]]}}, "/0/pattern/type/0", "not a list"),
        ({"pattern": {"type": [{"like": "a"}]}}, "/0/pattern/type/0/like", "unknown condition"),
        ({"pattern": {"type": [{"prefix": "a", "suffix": "b"}]}}, "/0/pattern/type/0", "one condition"),
        (
            {"pattern": {"type": [{"wildcard": "a**"}]}},
            "/0/pattern/type/0/wildcard",
            "at character 3: two wildcards",
        ),
        (
            {"pattern": {"data": {"n": [{"numeric": [">"]}]}}},
            "/0/pattern/data/n/0/numeric",
            "expected [operator, number]",
        ),
        (
            {"pattern": {"data": {"n": [{"numeric": ["~", 1]}]}}},
            "/0/pattern/data/n/0/numeric/0",
            "expected one of =",
        ),
        (
            {"pattern": {"data": {"n": [{"numeric": [">", "1"]}]}}},
            "/0/pattern/data/n/0/numeric/1",
            "expected a number",
        ),
        (
            {"pattern": {"data": {"n": [{"numeric": [">", 5, "<", 5]}]}}},
            "/0/pattern/data/n/0/numeric",
            "is empty",
        ),
        (
            {"pattern": {"data": {"n": [{"anything-but": [1, "a"]}]}}},
            "/0/pattern/data/n/0/anything-but",
            "a list of texts or",
        ),
        (
            {"pattern": {"data": {"n": [{"anything-but": {"prefix": [""]}}]}}},
            "/0/pattern/data/n/0/anything-but/prefix/0",
            "not empty",
        ),
        (
            {"pattern": {"data": {"n": [{"cidr": "10.0.0.1"}]}}},
            "/0/pattern/data/n/0/cidr",
            "a network has `/`",
        ),
        (
            {"pattern": {"data": {"n": [{"cidr": "10.0.0/8"}]}}},
            "/0/pattern/data/n/0/cidr",
            "expected a network",
        ),
        ({"pattern": {"$or": [{"type": ["a"]}]}}, "/0/pattern/$or", "at least two objects"),
        (
            {"eventgrid": {"type": [{"op": "StringLike", "values": ["a"]}]}},
            "/0/eventgrid/type/0/op",
            "unknown operator",
        ),
        ({"eventgrid": {"type": [{"op": "StringIn"}]}}, "/0/eventgrid/type/0", "StringIn needs `values`"),
        (
            {"eventgrid": {"type": [{"op": "StringIn", "value": "a"}]}},
            "/0/eventgrid/type/0/value",
            "has `values` alone",
        ),
        (
            {"eventgrid": {"type": [{"op": "IsNull", "values": []}]}},
            "/0/eventgrid/type/0/values",
            "no other member",
        ),
        (
            {"eventgrid": {"type": [{"op": "StringIn", "values": [1]}]}},
            "/0/eventgrid/type/0/values/0",
            "a list of texts",
        ),
        (
            {"eventgrid": {"data": {"n": [{"op": "NumberLessThan", "value": True}]}}},
            "/0/eventgrid/data/n/0/value",
            "a number",
        ),
        (
            {"eventgrid": {"data": {"n": [{"op": "NumberInRange", "values": [[2, 1]]}]}}},
            "/0/eventgrid/data/n/0/values/0",
            "empty",
        ),
        (
            {"eventgrid": {"$or": [{"type": []}, {"type": []}]}},
            "/0/eventgrid/$or",
            "no attribute is called so",
        ),
    ],
)
def test_what_is_no_filter_is_refused_with_its_place(spec, place, message):
    with pytest.raises(ValueError) as caught:
        filters([spec])
    assert str(caught.value).startswith(f"{place}: ")
    assert message in str(caught.value)


def nested(levels: int, kind: str) -> JsonObject:
    spec: JsonObject = {"exact": {"type": "a"}} if kind == "not" else {"n": [1]}
    for _ in range(levels):
        spec = {kind: spec}
    return spec if kind == "not" else {"pattern": {"data": spec}}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ([nested(40, "not")], "at most 32 deep"),
        ([nested(40, "a")], "at most 32 deep"),
        ([{"pattern": {"type": [f"t{i}" for i in range(1001)]}}], "more than 1000 parts"),
        ([{"exact": {"type": "a"}}] * 600, "more than 1000 parts"),
        ([{"sql": " OR ".join(["type = 'a'"] * 150)}] * 3, "more than 1000 parts"),
        ([{"eventgrid": {"type": [{"op": "StringIn", "values": ["a"] * 1001}]}}], "more than 1000 parts"),
        ([{"exact": {"type": "a" * 70_000}}], "more than 65536 characters"),
        ({"exact": {"type": "a"}}, "expected a list of filters"),
    ],
)
def test_filters_are_bounded(spec, message):
    with pytest.raises(ValueError, match=message):
        filters(spec)


def narrowed(*specs: JsonObject) -> set[tuple[str | None, str | None, str, object]]:
    found = filters(list(specs)).narrowed([Interest()])
    return {
        (each.type, each.source, each.probe.attribute if each.probe else "", (each.answer or ("", ""))[1])  # type: ignore[index]
        for each in found
    }


class TestLookingUp:
    def test_exact_attributes_are_looked_up_by(self):
        assert narrowed({"exact": {"type": "a", "source": "/s"}}) == {("a", "/s", "", "")}
        assert narrowed({"exact": {"subject": "x", "ext": "y"}}) == {(None, None, "subject", "x")}
        assert narrowed({"exact": {"type": "a"}}, {"exact": {"ext": "y"}}) == {("a", None, "ext", "y")}

    def test_so_are_alternatives_and_patterns_and_sql(self):
        two = {("a", None, "", ""), ("b", None, "", "")}
        assert narrowed({"any": [{"exact": {"type": "a"}}, {"exact": {"type": "b"}}]}) == two
        assert narrowed({"pattern": {"type": ["a", "b"], "data": {"n": [1]}}}) == two
        assert (
            narrowed({"pattern": {"$or": [{"type": ["a"]}, {"type": ["b"], "id": [{"exists": True}]}]}})
            == two
        )
        assert narrowed({"eventgrid": {"type": [{"op": "StringIn", "values": ["a", "b"]}]}}) == two
        assert narrowed({"sql": "type IN ('a', 'b') AND LENGTH(id) > 1"}) == two
        assert narrowed({"sql": "(type = 'a' OR type = 'b') AND ext = 'y'"}) == {
            ("a", None, "ext", "y"), ("b", None, "ext", "y"),
        }  # fmt: skip

    def test_the_rest_is_asked_of_every_event(self):
        everything = {(None, None, "", "")}
        assert narrowed({"not": {"exact": {"type": "a"}}}) == everything
        assert narrowed({"prefix": {"type": "a"}}) == everything
        assert narrowed({"sql": "type = 'a' OR count = 5"}) == everything
        assert narrowed({"sql": "ext = 5"}) == everything
        assert narrowed({"pattern": {"type": ["a", {"prefix": "b"}]}}) == everything
        assert narrowed({"eventgrid": {"type": [{"op": "StringNotIn", "values": ["a"]}]}}) == everything

    def test_what_no_event_can_be_is_not_looked_for(self):
        assert narrowed({"exact": {"type": "a"}}, {"exact": {"type": "b"}}) == set()

    def test_a_strategy_next_to_them_narrows_further(self):
        wanted = [Interest("a", None), Interest("c", "/s")]
        assert filters([{"exact": {"type": "a", "source": "/s"}}]).narrowed(wanted) == [Interest("a", "/s")]

    def test_so_many_alternatives_that_looking_up_costs_more_than_asking_are_not_looked_up(self):
        many = {"pattern": {"type": [f"t{i}" for i in range(30)], "subject": [f"s{i}" for i in range(30)]}}
        assert len(filters([many]).narrowed([Interest()])) == 30


NAMES = st.sampled_from(["type", "source", "subject", "ext"])
TEXTS = st.sampled_from(["a", "b", "5", "true"])
SQL = st.recursive(
    st.one_of(
        st.builds("{} = '{}'".format, NAMES, TEXTS),
        st.builds("{} IN ('{}', '{}')".format, NAMES, TEXTS, TEXTS),
        st.builds("{} LIKE '{}%'".format, NAMES, TEXTS),
        st.sampled_from(["ext = 5", "ext = TRUE", "EXISTS ext", "ext IN (5, 'a')"]),
    ),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["AND", "OR", "XOR"]), inner)
        | st.builds("(NOT {})".format, inner)
    ),
    max_leaves=5,
)
LEAVES = st.lists(
    st.one_of(TEXTS, st.sampled_from([5, True, {"exists": False}, {"prefix": "a"}, {"anything-but": "a"}])),
    min_size=1,
    max_size=3,
)
PATTERNS = st.recursive(
    st.dictionaries(NAMES, LEAVES, min_size=1, max_size=2),
    lambda inner: st.builds(
        lambda fields, left, right: {**fields, "$or": [left, right]},
        st.dictionaries(NAMES, LEAVES, max_size=1),
        inner,
        inner,
    ),
    max_leaves=3,
)
GRID = st.dictionaries(
    NAMES,
    st.lists(
        st.builds(
            lambda op, values: {"op": op, "values": values},
            st.sampled_from(["StringIn", "StringNotIn", "StringStartsWith"]),
            st.lists(TEXTS, min_size=1, max_size=2),
        ),
        min_size=1,
        max_size=2,
    ),
    min_size=1,
    max_size=2,
)
FILTERS = st.recursive(
    st.one_of(
        st.builds(lambda kind, tests: {kind: tests}, st.sampled_from(["exact", "prefix", "suffix"]),
                  st.dictionaries(NAMES, TEXTS, min_size=1, max_size=2)),
        SQL.map(lambda source: {"sql": source}),
        PATTERNS.map(lambda pattern: {"pattern": pattern}),
        GRID.map(lambda pattern: {"eventgrid": pattern}),
    ),
    lambda inner: st.builds(lambda kind, parts: {kind: parts}, st.sampled_from(["all", "any"]),
                            st.lists(inner, min_size=1, max_size=3))
    | inner.map(lambda part: {"not": part}),
    max_leaves=5,
)  # fmt: skip
EVENTS = st.builds(
    lambda attributes, extension: {**event(), **attributes, **extension},
    st.fixed_dictionaries({"type": TEXTS, "source": TEXTS}, optional={"subject": TEXTS}).map(dict),
    st.fixed_dictionaries({}, optional={"ext": TEXTS | st.sampled_from([5, True])}),
)


def test_the_samples_have_what_they_should():
    assert takes({"sql": "EXISTS ext"}, event(ext=5))


@settings(max_examples=150, deadline=None)
@given(st.lists(FILTERS, min_size=1, max_size=2), EVENTS)
def test_whoever_takes_an_event_is_found_by_the_index(specs, given_event):
    compiled = filters(specs)
    index: InterestIndex[int] = InterestIndex()
    index.add(1, compiled.narrowed([Interest()]))
    errors: list[str] = []
    if compiled.take(given_event, errors):
        assert errors == []
        found = index.candidates(given_event["type"], given_event["source"], lambda: given_event)
        assert found == [1], json.dumps(specs)


@settings(max_examples=80, deadline=None)
@given(FILTERS, EVENTS)
def test_not_is_true_where_it_is_known_to_be_false(spec, given_event):
    errors: list[str] = []
    taken = filters([spec]).take(given_event, errors)
    negated = filters([{"not": spec}]).take(given_event, errors)
    assert not (taken and negated)
    assert taken or negated or errors


WORDS = st.sampled_from(
    [
        "exact",
        "prefix",
        "suffix",
        "all",
        "any",
        "not",
        "sql",
        "pattern",
        "eventgrid",
        "type",
        "data",
        "$or",
        "op",
        "value",
        "values",
        "StringIn",
        "NumberInRange",
        "IsNull",
        "anything-but",
        "numeric",
        "exists",
        "wildcard",
        "cidr",
        "equals-ignore-case",
        "exactly",
        ">",
        "<=",
        "a*",
        "10.0.0.0/8",
        "TRUE",
    ]
)
ANYTHING: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats(allow_nan=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(WORDS, ANYTHING, min_size=1, max_size=1), st.dictionaries(WORDS, ANYTHING, max_size=3))
def test_any_json_is_a_filter_or_refused_and_judging_an_event_raises_nothing(spec, data):
    try:
        compiled = filters([spec])
    except ValueError as error:
        assert str(error).startswith("/")  # noqa: PT017
        return
    compiled.take(event(data=data), [])
    compiled.narrowed([Interest()])


def _as_sql(spec: JsonObject) -> str:
    """The same in CloudEvents SQL, as the specification of the Subscriptions API has them beside each other."""
    [(dialect, given)] = spec.items()
    if dialect == "not":
        return f"(NOT {_as_sql(given)})"  # type: ignore[arg-type]
    if dialect in ("all", "any"):
        parts = [_as_sql(part) for part in given]  # type: ignore[arg-type, union-attr]
        return f"({' AND '.join(parts) if dialect == 'all' else ' OR '.join(parts)})"
    shape = {"exact": "{}", "prefix": "{}%", "suffix": "%{}"}[dialect]
    tests = [
        f"EXISTS {name} AND {name} LIKE '{shape.format(text)}'"
        for name, text in given.items()  # type: ignore[union-attr]
    ]
    return f"({' AND '.join(tests)})"


PLAIN = st.recursive(
    st.builds(
        lambda kind, tests: {kind: tests},
        st.sampled_from(["exact", "prefix", "suffix"]),
        st.dictionaries(NAMES, TEXTS, min_size=1, max_size=2),
    ),
    lambda inner: (
        st.builds(
            lambda kind, parts: {kind: parts},
            st.sampled_from(["all", "any"]),
            st.lists(inner, min_size=1, max_size=3),
        )
        | inner.map(lambda part: {"not": part})
    ),
    max_leaves=5,
)


@settings(max_examples=150, deadline=None)
@given(PLAIN, EVENTS)
def test_the_dialects_of_the_subscriptions_api_say_what_their_sql_says(spec, given_event):
    assert takes(spec, given_event) == takes({"sql": _as_sql(spec)}, given_event)
