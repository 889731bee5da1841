"""An editor for tests: a real client of the protocol (of pygls) and the real server, as its own process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.lsp.client import LanguageClient

MARK = "‸"
"""Where the cursor is in a text of a test."""


class Editor(LanguageClient):
    """What a person's editor does."""

    def __init__(self) -> None:
        super().__init__("tests", "1")
        self.published: dict[str, asyncio.Queue[types.PublishDiagnosticsParams]] = {}
        self.count = 0
        self.started: types.InitializeResult | None = None

    def queue(self, uri: str) -> asyncio.Queue[types.PublishDiagnosticsParams]:
        return self.published.setdefault(uri, asyncio.Queue())

    def open(self, text: str, uri: str | None = None, language: str = "yaml") -> str:
        """Open *text*; its URI."""
        self.count += 1
        uri = uri or f"file:///tests/{self.count}.yaml"
        item = types.TextDocumentItem(uri, language, 1, text)
        self.text_document_did_open(types.DidOpenTextDocumentParams(item))
        return uri

    def close(self, uri: str) -> None:
        self.text_document_did_close(types.DidCloseTextDocumentParams(types.TextDocumentIdentifier(uri)))

    def change(self, uri: str, version: int, *changes: Any) -> None:
        """*changes* are whole texts, or (line, character, line, character, text)."""
        events: list[types.TextDocumentContentChangeEvent] = []
        for change in changes:
            if isinstance(change, str):
                events.append(types.TextDocumentContentChangeWholeDocument(change))
            else:
                line, character, last, end, text = change
                place = types.Range(types.Position(line, character), types.Position(last, end))
                events.append(types.TextDocumentContentChangePartial(place, text))
        identifier = types.VersionedTextDocumentIdentifier(version, uri)
        self.text_document_did_change(types.DidChangeTextDocumentParams(identifier, events))

    async def problems(self, uri: str, version: int | None = None) -> list[types.Diagnostic]:
        """What is published of the document next; of *version* if given."""
        while True:
            params = await asyncio.wait_for(self.queue(uri).get(), 60)
            if version is None or params.version == version:
                return list(params.diagnostics)

    def at(self, marked: str, uri: str | None = None) -> tuple[str, types.Position]:
        """Open *marked* without its mark; its URI and the mark's place."""
        before, _, after = marked.partition(MARK)
        opened = self.open(before + after, uri)
        line = before.count("\n")
        last = before.rpartition("\n")[2]
        return opened, types.Position(line, len(last.encode("utf-16-le")) // 2)

    async def complete(self, marked: str, uri: str | None = None) -> list[types.CompletionItem]:
        opened, position = self.at(marked, uri)
        found = await self.text_document_completion_async(
            types.CompletionParams(types.TextDocumentIdentifier(opened), position)
        )
        self.close(opened)
        if found is None:
            return []
        return list(found.items if isinstance(found, types.CompletionList) else found)

    async def hover(self, marked: str, uri: str | None = None) -> str:
        opened, position = self.at(marked, uri)
        found = await self.text_document_hover_async(
            types.HoverParams(types.TextDocumentIdentifier(opened), position)
        )
        self.close(opened)
        if found is None:
            return ""
        assert isinstance(found.contents, types.MarkupContent)
        return found.contents.value


@asynccontextmanager
async def editor(
    folder: Path, encodings: list[Any] | None = None, *, pulls: bool = False
) -> AsyncIterator[Editor]:
    """An editor with *folder* open and its server, which has ended afterwards. *pulls*: it asks for problems."""
    client = Editor()

    @client.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
    def publish(params: types.PublishDiagnosticsParams) -> None:
        client.queue(params.uri).put_nowait(params)

    await client.start_io(sys.executable, "-m", "workflow_engine", "lsp", "--stdio")
    general = None if encodings is None else types.GeneralClientCapabilities(position_encodings=encodings)
    snippets = types.ClientCompletionItemOptions(snippet_support=True)
    completion = types.CompletionClientCapabilities(completion_item=snippets)
    diagnostic = types.DiagnosticClientCapabilities() if pulls else None
    documents = types.TextDocumentClientCapabilities(completion=completion, diagnostic=diagnostic)
    client.started = await client.initialize_async(
        types.InitializeParams(
            types.ClientCapabilities(general=general, text_document=documents),
            root_uri=folder.as_uri(),
            workspace_folders=[types.WorkspaceFolder(folder.as_uri(), folder.name)],
        )
    )
    client.initialized(types.InitializedParams())
    try:
        yield client
    finally:
        await end(client)


async def end(client: Editor) -> int | None:
    """Shut the server down and wait for its end; its exit code."""
    server = client._server
    assert server is not None
    if server.returncode is None:
        await asyncio.wait_for(client.shutdown_async(None), 30)
        client.exit(None)
        await asyncio.wait_for(server.wait(), 30)
    await client.stop()
    return server.returncode


def children(pid: int) -> list[int]:
    """The processes that *pid* has started."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def server_of(client: Editor) -> int:
    """The process of the server."""
    assert client._server is not None
    return client._server.pid


async def ends(pid: int) -> None:
    """Wait until there is no process *pid*."""
    while _alive(pid):  # noqa: ASYNC110 - nothing tells of the end of a process that is not ours
        await asyncio.sleep(0.02)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
