"""Text to a `Document`, or to every problem of it that can be found at once: of text, form, meaning and ways.

What is wrong in one part must not hide what is wrong in another. So where the form of a document is wrong, what is
sound of it is compiled and analysed too. What would only follow from the part that is wrong is not told: names that
may be defined there, ways that may lead through it.
"""

from __future__ import annotations

import re
from contextlib import suppress

from workflow_engine.dsl import cutting
from workflow_engine.dsl.collecting import uncollected
from workflow_engine.dsl.document import Document, Limits, Reading, read
from workflow_engine.dsl.lowering import Lowering, in_order
from workflow_engine.dsl.report import MAX_PROBLEMS
from workflow_engine.dsl.v0_8.workflow import lower as lower_v0_8
from workflow_engine.dsl.v1.workflow import lower as lower_v1
from workflow_engine.errors import InvalidDocument, Problem
from workflow_engine.graph.analysis import analyse
from workflow_engine.graph.model import StateGraph
from workflow_engine.values import Json, pointer

_OF_WAYS = frozenset({"endless-loop", "unreachable-state", "unreachable-case", "missing-target"})
_WITHOUT_END = frozenset({"endless-loop", "wait-without-timeout"})
_BESIDE = frozenset({"misplaced-property", "ignored-property"})
_APART = ("unknown-", "duplicate-", "invalid-expression", "not-deterministic")
"""How codes begin of what is wrong by itself, and not because of what stands, or is missing, beside it."""
_LITERAL = frozenset({"metadata", "code", "comment", "source", "schema", "document"})
_EXPRESSION = re.compile(r"\s*\$\{.*\}\s*", re.DOTALL)


def parse(text: str | bytes, *, name: str = "<text>", limits: Limits = Limits()) -> Document:  # noqa: B008 - frozen
    """Read a workflow in DSL 1.0 or 0.8, written in YAML or JSON; *name* is what errors call it.

    Raises `InvalidDocument` with every problem that can be found, in document order. A document of good form is left
    to the compiler: references and expressions may be wrong.
    """
    with uncollected():
        reading = read(text, name=name, limits=limits)
        if reading.sound and reading.document is not None:
            return reading.document
        raise InvalidDocument(_with_later_ones(reading), name=name)


def _with_later_ones(reading: Reading) -> list[Problem]:
    """The problems of *reading*, and those that later stages find in what is sound."""
    found, document = list(reading.problems), reading.document
    if document is None or len(found) >= MAX_PROBLEMS:
        return found
    rest = cutting.without_what_is_wrong(document)
    if rest is None:
        return found
    follows = _Follows(found, rest)
    later = [problem for problem in _later(document, rest) if not follows(problem)]
    told = in_order([*found, *later[: MAX_PROBLEMS - len(found)]])
    if len(found) + len(later) >= MAX_PROBLEMS:
        last = told[-1]
        message = f"there may be more; these are the first {MAX_PROBLEMS}"
        told.append(Problem("too-many-problems", message, last.pointer, last.line, last.column))
    return told


class _Follows:
    """Whether a problem may be there only because of what was cut out."""

    def __init__(self, found: list[Problem], rest: cutting.Rest) -> None:
        wrong = {problem.pointer for problem in found if problem.severity == "error" and problem.pointer}
        self._wrong = wrong
        self._around = {at.rpartition("/")[0] for at in [*wrong, *(at for at, _ in rest.cut)]}
        self._inside_of = {at[:end] for at in wrong for end in range(len(at)) if at[end] == "/"}

    def __call__(self, problem: Problem) -> bool:
        place = problem.pointer
        if place in self._wrong:
            return True
        if problem.code in _BESIDE and place.rpartition("/")[0].rpartition("/")[0] in self._inside_of:
            return True
        if problem.severity == "warning" and place in self._inside_of:
            return True
        return not problem.code.startswith(_APART) and not self._around.isdisjoint(
            (place, place.rpartition("/")[0])
        )


def _later(document: Document, rest: cutting.Rest) -> list[Problem]:
    sound, original = rest.document, rest.original
    graph, lowering = _lowered(sound, rest.lost)
    found = list(lowering.problems)
    timed = any("timeout" in at for at, _ in rest.cut)
    if not any(problem.severity == "error" for problem in found):
        for finding in analyse(graph):
            inside = "/states/"
            if sound.dialect == "1.0":
                inside = original(finding.state.rpartition("/")[0].rpartition("/")[0]) + "/"
            if finding.code in _OF_WAYS and any(at.startswith(inside) for at in rest.astray):
                continue
            if timed and finding.code in _WITHOUT_END:
                continue
            message, at = lowering.placed(finding.message, finding.state)
            found.append(sound.problem(finding.code, message, at, severity=finding.severity))
    told = [
        Problem(each.code, each.message, original(each.pointer), each.line, each.column, each.severity)
        for each in found
    ]
    return told + _in_what_was_cut(document, rest.cut)


def _lowered(document: Document, lost: frozenset[str]) -> tuple[StateGraph, Lowering]:
    if document.dialect == "1.0":
        return lower_v1(document, None, lost=lost)
    return lower_v0_8(document, None, lost=lost)


def _in_what_was_cut(document: Document, cut: list[tuple[str, Json]]) -> list[Problem]:
    """What is wrong with expressions that stand in parts of wrong form; which variables they have is not known."""
    lowering = Lowering(document, lost=frozenset({cutting.ANY_VARIABLE}))
    pending = list(cut)
    while pending:
        at, value = pending.pop()
        if isinstance(value, dict):
            pending += [(at + pointer(key), item) for key, item in value.items() if key not in _LITERAL]
        elif isinstance(value, list):
            pending += [(at + pointer(number), item) for number, item in enumerate(value)]
        elif isinstance(value, str) and _EXPRESSION.fullmatch(value) and "fn:" not in value:
            with suppress(LookupError):
                lowering.template(value, (), at)
    return [problem for problem in lowering.problems if problem.code == "invalid-expression"]
