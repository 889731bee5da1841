from __future__ import annotations

import pytest

from workflow_engine.calls.structured_text import MAX_NODES, read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": [1, 2.5, null, true, "x"]}', {"a": [1, 2.5, None, True, "x"]}),
        ("\ufeff[1]", [1]),
        ("{a: 1, b: [x]}", {"a": 1, "b": ["x"]}),
        ("on: yes\nt: 12:30\nd: 2024-01-31", {"on": "yes", "t": "12:30", "d": "2024-01-31"}),
        ("a: null\nb: ~\nc:\nd: TRUE", {"a": None, "b": None, "c": None, "d": True}),
        ("a: -1\nb: 1e3\nc: '1'\nd: !!str 1", {"a": -1, "b": 1000.0, "c": "1", "d": "1"}),
        ("200: ok\ntrue: t\n1.5: f", {"200": "ok", "true": "t", "1.5": "f"}),
        ("a: &x {k: 1}\nb: *x", {"a": {"k": 1}, "b": {"k": 1}}),
        ("d: &d {a: 1, b: 1}\ne:\n  <<: *d\n  b: 2", {"d": {"a": 1, "b": 1}, "e": {"a": 1, "b": 2}}),
        ("plain text", "plain text"),
        ("a: 123456789012345678901", {"a": 123456789012345678901.0}),
    ],
)
def test_json_and_yaml_are_read_as_the_core_schema_says(text, expected):
    assert read(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"),
        ("# nothing", "empty"),
        ('{"a": [1', "line 1, column"),
        ("a: b: c", "mapping values are not allowed"),
        ("--- 1\n--- 2", "more than one"),
        ("a: !ruby/object x", "tag"),
        ("a: *x", "anchor"),
        ("a: &a [*a]", "anchor"),
        ("? {a: 1}\n: b", "key"),
        ("[" * 50_000, "not JSON"),
        ("- " * 5_000 + "x", "nested"),
        ("a: [" + "1," * MAX_NODES + "1]", "values"),
        ("a: \x00", "control|special"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_says_why(text, words):
    with pytest.raises(ValueError, match=words):
        read(text)


def test_a_bomb_of_aliases_stays_small():
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    data = read("\n".join(lines))
    assert data["a29"][0] is data["a29"][9]
