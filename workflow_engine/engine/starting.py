"""What a run is called, and what it starts with."""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from collections.abc import Sequence

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import Rejected
from workflow_engine.graph.model import StateGraph, Trigger
from workflow_engine.values import Json, JsonObject

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+~-]{0,199}")


def checked(run_id: str) -> str:
    """*run_id*; `Rejected` when no run can be called so."""
    if not _RUN_ID.fullmatch(run_id):
        message = "a run id is letters, digits and ._:@+~- (not at the start), 200 characters at most"
        raise Rejected("invalid-run-id", message)
    return run_id


def new_id(name: str) -> str:
    """An id for a run of the workflow *name* that no other run has."""
    return id_of(name, str(uuid.uuid4()))


def id_of(name: str, identity: str) -> str:
    """The id of the run of the workflow *name* with that *identity*; of the name, what an address can carry."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:100] or "run"
    return f"{safe}-{identity}"


def correlation_of(trigger: Trigger, events: Sequence[JsonObject]) -> str:
    """What the events of one run that is kept active have in common, as a part of its id (decision B19)."""
    keys = {key for wanted in trigger.strategy.filters for key, _, _ in wanted.correlate}
    named = [{name.lower(): value for name, value in event.items()} for event in events]
    values = sorted((key, json.dumps(event.get(key))) for key in keys for event in named[:1])
    return hashlib.sha256(repr(values).encode()).hexdigest()[:32]


def start_of(id: str, bundle: Bundle, graph: StateGraph, input: Json, seeds: Sequence[JsonObject]) -> Start:
    """The start of a run *id* of *bundle*, whose graph is *graph*, by the events *seeds*."""
    return Start(id, graph.name, bundle, input, graph.title or graph.name.name, graph.summary, seeds)
