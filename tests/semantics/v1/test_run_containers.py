"""Containers, on a real engine: decision A68 and what a workflow sees, on both runtimes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.running import KEY
from tests.semantics.v1.documents import error, kind, output, problems, refused, workflow
from tests.semantics.v1.test_run_processes import task
from tests.standins.container_engine import IMAGE, ask

AT = "/do/0/a"


def container(given: dict[str, Any], beside: str = "", **run: Any) -> str:
    return task("container", {"image": IMAGE, "lifetime": {"cleanup": "always"}, **given}, beside, **run)


def left(engine: str, run_id: str) -> list[dict[str, Any]]:
    """The containers of a run that are there."""
    filters = quote(json.dumps({"label": [f"wfe.run={run_id}"]}))
    found = json.loads(ask(engine, "GET", f"/containers/json?all=1&filters={filters}")[1])
    assert isinstance(found, list)
    return found


async def test_a_container_gets_what_the_data_say(run: Any, engine: str) -> None:
    given = {
        "command": 'echo "$1 $WHO|$(cat)"',
        "arguments": ["${ .greeting }"],
        "environment": {"WHO": "${ .who }"},
        "stdin": "${ . }",
    }
    data = {"greeting": "Hello", "who": "Ada L"}
    found = await output(run, container(given), data)
    said, _, read = found.partition("|")
    assert (said, json.loads(read)) == ("Hello Ada L", data)


async def test_a65_another_exit_code_than_0_is_a_runtime_fault_unless_it_is_asked_for(
    run: Any, engine: str
) -> None:
    fault = await error(run, container({"command": "echo no >&2; exit 4"}))
    assert (kind(fault), fault["instance"]) == ("runtime", AT)
    assert fault["detail"].endswith("ended with exit code 4: no")
    assert await output(run, container({"command": "exit 4"}, **{"return": "code"})) == 4


@pytest.mark.parametrize(
    ("lifetime", "count"), [({"cleanup": "always"}, 0), ({"cleanup": "never"}, 1), (None, 1)]
)
async def test_a68_a_container_stays_unless_it_is_to_be_cleaned_up(
    run: Any, engine: str, lifetime: Any, count: int
) -> None:
    given = {"image": IMAGE, "command": "true"} | ({"lifetime": lifetime} if lifetime else {})
    ended = await run(workflow(task("container", given)))
    assert ended.status == "completed", ended.error
    assert len(left(engine, ended.run_id)) == count


async def test_a_container_whose_task_takes_too_long_is_ended(run: Any, engine: str) -> None:
    fault = await error(run, container({"command": "sleep 600"}, "timeout: {after: PT2S}, "))
    assert (kind(fault), fault["instance"]) == ("timeout", AT)


async def test_a_secret_is_given_to_a_container_and_hidden_in_what_comes_of_it(run: Any, engine: str) -> None:
    given = {"command": 'echo "[$KEY]"', "environment": {"KEY": "${ $secrets.key }"}}
    ended = await run(workflow("use: {secrets: [key]}\n" + container(given)))
    assert ended.status == "completed", ended.error
    assert KEY not in ended.output
    if run.name != "local":
        assert KEY not in str(await run.history(ended.run_id))


def test_a68_after_belongs_to_eventually_alone() -> None:
    after = {"lifetime": {"cleanup": "always", "after": "PT1S"}}
    assert [problem.code for problem in problems(container(after))] == ["misplaced-property"]
    eventually = {"lifetime": {"cleanup": "eventually"}}
    assert [problem.code for problem in problems(container(eventually))] == ["missing-property"]
    wrong = refused(container({"lifetime": {"cleanup": "eventually", "after": "soon"}}))
    assert (wrong.code, wrong.pointer) == ("invalid-duration", "/do/0/a/run/container/lifetime/after")
