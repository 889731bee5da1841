"""Fixes that remove a property or declare a secret, and what comes of all fixes that are made."""

from __future__ import annotations

import os
import random

import pytest
from lsprotocol import types

from tests.editing.test_completion import HEAD
from tests.editing.test_reading import TEXTS
from workflow_engine import dsl
from workflow_engine.dsl.source import read_source
from workflow_engine.editing.fixes import fix_all, fixes
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.problems import diagnostics
from workflow_engine.editing.renaming import NotRenamed, edits, renamable
from workflow_engine.editing.text import Text
from workflow_engine.errors import InvalidDocument, Problem

FULL = os.environ.get("WFE_SIZE") == "full"
"""All names are renamed with ``WFE_SIZE=full``; else three of each document."""


def problems_in(text: str) -> list[Problem]:
    try:
        return list(dsl.check(dsl.parse(text)))
    except InvalidDocument as error:
        return list(error.problems)


def looked_at(text: str) -> tuple[Snapshot, list[types.Diagnostic]]:
    of = Snapshot("file:///a.yaml", Text(text), "serverless-workflow")
    return of, diagnostics(of, [each.to_json() for each in problems_in(text)])


def after(of: Snapshot, action: types.CodeAction) -> str:
    assert action.edit is not None
    assert action.edit.changes is not None
    text = of.text.source
    for each in sorted(action.edit.changes[of.uri], key=lambda each: each.range.start, reverse=True):
        text = (
            text[: of.text.offset(each.range.start)] + each.new_text + text[of.text.offset(each.range.end) :]
        )
    return text


def fixed(text: str) -> list[str]:
    of, found = looked_at(text)
    return [after(of, action) for action in fixes(of, found)]


TASK = HEAD + "  - a:\n      set: {x: 1}\n"


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (TASK + "      set:\n        y: 2 # two\n      then: end\n", TASK + "      then: end\n"),
        (TASK + "      set: {y: 2}", TASK),
        (HEAD + "  - a: {set: {x: 1, x: 2}}\n", HEAD + "  - a: {set: {x: 1}}\n"),
        (HEAD + "  - a: {set: {x: 1, x: 2, z: 3}}\n", HEAD + "  - a: {set: {x: 1, z: 3}}\n"),
        (HEAD + "  - a: {set: {x: 1}}\n    a: {wait: PT1S}\n", None),
        (TASK.replace("version: 1.0.0", "version: v1"), TASK),
    ],
)
def test_what_stands_twice_or_is_misspelt_has_a_fix(wrong, right):
    made = fixed(wrong)
    assert made == ([right] if right is not None else made)
    for text in made:
        assert len(problems_in(text)) < len(problems_in(wrong))


@pytest.mark.parametrize(
    ("before", "declared"),
    [
        ("  secrets: [key]\n", "  secrets: [key, other]\n"),
        ("  secrets:\n    - key\n", "  secrets:\n    - key\n    - other\n"),
    ],
)
def test_a_secret_is_declared_beside_the_others(before, declared):
    text = TASK.replace("  secrets: [key]\n", before).replace("$secrets.key", "$secrets.key + $secrets.other")
    assert fixed(text) == [text.replace(before, declared)]


def test_a_misspelt_secret_is_corrected_in_its_expression():
    right = TASK.replace("secrets: [key]", "secrets: [password]").replace("$secrets.key", "$secrets.password")
    assert fixed(right.replace("$secrets.password", "$secrets.pasword")) == [right]


def test_a_secret_is_declared_where_there_are_none():
    head = "document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}\n"
    do = "do:\n  - a: {call: http, with: {method: get, endpoint: 'https://a', headers: {k: '${ $secrets.key }'}}}\n"
    assert fixed(head + do) == [head + "use:\n  secrets: [key]\n" + do]
    use = "use:\n  timeouts: {a: {after: PT1S}}\n"
    assert fixed(head + use + do) == [head + "use:\n  secrets: [key]\n  timeouts: {a: {after: PT1S}}\n" + do]


def test_what_is_put_in_stands_as_far_in_as_what_is_there():
    head = "  document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}\n"
    do = "  do:\n    - a: {if: '${ $secrets.key }', set: {}}\n"
    assert fixed(head + do) == [head + "  use:\n    secrets: [key]\n" + do]
    older = "  id: a\n  version: 1.0.0\n  states: [{name: A, type: inject, data: {}, end: true}]\n"
    assert fixed(older) == ["  specVersion: '0.8'\n" + older]


def test_no_fix_of_any_document_makes_it_worse():
    made = 0
    for name, text in TEXTS.items():
        if "invalid" not in name or len(text) > 3_000:
            continue
        before = problems_in(text)
        of, found = looked_at(text)
        for problem in found:
            for action in fixes(of, [problem]):
                changed = after(of, action)
                made += 1
                assert read_source(changed)[0] is not None, (name, action.title)
                assert changed != text, (name, action.title)
        for action in fix_all(of, found):
            assert len(problems_in(after(of, action))) <= len(before), name
    assert made > 40


def test_a_renamed_document_has_the_problems_that_it_had():
    generator = random.Random(3)
    made = 0
    for name, text in TEXTS.items():
        of = Snapshot("file:///a.yaml", Text(text), None)
        if "invalid" in name or of.kind not in ("1.0", "0.8"):
            continue
        known = [each for each in of.names if renamable(of, each.start)]
        for each in known if FULL else generator.sample(known, min(len(known), 3)):
            new = generator.choice(["new name", "9", 'it\'s: "q"', "end2", "{", "é"])
            try:
                changes = edits(of, each.start, new)
            except NotRenamed:
                continue
            made += 1
            changed = types.CodeAction("", edit=types.WorkspaceEdit(changes={of.uri: changes}))
            before, found = problems_in(text), problems_in(after(of, changed))
            assert sorted(one.code for one in before) == sorted(one.code for one in found), (
                name,
                each.text,
                new,
            )
    assert made > 20
