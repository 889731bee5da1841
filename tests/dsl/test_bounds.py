"""Lengths of time that stand beside each other, and what was deployed before such things were refused."""

from __future__ import annotations

import pytest

from workflow_engine import dsl
from workflow_engine.dsl.bounds import longer
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import InvalidDocument
from workflow_engine.values import Duration

QUARTZ = """
id: past
specVersion: '0.8'
start: {stateName: A, schedule: {cron: '0 0 12 1 1 ? %s'}}
states: [{name: A, type: inject, data: {}, end: true}]
"""
BEFORE = """
document: {dsl: '1.0.3', namespace: test, name: before, version: '1.0.0'}
do:
  - hurried: {set: {x: 1}, timeout: {after: PT0S}}
  - told: {emit: {event: {with: {type: a, orderId: '7'}}}}
"""


@pytest.mark.parametrize(
    ("one", "other", "is_longer"),
    [
        ("PT2S", "PT1S", True),
        ("PT1S", "PT1S", False),
        ("P1M", "P27D", True),
        ("P1M", "P29D", False),
        ("P30D", "P1M", False),
        ("P32D", "P1M", True),
        ("P1MT1S", "P1M", True),
    ],
)
def test_a_month_is_longer_than_what_no_month_has(one, other, is_longer):
    assert longer(Duration.parse(one), Duration.parse(other)) is is_longer


def test_what_was_deployed_before_it_was_refused_goes_on_to_run():
    document = dsl.parse(BEFORE)
    with pytest.raises(InvalidDocument) as refused:
        dsl.compile(document)
    assert [problem.code for problem in refused.value.problems] == ["invalid-timeout", "invalid-attribute"]
    assert set(Bundle.of(document, {}).graph().root.states) == {"/do/0/hurried", "/do/1/told"}


@pytest.mark.parametrize(("years", "over"), [("1999", True), ("1999,2098", False), ("*", False)])
def test_a_cron_expression_whose_years_are_past_is_warned_of_and_compiles(years, over):
    document = dsl.parse(QUARTZ % years)
    assert [problem.code for problem in dsl.check(document)] == ["schedule-over"] * over
    assert dsl.compile(document).schedule is not None


@pytest.mark.parametrize("cron", ["0 0 12 29 2 ? 2027", "0 0 12 31 4,6 ? *"])
def test_a_day_that_no_month_of_these_years_has_never_comes(cron):
    with pytest.raises(InvalidDocument, match="never comes"):
        dsl.compile(dsl.parse(QUARTZ.replace("0 0 12 1 1 ? %s", cron)))
