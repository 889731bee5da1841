"""By what a run on Temporal is known to be one of a workflow: search attributes and memo."""

from __future__ import annotations

from typing import Any

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from workflow_engine.graph.model import WorkflowName
from workflow_engine.interpreter.naming import fitting

BATCH = "wfe.batch"
"""The type of the workflow that does something to many runs."""
NAMESPACE = SearchAttributeKey.for_keyword("WfeNamespace")
DEFINITION = SearchAttributeKey.for_keyword("WfeDefinition")
VERSION = SearchAttributeKey.for_keyword("WfeVersion")
GENERATION = "generation"
"""The member of its memo that tells a run from earlier ones which had the same id."""


def attributes_of(name: WorkflowName) -> TypedSearchAttributes:
    """By what runs of a workflow are found."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(NAMESPACE, name.namespace),
            SearchAttributePair(DEFINITION, name.name),
            SearchAttributePair(VERSION, name.version),
        ]
    )


def memo_of(name: WorkflowName) -> dict[str, Any]:
    """What a run remembers of its workflow, so that it can be told without its history."""
    return {"namespace": name.namespace, "name": name.name, "version": name.version}


LONGEST_RUN_ID = 1000


def sub_run_id(identity: str, place: str) -> str:
    """The id of the run that another one of *identity* begins at *place*."""
    return fitting(identity + place.replace("/", "."), LONGEST_RUN_ID)


def identity_of(run_id: str, generation: str | None) -> str:
    """What tells a run from others that had its id before: what it begins is named after it."""
    return f"{run_id}~{generation}" if generation else run_id
