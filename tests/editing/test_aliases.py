"""Anchors, aliases and merged keys of YAML in documents that are being written. The mark ‸ is the cursor."""

from __future__ import annotations

import pytest

from tests.editing.editor import MARK
from tests.editing.test_reading import differences
from workflow_engine.dsl.source import load
from workflow_engine.editing.completion import complete
from workflow_engine.editing.hovers import hover
from workflow_engine.editing.neighbours import Found
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.outline import name_at, places, symbols
from workflow_engine.editing.reading import read
from workflow_engine.editing.renaming import NotRenamed, edits
from workflow_engine.editing.text import Text

HEAD = """document:
  dsl: 1.0.3
  namespace: a
  name: b
  version: 1.0.0
  metadata:
    call: &get
      call: http
      with: &request {method: get, endpoint: https://a}
    next: &next first
use:
  retries: {thrice: &thrice {delay: PT1S}}
do:
  - first: &task
      <<: *get
      if: .x
  - second: *task
"""


def looked_at(marked: str) -> tuple[Snapshot, int]:
    before, _, behind = marked.partition(MARK)
    return Snapshot("file:///a.yaml", Text(before + behind), None), len(before)


def offered(marked: str) -> set[str]:
    of, offset = looked_at(marked)
    return {each.label for each in complete(of, offset, Found([], []), with_snippets=True)}


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        "a: &a [1, 2]\nb: *a\nc: {x: *a, y: [*a, &d {z: 1}], w: *d}\n",
        "a: &a {x: 1, y: 2}\nb: {y: 3}\nc:\n  <<: [*a, {y: 5, z: 6}]\n  x: 0\nd: {<<: *a, v: 1}\n",
        "e: &v\n  f: 1\ng:\n- &i\n  h: 1\n- *i\n- &s text\n- *s\n- - &t x\n  - *t\n",
        "a: &a !!str 5\nb: *a\nc: !!str &c 6\nd: *c\n",
    ],
)
def test_aliases_and_merged_keys_are_what_the_parser_makes_of_them(text):
    source = load(text)
    assert differences(read(text), source.positions._root, source.data, Text(text)) == []


def test_a_key_may_have_an_anchor():
    for text in ("a:\n  &k b: c\n  d: *k\n", "a:\n  - &k b: c\n  - *k\n"):
        (anchored, alias) = read(text).entries[0].value.entries
        assert (alias.value.resolved.text, anchored.value.resolved.child("b") is None) == (
            "b",
            "-" not in text,
        )


def test_what_is_merged_says_what_can_stand_beside_it():
    task = HEAD + "  - third:\n      <<: *get\n      ‸\n"
    assert offered(task) >= {"then", "with"}  # it may be overridden
    assert not offered(task) & {"do", "wait", "catch"}
    assert offered(HEAD + "  - third:\n      call: http\n      with:\n        <<: *request\n        ‸\n") >= {
        "body"
    }
    merged = "retries:\n    <<: {thrice: &thrice {delay: PT1S}}\n"
    text = HEAD.replace("retries: {thrice: &thrice {delay: PT1S}}\n", merged)
    assert "thrice" in offered(text + "  - a: {try: [], catch: {retry: ‸}}\n")


def test_an_alias_is_completed_with_the_anchors_before_it():
    assert offered(HEAD + "  - third: *‸\n") == {"get", "request", "next", "thrice", "task"}
    assert offered(HEAD.replace("<<: *get", "<<: *g‸t")) >= {"get", "request", "next", "thrice"}
    assert "task" not in offered(HEAD.replace("thrice: &thrice {delay: PT1S}", "thrice: *‸"))


def found(marked: str) -> list[tuple[int, str]]:
    """The line, from 1, and the text of each place of the name at the mark."""
    of, offset = looked_at(marked)
    name = name_at(of, offset)
    assert name is not None
    all_places = places(of, name, definitions=True, uses=True)
    return [(of.text.line_at(each.start) + 1, of.text.source[each.start : each.end]) for each in all_places]


def test_an_alias_and_its_anchor_lead_to_each_other():
    assert found(HEAD.replace("<<: *get", "<<: *g‸et")) == [(7, "get"), (15, "get")]
    assert found(HEAD.replace("first: &task", "first: &ta‸sk")) == [(14, "task"), (17, "task")]
    twice = "specVersion: '0.8'\nid: &a x\nname: *a\nversion: &a y\nkey: *‸a\n"
    assert found(twice) == [(4, "a"), (5, "a")]


def test_a_name_that_an_alias_stands_for_is_used_there():
    text = HEAD + "    # end\n  - third:\n      wait: PT1S\n      then: *next\n"
    of, offset = looked_at(text.replace("  - first:", "  - fir‸st:"))
    name = name_at(of, offset)
    assert name is not None
    uses = places(of, name, definitions=False, uses=True)
    assert [of.text.line_at(each.start) + 1 for each in uses] == [21]
    with pytest.raises(NotRenamed, match="alias"):
        edits(of, offset, "begin")


def test_an_anchor_is_renamed_with_its_aliases():
    of, offset = looked_at(HEAD.replace("<<: *get", "<<: *ge‸t"))
    assert [each.new_text for each in edits(of, offset, "fetch")] == ["fetch", "fetch"]
    with pytest.raises(NotRenamed, match="letters"):
        edits(of, offset, "a, b")
    with pytest.raises(NotRenamed, match="already"):
        edits(of, offset, "next")


def test_a_hover_over_an_alias_shows_what_it_stands_for():
    of, offset = looked_at(HEAD.replace("second: *task", "second: *ta‸sk"))
    told = hover(of, offset, [])
    assert told is not None
    assert "```yaml\n- first: &task\n    <<: *get\n    if: .x\n```" in told.contents.value


def test_aliases_of_aliases_and_merges_of_merges_take_no_time():
    text = "a0: &a0 {k: 1}\n" + "".join(
        f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}], k{n}: *a{n - 1}}}\n" for n in range(1, 200)
    )
    root = read(text)
    assert root.at(("a30", "k7")) is not None
    wide = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2_000)) + "}\n" + "b: {<<: *a}\n" * 5_000
    assert read(wide).kind == "mapping"


def test_an_outline_tells_what_an_alias_stands_for_only_where_it_is_written():
    """Otherwise thirty lines would be a thousand million tasks, and editors refuse names that are elsewhere."""
    text = "document: {dsl: 1.0.3}\ndo:\n  - t0: &t0 {do: [a: {wait: PT1S}]}\n"
    for number in range(1, 30):
        before = f"*t{number - 1}"
        text += f"  - t{number}: &t{number} {{do: [x: {before}, y: {before}]}}\n"
    found = symbols(Snapshot("file:///a.yaml", Text(text), None))
    assert [[one.name for one in each.children or []] for each in found] == [["a"], *[["x", "y"]] * 29]
    states = "specVersion: '0.8'\nid: a\nstates:\n  - &a {name: A, type: inject}\n  - {<<: *a, type: sleep}\n  - *a\n"
    for each in symbols(Snapshot("file:///a.yaml", Text(states), None)):
        assert each.range.start <= each.selection_range.start <= each.selection_range.end <= each.range.end
