"""Publishing events: decision A45, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.semantics.v1.documents import error, kind, output, workflow


async def test_a45_an_emitted_event_is_the_output_and_lacks_nothing(run: Any) -> None:
    body = "do: [{a: {emit: {event: {with: {type: greeting, room: '${ .room }', data: {n: '${ .n }'}}}}}}]"
    ended = await run(workflow(body), {"n": 1, "room": "a"})
    emitted = ended.output
    assert {name: emitted[name] for name in ("specversion", "type", "source", "room", "data")} == {
        "specversion": "1.0",
        "type": "greeting",
        "source": "/semantics/test/1.0.0",
        "room": "a",
        "data": {"n": 1},
    }
    assert emitted["id"] == f"{ended.run_id}/do/0/a"
    assert emitted["time"].endswith("Z")


async def test_a45_what_the_author_says_of_an_event_is_kept(run: Any) -> None:
    given = "{id: mine, source: 'https://me.example', type: t, time: '2026-01-31T12:00:00Z', subject: s}"
    emitted = await output(run, f"do: [{{a: {{emit: {{event: {{with: {given}}}}}}}}}]")
    assert emitted == {
        "specversion": "1.0",
        "id": "mine",
        "source": "https://me.example",
        "type": "t",
        "time": "2026-01-31T12:00:00Z",
        "subject": "s",
    }


async def test_each_emit_of_a_run_has_an_identity_of_its_own(run: Any) -> None:
    body = """
    do:
      - loop:
          for: {in: '[1, 2]'}
          do: [{say: {emit: {event: {with: {type: said}}}, output: {as: '$input + [.id]'}}}]
    """
    ended = await run(workflow(body), [])
    assert ended.output == [f"{ended.run_id}/do/0/loop/do/0/say", f"{ended.run_id}/do/0/loop/do/0/say#2"]


@pytest.mark.parametrize(
    ("attributes", "named"),
    [
        ("{type: '${ .nothing }'}", "type"),
        ("{type: '${ \"\" }'}", "type"),
        ("{type: t, source: '${ {} }'}", "source"),
        ("{type: t, time: '${ \"yesterday\" }'}", "time"),
        ("{type: t, weight: '${ 1.5 }'}", "weight"),
    ],
)
async def test_what_is_no_event_is_a_validation_fault_of_the_task(
    run: Any, attributes: str, named: str
) -> None:
    fault = await error(run, f"do: [{{a: {{emit: {{event: {{with: {attributes}}}}}}}}}]", {})
    assert (kind(fault), fault["status"], fault["instance"]) == ("validation", 400, "/do/0/a")
    assert named in fault["detail"]
