"""How long documents take to be read and compiled, by the number of their states."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle

SIZES = (10, 100, 1_000, 10_000)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A document of *states*: *parse* is what deploying it takes first, with the check of its schema; *compile* is what
    a worker does when it sees the document for the first time. In milliseconds; *bytes* is the size of the bundle.
    """

    states: int
    parse: float
    compile: float
    bytes: int


def text(states: int, salt: str) -> str:
    """A document of *states* of the kinds that are most common, whose expressions nobody has compiled before."""
    lines = [
        "document: {dsl: '1.0.3', namespace: bench, name: large, version: '1.0.0'}",
        "do:",
    ]
    for number in range(states):
        lines.append(f"- s{number}:")
        match number % 4:
            case 0:
                lines.append(f"    set: {{n: '${{ .n{salt}{number} }}', at: {number}}}")
            case 1:
                lines.append(f"    if: ${{ .n > {number} and .{salt} }}")
                lines.append("    call: http")
                lines.append("    with: {method: get, endpoint: 'https://example.com/{id}'}")
            case 2:
                lines.append("    switch:")
                lines.append(f"    - large: {{when: '.n > {number} and .{salt}', then: continue}}")
                lines.append("    - other: {then: continue}")
            case _:
                lines.append("    wait: PT1S")
                lines.append(f"    output: {{as: '${{ . + {{{salt}{number}: true}} }}'}}")
    return "\n".join(lines) + "\n"


def measure(sizes: Sequence[int] = SIZES, repeats: int = 3) -> list[Compiled]:
    """Documents of all *sizes*: the median of *repeats*, each with a text of its own."""
    measured = []
    for states in sizes:
        parsed, compiled, size = [], [], 0
        for repeat in range(repeats):
            source = text(states, f"x{states}x{repeat}x")
            gc.collect()
            started = time.perf_counter()
            document = dsl.parse(source)
            between = time.perf_counter()
            dsl.compile(document)
            ended = time.perf_counter()
            parsed.append(between - started)
            compiled.append(ended - between)
            size = len(Bundle.of(document, {}).data)
        measured.append(
            Compiled(states, statistics.median(parsed) * 1e3, statistics.median(compiled) * 1e3, size)
        )
    return measured
