"""Functions in files beside a workflow travel with it: `wfe run` and `wfe deploy` read them, a server never does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import wfe
from workflow_engine import dsl
from workflow_engine.cli.resources import LocalFiles
from workflow_engine.dsl.needs import Need
from workflow_engine.dsl.pinning import pin
from workflow_engine.errors import InvalidDocument

FILES = {
    "catalog/functions/greet/1.0.0/function.yaml": "set: '${ \"Hello, \\(.name)!\" }'",
    "catalog/functions/shout/1.0.0/function.yaml": """
do:
  - greet: {call: ../../greet/1.0.0, with: {name: '${ .name }'}}
  - shout: {run: {script: {language: python, source: {endpoint: shout.py}, arguments: ['${ . }']}}}
""",
    "catalog/functions/shout/1.0.0/shout.py": 'import sys; print(sys.argv[1].upper(), end="")',
    "lib/mark.yaml": "set: {marked: '${ . }'}",
}
WORKFLOW = """
document: {dsl: '1.0.3', namespace: test, name: local, version: '1.0.0'}
use: {catalogs: {here: {endpoint: %s}}}
do:
  - shout: {call: 'shout:1.0.0@here', with: {name: Ada}}
  - mark: {call: lib/mark.yaml}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


async def nobody(need: Need) -> Any:
    raise AssertionError(f"{need.key} does not travel with the workflow")


@pytest.mark.parametrize("endpoint", ["file://catalog", "./catalog", "catalog", "file://{folder}/catalog"])
async def test_a_catalog_that_is_a_folder_travels_with_the_workflow_and_all_that_its_functions_need(
    folder: Path, endpoint: str
) -> None:
    document = dsl.parse(WORKFLOW % f"'{endpoint.format(folder=folder)}'")
    files = await LocalFiles.open([])
    answers = await files.answers(document, str(folder / "workflow.yaml"))
    assert len(answers) == 4
    assert await pin(document, nobody, answers) == answers
    dsl.compile(document, answers)


def test_a_workflow_is_run_with_the_functions_beside_it(folder: Path) -> None:
    (folder / "workflow.yaml").write_text(WORKFLOW % "'file://catalog'")
    ended = wfe("run", str(folder / "workflow.yaml"), "--runtime", "local")
    assert ended.code == 0, ended.err
    assert ended.json == {"marked": "HELLO, ADA!"}


async def test_what_is_not_there_and_what_is_no_function_are_problems_of_the_workflow_all_at_once(
    folder: Path,
) -> None:
    (folder / "lib" / "mark.yaml").write_text("sett: {x: 1}")
    text = (WORKFLOW % "catalog").replace("shout:1.0.0", "missing:1.0.0")
    files = await LocalFiles.open([])
    with pytest.raises(InvalidDocument) as invalid:
        await files.answers(dsl.parse(text), str(folder / "workflow.yaml"))
    told = [(problem.code, problem.pointer) for problem in invalid.value.problems]
    assert told == [("unresolved", "/do/0/shout/call"), ("invalid-function", "/do/1/mark/call")]
    assert "lib/mark.yaml:1:1: unknown-task" in invalid.value.problems[1].message


async def test_functions_on_the_web_are_left_to_the_server(folder: Path) -> None:
    document = dsl.parse(WORKFLOW % "'https://functions.example'")
    files = await LocalFiles.open([])
    assert list(await files.answers(document, str(folder / "workflow.yaml"))) == ["function:lib/mark.yaml"]
