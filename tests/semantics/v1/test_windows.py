"""How many branches and iterations are under way at once: `metadata.parallelism`, or 500; order is kept."""

from __future__ import annotations

from typing import Any

import pytest

from tests.running import LocalRunner
from tests.semantics.v0_8 import documents as old
from tests.semantics.v1.documents import workflow
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
