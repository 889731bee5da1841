"""``python -m benchmarks.filters``: what filters cost in each dialect, to ``results/filters.md``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.router import RESULTS, SIZE, Table, event
from workflow_engine.events.index import InterestIndex
from workflow_engine.filters import Filters, filters, machine
from workflow_engine.filters.interest import Interest
from workflow_engine.values import JsonObject

Take = Callable[[JsonObject], bool]
EVENTS = [
    {**event(number, "order.placed" if number % 2 else "order.sent"), "subject": f"o{number % 100}"}
    for number in range(200)
]


def strategy(attributes: JsonObject) -> Take:
    """Whether a strategy with one filter takes an event."""
    compiled = machine({"mode": "any", "filters": [{"attributes": attributes}]})
    return lambda given: compiled.accept({}, given) is not None


def dialect(spec: JsonObject) -> Take:
    """Whether a filter takes an event."""
    compiled = filters([spec])
    return lambda given: compiled.take(given, [])


def _large(given: JsonObject) -> bool:
    data = given.get("data")
    return given.get("type") == "order.placed" and isinstance(data, dict) and data.get("order", 0) > 100  # type: ignore[operator]


def _prefixed(given: JsonObject) -> bool:
    subject = given.get("subject")
    return given.get("type") == "order.placed" and isinstance(subject, str) and subject.startswith("o1")


PLACED: JsonObject = {"equals": "order.placed"}
QUESTIONS: dict[str, tuple[Take, dict[str, Take]]] = {
    "a type, and how the subject begins": (
        _prefixed,
        {
            "strategy": strategy({"type": PLACED, "subject": {"pattern": "o1.*"}}),
            "exact and prefix": dialect(
                {"all": [{"exact": {"type": "order.placed"}}, {"prefix": {"subject": "o1"}}]}
            ),
            "sql": dialect({"sql": "type = 'order.placed' AND subject LIKE 'o1%'"}),
            "pattern": dialect({"pattern": {"type": ["order.placed"], "subject": [{"prefix": "o1"}]}}),
            "eventgrid": dialect(
                {
                    "eventgrid": {
                        "type": [{"op": "StringIn", "values": ["order.placed"]}],
                        "subject": [{"op": "StringStartsWith", "values": ["o1"]}],
                    }
                }
            ),
        },
    ),
    "a type, and a number in the data": (
        _large,
        {
            "strategy": strategy({"type": PLACED, "data": {"expression": ".order > 100"}}),
            "pattern": dialect(
                {"pattern": {"type": ["order.placed"], "data": {"order": [{"numeric": [">", 100]}]}}}
            ),
            "eventgrid": dialect(
                {
                    "eventgrid": {
                        "type": [{"op": "StringIn", "values": ["order.placed"]}],
                        "data": {"order": [{"op": "NumberGreaterThan", "value": 100}]},
                    }
                }
            ),
        },
    ),
}
OWN: dict[str, Callable[[int], JsonObject]] = {
    "exact": lambda number: {"exact": {"type": "order.placed", "subject": f"o{number}"}},
    "sql": lambda number: {"sql": f"type = 'order.placed' AND subject = 'o{number}'"},
    "pattern": lambda number: {"pattern": {"type": ["order.placed"], "subject": [f"o{number}"]}},
    "eventgrid": lambda number: {
        "eventgrid": {
            "type": [{"op": "StringIn", "values": ["order.placed"]}],
            "subject": [{"op": "StringIn", "values": [f"o{number}"]}],
        }
    },
}


def cost(take: Take, seconds: float) -> float:
    """Microseconds for one event."""
    count, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds or not count:
        for given in EVENTS:
            take(given)
        count += len(EVENTS)
    return taken / count * 1e6


def one_filter(seconds: float) -> Table:
    """One filter beside the same question in Python, which is asked right before and right after."""
    table = Table(
        "One filter",
        ("µs an event", "filter", "plain Python", "filter: of plain Python", "of the strategy"),
        note="One compiled filter, of events of which some fit, beside a function that asks the same by hand.",
    )
    for title, (by_hand, dialects) in QUESTIONS.items():
        of_strategy = 0.0
        for name, take in dialects.items():
            assert [take(given) for given in EVENTS] == [by_hand(given) for given in EVENTS]
            before, found, after = cost(by_hand, seconds), cost(take, seconds), cost(by_hand, seconds)
            plain = (before + after) / 2
            of_strategy = of_strategy or found
            table.rows.append(
                (
                    f"{title}: {name}",
                    f"{found:.2f}",
                    f"{plain:.2f}",
                    f"{found / plain:.1f} ×",
                    f"{found / of_strategy:.2f} ×",
                )
            )
    return table


def many(seconds: float, count: int) -> Table:
    """So many subscriptions of one type, each of its own subject: by the index, and by asking all of them."""
    table = Table(
        f"{count:,} subscriptions of one type, each of its own subject",
        ("µs an event", "index", "plain loop", "index: times as fast"),
        note="Who takes an event: what the router's index gives, asked, beside a loop over the same compiled filters.",
    )
    for name, make in OWN.items():
        compiled = [filters([make(number)]) for number in range(count)]
        index: InterestIndex[int] = InterestIndex()
        for number, each in enumerate(compiled):
            index.add(number, each.narrowed([Interest()]))

        def by_index(
            given: JsonObject, compiled: list[Filters] = compiled, index: InterestIndex[int] = index
        ) -> bool:
            found = index.candidates(str(given["type"]), str(given["source"]), lambda: given)
            return sum(compiled[number].take(given, []) for number in found) > 0

        def by_loop(given: JsonObject, compiled: list[Filters] = compiled) -> bool:
            return sum(each.take(given, []) for each in compiled) > 0

        sample = EVENTS[:4]
        assert [by_index(given) for given in sample] == [by_loop(given) for given in sample]
        fast, slow = cost(by_index, seconds), _looped(by_loop, seconds)
        table.rows.append((name, f"{fast:.1f}", f"{slow:,.1f}", f"{slow / fast:,.0f}"))
    return table


def _looped(take: Take, seconds: float) -> float:
    """As `cost`, of a few events at a time."""
    count, began = 0, time.perf_counter()
    while (taken := time.perf_counter() - began) < seconds or not count:
        take(EVENTS[count % len(EVENTS)])
        count += 1
    return taken / count * 1e6


def main(arguments: Sequence[str]) -> int:
    """Measure, and write ``filters.md``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filters", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.3, help="for each (default: %(default)g)")
    parser.add_argument("--count", type=int, default=1000, help="of subscriptions (default: %(default)d)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    load = os.getloadavg()[0]
    tables = [one_filter(chosen.seconds), many(chosen.seconds, chosen.count)]
    head = [
        "# Measured: `python -m benchmarks.filters`\n",
        "This file is written by the command.\n",
        (
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} CPUs, {platform.system()}, Python "
            f"{platform.python_version()}; events of {SIZE} bytes and more. The machine's load was {load:.1f} when "
            "this began. Compare what stands side by side, not the numbers with those of another machine.\n"
        ),
    ]
    text = "\n".join([*head, *(line for table in tables for line in table.lines())])
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "filters.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
