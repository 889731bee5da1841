"""A place inside a string is found in the text, however the string is written."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workflow_engine.dsl.scalar_text import place
from workflow_engine.dsl.source import load

WRITTEN = {
    "plain": "a: .one | @two\n",
    "plain over lines": "a: .one |\n   length |\n\n   @two\nb: 1\n",
    "single quotes": "a: 'it''s | @two'\n",
    "single quotes over lines": "a: '.one |  \n     it''s\n\n     | @two'\n",
    "double quotes": 'a: ".one \\"x\\" \\u00e4\\t| @two"\n',
    "double quotes over lines": 'a: ".one |\n   \\  x \\\n   y\n\n\n  | @two"\n',
    "literal": "a: |\n  .one\n    | x\n\n  | @two\nb: 1\n",
    "literal, indented by a number": "a: |2\n    .one\n  | @two\n",
    "literal, with its last break left out": "a: |-\n  .one\n  | @two\n",
    "folded": "a: >\n  .one\n  | x\n\n\n  | y\n    more\n    | z\n\n  | @two\nb: 1\n",
    "folded, with its last break left out": "a: >-\n\n  .one |\n  @two\n",
    "in a flow mapping": "a: {b: [1, '.one | @two']}\n",
    "with an anchor and a tag": "a: &here !!str '.one | @two'\n",
    "JSON": '{"a": ".one \\ud83d\\ude00 \\n | @two"}',
}


@pytest.mark.parametrize("style", WRITTEN)
def test_the_place_of_a_character_is_where_it_stands_in_the_text(style):
    text = WRITTEN[style]
    source = load(text)
    value, pointer = source.data["a"], "/a"
    while not isinstance(value, str):
        key = "b" if isinstance(value, dict) else 1
        value, pointer = value[key], f"{pointer}/{key}"
    line, column = place(text, *source.positions.value(pointer), value, value.index("@two"))
    assert text.split("\n")[line - 1][column - 1 :].startswith("@two")
    behind = place(text, *source.positions.value(pointer), value.rstrip("\n"), len(value.rstrip("\n")))
    assert behind == (line, column + 4)


def test_every_character_that_is_written_as_it_is_has_its_place():
    for text in WRITTEN.values():
        source = load(text)
        value = source.data["a"]
        if not isinstance(value, str):
            continue
        lines = text.split("\n")
        for offset, char in enumerate(value):
            line, column = place(text, *source.positions.value("/a"), value, offset)
            written = lines[line - 1][column - 1 : column]
            assert written in (char, "\\") or char in " \n", (text, offset)


def test_what_stands_elsewhere_has_no_place():
    text = "a: &x .one\nb: *x\n"
    assert place(text, 2, 4, ".one", 1) is None
    assert place("", 0, 0, ".one", 1) is None
    assert place("a: .two\n", 1, 4, ".one", 1) is None


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x7f"), min_size=1, max_size=20))
def test_json_strings_have_a_place_for_each_character(value):
    text = json.dumps({"a": value})
    source = load(text)
    for offset in range(len(value) + 1):
        line, column = place(text, *source.positions.value("/a"), source.data["a"], offset)
        assert line == 1
        assert 7 <= column <= len(text)
