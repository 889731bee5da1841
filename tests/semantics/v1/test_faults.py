"""Errors, where they come from and who catches them: decisions A21 to A23 and A29 to A31, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, problems, refused, workflow
from workflow_engine.errors import ERRORS

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


async def test_what_a_failed_attempt_exported_stays_exported(run: Any) -> None:
    body = f"""
    do:
      - a: {{try: [{{b: {{set: {{x: 1}}, export: {{as: '{{b: .x}}'}}}}}}, {BOOM}], catch: {{}}}}
      - c: {{set: '${{ $context }}'}}
    """
    assert await output(run, body) == {"b": 1}


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


def test_what_is_wrong_in_a_reusable_part_is_shown_there() -> None:
    found = problems(
        """
        use:
          retries: {r: {when: '.x ==', limit: {attempt: {count: 1}}}}
          errors: {e: {type: '${ $nothing }', status: 400}}
          timeouts: {t: {after: '${ $nothing }'}}
        do:
          - a: {try: [], catch: {retry: r}}
          - b: {try: [{c: {raise: {error: e}}}], catch: {retry: r}, timeout: t}
        """
    )
    assert [(problem.code, problem.pointer) for problem in found] == [
        ("invalid-expression", "/use/retries/r/when"),
        ("invalid-expression", "/use/errors/e/type"),
        ("invalid-expression", "/use/timeouts/t/after"),
    ]


async def test_what_an_error_says_that_is_no_text_is_told_as_json(run: Any) -> None:
    detail = "{a: {raise: {error: {type: 'https://x.example/e', status: 500, title: '${ true }', detail: '${ .x }'}}}}"
    fault = await error(run, f"do: [{detail}]", {"x": {"n": [1, None, "é"]}})
    assert (fault["title"], fault["detail"]) == ("true", '{"n":[1,null,"é"]}')
