"""What the server says is wrong, as one types: that of `wfe validate`; and documents that mean harm, or take long."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from lsprotocol import types

import catalog
from tests.editing.editor import Editor, children, ends, server_of
from workflow_engine import dsl
from workflow_engine.editing.diagnosing import STALE
from workflow_engine.errors import InvalidDocument

pytestmark = pytest.mark.asyncio(loop_scope="package")

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for folder in ("examples", "tests/invalid")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".yaml", ".yml", ".json") and path.name != "not-utf-8.yaml"
)
VALID = """document: {dsl: 1.0.3, namespace: a, name: b, version: 1.0.0}
do:
  - first:
      set: {x: 1}
"""


def validated(text: str) -> list[tuple[str, str, int, int, bool]]:
    """What `wfe validate` finds: code, message, line, column (in characters), whether it is an error."""
    try:
        problems = list(dsl.check(dsl.parse(text)))
    except InvalidDocument as error:
        problems = list(error.problems)
    return [(each.code, each.message, each.line, each.column, each.severity == "error") for each in problems]


def told(found: list[types.Diagnostic]) -> list[tuple[str, str, int, int, bool]]:
    return [
        (
            str(each.code),
            each.message,
            each.range.start.line + 1,
            each.range.start.character + 1,
            each.severity == types.DiagnosticSeverity.Error,
        )
        for each in found
    ]


async def test_every_document_of_the_examples_and_of_the_invalid_ones_has_the_problems_of_wfe_validate(code):
    texts = {path: path.read_bytes().decode() for path in DOCUMENTS}
    opened = {path: code.open(text, language="serverless-workflow") for path, text in texts.items()}
    wrong = {}
    for path, uri in opened.items():
        text = texts[path]
        asyncapi = "\nasyncapi:" in f"\n{text}"
        found = told(await code.problems(uri))
        if asyncapi:
            expected = [
                (each.code, each.message, each.line, each.column, each.severity == "error")
                for each in catalog.lint(text)
            ]
        else:
            expected = validated(text)
        if found != expected:
            wrong[path.name] = (found, expected)
        code.close(uri)
    assert len(texts) > 100
    assert wrong == {}


async def test_a_file_that_is_no_workflow_is_left_alone(code: Editor):
    others = [
        "services: {web: {image: nginx}}\n",
        "apiVersion: v1\nkind: Pod\nspec: {containers: []}\n",
        "on: push\njobs: {a: {steps: []}}\n",
        "openapi: 3.1.0\npaths: {}\n",
        "document: a text\n",
        "- do: [\n",
        "states: [Ohio, Utah]\n",
        "",
    ]
    for text in others:
        uri = code.open(text)
        assert code.queue(uri).empty()
        code.change(uri, 2, VALID)  # what is published first is of this version
        assert await code.problems(uri) == []
        code.close(uri)


async def test_a_document_that_is_not_whole_yaml_has_the_one_problem_of_its_syntax(code: Editor):
    uri = code.open(VALID + "  - second:\n      set: {y: [1, \n")
    (problem,) = await code.problems(uri)
    assert (problem.code, problem.source) == ("yaml-syntax", "wfe")
    code.change(uri, 2, VALID)
    assert await code.problems(uri, 2) == []
    code.close(uri)


async def test_a_burst_of_edits_ends_with_the_problems_of_the_last_text(code: Editor):
    uri = code.open(VALID)
    assert await code.problems(uri, 1) == []
    end = len(VALID.splitlines())
    code.change(uri, 2, (end, 0, end, 0, "  - second:\n      wait: "))
    typed = "PT5"
    for number, char in enumerate(typed):
        code.change(uri, 3 + number, (end + 1, 12 + number, end + 1, 12 + number, char))
    version = 2 + len(typed)
    (problem,) = await code.problems(uri, version)
    assert problem.code == "invalid-duration"
    code.change(uri, version + 1, (end + 1, 12 + len(typed), end + 1, 12 + len(typed), "S\n"))
    assert await code.problems(uri, version + 1) == []
    code.close(uri)


async def test_places_count_utf_16_units(code: Editor):
    text = VALID.replace("{x: 1}", '{"😀": 1, y: "${ .a | nothing }"}')
    uri = code.open(text)
    (problem,) = await code.problems(uri)
    assert problem.code == "invalid-expression"
    line = text.split("\n")[3]
    start = len(line[: line.index("nothing")].encode("utf-16-le")) // 2
    assert (problem.range.start.line, problem.range.start.character) == (3, start)
    assert problem.range.end.character == start + len("nothing")
    code.change(uri, 2, (3, start, 3, start + len("nothing"), "length"))
    assert await code.problems(uri, 2) == []
    code.close(uri)


async def test_a_line_separator_of_unicode_ends_no_line_for_an_editor(code: Editor):
    text = VALID.replace("do:", "# a\u2028# b\ndo:").replace("set", "sett")
    uri = code.open(text)
    (problem,) = await code.problems(uri)
    assert (problem.range.start.line, problem.range.start.character) == (4, 6)
    code.change(uri, 2, (4, 6, 4, 10, "set"))
    assert await code.problems(uri, 2) == []
    code.close(uri)


async def test_lines_may_end_as_those_of_windows_do(code: Editor):
    text = (
        VALID.replace("\n", "\r\n") + "  - second:\r\n      wait: soon\r\n  - third:\r\n      wiat: PT1S\r\n"
    )
    uri = code.open(text)
    assert told(await code.problems(uri)) == validated(text)
    code.change(uri, 2, (5, 12, 5, 16, "PT1S"), (7, 6, 7, 10, "wait"))
    assert await code.problems(uri, 2) == []
    code.close(uri)


async def test_what_is_closed_has_no_problems_any_more(code: Editor):
    uri = code.open(VALID.replace("set", "sett"))
    assert await code.problems(uri)
    code.close(uri)
    assert await code.problems(uri) == []


HEAD = VALID.partition("do:")[0]


HOSTILE = {
    "huge": HEAD + "do:\n" + "  - a: {set: {x: 1}}\n" * 60_000,
    "an alias bomb": HEAD
    + "x-a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n"
    + "".join(
        f"x-{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "do: []\n",
    "deep": HEAD + "do: " + "[" * 20_000,
    "deep in blocks": HEAD + "".join(" " * n + "a:\n" for n in range(900)),
    "a long line": HEAD + "do: [" + "a, " * 20_000 + "\n",
    "one long word": HEAD + "do: " + "x" * 500_000,
    "quotes": HEAD + "do: " + "'" * 200_001,
    "many mistakes": HEAD + "do:\n" + "".join(f"  - t{n}: {{wiat: PT1S}}\n" for n in range(600)),
    "an expression": VALID.replace("1}", f"'${{ {'(' * 30_000} }}'}}"),
    "half a surrogate pair": VALID.replace("1}", '"\ud83d"}'),
    "no characters of YAML": HEAD + "do: \x00\x01\n",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_document_that_means_harm_has_its_problems_and_stops_nothing(code: Editor, name: str):
    text = HOSTILE[name]
    uri = code.open(text)
    found = told(await code.problems(uri))
    assert found
    if name != "half a surrogate pair":  # which no file can hold
        assert found == validated(text)
    position = types.Position(4, 8)
    document = types.TextDocumentIdentifier(uri)
    asked = (
        code.text_document_completion_async(types.CompletionParams(document, position)),
        code.text_document_hover_async(types.HoverParams(document, position)),
        code.text_document_document_symbol_async(types.DocumentSymbolParams(document)),
        code.text_document_folding_range_async(types.FoldingRangeParams(document)),
        code.text_document_references_async(
            types.ReferenceParams(types.ReferenceContext(True), document, position)
        ),
    )
    await asyncio.gather(*asked)
    code.change(uri, 2, VALID)
    assert await code.problems(uri, 2) == []
    code.close(uri)


async def test_a_check_that_does_not_end_is_given_up_for_the_next_text(code: Editor):
    uri = code.open(VALID)
    assert await code.problems(uri) == []
    (checker,) = children(server_of(code))
    os.kill(checker, signal.SIGSTOP)  # as if the document took for ever
    code.change(uri, 2, VALID.replace("set", "sett"))
    await asyncio.sleep(STALE + 0.5)  # longer than one waits for what is no longer wanted
    code.change(uri, 3, VALID + "# fine\n")
    assert await code.problems(uri, 3) == []
    await ends(checker)
    assert children(server_of(code)) != [checker]
    code.close(uri)


async def test_what_is_closed_before_the_process_has_begun_leaves_the_next_one_a_process(code: Editor):
    for _ in range(2):
        uri = code.open(VALID)
        assert await code.problems(uri) == []
        (checker,) = children(server_of(code))
        os.kill(checker, signal.SIGKILL)
        await ends(checker)
        code.change(uri, 2, VALID + "\n")
        await asyncio.sleep(0.3)  # it is asked for, and begins
        code.close(uri)
    uri = code.open(VALID)
    assert await code.problems(uri) == []
    code.close(uri)


async def test_what_is_closed_while_it_is_checked_costs_no_process(code: Editor):
    uri = code.open(VALID)
    assert await code.problems(uri) == []
    before = children(server_of(code))
    for _ in range(2):
        long = code.open(HEAD + "do:\n" + "".join(f"  - t{n}: {{wiat: PT1S}}\n" for n in range(2_000)))
        await asyncio.sleep(0.3)  # it is being checked
        code.close(long)
        code.change(uri, 2, VALID + "# fine\n")
        assert await code.problems(uri) == []
    assert children(server_of(code)) == before
    code.close(uri)


async def test_what_checks_may_die_and_is_begun_again(code: Editor):
    uri = code.open(VALID)
    assert await code.problems(uri) == []
    (checker,) = children(server_of(code))
    os.kill(checker, signal.SIGKILL)
    await ends(checker)
    code.change(uri, 2, VALID.replace("set", "sett"))
    (problem,) = await code.problems(uri, 2)
    assert problem.code == "unknown-task"
    code.close(uri)
