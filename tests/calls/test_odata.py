"""Addresses of OData: what stands in them is a value of the type that it has in JSON (OData 4.01, URL Conventions)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.calls.odata import address, query
from workflow_engine.errors import Fault

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_text_in_a_filter_stays_text(text: str) -> None:
    [piece] = query({"filter": ["Name eq '", text, "' and City eq ", text, " and Age gt ", 3, ""]})
    assert re.fullmatch(r"\$filter=[\x21-\x7e]*", piece)
    assert "&" not in piece
    [(_, found)] = parse_qsl(piece, keep_blank_values=True)
    parts = re.fullmatch(r"Name eq '((?:[^']|'')*)' and City eq '((?:[^']|'')*)' and Age gt 3", found)
    assert parts is not None, found
    assert [part.replace("''", "'") for part in parts.groups()] == [text, text]


@given(TEXTS.filter(lambda text: text not in (".", "..")))
@settings(max_examples=300, deadline=None)
def test_a_key_stays_in_its_segment(text: str) -> None:
    found = address({"service": "https://e.example/v4/", "entitySet": "People", "key": text})
    assert re.fullmatch(r"https://e\.example/v4/People\('[^/?#]*'\)", found)


@pytest.mark.parametrize(
    ("service", "entity_set", "found"),
    [
        ("https://e.example/v4", "People", "https://e.example/v4/People"),
        ("https://e.example/v4/?sap-client=1", "People", "https://e.example/v4/People?sap-client=1"),
        ("https://e.example/v4/", "Model.Größe", "https://e.example/v4/Model.Gr%C3%B6%C3%9Fe"),
    ],
)
def test_the_entity_set_is_below_the_service(service: str, entity_set: str, found: str) -> None:
    assert address({"service": service, "entitySet": entity_set}) == found


@pytest.mark.parametrize("key", [{}, {"a b": 1}, {"a": {"b": 1}}, [1]])
def test_a_key_that_is_none_is_a_validation_fault(key: Any) -> None:
    with pytest.raises(Fault) as raised:
        address({"service": "https://e.example", "entitySet": "People", "key": key})
    assert raised.value.error.type.endswith("validation")


@pytest.mark.parametrize("options", [{"top": -1}, {"top": True}, {"skip": "1; x"}, {"count": 1}, {"filter": ""},
                                     {"select": {"a": 1}}, {"filter": ["a eq ", {"b": 1}, ""]}])  # fmt: skip
def test_an_option_of_the_wrong_type_is_a_validation_fault(options: Any) -> None:
    with pytest.raises(Fault) as raised:
        query(options)
    assert raised.value.error.type.endswith("validation")
