"""Each decision on what the specifications leave open is held by a test that is named after it.

DSL 1.0 has the decisions A1 to A72, DSL 0.8 has B1 to B50: code and tests cite them by these numbers.
"""

from __future__ import annotations

import re

from tests.architecture.repository import ROOT

DECISIONS = [*(f"a{number}" for number in range(1, 73)), *(f"b{number}" for number in range(1, 51))]
_TEST = re.compile(r"def test_(\w+)")


def held() -> set[str]:
    """The decisions that names of tests begin with, or have among their words."""
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        for name in _TEST.findall(path.read_text(encoding="utf-8")):
            found.update(name.split("_"))
    return found


def test_each_decision_has_a_test_that_is_named_after_it() -> None:
    there = held()
    assert [decision for decision in DECISIONS if decision not in there] == []


def test_what_is_cited_is_a_decision() -> None:
    cited: set[str] = set()
    for part in ("workflow_engine", "tests"):
        for path in (ROOT / part).rglob("*.py"):
            for found in re.findall(r"decisions? ([AB]\d+)|\(([AB]\d+)\)", path.read_text(encoding="utf-8")):
                cited.update(each.lower() for each in found if each)
    assert sorted(cited - set(DECISIONS)) == []
