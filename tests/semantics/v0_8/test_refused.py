"""What DSL 0.8 has and this engine has not is refused when a document is read: by its code, at its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.semantics.v0_8.documents import problems
from workflow_engine import dsl

BASE = """
functions:
  - {name: f, operation: 'file://api.json#f'}
  - {name: x, type: expression, operation: .}
events:
  - {name: A, type: a, source: tests}
  - {name: P, type: p, kind: produced}
states:
  - {name: Start, type: inject, data: {}, transition: Operate}
  - name: Operate
    type: operation
    actions: [{functionRef: f}]
    transition: Choose
  - name: Choose
    type: switch
    dataConditions: [{condition: 'true', end: {}}]
    defaultCondition: {transition: Fork}
  - name: Fork
    type: parallel
    branches: [{name: b, actions: [{functionRef: {refName: f}}]}]
    transition: Loop
  - name: Loop
    type: foreach
    inputCollection: .list
    actions: [{functionRef: x}]
    transition: Sleep
  - {name: Sleep, type: sleep, duration: PT1S, transition: Wait}
  - name: Wait
    type: event
    onEvents: [{eventRefs: [A], actions: [{functionRef: x}]}]
    transition: {nextState: Last}
  - {name: Last, type: inject, data: {}, end: {}}
"""
START, OPERATE, CHOOSE, FORK, LOOP, SLEEP, WAIT, LAST = (f"/states/{number}" for number in range(8))
ACTION = OPERATE + "/actions/0"


def put(at: str, value: Any) -> Callable[[Any], None]:
    """Set the value at the pointer *at*."""
    parts = [int(part) if part.isdecimal() else part for part in at.split("/")[1:]]

    def change(data: Any) -> None:
        for part in parts[:-1]:
            data = data[part]
        data[parts[-1]] = value

    return change


REFUSED: list[tuple[str, Any, str | None]] = [
    # at, value, and where the problem is if it is not there
    # definitions
    ("/functions/0/operation", "${ .url }#f", None),
    ("/events/0/type", "${ .type }", None),
    ("/events/0/source", "${ .source }", None),
    # states and actions
    (SLEEP + "/timeouts", {"stateExecTimeout": {"single": "PT1H", "total": "${ .t }"}},
     SLEEP + "/timeouts/stateExecTimeout"),
    (ACTION, {"subFlowRef": "${ .flow }"}, ACTION + "/subFlowRef"),
    (ACTION, {"subFlowRef": {"workflowId": "${ .flow }"}}, ACTION + "/subFlowRef/workflowId"),
    (ACTION, {"subFlowRef": {"workflowId": "w", "version": "${ .v }"}}, ACTION + "/subFlowRef/version"),
]  # fmt: skip

HARMLESS: list[tuple[str, Any]] = [
    ("/keepActive", False),
    ("/autoRetries", False),
    ("/annotations", ["a"]),
    ("/metadata", {"team": "orders"}),
    ("/owner", "free at the root"),
    ("/start", "Start"),
    (LAST + "/usedForCompensation", False),
    (LAST + "/end/terminate", True),
    (LAST + "/end/compensate", False),
    (WAIT + "/transition/compensate", False),
    (ACTION + "/functionRef", {"refName": "f", "invoke": "sync", "arguments": {"a": "${ .a }"}}),
    (
        ACTION,
        {
            "subFlowRef": {
                "workflowId": "w",
                "version": "1",
                "invoke": "async",
                "onParentComplete": "continue",
            }
        },
    ),
    (WAIT + "/onEvents/0/actionMode", "parallel"),
]


def changed(at: str, value: Any) -> str:
    data = yaml.safe_load(BASE)
    put(at, value)(data)
    return yaml.safe_dump(data, sort_keys=False)


def test_the_document_that_is_changed_is_fine() -> None:
    assert problems(BASE) == []


@pytest.mark.parametrize(
    ("at", "value", "where"), REFUSED, ids=[f"{at}-{n}" for n, (at, _, _) in enumerate(REFUSED)]
)
def test_what_cannot_be_done_is_refused(at: str, value: Any, where: str | None) -> None:
    found = problems(changed(at, value))
    assert [(problem.code, problem.pointer) for problem in found] == [("unsupported", where or at)], found


@pytest.mark.parametrize(("at", "value"), HARMLESS, ids=[at for at, _ in HARMLESS])
def test_what_says_nothing_new_is_taken(at: str, value: Any) -> None:
    assert problems(changed(at, value)) == []


WRONG: list[tuple[str, Any, str, str]] = [
    ("/start", "Nowhere", "unknown-state", "/start"),
    (OPERATE + "/transition", "Nowhere", "unknown-state", OPERATE + "/transition"),
    (OPERATE + "/transition", {"nextState": "Nowhere"}, "unknown-state", OPERATE + "/transition/nextState"),
    (CHOOSE + "/defaultCondition", {"transition": "No"}, "unknown-state", CHOOSE + "/defaultCondition/transition"),
    (ACTION + "/functionRef", "g", "unknown-function", ACTION + "/functionRef"),
    (ACTION + "/functionRef", {"refName": "g"}, "unknown-function", ACTION + "/functionRef/refName"),
    (ACTION + "/condition", "fn:g", "unknown-function", ACTION + "/condition"),
    (LAST + "/data/a", ["${ fn:f }"], "unknown-function", LAST + "/data/a/0"),
    (WAIT + "/onEvents/0/eventRefs/0", "B", "unknown-event", WAIT + "/onEvents/0/eventRefs/0"),
    (WAIT + "/onEvents/0/eventRefs/0", "P", "wrong-event-kind", WAIT + "/onEvents/0/eventRefs/0"),
    ("/functions/1/name", "f", "duplicate-definition", "/functions/1/name"),
    ("/events/1/name", "A", "duplicate-definition", "/events/1/name"),
    (LOOP + "/outputCollection", ".a | .b", "not-a-path", LOOP + "/outputCollection"),
    (ACTION + "/actionDataFilter", {"toStateData": "$x"}, "not-a-path", ACTION + "/actionDataFilter/toStateData"),
    (WAIT + "/onEvents/0/eventDataFilter", {"toStateData": ".[]"}, "not-a-path",
     WAIT + "/onEvents/0/eventDataFilter/toStateData"),
    (ACTION + "/actionDataFilter", {"useResults": False, "toStateData": ".[]"}, "not-a-path",
     ACTION + "/actionDataFilter/toStateData"),
    (SLEEP + "/duration", "${ .a + }", "invalid-expression", SLEEP + "/duration"),
    (ACTION + "/functionRef", {"refName": "f", "arguments": {"a": ["${ ) }"]}}, "invalid-expression",
     ACTION + "/functionRef/arguments/a/0"),
    (LOOP + "/actions/0/functionRef", {"refName": "x", "arguments": {"a": 1}}, "misplaced-property",
     LOOP + "/actions/0/functionRef/arguments"),
    (ACTION, {"subFlowRef": {"workflowId": "w", "invoke": "async", "onParentComplete": "continue"},
              "actionDataFilter": {"results": ".a"}}, "misplaced-property", ACTION + "/actionDataFilter/results"),
    ("/functions/0/operation", "file://api.json", "invalid-value", "/functions/0/operation"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("at", "value", "code", "where"), WRONG, ids=[f"{code}-{at}" for at, _, code, _ in WRONG]
)
def test_what_is_wrong_is_told_at_its_place(at: str, value: Any, code: str, where: str) -> None:
    found = problems(changed(at, value))
    assert (code, where) in [(problem.code, problem.pointer) for problem in found], found
    assert len(found) == (1 if at != "/functions/1/name" else 3)  # what had that name is unknown now


@pytest.mark.parametrize("operation", [".a +", "${ .a + }"])
def test_a_function_that_is_no_expression_is_wrong_once_where_it_is_defined(operation: str) -> None:
    data = yaml.safe_load(BASE)
    put("/functions/1/operation", operation)(data)
    put(ACTION + "/condition", "fn:x")(data)
    found = problems(yaml.safe_dump(data))
    assert [(problem.code, problem.pointer) for problem in found] == [
        ("invalid-expression", "/functions/1/operation")
    ]


def test_what_another_file_defines_is_not_called_unknown() -> None:
    data = yaml.safe_load(BASE)
    data |= {"functions": "functions.json", "events": "events.yaml"}
    put(ACTION + "/condition", "${ fn:there }")(data)
    assert problems(yaml.safe_dump(data)) == []


def test_every_problem_has_a_line() -> None:
    text = "id: a\nspecVersion: '0.8'\n" + changed(ACTION + "/retryRef", "r")
    [found] = dsl.check(dsl.parse(text))
    assert text.splitlines()[found.line - 1].strip() == "retryRef: r"
