"""Errors and retries of DSL 0.8: decisions B9 to B16, on both runtimes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.semantics.v0_8.documents import error, kind, output, problems, refused, workflow
from tests.semantics.v0_8.services import services
from workflow_engine.errors import ERRORS
from workflow_engine.graph.model import ErrorMatch
from workflow_engine.interpreter.recovery import matches

HEAD = """
functions: [{name: f, operation: 'file://api.json#f'}, {name: g, operation: 'file://api.json#g'}]
errors: [{name: Busy, code: '503'}, {name: Gone, code: '410'}, {name: Sold Out}]
"""


def operation(rest: str, *, more: str = "", action: str = "") -> str:
    """One operation that calls *f*, and a state `Handled` to go to."""
    return f"""{HEAD}{more}
states:
  - name: A
    type: operation
    actions: [{{functionRef: f{action}}}]
    end: true
    {rest}
  - {{name: Handled, type: inject, data: {{handled: true}}, end: true}}
"""


def answering(*statuses: int | str) -> tuple[Callable[[Any], Any], list[Any]]:
    """A service that answers with *statuses* in turn, the last one for ever; a text is the title of a problem."""
    calls: list[Any] = []

    def answer(given: Any) -> Any:
        calls.append(given)
        status = statuses[min(len(calls), len(statuses)) - 1]
        if isinstance(status, str):
            problem = {"title": status, "status": 409}
            return web.json_response(problem, status=409, content_type="application/problem+json")
        return web.json_response({"done": len(calls)}, status=status)

    return answer, calls


async def run_with(run: Any, body: str, f: Callable[[Any], Any], *, ends: str = "output") -> Any:
    async with services(f=f, g=lambda given: {"g": True}) as service:
        do = output if ends == "output" else error
        return await do(run, body, {"n": 1}, resources=await service.pin(workflow(body)))


# --- onErrors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answered", "reference"),
    [
        (503, "errorRef: Busy"),
        (410, "errorRefs: [Busy, Gone]"),
        ("Sold Out", "errorRef: Sold Out"),
        ("sold out", "errorRef: Sold Out"),
        (500, "errorRef: '*'"),
    ],
)
async def test_b15_an_error_is_known_by_its_code_or_its_name(
    run: Any, answered: int | str, reference: str
) -> None:
    body = operation(f"onErrors: [{{{reference}, transition: Handled}}]")
    assert await run_with(run, body, answering(answered)[0]) == {"n": 1, "handled": True}


async def test_b14_an_error_that_no_entry_names_fails_the_workflow(run: Any) -> None:
    body = operation("onErrors: [{errorRef: Busy, transition: Handled}]")
    fault = await run_with(run, body, answering(410)[0], ends="error")
    assert (fault["status"], fault["instance"]) == (410, "/states/0/actions/0")


async def test_the_first_entry_that_fits_is_taken_and_may_end_the_workflow(run: Any) -> None:
    body = operation("onErrors: [{errorRef: Gone, end: true}, {errorRef: '*', transition: Handled}]")
    assert await run_with(run, body, answering(410)[0]) == {"n": 1}
    assert await run_with(run, body, answering(500)[0]) == {"n": 1, "handled": True}


async def test_a_state_that_fails_hands_on_the_data_that_it_got(run: Any) -> None:
    body = f"""{HEAD}
states:
  - name: A
    type: operation
    actions: [{{functionRef: g}}, {{functionRef: f}}]
    end: true
    onErrors: [{{errorRef: '*', transition: Handled}}]
  - {{name: Handled, type: inject, data: {{handled: true}}, end: true}}
"""
    assert await run_with(run, body, answering(500)[0]) == {"n": 1, "handled": True}


async def test_b16_a_state_that_takes_too_long_fails_with_a_timeout_error(run: Any) -> None:
    body = """
errors: [{name: TimeoutError}]
states:
  - name: A
    type: operation
    actions: [{subFlowRef: slow}]
    timeouts: {stateExecTimeout: PT0.2S}
    end: true
    onErrors: [{errorRef: TimeoutError, transition: Handled}]
  - {name: Handled, type: inject, data: {handled: true}, end: true}
"""
    slow = workflow("states: [{name: S, type: sleep, duration: PT1H, end: true}]", id="slow")
    assert await output(run, body, others=[slow]) == {"handled": True}
    by_code = body.replace("{name: TimeoutError}", "{name: TimeoutError, code: '408'}")
    assert await output(run, by_code, others=[slow]) == {"handled": True}


async def test_an_error_of_a_sub_workflow_is_one_of_the_state_that_runs_it(run: Any) -> None:
    body = """
errors: [{name: Expression Error}]
states:
  - name: A
    type: operation
    actions: [{subFlowRef: failing}]
    end: true
    onErrors: [{errorRef: Expression Error, end: true}]
"""
    failing = workflow(
        "states: [{name: S, type: foreach, inputCollection: .none, actions: [{subFlowRef: x}], end: true}]",
        id="failing",
    )
    assert await output(run, body, {"n": 1}, others=[failing]) == {"n": 1}


def test_b9_an_error_that_is_not_defined_is_refused() -> None:
    found = refused(operation("onErrors: [{errorRef: Buzy, end: true}]"))
    assert (found.code, found.pointer) == ("unknown-error", "/states/0/onErrors/0/errorRef")
    assert "Busy" in found.message


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        (ErrorMatch("*"), True),
        (ErrorMatch("x", "503"), True),
        (ErrorMatch("x", "HTTP:503"), True),
        (ErrorMatch("x", "communication"), True),
        (ErrorMatch("communication"), True),
        (ErrorMatch("COMMUNICATION error"), True),
        (ErrorMatch("x", "500"), False),
        (ErrorMatch("timeouterror"), False),
        (ErrorMatch(""), False),
    ],
)
def test_b15_codes_and_names_are_compared_in_this_order(match: ErrorMatch, fits: bool) -> None:
    given = {"type": ERRORS + "communication", "status": 503, "title": "Communication Error"}
    assert matches(match, given) is fits


# --- retries ------------------------------------------------------------------------------------------------

POLICY = "retries: [{name: r, maxAttempts: %s, delay: PT0.01S}]\n"


async def test_b12_the_number_of_attempts_is_that_of_retries(run: Any) -> None:
    body = operation("", more=POLICY % 4, action=", retryRef: r, retryableErrors: [Busy]")
    answer, calls = answering(503)
    fault = await run_with(run, body, answer, ends="error")
    assert (fault["status"], len(calls)) == (503, 5)


@pytest.mark.parametrize("most", ["0", "'3'", "unlimited", "'${ .n + 2 }'", "'.n + 2'"])
async def test_b12_the_number_of_retries_may_be_a_text(run: Any, most: str) -> None:
    body = operation("", more=POLICY % most, action=", retryRef: r, retryableErrors: [Busy]")
    answer, calls = answering(503, 503, 503, 200)
    if most == "0":
        assert (await run_with(run, body, answer, ends="error"))["status"] == 503
        assert len(calls) == 1
    else:
        assert await run_with(run, body, answer) == {"n": 1, "done": 4}


async def test_b11_without_a_list_every_declared_error_is_tried_again(run: Any) -> None:
    body = operation("", more=POLICY % 2, action=", retryRef: r")
    answer, calls = answering(503, 410, 200)
    assert await run_with(run, body, answer) == {"n": 1, "done": 3}
    answer, calls = answering(500, 200)
    assert (await run_with(run, body, answer, ends="error"))["status"] == 500
    assert len(calls) == 1


async def test_b10_without_a_policy_nothing_is_tried_again(run: Any) -> None:
    answer, calls = answering(503, 200)
    assert (await run_with(run, operation(""), answer, ends="error"))["status"] == 503
    assert len(calls) == 1


async def test_b10_with_auto_retries_everything_is_tried_again_but_what_is_excluded(run: Any) -> None:
    short = operation("", more="autoRetries: true\n" + POLICY % 5, action=", retryRef: r")
    answer, calls = answering(500, 418, 200)
    assert await run_with(run, short, answer) == {"n": 1, "done": 3}
    but = short.replace("retryRef: r", "retryRef: r, nonRetryableErrors: [Gone]")
    answer, calls = answering(500, 410, 200)
    assert (await run_with(run, but, answer, ends="error"))["status"] == 410
    assert len(calls) == 2


async def test_b10_auto_retries_have_a_policy_of_their_own(run: Any) -> None:
    if run.name != "local":
        pytest.skip("it waits for seconds; the clock of the local runtime is virtual")
    answer, _ = answering(500, 500, 500, 500, 200)
    assert await run_with(run, operation("", more="autoRetries: true\n"), answer) == {"n": 1, "done": 5}


async def test_an_error_that_is_tried_in_vain_is_handled(run: Any) -> None:
    rest = "onErrors: [{errorRef: Busy, transition: Handled}]"
    body = operation(rest, more=POLICY % 1, action=", retryRef: r, retryableErrors: [Busy]")
    answer, calls = answering(503)
    assert await run_with(run, body, answer) == {"n": 1, "handled": True}
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("policy", "delays"),
    [
        ("delay: PT1S", [1, 1, 1]),
        ("delay: PT1S, multiplier: 2", [1, 2, 4]),
        ("delay: PT1S, multiplier: '3.0'", [1, 3, 9]),
        ("delay: PT1S, increment: PT2S", [1, 3, 5]),
        ("delay: PT1S, increment: PT1S, multiplier: 2", [1, 4, 10]),
        ("delay: PT4S, multiplier: 3, maxDelay: PT20S", [4, 12, 20]),
        ("increment: PT1S", [0, 1, 2]),
    ],
)
async def test_b13_each_delay_is_made_of_the_one_before(run: Any, policy: str, delays: list[float]) -> None:
    if run.name != "local":
        pytest.skip("the clock of the local runtime is virtual")
    more = f"retries: [{{name: r, maxAttempts: 3, {policy}}}]\n"
    body = operation("", more=more, action=", retryRef: r, retryableErrors: [Busy]")
    assert [int(delay + 0.001) for delay in await waited(run, body, 4)] == delays  # calls take some time too


@pytest.mark.parametrize("jitter", ["0.5", "PT5S"])
async def test_b13_jitter_is_added_or_taken_away(run: Any, jitter: str) -> None:
    if run.name != "local":
        pytest.skip("the clock of the local runtime is virtual")
    more = f"retries: [{{name: r, maxAttempts: 30, delay: PT10S, maxDelay: PT10S, jitter: {jitter}}}]\n"
    body = operation("", more=more, action=", retryRef: r, retryableErrors: [Busy]")
    delays = await waited(run, body, 31)
    assert all(0 <= delay <= 15 for delay in delays)
    assert min(delays) < 10 < max(delays)


async def waited(run: Any, body: str, attempts: int) -> list[float]:
    """How long the run waited before each attempt but the first, in seconds of its own time."""
    answer, _ = answering(*[503] * (attempts - 1), 200)
    async with services(f=answer, g=lambda given: {}) as service:
        ended = await run(workflow(body), {"n": 1}, resources=await service.pin(workflow(body)))
    assert ended.status == "completed", ended.error
    started = [step.at for step in ended.progress if step.phase == "started" and "functionRef" in step.state]
    assert len(started) == attempts
    return [(after - before).total_seconds() for before, after in itertools.pairwise(started)]


@pytest.mark.parametrize(
    ("more", "action", "code", "pointer"),
    [
        (POLICY % 1, ", retryRef: s", "unknown-retry", "/states/0/actions/0/retryRef"),
        (
            POLICY % 1,
            ", retryableErrors: [Busy]",
            "misplaced-property",
            "/states/0/actions/0/retryableErrors",
        ),
        (
            POLICY % 1,
            ", retryRef: r, nonRetryableErrors: [Busy]",
            "misplaced-property",
            "/states/0/actions/0/nonRetryableErrors",
        ),
        (
            "autoRetries: true\n" + POLICY % 1,
            ", retryRef: r, retryableErrors: [Busy]",
            "misplaced-property",
            "/states/0/actions/0/retryableErrors",
        ),
        (POLICY % "often", "", "invalid-value", "/retries/0/maxAttempts"),
        (
            POLICY.replace("PT0.01S", "PT1S, multiplier: much") % 1,
            "",
            "invalid-value",
            "/retries/0/multiplier",
        ),
    ],
)
def test_what_is_wrong_with_retries_is_refused_at_its_place(
    more: str, action: str, code: str, pointer: str
) -> None:
    found = problems(operation("", more=more, action=action))
    assert [(problem.code, problem.pointer) for problem in found] == [(code, pointer)]


def test_the_kind_of_a_fault_is_what_the_specification_calls_it() -> None:
    assert kind({"type": ERRORS + "timeout"}) == "timeout"
