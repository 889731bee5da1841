"""The process that finds what is wrong with documents: asked and answering over its standard streams.

It is apart from the server, so that a document that takes long, or more, costs nothing but itself: the server ends the
process and begins another. Each message is its length, four bytes, and JSON. A request has ``task`` (one of `TASKS`),
``text`` and ``name``. Before the first the process sends a header alone, of nothing: it is ready.
"""

from __future__ import annotations

import signal
import struct
import sys
from collections.abc import Callable

import orjson

from workflow_engine.values import Json, JsonObject

HEADER = struct.Struct(">I")
LONGEST = 30
"""Seconds after which the process ends by itself, whoever waits for it."""


def _check(text: str, name: str) -> JsonObject:
    from workflow_engine import dsl
    from workflow_engine.errors import InvalidDocument

    try:
        problems = dsl.check(dsl.parse(text, name=name))
    except InvalidDocument as error:
        problems = list(error.problems)
    return {"problems": [problem.to_json() for problem in problems]}


def _lint(text: str, name: str) -> JsonObject:
    import catalog

    found: list[Json] = [
        {
            "code": problem.code,
            "message": problem.message,
            "pointer": problem.pointer,
            "line": problem.line,
            "column": problem.column,
            "severity": problem.severity,
        }
        for problem in catalog.lint(text)
    ]
    return {"problems": found}


def _graph(text: str, name: str) -> JsonObject:
    from workflow_engine import dsl
    from workflow_engine.errors import InvalidDocument
    from workflow_engine.graph import render

    try:
        return {"mermaid": render.mermaid(dsl.compile(dsl.parse(text, name=name)))}
    except InvalidDocument as error:
        return {"problems": [problem.to_json() for problem in error.problems]}


TASKS: dict[str, Callable[[str, str], JsonObject]] = {"check": _check, "lint": _lint, "graph": _graph}


def main() -> None:
    """Answer requests until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, it is for the server
    asked, answered = sys.stdin.buffer, sys.stdout.buffer
    _check("", "")  # imports what the first request would wait for
    answered.write(HEADER.pack(0))
    answered.flush()
    while header := asked.read(HEADER.size):
        request = orjson.loads(asked.read(HEADER.unpack(header)[0]))
        if hasattr(signal, "alarm"):
            signal.alarm(LONGEST)
        try:
            answer = TASKS[request["task"]](request["text"], request["name"])
        except Exception as error:  # noqa: BLE001 - a bug of ours with this document is no reason to fail with others
            answer = {"failed": f"{type(error).__name__}: {error}"}
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        written = orjson.dumps(answer)
        answered.write(HEADER.pack(len(written)) + written)
        answered.flush()
