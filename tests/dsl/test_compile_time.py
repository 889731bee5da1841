"""Compiling takes in proportion to the number of states: counted in calls of functions, not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from workflow_engine import dsl
from workflow_engine.dsl.document import Document


def v1(states: int) -> str:
    lines = ["document: {dsl: '1.0.3', namespace: t, name: large, version: '1.0.0'}", "do:"]
    for n in range(states):
        lines += [
            [
                f"- s{n}: {{set: {{n: '${{ .n{n} + 1 }}'}}}}",
                f"- s{n}: {{call: http, with: {{method: get, endpoint: 'https://e.example/{{id}}'}}}}",
                f"- s{n}: {{switch: [{{a: {{when: .n > {n}, then: end}}}}, {{b: {{then: continue}}}}]}}",
                f"- s{n}: {{wait: PT1S, output: {{as: '${{ . + {{n{n}: true}} }}'}}}}",
            ][n % 4]
        ]
    return "\n".join(lines)


FUNCTIONS = "functions: [{name: f, type: custom, operation: 'rest:post:http://e.example/x'}]"


def v0_8(states: int) -> str:
    lines = ["id: large", "specVersion: '0.8'", "version: '1.0'", FUNCTIONS, "states:"]
    for n in range(states):
        then = f"transition: s{n + 1}" if n + 1 < states else "end: true"
        call = f"{{refName: f, arguments: {{a: '${{ .n{n} }}'}}}}"
        choice = f"{{condition: '${{ .n > {n} }}', end: true}}"
        lines.append(
            [
                f"- {{name: s{n}, type: inject, data: {{n{n}: 1}}, {then}}}",
                f"- {{name: s{n}, type: operation, actions: [{{functionRef: {call}}}], {then}}}",
                f"- {{name: s{n}, type: switch, dataConditions: [{choice}], defaultCondition: {{{then}}}}}",
                f"- {{name: s{n}, type: sleep, duration: PT1S, {then}}}",
            ][n % 4]
        )
    return "\n".join(lines)


def wide(states: int) -> str:
    """One state with many cases."""
    cases = ", ".join(f"{{c{n}: {{when: .n == {n}, then: end}}}}" for n in range(states))
    return f"document: {{dsl: '1.0.3', namespace: t, name: wide, version: '1.0.0'}}\ndo:\n- s: {{switch: [{cases}]}}"


def expression_functions(states: int) -> str:
    """Many functions, each of which is called once."""
    lines = ["id: large", "specVersion: '0.8'", "version: '1.0'", "functions:"]
    lines += [f"- {{name: f{n}, type: expression, operation: '.a + {n}'}}" for n in range(states)]
    lines.append("states:")
    for n in range(states):
        then = f"transition: s{n + 1}" if n + 1 < states else "end: true"
        lines.append(f"- {{name: s{n}, type: inject, data: {{a: '${{ fn:f{n} }}'}}, {then}}}")
    return "\n".join(lines)


def calls(document: Document) -> int:
    counted = 0

    def count(frame: Any, event: str, argument: Any) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        dsl.compile(document)
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize(
    "text", [v1, v0_8, wide, expression_functions], ids=["1.0", "0.8", "cases", "functions"]
)
def test_twice_as_many_states_take_twice_as_much(text: Callable[[int], str]) -> None:
    calls(dsl.parse(text(8)))
    once = calls(dsl.parse(text(200)))
    assert calls(dsl.parse(text(400))) < 2.2 * once
