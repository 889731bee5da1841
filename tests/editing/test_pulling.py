"""Problems for an editor that asks for them (`textDocument/diagnostic`), and is told none by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from lsprotocol import types

from tests.editing.editor import Editor, editor
from tests.editing.raw import Raw, raw
from tests.editing.test_diagnostics import VALID, told, validated

WRONG = VALID + "  - second: {wait: soon}\n"
DOCUMENT = {"textDocument": {"uri": "file:///a.yaml"}}
PULLS = {"capabilities": {"textDocument": {"diagnostic": {}}}}


async def asked(code: Editor, uri: str, before: str | None = None) -> types.DocumentDiagnosticReport:
    return await code.text_document_diagnostic_async(
        types.DocumentDiagnosticParams(types.TextDocumentIdentifier(uri), previous_result_id=before)
    )


@pytest.mark.asyncio(loop_scope="function")
async def test_an_editor_that_asks_for_problems_is_told_those_of_wfe_validate_once(tmp_path: Path) -> None:
    async with editor(tmp_path, pulls=True) as code:
        assert code.started is not None
        assert code.started.capabilities.diagnostic_provider is not None
        uri = code.open(WRONG)
        report = await asked(code, uri)
        assert isinstance(report, types.RelatedFullDocumentDiagnosticReport)
        assert told(list(report.items)) == validated(WRONG) != []
        again = await asked(code, uri, report.result_id)
        assert isinstance(again, types.RelatedUnchangedDocumentDiagnosticReport)
        code.change(uri, 2, VALID)
        changed = await asked(code, uri, report.result_id)
        assert isinstance(changed, types.RelatedFullDocumentDiagnosticReport)
        assert (list(changed.items), changed.result_id != report.result_id) == ([], True)
        # What is no document of ours, and what is not open, has none; and nothing was published.
        for other in (code.open("a: 1\n"), "file:///tests/nowhere.yaml"):
            found = await asked(code, other)
            assert isinstance(found, types.RelatedFullDocumentDiagnosticReport)
            assert list(found.items) == []
        code.close(uri)
        assert isinstance(await asked(code, uri), types.RelatedFullDocumentDiagnosticReport)
        assert code.published == {}


@pytest.mark.asyncio(loop_scope="function")
async def test_fixes_and_hovers_know_the_problems_that_were_asked_for(tmp_path: Path) -> None:
    text = VALID.replace("set:", "wiat:")
    async with editor(tmp_path, pulls=True) as code:
        uri = code.open(text)
        report = await asked(code, uri)
        assert isinstance(report, types.RelatedFullDocumentDiagnosticReport)
        everything = types.Range(types.Position(0, 0), types.Position(9, 0))
        context = types.CodeActionContext(list(report.items), only=["source.fixAll.wfe"])
        fixes = await code.text_document_code_action_async(
            types.CodeActionParams(types.TextDocumentIdentifier(uri), everything, context)
        )
        assert [fix.kind for fix in fixes or () if isinstance(fix, types.CodeAction)] == ["source.fixAll.wfe"]


def opened(server: Raw, text: str) -> None:
    server.ask("hello", "initialize", PULLS)
    assert server.answer()["id"] == "hello"
    item = {"uri": "file:///a.yaml", "languageId": "yaml", "version": 1, "text": text}
    server.tell("textDocument/didOpen", {"textDocument": item})


def test_what_is_asked_of_a_text_that_changes_meanwhile_is_to_be_asked_again() -> None:
    """A check of the first text takes the time that the process of checks takes to begin, at least."""
    with raw() as server:
        opened(server, WRONG)
        server.ask(1, "textDocument/diagnostic", DOCUMENT)
        changed = {"uri": "file:///a.yaml", "version": 2}
        server.tell("textDocument/didChange", {"textDocument": changed, "contentChanges": [{"text": VALID}]})
        server.ask(2, "textDocument/diagnostic", DOCUMENT)
        answers = {(answer := server.answer())["id"]: answer for _ in range(2)}
        assert answers[1]["error"]["code"] == -32802
        assert answers[1]["error"]["data"] == {"retriggerRequest": True}
        assert answers[2]["result"]["items"] == []


def test_asking_may_be_cancelled_and_asked_again_and_a_closed_document_leaves_nobody_waiting() -> None:
    with raw() as server:
        opened(server, WRONG)
        server.ask(1, "textDocument/diagnostic", DOCUMENT)
        server.ask(2, "textDocument/diagnostic", DOCUMENT)
        server.tell("$/cancelRequest", {"id": 1})
        answers = {(answer := server.answer())["id"]: answer for _ in range(2)}
        assert answers[1]["error"]["code"] == -32800
        assert len(answers[2]["result"]["items"]) == 1
        server.tell(
            "textDocument/didChange",
            {"textDocument": {"uri": "file:///a.yaml", "version": 2}, "contentChanges": [{"text": VALID}]},
        )
        server.ask(3, "textDocument/diagnostic", DOCUMENT)
        server.tell("textDocument/didClose", DOCUMENT)
        server.ask(4, "textDocument/diagnostic", DOCUMENT)
        answers = {(answer := server.answer())["id"]: answer for _ in range(2)}
        assert answers[4]["result"]["items"] == []
        assert "error" in answers[3] or answers[3]["result"]["items"] == []
