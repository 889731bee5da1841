"""Problems of a document as the protocol tells them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from lsprotocol import types

from workflow_engine.editing.nodes import spot
from workflow_engine.editing.opened import Snapshot
from workflow_engine.values import JsonObject

SOURCE = "wfe"
_WORD = re.compile(r"\$?[\w.-]+")
_WORD_OF_JQ = re.compile(r"[$@.]?\w+")
_OF_JQ = ("invalid-expression", "not-deterministic")
_TAGS = {
    "unreachable-state": types.DiagnosticTag.Unnecessary,
    "unreachable-case": types.DiagnosticTag.Unnecessary,
    "ignored-property": types.DiagnosticTag.Unnecessary,
    "earlier-form": types.DiagnosticTag.Deprecated,
}


def diagnostics(of: Snapshot, problems: Iterable[JsonObject]) -> list[types.Diagnostic]:
    """*problems*, as `Problem.to_json` gives them, in their order, each where it stands in the text."""
    return [_diagnostic(of, problem) for problem in problems]


def _diagnostic(of: Snapshot, problem: dict[str, Any]) -> types.Diagnostic:
    start = of.text.parsed_offset(problem["line"], problem["column"])
    tag = _TAGS.get(problem["code"])
    error = problem["severity"] == "error"
    return types.Diagnostic(
        range=of.text.range(start, _end(of, start, problem["code"])),
        message=problem["message"],
        severity=types.DiagnosticSeverity.Error if error else types.DiagnosticSeverity.Warning,
        code=problem["code"],
        source=SOURCE,
        tags=None if tag is None else [tag],
        data={"pointer": problem["pointer"]},
    )


def failure(message: str) -> types.Diagnostic:
    """That a document could not be checked, and why."""
    return types.Diagnostic(
        range=types.Range(types.Position(0, 0), types.Position(0, 1)),
        message=f"this document could not be checked: {message}",
        severity=types.DiagnosticSeverity.Information,
        source=SOURCE,
    )


def _end(of: Snapshot, start: int, code: str) -> int:
    """Where what a problem at *start* is about ends, in the same line: a key, a scalar, a word, else a character."""
    text = of.text
    line = text.line_at(start)
    line_end = text.starts[line] + len(text.line(line))
    found = spot(of.whole, start)
    key = found.entry.key if found.entry is not None and found.on_key else None
    whole = found.node if key is None else key
    if whole.start == start and whole.end > start and whole.kind == "scalar":
        return min(whole.end, line_end)
    word = (_WORD_OF_JQ if code in _OF_JQ else _WORD).match(text.source, start, line_end)
    return word.end() if word else min(start + 1, max(line_end, start))
