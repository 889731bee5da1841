"""The index of interests against asking everyone."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.events.index import InterestIndex

_names = st.sampled_from([None, "a", "b", "c"])
_interests = st.lists(st.tuples(_names, _names), min_size=1, max_size=3, unique=True)
_given = st.sampled_from(["a", "b", "c", "d"])


@settings(max_examples=80, deadline=None)
@given(st.lists(_interests, max_size=8), st.sets(st.integers(0, 7)), _given, _given)
def test_candidates_are_those_whose_interest_fits_in_the_order_of_being_added(
    listeners, removed, type, source
):
    index: InterestIndex[int] = InterestIndex()
    for number, interests in enumerate(listeners):
        index.add(number, interests)
    for number in removed:
        index.remove(number)
    fits = [
        number
        for number, interests in enumerate(listeners)
        if number not in removed and any(t in (None, type) and s in (None, source) for t, s in interests)
    ]
    assert index.candidates(type, source) == fits
    assert len(index) == len(set(range(len(listeners))) - removed)
