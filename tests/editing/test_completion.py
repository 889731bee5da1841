"""What can be written at a place: the mark ‸ is the cursor."""

# ruff: noqa: E501 - a case of the tables is a line

from __future__ import annotations

import pytest
from lsprotocol import types

from dsl_schemas import descriptions, schema
from tests.editing.editor import Editor
from workflow_engine.editing.descriptions import described
from workflow_engine.editing.jq_words import functions
from workflow_engine.editing.language import Language
from workflow_engine.expressions.builtins import BUILTINS
from workflow_engine.expressions.prelude import PRELUDE

pytestmark = pytest.mark.asyncio(loop_scope="package")

HEAD = """document:
  dsl: 1.0.3
  namespace: shop
  name: order
  version: 1.0.0
use:
  functions:
    charge: {call: http, with: {method: post, endpoint: https://pay}}
  errors:
    wrong: {type: https://a/b, status: 400}
  retries:
    thrice: {delay: PT1S, limit: {attempt: {count: 3}}}
  timeouts:
    soon: {after: PT5S}
  secrets: [key]
  authentications:
    mine: {bearer: {token: '${ $secrets.key }'}}
do:
  - first:
      set: {x: 1}
"""
HEAD_0_8 = """id: order
specVersion: '0.8'
version: 1.0.0
start: Begin
functions:
  - {name: charge, operation: 'a.yaml#b'}
events:
  - {name: Paid, type: paid, source: pay}
retries:
  - {name: thrice, maxAttempts: 3}
errors:
  - {name: wrong, code: '400'}
auth:
  - {name: mine, scheme: bearer, properties: {token: x}}
states:
  - name: Begin
    type: inject
    data: {}
    transition: Second State
  - name: Second State
    type: operation
    actions: []
"""
TASKS = {"call", "do", "emit", "for", "fork", "listen", "raise", "run", "set", "switch", "try", "wait"}


def labels(found: list[types.CompletionItem]) -> list[str]:
    return [each.label for each in found]


@pytest.mark.parametrize(
    ("rest", "some", "none"),
    [
        ("  - second:\n      ‸\n", {*TASKS, "if", "then", "input"}, {"with", "while", "catch", "document"}),
        ("  - second:\n      ca‸\n", {"call"}, {"with"}),
        ("  - second:\n      ca‸\n      then: end\n", {"call", "if"}, {"then", "with"}),
        ("  - second:\n      call: http\n      ‸\n", {"with", "if"}, TASKS),
        ("  - second:\n      call: http\n      with:\n        ‸\n", {"method", "endpoint", "body"}, {"proto", "if"}),
        ("  - second:\n      call: grpc\n      with:\n        ‸\n", {"proto", "service"}, {"endpoint"}),
        ("  - second:\n      call: activity\n      with:\n        ‸\n", {"type", "taskQueue"}, {"endpoint"}),
        ("  - second:\n      for:\n        ‸\n", {"each", "in", "at"}, {"do"}),
        ("  - second:\n      for: {in: '${ . }'}\n      ‸\n", {"do", "while"}, {"call", "catch"}),
        ("  - second:\n      try:\n        - a: {wait: PT1S}\n      ‸\n", {"catch"}, {"call", "while"}),
        ("  - second:\n      wait: {‸}\n", {"seconds", "hours"}, {"weeks"}),
        ("  - second:\n      call: ‸\n", {"http", "a2a", "charge"}, {"first", "wrong"}),
        ("  - second:\n      set: {}\n      then: ‸\n", {"continue", "exit", "end", "first"}, {"charge", "second"}),
        ("  - second:\n      set: {}\n      then: fi‸\n  - third: {wait: PT1S}\n", {"first", "third"}, {"key"}),
        ("  - second:\n      raise:\n        error: ‸\n", {"wrong"}, {"thrice"}),
        ("  - second:\n      raise: {error: {type: ‸}}\n", {"https://serverlessworkflow.io/spec/1.0.0/errors/timeout"}, {"wrong"}),
        ("  - second:\n      timeout: ‸\n", {"soon"}, {"thrice"}),
        ("  - second:\n      try: []\n      catch:\n        retry: ‸\n", {"thrice"}, {"soon"}),
        ("  - second:\n      listen: {to: {}, read: ‸}\n", {"data", "envelope", "raw"}, {"one"}),
        ("  - second:\n      fork: {branches: [], compete: ‸}\n", {"true", "false"}, set()),
        ("  - second:\n      call: http\n      with:\n        method: get\n        endpoint:\n          uri: https://a\n          authentication: ‸\n", {"mine"}, {"key"}),
        ("  - second:\n      call: http\n      with:\n        method: get\n        endpoint:\n          uri: https://a\n          authentication: {basic: {use: ‸}}\n", {"key"}, {"mine"}),
        ("  - second:\n      switch:\n        - a:\n            ‸\n", {"when", "then"}, {"if"}),
        ("  - second:\n      do:\n        - inner:\n            set: {}\n            then: ‸\n        - other: {wait: PT1S}\n", {"other", "exit"}, {"first", "second"}),
        ("  - second:\n      for: {in: [1]}\n      do: []\n      metadata:\n        ‸\n", {"mode", "parallelism"}, {"if"}),
        ("timeout:\n  ‸\n", {"after"}, set()),
        ("‸\n", {"input", "output", "schedule", "evaluate"}, {"document", "do", "metadata"}),
    ],
)  # fmt: skip
async def test_what_can_stand_in_a_document_of_1_0(code: Editor, rest: str, some: set[str], none: set[str]):
    found = set(labels(await code.complete(HEAD + rest)))
    assert found >= some
    assert not found & none


@pytest.mark.parametrize(
    ("rest", "some", "none"),
    [
        ("    ‸\n", {"transition", "end", "onErrors", "timeouts"}, {"duration", "name", "actions"}),
        ("  - name: Third\n    ‸\n", {"type"}, {"name"}),
        ("  - name: Third\n    type: ‸\n", {"sleep", "callback"}, {"rest"}),
        ("  - name: Third\n    type: sleep\n    ‸\n", {"duration", "transition"}, {"actions"}),
        ("    transition: ‸\n", {"Begin", "Second State"}, {"charge"}),
        ("    transition: Sec‸\n", {"Second State"}, set()),
        ("    transition: {nextState: ‸}\n", {"Begin"}, set()),
        ("    transition:\n      ‸\n", {"nextState", "produceEvents"}, {"Paid"}),
        ("    end: {produceEvents: [{eventRef: ‸}]}\n", {"Paid"}, {"Begin"}),
        ("    onErrors: [{errorRef: ‸}]\n", {"wrong"}, {"Paid"}),
        ("    onErrors: [{errorRefs: [‸]}]\n", {"wrong"}, {"Paid"}),
        ("  - name: Third\n    type: operation\n    actions:\n      - functionRef: ‸\n", {"charge"}, {"Paid"}),
        ("  - name: Third\n    type: operation\n    actions:\n      - ‸\n", {"functionRef", "eventRef"}, {"name: …"}),
        ("  - name: Third\n    type: operation\n    actions:\n      - functionRef: charge\n        ‸\n", {"retryRef", "sleep"}, {"eventRef"}),
        ("  - name: Third\n    type: operation\n    actions:\n      - functionRef: charge\n        retryRef: ‸\n", {"thrice"}, set()),
        ("  - name: Third\n    type: callback\n    eventRef: ‸\n", {"Paid"}, set()),
        ("functions2:\n  - ‸\n", set(), {"name"}),
        ("keepActive: ‸\n", {"true", "false"}, set()),
        ("‸\n", {"timeouts", "constants", "dataInputSchema"}, {"id", "key", "states"}),
    ],
)  # fmt: skip
async def test_what_can_stand_in_a_document_of_0_8(code: Editor, rest: str, some: set[str], none: set[str]):
    found = set(labels(await code.complete(HEAD_0_8 + rest)))
    assert found >= some
    assert not found & none


async def test_a_property_that_is_needed_comes_first_and_says_what_it_means(code: Editor):
    found = await code.complete(HEAD + "  - second:\n      call: http\n      with:\n        ‸\n")
    first = sorted(found, key=lambda each: each.sort_text or "")[:2]
    assert labels(first) == ["endpoint", "method"]
    assert all(isinstance(each.documentation, types.MarkupContent) for each in found)
    (method,) = (each for each in found if each.label == "method")
    assert isinstance(method.text_edit, types.TextEdit)
    assert method.text_edit.new_text == "method: $0"


async def test_what_is_typed_of_a_word_is_replaced_with_what_is_behind_the_cursor(code: Editor):
    found = await code.complete(HEAD + "  - second:\n      set: {}\n      then: fi‸sr\n")
    (first,) = (each for each in found if each.label == "first")
    edit = first.text_edit
    assert isinstance(edit, types.TextEdit)
    assert (edit.new_text, edit.range.start.character, edit.range.end.character) == ("first", 12, 16)


async def test_a_document_in_json_is_completed_in_json(code: Editor):
    text = (
        '{"id": "a", "specVersion": "0.8", "states": [{"name": "A", "type": "sleep", "dur‸"}], "start": "A"}'
    )
    found = await code.complete(text)
    (duration,) = (each for each in found if each.label == "duration")
    assert isinstance(duration.text_edit, types.TextEdit)
    assert duration.text_edit.new_text == '"duration": '
    found = await code.complete(text.replace('"dur‸"', '"transition": ‸'))
    (state,) = (each for each in found if each.label == "A")
    assert isinstance(state.text_edit, types.TextEdit)
    assert state.text_edit.new_text == '"A"'


@pytest.mark.parametrize(
    ("rest", "some", "none"),
    [
        ("      if: ${ $‸ }\n", {"$context", "$workflow", "$secrets"}, {"$input", "$output", "$item", "map"}),
        ("      export: {as: '${ $‸ }'}\n", {"$output", "$input"}, {"$event"}),
        ("      set: {y: '${ .a | se‸ }'}\n", {"select", "map", "$input", "if"}, {"env", "$output"}),
        ("      set: {y: '${ .a.‸ }'}\n", set(), {"select"}),
        ("      set: {y: '${ @‸ }'}\n", {"@base64", "@json"}, {"map", "$input"}),
        ("      set: {y: '${ .a as $one | $‸ }'}\n", {"$one", "$input"}, set()),
        ("      set: {y: 'no expression ‸'}\n", set(), {"map"}),
        ("  - loop:\n      for: {each: pet, in: '${ .pets }'}\n      do:\n        - a:\n            set: {y: '${ $‸ }'}\n", {"$pet", "$index"}, {"$item"}),
        ("  - loop:\n      for: {in: '${ .pets }'}\n      while: ${ $‸ }\n      do: []\n", {"$item"}, set()),
        ("  - risky:\n      try: []\n      catch:\n        as: fault\n        when: ${ $‸ }\n", {"$fault"}, {"$error"}),
        ("  - heard:\n      listen: {to: {one: {with: {type: '${ $‸ }'}}}}\n", {"$event"}, {"$item"}),
        ("output: {as: '${ $‸ }'}\n", {"$context", "$workflow"}, {"$task", "$input"}),
    ],
)  # fmt: skip
async def test_an_expression_has_the_builtins_and_the_variables_of_its_place(code, rest, some, none):
    found = set(labels(await code.complete(HEAD + rest)))
    assert found >= some
    assert not found & none


async def test_operations_of_asyncapi_documents_of_the_workspace_are_offered(code: Editor):
    found = labels(
        await code.complete(HEAD + "  - a:\n      call: asyncapi\n      with:\n        operation: ‸\n")
    )
    assert "file://orders.yaml#sendOrder" in found
    found = labels(
        await code.complete(HEAD_0_8.replace("operation: 'a.yaml#b'", "type: asyncapi, operation: ‸"))
    )
    assert found == ["file://orders.yaml#sendOrder"]


async def test_workflows_of_the_workspace_are_offered_where_they_can_be_run(code: Editor):
    run = HEAD + "  - a:\n      run:\n        workflow:\n          namespace: shop\n          "
    assert "child" in labels(await code.complete(run + "name: ‸\n"))
    assert "2.0.0" in labels(await code.complete(run + "name: child\n          version: ‸\n"))
    assert "2.0.0" not in labels(await code.complete(run + "name: other\n          version: ‸\n"))
    states = HEAD_0_8.replace("actions: []", "actions: [{subFlowRef: ‸}]")
    assert labels(await code.complete(states)) == ["older-child"]


async def test_an_asyncapi_document_is_completed_too(code: Editor):
    text = "asyncapi: 3.0.0\ninfo:\n  title: a\n  ‸\nchannels:\n  one: {address: a}\n"
    assert "version" in labels(await code.complete(text))
    found = await code.complete(text.replace("‸", "") + "operations:\n  two:\n    channel:\n      $ref: ‸\n")
    assert "#/channels/one" in labels(found)


async def test_an_empty_workflow_and_one_of_which_little_is_there_are_helped_to_begin(code: Editor):
    found = await code.complete("‸", "file:///new.sw.yaml")
    assert labels(found) == ["a workflow of DSL 1.0", "a workflow of DSL 0.8"]
    for each in found:
        assert isinstance(each.text_edit, types.TextEdit)
    assert set(labels(await code.complete("document:\n  ‸\n"))) >= {"dsl", "namespace", "name", "version"}
    assert "use" in labels(await code.complete("document:\n  title: a\n‸\n"))
    assert await code.complete("document: {}\nkind: other\n‸\n") == []


async def test_nothing_is_offered_in_comments_text_blocks_and_files_of_others(code: Editor):
    for text in (
        HEAD + "  # a com‸ment\n",
        HEAD + "  - second:\n      run:\n        script:\n          code: |\n            a‸\n",
        "services:\n  ‸\n",
    ):
        assert await code.complete(text) == []


@pytest.mark.parametrize("dialect", ["1.0", "0.8"])
async def test_every_property_of_the_schemas_is_described(dialect):
    root = schema(f"serverless-workflow-{dialect}")
    found: set[str] = set()

    def look(sub, label):
        if not isinstance(sub, dict):
            return
        for name, inner in sub.get("properties", {}).items():
            below = f"{label}.{name}" if label else name
            if inner is True or "not" not in inner:
                found.add(below)
            look(inner, below)
        for name in ("oneOf", "anyOf", "allOf"):
            for inner in sub.get(name, []):
                look(inner, label)
        for name in ("then", "else", "items", "additionalProperties"):
            look(sub.get(name), label)

    look(root, "")
    for name, sub in root["$defs"].items():
        look(sub, name)
    assert {label for label in found if not described(dialect, label)} == set()
    used = {label for label in descriptions(dialect) if label in found or label.startswith("*.")}
    assert descriptions(dialect).keys() - used == set()
    assert Language(root).root(None)


async def test_every_builtin_of_our_jq_is_offered_and_says_what_it_does():
    public = {name for name, _ in BUILTINS.keys() | PRELUDE.keys() if name[0] not in " _"}
    assert functions().keys() == public
    assert all(text for _, text, _ in functions().values())
