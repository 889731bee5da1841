"""The tree of a text that is being written, and the text itself as edits change it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lsprotocol import types

import catalog.nodes
from tests.editing.test_diagnostics import ROOT
from workflow_engine.dsl.source import load
from workflow_engine.dsl.tree import Limits, Place
from workflow_engine.editing.colours import colours
from workflow_engine.editing.kinds import kind_of
from workflow_engine.editing.legend import LEGEND
from workflow_engine.editing.names import names
from workflow_engine.editing.nodes import Node, spot, walk
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.outline import folds, symbols
from workflow_engine.editing.problems import diagnostics
from workflow_engine.editing.reading import MOST, read
from workflow_engine.editing.text import Text
from workflow_engine.errors import InvalidDocument
from workflow_engine.values import Json, JsonObject

TEXTS = {
    path.name + "-" + path.parent.name: path.read_bytes().decode()
    for folder in ("examples", "tests/invalid", "docs")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".yaml", ".yml", ".json") and path.name != "not-utf-8.yaml"
}


def differences(node: Node, place: Place, data: Json, text: Text, path: str = "") -> list[str]:
    """Where the tree is not that of the parser: keys, their places, and texts (but for folding of lines)."""
    found: list[str] = []
    node = node.resolved
    if isinstance(data, dict) and isinstance(place.children, dict):
        entries = [each for each in node.entries if each.name != "<<"]
        if node.merged is not None:
            entries += node.merged.values()
        if [each.name for each in entries] != list(data):
            return [f"{path}: {[each.name for each in entries]}"]
        for entry in entries:
            inner = place.children[entry.name]
            if entry.key is None or entry.key.start != text.parsed_offset(inner.key_line, inner.key_column):
                found.append(f"{path}/{entry.name}: its key is elsewhere")
            found += differences(entry.value, inner, data[entry.name], text, f"{path}/{entry.name}")
    elif isinstance(data, list) and isinstance(place.children, list):
        if len(data) != len(node.entries):
            return [f"{path}: {len(node.entries)} items"]
        for index, entry in enumerate(node.entries):
            below = place.children[index]
            found += differences(entry.value, below, data[index], text, f"{path}/{index}")
    elif isinstance(data, str) and node.text.split() != data.split():
        found.append(f"{path}: {node.text!r}")
    elif node.entries:
        found.append(f"{path}: is no {node.kind}")
    return found


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_tree_of_a_text_without_mistakes_is_that_of_the_parser(newline):
    compared = 0
    for name, written in TEXTS.items():
        text = written.replace("\r\n", "\n").replace("\n", newline)
        try:
            source = load(text)
        except InvalidDocument:
            continue
        compared += 1
        assert differences(read(text), source.positions._root, source.data, Text(text)) == [], name
    assert compared > 80


TRICKY = """\
# a comment
a: [x, {y: "]", z: 'it''s'}, plain text, "b\\"c"]   # behind
"quoted: key": >-
  folded
  text

  more: text
b:
- one
-   - two
    - three
- k: v
  l:
  - m
? : nothing
c: {"json": [1, 2.5, true, null], 'n': {}}
d: http://host:80/path#part
e: - no list
f: |2
    indented
   less
g: "over
  two lines"
h: plain
  over lines
i: !!str 5
j:
k:   'x'
"""


def test_tricky_yaml_is_read_as_it_is():
    text = TRICKY.replace("? : nothing\n", "").replace("e: - no list\n", "")
    source = load(text)
    assert differences(read(text), source.positions._root, source.data, Text(text)) == []


def test_what_is_wrong_leaves_the_rest_as_it_is():
    text = "a:\n  b: [1, 2\n  c: 'open\n  d\n  e: {f: 1\ng:\n   h: 1\n     wrong\n  i: 2\nj: 3\n"
    root = read(text)
    assert root.value() == {
        "a": {"b": [1, 2], "c": "open", "d": None, "e": {"f": 1}},
        "g": {"h": "1 wrong"},
        "j": 3,
    }


def look_at(text: str, uri: str = "file:///a.yaml") -> None:
    """All that is done with a text; it must neither fail nor leave the text."""
    of = Snapshot(uri, Text(text), "serverless-workflow")
    for _, entry in walk(of.root):
        assert 0 <= entry.start <= entry.value.end <= len(text)
    spot(of.root, len(text) // 2)
    assert kind_of(of.root, uri, None) == kind_of(of.root, uri, "yaml")
    for name in of.names:
        assert 0 <= name.start <= name.end <= len(text)
    symbols(of)
    folds(of)
    assert all(number >= 0 for number in colours(of))


def test_a_text_that_is_torn_off_anywhere_is_read():
    generator = random.Random(7)
    for text in TEXTS.values():
        for _ in range(2):
            cut = generator.randrange(len(text) + 1)
            look_at(text[:cut])
            end = min(len(text), cut + generator.randrange(40))
            look_at(text[:cut] + text[end:])


@settings(max_examples=80, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("ab:-{}[],\"'|>#&*! \n\r\t?${.}\ue000😀")), max_size=80))
def test_any_text_is_read(text):
    look_at(text)
    look_at("document:\n  dsl: 1.0.3\ndo:\n  - a:\n      " + text)


@settings(max_examples=40, deadline=None)
@given(st.text(alphabet=st.sampled_from(list("ab😀é\n\r\u2028\x0c")), max_size=30), st.data())
def test_a_text_after_edits_is_what_the_client_has(written, data):
    """The client's side is done here by UTF-16 itself: an array of units, with lines as the protocol ends them."""
    text = Text(written, encoding=data.draw(st.sampled_from(["utf-16", "utf-8", "utf-32"])))
    first_of_all, changes = text, []
    units = [written.encode("utf-16-le")[i : i + 2] for i in range(0, len(written.encode("utf-16-le")), 2)]
    for version in range(4):
        offsets = sorted(data.draw(st.lists(st.integers(0, len(text.source)), min_size=2, max_size=2)))
        offsets = [
            at + (text.source[at - 1 : at + 1] == "\r\n") for at in offsets
        ]  # nothing is inside of a break
        start, end = (text.position(offset) for offset in offsets)
        assert [text.offset(start), text.offset(end)] == offsets
        put = data.draw(st.text(alphabet=st.sampled_from(list("x😀\n\r")), max_size=4))
        first, last = (len(text.source[:offset].encode("utf-16-le")) // 2 for offset in offsets)
        raw = put.encode("utf-16-le")
        units[first:last] = [raw[i : i + 2] for i in range(0, len(raw), 2)]
        changes.append(types.TextDocumentContentChangePartial(types.Range(start, end), put))
        text = text.changed(changes[-1:], version)
        assert text.source == b"".join(units).decode("utf-16-le")
    assert first_of_all.changed(changes, 9).source == text.source


def test_a_document_in_one_line_takes_time_in_proportion_to_its_length():
    """It took minutes: each place was counted from the beginning of its line."""
    tasks = ",".join(f'{{"t{number}":{{"set":{{"é":"${{ .a + 1 }}"}}}}}}' for number in range(2_000))
    document = '"document":{"dsl":"1.0.3","namespace":"😀","name":"b","version":"1.0.0"}'
    of = Snapshot("file:///a.json", Text(f'{{{document},"do":[{tasks}]}}'), None)
    assert len(colours(of)) == 5 * 3 * 2_000
    assert len(symbols(of)) == 2_000
    for entry in of.root.entries[1].value.entries[::400]:
        position = of.text.position(entry.start)
        assert position.character == len(of.text.source[: entry.start].encode("utf-16-le")) // 2
        assert of.text.offset(position) == entry.start


def test_the_sign_of_a_block_is_no_part_of_the_expression_in_it():
    text = "document: {dsl: 1.0.3}\ndo:\n  - a:\n      if: |-\n        .a\n      set: {}\n"
    assert colours(Snapshot("file:///a.yaml", Text(text), None)) == [4, 8, 2, LEGEND.index("property"), 0]


def test_a_file_of_others_is_not_read():
    of = Snapshot("file:///package-lock.json", Text('{"packages": {"a": {"version": "1"}}}'), "json")
    assert (of.kind, of.root.entries, of.names, folds(of), symbols(of)) == (None, [], [], [], [])
    assert Snapshot("file:///a.sw.json", Text('{"a": 1}'), "json").root.entries
    assert Snapshot("file:///a.json", Text('{"a": 1}'), "serverless-workflow").root.entries


def test_each_of_thousands_of_problems_has_its_place():
    """It took a minute, in which nothing else was answered: each place was looked for from the beginning."""
    text = "document: {dsl: 1.0.3}\ndo:\n" + "".join(f"  - t{n}:\n      a: 1\n" for n in range(4_000))
    of = Snapshot("file:///a.yaml", Text(text), None)
    found = diagnostics(of, [problem_in(4 + 2 * number) for number in range(4_000)])
    assert [each.range.end.character for each in found] == [7] * 4_000


def problem_in(line: int) -> JsonObject:
    return {"line": line, "column": 7, "code": "x", "severity": "error", "message": "", "pointer": ""}


def test_names_are_found_in_every_example():
    found = 0
    for path in sorted((ROOT / "examples").rglob("workflow.yaml")):
        root = read(path.read_text())
        kind = kind_of(root, str(path), None)
        assert kind is not None, path
        for name in names(kind, root):
            found += 1
            text = Path(path).read_text()[name.start : name.end]
            assert text == name.text or name.quoted
    assert found > 100


def test_as_much_is_read_as_a_document_may_have():
    assert Limits().bytes == MOST == catalog.nodes.Limits().size
    assert read(" " * (MOST + 1)).kind == "nothing"
