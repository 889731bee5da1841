"""Short ways to write DSL 1.0 documents, to run them and to say what came of it."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

import catalog
from tests.running import PLANTED
from tests.standins.internet import Internet
from workflow_engine import dsl
from workflow_engine.calls import Egress
from workflow_engine.calls.resolution import Resolution
from workflow_engine.calls.secrets import EnvironmentSecrets
from workflow_engine.dsl.pinning import pin
from workflow_engine.errors import ERRORS, InvalidDocument, Problem
from workflow_engine.values import Json, JsonObject


def workflow(body: str, *, name: str = "test", version: str = "1.0.0", namespace: str = "semantics") -> str:
    """A document with *body* below its header."""
    header = f"document: {{dsl: '1.0.3', namespace: {namespace}, name: {name}, version: '{version}'}}\n"
    return header + textwrap.dedent(body)


def event(type: str, id: str, data: Json = None, **attributes: Json) -> JsonObject:
    return {
        "specversion": "1.0",
        "id": id,
        "source": "https://tests.example/v1",
        "type": type,
        "data": data,
        **attributes,
    }


async def pinned(internet: Internet, text: str, **options: Any) -> dict[str, Json]:
    """What a whole document needs from outside, as found when it is deployed; *options* are those of `Resolution`."""
    specs = catalog.Catalog(await catalog.open_store("memory:"))
    options.setdefault("secrets", EnvironmentSecrets(PLANTED))
    async with Egress(**internet.egress) as egress:
        return await pin(dsl.parse(text), Resolution(specs, egress, **options))


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


def warnings(body: str) -> list[str]:
    """The codes of the warnings about *body*, which is valid."""
    found = dsl.check(dsl.parse(workflow(body)))
    assert all(problem.severity == "warning" for problem in found), found
    return [problem.code for problem in found]


def refused(body: str) -> Problem:
    """The one problem of *body*, which cannot be compiled either."""
    found = problems(body)
    assert len(found) == 1, found
    with pytest.raises(InvalidDocument):
        dsl.compile(dsl.parse(workflow(body)))
    return found[0]
