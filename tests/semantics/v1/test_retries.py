"""What is caught, tried again and handled: decisions A24 to A28, on both runtimes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, problems, warnings, workflow
from workflow_engine import dsl
from workflow_engine.interpreter.effects import Place
from workflow_engine.runtimes.local import LocalRun

BOOM = "{fail: {raise: {error: {type: 'https://example.com/boom', status: 503, detail: broken}}}}"


TRIES = """
do:
  - a:
      try:
        - count: {set: '${ . }', export: {as: '{tries: (($context.tries // 0) + 1)}'}}
        - fail:
            if: $context.tries <= %s
            raise: {error: {type: 'https://example.com/boom', status: 503, detail: 'try ${ $context.tries }'}}
      catch: %s
  - tell: {set: {data: '${ . }', tries: '${ $context.tries }'}}
"""


def tries(failing: int, catch: str) -> str:
    return TRIES % (failing, catch)


async def test_a24_what_is_retried_until_it_works_gives_its_output(run: Any) -> None:
    body = tries(2, "{retry: {limit: {attempt: {count: 3}}}, do: [{never: {set: lost}}], then: end}")
    assert await output(run, body, {"n": 1}) == {"data": {"n": 1}, "tries": 3}


async def test_a24_when_the_retries_are_spent_the_handler_runs(run: Any) -> None:
    body = tries(9, "{retry: {limit: {attempt: {count: 2}}}, do: [{handle: {set: '${ $error.detail }'}}]}")
    assert await output(run, body, {"n": 1}) == {"data": "try 3", "tries": 3}


async def test_a24_when_the_retries_are_spent_and_there_is_no_handler_the_error_goes_on(run: Any) -> None:
    body = tries(9, "{retry: {limit: {attempt: {count: 2}}}}")
    fault = await error(run, body, {})
    assert (fault["detail"], fault["instance"]) == ("try 3", "/do/0/a/try/1/fail")


async def test_a24_an_error_that_no_retry_awaits_is_swallowed_without_a_handler(run: Any) -> None:
    assert await output(run, tries(9, "{}"), {"n": 1}) == {"data": {"n": 1}, "tries": 1}


async def test_a24_what_the_filter_does_not_take_is_not_retried(run: Any) -> None:
    body = tries(9, "{errors: {with: {status: 404}}, retry: {limit: {attempt: {count: 2}}}}")
    assert (await error(run, body, {}))["detail"] == "try 1"


async def test_a24_what_the_retry_does_not_take_is_handled(run: Any) -> None:
    for condition in ("when: $context.tries < 2", 'exceptWhen: .detail == "try 2"'):
        policy = f"{{retry: {{{condition}, limit: {{attempt: {{count: 5}}}}}}, do: [{{handle: {{set: handled}}}}]}}"
        assert await output(run, tries(9, policy), {}) == {"data": "handled", "tries": 2}


async def test_a25_the_handler_begins_with_the_transformed_input_of_the_try(run: Any) -> None:
    body = f"""
    do:
      - a:
          input: {{from: .inner}}
          try: [{{change: {{set: {{n: 2}}}}}}, {BOOM}]
          catch:
            do: [{{handle: {{set: {{data: '${{ . }}', input: '${{ $input }}', status: '${{ $error.status }}'}}}}}}]
          output: {{as: '. + {{of: $input}}'}}
    """
    expected = {"data": {"n": 1}, "input": {"n": 1}, "status": 503, "of": {"n": 1}}
    assert await output(run, body, {"inner": {"n": 1}}) == expected


async def test_a25_a_swallowed_error_gives_the_transformed_input_of_the_try(run: Any) -> None:
    body = (
        f"do: [{{a: {{input: {{from: .inner}}, try: [{{change: {{set: {{n: 2}}}}}}, {BOOM}], catch: {{}}}}}}]"
    )
    assert await output(run, body, {"inner": {"n": 1}}) == {"n": 1}


@pytest.mark.parametrize(("count", "expected"), [(0, 1), (1, 2), (4, 5)])
async def test_a26_the_limit_counts_retries_not_attempts(run: Any, count: int, expected: int) -> None:
    policy = f"{{retry: {{limit: {{attempt: {{count: {count}}}}}}}, do: [{{handle: {{set: handled}}}}]}}"
    assert await output(run, tries(9, policy), {}) == {"data": "handled", "tries": expected}


def test_a_retry_without_a_limit_stops_after_ten_and_says_so() -> None:
    body = f"do: [{{a: {{try: [{BOOM}], catch: {{retry: {{delay: PT1S}}}}}}}}]"
    assert warnings(body) == ["unbounded-retry"]
    outcome, waits = simulated(body)
    assert outcome.status == "faulted"
    assert waits == [1.0] * 10


async def test_a27_each_attempt_has_its_own_time_and_running_out_of_it_is_retried(run: Any) -> None:
    body = """
    do:
      - a:
          try:
            - count: {set: '${ . }', export: {as: '{tries: (($context.tries // 0) + 1)}'}}
            - slow: {if: $context.tries < 3, wait: PT30S}
          catch: {errors: {with: {type: timeout}}, retry: {limit: {attempt: {count: 5, duration: PT0.05S}}}}
      - tell: {set: '${ $context.tries }'}
    """
    assert await output(run, body) == 3


async def test_a27_running_out_of_time_in_every_attempt_is_a_timeout_of_the_try(run: Any) -> None:
    policy = "{limit: {attempt: {count: 1, duration: PT0.02S}}}"
    body = f"do: [{{a: {{try: [{{slow: {{wait: PT30S}}}}], catch: {{retry: {policy}}}}}}}]"
    fault = await error(run, body)
    assert (kind(fault), fault["status"], fault["instance"]) == ("timeout", 408, "/do/0/a")


def test_a27_the_budget_is_checked_before_waiting_for_the_next_attempt() -> None:
    body = f"do: [{{a: {{try: [{BOOM}], catch: {{retry: {{delay: PT4S, limit: {{duration: PT10S}}}}}}}}}}]"
    outcome, waits = simulated(body)
    assert outcome.status == "faulted"
    assert waits == [4.0, 4.0]


async def test_a27_the_budget_of_retries_without_a_delay_is_spent_by_trying(run: Any) -> None:
    body = tries(
        10**9, "{retry: {limit: {duration: PT0.2S}}, do: [{handle: {set: '${ $context.tries > 1 }'}}]}"
    )
    assert (await output(run, body, {}))["data"] is True


async def test_the_time_of_states_that_only_compute_comes_to_its_end(run: Any) -> None:
    body = """
    do:
      - spin:
          timeout: {after: PT0.2S}
          do: [{turn: {set: {x: 1}, then: back}}, {back: {set: {x: 2}, then: turn}}]
    """
    fault = await error(run, body)
    assert (kind(fault), fault["instance"]) == ("timeout", "/do/0/spin")


class Simulated(LocalRun):
    """A run on virtual time that remembers how long it waited."""

    def __init__(self, body: str, seed: int = 0) -> None:
        super().__init__(dsl.compile(dsl.parse(workflow(body))), run_id="simulated", seed=seed)
        self.waits: list[float] = []

    async def sleep(self, seconds: float, place: Place) -> None:
        self.waits.append(round(seconds, 6))
        await super().sleep(seconds, place)


def simulated(body: str, input: Any = None, seed: int = 0) -> Any:
    local = Simulated(body, seed)
    return asyncio.run(local.execute({} if input is None else input)), local.waits


@pytest.mark.parametrize(
    ("policy", "waits"),
    [
        ("", [0.0, 0.0, 0.0, 0.0]),
        ("delay: PT2S,", [2, 2, 2, 2]),
        ("delay: {seconds: 2}, backoff: {constant: {}},", [2, 2, 2, 2]),
        ("delay: PT2S, backoff: {linear: {}},", [2, 4, 6, 8]),
        ("delay: PT2S, backoff: {linear: {increment: PT1S}},", [2, 3, 4, 5]),
        ("delay: PT2S, backoff: {linear: {maxDelay: PT5S}},", [2, 4, 5, 5]),
        ("delay: PT2S, backoff: {exponential: {}},", [2, 4, 8, 16]),
        ("delay: PT2S, backoff: {exponential: {multiplier: 3, maxDelay: PT20S}},", [2, 6, 18, 20]),
        ("delay: '${ .pause }', backoff: {exponential: {}},", [1, 2, 4, 8]),
    ],
)
def test_a28_how_long_is_waited_before_each_retry(policy: str, waits: list[float]) -> None:
    body = f"do: [{{a: {{try: [{BOOM}], catch: {{retry: {{{policy} limit: {{attempt: {{count: 4}}}}}}}}}}}}]"
    outcome, waited = simulated(body, {"pause": "PT1S"})
    assert outcome.status == "faulted"
    assert waited == [wait for wait in waits if wait > 0]


def test_a28_jitter_adds_a_part_of_its_range_the_same_for_the_same_run() -> None:
    jitter = "delay: PT1S, jitter: {from: PT0.5S, to: PT1.5S}, limit: {attempt: {count: 20}}"
    body = f"do: [{{a: {{try: [{BOOM}], catch: {{retry: {{{jitter}}}}}}}}}]"
    waits = simulated(body, seed=1)[1]
    assert all(1.5 <= wait < 2.5 for wait in waits)
    assert len(set(waits)) > 10
    assert simulated(body, seed=1)[1] == waits
    assert simulated(body, seed=2)[1] != waits


def test_a28_parts_of_a_backoff_that_mean_nothing_are_refused() -> None:
    body = "do: [{a: {try: [{b: {set: {x: 1}}}], catch: {retry: {backoff: %s}}}}]"
    assert [problem.code for problem in problems(body % "{constant: {increment: PT1S}}")] == [
        "unknown-property"
    ]
    assert [problem.code for problem in problems(body % "{linear: {}, exponential: {}}")] == [
        "conflicting-properties"
    ]


async def test_the_then_of_a_catch_awaits_an_error_whose_retries_are_spent(run: Any) -> None:
    body = f"""
    do:
      - a: {{try: [{BOOM}], catch: {{retry: {{limit: {{attempt: {{count: 1}}}}}}, then: there}}}}
      - here: {{set: here, then: end}}
      - there: {{set: '${{ [., "there"] }}'}}
    """
    assert await output(run, body, {"n": 1}) == [{"n": 1}, "there"]


async def test_reusable_errors_and_policies_are_found_by_their_names(run: Any) -> None:
    body = """
    use:
      errors: {broken: {type: 'https://example.com/boom', status: 503, title: Boom, detail: '${ .why }'}}
      retries: {twice: {limit: {attempt: {count: 2}}}}
    do:
      - a:
          try:
            - count: {set: '${ . }', export: {as: '{tries: (($context.tries // 0) + 1)}'}}
            - fail: {raise: {error: broken}}
          catch: {retry: twice, do: [{handle: {set: {why: '${ $error.detail }', tries: '${ $context.tries }'}}}]}
    """
    assert await output(run, body, {"why": "worn out"}) == {"why": "worn out", "tries": 3}
