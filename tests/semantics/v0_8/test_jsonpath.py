"""Workflows of DSL 0.8 whose expressions are JSONPath."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v0_8.documents import error, kind, output, problems, refused, workflow
from tests.semantics.v0_8.services import published, services

HEAD = "expressionLang: jsonpath\n"


async def test_data_is_filtered_and_merged_by_paths(run: Any) -> None:
    body = (
        HEAD
        + """
constants: {greeting: Hello}
functions: [{name: f, operation: 'file://api.json#f'}, {name: all, type: expression, operation: '$.people[*].name'}]
states:
  - name: A
    type: operation
    stateDataFilter: {input: '${ $.given }'}
    actions:
      - functionRef: {refName: f, arguments: {who: '${ $.people[0].name }', text: '${ $CONST.greeting } ${ $.n }'}}
        actionDataFilter: {results: '${ $.answer }', toStateData: '${ $.got.answer }'}
      - functionRef: all
        actionDataFilter: {toStateData: $.names}
    end: true
"""
    )
    people = [{"name": "Ann"}, {"name": "Bob"}]
    async with services(f=lambda given: {"answer": given}) as service:
        resources = await service.pin(workflow(body))
        found = await output(run, body, {"given": {"people": people, "n": 1}}, resources=resources)
    got = {"answer": {"who": "Ann", "text": "Hello 1"}}
    assert found == {"people": people, "n": 1, "got": got, "names": ["Ann", "Bob"]}


async def test_conditions_hold_where_something_matches(run: Any) -> None:
    body = (
        HEAD
        + """
states:
  - name: A
    type: switch
    dataConditions:
      - {condition: '${ $.applicants[?(@.age >= 18)] }', transition: Adult}
      - {condition: '$.count > 2 && $.open', transition: Many}
    defaultCondition: {end: true}
  - {name: Adult, type: inject, data: {is: adult}, end: true}
  - {name: Many, type: inject, data: {is: many}, end: true}
"""
    )
    assert (await output(run, body, {"applicants": [{"age": 17}, {"age": 18}]}))["is"] == "adult"
    assert (await output(run, body, {"applicants": [], "count": 3, "open": True}))["is"] == "many"
    assert await output(run, body, {"count": 3, "open": False}) == {"count": 3, "open": False}


async def test_a_collection_is_found_by_its_path(run: Any) -> None:
    body = (
        HEAD
        + """
functions: [{name: twice, type: expression, operation: '$.n'}]
states:
  - name: A
    type: foreach
    inputCollection: $.list[*]
    iterationParam: n
    outputCollection: $.out
    actions: [{functionRef: twice}]
    end: true
"""
    )
    assert await output(run, body, {"list": [1, 2]}) == {"list": [1, 2], "out": [1, 2]}
    fault = await error(run, body.replace("$.list[*]", "$.list"), {"list": 5})
    assert kind(fault) == "expression"


def test_what_is_no_path_is_refused_at_its_place() -> None:
    found = refused(
        HEAD
        + "states: [{name: A, type: inject, data: {}, stateDataFilter: {output: '${ $.a[ }'}, end: true}]"
    )
    assert (found.code, found.pointer) == ("invalid-expression", "/states/0/stateDataFilter/output")


EVENTS = "events: [{name: P, type: told, source: shop, kind: produced, metadata: {channel: jsonpath/told}}]\n"


@pytest.mark.parametrize(
    "data", ["", ", data: '${ $.n }'", ", data: $.n", ", data: 'fn:n'", ", data: '${ fn:n }'"]
)
async def test_the_data_of_an_event_is_a_path_and_all_there_is_without_one(run: Any, data: str) -> None:
    body = HEAD + EVENTS + "functions: [{name: n, type: expression, operation: $.n}]\nstates: "
    body += f"[{{name: A, type: inject, data: {{n: 7}}, end: {{produceEvents: [{{eventRef: P{data}}}]}}}}]"
    ended = await run(workflow(body))
    assert ended.status == "completed", ended.error
    assert (await published(run, ended, "jsonpath/told"))[0] == (7 if data else {"n": 7})


@pytest.mark.parametrize("end", ["true", "{continueAs: {workflowId: next}}"])
async def test_another_workflow_takes_all_the_data_there_is(run: Any, end: str) -> None:
    action = "{subFlowRef: next}" if end == "true" else "{functionRef: n}"
    body = HEAD + "functions: [{name: n, type: expression, operation: $.n}]\nstates: "
    body += f"[{{name: A, type: operation, actions: [{action}], end: {end}}}]"
    text = "states: [{name: B, type: operation, actions: [], "
    text += "stateDataFilter: {output: '${ {twice: (.n * 2)} }'}, end: true}]"
    assert (await output(run, body, {"n": 4}, others=[workflow(text, id="next")]))["twice"] == 8


@pytest.mark.parametrize("operation", ["rest:post:https://shop.example/orders", "ship"])
def test_a_function_without_arguments_takes_all_the_data_there_is(operation: str) -> None:
    body = HEAD + f"functions: [{{name: f, type: custom, operation: '{operation}'}}]\nstates: "
    assert not problems(body + "[{name: A, type: operation, actions: [{functionRef: f}], end: true}]")
