"""`wfe migrate` as its users run it: the document on stdout, the report on stderr, and what the exit code says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.cli.command import wfe

BODY = {
    "id": "Double It",
    "version": "1.0",
    "specVersion": "0.8",
    "functions": "functions.yaml",
    "states": [
        {"name": "Begin", "type": "inject", "data": {"seen": ["a"]}, "transition": "Double"},
        {"name": "Double", "type": "operation", "actions": [{"functionRef": "double"}], "end": True},
    ],
}
FUNCTIONS = '- {name: double, type: expression, operation: "{n: (.n * 2)}"}\n'


def written(folder: Path, **changes: object) -> Path:
    (folder / "functions.yaml").write_text(FUNCTIONS)
    file = folder / "double.sw.json"
    file.write_text(json.dumps({**BODY, **changes}))
    return file


def test_a_migrated_document_is_valid_and_runs_to_the_same_output(tmp_path: Path) -> None:
    file, new = written(tmp_path), tmp_path / "double.yaml"
    ended = wfe(
        "migrate", file, "-o", new, "--verify", '{"n": 2}', '{"n": "a"}', '{"n": 1, "seen": ["a", "b"]}'
    )
    assert (ended.code, ended.out) == (0, ""), ended.err
    assert ended.err.count(": the same") == 3
    assert wfe("validate", new).code == 0
    ran = wfe("run", new, "--runtime", "local", "--input", '{"n": 2, "seen": ["b"]}')
    assert ran.json == {"n": 4, "seen": ["b", "a"]}


@pytest.mark.temporal
def test_both_documents_can_be_run_on_temporal(tmp_path: Path) -> None:
    file = written(tmp_path)
    ended = wfe("migrate", file, "--verify", '{"n": 2}', '{"n": "a"}', "--runtime", "temporal")
    assert (ended.code, ended.err.count(": the same")) == (0, 2), ended.err
    assert "do" in yaml.safe_load(ended.out)


def test_the_document_is_on_stdout_and_the_report_can_be_json(tmp_path: Path) -> None:
    ended = wfe("migrate", written(tmp_path), "--report", "json")
    assert yaml.safe_load(ended.out)["document"]["name"] == "Double-It"
    report = json.loads(ended.err)
    assert [state["state"] for state in report["states"]] == ["Begin", "Double"]
    assert {note["pointer"] for note in report["notes"]} == {"/id", "/version"}


def test_what_1_0_cannot_say_is_not_written_but_with_partial(tmp_path: Path) -> None:
    states = [BODY["states"][0], {**BODY["states"][1], "end": {"compensate": True}}]  # type: ignore[index]
    file = written(tmp_path, states=states)
    ended = wfe("migrate", file)
    assert (ended.code, ended.out) == (1, "")
    assert "CANNOT BE SAID: 1.0 has no compensation" in ended.err
    assert "/states/1/end/compensate" in ended.err
    partial = wfe("migrate", file, "--partial")
    assert partial.code == 0
    assert "Double" in partial.out


def test_a_difference_is_shown_and_ends_with_1(tmp_path: Path) -> None:
    condition = {"condition": "${ .n }", "end": True}  # 0.8 wants true or false
    choose = {
        "name": "Choose",
        "type": "switch",
        "dataConditions": [condition],
        "defaultCondition": {"transition": "Begin"},
    }
    states = [choose, {**BODY["states"][0], "transition": None, "end": True}]  # type: ignore[index]
    states[1].pop("transition")
    ended = wfe("migrate", written(tmp_path, states=states), "--verify", '{"n": true}', '{"n": 3}')
    assert ended.code == 1
    assert "verify 1: the same" in ended.err
    assert "verify 2: DIFFERENT" in ended.err
    assert "the 0.8 run is faulted" in ended.err


def test_a_document_of_1_0_and_missing_definitions_are_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    (tmp_path / "functions.yaml").unlink()
    assert wfe("migrate", file).code == 1
    new = tmp_path / "new.yaml"
    new.write_text(
        "document: {dsl: '1.0.3', namespace: a, name: b, version: 1.0.0}\ndo: [{a: {set: {b: 1}}}]\n"
    )
    ended = wfe("migrate", new)
    assert (ended.code, ended.out) == (2, "")
    assert "only 0.8 is migrated" in ended.err
