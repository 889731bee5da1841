"""Runs that go on with another version of their workflow: what they are told, and whether they could."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.errors import InvalidDocument, Rejected
from workflow_engine.interpreter.moving import Hindrance, Moved, moved
from workflow_engine.interpreter.run import Run
from workflow_engine.values import Json


@dataclass(frozen=True, slots=True)
class Move:
    """A run is to go on as one of *bundle*; *names* are pointers of states there by those that they have now."""

    bundle: Bundle
    names: Mapping[str, str]

    def of(self, run: Run) -> Moved:
        """Where *run* would be."""
        try:
            graph = self.bundle.graph()
        except (InvalidDocument, Rejected) as error:
            return Moved(hindrances=[Hindrance("", f"this engine cannot run it: {error}")])
        return moved(run.position(), run.graph, graph, self.names)


def refusal(there: Moved) -> list[Json]:
    """Why a run does not move."""
    return [hindrance.to_json() for hindrance in there.hindrances]
