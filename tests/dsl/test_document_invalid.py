"""Every file of tests/invalid has exactly the problems that its first lines expect.

``# expect: CODE at /pointer`` (without ``at`` for the document itself), one line for each problem, in order; with
``LINE:COLUMN`` before the code the place is expected too. Problems are those of parsing; if there are none, those of
compiling and of the analysis of the graph. Warnings are problems too.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workflow_engine import dsl
from workflow_engine.dsl.codes import EXPLANATIONS
from workflow_engine.errors import InvalidDocument, Problem

FILES = sorted((Path(__file__).parents[1] / "invalid").glob("*.yaml"))
MADE_BY_TESTS = {
    "too-large": "tests/dsl/test_source.py",
    "too-many-problems": "tests/dsl/test_document.py",
    # What is found when a workflow is deployed.
    "activity-not-allowed": "tests/engine/test_queues.py",
    "host-not-allowed": "tests/engine/test_reach.py",
    "secret-not-allowed": "tests/engine/test_reach.py",
    "invalid-function": "tests/semantics/v1/test_catalogs.py",
    "process-not-allowed": "tests/engine/test_processes.py",
    "unresolved": "tests/semantics/v1/test_schemas.py",
    # What no document comes to, for compiling it finds another problem first: graphs are also made by programs.
    "missing-target": "tests/graph/test_analysis.py",
    "unsatisfiable-join": "tests/graph/test_analysis.py",
}
"""Codes that no file can show, and where they are tested."""
_PLACE = re.compile(r"(\d+):(\d+) ")


def expected_in(text: bytes) -> list[str]:
    lines = [line for line in text.splitlines() if line.startswith(b"# expect: ")]
    return [line.removeprefix(b"# expect: ").decode().strip() for line in lines]


def told(problem: Problem, expected: str) -> str:
    """*problem* as the line *expected* would have it."""
    place = f"{problem.line}:{problem.column} " if _PLACE.match(expected) else ""
    return place + (f"{problem.code} at {problem.pointer}" if problem.pointer else problem.code)


def problems_of(text: bytes) -> list[Problem]:
    try:
        return dsl.check(dsl.parse(text))
    except InvalidDocument as error:
        return list(error.problems)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_invalid_document_has_the_problems_that_it_expects(file):
    text = file.read_bytes()
    found = problems_of(text)
    expected = expected_in(text)
    report = "\n".join(each.render(file.name) for each in found)
    assert len(found) == len(expected), report
    assert [told(*pair) for pair in zip(found, expected, strict=True)] == expected, report
    assert all(each.line >= 1 and each.column >= 1 for each in found)
    assert all(each.code in EXPLANATIONS for each in found)


def test_every_code_has_a_file_that_shows_it_or_a_test():
    files = {
        _PLACE.sub("", line).partition(" ")[0] for file in FILES for line in expected_in(file.read_bytes())
    }
    assert sorted(EXPLANATIONS.keys() - files - MADE_BY_TESTS.keys()) == []
    assert sorted(MADE_BY_TESTS.keys() & files) == []
    for code, test in MADE_BY_TESTS.items():
        assert f'"{code}"' in (Path(__file__).parents[2] / test).read_text(), code


def test_explanations_are_a_sentence_or_two():
    for code, explanation in EXPLANATIONS.items():
        assert explanation.endswith("."), code
        assert 20 < len(explanation) < 400, code


def test_every_code_that_the_front_ends_use_is_explained():
    """Also those that no file shows: a problem without an explanation helps nobody."""
    used = set()
    for path in (Path(__file__).parents[2] / "workflow_engine").rglob("*.py"):
        text = path.read_text()
        used |= set(
            re.findall(r'\.(?:problem|warning|stop|add|unknown)\(\s*"([a-z][a-z0-9]*(?:-[a-z0-9]+)+)"', text)
        )
    used -= {"application/json"}
    assert len(used) > 40
    assert sorted(used - EXPLANATIONS.keys()) == []
