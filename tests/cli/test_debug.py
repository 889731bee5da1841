"""`wfe runs debug`: what a run did, told from its history alone."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import wfe
from tests.running import KEY, PASSWORD, temporal_runner
from tests.standins.broken_worker import break_it
from workflow_engine import dsl
from workflow_engine.cli.debug import _painter, described
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.temporal.debugging import debugged
from workflow_engine.runtimes.temporal.histories import history, parsed

HISTORIES = Path(__file__).parents[1] / "histories"

WAITING = """
document: {dsl: '1.0.3', namespace: test, name: waiting, version: '1.0.0'}
do:
  - count: {set: {n: '${ (.n // 0) + 1 }'}, export: {as: '${ {seen: .n} }'}}
  - both:
      fork:
        branches:
          - long: {wait: {hours: 1}}
          - hear: {listen: {to: {one: {with: {type: never}}}}}
"""
BROKEN = """
document: {dsl: '1.0.3', namespace: test, name: parking, version: '1.0.0'}
do:
  - first: {set: {n: 1}}
  - nap: {wait: {milliseconds: 20}}
  - broken: {set: {n: '${ .n + 1 }'}}
"""


async def explained(content: Any) -> Any:
    return await debugged(parsed(content))


def debug(*arguments: str) -> tuple[int, str, str]:
    outcome = wfe("runs", "debug", *arguments)
    return outcome.code, outcome.out, outcome.err


def test_a_run_is_told_step_by_step_with_its_data_and_expressions():
    code, out, _ = debug(str(HISTORIES / "retry.json"))
    assert code == 0
    lines = [line.strip() for line in out.splitlines()]
    assert any(
        line.startswith("#3 ") and "/do/0/risky/try/1/get  call http  faulted" in line for line in lines
    )
    assert (
        '{tries: (($context.tries // 0) + 1)}  =  {"tries": 2}  (/do/0/risky/try/0/count/export/as)' in lines
    )
    assert 'context  {"tries": 2}' in lines
    assert "Communication Error (503): GET https://httpbin.org/status/503: 503 Service Unavailable" in lines
    assert "\x1b[" not in out


def figures(text: str) -> dict[str, tuple[str, ...]]:
    """By the name of the state: the last line of its figure and how it looks."""
    found = re.findall(r'^ *s\d+[^"]*"(.*?)".*:::(\w+)$', text, re.MULTILINE)
    return {lines.split("<br/>")[0]: (lines.split("<br/>")[-1], look) for lines, look in found}


def test_a_run_is_drawn_with_what_became_of_each_state():
    code, out, _ = debug(str(HISTORIES / "retry.json"), "--format", "mermaid")
    drawn = figures(out)
    assert code == 0
    assert drawn["get"] == ("3 times, 3 faulted", "faulted")
    assert drawn["count"] == ("3 times", "done")
    assert drawn["handle"][1] == "done"


def test_a_run_that_goes_on_in_new_histories_is_one_picture(tmp_path):
    code, out, _ = debug(str(HISTORIES / "continued-fork.json"), "--format", "mermaid")
    drawn = figures(out)
    assert code == 0
    assert (drawn["all"][1], drawn["pause"][1], drawn["no"][1]) == ("stands", "done", "faulted")
    assert drawn["yes"] == ("set tried", "unseen")
    file = tmp_path / "twice.json"
    link = json.loads((HISTORIES / "continued-fork.json").read_text())
    file.write_text(json.dumps([link, link]))
    assert (
        figures(debug(str(file), "--format", "mermaid")[1])["tick"][0] != drawn["tick"][0]
    )  # both are counted


def test_a_picture_for_graphviz_has_the_same_marks():
    code, out, _ = debug(str(HISTORIES / "continued-fork.json"), "--format", "dot")
    looks = {
        line.split('label="')[1].split("\\n")[0]: line for line in out.splitlines() if ' label="' in line
    }
    assert code == 0
    assert 'style="filled,dashed"' in looks["yes"]
    assert 'fillcolor="#fee2e2"' in looks["no"]


def test_what_is_no_history_of_a_run_is_not_drawn():
    code, out, err = debug(str(HISTORIES / "detached.json"), "--format", "mermaid")
    assert (code, out) == (2, "")
    assert "there is nothing to draw" in err


def test_it_tells_where_the_history_of_a_run_went():
    code, out, _ = debug(str(HISTORIES / "retry.json"), "--format", "json")
    [link] = json.loads(out)
    assert code == 0
    costs = {state["state"]: state["events"] for state in link["states"]}
    assert costs["/do/0/risky/try/1/get"] == 18  # three calls of six events
    assert (
        sum(costs.values())
        == link["events"]
        == len(json.loads((HISTORIES / "retry.json").read_text())["events"])
    )
    assert sum(state["bytes"] for state in link["states"]) == link["bytes"]


@pytest.mark.parametrize("path", sorted(HISTORIES.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_run_can_be_debugged(path: Path):
    if path.stem == "detached":
        return
    link = asyncio.run(explained(json.loads(path.read_text())))
    assert link["failure"] is None
    steps: Any = link["steps"]
    goes_on = link["status"] == "continued as new"  # where it stood then, it stands in the next history
    assert goes_on or all(step["phase"] != "running" for step in steps)
    assert steps[0]["phase"] in ("completed", "faulted", *(["running"] if goes_on else []))
    states: Any = link["states"]
    assert sum(state["events"] for state in states) == link["events"]


def test_one_state_and_one_step_can_be_asked_for():
    _, out, _ = debug(str(HISTORIES / "retry.json"), "--state", "/do/0/risky/catch")
    assert [line.split()[2] for line in out.splitlines() if line.startswith("#")] == [
        "/do/0/risky/catch/do/0/handle"
    ]
    _, out, _ = debug(str(HISTORIES / "secrets.json"), "--at", "1")
    assert out.startswith("#1 ")
    code, _, err = debug(str(HISTORIES / "retry.json"), "--state", "/do/7/nowhere")
    assert code == 1
    assert "the run has not come to it" in err


def test_secrets_are_not_shown():
    out = (
        debug(str(HISTORIES / "secrets.json"))[1]
        + debug(str(HISTORIES / "secrets.json"), "--format", "json")[1]
    )
    assert KEY not in out
    assert PASSWORD not in out
    assert "[redacted]" in out


def test_a_history_that_this_version_does_not_follow_is_told_with_the_steps_before(tmp_path: Path):
    text = (HISTORIES / "wait.json").read_text()
    changed = tmp_path / "changed.json"
    changed.write_text(text.replace("EVENT_TYPE_TIMER_STARTED", "EVENT_TYPE_MARKER_RECORDED"))
    code, out, _ = debug(str(changed))
    assert code == 1
    assert "this version of the engine does not go this way" in out


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "Expecting"),
        ("[1]", "it is no history"),
        ("{}", "it has no list of events"),
        ('{"events": [{"eventType": 7}]}', "it is no history"),
    ],
)
def test_a_file_that_is_no_history_is_named(tmp_path: Path, content: str, why: str):
    file = tmp_path / "some.json"
    file.write_text(content)
    code, _, err = debug(str(file))
    assert code == 2
    assert "some.json" in err
    assert why in err


def test_a_run_whose_first_task_is_yet_to_come_has_no_steps(tmp_path: Path):
    """Between two histories, or started for later: the SDK would wait for that task without end."""
    events = json.loads((HISTORIES / "retry.json").read_text())["events"]
    file = tmp_path / "one.json"
    file.write_text(json.dumps({"events": events[:1]}))
    code, out, _ = debug(str(file))
    assert code == 0
    assert "running" in out
    assert "#1 " not in out


def test_a_file_that_is_not_there_is_named():
    code, _, err = debug("nowhere.json")
    assert code == 2
    assert "nowhere.json: No such file" in err


def test_a_file_that_is_no_json_is_told_its_place_and_what_a_history_is(tmp_path: Path):
    file = tmp_path / "order.yaml"
    file.write_text("document: {}\n")
    code, _, err = debug(str(file))
    assert code == 2
    assert "order.yaml:1:1:" in err
    assert "/history" in err


def test_colours_are_for_terminals():
    link: Any = asyncio.run(explained(json.loads((HISTORIES / "retry.json").read_text())))
    assert "\x1b[31mfaulted\x1b[0m" in "\n".join(described({**link, "more": 0}, _painter(True), whole=False))


@pytest.mark.temporal
async def test_a_run_under_way_is_told_up_to_where_it_stands(temporal_address: str, internet: Any):
    async with temporal_runner(temporal_address, internet) as runner:
        bundle = Bundle.of(dsl.parse(WAITING), {})
        run_id = f"waiting-{uuid.uuid4()}"
        handle = await runner.client.start_workflow(
            "waiting", args=[{"n": 4}, bundle], id=run_id, task_queue=runner.queue
        )
        async with asyncio.timeout(20):
            while len((await runner.runtime.describe(run_id)).states) < 2 or not runner.router.listeners():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        link: Any = await explained(await history(runner.client, run_id))
        await handle.cancel()
    assert link["status"] == "running"
    assert link["at"] == ["/do/1/both/fork/branches/0/long", "/do/1/both/fork/branches/1/hear"]
    assert [(step["state"], step["phase"]) for step in link["steps"]] == [
        ("", "running"),
        ("/do/0/count", "completed"),
        ("/do/1/both", "running"),
        ("/do/1/both/fork/branches/0/long", "running"),
        ("/do/1/both/fork/branches/1/hear", "running"),
    ]
    assert link["steps"][1]["before"] == {"n": 4}
    assert (link["steps"][1]["after"], link["steps"][1]["context_after"]) == ({"n": 5}, {"seen": 5})


@pytest.mark.temporal
async def test_a_parked_run_is_told_with_its_exception_and_how_a_fixed_engine_goes_on(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Run, "_act", Run._act)
    async with temporal_runner(temporal_address, internet) as runner:
        break_it()
        run_id = f"parking-{uuid.uuid4()}"
        args = [{}, Bundle.of(dsl.parse(BROKEN), {})]
        handle = await runner.client.start_workflow(
            "parking", args=args, id=run_id, task_queue=runner.queue, task_timeout=timedelta(seconds=1)
        )
        async with asyncio.timeout(20):
            while (await runner.runtime.describe(run_id)).parked is None:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        broken: Any = await explained(await history(runner.client, run_id))
        monkeypatch.undo()
        fixed: Any = await explained(await history(runner.client, run_id))
        await handle.terminate()
    assert broken["parked"]["exception"] == fixed["parked"]["exception"] == "KeyError: 'what to do'"
    assert broken["parked"]["state"] == "/do/2/broken"
    assert broken["steps"][-1]["state"] == "/do/2/broken"
    assert broken["steps"][-1]["error"] == "KeyError: 'what to do'"
    assert (fixed["steps"][-1]["phase"], fixed["steps"][-1]["after"]) == ("completed", {"n": 2})
