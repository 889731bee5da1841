"""Programs that would freeze a worker, on a real one: each is an expression fault, and other runs go on meanwhile."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from temporalio.api.enums.v1 import EventType

from tests.running import Ended, TemporalRunner
from tests.semantics.v1.documents import workflow
from workflow_engine import expressions
from workflow_engine.errors import ERRORS, Fault
from workflow_engine.interpreter.evaluation import pure
from workflow_engine.runtimes.temporal.activities import Activities
from workflow_engine.runtimes.temporal.worker import STUCK, worker

pytestmark = pytest.mark.temporal
NASTY = [
    "[range(1e9)] | length",
    "def f: f; f",
    "def f: 1 + f; f",
    '"a" * 1000000000',
    "[limit(1e8; repeat(1))]",
    "last(range(5e7))",
    "reduce range(3e7) as $i (0; . + $i)",
    "until(false; .)",
    "[recurse(. + 1; . < 1e7)]",
    "[[range(5000)], [range(5000)]] | [combinations]",
    "reduce range(200000) as $i (1; [.])",
    '("[" * 200000) | fromjson',
    '"x" * 16000000 | test("(x+x+)+y")',
]
"""The programs that stop jq for good, end its process, or take all memory; but for those that are refused at load."""
PURE = workflow("do: [{a: {set: {n: 1}}}]")


async def beside(runner: TemporalRunner, text: str, input: Any = None) -> tuple[Ended, list[Ended]]:
    """A run of *text*, and the others that the same worker has done from their beginning to their end meanwhile."""
    running = asyncio.create_task(runner(text, input))
    others: list[Ended] = []
    while not running.done():
        others.append(await runner(PURE))
    return await running, others


async def history(runner: TemporalRunner, ended: Ended) -> Counter[str]:
    found = await runner.history(ended.run_id)
    return Counter(EventType.Name(event.event_type).removeprefix("EVENT_TYPE_") for event in found)


async def test_programs_without_end_are_faults_and_other_runs_of_the_worker_go_on(
    runner: TemporalRunner,
) -> None:
    export = "export: {as: '{seen: (($context.seen // []) + [$e.type])}'}"
    catch = f"catch: {{as: e, do: [{{note: {{set: {{caught: true}}, {export}}}}}]}}"
    tries = ", ".join(
        f"{{t{number}: {{try: [{{a: {{set: {{x: '${{ {source} }}'}}}}}}], {catch}}}}}"
        for number, source in enumerate(NASTY)
    )
    text = workflow(f"do: [{tries}]\noutput: {{as: $context.seen}}")
    ended, others = await beside(runner, text)
    assert ended.status == "completed", ended.error
    assert ended.output == [f"{ERRORS}expression"] * len(NASTY)
    seen = await history(runner, ended)
    assert not {"WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT"} & set(seen)
    assert others
    assert all(other.status == "completed" for other in others)


async def test_a_run_of_much_but_honest_work_lets_others_go_on_between_its_states(
    runner: TemporalRunner,
) -> None:
    """It would take several seconds in one workflow task, and be taken for stuck."""
    work = "{sum: {set: {n: '${ .n + ([range(60000)] | map(. % 7) | add) }'}}}"
    ended, others = await beside(
        runner, workflow(f"do: [{{loop: {{for: {{in: '[range(30)]'}}, do: [{work}]}}}}]"), {"n": 0}
    )
    assert ended.status == "completed", ended.error
    seen = await history(runner, ended)
    assert not {"WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT"} & set(seen)
    assert seen["TIMER_FIRED"] > 3
    assert others


async def test_the_sdk_is_patient_with_a_task_on_a_busy_machine(runner: TemporalRunner) -> None:
    made = worker(runner.client, "nobodys", Activities({}, runner.router, runner.find, runner.egress))
    assert made._workflow_worker._deadlock_timeout_seconds == STUCK


async def test_many_branches_pause_together(runner: TemporalRunner) -> None:
    work = "do: [{a: {set: {n: '${ [range(60000)] | map(. % 7) | add }'}}}, {b: {set: '${ .n }'}}]"
    branches = ", ".join(f"{{b{number}: {{{work}}}}}" for number in range(25))
    ended, _ = await beside(runner, workflow(f"do: [{{all: {{fork: {{branches: [{branches}]}}}}}}]"))
    assert ended.status == "completed", ended.error
    assert len(set(ended.output)) == 1
    seen = await history(runner, ended)
    assert not {"WORKFLOW_TASK_FAILED", "WORKFLOW_TASK_TIMED_OUT"} & set(seen)
    assert 3 < seen["TIMER_FIRED"] < 25


@pytest.mark.parametrize(
    "pattern",
    [
        "^(a+)+$",
        "^(a|aa)+$",
        "^(a*)*$",
        "([a-zA-Z]+)*$",
        "(.*a){25}",
        "(a?){40}a{40}",
        "(a|a?)+$",
        "(x+x+)+y",
    ],
)
def test_no_pattern_can_freeze_a_worker(pattern: str) -> None:
    """Either there is an answer, or it is too much: RE2 takes time in proportion to text and pattern."""
    for text in ("a" * 40 + "!", "a" * 20_000 + "!", "x" * 20_000):
        compiled = expressions.compile("test($pattern)", variables={"pattern"})
        try:
            answer = pure(compiled, text, {"pattern": pattern})
        except Fault as fault:
            answer = str(fault.error.detail)
        assert answer in (True, False) or "steps" in answer
