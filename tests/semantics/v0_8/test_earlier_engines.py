"""What earlier engines of DSL 0.8 took, SonataFlow above all: it is read as they read it, and the author is warned."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v0_8.documents import error, event, kind, output, refused, warnings, workflow
from workflow_engine import dsl
from workflow_engine.calls.custom import FUNCTIONS
from workflow_engine.values import Json


def see(arguments: Any, context: Any) -> Any:
    """A registered function that gives what it gets."""
    return {"seen": arguments}


SEE = "functions: [{name: see, type: custom, operation: 'service:java:acme.Shop::see'}]\n"


async def seen(run: Any, body: str, input: Json = None) -> Any:
    with FUNCTIONS.registered(**{"acme.Shop::see": see}):
        return (await output(run, body, input))["seen"]


def calls(arguments: str) -> str:
    action = f"functionRef: {{refName: see, arguments: {arguments}}}"
    return SEE + f"states: [{{name: A, type: operation, end: true, actions: [{{{action}}}]}}]"


# --- what is left out -----------------------------------------------------------------------------------------

SWITCH = """
states:
  - {name: Choose, type: switch, dataConditions: [{condition: .open, transition: Open}]}
  - {name: Open, type: inject, data: {opened: true}, end: true}
"""


async def test_a_switch_without_a_default_faults_where_no_condition_holds(run: Any) -> None:
    assert warnings(SWITCH) == [("earlier-form", "/states/0")]
    assert await output(run, SWITCH, {"open": True}) == {"open": True, "opened": True}
    fault = await error(run, SWITCH, {"open": False})
    assert (kind(fault), fault["status"]) == ("runtime", 500)
    assert "no condition holds" in fault["detail"]


async def test_the_errors_of_a_switch_without_a_default_are_those_that_it_handles(run: Any) -> None:
    body = SWITCH.replace("type: switch,", "type: switch, onErrors: [{errorRef: '*', transition: Open}],")
    assert await output(run, body, {"open": False}) == {"open": False, "opened": True}


async def test_a_switch_over_events_without_a_default_faults_when_its_time_is_up(run: Any) -> None:
    body = """
    events: [{name: E, type: e, source: tests}]
    states:
      - {name: Choose, type: switch, timeouts: {eventTimeout: PT1S}, eventConditions: [{eventRef: E, end: true}]}
    """
    assert warnings(body) == [("earlier-form", "/states/0")]
    assert kind(await error(run, body)) == "timeout"


async def test_an_event_without_a_source_is_taken_from_every_source(run: Any) -> None:
    body = """
    events: [{name: E, type: e, source: }]
    states: [{name: A, type: event, onEvents: [{eventRefs: [E]}], end: true}]
    """
    told = [("earlier-form", "/events/0"), ("wait-without-timeout", "/states/0")]
    assert set(warnings(body)) <= set(told)
    assert await output(run, body, events=[event("e", "1", {"a": 1}, source="/any/where")]) == {"a": 1}


async def test_an_operation_and_a_branch_without_actions_do_nothing_and_a_branch_has_a_name(run: Any) -> None:
    body = """
    functions: [{name: one, type: expression, operation: '{one: 1}'}]
    states:
      - {name: A, type: operation, transition: B}
      - {name: B, type: parallel, branches: [{name: none}, {actions: [{functionRef: one}]}], end: true}
    """
    assert warnings(body) == [
        ("earlier-form", f"/states/{at}") for at in ("0", "1/branches/0", "1/branches/1")
    ]
    assert await output(run, body, {"a": 1}) == {"a": 1, "one": 1}


async def test_an_event_that_no_other_one_answers_is_published_alone(run: Any) -> None:
    body = """
    events: [{name: Told, type: told, source: shop}]
    states:
      - {name: A, type: operation, actions: [{eventRef: {triggerEventRef: Told, data: .order}}], end: true}
    """
    at = "/states/0/actions/0/eventRef"
    assert warnings(body) == [("earlier-form", at), ("earlier-form", f"{at}/triggerEventRef")]
    ended = await run(workflow(body), {"order": {"id": 7}})
    assert (ended.status, ended.output) == ("completed", {"order": {"id": 7}})
    if run.name == "local":
        assert [each["data"] for each in ended.channels["default"]] == [{"id": 7}]


async def test_lists_that_are_empty_and_a_start_without_a_schedule_are_as_if_left_out(run: Any) -> None:
    body = """
    functions: []
    events:
    errors: []
    start: {stateName: B}
    states:
      - {name: A, type: inject, data: {a: 1}, end: true}
      - {name: B, type: inject, data: {b: 1}, end: true}
    """
    told = [("earlier-form", f"/{key}") for key in ("functions", "events", "errors", "start")]
    assert warnings(body) == [*told, ("unreachable-state", "/states/0")]
    assert await output(run, body) == {"b": 1}


# --- expressions ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["", "expressionLang: jsonpath\n"])
async def test_double_braces_are_jsonpath_of_the_dsl_before_0_6(run: Any, language: str) -> None:
    body = (
        language
        + """
states:
  - name: Choose
    type: switch
    dataConditions: [{condition: "{{ $.[?(@.age >= 18)] }}", transition: Grown}]
    defaultCondition: {transition: Young}
  - {name: Grown, type: inject, data: {grown: true}, end: true}
  - {name: Young, type: inject, data: {grown: false}, end: true}
"""
    )
    assert warnings(body) == [("earlier-form", "/states/0/dataConditions/0/condition")]
    assert await output(run, body, {"age": 18}) == {"age": 18, "grown": True}
    assert await output(run, body, {"age": 17}) == {"age": 17, "grown": False}


async def test_a_filter_after_a_dot_asks_an_object_and_the_items_of_a_list(run: Any) -> None:
    body = """
    expressionLang: jsonpath
    states: [{name: A, type: inject, data: {}, stateDataFilter: {output: "$.people.[?(@.age > 17)].name"}, end: true}]
    """
    grown = {"people": [{"name": "Ada", "age": 36}, {"name": "Bo", "age": 3}]}
    assert await output(run, body, grown) == ["Ada"]
    assert await output(run, body, {"people": {"name": "Ada", "age": 36}}) == ["Ada"]


async def test_a_text_with_an_interpolation_is_one_without_its_quotes(run: Any) -> None:
    body = r"""
    functions: [{name: greet, type: expression, operation: 'Hello, \(.name) from \($CONST.us)'}]
    constants: {us: all of us}
    states: [{name: A, type: operation, actions: [{functionRef: greet}], end: true}]
    """
    assert set(warnings(body)) == {("earlier-form", "/functions/0/operation")}
    assert (await output(run, body, {"name": "Ada"}))["response"] == "Hello, Ada from all of us"


async def test_a_duration_may_be_a_path_without_marks(run: Any) -> None:
    body = """
    constants: {pause: PT1S}
    states: [{name: A, type: sleep, duration: $CONST.pause, end: true}]
    """
    assert warnings(body) == [("earlier-form", "/states/0/duration")]
    assert await output(run, body, {"a": 1}) == {"a": 1}


async def test_the_element_of_a_loop_is_a_variable_of_its_sub_workflows(run: Any) -> None:
    child = """
    functions: [{name: square, type: expression, operation: $number * $number}]
    states:
      - {name: A, type: operation, actions: [{functionRef: square}], stateDataFilter: {output: .response}, end: true}
    """
    body = """
    states:
      - name: Loop
        type: foreach
        inputCollection: .numbers
        outputCollection: .squares
        iterationParam: number
        actions: [{subFlowRef: child}]
        end: true
    """
    assert set(warnings(child)) == {("earlier-form", "/functions/0/operation")}
    found = await output(run, body, {"numbers": [2, 3]}, others=[workflow(child, id="child")])
    assert found["squares"] == [4, 9]


# --- $WORKFLOW ------------------------------------------------------------------------------------------------


async def test_what_sonataflow_tells_of_a_run_is_there(run: Any) -> None:
    body = """
    name: Orders
    states:
      - {name: A, type: inject, data: {}, transition: B}
      - name: B
        type: inject
        data: {all: ['${ $WORKFLOW.instanceId }', '${ $WORKFLOW.id }', '${ $WORKFLOW.name }', '${ $WORKFLOW.version }']}
        end: true
    """
    assert set(warnings(body)) == {("earlier-form", f"/states/1/data/all/{number}") for number in range(4)}
    ended = await run(workflow(body))
    assert ended.output["all"] == [ended.run_id, "test", "Orders", "1.0"]


async def test_the_result_of_the_action_before_is_there_in_each_iteration(run: Any) -> None:
    body = """
    functions:
      - {name: double, type: expression, operation: $item * 2}
      - {name: more, type: expression, operation: $WORKFLOW.prevActionResult + 1}
    states:
      - name: Loop
        type: foreach
        inputCollection: .numbers
        outputCollection: .results
        actions: [{functionRef: double}, {functionRef: more}]
        end: true
    """
    assert (await output(run, body, {"numbers": [1, 2, 3]}))["results"] == [3, 5, 7]


@pytest.mark.parametrize("member", ["headers.token", "identity", "python.x"])
def test_what_no_run_here_knows_of_sonataflow_is_refused(member: str) -> None:
    body = f"states: [{{name: A, type: inject, data: {{a: '${{ $WORKFLOW.{member} }}'}}, end: true}}]"
    found = refused(body)
    assert (found.code, found.pointer) == ("unsupported", "/states/0/data/a")
    assert "instanceId" in found.message


# --- arguments ------------------------------------------------------------------------------------------------


async def test_arguments_of_a_document_for_sonataflow_are_expressions_without_marks(run: Any) -> None:
    body = calls("{name: .who.name, words: first, path: a.b, sum: '(.n + 1)', quoted: '\"n is \\(.n)\"'}")
    at = "/states/0/actions/0/functionRef/arguments"
    assert warnings(body) == [("earlier-form", f"{at}/{name}") for name in ("name", "sum", "quoted")]
    found = await seen(run, body, {"who": {"name": "Ada"}, "n": 1})
    assert found == {"name": "Ada", "words": "first", "path": "a.b", "sum": 2, "quoted": "n is 1"}


async def test_strict_mode_keeps_the_texts_of_a_document_for_sonataflow(run: Any) -> None:
    body = "metadata: {expressionMode: strict}\n" + calls("{name: .who.name}")
    assert await seen(run, body, {"who": {"name": "Ada"}}) == {"name": ".who.name"}


def test_a_document_without_spec_version_is_one_for_sonataflow() -> None:
    body = calls("{name: .who}").replace("service:java:acme.Shop::see", "see")
    assert [code for code, _ in warnings(body)] == ["literal-expression"]
    text = workflow(body).replace("specVersion: '0.8'\n", "")
    assert [problem.code for problem in dsl.check(dsl.parse(text))] == ["missing-version", "earlier-form"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("'${ .n }'", 1),
        (".who", {"name": "Ada"}),
        ("[.n, '${ .who.name }', word]", [1, "Ada", "word"]),
    ],
)
async def test_arguments_may_be_one_expression_or_a_list(run: Any, arguments: str, expected: Any) -> None:
    body = calls(arguments)
    assert ("earlier-form", "/states/0/actions/0/functionRef/arguments") in warnings(body)
    assert await seen(run, body, {"who": {"name": "Ada"}, "n": 1}) == expected


def test_arguments_that_are_a_word_are_refused() -> None:
    found = refused(calls("word"))
    assert (found.code, found.pointer) == ("wrong-type", "/states/0/actions/0/functionRef/arguments")
