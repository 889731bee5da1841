"""Manifests of SonataFlow, in which a workflow in DSL 0.8 stands. The mark ‸ is the cursor."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.editing.test_aliases import found, looked_at, offered
from workflow_engine.editing.hovers import hover
from workflow_engine.editing.neighbours import Neighbours, Workflow
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.outline import folds, symbols
from workflow_engine.editing.problems import diagnostics
from workflow_engine.editing.text import Text

MANIFEST = """apiVersion: sonataflow.org/v1alpha08
kind: SonataFlow
metadata:
  name: greeting
  annotations:
    sonataflow.org/version: 0.0.1
spec:
  flow:
    start: Begin
    functions:
      - {name: greet, type: expression, operation: .a}
    states:
      - name: Begin
        type: operation
        actions:
          - functionRef: {refName: greet}
        transition: Last
      - name: Last
        type: inject
        data: {}
        end: true
"""


def test_the_workflow_in_a_manifest_is_completed():
    assert offered(MANIFEST.replace("transition: Last", "transition: ‸")) >= {"Last", "Begin"}
    more = offered(MANIFEST + "      - name: More\n        type: sleep\n        ‸\n")
    assert more >= {"duration", "transition"}
    assert not more & {"actions", "metadata.name", "spec"}
    at_root = offered(MANIFEST.replace("    start: Begin", "    ‸\n    start: Begin"))
    assert at_root >= {"events", "timeouts", "errors"}
    assert not at_root & {"id", "version", "specVersion", "start", "states", "apiVersion"}
    assert offered(MANIFEST.partition("    start")[0] + "    ‸\n") >= {"states", "start"}


@pytest.mark.parametrize("place", ["kind: ‸SonataFlow", "  ‸name: greeting", "metadata:‸", "‸spec:"])
def test_what_is_around_the_workflow_is_left_alone(place):
    marked = MANIFEST.replace(place.replace("‸", ""), place, 1)
    assert offered(marked) == set()
    assert hover(*looked_at(marked), []) is None


def test_names_hovers_and_outline_are_those_of_the_workflow():
    assert found(MANIFEST.replace("start: Begin", "start: Be‸gin")) == [(9, "Begin"), (13, "Begin")]
    assert found(MANIFEST.replace("refName: greet", "refName: gr‸eet")) == [(11, "greet"), (16, "greet")]
    told = hover(*looked_at(MANIFEST.replace("transition:", "transi‸tion:")), [])
    assert told is not None
    assert "state that is next" in told.contents.value
    of, _ = looked_at(MANIFEST)
    assert [each.name for each in symbols(of)] == ["functions", "Begin", "Last"]
    assert (6, 20) in {(each.start_line, each.end_line) for each in folds(of)}


def test_a_problem_around_the_workflow_has_its_place():
    of = Snapshot("file:///a.yaml", Text(MANIFEST), None)
    problem = {"line": 4, "column": 9, "code": "x", "severity": "error", "message": "", "pointer": "/id"}
    (told,) = diagnostics(of, [problem])
    assert (told.range.start.character, told.range.end.character) == (8, 16)


def test_a_workflow_in_a_manifest_can_be_run_by_others(tmp_path: Path):
    (tmp_path / "greeting.yaml").write_text(MANIFEST)
    assert Neighbours().find([tmp_path]).workflows == [
        Workflow(tmp_path / "greeting.yaml", "", "greeting", "0.0.1")
    ]
