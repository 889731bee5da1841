"""Workflows that run workflows: decision A67, on both runtimes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, refused, workflow

CHILD = workflow(
    """
    input: {schema: {document: {type: object}}}
    do: [{double: {set: {n: '${ (.n // 0) * 2 }', input: '${ $workflow.input }', id: '${ $workflow.id }'}}}]
    """,
    name="child",
)
FAILING = workflow(
    "do: [{deep: {do: [{fail: {raise: {error: {type: 'https://e.example/x', status: 418}}}}]}}]",
    name="failing",
)


def running(name: str, extra: str = "", beside: str = "") -> str:
    return f"{{run: {{workflow: {{namespace: semantics, name: {name}, version: '1.0.0'{extra}}}{beside}}}}}"


async def test_a67_a_workflow_is_run_with_an_input_and_its_output_is_the_tasks(run: Any) -> None:
    body = f"do: [{{a: {running('child', ', input: {n: ' + chr(39) + '${ .n + 1 }' + chr(39) + '}')}}}]"
    found = await output(run, body, {"n": 1}, others=[CHILD])
    assert (found["n"], found["input"]) == (4, {"n": 2})


async def test_a67_without_an_input_the_workflow_gets_an_empty_object(run: Any) -> None:
    body = f"do: [{{a: {running('child')}}}]"
    assert (await output(run, body, {"n": 1}, others=[CHILD]))["input"] == {}


async def test_a67_each_run_of_a_workflow_has_an_id_of_its_own(run: Any) -> None:
    inner = f"{{do: [{{b: {running('child')}}}], output: {{as: '$input + [.id]'}}}}"
    body = f"do: [{{loop: {{for: {{in: '[1, 2]'}}, do: [{{a: {inner}}}]}}}}]"
    first, second = await output(run, body, [], others=[CHILD])
    assert first != second


async def test_a67_the_error_of_a_workflow_keeps_its_place_and_can_be_caught(run: Any) -> None:
    body = f"do: [{{a: {running('failing')}}}]"
    fault = await error(run, body, others=[FAILING])
    assert (fault["type"], fault["status"]) == ("https://e.example/x", 418)
    assert fault["instance"] == "/do/0/deep/do/0/fail"
    caught = (
        f"do: [{{t: {{try: [{{a: {running('failing')}}}], catch: {{errors: {{with: {{status: 418}}}}}}}}}}]"
    )
    assert await output(run, caught, {"n": 1}, others=[FAILING]) == {"n": 1}


async def test_a67_an_input_that_the_workflow_does_not_take_is_its_fault(run: Any) -> None:
    body = f"do: [{{a: {running('child', ', input: [1]')}}}]"
    fault = await error(run, body, others=[CHILD])
    assert (kind(fault), fault["instance"]) == ("validation", "/input")


async def test_a67_a_workflow_that_is_not_awaited_gives_the_input(run: Any) -> None:
    body = f"do: [{{a: {{input: {{from: .inner}}, {running('child', '', ', await: false')[1:]}}}]"
    assert await output(run, body, {"inner": {"n": 1}}, others=[CHILD]) == {"n": 1}


async def test_a67_the_fault_of_a_workflow_that_is_not_awaited_is_its_own(run: Any) -> None:
    body = f"do: [{{a: {running('failing', '', ', await: false')}}}]"
    assert await output(run, body, {"n": 1}, others=[FAILING]) == {"n": 1}


async def test_a67_a_workflow_that_is_not_awaited_goes_on_after_its_parent(run: Any) -> None:
    speaker = workflow(
        "do: [{pause: {wait: PT0.2S}}, {say: {emit: {event: {with: {type: said, id: late}}}}}]",
        name="speaker",
    )
    ended = await run(workflow(f"do: [{{a: {running('speaker', '', ', await: false')}}}]"), others=[speaker])
    assert ended.status == "completed"
    if run.name == "local":
        assert [said["id"] for said in ended.channels["default"]] == ["late"]
    else:
        child = run.client.get_workflow_handle(f"{ended.run_id}.do.0.a")
        assert (await asyncio.wait_for(child.result(), 20))["id"] == "late"


async def test_a67_the_version_says_which_and_without_one_it_is_the_latest(run: Any) -> None:
    versions = [
        workflow(f"do: [{{v: {{set: {{v: '{version}'}}}}}}]", name="child", version=version)
        for version in ("1.0.0", "2.0.0")
    ]
    reference = "do: [{a: {run: {workflow: {namespace: semantics, name: child%s}}}}]"
    assert await output(run, reference % ", version: '1.0.0'", others=versions) == {"v": "1.0.0"}
    assert await output(run, reference % ", version: latest", others=versions) == {"v": "2.0.0"}
    assert await output(run, reference % "", others=versions) == {"v": "2.0.0"}


async def test_a67_a_workflow_that_is_not_there_is_a_configuration_fault(run: Any) -> None:
    for reference in ("namespace: semantics, name: nobody", "namespace: elsewhere, name: child"):
        fault = await error(run, f"do: [{{a: {{run: {{workflow: {{{reference}}}}}}}}}]", others=[CHILD])
        assert (kind(fault), fault["status"]) == ("configuration", 404)


async def test_a18_end_in_a_workflow_ends_that_workflow_alone(run: Any) -> None:
    ending = workflow(
        "do: [{a: {do: [{b: {set: {ended: true}, then: end}}]}}, {c: {set: lost}}]", name="ending"
    )
    body = f"do: [{{a: {running('ending')}}}, {{b: {{set: '${{ . + {{after: true}} }}'}}}}]"
    assert await output(run, body, others=[ending]) == {"ended": True, "after": True}


async def test_a_workflow_that_runs_too_long_is_given_up(run: Any) -> None:
    slow = workflow("do: [{a: {wait: PT30S}}]", name="slow")
    body = f"do: [{{a: {{timeout: {{after: PT0.1S}}, {running('slow')[1:]}}}]"
    fault = await error(run, body, others=[slow])
    assert (kind(fault), fault["instance"]) == ("timeout", "/do/0/a")


async def test_a_workflow_and_the_one_that_runs_it_both_hear_an_event(run: Any) -> None:
    asking = workflow(
        """
        do:
          - ready: {emit: {event: {with: {type: ready}}}}
          - hear: {listen: {to: {one: {with: {type: answer}}}}}
        """,
        name="asking",
    )
    body = f"""
    do:
      - both:
          fork:
            branches:
              - asking: {running("asking")}
              - answering:
                  do:
                    - wait: {{listen: {{to: {{one: {{with: {{type: ready}}}}}}}}}}
                    - say: {{emit: {{event: {{with: {{type: answer, data: 1}}}}}}}}
      - hear: {{listen: {{to: {{one: {{with: {{type: answer}}}}}}}}, output: {{as: '[$input[0], .]'}}}}
    """
    assert await output(run, body, others=[asking]) == [[1], [1]]


async def test_a_workflow_does_not_hear_what_came_before_it_was_run(run: Any) -> None:
    late = workflow(
        "do: [{a: {timeout: {after: PT0.1S}, listen: {to: {one: {with: {type: said}}}}}}]", name="late"
    )
    body = f"do: [{{say: {{emit: {{event: {{with: {{type: said}}}}}}}}}}, {{a: {running('late')}}}]"
    assert kind(await error(run, body, others=[late])) == "timeout"


def test_return_has_no_meaning_for_a_workflow() -> None:
    found = refused(f"do: [{{a: {running('child', '', ', return: stdout')}}}]")
    assert (found.code, found.pointer) == ("misplaced-property", "/do/0/a/run/return")


async def test_a_workflow_that_runs_itself_without_end_is_stopped(run: Any) -> None:
    if run.name != "local":
        pytest.skip("on Temporal each one is a run of its own, bounded by the server")
    fault = await error(
        run,
        f"do: [{{a: {running('child')}}}]",
        others=[workflow(f"do: [{{a: {running('child')}}}]", name="child")],
    )
    assert kind(fault) == "runtime"
