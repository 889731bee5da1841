"""JSONPath in jq: the paths of RFC 9535 and of Goessner's article, and what is wrong with others."""

from __future__ import annotations

from typing import Any

import pytest

from workflow_engine import expressions
from workflow_engine.expressions import ExpressionError
from workflow_engine.expressions.jsonpath import condition_to_jq, to_jq

STORE: Any = {
    "store": {
        "book": [
            {"category": "reference", "author": "Nigel Rees", "title": "Sayings", "price": 8.95},
            {"category": "fiction", "author": "Evelyn Waugh", "title": "Sword", "price": 12.99},
            {
                "category": "fiction",
                "author": "Herman Melville",
                "title": "Moby",
                "isbn": "0-553",
                "price": 8.99,
            },
            {
                "category": "fiction",
                "author": "J. R. R. Tolkien",
                "title": "Rings",
                "isbn": "0-395",
                "price": 22.99,
            },
        ],
        "bicycle": {"color": "red", "price": 399},
    },
    "most": 10,
    "o'clock": {"a b": 1, "": 2},
    "n": [0, 1, 2, 3, 4, 5],
    "nothing": None,
}
BOOKS = STORE["store"]["book"]


def evaluated(program: str, data: Any = STORE, **variables: Any) -> Any:
    return expressions.compile(program, variables=variables).evaluate(data, variables)


def titles(*numbers: int) -> list[str]:
    return [BOOKS[number]["title"] for number in numbers]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$", STORE),
        ("$.most", 10),
        ("$.store.bicycle.color", "red"),
        ("$['store']['bicycle']['color']", "red"),
        ('$["store"].bicycle["color"]', "red"),
        ("$['o\\'clock']['a b']", 1),
        ('$["o\'clock"][""]', 2),
        ("$.nothing", None),
        ("$.missing", None),
        ("$.most.deeper", None),
        ("$.store.book[*].title", titles(0, 1, 2, 3)),
        ("$..author", [book["author"] for book in BOOKS]),
        ("$.store.*", [BOOKS, STORE["store"]["bicycle"]]),
        ("$.store..price", [8.95, 12.99, 8.99, 22.99, 399]),
        ("$..book[2].title", ["Moby"]),
        ("$.store.book[2].title", "Moby"),
        ("$.store.book[-1].title", "Rings"),
        ("$.store.book[9]", None),
        ("$.store.book[-9]", None),
        ("$.store.book[0,1].title", titles(0, 1)),
        ("$.store.book[0]['title','price']", ["Sayings", 8.95]),
        ("$.store.book[:2].title", titles(0, 1)),
        ("$.store.book[-2:].title", titles(2, 3)),
        ("$.n[1:5:2]", [1, 3]),
        ("$.n[::2]", [0, 2, 4]),
        ("$.n[:]", [0, 1, 2, 3, 4, 5]),
        ("$.store.book[?(@.isbn)].title", titles(2, 3)),
        ("$.store.book[?@.isbn].title", titles(2, 3)),
        ("$.store.book[?(!@.isbn)].title", titles(0, 1)),
        ("$.store.book[?(@.price < 10)].title", titles(0, 2)),
        ("$.store.book[?(@.price < $.most)].title", titles(0, 2)),
        ("$.store.book[?(@.category == 'fiction' && @.price < 20)].title", titles(1, 2)),
        ("$.store.book[?(@.category == 'reference' || @.price > 20)].title", titles(0, 3)),
        ("$.store.book[?(@.category != 'fiction')].title", titles(0)),
        ("$.store.book[?(@.author =~ /.*r.*/i)].title", titles(0, 2, 3)),
        ("$.store.book[?(@.title in ['Moby', 'Rings'])].title", titles(2, 3)),
        ("$.store.book[?(@.title nin ['Moby', 'Rings'])].title", titles(0, 1)),
        ("$.store.book[?(@.missing == null)].title", titles(0, 1, 2, 3)),
        ("$.store.book[?(@.title < 5)].title", []),
        ("$.store.book[?length(@.title) == 4].title", ["Moby"]),
        ("$.store.book.length()", 4),
        ("$..price.max()", 399),
        ("$.store.book[*].price.avg()", 13.48),
        ("$.n.sum()", 15),
        ("$.store.bicycle.keys()", ["color", "price"]),
        ("$.most > 5", True),
        ("$.most > 5 && $.store.bicycle.color == 'blue'", False),
        ("$CONST.limit", 7),
        ("$.n[?(@ > $CONST.limit)]", []),
    ],
)
def test_a_path_gives_what_it_matches(path: str, expected: Any) -> None:
    assert evaluated(to_jq(path), CONST={"limit": 7}) == expected


@pytest.mark.parametrize(
    ("path", "holds"),
    [
        ("$.most > 5", True),
        ("$.most", True),
        ("$.missing", False),
        ("$.nothing", False),
        ("$.store.book[?(@.price > 20)]", True),
        ("$.store.book[?(@.price > 200)]", False),
        ("!$.missing", True),
        ("($.most == 10)", True),
    ],
)
def test_a_condition_holds_where_something_matches(path: str, holds: bool) -> None:
    assert evaluated(condition_to_jq(path)) is holds


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("$.", "too early"),
        ("$.a[", "too early"),
        ("$.a b", "does not belong"),
        ("$.a[b]", "selects nothing"),
        ("$.a[1:2:0]", "forward"),
        ("$.a[1:2:-1]", "forward"),
        ("$.a.unknown()", "no function"),
        ("$.a[?(@.b =~ 'x')]", "pattern"),
        ("$.a[99999999999]", "no index"),
        ("$.a # b", "no JSONPath"),
        ("a.b", "no value"),
        ("$" + "[?(@" * 60 + ")]" * 60, "deep"),
    ],
)
def test_what_is_no_path_is_told(path: str, told: str) -> None:
    with pytest.raises(ExpressionError, match=told):
        to_jq(path)
