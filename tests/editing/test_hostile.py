"""Texts that are made to take for ever: what answers an editor reads each in time that is linear in its length.

Some functions of Python's regular expressions look for ever and let nothing else go on, so no time limit of a server
would help. Where one of these texts takes more than an instant, it takes longer than a test may.
"""

from __future__ import annotations

import random
import re

import pytest
from lsprotocol import types

from workflow_engine.editing import jq
from workflow_engine.editing.nodes import walk
from workflow_engine.editing.reading import read
from workflow_engine.editing.scalars import unescaped
from workflow_engine.editing.text import Text

LONG = 400_000


@pytest.mark.parametrize(
    "text",
    [
        'a: "' + " " * LONG + 'x\n  y"\n',
        "a: [" + "\x85" * LONG,
        "a: [" + "\xa0" * LONG,
        "a: [" + ": " * (LONG // 20),
        "a: {" + "? " * (LONG // 20),
        "e: &e {}\nl: &l [" + "*e, " * 10_000 + "]\nm:\n" + "- <<: *l\n" * 10_000,
    ],
    ids=["blanks in quotes", "line breaks of YAML", "spaces", "colons", "question marks", "merges of lists"],
)
def test_a_text_is_read_in_time_that_is_linear_in_its_length(text: str) -> None:
    assert next(walk(read(text)))[1].name in ("a", "e")


def test_an_expression_is_looked_at_in_time_that_is_linear_in_its_length() -> None:
    assert jq.own(". as" + " " * LONG + "x") == (set(), set())
    assert jq.own("def a(" * (LONG // 6))[1] == {"a"}
    assert jq.typed("a" * LONG + " |", 0, LONG + 2) == ("", "|")


def test_what_is_typed_of_a_word_is_what_a_pattern_would_find() -> None:
    pattern, chance = re.compile(r"(?:[$@]?[A-Za-z_]\w*|[$@])?\Z"), random.Random(1)
    for _ in range(20_000):
        text = "".join(chance.choice("a1$@_. é(|") for _ in range(chance.randint(0, 7)))
        start = chance.randint(0, len(text))
        offset = chance.randint(start, len(text))
        match = pattern.search(text, start, offset)
        assert match is not None
        before = text[match.start() - 1 : match.start()] if match.start() > start else ""
        assert jq.typed(text, start, offset) == (match[0], before), (text, start, offset)


def test_lines_of_a_quoted_text_are_folded_with_the_blanks_around_their_ends() -> None:
    assert unescaped('"a \t \n \n\t b  c\r\nd"') == "a  b  c d"


def test_a_word_that_is_replaced_everywhere_is_one_change_of_the_text() -> None:
    """It took as long as the whole text for each of its places, and nothing else was answered meanwhile."""
    count = 40_000
    places = [
        types.Range(types.Position(line, 7), types.Position(line, 8)) for line in reversed(range(count))
    ]
    changes = [types.TextDocumentContentChangePartial(place, "two") for place in places]
    text = Text("a: {é: b}\n" * count).changed(changes, 2)
    assert text.source == "a: {é: two}\n" * count
