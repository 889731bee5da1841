"""How long documents take to be read and compiled, by their DSL and the number of their states."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from workflow_engine import dsl
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.dsl.document import Limits

SIZES = (10, 100, 1_000, 10_000)
_LARGE = Limits(bytes=2**22)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A document of *states* in the DSL *dialect*: *parse* is what deploying it takes first, with the check of its
    schema; *compile* is what a worker does when it sees it for the first time. In milliseconds of CPU; *bytes* is the
    size of the bundle.
    """

    dialect: str
    states: int
    parse: float
    compile: float
    bytes: int


def v1(states: int, salt: str) -> str:
    """A document in DSL 1.0 of *states* of the kinds that are most common, with expressions that are new by *salt*."""
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


def v0_8(states: int, salt: str) -> str:
    """The same in DSL 0.8."""
    lines = [
        "id: large",
        "version: '1.0'",
        "specVersion: '0.8'",
        "start: s0",
        "functions: [{name: get, type: custom, operation: 'rest:get:https://example.com/{id}'}]",
        "states:",
    ]
    for number in range(states):
        lines.append(f"- name: s{number}")
        then = f"transition: s{number + 1}" if number + 1 < states else "end: true"
        match number % 4:
            case 0:
                lines.append("  type: inject")
                lines.append(f"  data: {{n: '${{ .n{salt}{number} }}', at: {number}}}")
            case 1:
                lines.append("  type: operation")
                lines.append("  actions:")
                lines.append(f"  - condition: ${{ .n > {number} and .{salt} }}")
                lines.append("    functionRef: {refName: get, arguments: {id: '${ .id }'}}")
            case 2:
                lines.append("  type: switch")
                lines.append("  dataConditions:")
                lines.append(f"  - {{condition: '${{ .n > {number} and .{salt} }}', {then}}}")
                lines.append(f"  defaultCondition: {{{then}}}")
            case _:
                lines.append("  type: sleep")
                lines.append("  duration: PT1S")
                lines.append(f"  stateDataFilter: {{output: '${{ . + {{{salt}{number}: true}} }}'}}")
        if number % 4 != 2:
            lines.append(f"  {then}")
    return "\n".join(lines) + "\n"


DIALECTS: Mapping[str, Callable[[int, str], str]] = {"1.0": v1, "0.8": v0_8}


def measure(sizes: Sequence[int] = SIZES, repeats: int = 3) -> list[Compiled]:
    """Documents of all *sizes* in both DSLs: the median of *repeats*, each with a text of its own."""
    return [_measured(dialect, states, repeats) for dialect in DIALECTS for states in sizes]


def _measured(dialect: str, states: int, repeats: int) -> Compiled:
    parsed, compiled, size = [], [], 0
    for repeat in range(repeats):
        source = DIALECTS[dialect](states, f"x{states}x{repeat}x")
        gc.collect()
        started = time.thread_time()
        document = dsl.parse(source, limits=_LARGE)
        between = time.thread_time()
        dsl.compile(document, {})
        ended = time.thread_time()
        parsed.append(between - started)
        compiled.append(ended - between)
        size = len(Bundle.of(document, {}).data)
    return Compiled(dialect, states, statistics.median(parsed) * 1e3, statistics.median(compiled) * 1e3, size)
