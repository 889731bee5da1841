"""What Temporal recorded of earlier runs is replayed by today's code: a run under way outlives a new version."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer, UnsandboxedWorkflowRunner

from tests.histories.documents import RUNS
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
    )


def history(path: Path) -> WorkflowHistory:
    text = path.read_text()
    return WorkflowHistory.from_json(json.loads(text)["id"], text)


@pytest.mark.parametrize("path", [*FILES, *SCHEDULES], ids=lambda path: path.stem)
async def test_a_recorded_history_is_replayed(path: Path) -> None:
    await replayer().replay_workflow(history(path))


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
