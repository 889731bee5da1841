"""The tables, as Markdown, from what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.engine.contenders import TITLES
from benchmarks.engine.limits import limits, together
from benchmarks.engine.shapes import SHAPES

Row = dict[str, Any]
_NAMES = {shape.name: shape.title for shape in SHAPES}


def report(found: Row) -> str:
    """All tables of *found*, with what the numbers mean."""
    parts = [
        _head(found),
        _aims(found),
        _limits(found),
        _runs(found),
        _servers(found),
        _expressions(found),
        _compiling(found),
    ]
    parts.append(_profile(found))
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(found: Row) -> str:
    where, plan = found["machine"], found["plan"]
    return "\n".join(
        [
            "# Measured: `python -m benchmarks.engine`",
            "",
            "This file is written by the command; `../README.md` says what is run and how to read it.",
            "",
            (
                f"{where['at']}, {where['cores']} × {where['cpu']}, {where['system']}, Python {where['python']}, "
                f"temporalio {where['temporalio']}, Temporal {where['temporal']}. Server, contenders and the "
                f"services that are called share the machine. {plan['rounds']} rounds; in each, {plan['clients']} "
                f"clients start runs for {plan['seconds']:g} s, and one client for {plan['alone']:g} s."
            ),
        ]
    )


def _by(found: Row) -> dict[tuple[str, str], Row]:
    return {(row["shape"], row["contender"]): row for row in found["runs"]}


def aims(found: Row) -> list[tuple[str, str, bool]]:
    """What is aimed at, what was measured, and whether that is met."""
    rows = _by(found)
    told = []

    def compared(letter: str, other: str, least: float, shapes: Sequence[str]) -> None:
        ratios = {
            shape: rows[shape, letter]["than"][other]
            for shape in shapes
            if (shape, letter) in rows and (shape, other) in rows
        }
        if ratios:
            measured = ", ".join(f"{_NAMES[shape]} {ratio:.2f}" for shape, ratio in ratios.items())
            aim = f"({letter}) ≥ {least:g} × the runs a second of ({other})"
            told.append((aim, measured, min(ratios.values()) >= least))

    def fewer(letter: str, other: str, most: float, aim: str, shapes: Sequence[str]) -> None:
        pairs = {
            shape: (rows[shape, letter]["events"], rows[shape, other]["events"])
            for shape in shapes
            if (shape, letter) in rows and (shape, other) in rows
        }
        if pairs:
            measured = ", ".join(
                f"{_NAMES[shape]} {mine} to {theirs}" for shape, (mine, theirs) in pairs.items()
            )
            told.append((aim, measured, all(mine <= most * theirs for mine, theirs in pairs.values())))

    every = [shape.name for shape in SHAPES]
    calling = [shape.name for shape in SHAPES if shape.calls]
    compared("c", "a", 1.6, every)
    compared("c", "b", 1.0, every)
    fewer("c", "a", 1.0, "(c) has no more history events than (a)", every)
    compared("d", "b", 1.7, calling)
    fewer("d", "b", 0.5, "(d) has at most half the history events of (b)", calling)
    return told


def _aims(found: Row) -> str:
    rows = [[aim, measured, "yes" if met else "**no**"] for aim, measured, met in aims(found)]
    return "## What is aimed at\n\n" + table(["aim", "measured", "met"], rows) if rows else ""


def _limits(found: Row) -> str:
    rows = [
        [
            _NAMES[limit.shape],
            f"{limit.together:.1f}",
            f"{limit.worker:.1f}",
            *(f"{limit.most[other]:.2f}" if other in limit.most else "" for other in ("a", "b")),
        ]
        for limit in limits(found["runs"])
    ]
    if not rows:
        return ""
    head = ["shape", "CPU of a run of (c), ms", "of it the engine's own", "at most × (a)", "at most × (b)"]
    return (
        "## What stands in the way\n\n"
        "With all cores at work, throughput is the inverse of the CPU of a run, most of which is the Temporal "
        "server's: the same operations cost it the same whoever asks for them. The last two columns say how many "
        "times the throughput of (a) and (b) the engine would have **if its own process cost nothing at all**; an "
        "aim above them cannot be met by a faster engine, but only by fewer operations: (d) makes every call within "
        "the workflow task, and so does (c), for half a second, with what each gave kept before the next begins. "
        "What the sandbox costs (a) is known from the profile below; written as its guide advises, a few "
        "milliseconds. "
        "Written all in one file (e), it loads the file and what that imports for each run"
        + _than_one_file(found)
        + ". A run has 5 events before it does anything: with one call, (d) has 6 and (b) 11, which is more than "
        "half.\n\n" + table(head, rows, numbers=4)
    )


def _than_one_file(found: Row) -> str:
    rows = _by(found)
    for (_, letter), row in rows.items():
        if letter == "c" and "e" in row["than"]:
            return f": of the order, (c) makes {row['than']['e']:.1f} × the runs a second of (e)"
    return ""


def _runs(found: Row) -> str:
    rows = [
        [
            _NAMES[row["shape"]],
            f"({row['contender']}) {TITLES[row['contender']]}",
            f"{row['rate']:.1f} [{min(row['rates']):.0f}–{max(row['rates']):.0f}]",
            _ratio(row, "a"),
            _ratio(row, "b"),
            f"{row['p50']:.0f} / {row['p99']:.0f}",
            f"{row['alone']:.0f}",
            _number(row["server_cpu"]),
            _number(row["worker_cpu"]),
            _number(together(row)),
            str(row["events"]),
            f"{row['bytes']:,}",
        ]
        for row in found["runs"]
    ]
    if not rows:
        return ""
    head = [
        "shape",
        "",
        "runs/s",
        "× (a)",
        "× (b)",
        "p50 / p99 ms",
        "alone ms",
        "CPU server ms",
        "CPU contender ms",
        "CPU all ms",
    ]
    return (
        "## Runs\n\n![Runs a second and CPU of a run](engine.svg)\n\n"
        + table([*head, "events", "bytes"], rows, numbers=10)
        + "\n\nRuns a second: the median of the rounds [lowest–highest]. × (a), × (b): times the rate of those, the "
        "median over the rounds of the ratio within a round. p50 and p99: how long a run takes with all clients at "
        "work; alone: the median with one client. CPU: of one run; of the contender: of its worker and client. "
        "Events and bytes: of its history."
    )


def _servers(found: Row) -> str:
    rows = [
        [
            row["title"],
            f"{row['rate']:.1f}",
            f"{row['order_p50']:.0f}",
            f"{row['timer_p50']:.0f}",
            _number(row["cpu"]),
        ]
        for row in found["servers"]
    ]
    if not rows:
        return ""
    head = [
        "`temporal server start-dev`",
        "orders/s",
        "an order alone ms",
        "a timer of 1 ms, ms",
        "CPU server ms",
    ]
    return "## The dev server, stock and tuned\n\n" + table(head, rows, numbers=4)


def _expressions(found: Row) -> str:
    rows = [
        [
            row["size"],
            row["title"],
            f"`{row['source'].replace('|', chr(92) + '|')}`",
            _microseconds(row["ours"]),
            _microseconds(row["libjq"]),
            "" if row["libjq"] is None else f"{row['libjq'] / row['ours']:,.0f}",
        ]
        for row in found["expressions"]
    ]
    if not rows:
        return ""
    head = ["data", "", "expression", "ours µs", "libjq µs", "times as fast"]
    return "## Expressions\n\n" + table(head, rows, numbers=3)


def _compiling(found: Row) -> str:
    rows = [
        [
            row["dialect"],
            f"{row['states']:,}",
            f"{row['parse']:,.1f}",
            f"{row['compile']:,.1f}",
            f"{row['compile'] / row['states'] * 1e3:,.0f}",
            f"{row['bytes']:,}",
        ]
        for row in found["compiling"]
    ]
    if not rows:
        return ""
    head = ["DSL", "states", "reading ms", "compiling ms", "compiling µs/state", "bundle bytes"]
    return "## Reading and compiling documents\n\n" + table(head, rows, numbers=5)


def _profile(found: Row) -> str:
    profile = found["profile"]
    if not profile:
        return ""
    columns = list(profile["shapes"])
    parts = list(dict.fromkeys(part for shares in profile["shapes"].values() for part in shares))
    rows = [
        [part, *(f"{profile['shapes'][column].get(part, 0.0):.2f}" for column in columns)] for part in parts
    ]
    total = ["**together**", *(f"{sum(profile['shapes'][column].values()):.2f}" for column in columns)]
    return (
        "## Where the worker's time goes\n\n"
        + str(profile["about"])
        + "\n\n"
        + table(["part, ms of CPU for a run", *columns], [*rows, total], numbers=len(columns))
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0) -> str:
    """A table in Markdown; the last *numbers* columns are set to the right."""
    rule = ["---"] * (len(head) - numbers) + ["--:"] * numbers
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, rule, *rows])


def _ratio(row: Row, other: str) -> str:
    return "1" if row["contender"] == other else f"{row['than'][other]:.2f}" if other in row["than"] else ""


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"


def _microseconds(value: float | None) -> str:
    form: Callable[[float], str] = "{:,.1f}".format if value is not None and value < 100 else "{:,.0f}".format
    return "" if value is None else form(value)
