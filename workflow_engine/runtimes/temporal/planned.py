"""What the runs of a schedule have in common, whichever way Temporal keeps it: ids, memo, arguments."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

from temporalio.service import RPCError, RPCStatusCode

from workflow_engine.engine.schedules import Plan
from workflow_engine.errors import NotFound, Rejected, Unavailable
from workflow_engine.runtimes.temporal.connection import translated
from workflow_engine.runtimes.temporal.naming import memo_of

FORMAT = 1
"""Counts up when what is kept of a plan changes, so that what is there is brought up to date."""
_REFUSALS = frozenset(
    {
        RPCStatusCode.INVALID_ARGUMENT,
        RPCStatusCode.FAILED_PRECONDITION,
        RPCStatusCode.PERMISSION_DENIED,
        RPCStatusCode.UNAUTHENTICATED,
        RPCStatusCode.UNIMPLEMENTED,
    }
)
LARGE = 64 * 1024
"""A bundle of more bytes is not copied into every run: the run finds it by the version, which never changes."""
DEFAULT_QUEUE = "wfe"


def schedule_id(queue: str, namespace: str, name: str) -> str:
    """The id of a workflow's schedule: each task queue has its own, several of which may share a namespace."""
    return f"{queue}/{quote(namespace, safe='')}/{quote(name, safe='')}"


def name_in(queue: str, id: str) -> tuple[str, str] | None:
    """Namespace and name in a schedule's id; None for the schedule of somebody else."""
    parts = id.removeprefix(f"{queue}/").split("/")
    if not id.startswith(f"{queue}/") or len(parts) != 2:
        return None
    return unquote(parts[0]), unquote(parts[1])


def run_prefix(queue: str, plan: Plan) -> str:
    """How the ids of its runs begin, unlike those of any other workflow: a moment follows."""
    name = plan.workflow
    words = [name.namespace, name.name] if queue == DEFAULT_QUEUE else [queue, name.namespace, name.name]
    plain = ".".join(words)
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:150]
    if safe == plain and name.name.count(".") == 0:
        return safe
    return f"{safe or 'run'}-{hashlib.sha256(repr(words).encode()).hexdigest()[:8]}"


def mark(plan: Plan) -> str:
    """Says which plan is kept."""
    told = hashlib.sha256(json.dumps(plan.remembered, sort_keys=True).encode()).hexdigest()[:8]
    return f"{FORMAT}:{plan.bundle.digest}" + (f":{told}" if plan.remembered else "")


def memo(plan: Plan) -> dict[str, Any]:
    return {**memo_of(plan.workflow), **plan.remembered, "schedule": mark(plan)}


def what(plan: Plan) -> Any:
    """The second argument of a run: its bundle, or a reference to one that is large."""
    name = plan.workflow
    if len(plan.bundle.data) <= LARGE:
        return plan.bundle
    return {"namespace": name.namespace, "name": name.name, "version": name.version}


@contextlib.contextmanager
def about(plan: Plan) -> Iterator[None]:
    """Turn the SDK's errors about the schedule of *plan* into the engine's own."""
    name = plan.workflow
    try:
        with translated():
            yield
    except RPCError as error:
        if error.status == RPCStatusCode.NOT_FOUND:
            raise NotFound("schedule", f"{name.namespace}/{name.name}") from None
        if error.status in _REFUSALS:
            raise Rejected("schedule", f"Temporal does not take it: {error.message}") from None
        raise Unavailable(f"Temporal cannot do it now: {error.message}") from None
