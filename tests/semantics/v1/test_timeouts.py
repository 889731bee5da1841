"""Timeouts of tasks, of calls and of the workflow: decisions A29 and A32, in virtual and in real time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, refused, workflow
from workflow_engine import dsl
from workflow_engine.runtimes.local import LocalRun

SLOW = "{call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/5'}%s}"


@pytest.mark.parametrize(
    "task",
    [
        "{wait: PT30S, timeout: {after: PT0.02S}}",
        "{wait: PT30S, timeout: {after: {milliseconds: 20}}}",
        "{wait: PT30S, timeout: {after: '${ .limit }'}}",
        "{wait: PT30S, timeout: short}",
        "{do: [{b: {wait: PT30S}}], timeout: {after: PT0.02S}}",
        "{for: {in: '[1, 2]'}, do: [{b: {wait: PT30S}}], timeout: {after: PT0.02S}}",
        "{try: [{b: {wait: PT30S}}], catch: {}, timeout: {after: PT0.02S}}",
        "{listen: {to: {one: {with: {type: never}}}}, timeout: {after: PT0.02S}}",
        "{call: f, timeout: {after: PT0.02S}}",
        "{fork: {branches: [{b: {wait: PT30S}}]}, timeout: {after: PT0.02S}}",
        "{run: {shell: {command: sleep 30}}, timeout: {after: PT0.05S}}",
        SLOW % ", timeout: {after: PT0.05S}",
    ],
)
async def test_a_task_that_takes_longer_than_its_timeout_is_a_timeout_fault(run: Any, task: str) -> None:
    body = f"""
    use: {{timeouts: {{short: {{after: PT0.02S}}}}, functions: {{f: {{wait: PT30S}}}}}}
    do: [{{a: {task}}}]
    """
    fault = await error(run, body, {"limit": "PT0.02S"})
    assert (kind(fault), fault["status"], fault["instance"]) == ("timeout", 408, "/do/0/a")


async def test_a_task_within_its_timeout_gives_its_output(run: Any) -> None:
    body = """
    do:
      - set: {set: {x: 1}, timeout: {after: PT30S}}
      - call:
          call: http
          with: {method: get, endpoint: 'https://httpbin.org/get'}
          output: {as: .url}
          timeout: {after: PT30S}
    """
    assert await output(run, body) == "https://httpbin.org/get"


async def test_a_timeout_can_be_caught_around_the_task(run: Any) -> None:
    body = """
    do:
      - a:
          try: [{slow: {wait: PT30S, timeout: {after: PT0.02S}}}]
          catch: {errors: {with: {type: timeout, status: 408}}, do: [{handle: {set: '${ $error.instance }'}}]}
    """
    assert await output(run, body) == "/do/0/a/try/0/slow"


async def test_a_call_that_takes_too_long_is_given_up_and_can_be_caught(run: Any) -> None:
    slow = SLOW % ", timeout: {after: PT0.05S}"
    body = f"do: [{{a: {{try: [{{slow: {slow}}}], catch: {{errors: {{with: {{type: timeout}}}}}}}}}}]"
    assert await output(run, body, {"n": 1}) == {"n": 1}


async def test_the_innermost_timeout_that_passes_first_is_the_one_that_counts(run: Any) -> None:
    body = """
    do:
      - outer: {timeout: {after: %s}, do: [{inner: {timeout: {after: %s}, wait: PT60S}}]}
    """
    assert (await error(run, body % ("PT30S", "PT0.02S")))["instance"] == "/do/0/outer/do/0/inner"
    assert (await error(run, body % ("PT0.02S", "PT30S")))["instance"] == "/do/0/outer"


async def test_the_timeout_of_the_workflow_bounds_the_whole_run_and_nothing_catches_it(run: Any) -> None:
    body = """
    timeout: {after: PT0.05S}
    do: [{a: {try: [{b: {wait: PT30S}}], catch: {}}}, {never: {set: lost}}]
    """
    fault = await error(run, body)
    assert (kind(fault), fault["status"], fault["instance"]) == ("timeout", 408, "/timeout")


async def test_the_timeout_of_the_workflow_may_be_a_name_or_an_expression_of_its_input(run: Any) -> None:
    named = "use: {timeouts: {short: {after: PT0.02S}}}\ntimeout: short\ndo: [{a: {wait: PT30S}}]"
    assert kind(await error(run, named)) == "timeout"
    given = "timeout: {after: '${ .limit }'}\ndo: [{a: {wait: PT30S}}]"
    assert kind(await error(run, given, {"limit": "PT0.02S"})) == "timeout"


def test_a32_a_bare_duration_is_a_name_and_the_problem_says_how_to_write_one() -> None:
    found = refused("do: [{a: {set: {x: 1}, timeout: PT5S}}]")
    assert (found.code, found.pointer) == ("unknown-timeout", "/do/0/a/timeout")
    assert "timeout: {after: PT5S}" in found.message


def virtual(body: str, input: Any = None) -> Any:
    local = LocalRun(dsl.compile(dsl.parse(workflow(body))))
    began = local.now()
    outcome = asyncio.run(local.execute({} if input is None else input))
    return outcome, (local.now() - began).total_seconds()


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        (
            "do: [{a: {wait: P2D}}, {b: {wait: {hours: 1, minutes: 2, seconds: 3, milliseconds: 4}}}]",
            176523.004,
        ),
        ("do: [{a: {fork: {branches: [{x: {wait: PT1H}}, {y: {wait: PT2H}}]}}}]", 7200),
        ("do: [{a: {fork: {compete: true, branches: [{x: {wait: PT1H}}, {y: {wait: PT2H}}]}}}]", 3600),
        ("do: [{a: {timeout: {after: PT1H}, set: {x: 1}}}, {b: {wait: PT1S}}]", 1),
        ("timeout: {after: PT1H}\ndo: [{b: {wait: PT1S}}]", 1),
        ("do: [{a: {for: {in: '[1, 2, 3]'}, do: [{b: {wait: PT1M}}]}}]", 180),
    ],
)
def test_waiting_takes_no_real_time_on_the_local_runtime(body: str, seconds: float) -> None:
    outcome, passed = virtual(body)
    assert outcome.status == "completed"
    assert passed == pytest.approx(seconds)


def test_a_timeout_of_virtual_time_passes_when_it_says() -> None:
    outcome, passed = virtual("do: [{a: {timeout: {after: PT1H}, wait: PT2H}}]")
    assert (outcome.status, passed) == ("faulted", 3600)


def test_a_month_is_as_long_as_the_one_that_begins() -> None:
    outcome, passed = virtual("do: [{a: {wait: P1M}}]")
    assert outcome.status == "completed"
    assert passed / 86400 in {28, 29, 30, 31}
