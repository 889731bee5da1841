"""Where other engines disagree (dsl.md §7): our choice, one test for each row of the table, named after it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.running import KEY
from tests.semantics.v1.documents import error, event, kind, output, problems, warnings, workflow
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.runtimes.local import LocalRun

FAIL = "{fail: {raise: {error: {type: 'https://e.example/x', status: 503, detail: gone}}}}"


async def test_fork_output_is_an_array_in_the_order_of_the_branches(run: Any) -> None:
    body = """
    do:
      - both:
          fork:
            branches: [{slow: {do: [{nap: {wait: PT0.02S}}, {a: {set: a}}]}}, {fast: {set: b}}]
    """
    assert await output(run, body) == ["a", "b"]


@pytest.mark.parametrize("condition", [".status == 503", "$error.status == 503", "$problem.status == 503"])
async def test_the_dot_of_catch_when_and_except_when_is_the_error(run: Any, condition: str) -> None:
    name = "as: problem, " if "problem" in condition else ""
    body = f"""
    do:
      - a:
          try: [{FAIL}]
          catch: {{{name}when: '{condition}', do: [{{h: {{set: caught}}}}]}}
    """
    assert await output(run, body) == "caught"
    body = body.replace("when:", "exceptWhen:")
    assert (await error(run, body))["status"] == 503


async def test_catch_retry_and_do_are_done_in_that_order_and_then_comes_last(run: Any) -> None:
    body = f"""
    do:
      - a:
          try:
            - count: {{set: '${{ . }}', export: {{as: '$context + {{tries: (($context.tries // 0) + 1)}}'}}}}
            - {FAIL}
          catch:
            retry: {{limit: {{attempt: {{count: 2}}}}}}
            do: [{{h: {{set: {{handled: '${{ $context.tries }}'}}}}}}]
            then: last
      - between: {{set: lost}}
      - last: {{set: '${{ . + {{last: true}} }}'}}
    """
    assert await output(run, body) == {"handled": 3, "last": True}
    ended = await run(workflow(body))
    assert ended.order.count("fail") == 3
    assert ended.order.count("h") == 1


async def test_caught_with_neither_do_nor_retry_gives_the_input_of_the_try(run: Any) -> None:
    body = f"do: [{{a: {{input: {{from: .inner}}, try: [{{x: {{set: lost}}}}, {FAIL}], catch: {{}}}}}}]"
    assert await output(run, body, {"inner": {"n": 1}}) == {"n": 1}


async def test_retry_attempts_without_a_limit_are_bounded_with_a_warning(run: Any) -> None:
    body = f"do: [{{a: {{try: [{FAIL}], catch: {{retry: {{delay: PT0.001S}}}}}}}}]"
    assert "unbounded-retry" in warnings(body)
    ended = await run(workflow(body))
    assert ended.error["status"] == 503
    assert ended.order.count("fail") == 11


async def test_attempt_count_n_means_n_retries(run: Any) -> None:
    body = f"do: [{{a: {{try: [{FAIL}], catch: {{retry: {{limit: {{attempt: {{count: 5}}}}}}}}}}}}]"
    ended = await run(workflow(body))
    assert ended.status == "faulted"
    assert ended.order.count("fail") == 6


async def test_input_inside_the_body_of_a_for_is_the_transformed_input_of_the_task(run: Any) -> None:
    body = """
    do:
      - loop:
          input: {from: .inner}
          for: {in: '[1, 2]'}
          do: [{a: {input: {from: '{at: .}'}, set: '${ [$input, $item] }'}}]
    """
    assert await output(run, body, {"inner": "x"}) == [{"at": [{"at": "x"}, 1]}, 2]


async def test_for_while_is_asked_before_each_round(run: Any) -> None:
    body = "do: [{loop: {for: {in: '[1, 2]'}, while: 'false', do: [{a: {set: ran}}]}}]"
    assert await output(run, body, {"n": 0}) == {"n": 0}


async def test_for_in_null_is_no_round(run: Any) -> None:
    body = "do: [{loop: {for: {in: .nothing}, do: [{a: {set: ran}}]}}]"
    assert await output(run, body, {"n": 0}) == {"n": 0}


@pytest.mark.parametrize("scalar", [3, "abc", True])
async def test_for_in_scalar_is_an_expression_error(run: Any, scalar: Any) -> None:
    fault = await error(run, "do: [{loop: {for: {in: .n}, do: [{a: {set: ran}}]}}]", {"n": scalar})
    assert (kind(fault), fault["status"], fault["instance"]) == ("expression", 400, "/do/0/loop")


async def test_several_jq_outputs_are_an_array(run: Any) -> None:
    assert await output(run, "do: [{a: {set: '${ .[] }'}}]", [1, 2]) == [1, 2]
    assert await output(run, "do: [{a: {set: {none: '${ empty }', one: '${ .[0] }'}}}]", [1, 2]) == {
        "none": None,
        "one": 1,
    }


def test_single_quotes_in_jq_are_an_error_with_a_hint() -> None:
    [found] = problems("do: [{a: {set: \"${ 'x' }\"}}]")
    assert found.code == "invalid-expression"
    assert '"' in found.message or "quotes" in found.message


async def test_the_instance_of_an_error_is_a_pointer_with_its_slash(run: Any) -> None:
    assert (await error(run, f"do: [{FAIL}]"))["instance"] == "/do/0/fail"


@pytest.mark.parametrize(
    "type",
    [
        "timeout",
        "https://serverlessworkflow.io/spec/1.0.0/errors/timeout",
        "https://serverlessworkflow.io/dsl/errors/types/timeout",
        "https://open-workflow-specification.org/spec/1.0.0/errors/timeout",
    ],
)
async def test_the_type_of_an_error_filter_may_be_short_for_the_standard_ones(run: Any, type: str) -> None:
    body = f"""
    do:
      - a:
          try: [{{slow: {{wait: PT60S, timeout: {{after: PT0.01S}}}}}}]
          catch: {{errors: {{with: {{type: '{type}'}}}}, do: [{{h: {{set: caught}}}}]}}
    """
    assert await output(run, body) == "caught"


async def test_a_short_type_stands_for_no_error_of_somebody_else(run: Any) -> None:
    body = """
    do:
      - a:
          try: [{f: {raise: {error: {type: 'https://e.example/timeout', status: 400}}}}]
          catch: {errors: {with: {type: timeout}}}
    """
    assert (await error(run, body))["type"] == "https://e.example/timeout"


@pytest.mark.parametrize("field", ["detail", "details"])
async def test_the_field_of_an_error_is_detail_and_details_is_read_too(run: Any, field: str) -> None:
    body = f"""
    do:
      - a:
          try: [{FAIL}]
          catch: {{errors: {{with: {{{field}: gone}}}}, do: [{{h: {{set: '${{ $error }}'}}}}]}}
    """
    caught = await output(run, body)
    assert caught["detail"] == "gone"
    assert "details" not in caught


@pytest.mark.parametrize("variable", ["secrets", "secret"])
async def test_the_variable_of_secrets_is_secrets_and_secret_is_an_alias(
    run: Any, internet: Internet, variable: str
) -> None:
    body = f"""
    use: {{secrets: [key]}}
    do:
      - send:
          call: http
          with:
            method: get
            endpoint: https://httpbin.org/headers
            headers: {{X-Key: '${{ ${variable}.key }}'}}
          output: {{as: '.headers."X-Key"'}}
    """
    assert await output(run, body) == "[redacted]"
    assert internet.httpbin.last.headers["X-Key"] == KEY


async def test_run_shell_goes_through_a_shell_with_its_arguments_numbered(run: Any) -> None:
    body = """
    do:
      - a:
          run: {shell: {command: 'echo "$1 $2" | tr a-z A-Z', arguments: [hello, world]}}
    """
    assert await output(run, body) == "HELLO WORLD\n"


async def test_await_false_gives_the_input(run: Any) -> None:
    child = workflow("do: [{x: {set: lost}}]", name="child")
    body = """
    do:
      - a: {run: {await: false, workflow: {namespace: semantics, name: child, version: '1.0.0'}}}
    """
    assert await output(run, body, {"n": 1}, others=[child]) == {"n": 1}


async def test_event_started_input_is_an_array_of_whole_events_and_read_says_otherwise(run: Any) -> None:
    body = """
    schedule: {on: {one: {with: {type: t.go}}}%s}
    do: [{a: {set: {raw: '${ $workflow.input[0] }', all: '${ . | length }'}}}]
    """
    whole = await output(run, body % "", events=[event("t.go", "1", {"x": 1})])
    assert (whole["all"], whole["raw"]["type"], whole["raw"]["data"]) == (1, "t.go", {"x": 1})
    data = await output(run, body % ", read: data", events=[event("t.go", "1", {"x": 1})])
    assert data == {"raw": {"x": 1}, "all": 1}
    envelope = await output(run, body % ", read: envelope", events=[event("t.go", "1", {"x": 1})])
    assert envelope["raw"]["data"] == {"x": 1}


async def test_the_output_of_listen_is_an_array(run: Any) -> None:
    body = "do: [{a: {listen: {to: {one: {with: {type: t}}}}}}]"
    assert await output(run, body, events=[event("t", "1", {"x": 1})]) == [{"x": 1}]


async def test_a_retry_that_succeeds_goes_to_the_next_task_not_to_catch_then(run: Any) -> None:
    body = """
    do:
      - a:
          try:
            - count: {set: '${ . }', export: {as: '{tries: (($context.tries // 0) + 1)}'}}
            - fail: {if: $context.tries < 3, raise: {error: {type: 'https://e.example/x', status: 503}}}
          catch: {retry: {limit: {attempt: {count: 5}}}, then: end}
      - next: {set: {tries: '${ $context.tries }'}}
    """
    assert await output(run, body) == {"tries": 3}


def test_the_delay_of_the_first_retry_is_that_of_the_policy() -> None:
    """A row of its own in some engines: the first retry is not immediate."""
    body = f"do: [{{a: {{try: [{FAIL}], catch: {{retry: {{delay: PT10S, limit: {{attempt: {{count: 1}}}}}}}}}}}}]"
    local = LocalRun(dsl.compile(dsl.parse(workflow(body))))
    began = local.now()
    outcome = asyncio.run(local.execute({}))
    assert outcome.status == "faulted"
    assert (local.now() - began).total_seconds() == 10
