"""Ways through a document and out of it: members of variables, arguments, selections, links, other files, all fixes."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from lsprotocol import types

from tests.editing.editor import Editor
from tests.editing.test_aliases import looked_at, offered
from tests.editing.test_completion import HEAD, HEAD_0_8
from workflow_engine.editing.completion import complete
from workflow_engine.editing.elsewhere import definition, links
from workflow_engine.editing.jq_completion import signature
from workflow_engine.editing.neighbours import Found
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.outline import selection, symbols
from workflow_engine.editing.text import Text

IN_LOOP = pytest.mark.asyncio(loop_scope="package")


@pytest.mark.parametrize(
    ("text", "some"),
    [
        (HEAD + "  - a: {set: {x: '${ $secrets.‸ }'}}\n", {"key"}),
        (HEAD + "  - a: {set: {x: '${ $task.na‸ }'}}\n", {"name", "reference", "startedAt"}),
        (HEAD + "  - a: {set: {x: '${ $workflow.startedAt.‸ }'}}\n", {"iso8601", "epoch"}),
        (HEAD + "  - a: {listen: {to: {one: {with: {type: '${ $event.‸ }'}}}}}\n", {"source", "data"}),
        (HEAD_0_8 + "constants: {rate: 2, a-b: 1}\nmetadata: {x: '${ $CONST.‸ }'}\n", {"rate", "a-b"}),
        (HEAD + "  - a: {set: {x: '${ .a.‸ }'}}\n", set()),
    ],
)
def test_what_a_variable_has_is_offered_behind_its_dot(text, some):
    found = offered(text)
    assert found >= some
    assert not found & {"map", "$input"}
    assert bool(found) is bool(some)


@pytest.mark.parametrize(
    ("expression", "called", "argument"),
    [
        ("map(‸)", "map(f)", 0),
        ('.a | sub("(;"; ‸)', "sub(regex; text)", 1),
        ("limit(3; (.a, [1; .b‸]))", "limit(n; f)", 1),
        ("map(.a) | ‸", None, 0),
        ("other(‸)", None, 0),
    ],
)
def test_the_arguments_of_a_function_are_told_where_they_are_written(expression, called, argument):
    told = signature(*looked_at(f"{HEAD}  - a:\n      set: {{x: '${{ {expression} }}'}}\n"))
    if called is None:
        assert told is None
        return
    assert told is not None
    assert (told.signatures[0].label, told.active_parameter) == (called, argument)
    assert [each.label in called for each in told.signatures[0].parameters or []]


def test_a_selection_grows_from_a_word_to_the_whole_text():
    of, offset = looked_at(HEAD + "  - a:\n      set: {x: 'a wo‸rd'}\n")
    found: list[str] = []
    at: types.SelectionRange | None = selection(of, offset)
    while at is not None:
        found.append(of.text.source[of.text.offset(at.range.start) : of.text.offset(at.range.end)])
        at = at.parent
    assert found[:5] == ["a word", "'a word'", "x: 'a word'", "{x: 'a word'}", "set: {x: 'a word'}"]
    assert found[-1] == of.text.source
    assert all(inner in outer for inner, outer in pairwise(found))
    empty, _ = looked_at("‸")
    assert selection(empty, 0).parent is None


@IN_LOOP
async def test_a_selection_in_a_deep_document_is_told(code: Editor):
    uri, position = code.at("document: {dsl: 1.0.3}\ndo: " + "[" * 95 + "a‸" + "]" * 95 + "\n")
    document = types.TextDocumentIdentifier(uri)
    found = await code.text_document_selection_range_async(types.SelectionRangeParams(document, [position]))
    code.close(uri)
    assert found is not None
    assert (found[0].range.start.character, found[0].range.end.character) == (99, 100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pets.json").write_text('{"paths": {"/p": {"get": {"operationId": "getPet"}}}}')
    (tmp_path / "functions.yml").write_text(
        "functions:\n  - name: other\n  - name: shared\n    operation: a\n"
    )
    (tmp_path / "greet.proto").write_text("service Greeter {}\n")
    return tmp_path


def leads(folder: Path, marked: str) -> list[tuple[str, int, int]]:
    """The file, line and character of what the mark leads to, from 0."""
    before, _, behind = marked.partition("‸")
    of = Snapshot((folder / "workflow.yaml").as_uri(), Text(before + behind), None)
    found = definition(of, len(before), [], [])
    return [
        (each.uri.rpartition("/")[2], each.range.start.line, each.range.start.character) for each in found
    ]


def test_files_beside_the_document_are_gone_to(folder: Path):
    at = ("pets.json", 0, 41)
    assert leads(folder, HEAD_0_8.replace("a.yaml#b", "pets.json#get‸Pet")) == [at]
    grpc = HEAD + "  - a: {call: grpc, with: {proto: {endpoint: 'file://gre‸et.proto'}}}\n"
    assert leads(folder, grpc) == [("greet.proto", 0, 0)]
    assert (
        leads(folder, grpc.replace("greet.proto", "none.proto").replace("gre‸et.proto", "no‸ne.proto")) == []
    )
    older = (
        HEAD_0_8.partition("functions:")[0]
        + "functions: functions.yml\nstates:\n  - {name: A, type: operation, "
    )
    assert leads(folder, older + "actions: [{functionRef: sha‸red}]}\n") == [("functions.yml", 2, 10)]


def test_operations_of_an_openapi_document_beside_it_are_offered_and_gone_to(folder: Path):
    call = (
        HEAD + "  - a:\n      call: openapi\n      with:\n        document: {endpoint: 'file://pets.json'}\n"
    )

    def offers(marked: str) -> set[str]:
        before, _, behind = marked.partition("‸")
        of = Snapshot((folder / "workflow.yaml").as_uri(), Text(before + behind), None)
        return {each.label for each in complete(of, len(before), Found([], []), with_snippets=False)}

    assert offers(call + "        operationId: ‸\n") == {"getPet"}
    assert offers(
        call.replace("{endpoint: 'file://pets.json'}", "{endpoint: {uri: pets.json}}")
        + "        operationId: g‸\n"
    ) == {"getPet"}
    assert offers(call.replace("pets.json", "none.json") + "        operationId: ‸\n") == set()
    assert offers(HEAD_0_8.replace("a.yaml#b", "pets.json#‸")) == {"pets.json#getPet"}
    assert leads(folder, call + "        operationId: get‸Pet\n") == [("pets.json", 0, 41)]


def test_links_are_addresses_and_files_that_are_there(folder: Path):
    text = (
        HEAD_0_8.replace("a.yaml#b", "pets.json#getPet")
        + "metadata: {a: https://a.example/b?c, b: 'none.json'}\n"
    )
    of = Snapshot((folder / "workflow.yaml").as_uri(), Text(text), None)
    assert [each.target for each in links(of)] == [(folder / "pets.json").as_uri(), "https://a.example/b?c"]
    other = Snapshot("untitled:a", Text(text), None)
    assert [each.target for each in links(other)] == ["https://a.example/b?c"]


def test_an_outline_has_no_empty_names():
    text = (
        "id: a\nspecVersion: '0.8'\nfunctions: [{name: ''}, {name: {}}]\nstates: [{name: ' '}, {name: A}]\n"
    )
    found = symbols(Snapshot("file:///a.yaml", Text(text), None))
    assert all(each.name.strip() and all(one.name.strip() for one in each.children or []) for each in found)


@IN_LOOP
async def test_all_obvious_fixes_are_one_action_where_that_is_asked_for(code: Editor):
    text = (
        HEAD + "  - a:\n      wiat: PT1S\n  - b:\n      wait: 30s\n  - c:\n      set: {x: '${ customer }'}\n"
    )
    uri = code.open(text)
    problems = await code.problems(uri)
    whole = types.Range(types.Position(0, 0), types.Position(99, 0))
    document = types.TextDocumentIdentifier(uri)
    asked = types.CodeActionContext(problems, only=[types.CodeActionKind.SourceFixAll])
    found = await code.text_document_code_action_async(types.CodeActionParams(document, whole, asked))
    (action,) = found or []
    assert isinstance(action, types.CodeAction)
    assert action.edit is not None
    assert action.edit.changes is not None
    assert [each.new_text for each in action.edit.changes[uri]] == ["wait", "PT30S"]
    for only in ([types.CodeActionKind.SourceOrganizeImports], [types.CodeActionKind.Refactor]):
        context = types.CodeActionContext(problems, only=only)
        params = types.CodeActionParams(document, whole, context)
        assert not await code.text_document_code_action_async(params)
    code.close(uri)


@IN_LOOP
async def test_the_server_answers_for_folders_selections_links_and_arguments(code: Editor):
    found = await code.workspace_symbol_async(types.WorkspaceSymbolParams("CHILD"))
    assert {each.name for each in found or []} == {"child", "older-child"}
    assert {
        each.name for each in await code.workspace_symbol_async(types.WorkspaceSymbolParams("send")) or []
    } == {"sendOrder"}
    uri, position = code.at(HEAD + "  - a: {set: {x: '${ map(‸) }'}}\n")
    document = types.TextDocumentIdentifier(uri)
    told = await code.text_document_signature_help_async(types.SignatureHelpParams(document, position))
    assert told is not None
    around = await code.text_document_selection_range_async(types.SelectionRangeParams(document, [position]))
    assert around is not None
    assert len(around) == 1
    linked = await code.text_document_document_link_async(types.DocumentLinkParams(document))
    assert [each.target for each in linked or []] == ["https://pay", "https://a/b"]
    code.close(uri)
