"""Wildcards against regular expressions, which say the same and may take for ever."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.filters.attributes import MAX_SUBJECT
from workflow_engine.filters.wildcards import MAX_WILDCARDS, BadPattern, glob, like

patterns = st.text(st.sampled_from("ab%_\\."), max_size=10)
subjects = st.text(st.sampled_from("ab%_\\.\n"), max_size=14)


def _regex(pattern: str) -> str:
    parts = re.findall(r"\\[%_]|.", pattern, re.DOTALL)
    return "".join({"%": ".*", "_": "."}.get(part) or re.escape(part[-1]) for part in parts)


@settings(max_examples=200, deadline=None)
@given(patterns, subjects)
def test_like_matches_as_its_regular_expression_does(pattern, subject):
    assert like(pattern)(subject) == (re.fullmatch(_regex(pattern), subject, re.DOTALL) is not None)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "*", r"\*", "\\\\", "é"]), max_size=8), subjects)
def test_a_glob_matches_as_its_regular_expression_does(parts, subject):
    pattern = "".join(parts)
    if ("*", "*") in pairwise(parts):
        with pytest.raises(BadPattern):
            glob(pattern)
        return
    regex = "".join(".*" if part == "*" else re.escape(part[-1]) for part in parts)
    assert glob(pattern)(subject) == (re.fullmatch(regex, subject, re.DOTALL) is not None)


@pytest.mark.parametrize(("pattern", "at"), [("a**", 2), (r"a\b", 1), ("a\\", 1)])
def test_what_is_no_glob_is_refused_with_its_place(pattern, at):
    with pytest.raises(BadPattern) as caught:
        glob(pattern)
    assert caught.value.at == at


def test_wildcards_are_counted():
    like("%" * MAX_WILDCARDS)
    with pytest.raises(BadPattern):
        like("_" * (MAX_WILDCARDS + 1))
    with pytest.raises(BadPattern):
        glob("*a" * (MAX_WILDCARDS + 1))


def test_a_pattern_for_which_others_backtrack_comes_to_an_end():
    assert not like("%a" * (MAX_WILDCARDS - 1) + "%b")("a" * MAX_SUBJECT)
    assert not like("%" + "a_" * (MAX_WILDCARDS - 2) + "b%")("a" * 4096)


def test_a_text_without_end_is_not_looked_at():
    assert not like("a%")("a" * (MAX_SUBJECT + 1))
    assert like("a%")("a" * MAX_SUBJECT)
    assert not like("%a_a%")("a" * MAX_SUBJECT)
