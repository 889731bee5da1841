"""Branches side by side: decisions A33 and A34, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, warnings, workflow

FAIL = "{raise: {error: {type: 'https://e.example/%s', status: 400}}}"


async def test_a33_the_output_is_the_branches_in_the_order_in_which_they_are_written(run: Any) -> None:
    body = """
    do:
      - both:
          fork:
            branches:
              - slow: {do: [{pause: {wait: PT0.05S}}, {set: {set: {slow: '${ .n }'}}}]}
              - fast: {set: {fast: '${ .n }'}}
              - skipped: {if: 'false', set: {never: true}}
    """
    assert await output(run, body, {"n": 1}) == [{"slow": 1}, {"fast": 1}, {"n": 1}]


async def test_a33_each_branch_begins_with_the_input_of_the_fork(run: Any) -> None:
    body = """
    do:
      - both:
          input: {from: .inner}
          fork: {branches: [{a: {set: '${ . + 1 }'}}, {b: {set: '${ . * 10 }'}}]}
          output: {as: '{outputs: ., of: $input}'}
    """
    assert await output(run, body, {"inner": 2}) == {"outputs": [3, 20], "of": 2}


async def test_a33_the_first_fault_ends_the_fork_and_the_other_branches(run: Any) -> None:
    body = f"""
    do:
      - both:
          fork:
            branches:
              - slow: {{do: [{{pause: {{wait: PT30S}}}}, {{never: {{set: lost}}}}]}}
              - broken: {FAIL % "first"}
    """
    ended = await run(workflow(body))
    assert ended.status == "faulted"
    assert ended.error["type"] == "https://e.example/first"
    assert ended.error["instance"] == "/do/0/both/fork/branches/1/broken"
    assert "never" not in ended.order


async def test_a33_a_fault_of_a_branch_can_be_caught_around_the_fork(run: Any) -> None:
    body = f"""
    do:
      - a:
          try: [{{both: {{fork: {{branches: [{{slow: {{wait: PT30S}}}}, {{broken: {FAIL % "x"}}}]}}}}}}]
          catch: {{do: [{{handle: {{set: '${{ $error.instance }}'}}}}]}}
    """
    assert await output(run, body) == "/do/0/a/try/0/both/fork/branches/1/broken"


async def test_a33_of_competing_branches_the_first_that_succeeds_gives_the_output(run: Any) -> None:
    body = f"""
    do:
      - race:
          fork:
            compete: true
            branches:
              - broken: {FAIL % "x"}
              - slow: {{do: [{{pause: {{wait: PT30S}}}}, {{never: {{set: lost}}}}]}}
              - fast: {{do: [{{pause: {{wait: PT0.02S}}}}, {{won: {{set: {{won: true}}}}}}]}}
    """
    ended = await run(workflow(body))
    assert ended.output == {"won": True}
    assert "never" not in ended.order


async def test_a33_when_every_competing_branch_faults_so_does_the_fork(run: Any) -> None:
    body = f"""
    do:
      - race:
          fork:
            compete: true
            branches:
              - late: {{do: [{{pause: {{wait: PT0.02S}}}}, {{broken: {FAIL % "late"}}}]}}
              - early: {FAIL % "early"}
    """
    assert (await error(run, body))["type"] == "https://e.example/late"


def test_a_race_of_one_branch_is_worth_a_warning() -> None:
    body = "do: [{race: {fork: {compete: true, branches: [{only: {set: {x: 1}}}]}}}]"
    assert warnings(body) == ["race-of-one"]


CONTEXTS = """
do:
  - before: {set: '${ . }', export: {as: '{kept: 1, changed: 1, removed: 1, deep: {a: 1, b: 1}}'}}
  - both:
      fork:
        compete: %s
        branches:
          - left:
              do:
                - pause: {wait: %s}
                - export: {set: left, export: {as: '$context + {changed: "left", left: true, deep: {a: 2, b: 1}}'}}
                - see: {set: '${ $context }'}
          - right:
              do:
                - pause: {wait: %s}
                - export: {set: right, export: {as: '$context + {right: true, deep: {a: 1, b: 3}} | del(.removed)'}}
                - see: {set: '${ $context }'}
  - after: {set: {branches: '${ . }', context: '${ $context }'}}
"""
LEFT = {"kept": 1, "changed": "left", "removed": 1, "deep": {"a": 2, "b": 1}, "left": True}
RIGHT = {"kept": 1, "changed": 1, "deep": {"a": 1, "b": 3}, "right": True}


@pytest.mark.parametrize("waits", [("PT0.05S", "PT0S"), ("PT0S", "PT0.05S")])
async def test_a34_each_branch_has_its_own_context_and_their_changes_are_joined(
    run: Any, waits: tuple[str, str]
) -> None:
    assert await output(run, CONTEXTS % ("false", *waits), {}) == {
        "branches": [LEFT, RIGHT],
        "context": {
            "kept": 1,
            "changed": "left",
            "deep": {"a": 2, "b": 3},
            "left": True,
            "right": True,
        },
    }


async def test_a34_of_what_several_branches_change_the_last_in_writing_wins(run: Any) -> None:
    body = """
    do:
      - both:
          fork:
            branches:
              - a: {do: [{pause: {wait: PT0.03S}}, {x: {set: 1, export: {as: '{x: "a"}'}}}]}
              - b: {set: 1, export: {as: '{x: "b"}'}}
      - after: {set: '${ $context }'}
    """
    assert await output(run, body.replace("set: 1", "set: '1'"), {}) == {"x": "b"}


async def test_a34_a_race_keeps_the_context_of_its_winner_alone(run: Any) -> None:
    won = await output(run, CONTEXTS % ("true", "PT30S", "PT0.01S"), {})
    assert won == {"branches": RIGHT, "context": RIGHT}


async def test_forks_may_be_nested_and_called_in_loops(run: Any) -> None:
    body = """
    do:
      - loop:
          for: {each: x, in: '[1, 2]'}
          do:
            - outer:
                fork:
                  branches:
                    - a: {set: '${ .n + $x }', export: {as: '$context + {("a\\($x)"): .}'}}
                    - inner: {fork: {branches: [{b: {set: '${ .n * $x }'}}, {c: {set: '${ $index }'}}]}}
                output: {as: '{n: (.[0] + .[1][0] + .[1][1])}'}
      - after: {set: {data: '${ . }', context: '${ $context }'}}
    """
    # 1: a = 2, b = 1, c = 0 → 3; 2: a = 5, b = 6, c = 1 → 12
    assert await output(run, body, {"n": 1}) == {"data": {"n": 12}, "context": {"a1": 2, "a2": 5}}


async def test_a_race_gives_up_the_calls_of_the_losers(run: Any, internet: Any) -> None:
    body = """
    do:
      - race:
          fork:
            compete: true
            branches:
              - slow: {call: http, with: {method: get, endpoint: 'https://httpbin.org/delay/8'}}
              - fast: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get'}, output: {as: '"fast"'}}
    """
    assert await output(run, body) == "fast"


async def test_a_fork_with_a_timeout_gives_up_all_its_branches(run: Any) -> None:
    body = """
    do:
      - both:
          timeout: {after: PT0.05S}
          fork: {branches: [{a: {wait: PT30S}}, {b: {wait: PT40S}}]}
    """
    fault = await error(run, body)
    assert (kind(fault), fault["status"], fault["instance"]) == ("timeout", 408, "/do/0/both")


async def test_of_branches_that_fail_at_once_the_first_one_says_why(run: Any) -> None:
    body = """
do:
  - both:
      fork:
        branches:
          - a: {raise: {error: {type: 'https://x.example/a', status: 501}}}
          - b: {raise: {error: {type: 'https://x.example/b', status: 502}}}
          - c: {set: {x: 1}}
"""
    fault = await error(run, body)
    assert (fault["type"], fault["status"]) == ("https://x.example/a", 501)
