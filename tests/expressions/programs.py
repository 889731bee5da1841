"""Strategies for jq programs and the data they run on, for comparing two implementations of jq."""

from __future__ import annotations

import json

from hypothesis import strategies as st

NAMES = ("a", "b", "c")
TEXTS = st.sampled_from(["", "a", "b", "ab", "a,b", "aXb", "1", "2.5", "é", "x y", "{}", "B", "ba"])
NUMBERS = st.one_of(st.integers(-3, 4), st.sampled_from([0.5, -1.5, 2.25, 10, 100]))
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=10,
)


ATOMS = st.one_of(
    st.sampled_from([".", ".a", ".b", ".c", ".[0]", ".[-1]", ".[]", ".[]?", ".a?", "..", "$v", "$w"]),
    st.sampled_from([".[1:]", ".[:1]", ".[-2:]?", "[]", "{}", ".a.b", ".a[0]?", ".[\"a\"]?", "empty"]),
    st.sampled_from(["null", "true", "false", "1", "-2", "0.5", '"a"', '"x"', "[1,2,1]", '{"a":1,"b":[2]}']),
    SCALARS.map(json.dumps),
)  # fmt: skip
FUNCTIONS = (
    "length keys keys_unsorted add any all not type sort min max unique reverse flatten tostring tojson "
    "tonumber ascii_downcase ascii_upcase explode implode floor sqrt abs first last to_entries "
    "from_entries paths tostream transpose trim ltrim utf8bytelength values nulls scalars arrays objects "
    "strings numbers booleans iterables recurse fromjson @text @json @html @uri @csv @tsv @sh @base64 "
    "@base64d error isempty(.[]?) combinations? ceil round trunc fabs toboolean"
)
UNARY = (
    "map select map_values sort_by group_by unique_by min_by max_by any all first last isempty add path "
    "del has contains inside startswith endswith ltrimstr rtrimstr trimstr split join index rindex "
    "indices test splits scan capture match flatten with_entries paths pick walk getpath error nth "
    "bsearch IN INDEX in range limit"
)
OPERATORS = st.sampled_from(["+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "and", "or", "//"])
ASSIGNMENTS = st.sampled_from(["=", "|=", "+=", "-=", "*=", "//="])
PATHS = st.sampled_from(
    [".a", ".b", ".[0]", ".[]", ".[]?", ".a.b", ".a[0]", ".a[]?", ".[1:]", "..", "(.a,.b)", ".[-1]", "first(.[]?)",
     "(.[]?|select(. != null))", "if .a? then .a else .b? end", ".a // .b", "getpath([\"a\",\"b\"])", "limit(1; .[]?)",
     "recurse", "paths", "(.a|.b)", ".a?", "try .a catch .b", "empty", ". as $x | .a", "last(.[]?)"]
)  # fmt: skip


def _grow(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("({0[0]} | {0[1]})".format),
        st.tuples(inner, inner).map("({0[0]}, {0[1]})".format),
        st.tuples(inner, OPERATORS, inner).map("({0[0]} {0[1]} {0[2]})".format),
        st.tuples(inner, st.sampled_from(FUNCTIONS.split())).map("({0[0]} | {0[1]})".format),
        st.tuples(st.sampled_from(UNARY.split()), inner).map(_unary),
        st.tuples(inner, st.sampled_from(UNARY.split()), inner).map(
            lambda parts: f"({parts[0]} | {_unary(parts[1:])})"
        ),
        st.tuples(PATHS, ASSIGNMENTS, inner).map("({0[0]} {0[1]} {0[2]})".format),
        st.tuples(PATHS).map("[path({0[0]})]".format),
        st.tuples(PATHS).map("del({0[0]})".format),
        inner.map("[{}]".format),
        inner.map("({})?".format),
        inner.map("-({})".format),
        st.tuples(inner, inner).map("{{a: ({0[0]}), b: ({0[1]})}}".format),
        st.tuples(inner, inner).map('{{(({0[0]}) | tostring): ({0[1]}), "b": 1}}'.format),
        st.tuples(inner, inner, inner).map("(if {0[0]} then {0[1]} else {0[2]} end)".format),
        st.tuples(inner, inner).map("(try ({0[0]}) catch ({0[1]} | type))".format),
        st.tuples(inner, inner).map("({0[0]} as $v | {0[1]})".format),
        st.tuples(inner, inner).map("({0[0]} as [$v, $w] | {0[1]})".format),
        st.tuples(inner, inner).map("({0[0]} as {{a: $v, $b}} | {0[1]})".format),
        st.tuples(inner, inner).map("(({0[0]}) as [$v] ?// {{a: $v}} ?// $v | {0[1]})".format),
        st.tuples(inner, inner, inner).map("(reduce ({0[0]}) as $v ({0[1]}; {0[2]}))".format),
        st.tuples(inner, inner, inner).map(
            "[limit(20; foreach ({0[0]}) as $v ({0[1]}; {0[2]}; [., $v]))]".format
        ),
        st.tuples(inner, inner).map("(label $f | ({0[0]} | (., break $f)), {0[1]})".format),
        st.tuples(inner, inner).map("(def f: {0[0]}; {0[1]} | f)".format),
        st.tuples(inner, inner).map("(def f(g): {0[0]} | g; f({0[1]}))".format),
        st.tuples(inner, inner).map("(def f($p; g): [$p, g]; f({0[0]}; {0[1]}))".format),
        st.tuples(inner, inner).map('"<\\({0[0]})|\\({0[1]})>"'.format),
        st.tuples(inner, inner).map('@json "\\({0[0]}) \\({0[1]})"'.format),
        st.tuples(inner, inner, inner).map("({0[0]} | .[{0[1]}:{0[2]}])".format),
        st.tuples(inner, inner).map("({0[0]} | .[{0[1]}])".format),
        st.tuples(inner).map('(({0[0]}) | gsub("a"; "<\\(.)>"))'.format),
        st.tuples(inner).map('(({0[0]}) | sub("(?<x>[ab])"; .x + "!", "?"))'.format),
    )


def _unary(parts: tuple[str, ...]) -> str:
    name, argument = parts
    if name == "range":
        return f"[limit(9; range({argument}))]"
    return f"[limit(2; {argument})]" if name == "limit" else f"{name}({argument})"


PROGRAMS = st.recursive(ATOMS, _grow, max_leaves=7).map("7 as $v | [8] as $w | {}".format)
