"""How workflows are named in filters and on command lines."""

from __future__ import annotations

import pytest

from workflow_engine.engine.names import named, narrowed
from workflow_engine.errors import Rejected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("order", (None, "order", None)),
        ("old:id?#", (None, "old:id?#", None)),
        ("shop/order", ("shop", "order", None)),
        ("shop/order:1.0.0", ("shop", "order", "1.0.0")),
        ("shop/order/1.0.0", ("shop", "order", "1.0.0")),
        ("default/a:b:1", ("default", "a:b", "1")),
    ],
)
def test_a_name_may_have_its_namespace_and_its_version(text: str, expected: tuple[str | None, ...]) -> None:
    assert named(text) == expected


@pytest.mark.parametrize(
    "text", ["", "/", "shop/", "/order", "shop/order:", "shop/order/", "a/b/c/d", "a/:1"]
)
def test_a_name_that_lacks_a_part_is_refused_with_how_it_is_written(text: str) -> None:
    with pytest.raises(Rejected, match="NAMESPACE/NAME") as refused:
        named(text)
    assert refused.value.code == "workflow-name"


def test_a_filter_that_has_them_apart_may_have_them_in_one_too() -> None:
    assert narrowed(None, None, "1") == (None, None, "1")
    assert narrowed(None, "shop/order", "1") == ("shop", "order", "1")
    assert narrowed("shop", "shop/order:1", None) == ("shop", "order", "1")
    assert narrowed("default", "old/id:7", None) == ("default", "old/id:7", None)
    with pytest.raises(Rejected, match=r"is of version 1, and 2 is asked for"):
        narrowed(None, "shop/order:1", "2")
