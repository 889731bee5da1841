"""Short ways to write DSL 0.8 documents, to run them and to say what came of it."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from workflow_engine import dsl
from workflow_engine.errors import ERRORS, InvalidDocument, Problem
from workflow_engine.values import Json, JsonObject


def workflow(body: str, *, id: str = "test", version: str = "1.0") -> str:
    """A document with *body* below its header."""
    return f"id: {id}\nspecVersion: '0.8'\nversion: '{version}'\n" + textwrap.dedent(body)


def event(type: str, id: str, data: Json = None, **attributes: Json) -> JsonObject:
    return {"specversion": "1.0", "id": id, "source": "tests", "type": type, "data": data, **attributes}


async def output(run: Any, body: str, input: Json = None, **options: Any) -> Any:
    """What *body* gives; it must complete."""
    ended = await run(workflow(body), input, **options)
    assert ended.status == "completed", ended.error
    return ended.output


async def error(run: Any, body: str, input: Json = None, **options: Any) -> Any:
    """The error that *body* ends with; it must fault."""
    ended = await run(workflow(body), input, **options)
    assert ended.status == "faulted", ended.output
    return ended.error


def kind(fault: Any) -> str:
    """The last part of a standard error type."""
    return str(fault["type"]).removeprefix(ERRORS)


def problems(body: str) -> list[Problem]:
    """What is wrong with *body*, as its author is told; without warnings."""
    try:
        found = dsl.check(dsl.parse(workflow(body)))
    except InvalidDocument as invalid:
        found = list(invalid.problems)
    return [problem for problem in found if problem.severity == "error"]


def warnings(body: str) -> list[tuple[str, str]]:
    """Code and place of the warnings about *body*, which is valid."""
    found = dsl.check(dsl.parse(workflow(body)))
    assert all(problem.severity == "warning" for problem in found), found
    return [(problem.code, problem.pointer) for problem in found]


def refused(body: str) -> Problem:
    """The one problem of *body*, which cannot be compiled either."""
    found = problems(body)
    assert len(found) == 1, found
    with pytest.raises(InvalidDocument):
        dsl.compile(dsl.parse(workflow(body)))
    return found[0]
