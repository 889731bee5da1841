"""The benchmark runs from end to end, and what it writes can be read. No time is asserted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree as ET

import pytest

from benchmarks import filters, router
from benchmarks.engine.__main__ import main
from benchmarks.engine.chart import chart
from benchmarks.engine.contenders import TITLES
from benchmarks.engine.limits import limits
from benchmarks.engine.report import aims, report
from benchmarks.engine.shapes import SHAPES


@pytest.mark.temporal
def test_the_benchmark_compares_the_same_work_by_hand_and_by_document(tmp_path: Path) -> None:
    arguments = ["--quick", "--parts", "runs,compiling", "--shapes", "order", "--contenders", "bcd"]

    assert main([*arguments, "--seconds", "0.05", "--out", str(tmp_path)]) == 0

    found = json.loads((tmp_path / "engine.json").read_text())
    events = {row["contender"]: row["events"] for row in found["runs"]}
    assert events["c"] <= events["b"]
    assert events["d"] * 2 <= events["b"]
    assert all(row["rate"] > 0 and row["bytes"] > 0 for row in found["runs"])
    assert [row["states"] for row in found["compiling"]] == [10, 100, 1000] * 2
    text = (tmp_path / "engine.md").read_text()
    assert all(TITLES[letter] in text for letter in "bcd")
    ET.parse(tmp_path / "engine.svg")


def _measured(rates: dict[str, float]) -> dict[str, object]:
    """What was measured, of the first shape."""
    row = {"shape": "order", "bytes": 2000, "transitions": 9, "p50": 20.0, "p99": 30.0, "alone": 10.0}
    used = {"server_cpu": 20.0, "worker_cpu": None}
    rows = [
        {
            **row,
            **used,
            "contender": letter,
            "events": 7 if letter == "d" else 17,
            "rate": rate,
            "rates": [rate],
            "than": {other: rate / theirs for other, theirs in rates.items() if other != letter},
        }
        for letter, rate in rates.items()
    ]
    machine = {"at": "now", "cpu": "x", "cores": 2, "system": "Linux", "python": "3", "temporalio": "1"}
    plan = {"rounds": 1, "seconds": 1.0, "alone": 1.0, "clients": 10, "seed": 1}
    return {
        "machine": {**machine, "temporal": "1", "engine": "0"},
        "plan": plan,
        "runs": rows,
        "expressions": [],
        "compiling": [],
        "servers": [],
        "profile": {},
    }


def test_an_aim_that_is_not_met_is_told() -> None:
    met = {aim: fine for aim, _, fine in aims(_measured({"a": 10.0, "b": 15.0, "c": 14.0, "d": 30.0}))}

    assert met == {
        "(c) ≥ 1.6 × the runs a second of (a)": False,
        "(c) ≥ 1 × the runs a second of (b)": False,
        "(c) has no more history events than (a)": True,
        "(d) ≥ 1.7 × the runs a second of (b)": True,
        "(d) has at most half the history events of (b)": True,
    }


def test_the_most_that_a_worker_without_any_cost_could_win_is_told() -> None:
    found = _measured({"a": 10.0, "b": 15.0, "c": 14.0})
    rows = cast("list[dict[str, Any]]", found["runs"])
    for row, cpu in zip(rows, (19.0, 9.0, 4.0), strict=True):
        row["worker_cpu"] = cpu

    (limit,) = limits(rows)

    assert (limit.together, limit.worker) == (24.0, 4.0)
    assert {other: round(most, 3) for other, most in limit.most.items()} == {"a": 1.95, "b": 1.45}
    assert "| order, 2 calls | 24.0 | 4.0 | 1.95 | 1.45 |" in report(found)


def test_what_could_not_be_measured_is_left_open() -> None:
    found = _measured({"a": 10.0, "c": 16.0})

    assert "| 20.0 | ? | ? | 17 |" in report(found)
    assert "What stands in the way" not in report(found)
    assert "**no**" not in report(found)
    drawn = ET.fromstring(chart(found))
    assert [node.text for node in drawn.iter() if node.text == SHAPES[0].title] == [SHAPES[0].title] * 2


def test_the_benchmark_of_the_router_compares_it_with_bare_sqlite_and_a_plain_loop(tmp_path: Path) -> None:
    small = [
        "--seconds",
        "0.02",
        "--rounds",
        "1",
        "--backlog",
        "100",
        "--counts",
        "10,50",
        "--stores",
        "sqlite",
    ]
    assert router.main([*small, "--out", str(tmp_path)]) == 0
    text = (tmp_path / "router.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Publishing",
        "## Delivering",
        "## Matching",
    ]
    assert text.count("| one type, each its own order (`correlate`) |") == 2


def test_the_benchmark_of_filters_finds_that_all_dialects_say_the_same(tmp_path: Path) -> None:
    assert filters.main(["--seconds", "0", "--count", "20", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "filters.md").read_text()
    assert all(
        f": {name} |" in text for name in ("strategy", "exact and prefix", "sql", "pattern", "eventgrid")
    )
