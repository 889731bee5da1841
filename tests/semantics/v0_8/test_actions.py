"""Actions: functions, sub-workflows, conditions, sleeps and timeouts, on both runtimes.

Decisions B9, B14, B16, B17, B28, B32, B33, B35, B38, B43, B46, B49 and B50.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.semantics.v0_8.documents import error, kind, output, problems, refused, warnings, workflow
from tests.semantics.v0_8.services import pin, published, services
from tests.standins.greeter import PROTO, greeter
from workflow_engine import dsl
from workflow_engine.cli.resources import LocalFiles

ADD = "functions: [{name: add, operation: 'file://api.json#add'}]\n"
SET = "functions: [{name: set, type: expression, operation: '{seen: .}'}]\n"


# --- functions ----------------------------------------------------------------------------------------------


async def test_a_rest_function_is_called_with_its_arguments_and_its_result_merged(run: Any) -> None:
    body = (
        ADD
        + """
states:
  - name: A
    type: operation
    actions:
      - functionRef: {refName: add, arguments: {a: '${ .a }', b: 2, text: 'a is ${ .a }'}}
        actionDataFilter: {results: .sum, toStateData: .total}
    end: true
"""
    )
    async with services(add=lambda given: {"sum": given["a"] + given["b"]}) as service:
        resources = await service.pin(workflow(body))
        assert await output(run, body, {"a": 1}, resources=resources) == {"a": 1, "total": 3}
        assert service.calls == [("add", {"a": 1, "b": 2, "text": "a is 1"})]


async def test_b14_an_error_that_nothing_handles_fails_the_workflow(run: Any) -> None:
    body = ADD + "states: [{name: A, type: operation, actions: [{functionRef: add}], end: true}]"
    async with services(add=lambda _: web.json_response({"why": "no"}, status=503)) as service:
        fault = await error(run, body, resources=await service.pin(workflow(body)))
    assert (kind(fault), fault["status"], fault["instance"]) == ("communication", 503, "/states/0/actions/0")


GREET = """
functions:
  - name: greet
    operation: file://app/greet.proto#GreeterApi.Greeter#SayHello
    metadata: {host: localhost, port: %d}
  - {name: fail, type: rpc, operation: 'file://app/greet.proto#Greeter#Fail', metadata: {host: localhost, port: %d}}
states:
  - name: A
    type: operation
    actions:
      - functionRef: {refName: greet, arguments: {name: '${ .user }'}}
        actionDataFilter: {results: .message, toStateData: .greeting}
    %s
"""


async def test_b43_two_number_signs_make_a_function_rpc_which_is_called_over_grpc(
    run: Any, tmp_path: Path
) -> None:
    """Where the service is, its metadata says, for 0.8 has no property for it."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app/greet.proto").write_text(PROTO)
    async with greeter() as server:
        body = GREET % (server.port, server.port, "end: true")
        local = await LocalFiles.open([])
        pinned = await local.answers(dsl.parse(workflow(body)), str(tmp_path / "w.yaml"))
        assert await output(run, body, {"user": "Ada"}, resources=pinned) == {
            "user": "Ada",
            "greeting": "Hello, Ada!",
        }
        body = body.replace("refName: greet, arguments: {name", "refName: fail, arguments: {code: 5, message")
        fault = await error(run, body, {"user": "nobody"}, resources=pinned)
    assert (kind(fault), fault["status"], fault["instance"]) == ("communication", 404, "/states/0/actions/0")


def test_b43_addresses_stay_as_they_are_written_and_a_service_of_grpc_needs_one() -> None:
    body = """
    functions:
      - {name: a, operation: 'file://x.proto#Shop#Buy'%s}
      - {name: b, operation: 'api/services.json#x'}
      - {name: c, operation: 'http.example.org/services.json#x'}
    states: [{name: A, type: inject, data: {}, end: true}]
    """
    assert warnings(body % "") == [("earlier-form", "/functions/0")]  # else the setting of the worker says it
    found = refused(body % ", metadata: {port: 80}")
    assert (found.code, found.pointer) == ("missing-property", "/functions/0")
    assert "metadata: {host: name, port: number}" in found.message
    assert problems(body % ", metadata: {host: shop.example, tls: false}") == []
    found = refused(body.replace("x.proto#Shop#Buy'", "x.proto#Buy', type: rpc") % ", metadata: {host: h}")
    assert (found.code, found.pointer) == ("invalid-value", "/functions/0/operation")


@pytest.mark.parametrize(
    ("action", "hint"),
    [
        ("{functionRef: f, actionFilter: {}}", "actionDataFilter"),
        ("{functionRef: {refName: f, parameters: {}}}", "arguments"),
    ],
)
def test_b9_names_that_the_text_of_the_specification_uses_by_mistake_are_refused_with_a_hint(
    action: str, hint: str
) -> None:
    functions = "functions: [{name: f, type: expression, operation: .}]"
    states = f"states: [{{name: A, type: operation, actions: [{action}], end: true}}]"
    found = problems(f"{functions}\n{states}")
    assert [problem.code for problem in found] == ["unknown-property"]
    assert hint in found[0].message


@pytest.mark.parametrize(
    ("branch", "hint"),
    [
        ("completionType: allOf, branches: [{name: b, workflowId: x}]", "subFlowRef"),
        ("branchCompletionType: allOf, branches: []", "completionType"),
    ],
)
def test_b9_the_same_is_so_of_parallel_states(branch: str, hint: str) -> None:
    found = problems(f"states: [{{name: A, type: parallel, {branch}, end: true}}]")
    assert hint in " ".join(problem.message for problem in found)


SHOP = """
asyncapi: 2.6.0
info: {title: shop, version: '1'}
channels:
  shop/orders:
    publish:
      operationId: order
      message: {name: ordered, payload: {type: object, required: [item], properties: {item: {type: string}}}}
"""


async def test_an_asyncapi_function_publishes_its_arguments_or_the_data_and_gives_no_result(run: Any) -> None:
    body = """
    functions: [{name: order, type: asyncapi, operation: 'file://shop.yaml#order'}]
    states:
      - name: Each
        type: foreach
        inputCollection: '["pen"]'
        outputCollection: .results
        actions:
          - functionRef: {refName: order, arguments: {item: '${ .item }', to: '${ .who.name }'}}
          - functionRef: order
            actionDataFilter: {fromStateData: '{item}'}
        end: true
    """
    ended = await run(
        workflow(body), {"who": {"name": "Ann"}}, resources=await pin(workflow(body), asyncapi={"shop": SHOP})
    )
    assert (ended.status, ended.output) == ("completed", {"who": {"name": "Ann"}, "results": []}), ended.error
    assert await published(run, ended, "shop/orders") == [{"item": "pen", "to": "Ann"}, {"item": "pen"}]


async def test_a_message_that_the_operation_does_not_take_is_a_fault(run: Any) -> None:
    body = """
    functions: [{name: order, type: asyncapi, operation: 'file://shop.yaml#order'}]
    states: [{name: A, type: operation, actions: [{functionRef: order}], end: true}]
    """
    fault = await error(run, body, {"item": 3}, resources=await pin(workflow(body), asyncapi={"shop": SHOP}))
    assert (kind(fault), fault["instance"]) == ("validation", "/states/0/actions/0")


def test_a_workflow_may_be_known_by_its_key_and_has_a_version_of_its_own() -> None:
    text = "key: orders\nspecVersion: '0.8'\nstates: [{name: A, type: inject, data: {}, end: true}]"
    assert str(dsl.compile(dsl.parse(text)).name) == "default/orders/1.0"


# --- conditions and sleeps ----------------------------------------------------------------------------------


async def test_b49_the_condition_of_an_action_sees_the_state_data_before_its_filter(run: Any) -> None:
    body = (
        SET
        + """
states:
  - name: A
    type: operation
    actions:
      - {functionRef: set, condition: '${ .go }', actionDataFilter: {fromStateData: .inner}}
      - {functionRef: set, condition: '${ .go | not }', actionDataFilter: {toStateData: .never}}
    end: true
"""
    )
    given = {"go": True, "inner": {"x": 1}}
    assert await output(run, body, given) == {**given, "seen": {"x": 1}}


async def test_b50_an_action_may_sleep_before_and_after_it_and_not_at_all_when_it_is_skipped(
    run: Any,
) -> None:
    body = (
        SET
        + """
states:
  - name: A
    type: operation
    actions:
      - {name: one, functionRef: set, sleep: {before: PT0.01S, after: '${ "PT0.02S" }'}}
      - {name: two, functionRef: set, sleep: {before: PT1H, after: PT1H}, condition: .no}
      - {name: three, functionRef: set, sleep: {after: PT1H}, condition: .no}
      - {name: four, functionRef: set, actionDataFilter: {toStateData: .last}}
    end: true
"""
    )
    ended = await run(workflow(body), {"no": False})
    assert ended.status == "completed", ended.error
    assert ended.order == ["A", "before one", "one", "after one", "four"]
    assert ended.output == {
        "no": False,
        "seen": {"no": False},
        "last": {"seen": {"no": False, "seen": {"no": False}}},
    }


async def test_b28_parallel_actions_see_the_same_data_and_are_merged_in_their_order(run: Any) -> None:
    body = """
    functions:
      - {name: first, type: expression, operation: '{who: "first", list: ["a"], before: .who}'}
      - {name: second, type: expression, operation: '{who: "second", list: ["b"], also: .who}'}
    states:
      - name: A
        type: operation
        actionMode: parallel
        actions:
          - {functionRef: first, sleep: {before: PT0.05S}}
          - {functionRef: second}
        end: true
    """
    assert await output(run, body, {"who": "none", "list": []}) == {
        "who": "second",
        "list": ["a", "b"],
        "before": "none",
        "also": "none",
    }


# --- timeouts -----------------------------------------------------------------------------------------------


async def test_b16_a_state_that_takes_longer_than_its_timeout_is_a_timeout_error(run: Any) -> None:
    for limit in ("PT0.02S", "{total: PT0.02S}", "{single: PT0.02S}", "{single: PT0.02S, total: PT1H}"):
        timeouts = f"timeouts: {{stateExecTimeout: {limit}}}"
        fault = await error(run, f"states: [{{name: A, type: sleep, duration: PT1H, {timeouts}, end: true}}]")
        assert (kind(fault), fault["status"], fault["instance"]) == ("timeout", 408, "/states/0"), limit


async def test_b17_the_timeout_of_actions_is_for_each_of_them(run: Any) -> None:
    async def slow(given: Any) -> Any:
        await asyncio.sleep(given["seconds"])
        return {}

    body = """
    functions: [{name: slow, operation: 'file://api.json#slow'}]
    states:
      - name: A
        type: operation
        timeouts: {actionExecTimeout: PT1.2S}
        actions:
          - functionRef: {refName: slow, arguments: {seconds: 0}}
            sleep: {before: PT0.7S, after: PT0.7S}
          - functionRef: {refName: slow, arguments: {seconds: 0}}
          - functionRef: {refName: slow, arguments: {seconds: 30}}
        end: true
    """
    async with services(slow=slow) as service:
        fault = await error(run, body, resources=await service.pin(workflow(body)))
    assert (kind(fault), fault["status"], fault["instance"]) == ("timeout", 408, "/states/0/actions/2")


def test_b38_days_after_the_t_are_understood_with_a_warning() -> None:
    body = "states: [{name: A, type: sleep, duration: PT30D, end: true}]"
    assert warnings(body) == [("days-after-t", "/states/0/duration")]


async def test_b38_a_duration_may_be_an_expression(run: Any) -> None:
    body = "states: [{name: A, type: sleep, duration: '${ .wait }', end: true}]"
    assert await output(run, body, {"wait": "PT0.01S"}) == {"wait": "PT0.01S"}
    assert kind(await error(run, body, {"wait": "soon"})) == "expression"


# --- sub-workflows ------------------------------------------------------------------------------------------

CHILD = workflow(
    """
    states:
      - name: A
        type: inject
        data: {got: '${ . }'}
        stateDataFilter: {output: '{got}'}
        end: {terminate: true}
    """,
    id="child",
)


async def test_b33_a_sub_workflow_gets_the_filtered_data_and_its_output_is_merged(run: Any) -> None:
    body = """
    states:
      - name: A
        type: operation
        actions:
          - {subFlowRef: child, actionDataFilter: {fromStateData: .customer, toStateData: .answer}}
          - {subFlowRef: {workflowId: child, version: '1.0'}, actionDataFilter: {results: .got.customer.name}}
        end: true
    """
    given = {"customer": {"name": "Ann"}}
    ended = await output(run, body, given, others=[CHILD])
    assert ended == {**given, "answer": {"got": {"name": "Ann"}}, "name": "Ann"}


async def test_b33_without_a_version_the_latest_one_runs(run: Any) -> None:
    newer = workflow(
        "states: [{name: A, type: inject, data: {is: newer}, end: true}]", id="child", version="2.0"
    )
    body = "states: [{name: A, type: operation, actions: [{subFlowRef: child}], end: true}]"
    assert await output(run, body, others=[CHILD, newer]) == {"is": "newer"}


async def test_b33_a_workflow_that_is_not_there_is_a_fault(run: Any) -> None:
    body = "states: [{name: A, type: operation, actions: [{subFlowRef: absent}], end: true}]"
    fault = await error(run, body)
    assert (kind(fault), fault["status"]) == ("configuration", 404)


async def test_b46_terminate_ends_a_sub_workflow_and_not_the_one_around_it(run: Any) -> None:
    body = """
    states:
      - {name: A, type: operation, actions: [{subFlowRef: child}], transition: B}
      - {name: B, type: inject, data: {after: true}, end: {terminate: true}}
    """
    assert await output(run, body, {"a": 1}, others=[CHILD]) == {"a": 1, "got": {"a": 1}, "after": True}


async def test_b32_an_async_sub_workflow_goes_on_when_its_parent_has_ended_and_gives_nothing(
    run: Any,
) -> None:
    noted = asyncio.Event()

    def note(given: Any) -> Any:
        noted.set()
        return {}

    body = """
    states:
      - name: A
        type: operation
        actions:
          - subFlowRef: {workflowId: later, invoke: async, onParentComplete: continue}
            actionDataFilter: {fromStateData: .part}
        end: true
    """
    async with services(note=note) as service:
        later = workflow(
            f"""
            states:
              - {{name: A, type: sleep, duration: PT0.2S, transition: B}}
              - name: B
                type: operation
                actions: [{{functionRef: {{refName: note, arguments: {{is: '${{ .is }}'}}}}}}]
                end: true
            functions: [{{name: note, operation: '{service.server.url}/openapi.json#note'}}]
            """,
            id="later",
        )
        given = {"part": {"is": "mine"}, "rest": 1}
        assert await output(run, body, given, others=[later]) == given
        async with asyncio.timeout(30):
            await noted.wait()
        assert service.calls[-1] == ("note", {"is": "mine"})


# --- ways ---------------------------------------------------------------------------------------------------


async def test_b35_a_transition_names_a_state_or_its_id(run: Any) -> None:
    body = """
    start: second
    states:
      - {name: A, id: first, type: inject, data: {a: 1}, end: true}
      - {name: B, id: second, type: inject, data: {b: 2}, transition: {nextState: C}}
      - {name: C, type: inject, data: {c: 3}, transition: first}
    """
    assert await output(run, body) == {"a": 1, "b": 2, "c": 3}


def test_b35_a_name_goes_before_an_id_and_neither_may_be_there_twice() -> None:
    body = """
    states:
      - {name: A, id: B, type: inject, data: {}, transition: B}
      - {name: B, type: inject, data: {}, end: true}
      - {name: B, id: x, type: inject, data: {}, end: true}
      - {name: C, id: x, type: inject, data: {}, end: true}
    """
    assert [(found.code, found.pointer) for found in problems(body)] == [
        ("duplicate-state", "/states/2/name"),
        ("duplicate-state", "/states/3/id"),
    ]
