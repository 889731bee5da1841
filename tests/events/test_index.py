"""The index of interests against asking everyone."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.events.samples import event as sample
from workflow_engine.events.index import InterestIndex
from workflow_engine.filters import machine
from workflow_engine.filters.interest import Interest, Probe

_names = st.sampled_from([None, "a", "b", "c"])
_subject = Probe(attribute="subject")
_wanted = st.builds(
    lambda kind, source, answer: (
        Interest(kind, source) if answer is None else Interest(kind, source, _subject, ("text", answer))
    ),
    _names,
    _names,
    _names,
)
_interests = st.lists(_wanted, min_size=1, max_size=3, unique=True)
_given = st.sampled_from(["a", "b", "c", "d"])


@settings(max_examples=80, deadline=None)
@given(st.lists(_interests, max_size=8), st.sets(st.integers(0, 7)), _given, _given, _given)
def test_candidates_are_those_whose_interest_fits_in_the_order_of_being_added(
    listeners, removed, type, source, subject
):
    index: InterestIndex[int] = InterestIndex()
    for number, interests in enumerate(listeners):
        index.add(number, interests)
    for number in removed:
        index.remove(number)
    fits = [
        number
        for number, interests in enumerate(listeners)
        if number not in removed
        and any(
            each.type in (None, type)
            and each.source in (None, source)
            and each.answer in (None, ("text", subject))
            for each in interests
        )
    ]
    assert index.candidates(type, source, lambda: {"subject": subject}) == fits
    assert len(index) == len(set(range(len(listeners))) - removed)
    for number in range(len(listeners)):
        index.remove(number)
    assert not index._shelves


_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 1, 1.0, 1.5, "1", "true", "a", [1], [1.0], {"k": 1}]
)
_SIMPLE = st.sampled_from([True, 1, "1", "true", "a"])
_TESTS = st.builds(lambda value: {"equals": value}, _SIMPLE) | st.just({"pattern": "a|1"})
_CONDITIONS = st.builds(
    lambda left, right, more: {"expression": f"{left} == {right}{more}"},
    st.sampled_from([".id", ".id.k", '.["id"]', ".", "$event.subject", ".id?", ".missing.id"]),
    st.sampled_from(["1", "1.0", "true", '"1"', '"a"', "null", "[1]", "$x", "-1", '"\\(1)"', ".id"]),
    st.sampled_from(["", " and .id != 2", " or true", " | not", " and error"]),
)
_FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "attributes": st.dictionaries(
            st.sampled_from(["type", "source", "subject", "room"]), _TESTS, max_size=2
        )
        | st.builds(lambda condition: {"data": condition}, _CONDITIONS),
        "correlate": st.dictionaries(
            st.sampled_from(["k", "l"]),
            st.builds(
                lambda place, expect: {"from": place, "expect": expect},
                st.sampled_from([".data.id", ".subject", ".data.id.k", "$x", ".data | error"]),
                _VALUES,
            ),
            max_size=2,
        ),
        "ignore_case": st.booleans(),
    },
)
_STRATEGIES = st.builds(
    lambda filters, until: (
        {"mode": "any", "filters": filters, "scope": {"x": 1}}
        | ({} if until is None else {"until": {"mode": "any", "filters": [until]}})
    ),
    st.lists(_FILTERS, min_size=1, max_size=3),
    st.none() | _FILTERS,
)
_EVENTS = st.builds(
    lambda kind, subject, room, order: {
        **sample("1"),
        "type": kind,
        "subject": subject,
        "room": room,
        "data": {"id": order},
    },
    st.sampled_from(["a", "1", "true"]),
    st.sampled_from(["a", "1", "b"]),
    _SIMPLE,
    _VALUES,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(_STRATEGIES, max_size=6), _EVENTS)
def test_whoever_accepts_an_event_or_fails_to_judge_it_is_a_candidate(strategies, event):
    machines = [machine(strategy) for strategy in strategies]
    index: InterestIndex[int] = InterestIndex()
    for number, each in enumerate(machines):
        index.add(number, each.interests())
    candidates = index.candidates(event["type"], event["source"], lambda: event)
    for number, each in enumerate(machines):
        errors: list[str] = []
        if each.accept({}, event, errors) is not None:
            assert number in candidates
    assert candidates == sorted(candidates)


def test_many_that_wait_for_one_type_each_for_its_own_order_are_told_apart_by_one_question():
    index: InterestIndex[int] = InterestIndex()
    for number in range(1000):
        spec = {
            "mode": "one",
            "filters": [
                {
                    "attributes": {"type": {"equals": "order.paid"}},
                    "correlate": {"order": {"from": ".data.order", "expect": number}},
                }
            ],
        }
        index.add(number, machine(spec).interests())
    asked = []

    def event():
        asked.append(1)
        return {**sample("1"), "type": "order.paid", "data": {"order": 7}}

    assert index.candidates("order.paid", "/s", event) == [7]
    assert len(asked) == 1
    assert index.candidates("order.sent", "/s", event) == []
    assert len(asked) == 1


@pytest.mark.parametrize(
    "condition",
    [".order == 7", "${ .order == 7 and .amount > 2 }", "(7 == .order) and error", '.["order"] == 7'],
)
def test_many_conditions_that_compare_the_same_member_are_told_apart_by_one_question(condition):
    index: InterestIndex[int] = InterestIndex()
    for number in range(100):
        test = {"expression": condition.replace("7", str(number))}
        index.add(number, machine({"mode": "any", "filters": [{"attributes": {"data": test}}]}).interests())
    data = {"order": 7.0, "amount": 3}
    assert index.candidates("a", "/s", lambda: {"data": data}) == [7]
    assert index.candidates("a", "/s", dict) == []
    assert len(index.candidates("a", "/s", lambda: {"data": "no"})) == 100  # each of them fails, and says so


def test_a_question_that_cannot_be_answered_is_left_to_those_who_ask_it():
    index: InterestIndex[int] = InterestIndex()
    for number in range(3):
        correlate = {"k": {"from": ".data | error", "expect": number}}
        index.add(number, machine({"mode": "one", "filters": [{"correlate": correlate}]}).interests())
    assert index.candidates("a", "/s", lambda: {"data": "no"}) == [0, 1, 2]
