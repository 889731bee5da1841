"""Something is done to many runs: to which, what, and how far that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol, Self

from workflow_engine.engine.runtime import RunDescription, RunQuery
from workflow_engine.errors import Rejected, canonical_type
from workflow_engine.interpreter.retrying import Wish
from workflow_engine.values import JsonObject, rfc3339

COMMANDS = {
    "cancel": "running",
    "terminate": "running",
    "suspend": "running",
    "resume": "suspended",
    "retry": "faulted",
    "skip": "faulted",
}
"""What can be done to many runs, and the status of those to which it is unless another one is asked for."""
MOST_RUNS = 10_000
"""How many runs one batch takes; those that are left are for the next one."""
RATE, MOST_RATE = 20.0, 1000.0
"""How many runs a second, unless that is said, and at most."""
_OPEN = frozenset({"pending", "running", "waiting", "suspended"})


@dataclass(frozen=True, slots=True)
class Batch:
    """*command* is done to the runs *ids*, or else to those that *query* finds, *rate* of them a second.

    *wish* and *version* are those of a retry or skip.
    """

    command: str
    query: RunQuery = RunQuery()
    ids: tuple[str, ...] | None = None
    rate: float = RATE
    reason: str = ""
    wish: Wish = Wish()
    version: str | None = None

    def checked(self) -> Self:
        """This batch, with the status that its command is for; `Rejected` where it makes no sense."""
        if self.command not in COMMANDS:
            raise Rejected(
                "unknown-command", f"{self.command!r}: use {', '.join(COMMANDS)}", pointer="/command"
            )
        if not 0 < self.rate <= MOST_RATE:
            raise Rejected("rate", f"from more than 0 to {MOST_RATE:g} runs a second", pointer="/rate")
        if self.ids is not None and len(self.ids) > MOST_RUNS:
            raise Rejected("too-many-runs", f"at most {MOST_RUNS:,} runs at once", pointer="/ids")
        if self.command not in ("retry", "skip") and (self.wish != Wish() or self.version is not None):
            raise Rejected("not-for-command", f"{self.command} takes no data and no version")
        status = self.query.status or COMMANDS[self.command]
        anywhere = self.command == "skip" and status != "completed"
        if self.ids is None and not anywhere and (status in _OPEN) != (COMMANDS[self.command] in _OPEN):
            message = f"{self.command} does nothing to runs that are {status}"
            raise Rejected("not-for-status", message, pointer="/query/status")
        return replace(self, query=replace(self.query, status=status))

    def to_json(self) -> JsonObject:
        query = self.query
        return {
            "command": self.command,
            "ids": None if self.ids is None else list(self.ids),
            "rate": self.rate,
            "reason": self.reason,
            "wish": self.wish.to_json(),
            "version": self.version,
            "query": {
                "namespace": query.namespace,
                "workflow": query.name,
                "version": query.version,
                "status": query.status,
                "error": query.error,
                "started_after": None if query.after is None else rfc3339(query.after),
                "started_before": None if query.before is None else rfc3339(query.before),
                "attributes": dict(query.attributes),
            },
        }

    @classmethod
    def from_json(cls, members: JsonObject) -> Self:
        """What `to_json` made."""
        query, ids, wish = members["query"], members["ids"], members["wish"]
        assert isinstance(query, dict)
        assert isinstance(wish, dict)
        rate, version, attributes = members["rate"], members["version"], query["attributes"]
        assert isinstance(rate, int | float)
        assert isinstance(attributes, dict)
        return cls(
            str(members["command"]),
            RunQuery(
                namespace=_text(query["namespace"]),
                name=_text(query["workflow"]),
                version=_text(query["version"]),
                status=_text(query["status"]),
                error=_text(query["error"]),
                after=_moment(query["started_after"]),
                before=_moment(query["started_before"]),
                attributes={name: str(value) for name, value in attributes.items()},
            ),
            tuple(map(str, ids)) if isinstance(ids, list) else None,
            float(rate),
            str(members["reason"]),
            Wish.from_json(wish),
            _text(version),
        )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _moment(value: object) -> datetime | None:
    return datetime.fromisoformat(value) if isinstance(value, str) else None


def fits(run: RunDescription, query: RunQuery) -> bool:
    """Whether *run* is one that *query* names: of that workflow and version, begun in that time.

    A server without search attributes finds more than was asked for.
    """
    name = run.workflow
    if name is not None and name.version:
        if query.namespace not in (None, name.namespace) or query.version not in (None, name.version):
            return False
    elif query.namespace is not None or query.version is not None:
        return False
    started = run.started_at
    return (
        (query.name is None or (name is not None and name.name == query.name))
        and (query.after is None or (started is not None and started >= query.after))
        and (query.before is None or (started is not None and started < query.before))
    )


def may_fit(run: RunDescription, query: RunQuery) -> bool:
    """Whether *run* is of the namespace and version that *query* names, or of one that is not known: it was started by
    others, or is listed by a server without search attributes.
    """
    name = run.workflow
    if name is None or not name.version:
        return True
    return query.namespace in (None, name.namespace) and query.version in (None, name.version)


def is_error(wanted: str, error: JsonObject | None) -> bool:
    """Whether *error* is of the type *wanted*: the whole URI, or its last part, such as ``communication``."""
    if error is None:
        return False
    type = canonical_type(str(error.get("type")))
    return (
        wanted in (type, error.get("title")) or type == canonical_type(wanted) or type.endswith("/" + wanted)
    )


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one run: *status* is done, refused (it is not what the command is for), or failed."""

    run_id: str
    status: str
    detail: str = ""

    def to_json(self) -> JsonObject:
        return {"run": self.run_id, "status": self.status, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is: *status* is finding, running, completed, cancelled or faulted.

    *more*: there were more runs than one batch takes.
    """

    id: str
    command: str
    status: str
    total: int = 0
    done: int = 0
    refused: int = 0
    failed: int = 0
    more: bool = False
    results: Sequence[BatchResult] = field(default_factory=tuple)

    def to_json(self) -> JsonObject:
        return {
            "id": self.id,
            "command": self.command,
            "status": self.status,
            "total": self.total,
            "done": self.done,
            "refused": self.refused,
            "failed": self.failed,
            "more": self.more,
            "results": [result.to_json() for result in self.results],
        }


@dataclass(frozen=True, slots=True)
class Found:
    """The runs that a batch is about, each with what tells its present attempt; maybe there are *more*."""

    runs: Sequence[tuple[str, str]]
    more: bool


class Batches(Protocol):
    """Where batches live. Every method raises `Unavailable` when the place cannot be reached."""

    async def count(self, batch: Batch) -> Found:
        """The runs that *batch* would be about; `Rejected` for a query that means nothing."""

    async def start(self, id: str, batch: Batch) -> None:
        """Begin *batch*; again with the same id is harmless."""

    async def progress(self, id: str, offset: int, limit: int) -> BatchProgress:
        """How far a batch is, with *limit* results from *offset* on; `NotFound` when there is none."""

    async def cancel(self, id: str) -> None:
        """Let a batch end; what it has done stays done."""
