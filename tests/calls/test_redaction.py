"""The values of secrets are taken out of whatever a call gives back."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.calls.redaction import Redaction
from workflow_engine.errors import Error, Fault

HIDDEN = "[redacted]"
SECRET = 'p@ss/wörd "1" & more'


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        quote(SECRET, safe=""),
        quote(SECRET),
        quote_plus(SECRET),
        quote(SECRET, safe="@/&"),
        quote(SECRET).lower(),
        SECRET.upper(),
    ],
)
def test_a_value_is_hidden_in_every_form(form):
    assert Redaction([SECRET]).text(f"before {form} after") == f"before {HIDDEN} after"


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_value_is_hidden_in_base64_wherever_it_begins(before, encode):
    encoded = encode(f"{before}{SECRET}:after".encode()).decode()
    hidden = Redaction([SECRET]).text(encoded)
    assert HIDDEN in hidden
    assert len(hidden) - len(HIDDEN) < len(encoded) - len(SECRET)


def test_a_value_that_was_cut_is_hidden():
    redaction = Redaction([SECRET])
    assert redaction.text('cannot index string ("p@ss/wö...)') == f'cannot index string ("{HIDDEN}...)'
    assert redaction.text(f"x {SECRET[:9]}… and {SECRET[:5]}") == f"x {HIDDEN}… and {HIDDEN}"
    assert redaction.text("the end p@s") == "the end p@s"


def test_each_line_of_a_longer_value_is_hidden():
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nshort\n-----END KEY-----\n"
    assert Redaction([key]).text("bad line MIIEvQIBADANBgkqhkiG9w0") == f"bad line {HIDDEN}"
    assert Redaction([key]).text(key) == HIDDEN
    assert "short" not in Redaction([key]).text(" ".join(key.split()))


def test_a_short_value_is_hidden_only_where_it_is_everything():
    redaction = Redaction(["abc", ""])
    assert redaction.json({"a": "abc", "b": "abcd", "c": ""}) == {"a": HIDDEN, "b": "abcd", "c": ""}


def test_json_is_searched_in_its_strings_keys_and_numbers():
    redaction = Redaction([SECRET, "123456", "7"])
    data = {SECRET: [1, True, None, 7, 123456, f"x{SECRET}"], "n": 12345.5}
    assert redaction.json(data) == {HIDDEN: [1, True, None, 7, HIDDEN, f"x{HIDDEN}"], "n": 12345.5}


def test_a_fault_keeps_its_type_and_status():
    raised = Fault(Error("https://x.example/e", 418, f"Teapot {SECRET}", f"{SECRET}!", "/do/0/a"))
    hidden = Redaction([SECRET]).fault(raised).error
    assert hidden == Error("https://x.example/e", 418, f"Teapot {HIDDEN}", f"{HIDDEN}!", "/do/0/a")


def test_very_many_and_very_long_values_are_hidden_too():
    values = [f"value-{number:08}-{number * 7919}" for number in range(20_000)]
    assert Redaction(values).text(f"a {values[12_345]} b") == f"a {HIDDEN} b"
    long = "0123456789abcdef" * 4000
    assert Redaction([long]).text(f"a {long} b {long[:40]}…") == f"a {HIDDEN} b {HIDDEN}…"


def test_without_values_nothing_is_hidden():
    assert Redaction([]).json({"a": ["b", 1]}) == {"a": ["b", 1]}


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=4, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_no_value_is_left_in_any_text(secret, before, after):
    assert secret not in Redaction([secret]).text(before + secret + after) or secret in HIDDEN
