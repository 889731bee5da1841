from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import InvalidSpec
from catalog.nodes import Limits
from catalog.source import read


def codes(text, limits=None):
    try:
        return [problem.code for problem in read(text, limits).problems]
    except InvalidSpec as error:
        return [problem.code for problem in error.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: yes", {"on": "yes"}),
        ("a: 1.10\nb: '1.10'\nc: 2.3.0", {"a": 1.1, "b": "1.10", "c": "2.3.0"}),
        ("[0o17, 0x1F, 017, -3, +4, .5, 1e3, 1_000]", [15, 31, 17, -3, 4, 0.5, 1000.0, "1_000"]),
        (
            "[~, null, NULL, '', \"~\", True, 2026-01-31, 12:30]",
            [None, None, None, "", "~", True, "2026-01-31", "12:30"],
        ),
        ("200: ok\ntrue: yes", {"200": "ok", "true": "yes"}),
        ("!!str 12", "12"),
        ("a: !!int '12'", {"a": 12}),
        ("base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}", {"base": {"x": 1, "y": 2}, "use": {"y": 3, "x": 1}}),
        (
            "a: &a {x: 1}\nb: &b {x: 2, z: 3}\nc:\n  <<: [*a, *b]",
            {"a": {"x": 1}, "b": {"x": 2, "z": 3}, "c": {"x": 1, "z": 3}},
        ),
        ('{"<<": 1, "tab":\t"\\ud83d\\ude00"}', {"<<": 1, "tab": "😀"}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ("{a: b}", {"a": "b"}),
        ("text: |\n  two\n  lines\n", {"text": "two\nlines\n"}),
    ],
)
def test_scalars_follow_yaml_1_2(text, value):
    source = read(text)
    assert source.problems == ()
    assert json.dumps(source.data) == json.dumps(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=60, deadline=None)
@given(JSON, st.sampled_from([None, 2]), st.booleans())
def test_any_json_is_read_as_json_reads_it(value, indent, ascii_only):
    value = {"root": value}
    source = read(json.dumps(value, indent=indent, ensure_ascii=ascii_only))
    assert source.problems == ()
    assert source.data == value


@pytest.mark.parametrize(
    ("text", "code", "line", "column"),
    [
        ("a: 1\nb:\n  c: 2\n  c: 3\n", "duplicate-key", 4, 3),
        ('{\n  "a": 1,\n  "a": 2\n}', "duplicate-key", 3, 3),
        ("a: [1, 2\nb: 3", "invalid-yaml", 2, 2),
        ("a: 1\n---\nb: 2", "several-documents", 2, 1),
        ("a: *nowhere", "unknown-alias", 1, 4),
        ("a: &a [1, *a]", "recursive-alias", 1, 11),
        ("a: !python/object:os.system x", "unsupported-tag", 1, 4),
        ("a: !!binary aGk=", "unsupported-tag", 1, 4),
        ("{[1]: 2}", "invalid-key", 1, 2),
        ("<<: 3", "invalid-merge", 1, 5),
        ("a: .inf", "invalid-number", 1, 4),
        ("a: 1e999", "invalid-number", 1, 4),
        ("a: " + "9" * 5000, "invalid-number", 1, 4),
        ('{"a": "\\ud800"}', "invalid-text", 1, 7),
        ("", "empty-document", 1, 1),
        ("# nothing", "empty-document", 1, 1),
        ("a: \x00", "invalid-yaml", 0, 0),
        ("half: \ud800", "not-utf-8", 0, 0),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, code, line, column):
    try:
        problems = read(text).problems
    except InvalidSpec as error:
        problems = error.problems
    assert [(problem.code, problem.line, problem.column) for problem in problems] == [(code, line, column)]


def test_every_duplicate_key_is_told_at_once_with_its_pointer():
    source = read("a: {x: 1, x: 2}\nb:\n- {y: 1}\n- {y: 1, y: 2}\n")
    assert [problem.pointer for problem in source.problems] == ["/a/x", "/b/1/y"]


def test_a_document_that_is_too_large_is_not_read():
    assert codes("a: " + "x" * 100, Limits(size=100)) == ["too-large"]
    assert codes("é" * 51, Limits(size=100)) == ["too-large"]


@pytest.mark.parametrize(
    "text",
    ["[" * 50_000, "{" + '"a":{' * 50_000, "a:\n" + "- " * 50_000, '{"a":' * 60_000 + "1" + "}" * 60_000],
)
def test_deep_nesting_is_refused_before_anything_recurses(text):
    assert codes(text) in (["too-deep"], ["invalid-yaml"])


def test_depth_counts_to_the_limit():
    assert codes("[" * 10 + "]" * 10, Limits(depth=10)) == []
    assert codes("[" * 11 + "]" * 11, Limits(depth=10)) == ["too-deep"]


def test_aliases_that_nest_one_another_are_refused_where_they_grow_too_deep():
    half = "[" * 60 + "{}" + "]" * 60
    text = "a: &a " + half.format("1") + "\nb: " + half.format("*a")
    assert codes(text) == ["too-deep"]
    merged = "a: &a {x: " + half.format("1") + "}\nb: " + half.format("{<<: *a}")
    assert codes(merged) == ["too-deep"]


def test_the_path_to_a_value_is_bounded_however_it_comes_about():
    assert codes('{"' + "k" * 5000 + '": 1}') == ["too-large"]
    assert codes("? " + "k" * 5000 + "\n: 1") == ["too-large"]
    key = "k" * 900
    assert codes(f"a: &a {{{key}: {{{key}: 1}}}}\nb: {{{key}: {{{key}: *a}}}}") == []
    assert codes(f"a: &a {{{key}: {{{key}: 1}}}}\nb: {{{key}: {{{key}: {{{key}: *a}}}}}}") == ["too-large"]


def test_aliases_that_explode_are_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    assert codes("\n".join(lines)) == ["too-large"]


def test_merges_that_explode_are_refused():
    wide = ", ".join(f"k{n}: 1" for n in range(100))
    text = f"base: &base {{{wide}}}\n" + "\n".join(f"m{n}: {{<<: *base}}" for n in range(3000))
    assert codes(text) == ["too-large"]


@pytest.mark.parametrize("text", ['{"a": {"b": [1,\n  {"c": 2}]}}', "a: {b: [1,\n  {c: 2}]}\n"])
def test_a_place_is_that_of_the_key_or_the_element(text):
    source = read(text)
    assert source.place("/a/b/1")[0] == 2
    assert source.place("/a/b/1/c")[0] == 2
    assert source.place("/a/b/1/nowhere") == source.place("/a/b/1")
    assert source.place("") == (1, 1)


def test_the_place_of_what_an_alias_stands_for_is_where_it_was_written():
    source = read("a: &x\n  b: 1\nc: *x\n")
    assert source.place("/c") == (3, 1)
    assert source.place("/c/b") == (2, 3)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab:-?,[]{}&*!|>'\"%@`#~<=\n \t0.x\\u\ud800é\x00"), max_size=40))
def test_any_text_is_read_or_refused_with_problems(text):
    assert all(isinstance(code, str) for code in codes(text))
