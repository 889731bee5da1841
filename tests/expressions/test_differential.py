"""Our compiler against libjq: documented cases, the expressions of the specification, and random programs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, given, settings

from tests.expressions.cases import CASES, DIFFERENCES, FAILING, OURS
from tests.expressions.oracle import libjq, normalized, ours
from tests.expressions.programs import PROGRAMS, VALUES
from workflow_engine import expressions

SPEC = Path(os.environ.get("WFE_SPEC", Path(__file__).parents[3] / "shared" / "spec"))
BARE = {"when", "if", "while", "until", "in", "from", "as", "exceptWhen", "condition", "completionCondition"}
VARIABLES = [
    "context",
    "input",
    "output",
    "secrets",
    "task",
    "workflow",
    "runtime",
    "authorization",
    "item",
    "index",
    "at",
    "error",
    "pet",
    "color",
    "number",
    "CONST",
    "SECRETS",
    "WORKFLOW",
    "fn",
    "caughtError",
]
SAMPLES: list[Any] = [
    None,
    {},
    {"a": 1},
    {
        "customer": {"name": "Ann", "transactions": [1]}, "orders": [{"id": 1, "tier": "gold"}], "colors": [],
        "counts": {"current": 1, "max": 2}, "results": {"status": "ok"}, "applicants": {"age": 20},
        "count": 1, "temperature": 39, "bpm": 50, "tx": 5, "pets": [{"name": "x"}], "data": {"status": "ok"},
        "funds": {"available": "true"}, "customerCount": 1, "input": [1, 2], "user": {"name": "u"},
    },
]  # fmt: skip


@pytest.mark.parametrize(("program", "value", "outputs"), CASES)
def test_libjq_answers_the_documented_cases_as_written(program, value, outputs):
    answer = libjq(program, value)
    assert answer.message == ""
    assert answer.outputs == normalized(outputs)


@pytest.mark.parametrize(("program", "value"), FAILING)
def test_libjq_fails_where_we_do(program, value):
    assert libjq(program, value).kind == "error"


@pytest.mark.parametrize(("program", "value", "outputs"), OURS)
def test_a_difference_is_one_and_has_its_reason(program, value, outputs):
    assert DIFFERENCES[program]
    answer = libjq(program, value)
    assert answer.kind != "outputs" or answer.outputs != normalized(outputs)


def _documents() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for path in sorted([*SPEC.glob("1.0/**/*"), *SPEC.glob("0.8/examples/*")]):
        try:
            if path.suffix in {".yaml", ".yml"}:
                found += [(path.name, document) for document in yaml.safe_load_all(path.read_text())]
            elif path.suffix == ".json":
                found.append((path.name, json.loads(path.read_text())))
            elif path.suffix == ".feature":
                blocks = path.read_text().split('"""')[1::2]
                found += [(path.name, yaml.safe_load(block.removeprefix("yaml"))) for block in blocks]
        except (yaml.YAMLError, ValueError):
            continue  # a few examples are not valid YAML or JSON; the loader's tests name them
    return found


def _expressions(value: Any, key: str = "") -> list[str]:
    """Every expression inside a document: ``${ … }`` anywhere, and bare text where an expression stands."""
    if isinstance(value, dict):
        return [found for name, item in value.items() for found in _expressions(item, str(name))]
    if isinstance(value, list):
        return [found for item in value for found in _expressions(item, key)]
    if not isinstance(value, str):
        return []
    whole = expressions.unwrap(value)
    if whole is not None:
        return [whole]
    if key in BARE and value.strip().startswith((".", "$")) and "${" not in value:
        return [value]
    return []


def test_every_expression_of_the_specification_answers_as_in_libjq():
    if not SPEC.is_dir():
        pytest.skip(f"the specification's examples are not at {SPEC}; set WFE_SPEC to their folder")
    programs = sorted({found for _, document in _documents() for found in _expressions(document)})
    assert len(programs) > 100
    scope: dict[str, Any] = {name: {"a": [1, 2], "status": 404, "name": "x", "max": 3} for name in VARIABLES}
    differing, refused = [], []
    for program in programs:
        for value in SAMPLES:
            mine, theirs = ours(program, value, **scope), libjq(program, value, **scope)
            if mine.kind == "refused" and theirs.kind != "refused":
                refused.append((program, mine.message))
                break
            if not mine.agrees(theirs) and "now" not in program:
                differing.append((program, value, mine, theirs))
    assert differing == []
    assert [program for program, message in refused if "refused" not in message] == []


@settings(max_examples=250, deadline=None, derandomize=True)
@given(PROGRAMS, VALUES)
def test_random_programs_answer_as_in_libjq(program, value):
    assume(not any(word in program for word in UNEQUAL))
    theirs = libjq(program, value)
    assume(theirs.kind != "refused")
    mine = ours(program, value)
    assume("RE2" not in mine.message)
    assert mine.agrees(theirs), (mine, theirs)


UNEQUAL = {
    "path(last": DIFFERENCES["[path(last(.a, .b))]"],
    "last(.[]?) ": DIFFERENCES["[path(last(.a, .b))]"],
    "del(last": DIFFERENCES["[path(last(.a, .b))]"],
    "nan": DIFFERENCES["[nan, nan] | unique | length"],
    "gmtime": DIFFERENCES["gmtime[5], todate"],
    "todate": DIFFERENCES["gmtime[5], todate"],
}
"""Words whose known differences random programs would find again and again."""
