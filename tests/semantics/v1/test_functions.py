"""Functions of the document: decision A61, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, event, kind, output, problems, refused


async def test_a61_a_function_has_its_own_data_flow_around_its_arguments(run: Any) -> None:
    body = """
    use:
      functions:
        price:
          if: .amount > 0
          input: {schema: {document: {required: [amount]}}, from: .amount}
          do: [{tax: {set: '${ . * 1.5 }'}}]
          output: {as: '{gross: .}'}
          then: end
    do:
      - a: {call: price, with: {amount: '${ .net }'}}
      - b: {set: '${ .gross + 1 }'}
    """
    assert await output(run, body, {"net": 10}) == 16
    missing = body.replace("{amount: '${ .net }'}", "{other: 1}").replace("if: .amount > 0", "if: 'true'")
    fault = await error(run, missing, {})
    assert (kind(fault), fault["instance"]) == ("validation", "/use/functions/price")


async def test_a61_a_function_that_is_skipped_gives_its_arguments(run: Any) -> None:
    body = """
    use: {functions: {never: {if: 'false', set: lost}}}
    do: [{a: {call: never, with: {n: '${ .n }'}, output: {as: '. + {of: $input}'}}}]
    """
    assert await output(run, body, {"n": 1}) == {"n": 1, "of": {"n": 1}}


async def test_a61_without_arguments_a_function_begins_with_the_input_of_the_call(run: Any) -> None:
    body = "use: {functions: {add: {set: '${ . + 1 }'}}}\ndo: [{a: {input: {from: .n}, call: add}}]"
    assert await output(run, body, {"n": 1}) == 2


async def test_a61_functions_may_call_functions_and_share_the_context(run: Any) -> None:
    body = """
    use:
      functions:
        outer: {do: [{once: {call: inner, with: {n: '${ .n }'}}}, {again: {call: inner, with: {n: '${ . }'}}}]}
        inner: {set: '${ .n * 2 }', export: {as: '$context + {calls: (($context.calls // 0) + 1)}'}}
    do:
      - a: {call: outer, with: {n: 3}}
      - b: {set: {n: '${ . }', calls: '${ $context.calls }'}}
    """
    assert await output(run, body) == {"n": 12, "calls": 2}


def test_a61_built_in_names_are_looked_up_before_functions() -> None:
    body = "use: {functions: {http: {set: {x: 1}}}}\ndo: [{a: {call: http}}]"
    assert [problem.code for problem in problems(body)] == ["missing-property"]


def test_a61_a_function_does_not_see_the_variables_of_its_callers() -> None:
    body = "use: {functions: {f: {set: '${ $item }'}}}\ndo: [{a: {for: {in: .}, do: [{b: {call: f}}]}}]"
    found = refused(body)
    assert (found.code, found.pointer) == ("invalid-expression", "/use/functions/f/set")


@pytest.mark.parametrize(
    "functions",
    ["{f: {call: f}}", "{f: {do: [{b: {call: g}}]}, g: {do: [{b: {call: f}}]}}"],
)
def test_a61_functions_that_call_themselves_are_refused(functions: str) -> None:
    found = problems(f"use: {{functions: {functions}}}\ndo: [{{a: {{call: f}}}}]")
    assert {problem.code for problem in found} == {"recursive-function"}


def test_a61_functions_that_nothing_calls_are_checked_too() -> None:
    found = refused("use: {functions: {f: {set: '${ $nothing }'}}}\ndo: []")
    assert (found.code, found.pointer) == ("invalid-expression", "/use/functions/f/set")


def test_a61_functions_that_multiply_without_bound_are_refused() -> None:
    functions = ", ".join(
        f"f{n}: {{do: [{{a: {{call: f{n + 1}}}}}, {{b: {{call: f{n + 1}}}}}]}}" for n in range(40)
    )
    found = problems(
        f"use: {{functions: {{{functions}, f40: {{set: {{x: 1}}}}}}}}\ndo: [{{a: {{call: f0}}}}]"
    )
    assert [problem.code for problem in found] == ["too-large"]


async def test_events_reach_a_run_that_emits_and_listens_in_one_function(run: Any) -> None:
    body = """
    use:
      functions:
        ask:
          do:
            - say: {emit: {event: {with: {type: question}}}}
            - hear: {listen: {to: {one: {with: {type: answer}}}}}
    do: [{a: {call: ask}}, {b: {call: ask, output: {as: '[$input[0], .[0]]'}}}]
    """
    answers = [event("answer", "1", 1), event("answer", "2", 2)]
    assert await output(run, body, events=answers) == [1, 2]
