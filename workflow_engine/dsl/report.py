"""Collects what is wrong with a document, each problem with its place in the text."""

from __future__ import annotations

import re
from typing import TypeAlias

from workflow_engine.dsl.source import Source
from workflow_engine.errors import Problem
from workflow_engine.values import pointer

Path: TypeAlias = "tuple[Path, str | int] | None"
"""The way to a value: its container's path and its own key or index; None is the document itself."""

MAX_PROBLEMS = 100
_WRITTEN_SCALAR = re.compile(r"[^\s,\]}#]{1,40}")


class Full(Exception):
    """There are as many problems as a report takes."""


def parts(path: Path) -> list[str | int]:
    """The keys and indices of *path*, outermost first."""
    found: list[str | int] = []
    while path is not None:
        path, part = path
        found.append(part)
    found.reverse()
    return found


class Report:
    """The problems of one document; `Full` is raised when there are a hundred."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._problems: list[Problem] = []
        self._lines: list[str] = []

    def add(
        self, code: str, message: str, path: Path, *, at_key: bool = False, severity: str = "error"
    ) -> None:
        """Note a problem of the value at *path*; *at_key* places it at the value's key instead."""
        place = pointer(*parts(path))
        positions = self._source.positions
        line, column = positions.key(place) if at_key else positions.value(place)
        self._problems.append(Problem(code, message, place, line, column, severity))
        if len(self._problems) >= MAX_PROBLEMS:
            raise Full

    def written(self, path: Path) -> str:
        """The number, boolean or null at *path* as the author wrote it: 1.10, not 1.1."""
        line, column = self._source.positions.value(pointer(*parts(path)))
        if not self._lines:
            self._lines = re.split("\r\n?|\n", self._source.text)
        lines = self._lines
        match = _WRITTEN_SCALAR.match(lines[line - 1], column - 1) if line <= len(lines) else None
        return match[0] if match else ""

    def problems(self) -> list[Problem]:
        """Every problem in document order; if there were too many, a last one says so."""
        ordered = sorted(self._problems, key=lambda problem: (problem.line, problem.column))
        if len(ordered) >= MAX_PROBLEMS:
            last = ordered[-1]
            message = f"there may be more; these are the first {MAX_PROBLEMS}"
            ordered.append(Problem("too-many-problems", message, last.pointer, last.line, last.column))
        return ordered
