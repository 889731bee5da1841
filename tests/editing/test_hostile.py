"""Documents that mean harm, or take long: they have their problems, and the server goes on."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from lsprotocol import types

from tests.editing.editor import Editor, children, ends, server_of
from tests.editing.test_diagnostics import VALID, told, validated

pytestmark = pytest.mark.asyncio(loop_scope="package")

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
    await asyncio.sleep(
        1.5
    )  # it is being checked, and for longer than one waits for what is no longer wanted
    code.change(uri, 3, VALID + "# fine\n")
    assert await code.problems(uri, 3) == []
    await ends(checker)
    assert children(server_of(code)) != [checker]
    code.close(uri)


async def test_what_checks_may_die_and_is_begun_again(code: Editor):
    uri = code.open(VALID)
    assert await code.problems(uri) == []
    (checker,) = children(server_of(code))
    os.kill(checker, signal.SIGKILL)
    await ends(checker)
    code.change(uri, 2, VALID.replace("set", "sett"))
    (problem,) = await code.problems(uri, 2)
    if problem.code is None:  # it was noticed only when it was asked
        code.change(uri, 3, VALID.replace("set", "sett") + "\n")
        (problem,) = await code.problems(uri, 3)
    assert problem.code == "unknown-task"
    code.close(uri)
