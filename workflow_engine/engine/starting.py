"""What a run is called, and what it starts with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.errors import Rejected
from workflow_engine.expressions import EvaluationError
from workflow_engine.graph.model import StateGraph, Trigger
from workflow_engine.values import Json, JsonObject

MOST_VALUES = 50
LONGEST = 400
"""How many keys a run has, and how long each is, in characters; Temporal takes not many more."""
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


def keys_of(graph: StateGraph, input: Json, agreed: Mapping[str, Json] | None = None) -> list[str]:
    """By what the run of *graph* with that *input* is found, each ``name=value``; *agreed* is what the events that
    start it have in common. A key whose value is nothing, or no text, number, true or false, or that cannot be
    computed, is left out; an array gives one for each of its values.
    """
    found: dict[str, None] = {}
    for name, expression in graph.keys.items():
        with contextlib.suppress(EvaluationError):
            value = expression.evaluate(input, {})
            found.update(dict.fromkeys(_pairs(name, value if isinstance(value, list) else [value])))
    for name, value in (agreed or {}).items():
        found.update(dict.fromkeys(_pairs(name, [value])))
    return [*found][:MOST_VALUES]


def _pairs(name: str, values: Sequence[Json]) -> Iterator[str]:
    for value in values[:MOST_VALUES]:
        if isinstance(value, int) and value.bit_length() > 4 * LONGEST:
            continue  # too long, and so long that Python may refuse to write it
        if isinstance(value, (str, int, float)) and value != "":
            text = value if isinstance(value, str) else json.dumps(value)
            if len(pair := f"{name}={text}") <= LONGEST:
                yield pair


def start_of(
    id: str,
    bundle: Bundle,
    graph: StateGraph,
    input: Json,
    seeds: Sequence[JsonObject],
    *,
    awaited: float = 0.0,
    keys: Sequence[str] = (),
) -> Start:
    """The start of a run *id* of *bundle*, whose graph is *graph*, by the events *seeds*."""
    title = graph.title or graph.name.name
    return Start(id, graph.name, bundle, input, title, graph.summary, seeds, awaited=awaited, keys=keys)
