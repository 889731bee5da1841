"""What earlier engines of DSL 0.8 took, SonataFlow above all: it is read as they read it, and the author is warned."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from tests.running import LocalRunner
from tests.semantics.v0_8.documents import error, event, kind, output, refused, warnings, workflow
from tests.semantics.v0_8.services import pin, published
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.calls import Egress
from workflow_engine.calls.custom import FUNCTIONS
from workflow_engine.calls.schemas import gather_schema
from workflow_engine.dsl.needs import needs
from workflow_engine.dsl.schema_resources import schema_key
from workflow_engine.errors import InvalidDocument, Rejected
from workflow_engine.settings import Settings
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


@pytest.mark.parametrize("member", ["headers.token", "identity", "responseHeaders", "python.x"])
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


# --- functions ------------------------------------------------------------------------------------------------


def rest(operation: str, more: str = "", arguments: str = "{}") -> str:
    action = f"functionRef: {{refName: ask, arguments: {arguments}}}"
    return f"""
    functions: [{{name: ask, type: custom, operation: '{operation}'{more}}}]
    states: [{{name: A, type: operation, end: true, actions: [{{{action}}}]}}]
    """


async def test_a_path_without_a_host_is_where_the_setting_says(internet: Internet) -> None:
    body = rest("rest:get:/status/{code}", arguments="{code: 200, QUERY_x: .x}")
    assert ("earlier-form", "/functions/0") in warnings(body)
    there = "https://httpbin.org"
    for services in ({"ask": f"{there}/"}, {"*": there}, {"other": there}):
        async with Egress(**internet.egress, services=services) as egress:
            ended = await LocalRunner(egress)(workflow(body), {"x": 1})
        if "other" not in services:
            assert ended.status == "completed", ended.error
        else:
            assert (kind(ended.error), ended.error["status"]) == ("configuration", 400)
            assert "WFE_FUNCTION_URLS" in ended.error["detail"]


@pytest.mark.parametrize(
    "pair", ["ask", "=http://a.example", "ask=a.example", "ask=ftp://a.example", "ask=http://a b"]
)
def test_where_functions_are_is_said_by_name_and_url(pair: str) -> None:
    assert Settings(function_urls=("ask=http://a.example", "*=https://b.example/api")).checked()
    with pytest.raises(Rejected, match="WFE_FUNCTION_URLS"):
        Settings(function_urls=(pair,)).checked()


async def test_an_answer_of_any_status_is_taken_where_the_function_says_so_and_its_status_is_told(
    run: Any,
) -> None:
    body = """
    functions:
      - name: ask
        type: custom
        operation: rest:get:https://httpbin.org/status/404
        metadata: {failOnStatusCode: false}
    states:
      - {name: A, type: operation, actions: [{functionRef: ask}], transition: B}
      - name: B
        type: switch
        dataConditions: [{condition: $WORKFLOW.statusCode == 404, transition: C}]
        defaultCondition: {end: true}
      - {name: C, type: inject, data: {missing: true}, end: true}
    """
    assert (await output(run, body, {"a": 1}))["missing"] is True


async def test_a_function_of_a_namespace_is_the_registered_one_of_that_name(run: Any) -> None:
    body = "states: [{name: A, type: operation, actions: [{functionRef: 'acme:see'}], end: true}]"
    assert warnings(body) == [("earlier-form", "/states/0/actions/0/functionRef")]
    with FUNCTIONS.registered(**{"acme:see": see}):
        assert (await output(run, body, {"a": 1}))["seen"] == {"a": 1}


async def test_what_a_registered_function_raised_is_known_by_its_text(run: Any) -> None:
    def odd(arguments: Any, context: Any) -> Any:
        raise ValueError("odd number")

    body = (
        SEE
        + """
errors: [{name: not even, code: odd number}]
states:
  - name: A
    type: operation
    actions: [{functionRef: see}]
    onErrors: [{errorRef: not even, transition: B}]
    end: true
  - {name: B, type: inject, data: {odd: true}, end: true}
"""
    )
    with FUNCTIONS.registered(**{"acme.Shop::see": odd}):
        assert await output(run, body) == {"odd": True}


@pytest.mark.parametrize("code", ["java.lang.RuntimeException", "java.io.IOException"])
async def test_classes_of_java_are_the_errors_that_they_mean(run: Any, code: str) -> None:
    body = f"""
    errors: [{{name: Broken, code: {code}}}]
    functions: [{{name: ask, type: custom, operation: 'rest:get:https://httpbin.org/status/503'}}]
    states:
      - name: A
        type: operation
        actions: [{{functionRef: ask}}]
        onErrors: [{{errorRef: Broken, transition: B}}]
        end: true
      - {{name: B, type: inject, data: {{broken: true}}, end: true}}
    """
    assert ("earlier-form", "/errors/0/code") in warnings(body)
    assert await output(run, body) == {"broken": True}


# --- the rest -------------------------------------------------------------------------------------------------


async def test_a_secret_that_is_not_listed_is_read_in_a_document_for_sonataflow(run: Any) -> None:
    body = calls("{known: '${ $SECRET.KEY | length > 0 }'}")
    assert await seen(run, body) == {"known": True}
    assert ("earlier-form", "/states/0/actions/0/functionRef/arguments/known") in warnings(body)


async def test_an_error_message_in_the_metadata_of_a_state_ends_the_run(run: Any) -> None:
    body = """
    states:
      - name: A
        type: inject
        data: {}
        metadata: {errorMessage: 'if .n < 0 then "n is negative" else null end'}
        end: true
    """
    assert warnings(body) == [("earlier-form", "/states/0/metadata/errorMessage")]
    assert await output(run, body, {"n": 1}) == {"n": 1}
    fault = await error(run, body, {"n": -1})
    assert (kind(fault), fault["status"], fault["detail"]) == ("runtime", 400, "n is negative")


async def test_what_handles_the_errors_of_a_compensation_state_is_one(run: Any) -> None:
    body = (
        SEE
        + """
states:
  - {name: A, type: inject, data: {a: 1}, compensatedBy: Undo, transition: B}
  - {name: B, type: inject, data: {b: 1}, end: {compensate: true}}
  - name: Undo
    type: operation
    actions: [{functionRef: see}]
    onErrors: [{errorRef: '*', transition: Else}]
    usedForCompensation: true
  - {name: Else, type: inject, data: {undone: otherwise}, end: true}
"""
    )

    def fails(arguments: Any, context: Any) -> Any:
        raise ValueError("no")

    assert warnings(body) == [("earlier-form", "/states/3")]
    with FUNCTIONS.registered(**{"acme.Shop::see": fails}):
        assert await output(run, body) == {"a": 1, "b": 1, "undone": "otherwise"}


async def test_extensions_name_documents_and_have_a_schema_of_the_output(run: Any) -> None:
    text = workflow("""
    extensions:
      - {extensionid: workflow-output-schema, outputSchema: schemas/found.json}
      - {extensionid: workflow-uri-definitions, definitions: {pets: specs/pets.yaml}}
    functions: [{name: pet, operation: 'pets#getPet'}]
    states: [{name: A, type: inject, data: {}, end: true}]
    """)
    document = dsl.parse(text)
    wanted = {need.kind: need.document for need in needs(document.data)}
    assert wanted == {"schema": "schemas/found.json", "openapi": "specs/pets.yaml"}
    schema = {"type": "object", "required": ["found"]}
    resources = {schema_key("schemas/found.json"): {"documents": {"schemas/found.json": schema}}}
    assert (await run(text, {"found": 1}, resources=resources)).status == "completed"
    ended = await run(text, {}, resources=resources)
    assert (ended.status, kind(ended.error), ended.error["instance"]) == ("faulted", "validation", "/output")


def test_a_document_with_states_and_the_version_of_another_dsl_is_read_as_0_8() -> None:
    text = workflow("states: [{name: A, type: inject, data: {}, end: true}]").replace("'0.8'", "'1.0'")
    assert [problem.code for problem in dsl.check(dsl.parse(text))] == ["earlier-form"]
    with pytest.raises(InvalidDocument):
        dsl.parse(text.replace("'1.0'", "'0.7'", 1))


async def test_an_event_whose_source_is_empty_has_that_of_the_run(run: Any) -> None:
    body = """
    events: [{name: Told, type: told, source: '', kind: produced}]
    states: [{name: A, type: inject, data: {}, end: {produceEvents: [{eventRef: Told}]}}]
    """
    assert await output(run, body, {"a": 1}) == {"a": 1}


OWN = """
asyncapi: 3.0.0
info: {title: orders, version: '1'}
channels: {done: {address: orders/done, messages: {done: {payload: {type: object}}}}}
operations: {tell: {action: send, channel: {$ref: '#/channels/done'}}}
"""


async def test_a_function_publishes_what_the_document_of_the_workflow_itself_says_it_sends(run: Any) -> None:
    body = """
    functions: [{name: tell, type: asyncapi, operation: 'file://own.yaml#tell'}]
    states: [{name: A, type: operation, actions: [{functionRef: tell}], end: true}]
    """
    resources = await pin(workflow(body), asyncapi={"own": OWN})
    ended = await run(workflow(body), {"n": 1}, resources=resources)
    assert ended.status == "completed", ended.error
    assert await published(run, ended, "orders/done") == [{"n": 1}]


async def test_the_one_argument_of_a_service_that_takes_text_is_that_text(run: Any) -> None:
    api = """
    openapi: 3.0.3
    info: {title: echo, version: '1'}
    servers: [{url: https://httpbin.org}]
    paths:
      /anything:
        post:
          operationId: echo
          requestBody: {content: {text/plain: {schema: {type: string}}}}
          responses: {'200': {description: ok}}
    """
    body = """
    functions: [{name: echo, operation: 'https://docs.example/echo.yaml#echo'}]
    states:
      - name: A
        type: operation
        actions: [{functionRef: {refName: echo, arguments: {text: '${ .t }'}}, actionDataFilter: {results: .data}}]
        end: true
    """
    resources = await pin(workflow(body), openapi=textwrap.dedent(api))
    assert (await output(run, body, {"t": "Hello"}, resources=resources))["data"] == "Hello"


async def test_a_schema_that_has_its_place_from_java_is_where_it_was_found() -> None:
    files = {
        "schemas/order.json": '{"$id": "classpath:/schemas/order.json", "properties": {"item": {"$ref": "item.json"}}}',
        "schemas/item.json": '{"$id": "classpath:/schemas/item.json", "type": "string"}',
    }

    async def text_of(address: str) -> str:
        return files[address]

    assert set((await gather_schema("schemas/order.json", text_of))["documents"]) == set(files)


MANIFEST = """
apiVersion: sonataflow.org/v1alpha08
kind: SonataFlow
metadata:
  name: greeting
  annotations: {sonataflow.org/version: 0.0.7, sonataflow.org/expressionLang: jsonpath}
spec:
  flow:
    start: A
    states:
      - {name: A, type: inject, data: {greeting: 'Hello, ${ $.name }'}, end: true}
"""


async def test_a_manifest_of_the_operator_has_the_workflow_in_it(run: Any) -> None:
    document = dsl.parse(MANIFEST)
    assert str(dsl.compile(document).name) == "default/greeting/0.0.7"
    assert [problem.code for problem in dsl.check(document)] == ["earlier-form", "missing-version"]
    assert (await run(MANIFEST, {"name": "Ada"})).output == {"name": "Ada", "greeting": "Hello, Ada"}


def test_what_is_wrong_in_a_manifest_is_told_at_its_line() -> None:
    with pytest.raises(InvalidDocument) as raised:
        dsl.parse(MANIFEST.replace("end: true", "ende: true"))
    lines = {problem.line for problem in raised.value.problems if problem.severity == "error"}
    assert lines == {MANIFEST.splitlines().index(MANIFEST.strip().splitlines()[-1]) + 1}


@pytest.mark.parametrize(
    "change", [("SonataFlow", "SonataFlowBuild"), ("sonataflow.org/v", "other.org/v"), ("flow:", "flw:")]
)
def test_other_manifests_are_no_workflows(change: tuple[str, str]) -> None:
    with pytest.raises(InvalidDocument) as raised:
        dsl.parse(MANIFEST.replace(*change, 1))
    assert [problem.code for problem in raised.value.problems] == ["unknown-dialect"]
