"""What was measured as one JSON object: what tables and charts are made of, and what is kept in ``results``."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.engine.compiling import Compiled
from benchmarks.engine.contenders import TITLES
from benchmarks.engine.expressions import Evaluated
from benchmarks.engine.rounds import Cell, Measured, Plan, Results
from benchmarks.engine.servers import Served
from benchmarks.engine.shapes import SHAPES
from workflow_engine import __version__
from workflow_engine.runtimes.temporal.server import executable

JsonDict = dict[str, Any]


def machine() -> JsonDict:
    """Where and with what it was measured."""
    return {
        "at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "temporalio": version("temporalio"),
        "temporal": _server_version(),
        "engine": __version__,
    }


def outcome(
    plan: Plan,
    runs: Results,
    expressions: Sequence[Evaluated],
    compiling: Sequence[Compiled],
    servers: Sequence[Served],
    profile: JsonDict,
) -> JsonDict:
    """All of it. Rates are runs a second, times milliseconds unless their name says more."""
    return {
        "machine": machine(),
        "plan": asdict(plan),
        "runs": [
            _row(shape.name, letter, runs)
            for shape in SHAPES
            for letter in TITLES
            if (shape.name, letter) in runs
        ],
        "expressions": [asdict(item) for item in expressions],
        "compiling": [asdict(item) for item in compiling],
        "servers": [asdict(item) for item in servers],
        "profile": profile,
    }


def _row(shape: str, letter: str, runs: Results) -> JsonDict:
    measured = runs[shape, letter]
    rates = [cell.rate for cell in measured.crowd]
    waits = [wait for cell in measured.crowd for wait in cell.latencies]
    return {
        "shape": shape,
        "contender": letter,
        **asdict(measured.kept),
        "rate": statistics.median(rates),
        "rates": [round(rate, 2) for rate in rates],
        "than": {
            other: _ratio(measured, runs[shape, other])
            for other in TITLES
            if other != letter and (shape, other) in runs
        },
        "p50": quantile(waits, 0.5) * 1e3,
        "p99": quantile(waits, 0.99) * 1e3,
        "alone": statistics.median(statistics.median(cell.latencies) for cell in measured.alone) * 1e3,
        "server_cpu": _cpu_of(measured, lambda cell: cell.server_cpu),
        "worker_cpu": _cpu_of(measured, lambda cell: cell.worker_cpu),
    }


def _ratio(one: Measured, other: Measured) -> float:
    """How many times as fast: the median over the rounds, for the cells of a round are near each other in time."""
    return statistics.median(
        mine.rate / theirs.rate for mine, theirs in zip(one.crowd, other.crowd, strict=True)
    )


def _cpu_of(measured: Measured, part: Callable[[Cell], float | None]) -> float | None:
    """Milliseconds of CPU for a run."""
    used = [used / cell.runs * 1e3 for cell in measured.crowd if (used := part(cell)) is not None]
    return statistics.median(used) if used else None


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest of *values* that is not below *share* of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _server_version() -> str:
    shown = subprocess.run([executable(), "--version"], capture_output=True, text=True, check=False)
    return " ".join(shown.stdout.split()).removeprefix("temporal version ")
