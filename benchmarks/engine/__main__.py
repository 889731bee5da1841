"""``python -m benchmarks.engine``: measure everything, and write a table and a chart to ``benchmarks/results``."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine import compiling, expressions, profiling, servers
from benchmarks.engine.chart import chart
from benchmarks.engine.contenders import TITLES, contenders
from benchmarks.engine.outcome import outcome
from benchmarks.engine.report import aims, report
from benchmarks.engine.rounds import Plan, Results, measure
from benchmarks.engine.shapes import SHAPES, Shape
from workflow_engine.runtimes.temporal.server import ServerOptions, dev_server

RESULTS = Path(__file__).parents[1] / "results"
PARTS = ("runs", "expressions", "compiling", "servers", "profile")
FAILED = "failed"
PROFILED = {"order": "abcd", "tasks-100": "bc"}
"""The shapes whose workers are profiled, and whose."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    plan: Plan
    server_rounds: int
    server_seconds: float
    evaluation: float
    sizes: Sequence[str]
    states: Sequence[int]
    repeats: int
    profile: float


WHOLE = Extent(Plan(6, 2.0, 0.6), 3, 1.5, 0.2, tuple(expressions.SIZES), compiling.SIZES, 3, 3.0)
QUICK = Extent(Plan(1, 1.0, 0.3), 1, 0.6, 0.03, tuple(expressions.SIZES)[:2], compiling.SIZES[:3], 1, 0.8)


def main(arguments: Sequence[str]) -> int:
    """Measure what *arguments* say; write ``engine.json``, ``engine.md`` and ``engine.svg``."""
    chosen = _parser().parse_args(arguments)
    file = chosen.out / "engine.json"
    failed = False
    if chosen.render:
        found = json.loads(file.read_text())
    else:
        began = time.monotonic()
        failed, found = asyncio.run(_measured(chosen))
        _say(f"measured in {time.monotonic() - began:.0f} s")
    chosen.out.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1) + "\n")
    (chosen.out / "engine.md").write_text(report(found))
    (chosen.out / "engine.svg").write_text(chart(found))
    for aim, measured, met in aims(found):
        print(f"{'met' if met else 'NOT met':8} {aim}: {measured}")
    print(f"written: {chosen.out}/engine.md, engine.svg, engine.json")
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="at most two minutes, for a look: the numbers vary"
    )
    parser.add_argument("--rounds", type=int, help=f"how many rounds (default: {WHOLE.plan.rounds})")
    parser.add_argument("--seconds", type=float, help="of each cell of a round")
    parser.add_argument("--parts", default=",".join(PARTS), help="what is measured (default: %(default)s)")
    shapes = ",".join(shape.name for shape in SHAPES)
    parser.add_argument("--shapes", default=shapes, help="(default: %(default)s)")
    parser.add_argument("--contenders", default="".join(TITLES), help="(default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=1, help="of the order in the rounds (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder that is written to")
    parser.add_argument(
        "--render", action="store_true", help="only write table and chart of what was measured"
    )
    return parser


async def _measured(chosen: argparse.Namespace) -> tuple[bool, dict[str, Any]]:
    """Whether a part could not be measured, and what was."""
    extent = QUICK if chosen.quick else WHOLE
    default = extent.plan
    plan = Plan(
        chosen.rounds or default.rounds, chosen.seconds or default.seconds, default.alone, seed=chosen.seed
    )
    parts = set(chosen.parts.split(","))
    shapes = [shape for shape in SHAPES if shape.name in chosen.shapes.split(",")]
    letters = [letter for letter in TITLES if letter in chosen.contenders]
    unknown = parts - set(PARTS)
    if unknown or not shapes or not letters:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown)) or 'the shapes or contenders'}")
    measured: dict[str, Any] = {"profile": {}}
    pieces: dict[str, Callable[[], Awaitable[Any]]] = {
        "runs": lambda: _runs(shapes, letters, plan),
        "servers": lambda: servers.measure(extent.server_rounds, extent.server_seconds, _say),
        "expressions": lambda: asyncio.to_thread(expressions.measure, extent.evaluation, extent.sizes),
        "compiling": lambda: asyncio.to_thread(compiling.measure, extent.states, extent.repeats),
        "profile": lambda: profiling.measure(
            [(shape, _both(PROFILED[shape.name], letters)) for shape in shapes if shape.name in PROFILED],
            extent.profile,
            _say,
        ),
    }
    for part, piece in pieces.items():
        if part not in parts:
            continue
        try:
            measured[part] = await piece()
        except Exception:  # noqa: BLE001 - what was measured is not to be lost
            traceback.print_exc()
            _say(f"{part}: NOT measured, see above; the other parts go on")
            measured[FAILED] = True
        else:
            _say(f"{part}: done")
    return measured.pop(FAILED, False), outcome(
        plan,
        measured.get("runs", {}),
        measured.get("expressions", []),
        measured.get("compiling", []),
        measured.get("servers", []),
        measured["profile"],
    )


def _both(some: str, letters: Sequence[str]) -> list[str]:
    return [letter for letter in letters if letter in some]


async def _runs(shapes: Sequence[Shape], letters: Sequence[str], plan: Plan) -> Results:
    with tempfile.TemporaryDirectory(prefix="wfe-benchmark-") as name:
        folder = Path(name)
        options = ServerOptions(headless=True, log_level="error", data_file=folder / "temporal.db")
        async with dev_server(options) as server, contenders(server.address, folder, letters) as at_work:
            _say(f"runs: {len(shapes)} shapes, {len(letters)} contenders")
            return await measure(shapes, at_work, server.process.pid, plan, _say)


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
