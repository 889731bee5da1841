"""By what a run on Temporal is known to be one of a workflow: search attributes and memo."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes

from workflow_engine.graph.model import WorkflowName
from workflow_engine.interpreter.naming import fitting

BATCH = "wfe.batch"
"""The type of the workflow that does something to many runs."""
NAMESPACE = SearchAttributeKey.for_keyword("WfeNamespace")
DEFINITION = SearchAttributeKey.for_keyword("WfeDefinition")
VERSION = SearchAttributeKey.for_keyword("WfeVersion")
_AWKWARD = re.compile(r"""[%"'\\\x00-\x1f]""")
KEYS = SearchAttributeKey.for_keyword_list("WfeCorrelation")
GENERATION = "generation"
"""The member of its memo that tells a run from earlier ones which had the same id."""


def attributes_of(name: WorkflowName, keys: Sequence[str] = ()) -> TypedSearchAttributes:
    """By what runs of a workflow are found; *keys* are those of one run, each ``name=value``."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(NAMESPACE, name.namespace),
            SearchAttributePair(DEFINITION, name.name),
            SearchAttributePair(VERSION, name.version),
            *([SearchAttributePair(KEYS, [*map(written, keys)])] if keys else []),
        ]
    )


def renamed(present: TypedSearchAttributes, name: WorkflowName) -> TypedSearchAttributes | None:
    """*present* for a run that goes on as one of the workflow *name*; None where it is not to be found by that."""
    if present.get(VERSION) is None:
        return None
    return attributes_of(name, keys_in(present))


def keys_in(present: TypedSearchAttributes) -> Sequence[str]:
    """The keys of a run that has these search attributes."""
    return [unquote(each) for each in present.get(KEYS) or ()]


def written(key: str) -> str:
    """*key* as Temporal has it: its lists are searched as text by some of its databases, which trip over quotes."""
    return _AWKWARD.sub(lambda found: f"%{ord(found[0]):02X}", key)


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
