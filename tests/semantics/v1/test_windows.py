"""How many branches and iterations are under way at once: `metadata.parallelism`, or 500; order is kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.running import LocalRunner
from tests.semantics.v0_8 import documents as old
from tests.semantics.v1.documents import problems, workflow
from workflow_engine.calls import Egress
from workflow_engine.values import JsonObject

BRANCHES = ", ".join(
    f"{{b{number}: {{do: [{{w: {{wait: PT0.{number * 7 % 10 + 1:02}S}}}}, {{s: {{set: {{n: {number}}}}}}}]}}}}"
    for number in range(10)
)


def fork(metadata: str = "", compete: bool = False, branches: str = BRANCHES) -> str:
    race = "compete: true, " if compete else ""
    return workflow(f"do: [{{many: {{{metadata}fork: {{{race}branches: [{branches}]}}}}}}]")


def most_at_once(progress: Any, first: str, last: str) -> int:
    """How many were between *first* and *last* at the same time."""
    now = most = 0
    for step in progress:
        if step.phase == "started" and step.name == first:
            now += 1
        if step.phase == "completed" and step.name == last:
            now -= 1
        most = max(most, now)
    return most


@pytest.mark.parametrize("parallelism", [1, 3, 10, 1000])
async def test_a_fork_has_so_many_branches_under_way_and_keeps_their_order(
    run: Any, parallelism: int
) -> None:
    ended = await run(fork(f"metadata: {{parallelism: {parallelism}}}, "))
    assert ended.output == [{"n": number} for number in range(10)]
    assert most_at_once(ended.progress, "w", "s") == min(parallelism, 10)


async def test_a_fault_ends_a_fork_and_what_has_not_begun_does_not_begin(run: Any) -> None:
    faulty = BRANCHES.replace("{set: {n: 3}}", "{raise: {error: {type: 'https://e.example/x', status: 500}}}")
    ended = await run(fork("metadata: {parallelism: 2}, ", branches=faulty))
    assert (ended.status, ended.error["type"]) == ("faulted", "https://e.example/x")
    assert sum(step.name == "w" and step.phase == "started" for step in ended.progress) < 10


async def test_all_branches_of_a_race_begin_at_once(run: Any) -> None:
    ended = await run(fork(compete=True))
    assert ended.output == {"n": 0}
    assert most_at_once(ended.progress, "w", "s") == 10


async def test_a_race_with_parallelism_goes_on_with_the_next_branch_when_one_has_faulted(run: Any) -> None:
    lost = "{lost%d: {raise: {error: {type: 'https://e.example/x', status: 500}}}}"
    branches = ", ".join(
        [*(lost % number for number in range(4)), "{won: {set: {won: true}}}", "{late: {set: {late: true}}}"]
    )
    ended = await run(fork("metadata: {parallelism: 1}, ", compete=True, branches=branches))
    assert ended.output == {"won": True}
    assert "late" not in ended.order
    ended = await run(
        fork(
            "metadata: {parallelism: 1}, ",
            compete=True,
            branches=", ".join(lost % number for number in range(3)),
        )
    )
    assert (ended.status, ended.error["instance"]) == ("faulted", "/do/0/many/fork/branches/0/lost0")


FOREACH = """
functions: [{{name: f, type: expression, operation: '{{n: .x, at: .at}}'}}]
states:
  - name: A
    type: foreach
    inputCollection: .list
    iterationParam: x
    {more}
    outputCollection: .out
    actions:
      - {{name: w, functionRef: f, sleep: {{before: PT0.02S}}}}
      - {{name: s, functionRef: f}}
    end: true
"""


@pytest.mark.parametrize(
    ("more", "most"),
    [
        ("metadata: {parallelism: 3}", 3),
        ("batchSize: 4", 4),
        ("batchSize: 4\n    metadata: {parallelism: 2}", 2),
        ("mode: sequential", 1),
        ("", 10),
    ],
)
async def test_a_foreach_has_so_many_iterations_under_way_and_keeps_their_order(
    more: str, most: int, run: Any
) -> None:
    ended = await run(old.workflow(FOREACH.format(more=more)), {"list": [*range(10)]})
    assert ended.status == "completed", ended.error
    assert [entry["n"] for entry in ended.output["out"]] == [*range(10)]
    assert most_at_once(ended.progress, "before w", "s") == most


async def test_five_hundred_are_under_way_where_nothing_says_how_many() -> None:
    text = old.workflow(FOREACH.format(more=""))
    async with Egress() as egress:
        ended = await LocalRunner(egress)(text, {"list": [*range(1200)]})
    assert ended.status == "completed", ended.error
    output: JsonObject = ended.output  # type: ignore[assignment]
    assert [entry["n"] for entry in output["out"]] == [*range(1200)]  # type: ignore[index]
    assert most_at_once(ended.progress, "before w", "s") == 500


def loop(body: str, more: str = "mode: parallel", around: str = "") -> str:
    return workflow(
        f"do: [{{a: {{{around}metadata: {{{more}}}, for: {{each: x, at: i, in: .list}}, do: [{body}]}}}}, "
        "{b: {set: {out: '${ . }', context: '${ $context }'}}}]"
    )


WAITS = "{w: {wait: {milliseconds: 10}}}, {s: {set: {n: '${ $x }', at: '${ $i }', was: '${ .was }'}}}"


@pytest.mark.parametrize(("more", "most"), [("", 10), (", parallelism: 3", 3), (", parallelism: 1", 1)])
async def test_iterations_side_by_side_give_their_outputs_in_the_order_of_the_array(
    run: Any, more: str, most: int
) -> None:
    ended = await run(loop(WAITS, f"mode: parallel{more}"), {"list": [*range(10)], "was": "input"})
    assert ended.status == "completed", ended.error
    assert ended.output["out"] == [{"n": number, "at": number, "was": "input"} for number in range(10)]
    assert most_at_once(ended.progress, "w", "s") == most


async def test_iterations_side_by_side_join_what_they_change_of_the_context_in_the_order_of_the_array(
    run: Any,
) -> None:
    exporting = (
        "{w: {wait: '${ \"PT0.0\\(3 - $i)S\" }', export: {as: '$context + {(\"k\\($x)\"): $x, last: $x}'}}}, "
        "{s: {set: '${ $context.last }'}}"
    )
    ended = await run(loop(exporting), {"list": [5, 6, 7]})
    assert ended.output == {"out": [5, 6, 7], "context": {"k5": 5, "k6": 6, "k7": 7, "last": 7}}


async def test_iterations_side_by_side_over_nothing_give_an_empty_list(run: Any) -> None:
    assert (await run(loop(WAITS), {"list": []})).output["out"] == []
    assert (await run(loop(WAITS), {"list": None})).output["out"] == []


async def test_a_fault_of_one_iteration_ends_the_others_and_can_be_caught_inside_or_around(run: Any) -> None:
    error = "raise: {error: {type: 'https://e.example/x', status: 500}}"
    faulty = (
        f"{{r: {{if: '${{ $x == 2 }}', {error}}}}}, "
        "{w: {wait: {milliseconds: 10}}}, {s: {set: '${ $x }'}}"
    )
    ended = await run(loop(faulty), {"list": [1, 2, 3]})
    assert (ended.status, ended.error["instance"]) == ("faulted", "/do/0/a/do/0/r")
    assert "s" not in ended.order
    caught = f"{{t: {{try: [{faulty}], catch: {{do: [{{c: {{set: lost}}}}]}}}}}}"
    assert (await run(loop(caught), {"list": [1, 2, 3]})).output["out"] == [1, "lost", 3]


async def test_exit_ends_one_iteration_side_by_side_and_end_all_of_it(run: Any) -> None:
    left = "{e: {if: '${ $x == 2 }', set: left, then: exit}}, {s: {set: '${ $x }'}}"
    assert (await run(loop(left), {"list": [1, 2, 3]})).output["out"] == [1, "left", 3]
    over = "{e: {if: '${ $x == 2 }', set: over, then: end}}, {w: {wait: {milliseconds: 10}}}"
    assert (await run(loop(over), {"list": [1, 2, 3]})).output == "over"


async def test_loops_side_by_side_may_be_nested_and_called_in_with_the_same_identities_each_time(
    run: Any,
) -> None:
    inner = (
        "{in: {metadata: {mode: parallel}, for: {each: y, in: '[1, 2]'}, do: "
        "[{c: {call: http, with: {method: get, endpoint: 'https://httpbin.org/get', query: {q: '${ $x * 10 + $y }'}}, "
        "output: {as: .args.q}}}]}}"
    )
    ended = await run(loop(inner), {"list": [1, 2, 3]})
    assert ended.output["out"] == [["11", "12"], ["21", "22"], ["31", "32"]], ended.error


def test_while_goes_with_iterations_one_after_the_other_alone() -> None:
    text = "do: [{a: {metadata: {mode: parallel}, while: .x, for: {in: .l}, do: [{b: {wait: PT1S}}]}}]"
    assert [(each.code, each.pointer) for each in problems(text)] == [
        ("conflicting-properties", "/do/0/a/while")
    ]
    text = "do: [{a: {metadata: {mode: parallel, parallelism: 0}, for: {in: .l}, do: [{b: {wait: PT1S}}]}}]"
    assert [each.code for each in problems(text)] == ["invalid-value"]
