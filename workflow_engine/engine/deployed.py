"""What comes of deploying a workflow, and who may say that it must not be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from workflow_engine.engine.schedules import ScheduleDescription
from workflow_engine.engine.store import Definition
from workflow_engine.errors import Problem
from workflow_engine.graph.model import StateGraph
from workflow_engine.values import JsonObject

Allowed: TypeAlias = Callable[[StateGraph], None]
"""Raises where whoever asks may not have such a workflow."""


def anything(graph: StateGraph) -> None:
    """Every workflow is allowed."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment: *created* is False when the same text was there already.

    *schedule* is there when the clock starts this version: it is the latest, and has one.
    """

    definition: Definition
    created: bool
    warnings: Sequence[Problem]
    schedule: ScheduleDescription | None = None

    def to_json(self) -> JsonObject:
        name = self.definition.workflow
        return {
            "namespace": name.namespace,
            "name": name.name,
            "version": name.version,
            "digest": self.definition.bundle.digest,
            "dsl": self.definition.dialect,
            "warnings": [problem.to_json() for problem in self.warnings],
            "schedule": None if self.schedule is None else self.schedule.to_json(),
        }
