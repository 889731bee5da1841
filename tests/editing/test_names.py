"""Where names are defined and used; hovers, outline, renaming, quick fixes, diagrams. The mark ‸ is the cursor."""

# ruff: noqa: E501 - a case of the tables is a line

from __future__ import annotations

import pytest
from lsprotocol import types
from pygls.exceptions import JsonRpcException

from tests.editing.editor import MARK, Editor
from tests.editing.test_completion import HEAD, HEAD_0_8
from workflow_engine import dsl

pytestmark = pytest.mark.asyncio(loop_scope="package")

TASKS = """  - second:
      call: charge
      timeout: soon
      then: first
  - third:
      try:
        - first:
            raise: {error: wrong}
      catch:
        retry: thrice
        then: "first"
"""
STATES = """  - name: Third
    type: event
    onEvents: [{eventRefs: [Paid], actions: [{functionRef: {refName: charge}, retryRef: thrice}]}]
    onErrors: [{errorRef: wrong, transition: {nextState: Second State}}]
    end: true
"""


def document(uri: str) -> types.TextDocumentIdentifier:
    return types.TextDocumentIdentifier(uri)


def texts(text: str, found: list[types.Location]) -> list[tuple[int, str]]:
    """The line, from 1, and the text of each place."""
    lines = text.replace(MARK, "").split("\n")
    ranges = [each.range for each in found]
    return [(r.start.line + 1, lines[r.start.line][r.start.character : r.end.character]) for r in ranges]


async def definition(code: Editor, marked: str) -> list[tuple[int, str]]:
    uri, position = code.at(marked)
    found = await code.text_document_definition_async(types.DefinitionParams(document(uri), position))
    code.close(uri)
    assert isinstance(found, list)
    return texts(marked, [each for each in found if isinstance(each, types.Location)])


async def references(code: Editor, marked: str, *, declared: bool = True) -> list[tuple[int, str]]:
    uri, position = code.at(marked)
    context = types.ReferenceContext(declared)
    found = await code.text_document_references_async(types.ReferenceParams(context, document(uri), position))
    code.close(uri)
    return texts(marked, list(found or []))


def line(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


@pytest.mark.parametrize(
    ("use", "defined"),
    [
        ("call: ch‸arge", "charge:"),
        ("timeout: so‸on", "soon:"),
        ("then: fi‸rst", "first:\n      set"),
        ("error: wr‸ong", "wrong:"),
        ("retry: th‸rice", "thrice:"),
    ],
)
async def test_a_name_in_1_0_leads_to_its_definition(code: Editor, use: str, defined: str):
    text = HEAD + TASKS.replace(use.replace(MARK, ""), use, 1)
    plain = text.replace(MARK, "")
    name = defined.partition(":")[0]
    assert await definition(code, text) == [(line(plain, defined), name)]


@pytest.mark.parametrize(
    ("use", "defined"),
    [
        ("eventRefs: [Pa‸id", "Paid, type"),
        ("refName: ch‸arge", "charge, operation"),
        ("retryRef: th‸rice", "thrice, max"),
        ("errorRef: wr‸ong", "wrong, code"),
        ("nextState: Second‸ State", "Second State\n    type"),
    ],
)
async def test_a_name_in_0_8_leads_to_its_definition(code: Editor, use: str, defined: str):
    text = HEAD_0_8 + STATES.replace(use.replace(MARK, ""), use, 1)
    plain = text.replace(MARK, "")
    (found,) = await definition(code, text)
    assert found[0] == line(plain, defined)
    assert defined.startswith(found[1])


async def test_a_task_is_used_only_in_its_own_list(code: Editor):
    text = HEAD + TASKS
    inner = text.replace("        - first:", "        - fir‸st:")
    outer = text.replace("  - first:\n      set", "  - fir‸st:\n      set")
    assert [number for number, _ in await references(code, inner)] == [line(text, "        - first:")]
    assert [number for number, _ in await references(code, outer)] == [
        line(text, "- first:\n      set"),
        line(text, "then: first"),
        line(text, 'then: "first"'),
    ]
    assert len(await references(code, outer, declared=False)) == 2


async def test_secrets_are_found_in_expressions(code: Editor):
    text = HEAD.replace("secrets: [key]", "secrets: [k‸ey]")
    assert await references(code, text) == [
        (line(HEAD, "secrets: ["), "key"),
        (line(HEAD, "$secrets.key"), "key"),
    ]


async def rename(code: Editor, marked: str, name: str) -> str:
    """The text after the name at the mark has become *name*."""
    uri, position = code.at(marked)
    try:
        edit = await code.text_document_rename_async(types.RenameParams(document(uri), position, name))
    finally:
        code.close(uri)
    assert edit is not None
    assert edit.changes is not None
    lines = marked.replace(MARK, "").split("\n")
    for each in sorted(edit.changes[uri], key=lambda each: each.range.start, reverse=True):
        assert isinstance(each, types.TextEdit)
        place, text = each.range, lines[each.range.start.line]
        lines[place.start.line] = text[: place.start.character] + each.new_text + text[place.end.character :]
    return "\n".join(lines)


async def test_a_renamed_document_means_the_same(code: Editor):
    text = HEAD + TASKS
    for use, name in (
        ("call: ch‸arge", "take money"),
        ("timeout: so‸on", "later"),
        ("then: fi‸rst", "true"),
        ("error: wr‸ong", "it's wrong"),
        ("retry: th‸rice", "four: times"),
    ):
        renamed = await rename(code, text.replace(use.replace(MARK, ""), use, 1), name)
        assert renamed != text
        problems = dsl.check(dsl.parse(renamed))
        assert [each for each in problems if each.severity == "error"] == []
    states = HEAD_0_8 + "    end: true\n" + STATES
    for use, name in (
        ("nextState: Sec‸ond State", "2"),
        ("eventRefs: [Pa‸id", "a, b"),
        ("refName: ch‸arge", "x"),
    ):
        renamed = await rename(code, states.replace(use.replace(MARK, ""), use, 1), name)
        problems = dsl.check(dsl.parse(renamed))
        assert [each for each in problems if each.severity == "error"] == []


async def test_a_function_that_expressions_name_is_renamed_in_them(code: Editor):
    text = HEAD_0_8.replace("operation: 'a.yaml#b'", "type: expression, operation: .a").replace(
        "data: {}", "data: {a: 1}"
    )
    text += "    stateDataFilter: {input: '${ fn:char‸ge }'}\n    end: true\n"
    assert "fn:pay }" in await rename(code, text, "pay")
    assert "name: pay," in await rename(code, text, "pay")
    with pytest.raises(JsonRpcException, match="letters, digits"):
        await rename(code, text, "take money")


@pytest.mark.parametrize(
    ("use", "name", "why"),
    [
        ("then: fi‸rst", "exit", "flow directive"),
        ("then: fi‸rst", "third", "already"),
        ("call: ch‸arge", "http", "something else"),
        ("then: fi‸rst", " ", "blanks"),
        ("wait: PT‸1S", "x", "cannot be renamed"),
    ],
)
async def test_a_name_that_would_mean_something_else_is_refused(code: Editor, use: str, name: str, why: str):
    text = HEAD + TASKS + "  - last: {wait: PT1S}\n"
    with pytest.raises(JsonRpcException, match=why):
        await rename(code, text.replace(use.replace(MARK, ""), use, 1), name)


async def test_what_others_know_by_its_name_is_not_renamed(code: Editor):
    uri, position = code.at(HEAD.replace("secrets: [key]", "secrets: [k‸ey]"))
    params = types.PrepareRenameParams(document(uri), position)
    assert await code.text_document_prepare_rename_async(params) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + "  - a:\n      ca‸ll: http\n", ("Calls something", "dsl-reference.md#call")),
        (HEAD + "  - a:\n      call: ht‸tp\n", ("Sends a request over HTTP",)),
        (HEAD + "  - a:\n      call: http\n      with: {meth‸od: get}\n", ("method of the request", "needed")),
        (HEAD + "  - a:\n      set: {}\n      then: fir‸st\n", ("the task **first** (`set`)", "line 19")),
        (HEAD + "  - a:\n      set: {x: '${ .y | gro‸up_by(.z) }'}\n", ("group_by(f)", "list of lists")),
        (HEAD + "  - a:\n      set: {x: '${ $con‸text }'}\n", ("context of the run",)),
        (HEAD + "  - a:\n      set: {x: '${ en‸v }'}\n", ("is refused",)),
        (HEAD.replace("version: 1.0.0", "version: 1.0.0\n  metadata: {time‸zone: UTC}", 1), ("time zone of `schedule.cron`",)),
        ("asyncapi: 3.0.0\ninfo: {title: a, version: '1'}\noperations: {a: {acti‸on: send}}\n", ("`send`, `receive`",)),
        (HEAD_0_8.replace("type: inject", "ty‸pe: inject"), ("What the state does", "`callback`")),
        (HEAD_0_8.replace("transition:", "transi‸tion:"), ("state that is next", "specification.md#")),
    ],
)  # fmt: skip
async def test_a_hover_says_what_a_word_means(code: Editor, text: str, said: tuple[str, ...]):
    found = await code.hover(text)
    for part in said:
        assert part in found


async def test_a_hover_explains_a_problem_as_wfe_explain_does(code: Editor):
    uri = code.open(HEAD + "  - a:\n      wiat: PT1S\n")
    await code.problems(uri)
    params = types.HoverParams(document(uri), types.Position(HEAD.count("\n") + 1, 8))
    found = await code.text_document_hover_async(params)
    assert found is not None
    assert isinstance(found.contents, types.MarkupContent)
    assert "**unknown-task**: " in found.contents.value
    code.close(uri)


def tree(found: list[types.DocumentSymbol]) -> dict[str, object]:
    return {each.name: tree(list(each.children or [])) for each in found}


async def test_the_outline_has_tasks_in_tasks_and_states(code: Editor):
    async def outline(text: str) -> dict[str, object]:
        uri = code.open(text)
        found = await code.text_document_document_symbol_async(types.DocumentSymbolParams(document(uri)))
        assert isinstance(found, list)
        code.close(uri)
        return tree([each for each in found if isinstance(each, types.DocumentSymbol)])

    newer = await outline(HEAD + TASKS)
    assert list(newer) == ["use", "first", "second", "third"]
    assert newer["third"] == {"first": {}}
    older = await outline(HEAD_0_8 + STATES)
    assert list(older) == [
        "functions",
        "events",
        "retries",
        "errors",
        "auth",
        "Begin",
        "Second State",
        "Third",
    ]
    assert older["events"] == {"Paid": {}}
    asyncapi = await outline(
        "asyncapi: 3.0.0\nchannels:\n  one: {address: a}\noperations:\n  two: {action: send}\n"
    )
    assert asyncapi == {"channels": {"one": {}}, "operations": {"two": {}}}


async def test_words_of_expressions_are_told_apart(code: Editor):
    text = (
        HEAD
        + "  - a:\n      if: .x > 1\n      set:\n        y: 'é 😀 ${ $input.a | map(if .b then \"no\" else {c: 2} end) } after'\n"
    )
    uri = code.open(text)
    found = await code.text_document_semantic_tokens_full_async(types.SemanticTokensParams(document(uri)))
    code.close(uri)
    assert found is not None
    assert code.started is not None
    provider = code.started.capabilities.semantic_tokens_provider
    assert provider is not None
    legend, lines = provider.legend.token_types, text.split("\n")
    row = column = 0
    told = []
    for at in range(0, len(found.data), 5):
        step, move, length, kind, _ = found.data[at : at + 5]
        row, column = row + step, move if step else column + move
        units = lines[row].encode("utf-16-le")
        told.append((units[2 * column : 2 * (column + length)].decode("utf-16-le"), legend[kind]))
    assert told == [
        ("$secrets", "variable"), (".key", "property"),
        (".x", "property"), (">", "operator"), ("1", "number"),
        ("$input", "variable"), (".a", "property"), ("|", "operator"), ("map", "function"), ("if", "keyword"),
        (".b", "property"), ("then", "keyword"), ('"no"', "string"), ("else", "keyword"), ("c", "property"),
        ("2", "number"), ("end", "keyword"),
    ]  # fmt: skip


async def test_blocks_can_be_folded(code: Editor):
    uri = code.open(HEAD + TASKS)
    found = await code.text_document_folding_range_async(types.FoldingRangeParams(document(uri)))
    code.close(uri)
    places = {(each.start_line, each.end_line) for each in found or []}
    assert (0, 4) in places
    assert (HEAD.count("\n"), HEAD.count("\n") + 3) in places


async def fixed(code: Editor, text: str) -> list[str]:
    """The text after each quick fix of its problems."""
    uri = code.open(text)
    problems = await code.problems(uri)
    place = types.Range(types.Position(0, 0), types.Position(1000, 0))
    context = types.CodeActionContext(problems)
    found = await code.text_document_code_action_async(types.CodeActionParams(document(uri), place, context))
    code.close(uri)
    made = []
    for action in found or []:
        assert isinstance(action, types.CodeAction)
        assert action.edit is not None
        assert action.edit.changes is not None
        (edit,) = action.edit.changes[uri]
        lines = text.split("\n")
        row = lines[edit.range.start.line].encode("utf-16-le")  # two bytes are a unit
        begin, end = row[: 2 * edit.range.start.character], row[2 * edit.range.end.character :]
        lines[edit.range.start.line] = (begin + edit.new_text.encode("utf-16-le") + end).decode("utf-16-le")
        made.append("\n".join(lines))
    return made


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("wiat: PT1S", "wait: PT1S"),
        ("call: chrage", "call: charge"),
        ("set: {x: 1}\n      thn: end", "set: {x: 1}\n      then: end"),
        ('set: {x: "😀 ${ .a | lenght }"}', 'set: {x: "😀 ${ .a | length }"}'),
        ("set: {x: '${ $contxt }'}", "set: {x: '${ $context }'}"),
        ("raise: {error: wrog}", "raise: {error: wrong}"),
        ("wait: 30s", "wait: PT30S"),
        ("wait: '250ms'", "wait: 'PT0.25S'"),
        ("set: {x: .a.b}", "set: {x: '${ .a.b }'}"),
        ("set:\n        x: .a.b", "set:\n        x: ${ .a.b }"),
        ("set: {x: '.a.b'}", "set: {x: '${ .a.b }'}"),
        ("set: {7: a}", 'set: {"7": a}'),
        ("set: {x: 123456789012345678901234567890}", 'set: {x: "123456789012345678901234567890"}'),
    ],
)
async def test_a_quick_fix_writes_what_was_meant(code: Editor, wrong: str, right: str):
    assert await fixed(code, f"{HEAD}  - a:\n      {wrong}\n") == [f"{HEAD}  - a:\n      {right}\n"]


async def test_there_is_a_quick_fix_for_each_thing_that_may_be_meant(code: Editor):
    wrong = HEAD + "  - a:\n      set: {x: '${ customer }'}\n"
    assert await fixed(code, wrong) == [
        wrong.replace(" customer", " .customer"),
        wrong.replace(" customer", ' "customer"'),
    ]


async def test_a_quick_fix_writes_a_name_that_is_allowed_and_quotes_a_version(code: Editor):
    text = HEAD.replace("namespace: shop", "namespace: eventmesh.apache.org")
    assert await fixed(code, text) == [HEAD.replace("shop", "eventmesh-apache-org")]
    text = HEAD_0_8.replace("actions: []", "actions: []\n    end: true").replace(
        "operation: 'a.yaml#b'", "type: custom, operation: a"
    )
    assert await fixed(code, text.replace("specVersion: '0.8'", "specVersion: 0.8")) == [
        text.replace("'0.8'", '"0.8"')
    ]
    assert await fixed(code, text.replace("specVersion: '0.8'\n", "")) == [
        "specVersion: '0.8'\n" + text.replace("specVersion: '0.8'\n", "")
    ]
    late = text + "timeouts: {workflowExecTimeout: PT3DT1H}\n"
    assert await fixed(code, late.replace("PT3DT1H", "PT3D1H")) == [late.replace("PT3DT1H", "P3DT1H")]
    assert await fixed(code, HEAD.replace("dsl: 1.0.3", "dsl: 1.0")) == [
        HEAD.replace("dsl: 1.0.3", 'dsl: "1.0.0"')
    ]


async def test_the_diagram_of_a_document_is_that_of_wfe_graph(code: Editor):
    from workflow_engine.graph import render

    uri = code.open(HEAD)
    found = await code.protocol.send_request_async("wfe/graph", {"uri": uri})
    assert found.mermaid == render.mermaid(dsl.compile(dsl.parse(HEAD)))
    command = types.ExecuteCommandParams("wfe.graph", [uri])
    again = await code.workspace_execute_command_async(command)
    assert again["mermaid"] == found.mermaid
    code.change(uri, 2, "document: {dsl: 1.0.3}\n")
    wrong = await code.protocol.send_request_async("wfe/graph", {"uri": uri})
    assert wrong.problems
    code.close(uri)


async def test_references_of_asyncapi_lead_to_what_they_name(code: Editor):
    text = "asyncapi: 3.0.0\nchannels:\n  one: {address: a}\noperations:\n  two: {channel: {$ref: '#/channels/on‸e'}}\n"
    assert await definition(code, text) == [(3, "one")]


async def test_lines_that_end_as_those_of_windows_change_nothing(code: Editor):
    text = (HEAD + TASKS).replace("\n", "\r\n")
    marked = text.replace("then: first", "then: fi‸rst")
    assert await definition(code, marked) == [(line(text, "- first:"), "first")]
    found = await code.complete(text.replace("then: first", "then: ‸"))
    assert {each.label for each in found} >= {"first", "third", "exit"}
    renamed = await rename(code, marked, "begin")
    assert renamed.count("begin") == 3
    assert renamed.count("\r\n") == text.count("\r\n")


@pytest.mark.parametrize(
    ("text", "file", "place"),
    [
        (HEAD + "  - a: {call: asyncapi, with: {operation: 'file://orders.yaml#send‸Order'}}\n", "orders.yaml", (3, 13)),
        (HEAD_0_8.replace("'a.yaml#b'", "'file://orders.yaml#send‸Order', type: asyncapi"), "orders.yaml", (3, 13)),
        (HEAD + "  - a: {run: {workflow: {namespace: shop, name: chi‸ld}}}\n", "child.yaml", (0, 46)),
        (HEAD_0_8.replace("actions: []", "actions: [{subFlowRef: older-chi‸ld}]"), "older.sw.yaml", (0, 4)),
    ],
)  # fmt: skip
async def test_what_is_in_other_files_of_the_workspace_is_found_there(code: Editor, text, file, place):
    uri, position = code.at(text)
    found = await code.text_document_definition_async(types.DefinitionParams(document(uri), position))
    code.close(uri)
    assert isinstance(found, list)
    ((location,)) = found
    assert isinstance(location, types.Location)
    assert location.uri.endswith(file)
    assert (location.range.start.line, location.range.start.character) == place
