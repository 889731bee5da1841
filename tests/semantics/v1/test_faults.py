"""Errors, catches and retries: decisions A21 to A31, on both runtimes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, problems, refused, warnings, workflow
from workflow_engine import dsl
from workflow_engine.errors import ERRORS
from workflow_engine.interpreter.effects import Place
from workflow_engine.runtimes.local import LocalRun

BOOM = (
    "{fail: {raise: {error: {type: 'https://example.com/boom', status: 503, title: Boom, detail: broken}}}}"
)
ERROR = {"type": "https://example.com/boom", "status": 503, "title": "Boom", "detail": "broken"}


@pytest.mark.parametrize(
    "spelled",
    [
        "https://serverlessworkflow.io/spec/1.0.0/errors/timeout",
        "https://serverlessworkflow.io/dsl/errors/types/timeout",
        "https://serverlessworkflow.io.io/dsl/errors/types/timeout",
        "https://open-workflow-specification.org/dsl/errors/types/timeout",
        "https://open-workflow-specification.org/spec/1.0.0/errors/timeout",
        "timeout",
    ],
)
async def test_a21_every_spelling_of_a_standard_error_is_the_same_error(run: Any, spelled: str) -> None:
    body = f"""
    do:
      - a:
          try: [{{slow: {{wait: PT30S, timeout: {{after: PT0.01S}}}}}}]
          catch: {{errors: {{with: {{type: '{spelled}'}}}}, do: [{{caught: {{set: '${{ $error.type }}'}}}}]}}
    """
    assert await output(run, body) == ERRORS + "timeout"


async def test_a21_other_types_are_compared_as_they_are(run: Any) -> None:
    filter = "errors: {with: {type: 'https://example.com/BOOM'}}"
    body = f"do: [{{a: {{try: [{BOOM}], catch: {{{filter}}}}}}}]"
    assert (await error(run, body))["type"] == "https://example.com/boom"


@pytest.mark.parametrize(
    ("wanted", "caught"),
    [
        ("{status: 503}", True),
        ("{status: 500}", False),
        ("{type: 'https://example.com/boom', status: 503, title: Boom, detail: broken}", True),
        ("{details: broken}", True),
        ("{detail: other}", False),
        ("{title: Boom, status: 404}", False),
        ("{instance: /do/0/a/try/0/fail}", True),
        ("{instance: /do/0/a}", False),
        ("{status: '${ .status }'}", True),
        ('{title: \'${ "Bo" + "om" }\'}', True),
        ("{status: '${ $input.expected }'}", True),
    ],
)
async def test_a22_a_filter_compares_every_member_that_it_names(run: Any, wanted: str, caught: bool) -> None:
    body = f"do: [{{a: {{try: [{BOOM}], catch: {{errors: {{with: {wanted}}}}}}}}}]"
    ended = await run(workflow(body), {"expected": 503})
    assert ended.status == ("completed" if caught else "faulted")


@pytest.mark.parametrize(
    ("condition", "caught"),
    [
        ("when: .status == 503", True),
        ('when: .detail == "broken" and $problem.title == "Boom"', True),
        ("when: '$input.n == 1 and $context == {}'", True),
        ("when: .status == 404", False),
        ("exceptWhen: .status == 404", True),
        ("exceptWhen: $problem.status == 503", False),
        ('when: .status == 503, exceptWhen: .detail == "broken"', False),
    ],
)
async def test_a23_the_conditions_of_a_catch_see_the_error(run: Any, condition: str, caught: bool) -> None:
    body = f"do: [{{a: {{try: [{BOOM}], catch: {{as: problem, {condition}}}}}}}]"
    ended = await run(workflow(body), {"n": 1})
    assert ended.status == ("completed" if caught else "faulted")


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


async def test_a29_an_error_in_a_handler_goes_to_the_next_try_around(run: Any) -> None:
    body = f"""
    do:
      - outer:
          try:
            - inner:
                try: [{BOOM}]
                catch: {{do: [{{again: {{raise: {{error: {{type: 'https://example.com/2', status: 400}}}}}}}}]}}
          catch: {{do: [{{handle: {{set: '${{ $error }}'}}}}]}}
    """
    caught = await output(run, body)
    assert caught == {
        "type": "https://example.com/2",
        "status": 400,
        "instance": "/do/0/outer/try/0/inner/catch/do/0/again",
    }


async def test_a29_a_try_cannot_catch_its_own_timeout_which_covers_all_retries(run: Any) -> None:
    body = f"""
    do:
      - a:
          timeout: {{after: PT0.1S}}
          try: [{BOOM}]
          catch: {{retry: {{delay: PT0.03S, limit: {{attempt: {{count: 1000}}}}}}, do: [{{never: {{set: lost}}}}]}}
    """
    fault = await error(run, body)
    assert (kind(fault), fault["instance"]) == ("timeout", "/do/0/a")


async def test_a30_an_error_says_where_it_was_raised_unless_its_author_did(run: Any) -> None:
    assert await error(run, f"do: [{{a: {{do: [{BOOM}]}}}}]") == {**ERROR, "instance": "/do/0/a/do/0/fail"}
    body = "do: [{a: {raise: {error: {type: 'https://e.example/x', status: 400, instance: /my/place}}}}]"
    assert (await error(run, body))["instance"] == "/my/place"


PLACES = [
    ("do: [{a: %s}]", "/do/0/a"),
    ("do: [{a: {for: {in: '[1]'}, do: [{x: {set: {n: 1}}}, {b/c: %s}]}}]", "/do/0/a/do/1/b~1c"),
    ("do: [{a: {fork: {branches: [{x: {set: {n: 1}}}, {b: %s}]}}}]", "/do/0/a/fork/branches/1/b"),
    (
        "do: [{a: {fork: {compete: true, branches: [{b: %s}, {c: {do: [{d: %s}]}}]}}}]",
        "/do/0/a/fork/branches/0/b",
    ),
    ("do: [{a: {try: [%s], catch: {do: [{b: %s}]}}}]", "/do/0/a/catch/do/0/b"),
    ("do: [{a: {try: [{b: %s}], catch: {when: 'false'}}}]", "/do/0/a/try/0/b"),
    ("use: {functions: {f: %s}}\ndo: [{a: {call: f}}]", "/use/functions/f"),
    ("use: {functions: {f: {do: [{b: %s}]}}}\ndo: [{a: {do: [{c: {call: f}}]}}]", "/use/functions/f/do/0/b"),
]


@pytest.mark.parametrize(("body", "place"), PLACES)
async def test_a31_the_instance_is_a_pointer_into_the_document(run: Any, body: str, place: str) -> None:
    raising = "{raise: {error: {type: 'https://e.example/x', status: 400}}}"
    body = body.replace("try: [%s]", f"try: [{{t: {raising}}}]").replace("%s", raising)
    assert (await error(run, body))["instance"] == place


@pytest.mark.parametrize(("body", "place"), PLACES)
async def test_a31_a_validation_fault_has_its_status_and_its_place(run: Any, body: str, place: str) -> None:
    invalid = "{input: {schema: {document: {required: [absent]}}}, set: {x: 1}}"
    body = body.replace("try: [%s]", f"try: [{{t: {invalid}}}]").replace("%s", invalid)
    fault = await error(run, body, {})
    assert (kind(fault), fault["status"], fault["instance"]) == ("validation", 400, place)


async def test_a_handler_is_followed_by_what_the_try_says_unless_the_catch_says_more(run: Any) -> None:
    body = """
    do:
      - a: {try: [%s], catch: {do: [{handle: {set: handled}}]%s}, then: there}
      - here: {set: '${ [., "here"] }', then: end}
      - there: {set: '${ [., "there"] }'}
    """
    assert await output(run, body % (BOOM, "")) == ["handled", "there"]
    assert await output(run, body % (BOOM, ", then: here")) == ["handled", "here"]
    assert await output(run, body % (BOOM, ", then: continue")) == ["handled", "here"]
    assert await output(run, body % (BOOM, ", then: end")) == "handled"


async def test_the_then_of_a_catch_is_not_taken_when_nothing_was_caught(run: Any) -> None:
    body = """
    do:
      - a: {try: [{fine: {set: fine}}], catch: {do: [{handle: {set: handled}}], then: end}}
      - b: {set: '${ [., "b"] }'}
    """
    assert await output(run, body) == ["fine", "b"]


async def test_the_then_of_a_catch_awaits_an_error_whose_retries_are_spent(run: Any) -> None:
    body = f"""
    do:
      - a: {{try: [{BOOM}], catch: {{retry: {{limit: {{attempt: {{count: 1}}}}}}, then: there}}}}
      - here: {{set: here, then: end}}
      - there: {{set: '${{ [., "there"] }}'}}
    """
    assert await output(run, body, {"n": 1}) == [{"n": 1}, "there"]


async def test_what_a_failed_attempt_exported_stays_exported(run: Any) -> None:
    body = f"""
    do:
      - a: {{try: [{{b: {{set: {{x: 1}}, export: {{as: '{{b: .x}}'}}}}}}, {BOOM}], catch: {{}}}}
      - c: {{set: '${{ $context }}'}}
    """
    assert await output(run, body) == {"b": 1}


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


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ("do: [{a: {raise: {error: nothing}}}]", "unknown-error", "/do/0/a/raise/error"),
        ("do: [{a: {try: [], catch: {retry: nothing}}}]", "unknown-retry", "/do/0/a/catch/retry"),
        ("do: [{a: {call: nothing}}]", "unknown-function", "/do/0/a/call"),
        ("do: [{a: {wait: PT1S, timeout: nothing}}]", "unknown-timeout", "/do/0/a/timeout"),
        ("timeout: nothing\ndo: []", "unknown-timeout", "/timeout"),
        (
            "do: [{a: {call: http, with: {method: get, endpoint: {uri: 'http://x', authentication: {use: no}}}}}]",
            "unknown-authentication",
            "/do/0/a/with/endpoint/authentication",
        ),
    ],
)
def test_a_name_that_is_not_in_use_is_a_problem_of_its_place(body: str, code: str, pointer: str) -> None:
    found = refused(body)
    assert (found.code, found.pointer) == (code, pointer)


@pytest.mark.parametrize(
    "error",
    ["{type: '${ .nothing }', status: 400}", "{type: '${ 3 }', status: 400}"],
)
async def test_an_error_without_a_type_is_an_expression_fault(run: Any, error: str) -> None:
    ended = await run(workflow(f"do: [{{a: {{raise: {{error: {error}}}}}}}]"), {})
    assert (kind(ended.error), ended.error["instance"]) == ("expression", "/do/0/a")
