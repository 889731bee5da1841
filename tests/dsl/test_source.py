"""YAML and JSON text to data with places."""

from __future__ import annotations

import json
import time

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.dsl.source import Limits, Source, load
from workflow_engine.errors import InvalidDocument, Problem
from workflow_engine.values import deep_equal, pointer


def problems_of(text, **limits) -> tuple[Problem, ...]:
    with pytest.raises(InvalidDocument) as raised:
        load(text, limits=Limits(**limits))
    return raised.value.problems


def the_problem_of(text, **limits) -> Problem:
    (problem,) = problems_of(text, **limits)
    return problem


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"), ("yes", "yes"), ("no", "no"), ("off", "off"), ("y", "y"),
        ("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE"),
        ("null", None), ("~", None), ("Null", None), ("nULL", "nULL"),
        ("0", 0), ("-12", -12), ("+3", 3), ("010", 10), ("0o17", 15), ("0xfF", 255), ("1_000", "1_000"),
        ("0b11", "0b11"), ("0.8", 0.8), ("1e3", 1000.0), (".5", 0.5), ("-1.", -1.0), ("1.0.0", "1.0.0"),
        ("2024-01-31", "2024-01-31"), ("2024-01-31T12:00:00Z", "2024-01-31T12:00:00Z"), ("12:30", "12:30"),
        ("190:20:30", "190:20:30"), ("=", "="), ("${ .a }", "${ .a }"), ("+", "+"), (".", "."),
        ("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)),
        ("!!str 12", "12"), ("! 12", "12"), ("!!int 12", 12), ("!!float 12", 12.0), ("!!null ''", None),
        ("'12'", "12"), ('"true"', "true"), ("|\n  a\n  b\n", "a\nb\n"), (">-\n  a\n  b\n", "a b"),
    ],
)  # fmt: skip
def test_a_plain_scalar_is_what_the_core_schema_of_yaml_1_2_says(written, value):
    data = load(f"key: {written}").data["key"]
    assert deep_equal(data, value)
    assert type(data) is type(value)


def test_keys_that_yaml_1_1_would_read_as_booleans_are_strings():
    assert load("schedule:\n  on: {one: {}}\n  off: 1\n").data == {"schedule": {"on": {"one": {}}, "off": 1}}


def test_key_order_is_kept():
    assert list(load("z: 1\na: 2\nm: 3").data) == ["z", "a", "m"]
    assert list(load('{"z": 1, "a": 2, "m": 3}').data) == ["z", "a", "m"]


def test_positions_are_those_of_the_text():
    source = load("# a comment\ndo:\n  - reserve:\n      call:   http\n      with: { method: GET }\n")
    at = source.positions
    assert at.key("/do") == (2, 1)
    assert at.value("/do") == (3, 3)
    assert at.value("/do/0") == at.key("/do/0") == (3, 5)
    assert at.key("/do/0/reserve") == (3, 5)
    assert at.value("/do/0/reserve") == (4, 7)
    assert at.key("/do/0/reserve/call") == (4, 7)
    assert at.value("/do/0/reserve/call") == (4, 15)
    assert at.value("/do/0/reserve/with/method") == (5, 23)
    assert at.value("") == (2, 1)


def test_the_place_of_what_is_not_there_is_that_of_its_nearest_ancestor():
    at = load("a:\n  b: [1, 2]\n").positions
    assert at.value("/a/b/7/x") == at.value("/a/b") == (2, 6)
    assert at.key("/a/c") == at.key("/a") == (1, 1)
    assert at.value("/zzz") == (1, 1)


def test_slashes_and_tildes_in_keys_are_escaped_in_pointers():
    at = load("a/b:\n  c~d: 1").positions
    assert at.value("/a~1b/c~0d") == (2, 8)


def test_json_has_positions_too():
    at = load('{"a": [1,\r\n  {"b": "\\ud83d\\ude00", "c": 2}]}').positions
    assert at.value("/a/1/c") == (2, 30)
    assert at.key("/a/1/c") == (2, 25)


@pytest.mark.parametrize("break_", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_byte_order_marks_and_every_line_break_are_understood(break_, mark):
    source = load(f"{mark}a: 1{break_}b:{break_}  c: 2{break_}".encode())
    assert source.data == {"a": 1, "b": {"c": 2}}
    assert source.positions.key("/a") == (1, 1)
    assert source.positions.key("/b/c") == (3, 3)
    source = load(f'{mark}{{"a": 1,{break_} "b": 2}}')
    assert source.positions.key("/b") == (2, 2)


def test_aliases_are_expanded_and_stand_where_they_are_used():
    source = load("a: &x\n  b: 1\nc: *x\nd: [*x]")
    assert source.data == {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}]}
    assert source.positions.value("/c") == (3, 4)
    assert source.positions.key("/d/0/b") == (2, 3)


def test_merge_keys_share_settings():
    source = load(
        "base: &base {a: 1, b: 2}\nmore: &more {b: 3, c: 4}\n"
        "one: {<<: *base, a: 9}\ntwo: {a: 8, <<: [*base, *more]}\nkey: {'<<': 1}\nvalue: <<"
    )
    assert source.data["one"] == {"a": 9, "b": 2}
    assert source.data["two"] == {"a": 8, "b": 2, "c": 4}
    assert source.data["key"] == {"<<": 1}
    assert source.data["value"] == "<<"
    assert source.positions.key("/two/c") == (2, 20)


def test_every_problem_is_reported_at_once_in_order():
    found = problems_of("a: 1\nb: {x: 1, x: 2}\na: 2\n1: one\n? [q]\n: 2\nc: !mine 3\nd: .inf\n")
    assert [(problem.code, problem.pointer, problem.line, problem.column) for problem in found] == [
        ("duplicate-key", "/b/x", 2, 11),
        ("duplicate-key", "/a", 3, 1),
        ("not-a-string-key", "", 4, 1),
        ("not-a-string-key", "", 5, 3),
        ("unsupported-tag", "/c", 7, 4),
        ("number-out-of-range", "/d", 8, 4),
    ]
    assert "line 1" in found[1].message
    assert '"1"' in found[2].message


def test_problems_are_bounded():
    found = problems_of("\n".join(f"- !x {number}" for number in range(5000)))
    assert len(found) == 101
    assert found[-1].code == "too-many-problems"


@pytest.mark.parametrize(
    ("text", "code", "place"),
    [
        ("", "empty-document", (1, 1)),
        ("# nothing\n", "empty-document", (1, 1)),
        ("---\n...\n", "empty-document", (1, 1)),
        ("a: 1\n---\nb: 2", "multiple-documents", (2, 1)),
        ("a: *gone", "undefined-alias", (1, 4)),
        ("a: &x [1, *x]", "recursive-alias", (1, 11)),
        ("a: &x {<<: *x}", "recursive-alias", (1, 12)),
        ("<<: 3", "invalid-merge", (1, 5)),
        ("<<: [{}, 3]", "invalid-merge", (1, 5)),
        ("{<<: {}, <<: 1}", "invalid-merge", (1, 14)),
        ("a: !!python/object:os.system x", "unsupported-tag", (1, 4)),
        ("a: !!binary aGk=", "unsupported-tag", (1, 4)),
        ("a: !!timestamp 2024-01-01", "unsupported-tag", (1, 4)),
        ("a: !!set {b}", "unsupported-tag", (1, 4)),
        ("a: !!int b", "unsupported-tag", (1, 4)),
        ("%TAG ! tag:x,2000:\n---\na: 1", "unsupported-tag", (1, 1)),
        ("a: 18446744073709551616", "number-out-of-range", (1, 4)),
        ("a: " + "9" * 5000, "number-out-of-range", (1, 4)),
        ("a: 1e999", "number-out-of-range", (1, 4)),
        ("a: .nan", "number-out-of-range", (1, 4)),
        ('{"a": 1e999}', "number-out-of-range", (1, 7)),
        ("a: \x00", "yaml-syntax", (1, 4)),
        ("a: \ud800", "yaml-syntax", (1, 4)),
        ('{"a": "\\ud800"}', "yaml-syntax", (1, 10)),
        (b"a: b\nc: d\xff", "not-utf-8", (2, 5)),
        ("a: 1".encode("utf-16"), "not-utf-8", (1, 1)),
        ('{"a": 1', "yaml-syntax", (2, 1)),
        ('{"a": [1}', "yaml-syntax", (1, 9)),
    ],
)
def test_what_cannot_be_read_has_a_code_and_a_place(text, code, place):
    problem = the_problem_of(text)
    assert (problem.code, (problem.line, problem.column)) == (code, place)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("as: $context + { text: .text }", "quote a value with a colon"),
        ('as: "a \\(.b)"', "single quotes"),
        ("a:\n\tb: 1", "spaces"),
        ("a: @b", "begins with @ must be quoted"),
        ("a: `b`", "begins with ` must be quoted"),
        ("a: {x: [.b[] | .c]}", "in quotes"),
        ("do:\n  - a: 1\n b: 2", "indentation fits no line above"),
        ("a: 'x", "closing quote"),
        ("a: b: c", "has a colon in it"),
    ],
)
def test_a_syntax_error_says_what_to_do_where_authors_stumble(text, hint):
    problem = the_problem_of(text)
    assert problem.code == "yaml-syntax"
    assert hint in problem.message


def test_limits_are_those_that_are_given():
    assert the_problem_of("a: [1, 2, 3]", nodes=5).code == "too-large"
    assert the_problem_of("a: [[1]]", depth=2).code == "too-deep"
    assert the_problem_of("a: &x [1]\nb: [*x]", depth=2).code == "too-deep"
    assert the_problem_of("a: bcd", bytes=5).code == "too-large"
    assert the_problem_of("é" * 3, bytes=5).code == "too-large"
    assert the_problem_of("a: bcd", characters=3).code == "too-large"
    assert load("a: [1]", limits=Limits(bytes=6, depth=2, nodes=4, characters=1)).data == {"a": [1]}


def _laughs() -> str:
    return "x: &a0 lol\n" + "\n".join(f"y{n}: &a{n} [{f'*a{n - 1}, ' * 9}]" for n in range(1, 20))


def _merges() -> str:
    keys = ", ".join(f"k{n}: 1" for n in range(9000))
    return f"a: &a {{{keys}}}\n" + "\n".join(f"b{n}: {{<<: *a}}" for n in range(1000))


HOSTILE = {
    "brackets": "[" * 2**20,
    "braces": "{" * 2**20,
    "objects in JSON": '{"a":' * 200_000,
    "dashes": "- " * 2**19,
    "question marks": "? " * 2**19,
    "billion laughs": _laughs(),
    "long text many times": "a: &x " + "y" * 900_000 + "\nb: [" + "*x, " * 20_000 + "]",
    "merges": _merges(),
    "tag directives": "".join(f"%TAG !a{n}! b\n" for n in range(60_000)) + "---\na",
    "many values": "[" + "1," * 500_000 + "]",
    "many lines": "- 1\n" * 250_000,
    "many flow keys": "{" + "a," * 400_000 + "}",
    "no end of a string": 'a: "' + "\n" * (2**20 - 10),
    "no end of a JSON string": '{"a": "' + "b" * (2**20 - 10),
    "backslashes": '"' + "\\" * (2**20 - 1),
    "blanks": " " * 2**20,
    "long key": "a" * (2**20 - 10) + ": b: c",
    "tags": "!" * 2**20,
    "digits": "1" * 2**20,
    "a megabyte too much": "a" * 2**24,
    "nested long keys": "".join(" " * n + "k" * 10_000 + ":\n" for n in range(90)) + " " * 90 + "[" + "1," * 60_000,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_within_bounds(name):
    before = time.process_time()
    with pytest.raises(InvalidDocument) as raised:
        load(HOSTILE[name])
    assert time.process_time() - before < 20  # a bound on the order of growth, not on speed
    assert len(str(raised.value)) < 2**22


def test_a_megabyte_of_keys_below_long_keys_needs_memory_in_proportion_only():
    source = load(json.dumps({"k" * 300_000: {"k" * 300_000: [1] * 90_000}}, indent=0))
    deep = pointer("k" * 300_000, "k" * 300_000, 89_999)
    assert source.positions.value(deep) == (90_003, 1)


words = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=20,
)


class Quoting(yaml.SafeDumper):
    """Writes every string in double quotes, so that no rule of YAML 1.1 for plain text matters."""


Quoting.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"')
)
Quoting.ignore_aliases = lambda self, data: True


def as_yaml(value, **options) -> str:
    return yaml.dump(value, Dumper=Quoting, sort_keys=False, **options)


@settings(max_examples=150, deadline=None)
@given(values, st.booleans(), st.sampled_from([None, 1, 3]))
def test_any_json_value_written_as_json_is_read_as_it_was(value, ascii, indent):
    loaded = load(json.dumps(value, ensure_ascii=ascii, indent=indent)).data
    assert json.dumps(loaded) == json.dumps(value)


@settings(max_examples=150, deadline=None)
@given(values, st.booleans())
def test_any_json_value_written_as_yaml_is_read_as_it_was(value, flow):
    loaded = load(as_yaml(value, default_flow_style=flow, width=10**6)).data
    assert json.dumps(loaded) == json.dumps(value)


def every_pointer(value, at=""):
    yield at, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from every_pointer(item, at + pointer(key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from every_pointer(item, at + pointer(index))


def check_positions(source: Source, text: str) -> None:
    lines = text.split("\n")
    for place, value in every_pointer(source.data):
        line, column = source.positions.value(place)
        rest = lines[line - 1][column - 1 :]
        if isinstance(value, str):
            assert rest.startswith(json.dumps(value))
        name = place.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
        line, column = source.positions.key(place)
        if place and not lines[line - 1][column - 1 :].startswith(json.dumps(name)):
            assert name.isdecimal()  # an item of a list


@settings(max_examples=150, deadline=None)
@given(values)
def test_positions_point_at_the_text_of_keys_and_values(value):
    text = json.dumps(value, indent=2)
    check_positions(load(text), text)
    shuffled = json.dumps(value)
    check_positions(load(shuffled), shuffled)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-{}[]\"'|>&*!<?%#\n\t ,1.e\\~@", max_size=40))
def test_any_text_is_read_or_refused_with_places(text):
    try:
        load(text)
    except InvalidDocument as error:
        for problem in error.problems:
            assert problem.line >= 1
            assert problem.column >= 1
            assert problem.message
