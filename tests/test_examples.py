"""Every example is well formed, drawn as its README says, and runs to what it promises, on both runtimes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.draw_examples import listed
from tests.examples import FOLDER, Example, examples
from workflow_engine import dsl
from workflow_engine.graph import render

ALL = examples()
each = pytest.mark.parametrize("example", ALL, ids=[example.name for example in ALL])


def test_there_are_examples_of_both_dialects() -> None:
    dialects = [dsl.parse(example.text).dialect for example in ALL]
    assert len(ALL) >= 8
    assert {"1.0", "0.8"} <= set(dialects)


def test_all_examples_are_listed() -> None:
    assert (FOLDER / "README.md").read_text() == listed(), "run `python -m tests.draw_examples`"


@each
def test_an_example_has_no_problem_and_no_warning(example: Example) -> None:
    assert dsl.check(dsl.parse(example.text, name=example.name)) == []


@each
def test_the_readme_of_an_example_shows_its_diagram(example: Example) -> None:
    readme = (example.folder / "README.md").read_text()
    diagram = render.mermaid(dsl.compile(dsl.parse(example.text)))
    assert f"```mermaid\n{diagram.strip()}\n```" in readme, "run `python -m tests.draw_examples`"


@each
async def test_an_example_runs_to_what_it_promises(example: Example, run: Any) -> None:
    document = dsl.parse(example.text)
    ended = await run(
        example.text,
        example.json("input.json"),
        events=example.json("events.json") or [],
        resources=await example.resources(document.data),
        others=example.texts("workflows"),
    )
    error = example.json("expected-error.json")
    if error is not None:
        assert ended.status == "faulted"
        assert ended.error == error
    else:
        assert ended.status == "completed", ended.error
        assert ended.output == example.json("expected.json")
