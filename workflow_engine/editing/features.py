"""What the server does for each request of the protocol.

What answers is imported when it is first asked, or when the first document of ours is open: so the server greets its
editor at once, and takes little where there are only files of others.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from lsprotocol import types
from pygls.exceptions import JsonRpcException, JsonRpcInvalidParams

from workflow_engine.editing.diagnosing import Changed
from workflow_engine.editing.legend import LEGEND
from workflow_engine.editing.neighbours import Beside, Neighbours
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.server import Server, prepare
from workflow_engine.values import JsonObject

REQUEST_FAILED = -32803
"""The code of a request that is as it should be, and cannot be done; its message is for people."""
SERVER_CANCELLED = -32802
"""The code of a request that would be answered with what is out of date."""
GRAPH = "wfe/graph"
"""A request of ours: `{uri}` → `{mermaid}`, the document as a diagram, or `{problems}`."""
GRAPH_COMMAND = "wfe.graph"
"""The same as a command, with the URI as its argument."""


def create() -> Server:
    """A server that has not begun to speak."""
    server = Server()
    _life(server)
    known = Neighbours(server.opened.files)
    _problems(server)
    _writing(server, known)
    _reading(server, known)
    _names(server, known)
    _graphs(server)
    return server


def _life(server: Server) -> None:
    @server.feature(types.INITIALIZE)
    def initialize(params: types.InitializeParams) -> None:
        server.opened.encoding = server.workspace.position_encoding or "utf-16"
        documents = params.capabilities.text_document
        completion = None if documents is None else documents.completion
        item = None if completion is None else completion.completion_item
        workspace = params.capabilities.workspace
        known = None if workspace is None else workspace.workspace_edit
        server.by_version = known is not None and bool(known.document_changes)
        server.snippets = item is not None and bool(item.snippet_support)
        server.diagnosing.pulled = documents is not None and documents.diagnostic is not None

    def first() -> None:
        asyncio.get_running_loop().run_in_executor(None, prepare)

    server.diagnosing.on_first = first

    @server.feature(types.SHUTDOWN)
    async def shutdown(_params: None) -> None:
        server.asked_to_end = True
        server.diagnosing.stop()
        await server.checking.close()


def _problems(server: Server) -> None:
    @server.feature(
        types.TEXT_DOCUMENT_DIAGNOSTIC,
        types.DiagnosticOptions(inter_file_dependencies=False, workspace_diagnostics=False),
    )
    async def problems(params: types.DocumentDiagnosticParams) -> types.DocumentDiagnosticReport:
        try:
            id, found = await server.diagnosing.pull(params.text_document.uri)
        except Changed:
            again = {"retriggerRequest": True}
            raise JsonRpcException("the document was changed meanwhile", SERVER_CANCELLED, again) from None
        if id and id == params.previous_result_id:
            return types.RelatedUnchangedDocumentDiagnosticReport(id)
        return types.RelatedFullDocumentDiagnosticReport(found, result_id=id or None)


def _writing(server: Server, known: Neighbours) -> None:
    triggers = [":", " ", "-", "$", "{", "|", "@", "/", "#", '"', "*"]

    @server.feature(types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=triggers))
    async def completion(params: types.CompletionParams) -> types.CompletionList:
        folders = server.folders()

        def work(of: Snapshot) -> list[types.CompletionItem]:
            from workflow_engine.editing.completion import complete

            neighbours = Beside(known, folders)
            offset = of.text.offset(params.position)
            return complete(of, offset, neighbours, with_snippets=server.snippets)

        return types.CompletionList(False, await server.of(params.text_document.uri, work, []))

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    async def hovered(params: types.HoverParams) -> types.Hover | None:
        uri = params.text_document.uri
        found = server.diagnosing.found(uri)

        def work(of: Snapshot) -> types.Hover | None:
            from workflow_engine.editing.hovers import hover

            return hover(of, of.text.offset(params.position), found)

        return await server.of(uri, work, None)

    kinds = [types.CodeActionKind.QuickFix, types.CodeActionKind.SourceFixAll]

    @server.feature(types.TEXT_DOCUMENT_CODE_ACTION, types.CodeActionOptions(code_action_kinds=kinds))
    async def actions(params: types.CodeActionParams) -> list[types.CodeAction]:
        def work(of: Snapshot) -> list[types.CodeAction]:
            from workflow_engine.editing.fixes import FIX_ALL, fix_all, fixes

            only = params.context.only or [types.CodeActionKind.QuickFix]
            found: list[types.CodeAction] = []
            if any(_in_kind(types.CodeActionKind.QuickFix, each) for each in only):
                found += fixes(of, params.context.diagnostics)
            if any(_in_kind(FIX_ALL, each) for each in only):
                found += fix_all(of, server.diagnosing.found(of.uri, of.text.version))
            for action in found:
                if action.edit is not None and action.edit.changes is not None:
                    action.edit = server.edit(of, action.edit.changes[of.uri])
            return found

        return await server.of(params.text_document.uri, work, [])

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    async def outline(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        def work(of: Snapshot) -> list[types.DocumentSymbol]:
            from workflow_engine.editing.outline import symbols

            return symbols(of)

        return await server.of(params.text_document.uri, work, [])

    @server.feature(types.TEXT_DOCUMENT_SIGNATURE_HELP, types.SignatureHelpOptions(["(", ";"]))
    async def signature(params: types.SignatureHelpParams) -> types.SignatureHelp | None:
        def work(of: Snapshot) -> types.SignatureHelp | None:
            from workflow_engine.editing.jq_completion import signature

            return signature(of, of.text.offset(params.position))

        return await server.of(params.text_document.uri, work, None)

    legend = types.SemanticTokensLegend(list(LEGEND), [])

    @server.feature(types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL, legend)
    async def coloured(params: types.SemanticTokensParams) -> types.SemanticTokens:
        def work(of: Snapshot) -> list[int]:
            from workflow_engine.editing.colours import colours

            return colours(of)

        return types.SemanticTokens(await server.of(params.text_document.uri, work, []))

    @server.feature(types.TEXT_DOCUMENT_FOLDING_RANGE)
    async def folding(params: types.FoldingRangeParams) -> list[types.FoldingRange]:
        def work(of: Snapshot) -> list[types.FoldingRange]:
            from workflow_engine.editing.outline import folds

            return folds(of)

        return await server.of(params.text_document.uri, work, [])


def _in_kind(kind: str, wanted: str) -> bool:
    """Whether an action of *kind* is one of those that are *wanted*: kinds are parted by dots."""
    return kind == wanted or kind.startswith(f"{wanted}.") or wanted == ""


def _reading(server: Server, known: Neighbours) -> None:
    @server.feature(types.TEXT_DOCUMENT_SELECTION_RANGE)
    async def selections(params: types.SelectionRangeParams) -> list[types.SelectionRange]:
        def work(of: Snapshot) -> list[types.SelectionRange]:
            from workflow_engine.editing.outline import selection

            return [selection(of, of.text.offset(position)) for position in params.positions]

        return await server.of(params.text_document.uri, work, [])

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_LINK)
    async def linked(params: types.DocumentLinkParams) -> list[types.DocumentLink]:
        def work(of: Snapshot) -> list[types.DocumentLink]:
            from workflow_engine.editing.elsewhere import links

            return links(of)

        return await server.of(params.text_document.uri, work, [])

    @server.feature(types.WORKSPACE_SYMBOL)
    async def symbols(params: types.WorkspaceSymbolParams) -> list[types.SymbolInformation]:
        return await asyncio.to_thread(_of_folders, known, server.folders(), params.query)


def _of_folders(known: Neighbours, folders: list[Path], query: str) -> list[types.SymbolInformation]:
    from workflow_engine.editing.elsewhere import in_folders

    prepare()
    return in_folders(known.find(folders), query)


def _names(server: Server, known: Neighbours) -> None:
    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    async def definition(params: types.DefinitionParams) -> list[types.Location]:
        uri, folders = params.text_document.uri, server.folders()
        found = await _located(server, uri, params.position, definitions=True, uses=False)

        def work(of: Snapshot) -> list[types.Location]:
            from workflow_engine.editing.elsewhere import definition

            beside = known.find(folders)
            return definition(of, of.text.offset(params.position), beside.asyncapi, beside.workflows)

        return found or await server.of(uri, work, [])

    @server.feature(types.TEXT_DOCUMENT_REFERENCES)
    async def references(params: types.ReferenceParams) -> list[types.Location]:
        return await _located(
            server,
            params.text_document.uri,
            params.position,
            definitions=params.context.include_declaration,
            uses=True,
        )

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_HIGHLIGHT)
    async def highlights(params: types.DocumentHighlightParams) -> list[types.DocumentHighlight]:
        found = await _located(server, params.text_document.uri, params.position, definitions=True, uses=True)
        return [types.DocumentHighlight(each.range) for each in found]

    @server.feature(types.TEXT_DOCUMENT_PREPARE_RENAME)
    async def prepare(params: types.PrepareRenameParams) -> types.PrepareRenamePlaceholder | None:
        def work(of: Snapshot) -> types.PrepareRenamePlaceholder | None:
            from workflow_engine.editing.renaming import renamable

            name = renamable(of, of.text.offset(params.position))
            if name is None:
                return None
            return types.PrepareRenamePlaceholder(of.text.range(name.start, name.end), name.text)

        return await server.of(params.text_document.uri, work, None)

    @server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))
    async def rename(params: types.RenameParams) -> types.WorkspaceEdit | None:
        uri = params.text_document.uri

        def work(of: Snapshot) -> types.WorkspaceEdit | None:
            from workflow_engine.editing.renaming import NotRenamed, edits

            try:
                found = edits(of, of.text.offset(params.position), params.new_name)
            except NotRenamed as error:
                raise JsonRpcException(str(error), REQUEST_FAILED) from None
            return server.edit(of, found)

        return await server.of(uri, work, None)


async def _located(
    server: Server, uri: str, position: types.Position, *, definitions: bool, uses: bool
) -> list[types.Location]:
    def work(of: Snapshot) -> list[types.Location]:
        from workflow_engine.editing.outline import name_at, places

        name = name_at(of, of.text.offset(position))
        found = [] if name is None else places(of, name, definitions=definitions, uses=uses)
        return [types.Location(uri, of.text.range(each.start, each.end)) for each in found]

    return await server.of(uri, work, [])


def _graphs(server: Server) -> None:
    async def drawn(uri: str) -> JsonObject:
        document = server.opened.get(uri)
        if document is None:
            return {"failed": "the document is not open"}
        return await server.checking.ask("graph", document.text.source, uri)

    @server.feature(GRAPH)
    async def graph(params: Any) -> JsonObject:
        uri = getattr(params, "uri", None) or getattr(getattr(params, "textDocument", None), "uri", None)
        if not isinstance(uri, str):
            raise JsonRpcInvalidParams("`uri` is that of an open document")
        return await drawn(uri)

    @server.command(GRAPH_COMMAND)
    async def command(uri: str) -> dict[str, Any]:  # a type that is known when it runs: pygls looks at it
        return await drawn(uri)
