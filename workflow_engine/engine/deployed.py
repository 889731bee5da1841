"""What comes of deploying a workflow, and who may say that it must not be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from workflow_engine.dsl.document import Document
from workflow_engine.dsl.needs import Need
from workflow_engine.engine.schedules import ScheduleDescription
from workflow_engine.engine.store import Definition
from workflow_engine.errors import Problem
from workflow_engine.graph.model import StateGraph
from workflow_engine.values import Json, JsonObject

Allowed: TypeAlias = Callable[[StateGraph], None]
"""Raises where whoever asks may not have such a workflow."""


Resolve: TypeAlias = Callable[[Need], Awaitable[Json]]
"""Finds an external thing; `NotFound` when it is not there, with a hint where it should be."""


class Bounds(Protocol):
    """What the workflows of each namespace may use."""

    def refused(self, document: Document, graph: StateGraph) -> list[Problem]:
        """What *graph* uses and may not, as far as that can be seen."""

    def processes(self, namespace: str) -> Collection[str] | None:
        """The kinds of processes that the workflows of *namespace* may start; None for all."""

    def queues(self, namespace: str) -> Collection[str] | None:
        """The task queues whose activities they may call; None for all."""

    def resolving(self, namespace: str) -> Resolve:
        """What finds external things for the workflows of *namespace*."""


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
