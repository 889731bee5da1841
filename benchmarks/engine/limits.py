"""How much any worker could still win: the CPU of a run that is the server's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limit:
    """Of one shape, in milliseconds of CPU for a run: of the server and the engine together, and what of it is the
    engine's. *most* is how many times the throughput of (a), and of (b), it would have if it took none itself.
    """

    shape: str
    together: float
    worker: float
    most: dict[str, float]


def together(row: dict[str, Any]) -> float | None:
    """Milliseconds of CPU of the server and of the contender for a run; None where it could not be told."""
    parts = [row["server_cpu"], row["worker_cpu"]]
    return None if None in parts else sum(parts)


def limits(rows: Sequence[dict[str, Any]]) -> list[Limit]:
    """The limit of (c) in each shape: with all cores at work, throughput is the inverse of CPU."""
    by = {(row["shape"], row["contender"]): row for row in rows}
    found = []
    for (shape, letter), row in by.items():
        whole = together(row)
        if letter != "c" or whole is None:
            continue
        rest = whole - row["worker_cpu"]
        others = {
            other: cpu
            for other in ("a", "b")
            if (shape, other) in by and (cpu := together(by[shape, other])) is not None
        }
        if rest > 0 and others:
            most = {other: cpu / rest for other, cpu in others.items()}
            found.append(Limit(shape, whole, row["worker_cpu"], most))
    return found
