"""Which events a strategy takes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.filters import MAX_SUBJECT, attribute_test, filters, machine
from workflow_engine.values import JsonObject


def event(**members) -> JsonObject:
    return {"specversion": "1.0", "id": "1", "source": "/shop", "type": "order", **members}


def one(attributes=None, **more) -> JsonObject:
    return {"mode": "one", "filters": [{"attributes": attributes or {}, **more}]}


def takes(spec: JsonObject, *events: JsonObject) -> list[int | None | str]:
    """The filter that each event satisfied, or "left" where it was not accepted."""
    subject = machine(spec)
    state = subject.initial()
    taken: list[int | None | str] = []
    for item in events:
        accepted = subject.accept(state, item)
        taken.append(accepted.index if accepted else "left")
        state = json.loads(json.dumps(accepted.state)) if accepted else state
    return taken


def matches(attributes: JsonObject, item: JsonObject, **more) -> bool:
    return takes(one(attributes, **more), item) == [0]


class TestAttributes:
    def test_a_filter_without_tests_matches_every_event(self):
        assert matches({}, event())

    def test_equality_is_that_of_json(self):
        assert matches({"data": {"equals": {"n": [1, {"a": None}]}}}, event(data={"n": [1.0, {"a": None}]}))
        assert not matches({"data": {"equals": {"n": 1}}}, event(data={"n": True}))
        assert not matches({"data": {"equals": {"n": 1}}}, event(data={"n": 1, "m": 2}))

    def test_every_test_of_a_filter_must_hold(self):
        tests = {"type": {"equals": "order"}, "source": {"equals": "/other"}}
        assert not matches(tests, event())

    def test_a_context_attribute_equals_the_text_that_a_header_carries(self):
        assert matches({"rooms": {"equals": 5}}, event(rooms="5"))
        assert matches({"urgent": {"equals": True}}, event(urgent="true"))
        assert not matches({"data": {"equals": 5}}, event(data="5"))

    def test_an_absent_attribute_equals_nothing_not_even_null(self):
        assert not matches({"subject": {"equals": None}}, event())
        assert not matches({"subject": {"pattern": ".*"}}, event())
        assert not matches({"subject": {"expression": ".missing"}}, event())

    def test_an_expression_may_ask_for_absence(self):
        assert matches({"subject": {"expression": ". == null"}}, event())

    def test_a_pattern_must_match_the_whole_attribute(self):
        assert matches({"type": {"pattern": "ord.*"}}, event())
        assert not matches({"type": {"pattern": "ord"}}, event())
        assert not matches({"type": {"pattern": "order"}}, event(type="order\n"))

    def test_a_pattern_that_backtracks_elsewhere_is_linear_here(self):
        assert not matches({"subject": {"pattern": "(a*)*b"}}, event(subject="a" * 50_000))

    def test_a_pattern_is_not_tried_on_an_enormous_text(self):
        assert not matches({"subject": {"pattern": "a*"}}, event(subject="a" * (MAX_SUBJECT + 1)))

    @pytest.mark.parametrize(
        ("pattern", "source", "fits"),
        [
            ("/home/rooms/+", "/home/rooms/7", True),
            ("/home/rooms/+", "/home/rooms/7/door", False),
            ("/home/rooms/+", "/home/rooms", False),
            ("/home/+/door", "/home/7/door", True),
            ("/home/#", "/home", True),
            ("/home/#", "/home/7/door", True),
            ("#", "/anything", True),
            ("/home/#", "/homes/7", False),
        ],
    )
    def test_mqtt_wildcards_stand_for_levels(self, pattern, source, fits):
        assert matches({"source": {"mqtt": pattern}}, event(source=source)) is fits

    def test_a_boolean_expression_is_the_verdict(self):
        hot = {"data": {"expression": "${ .temperature > 38 }"}}
        assert matches(hot, event(data={"temperature": 39}))
        assert not matches(hot, event(data={"temperature": 38}))

    def test_an_expression_sees_the_envelope_and_the_scope(self):
        spec = one({"data": {"expression": "$event.type == $wanted and .n == 1"}}) | {
            "scope": {"wanted": "order"}
        }
        assert takes(spec, event(data={"n": 1})) == [0]

    def test_another_result_is_what_the_attribute_must_equal(self):
        spec = one({"subject": {"expression": "$order.id"}}) | {"scope": {"order": {"id": "o-1"}}}
        assert takes(spec, event(subject="o-2"), event(subject="o-1")) == ["left", 0]

    def test_an_expression_that_fails_does_not_match_and_says_why(self):
        errors: list[str] = []
        subject = machine(one({"data": {"expression": ".n + {}"}}))
        assert subject.accept({}, event(data={"n": 1}), errors) is None
        assert len(errors) == 1
        assert "'data'" in errors[0]

    def test_names_of_attributes_ignore_case_on_request(self):
        assert not matches({"patientId": {"equals": "p"}}, event(patientid="p"))
        assert matches({"patientId": {"equals": "p"}}, event(patientid="p"), ignore_case=True)
        assert not matches({"patientId": {"equals": "P"}}, event(patientid="p"), ignore_case=True)


class TestLiterals:
    @pytest.mark.parametrize(
        "literal", ["com.acme.order-placed", "https://acme.com/x", 5, None, {"a": "x*"}, "(", "a{2"]
    )
    def test_a_plain_literal_is_equality(self, literal):
        assert attribute_test(literal)["equals"] == literal
        assert matches({"data": attribute_test(literal)}, event(data=literal))

    def test_a_dot_is_no_wildcard(self):
        assert attribute_test("com.acme") == {"equals": "com.acme"}

    def test_a_literal_with_metacharacters_is_tried_both_ways(self):
        assert matches({"type": attribute_test("com.acme.*")}, event(type="com.acme.order"))
        assert matches({"source": attribute_test("/find?q=a+b")}, event(source="/find?q=a+b"))
        assert not matches({"type": attribute_test("com.acme.*")}, event(type="org.acme.order"))


class TestStrategies:
    def test_one_is_complete_at_the_first_event(self):
        assert takes(one(), event(), event()) == [0, "left"]

    def test_any_is_complete_at_the_first_event_of_either(self):
        spec = {"mode": "any", "filters": [typed("a"), typed("b")]}
        assert takes(spec, event(type="c"), event(type="b"), event(type="a")) == ["left", 1, "left"]

    def test_any_of_nothing_is_every_event(self):
        assert takes({"mode": "any", "filters": []}, event()) == [0]

    def test_an_open_any_never_ends_by_itself(self):
        spec = {"mode": "any", "filters": [typed("a")], "open": True}
        assert takes(spec, *[event(type="a")] * 3) == [0, 0, 0]

    def test_all_takes_one_event_for_each_filter_in_any_order(self):
        spec = {"mode": "all", "filters": [typed("a"), typed("b")]}
        assert takes(spec, event(type="b"), event(type="b"), event(type="a"), event(type="a")) == [
            1,
            "left",
            0,
            "left",
        ]

    def test_an_event_that_satisfies_several_filters_takes_the_first_that_waits(self):
        spec = {"mode": "all", "filters": [typed("a"), {}]}
        assert takes(spec, event(type="a"), event(type="a")) == [0, 1]

    def test_until_ends_any_and_is_not_part_of_the_output(self):
        spec = {"mode": "any", "filters": [{}], "until": {"mode": "one", "filters": [typed("stop")]}}
        subject = machine(spec)
        first = subject.accept({}, event())
        assert first is not None
        assert (first.index, first.complete, first.ends) == (0, False, False)
        last = subject.accept(first.state, event(type="stop"))
        assert last is not None
        assert (last.index, last.complete, last.ends) == (None, True, True)
        assert subject.accept(last.state, event()) is None

    def test_until_a_condition_holds_of_the_events_so_far_as_they_are_read(self):
        until = {"expression": "(. | add) >= 5", "read": "data"}
        spec = {"mode": "any", "filters": [typed("a")], "until": until}
        events = [
            event(type="a", data=2),
            event(type="b", data=9),
            event(type="a", data=3),
            event(type="a", data=4),
        ]
        assert takes(spec, *events) == [0, "left", 0, "left"]
        whole = {"expression": 'map(.type) == ["a", "b"]'}
        assert takes(
            {"mode": "any", "filters": [], "until": whole}, event(type="a"), event(type="b"), event()
        ) == [*(0, 0, "left")]

    def test_a_condition_that_cannot_be_evaluated_does_not_hold_and_says_why(self):
        subject = machine({"mode": "any", "filters": [], "until": {"expression": ".[0].id + 1 > 1"}})
        errors: list[str] = []
        taken = subject.accept({}, event(id="x"), errors)
        assert taken is not None
        assert not taken.complete
        assert errors[0].startswith("until: ")

    def test_what_a_condition_sees_is_bounded(self):
        until = {"expression": "length > 5000", "read": "data"}
        subject = machine({"mode": "any", "filters": [], "until": until})
        state: dict = {}
        for _ in range(5):
            state = subject.accept(state, event(data="x" * 400_000)).state
        assert len(state["seen"]) == 2
        state = {"seen": [1] * 1000}
        assert len(subject.accept(state, event(data=1)).state["seen"]) == 1000

    def test_until_all_counts_events_that_may_be_output_too(self):
        until = {"mode": "all", "filters": [typed("a"), typed("b")]}
        spec = {"mode": "any", "filters": [typed("a")], "until": until}
        assert takes(spec, event(type="b"), event(type="a"), event(type="a")) == [None, None, "left"]
        assert takes(spec, event(type="a"), event(type="a"), event(type="b")) == [0, 0, None]


class TestCorrelation:
    def test_the_first_value_becomes_the_expectation(self):
        spec = {"mode": "any", "filters": [{"correlate": {"room": {"from": ".roomid"}}}], "open": True}
        assert takes(spec, event(roomid=1), event(roomid=2), event(roomid=1)) == [0, "left", 0]

    def test_a_key_is_shared_by_the_filters_and_until(self):
        room = {"correlate": {"room": {"from": ".roomid"}}}
        spec = {"mode": "all", "filters": [typed("t") | room, typed("h") | room]}
        assert takes(
            spec, event(type="t", roomid=1), event(type="h", roomid=2), event(type="h", roomid=1)
        ) == [0, "left", 1]
        spec = {
            "mode": "any",
            "filters": [typed("t") | room],
            "until": {"mode": "one", "filters": [typed("h") | room]},
        }
        assert takes(
            spec, event(type="t", roomid=1), event(type="h", roomid=2), event(type="h", roomid=1)
        ) == [0, "left", None]

    def test_an_expected_value_holds_for_every_filter_with_the_key(self):
        filters = [
            typed("t") | {"correlate": {"room": {"from": ".roomid"}}},
            typed("h") | {"correlate": {"room": {"from": ".roomid", "expect": 2}}},
        ]
        spec = {"mode": "all", "filters": filters}
        assert takes(
            spec, event(type="t", roomid=1), event(type="t", roomid=2), event(type="h", roomid=2)
        ) == ["left", 0, 1]

    def test_an_event_without_a_value_does_not_correlate(self):
        assert takes(one(correlate={"room": {"from": ".roomid"}}), event()) == ["left"]

    def test_null_can_be_expected(self):
        assert takes(one(correlate={"room": {"from": ".roomid", "expect": None}}), event()) == [0]


class TestBadSpecs:
    @pytest.mark.parametrize(
        ("spec", "place"),
        [
            ({}, "/mode"),
            ({"mode": "some", "filters": []}, "/mode"),
            (one() | {"scope": {"event": 1}}, "/scope/event"),
            (one() | {"scope": []}, "/scope"),
            ({"mode": "one", "filters": []}, "/filters"),
            ({"mode": "all", "filters": []}, "/filters"),
            ({"mode": "one", "filters": [{}], "oops": 1}, "/oops"),
            (one({f"a{n}": {"equals": n} for n in range(2049)}), "/filters"),
            ({"mode": "one", "filters": [{"atributes": {}}]}, "/filters/0/atributes"),
            ({"mode": "one", "filters": [{}], "open": True}, "/open"),
            ({"mode": "all", "filters": [{}], "until": {"mode": "one", "filters": [{}]}}, "/until"),
            ({"mode": "all", "filters": [{}], "until": {"expression": "true"}}, "/until"),
            ({"mode": "any", "filters": [{}], "until": {"expression": ".a |"}}, "/until/expression"),
            ({"mode": "any", "filters": [{}], "until": {"expression": "true", "read": "x"}}, "/until/read"),
            ({"mode": "any", "filters": [{}], "until": {"expression": "true", "mode": "any"}}, "/until/mode"),
            (
                {"mode": "any", "filters": [{}], "until": {"mode": "any", "filters": [{}], "until": {}}},
                "/until/until",
            ),
            (one({"a/b": {"pattern": "("}}), "/filters/0/attributes/a~1b/pattern"),
            (one({"type": {"expression": ".a |"}}), "/filters/0/attributes/type/expression"),
            (one({"type": {"expression": "$unknown"}}), "/filters/0/attributes/type/expression"),
            (one({"type": {"mqtt": "/a+/b"}}), "/filters/0/attributes/type/mqtt"),
            (one({"type": {"mqtt": "/#/b"}}), "/filters/0/attributes/type/mqtt"),
            (one({"type": {"prefix": "a"}}), "/filters/0/attributes/type/prefix"),
            (one({"type": {"equals": 1, "mqtt": "a"}}), "/filters/0/attributes/type"),
            (one(correlate={"k": {}}), "/filters/0/correlate/k/from"),
        ],
    )
    def test_a_bad_spec_is_named_by_its_place(self, spec, place):
        subject = machine(spec)
        with pytest.raises(ValueError, match="^" + place + ": "):
            subject.check()

    def test_a_bad_machine_accepts_nothing_silently(self):
        with pytest.raises(ValueError, match="/mode"):
            machine({}).accept({}, event())


def typed(name: str) -> JsonObject:
    return {"attributes": {"type": {"equals": name}}}


_tests = st.sampled_from(
    [{}, {"equals": "a"}, {"equals": "b"}, {"pattern": "[ab]"}, {"equals": "a", "pattern": "b|c"}]
)
_filters = st.builds(
    lambda kind, source, key: {
        "attributes": {k: v for k, v in (("type", kind), ("source", source)) if v},
        **({"correlate": {"k": {"from": ".subject"}}} if key else {}),
    },
    _tests,
    _tests,
    st.booleans(),
)
_letters = st.sampled_from("abc")
_events = st.builds(lambda t, s, k: event(type=t, source=s, subject=k), _letters, _letters, _letters)


@settings(max_examples=60, deadline=None)
@given(st.lists(_filters, min_size=1, max_size=4), st.lists(_events, max_size=12))
def test_all_never_takes_two_events_for_a_filter_and_is_complete_when_each_has_one(filters, events):
    subject = machine({"mode": "all", "filters": filters})
    state, taken = subject.initial(), []
    for item in events:
        before = json.dumps(state)
        accepted = subject.accept(state, item)
        assert json.dumps(state) == before
        if accepted:
            taken.append(accepted.index)
            assert accepted.complete is (len(taken) == len(filters))
            state = accepted.state
    assert len(taken) == len(set(taken))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["any", "all"]), st.lists(_filters, min_size=1, max_size=4), st.booleans(), _events)
def test_an_accepted_event_always_fits_the_interest(mode, filters, until, item):
    spec = {"mode": mode, "filters": filters}
    if until and mode == "any":
        spec["until"] = {"mode": "one", "filters": [typed("c")]}
    subject = machine(spec)
    if subject.accept(subject.initial(), item) is not None:
        assert any(t in (None, item["type"]) and s in (None, item["source"]) for t, s in subject.interest())


def test_what_is_kept_to_be_found_again_is_small():
    small, large = one({"subject": {"equals": "a"}}), one({"subject": {"equals": "a" * 9000}})
    assert machine(small) is machine(json.loads(json.dumps(small)))
    assert machine(large) is not machine(large)
    listed = [[{"exact": {"subject": text}}] for text in ("a", "a" * 9000)]
    assert [filters(each) is filters(each) for each in listed] == [True, False]
