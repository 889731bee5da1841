"""What Temporal recorded of earlier runs is replayed by today's code: a run under way outlives a new version."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from tests.histories.documents import RUNS
from workflow_engine.graph.model import State
from workflow_engine.interpreter.effects import Place
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.temporal.converter import DATA_CONVERTER
from workflow_engine.runtimes.temporal.detached import DetachedCall
from workflow_engine.runtimes.temporal.repeater import Repeater
from workflow_engine.runtimes.temporal.workflow import ServerlessWorkflow

FOLDER = Path(__file__).parent / "histories"
FILES = sorted(FOLDER.glob("*.json"))
SCHEDULES = sorted((FOLDER / "schedules").glob("*.json"))
"""``python -m tests.histories.repeating``."""
LARGEST = 100_000


def replayer() -> Replayer:
    return Replayer(
        workflows=[DetachedCall, Repeater, ServerlessWorkflow],
        workflow_runner=UnsandboxedWorkflowRunner(),
        data_converter=DATA_CONVERTER,
        debug_mode=True,  # takes no task for stuck: two seconds are few on a busy machine
    )


def history(path: Path) -> WorkflowHistory:
    text = path.read_text()
    return WorkflowHistory.from_json(json.loads(text)["id"], text)


@pytest.mark.parametrize("path", [*FILES, *SCHEDULES], ids=lambda path: path.stem)
async def test_a_recorded_history_is_replayed(path: Path) -> None:
    await follows(history(path), path.name)


TO_DO = """
The engine does not do any more what it did in the recorded run {name}: {why}

Runs that were begun by the engine of then are under way at its users, and would be parked by this one. Either let it
ask Temporal for the same things in the same order as before; or do that for runs from before only: raise
`dsl.bundle.SEMANTICS`, and ask in the effects for those that the run began with, or use `workflow.patched`. Record a
history of what is new beside the old ones, which stay. See docs/changing.md, "Changing the engine"."""


async def follows(recorded: WorkflowHistory, name: str) -> None:
    """Fail, and say what to do about it, if the engine does not follow a recorded history."""
    result = await replayer().replay_workflow(recorded, raise_on_replay_failure=False)
    if result.replay_failure is not None:
        why = str(result.replay_failure)[:1000]
        pytest.fail(TO_DO.format(name=name, why=why), pytrace=False)


def test_every_kind_of_state_is_recorded() -> None:
    assert sorted(RUNS) == sorted(path.stem for path in FILES), "python -m tests.histories.record"


def test_histories_are_small() -> None:
    assert [path.stem for path in FILES if path.stat().st_size > LARGEST] == []


async def test_a_history_that_the_code_does_not_follow_is_noticed() -> None:
    text = (FOLDER / "wait.json").read_text()
    changed = text.replace("EVENT_TYPE_TIMER_STARTED", "EVENT_TYPE_MARKER_RECORDED")
    assert changed != text
    with pytest.raises(Exception, match=r"[Nn]ondeterminism|TMPRL"):
        await replayer().replay_workflow(WorkflowHistory.from_json("x", changed))


async def test_an_incompatible_change_of_the_interpreter_is_caught_and_what_to_do_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sleep = Run._sleep

    async def twice(
        self: Run, state: State, frame: Frame, duration: float, place: Place, number: int
    ) -> None:
        """A wait that is two timers, where it was one."""
        await sleep(self, state, frame, duration / 2, place, number)
        frame.local.pop("until", None)
        await sleep(self, state, frame, duration / 2, place, number)

    monkeypatch.setattr(Run, "_sleep", twice)
    with pytest.raises(pytest.fail.Exception) as caught:
        await follows(history(FOLDER / "wait.json"), "wait.json")
    told = str(caught.value)
    assert "does not do any more what it did in the recorded run wait.json" in told
    assert "Nondeterminism" in told
    assert "SEMANTICS" in told
    assert "workflow.patched" in told


async def test_another_name_of_a_call_is_an_incompatible_change_too(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Run.place
    monkeypatch.setattr(Run, "place", lambda *given: replace(place(*given), id="/renamed"))
    with pytest.raises(pytest.fail.Exception, match=r"call\.json.*[Nn]ondeterminism"):
        await follows(history(FOLDER / "call.json"), "call.json")


KINDS = (
    "http",
    "openapi",
    "grpc",
    "asyncapi",
    "asyncapi.receive",
    "mcp",
    "a2a",
    "shell",
    "script",
    "container",
)


def test_a_history_of_every_kind_of_call_is_kept() -> None:
    kept = "".join(file.read_text() for file in FILES)
    assert [kind for kind in KINDS if f'"call.{kind}"' not in kept] == []
