"""The test suite of CloudEvents SQL: every case of the specification's `cesql_tck`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import SPEC
from workflow_engine.filters import cesql
from workflow_engine.values import JsonObject

SUITE = SPEC / "cesql_tck"
EVENT: JsonObject = {"specversion": "1.0", "id": "1", "source": "/suite", "type": "case"}


class _Loader(yaml.SafeLoader):
    """Leaves timestamps texts, which is what they are in an event."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _cases(file: Path) -> list[dict[str, Any]]:
    return yaml.load(file.read_bytes(), _Loader)["tests"]


def _outcome(source: str, event: JsonObject) -> tuple[object, str | None]:
    try:
        expression = cesql.compile(source)
    except cesql.ParseError:
        return False, "parse"
    value, errors = expression.evaluate(event)
    return value, errors[0].kind if errors else None


FILES = sorted(SUITE.glob("*.yaml"))


@pytest.mark.skipif(
    not FILES, reason=f"the suite of CloudEvents SQL is not at {SUITE}; set WFE_SPEC to its folder"
)
@pytest.mark.parametrize(
    ("source", "case"),
    [
        pytest.param(case["expression"], case, id=f"{file.stem}: {case['name']}")
        for file in FILES
        for case in _cases(file)
    ],
)
def test_a_case_of_the_suite(source: str, case: dict[str, Any]) -> None:
    event = {**(case.get("event") or EVENT), **case.get("eventOverrides", {})}
    if not isinstance(source, str):  # `TRUE` and `10` are no texts to YAML
        source = str(source)
    value, error = _outcome(source, event)
    assert error == case.get("error")
    if "result" in case:
        assert (type(value), value) == (type(case["result"]), case["result"])


@pytest.mark.skipif(
    not FILES, reason=f"the suite of CloudEvents SQL is not at {SUITE}; set WFE_SPEC to its folder"
)
def test_the_suite_is_there_whole() -> None:
    assert sum(len(_cases(file)) for file in FILES) == 275
