"""Parse and compile: workflow text to a `Document`, a `Document` to a `StateGraph`; for DSL 1.0 and 0.8."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from workflow_engine.dsl import v0_8, v1
from workflow_engine.dsl.collecting import uncollected
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.lowering import Lowering, in_order
from workflow_engine.dsl.parsing import parse
from workflow_engine.dsl.recurring import is_over
from workflow_engine.dsl.v0_8.workflow import lower as lower_v0_8
from workflow_engine.dsl.v1.workflow import lower as lower_v1
from workflow_engine.errors import Problem
from workflow_engine.graph.model import StateGraph
from workflow_engine.values import Json

__all__ = ["Document", "check", "compile", "parse", "v0_8", "v1"]


def compile(document: Document, resources: Mapping[str, Json] | None = None) -> StateGraph:
    """Lower *document* to a graph, with the *resources* that its bundle pins; pure, and reads no network.

    Used qualified, like ``re.compile``. Raises `InvalidDocument` with every problem, in document order.
    """
    graph, lowering = _lower(document, resources, warned=False)
    lowering.raise_problems()
    return graph if resources is None else replace(graph, resources=resources)


def check(document: Document, resources: Mapping[str, Json] | None = None) -> list[Problem]:
    """Everything wrong or doubtful about *document*: lowering, and the analysis of the graph.

    *resources* are what was found of its needs; without them its functions from elsewhere are not looked at.
    """
    from workflow_engine.graph.analysis import analyse

    graph, lowering = _lower(document, resources, warned=True)
    problems = [*document.warnings, *lowering.problems]
    if graph.schedule is not None and is_over(graph.schedule, datetime.now(UTC)):
        message = "the last moment of this schedule is over, so the clock starts no run"
        problems.append(document.problem("schedule-over", message, "/start/schedule", severity="warning"))
    if not any(problem.severity == "error" for problem in problems):
        problems += [
            document.problem(
                finding.code, *lowering.placed(finding.message, finding.state), severity=finding.severity
            )
            for finding in analyse(graph)
        ]
    return in_order(problems)


def _lower(
    document: Document, resources: Mapping[str, Json] | None, *, warned: bool
) -> tuple[StateGraph, Lowering]:
    with uncollected():
        if document.dialect == "1.0":
            return lower_v1(document, resources, warned=warned)
        return lower_v0_8(document, resources)
