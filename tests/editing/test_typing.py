"""Documents that are typed, character by character: each request has its answer, and the last text its problems."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Coroutine
from typing import Any

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.conftest import SPEC
from tests.editing.editor import Editor
from tests.editing.test_diagnostics import ROOT, told, validated

pytestmark = pytest.mark.asyncio(loop_scope="package")

FULL = os.environ.get("WFE_SIZE") == "full"
FILES = sorted(
    path
    for folder in (
        ROOT / "examples",
        ROOT / "tests" / "invalid",
        SPEC / "1.0" / "examples",
        SPEC / "0.8" / "examples",
    )
    for path in folder.rglob("*")
    if path.suffix in (".yaml", ".yml", ".json")
    and path.name != "not-utf-8.yaml"
    and path.stat().st_size < 20_000
)
"""All of them with ``WFE_SIZE=full``, each several times; else a few."""


def place(text: str, offset: int) -> tuple[int, int]:
    """Line and character in UTF-16 units, counted by themselves."""
    before = text[:offset].replace("\r\n", "\n").replace("\r", "\n")
    return before.count("\n"), len(before.rpartition("\n")[2].encode("utf-16-le")) // 2


class Typist:
    """Somebody who types in an open document."""

    def __init__(self, code: Editor, generator: random.Random, text: str) -> None:
        self.code = code
        self.generator = generator
        self.text = text
        self.uri = code.open(text, language="serverless-workflow")
        self.version = 1
        self.asked: list[asyncio.Future[Any]] = []

    def put(self, start: int, end: int, text: str) -> None:
        """Write *text* instead of what stands from *start* up to *end*."""
        self.version += 1
        first, last = place(self.text, start), place(self.text, end)
        self.code.change(self.uri, self.version, (*first, *last, text))
        self.text = self.text[:start] + text + self.text[end:]

    def ask(self, offset: int) -> None:
        """Ask something about *offset*, perhaps to think better of it."""
        document = types.TextDocumentIdentifier(self.uri)
        position = types.Position(*place(self.text, offset))
        whole = types.Range(types.Position(0, 0), position)
        code = self.code
        asked: Coroutine[Any, Any, Any] = self.generator.choice(
            [
                lambda: code.text_document_completion_async(types.CompletionParams(document, position)),
                lambda: code.text_document_hover_async(types.HoverParams(document, position)),
                lambda: code.text_document_definition_async(types.DefinitionParams(document, position)),
                lambda: code.text_document_references_async(
                    types.ReferenceParams(types.ReferenceContext(True), document, position)
                ),
                lambda: code.text_document_document_symbol_async(types.DocumentSymbolParams(document)),
                lambda: code.text_document_folding_range_async(types.FoldingRangeParams(document)),
                lambda: code.text_document_semantic_tokens_full_async(types.SemanticTokensParams(document)),
                lambda: code.text_document_prepare_rename_async(
                    types.PrepareRenameParams(document, position)
                ),
                lambda: code.text_document_rename_async(types.RenameParams(document, position, "other")),
                lambda: code.text_document_code_action_async(
                    types.CodeActionParams(document, whole, types.CodeActionContext([]))
                ),
            ]
        )()
        self.asked.append(asyncio.ensure_future(asked))

    def type(self, start: int, text: str) -> None:
        """Write *text* as people do, with mistakes that are taken back."""
        for char in text:
            if self.generator.random() < 0.05:
                wrong = self.generator.choice(
                    ["😀", "'", '"', "{", "[", ": ", "- ", "\n", "&a ", "*a", "\t", "${ "]
                )
                self.put(start, start, wrong)
                self.ask(start + len(wrong))
                self.put(start, start + len(wrong), "")
            self.put(start, start, char)
            start += 1
            if self.generator.random() < 0.2:
                self.ask(start)

    async def answers(self) -> None:
        """Wait for all answers; a refusal is one."""
        for each in await asyncio.wait_for(asyncio.gather(*self.asked, return_exceptions=True), 120):
            if isinstance(each, JsonRpcException):
                assert each.code in (-32803, -32800), each  # nothing that can be renamed; cancelled
            else:
                assert not isinstance(each, BaseException), each


@pytest.mark.timeout(3600 if FULL else 120)
async def test_a_document_that_is_typed_has_the_problems_of_its_last_text(code: Editor):
    generator = random.Random(29)
    files = FILES * 3 if FULL else generator.sample(FILES, 12)
    assert len(FILES) > 100
    for path in files:
        text = path.read_bytes().decode()
        if "\nasyncapi:" in f"\n{text}":
            continue
        start = generator.randrange(len(text))
        end = min(start + generator.randrange(5, 60), len(text))
        start -= text[start - 1 : start + 1] == "\r\n"
        typist = Typist(code, generator, text[:start] + text[end:])
        typist.type(start, text[start:end])
        assert typist.text == text
        if generator.random() < 0.3:  # and something else is lost
            cut = generator.randrange(len(text))
            typist.put(cut, min(cut + 3, len(text)), "")
        await typist.answers()
        found = told(await code.problems(typist.uri, typist.version))
        code.close(typist.uri)
        assert found == validated(typist.text), path
