"""What the Temporal UI shows of a run: where it is now, in all of its branches, as Markdown that reads as it is."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata

from tests.running import TemporalRunner
from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.runtimes.temporal.details import code, text

DOCUMENT = """
document: {dsl: '1.0.3', namespace: tests, name: shown, version: '1.0.0', title: 'Ship *all* & <b>now</b>'}
do:
  - 'a `b`':
      fork:
        branches:
          - left_one: {wait: PT600S}
          - hear: {listen: {to: {one: {with: {type: com.example.*go*}}}}}
"""


@pytest.mark.temporal
async def test_all_branches_are_shown_and_nothing_is_read_as_markup(runner: TemporalRunner) -> None:
    run_id = f"shown-{uuid.uuid4()}"
    bundle = Bundle.of(dsl.parse(DOCUMENT), {})
    await runner.runtime.start(Start(run_id, bundle.graph().name, bundle, {}))

    async def details() -> str:
        answer = await runner.client.get_workflow_handle(run_id).query(
            "__temporal_workflow_metadata", result_type=WorkflowMetadata
        )
        return answer.current_details

    while "listening for" not in (told := await details()):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    title, _, left, hear = told.splitlines()
    assert title == r"**Ship \*all\* \& \<b\>now\</b\>**"
    assert left.startswith(r"- **left\_one**, `` /do/0/a `b`/fork/branches/0/left_one ``, waiting until 20")
    assert hear.startswith("- **hear**, `` /do/0/a `b`/fork/branches/1/hear ``, listening for com.example.")
    assert r"\*go\*" in hear
    await runner.runtime.suspend(run_id)
    while "It is suspended." not in await details():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    await runner.runtime.cancel(run_id)
    await runner.runtime.wait(run_id, 20)
    assert (await details()).splitlines() == [title, "", "It has ended."]


def test_a_text_is_one_line_and_not_too_long() -> None:
    assert text("a\nb" + "c" * 400) == "a b" + "c" * 196 + "…"
    assert (code("/a"), code("/a`")) == ("`/a`", "`` /a` ``")
