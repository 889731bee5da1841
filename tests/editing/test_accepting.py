"""What is offered can be taken: the text with it is read by the parser, and has it where it was asked for."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterator

import pytest
from lsprotocol import types

from tests.editing.test_diagnostics import ROOT
from tests.editing.test_reading import TEXTS
from workflow_engine.dsl.source import read_source
from workflow_engine.editing.completion import complete
from workflow_engine.editing.neighbours import Found, Neighbours
from workflow_engine.editing.nodes import Node, Path, walk
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.text import Text
from workflow_engine.values import Json

ROUNDS = 30 if os.environ.get("WFE_SIZE") == "full" else 1
"""How often each document is looked at; ``WFE_SIZE=full`` for many times."""
_PLACE = re.compile(r"(?<!\\)(?:\$\{\d+\|([^,|]*)[^}]*\}|\$\{\d+:([^}]*)\}|\$\d)")


def taken(of: Snapshot, item: types.CompletionItem) -> str:
    """The text after *item* was taken, as editors do it: places filled in, its lines indented as the line is."""
    edit = item.text_edit
    assert isinstance(edit, types.TextEdit)
    text = edit.new_text
    assert "\n" not in text or item.insert_text_mode == types.InsertTextMode.AdjustIndentation
    if item.insert_text_format == types.InsertTextFormat.Snippet:
        text = (
            _PLACE.sub(lambda match: match[1] or match[2] or "x", text)
            .replace("\\$", "$")
            .replace("\\}", "}")
        )
    start, end = of.text.offset(edit.range.start), of.text.offset(edit.range.end)
    line = of.text.line(edit.range.start.line)
    indent = line[: len(line) - len(line.lstrip(" "))]
    return of.text.source[:start] + text.replace("\n", "\n" + indent) + of.text.source[end:]


def at(data: Json, path: Path) -> Json:
    for part in path:
        if isinstance(data, dict):
            assert isinstance(part, str), path
            data = data[part]
        else:
            assert isinstance(data, list), path
            assert isinstance(part, int), path
            data = data[part]
    return data


def keys(generator: random.Random, root: Node, text: str) -> Iterator[tuple[str, int, Path]]:
    """Texts with a place where a key is typed, and the path of the object that it is typed in."""
    found = [
        (path, entry) for path, entry in walk(root) if entry.key is not None and "\n" not in entry.key.text
    ]
    if not found:
        return
    path, entry = generator.choice(found)
    assert entry.key is not None
    yield text, generator.randint(*entry.key.inner), path[:-1]
    path, entry = generator.choice(found)
    assert entry.key is not None
    line = text.rfind("\n", 0, entry.key.start) + 1
    before = text[line : entry.key.start]
    if not before.strip(" -") and "\t" not in before:  # a new line before a key; the first one takes the dash
        put = before + "\n" + " " * len(before)
        yield text[:line] + put + text[entry.key.start :], line + len(before), path[:-1]


def syntax(text: str) -> list[str]:
    source, problems = read_source(text)
    return [] if source is not None else [f"{each.line}:{each.column} {each.message}" for each in problems]


@pytest.fixture(scope="module")
def beside() -> Found:
    return Neighbours().find([ROOT / "examples"])


def test_each_key_that_is_offered_can_be_taken(beside: Found):
    generator = random.Random(5)
    tried = 0
    for name, text in TEXTS.items():
        root = Snapshot("file:///a.yaml", Text(text), None).root
        if syntax(text) or "<<" in text:
            continue
        for _ in range(ROUNDS):
            for typed, offset, path in keys(generator, root, text):
                of = Snapshot("file:///a.yaml", Text(typed), None)
                items = complete(of, offset, beside, with_snippets=bool(generator.randrange(4)))
                for item in generator.sample(items, min(len(items), 3)):
                    tried += 1
                    after = taken(of, item)
                    source, problems = read_source(after)
                    told = (name, path, item.label, offset, after)
                    assert source is not None, (*told, problems)
                    if item.kind in (types.CompletionItemKind.Property, types.CompletionItemKind.Keyword):
                        holder = at(source.data, path)
                        assert isinstance(holder, dict), told
                        assert item.label in holder, told
    assert tried > 100


def test_each_value_that_is_offered_can_be_taken(beside: Found):
    generator = random.Random(6)
    tried = 0
    for name, text in TEXTS.items():
        of = Snapshot("file:///a.yaml", Text(text), None)
        if syntax(text) or "<<" in text:
            continue
        values = [
            (path, each.value)
            for path, each in walk(of.root)
            if each.value.kind == "scalar" and each.value.style in ("plain", "single", "double")
        ]
        for path, node in generator.sample(values, min(len(values), 4 * ROUNDS)):
            offset = generator.randint(*node.inner)
            if "\n" in text[node.start : node.end] or syntax(text[:offset] + "x" + text[offset:]):
                continue  # such as between the two quotes that stand for one
            items = complete(of, offset, beside, with_snippets=True)
            plain = [item for item in items if item.kind not in (types.CompletionItemKind.Snippet, None)]
            for item in generator.sample(plain, min(len(plain), 3)):
                after = taken(of, item)
                source, problems = read_source(after)
                told = (name, path, item.label, offset, after)
                assert source is not None, (*told, problems)
                if "${" in node.text or item.label.startswith("$") or item.insert_text_format is not None:
                    continue
                tried += 1
                value = at(source.data, path)
                literal = {"true": True, "false": False}.get(item.label, item.label)
                if item.kind == types.CompletionItemKind.Constant:
                    assert value == literal, told
                elif item.kind not in (types.CompletionItemKind.Function, types.CompletionItemKind.Unit):
                    assert value == item.label or item.label in str(value), told
    assert tried > 40


@pytest.mark.parametrize(
    ("line", "label", "after"),
    [
        ("      - ‸", "eventRef", "      - eventRef:\n          x"),
        ("      - functionRef: a\n        ‸", "actionDataFilter", "        actionDataFilter:\n          x"),
        ("      - fun‸: a", "functionRef", "      - functionRef: a"),
    ],
)
def test_lines_of_what_is_put_in_behind_a_dash_are_indented_further_than_it(line, label, after):
    head = "id: a\nspecVersion: '0.8'\nstates:\n  - name: A\n    type: operation\n    actions:\n"
    before, _, behind = (head + line).partition("‸")
    of = Snapshot("file:///a.yaml", Text(before + behind + "\n"), None)
    (item,) = (
        each for each in complete(of, len(before), Found([], []), with_snippets=True) if each.label == label
    )
    assert taken(of, item).endswith(after + "\n")


def test_a_value_that_is_no_text_takes_the_place_of_quotes():
    text = "id: a\nspecVersion: '0.8'\nkeepActive: '"
    for closed in ("'", ""):
        of = Snapshot("file:///a.yaml", Text(f"{text}tr{closed}\n"), None)
        (item,) = (
            each
            for each in complete(of, len(text) + 1, Found([], []), with_snippets=False)
            if each.label == "true"
        )
        assert taken(of, item).endswith("\nkeepActive: true\n")
        assert item.filter_text == "'true"


@pytest.mark.parametrize(
    "marked",
    [
        "document: {dsl: '\ue000‸'}\ndo: []\n",
        "id: a\nspecVersion: '0.8'\nkeepActive: '\n   tr‸ue'\n",
        "id: a\nspecVersion: '0.8'\nkeepActive: 'tr‸\n   ue'\n",
    ],
)
def test_an_edit_is_around_the_cursor_and_in_its_line_whatever_the_text_is(marked):
    before, _, behind = marked.partition("‸")
    of = Snapshot("file:///a.yaml", Text(before + behind), None)
    for each in complete(of, len(before), Found([], []), with_snippets=True):
        edit = each.text_edit
        assert isinstance(edit, types.TextEdit)
        at = of.text.position(len(before))
        assert edit.range.start.line == edit.range.end.line == at.line
        assert edit.range.start <= at <= edit.range.end
