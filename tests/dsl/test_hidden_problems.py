"""A problem of one stage hides none of another, and none is told that only follows from another."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from tests.dsl.corpus import examples, mutations
from workflow_engine import dsl
from workflow_engine.dsl.document import read
from workflow_engine.dsl.source import load
from workflow_engine.errors import InvalidDocument, Problem

INVALID = Path(__file__).parents[1] / "invalid"
HEADER = "document: {dsl: '1.0.3', namespace: test, name: order, version: 1.0.0}\n"
OLD = "id: order\nspecVersion: '0.8'\n"

LATER_1_0 = {
    "invalid-expression": {"set": {"x": "${ .a ++ }"}},
    "unknown-task-name": {"set": {"x": 1}, "then": "nowhere-at-all"},
    "duplicate-variable": {"for": {"each": "one", "at": "one", "in": "${ .list }"}, "do": []},
    "unknown-retry": {"try": [], "catch": {"retry": "never-defined"}},
    "unknown-function": {"call": "never-defined"},
}
LATER_0_8 = {
    "unknown-state": {"name": "late", "type": "inject", "data": {}, "transition": "nowhere-at-all"},
    "unknown-function": {
        "name": "late", "type": "operation", "actions": [{"functionRef": "never-defined"}], "end": True,
    },
    "invalid-expression": {
        "name": "late", "type": "switch", "defaultCondition": {"end": True},
        "dataConditions": [{"condition": "${ .a ++ }", "end": True}],
    },
}  # fmt: skip
LANGUAGE = {"unsupported-language"}
"""Where expressions are in another language nothing can be said of them."""


def told(text: str | bytes) -> list[Problem]:
    try:
        return dsl.check(dsl.parse(text))
    except InvalidDocument as error:
        return list(error.problems)


def of_wrong_form() -> list[str]:
    """The files whose text can be read, whose dialect is known, and that have one mistake of text or form."""
    found = []
    for file in sorted(INVALID.glob("*.yaml")):
        reading = read(file.read_bytes())
        codes = {problem.code for problem in reading.problems}
        if reading.document is not None and not reading.sound and not codes & LANGUAGE:
            found.append(file.name)
    return found


@pytest.mark.parametrize("name", of_wrong_form())
def test_two_mistakes_of_different_stages_are_both_told(name):
    document = read((INVALID / name).read_bytes()).document
    assert document is not None
    newer = document.dialect == "1.0"
    part = "do" if newer else "states"
    for code, later in (LATER_1_0 if newer else LATER_0_8).items():
        listed = document.data.get(part)
        if not isinstance(listed, list):
            continue
        both = {**document.data, part: [*listed, {"late": later} if newer else later]}
        text = json.dumps(both)
        found = told(text)
        form = read(text).problems
        assert {problem.code for problem in form} <= {problem.code for problem in found}
        assert code in [problem.code for problem in found], (code, found)
        at = f"/{part}/{len(listed)}"
        assert [each for each in found if each not in form and not each.pointer.startswith(at)] == []


@pytest.mark.parametrize("dialect", ["1.0", "0.8"])
def test_one_mistake_of_form_has_no_followers(spec, dialect):
    tried = 0
    for number, (name, text) in enumerate(examples(spec, dialect)):
        try:
            whole = dsl.check(dsl.parse(text))
        except InvalidDocument:
            continue
        if any(problem.severity == "error" for problem in whole):
            continue
        for mutation in islice(mutations(load(text).data), number % 180, None, 180):
            changed = json.dumps(mutation.document)
            reading = read(changed)
            if not reading.sound:
                tried += 1
                own = {problem.code for problem in whole} | {problem.code for problem in reading.problems}
                assert [each for each in told(changed) if each.code not in own] == [], (name, mutation)
    assert tried > 100


def test_a_text_problem_does_not_hide_those_of_form_and_meaning():
    text = HEADER + (
        "do:\n"
        "  - a: {set: {x: 1, x: 2}}\n"
        "  - b: {wait: soon}\n"
        "  - c: {set: {y: '${ .a ++ }'}, thn: end}\n"
        "  - d: {set: {x: 1}, then: nowhere}\n"
    )
    found = [(problem.code, problem.pointer, problem.line) for problem in told(text)]
    assert found == [
        ("duplicate-key", "/do/0/a/set/x", 3),
        ("invalid-duration", "/do/1/b/wait", 4),
        ("invalid-expression", "/do/2/c/set/y", 5),
        ("unknown-property", "/do/2/c/thn", 5),
        ("unknown-task-name", "/do/3/d/then", 6),
    ]


def test_what_stands_in_a_part_of_wrong_form_is_looked_at_too():
    text = HEADER + (
        "do:\n"
        "  - first: 7\n"
        "  - outer:\n"
        "      try:\n"
        "        - inner: {set: {x: '${ .a ++ }'}}\n"
        "        - next: {call: greet}\n"
        "  - get:\n"
        "      call: http\n"
        "      with: {method: get, body: '${ .b ++ }'}\n"
    )
    found = [(problem.code, problem.pointer, problem.line) for problem in told(text)]
    assert found == [
        ("wrong-type", "/do/0/first", 3),
        ("missing-property", "/do/1/outer", 4),
        ("invalid-expression", "/do/1/outer/try/0/inner/set/x", 6),
        ("unknown-function", "/do/1/outer/try/1/next/call", 7),
        ("missing-property", "/do/2/get/with", 10),
        ("invalid-expression", "/do/2/get/with/body", 10),
    ]


def test_a_loop_that_is_never_left_is_told_beside_a_mistake_of_form():
    text = OLD + (
        "functions: [{name: f, operation: 7}]\n"
        "states:\n"
        "  - {name: a, type: operation, actions: [{functionRef: f}], transition: b}\n"
        "  - {name: b, type: inject, data: {}, transition: c}\n"
        "  - {name: c, type: inject, data: {}, transition: b}\n"
    )
    assert [problem.code for problem in told(text)] == ["wrong-type", "endless-loop"]


def test_names_that_a_broken_part_defines_are_not_called_unknown():
    text = HEADER + (
        "use: {functions: {greet: {cal: http}}, retries: {often: 7}}\n"
        "do:\n"
        "  - a: {call: greet}\n"
        "  - b: {try: [{c: {call: gret}}], catch: {retry: often}}\n"
        "  - d: {for: {eech: colour, in: '${ .list }'}, do: [{e: {set: {x: '${ $colour }'}}}]}\n"
    )
    found = [(problem.code, problem.pointer) for problem in told(text)]
    assert found == [
        ("unknown-task", "/use/functions/greet/cal"),
        ("wrong-type", "/use/retries/often"),
        ("unknown-function", "/do/1/b/try/0/c/call"),
        ("unknown-property", "/do/2/d/for/eech"),
    ]
