from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workflow_engine.calls.uri_template import expand
from workflow_engine.errors import ERRORS, Fault


@pytest.mark.parametrize(
    ("template", "variables", "expected"),
    [
        ("/pet/{id}", {"id": 1}, "/pet/1"),
        ("/pet/{id}", {"id": "a/b c?d#e&f"}, "/pet/a%2Fb%20c%3Fd%23e%26f"),
        ("/pet/{id}", {"id": "-._~"}, "/pet/-._~"),
        ("/pet/{id}", {"id": "ä"}, "/pet/%C3%A4"),
        ("/pet/{id}", {"id": True}, "/pet/true"),
        ("/pet/{id}", {"id": 2.5}, "/pet/2.5"),
        ("/pet/{id}", {"id": None}, "/pet/"),
        ("/pet/{id}", {}, "/pet/"),
        ("/pet/{id}", None, "/pet/"),
        ("/pet/{id}", "text", "/pet/"),
        ("/pet/{id}", [1], "/pet/"),
        ("/x?a={a}&b={b}", {"a": 1, "b": "&"}, "/x?a=1&b=%26"),
        ("/x?dir={dir}", {"dir": ".."}, "/x?dir=.."),
        ("/{a.b}/{a-b}", {"a.b": 1, "a-b": 2, "a": {"b": 3}}, "/1/2"),
        ("/{a,b,c}", {"a": 1, "c": 3}, "/1,3"),
        ("/plain", {"plain": 1}, "/plain"),
    ],
)
def test_a63_simple_expansion_takes_top_level_scalars_by_their_name(template, variables, expected):
    assert expand(template, variables) == expected


@pytest.mark.parametrize(
    ("template", "variables", "kind"),
    [
        ("/{a}", {"a": {}}, "expression"),
        ("/{a}", {"a": [1]}, "expression"),
        ("/{a}/x", {"a": ".."}, "expression"),
        ("/{a}{b}/x", {"a": ".", "b": "."}, "expression"),
        ("/{+a}", {"a": 1}, "configuration"),
        ("/{?a}", {"a": 1}, "configuration"),
        ("/{a*}", {"a": 1}, "configuration"),
        ("/{a:3}", {"a": 1}, "configuration"),
        ("/{}", {}, "configuration"),
        ("/{a", {}, "configuration"),
        ("/a}", {}, "configuration"),
    ],
)
def test_a63_what_is_not_simple_expansion_is_a_fault(template, variables, kind):
    with pytest.raises(Fault) as caught:
        expand(template, variables)
    assert (caught.value.error.type, caught.value.error.status) == (ERRORS + kind, 400)


@settings(max_examples=50, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: text not in (".", "..")))
def test_a_value_stays_within_its_segment_and_comes_back_whole(value):
    expanded = expand("http://h/{v}/end", {"v": value})
    assert expanded.count("/") == 4
    assert not set(expanded) & set("?# \r\n")
    assert unquote(expanded.removeprefix("http://h/").removesuffix("/end")) == value
