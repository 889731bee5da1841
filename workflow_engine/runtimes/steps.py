"""What a run that is watched did, as data: steps, what they evaluated and what they asked of the world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from workflow_engine.expressions.template import unwrap
from workflow_engine.values import Json, JsonObject, pointer


@dataclass(slots=True)
class Evaluated:
    """One expression, or a template, that a step evaluated: its *value*, or the *error*. *at* is where it stands."""

    at: str
    source: Json
    value: Json = None
    error: str | None = None

    def parts(self) -> Iterator[tuple[str, str, Json]]:
        """Each expression of it with its value, and where in it: what a template consists of."""
        yield from _parts(self.source, self.value, ())

    def to_json(self) -> JsonObject:
        outcome: JsonObject = {"value": self.value} if self.error is None else {"error": self.error}
        return {"at": self.at, "expression": self.source, **outcome}


def _parts(source: Json, value: Json, path: tuple[str | int, ...]) -> Iterator[tuple[str, str, Json]]:
    if isinstance(source, str):
        if "${" in source:
            inner = unwrap(source)
            yield pointer(*path), source if inner is None else inner.strip(), value
    elif isinstance(source, dict) and isinstance(value, dict):
        for key, item in source.items():
            yield from _parts(item, value.get(key), (*path, key))
    elif isinstance(source, list) and isinstance(value, list) and len(source) == len(value):
        for index, item in enumerate(source):
            yield from _parts(item, value[index], (*path, index))


@dataclass(slots=True)
class Asked:
    """What a step asked of the world, and what it got; *seconds* is None while there is no answer."""

    what: str
    place: str
    given: Json = None
    answer: Json = None
    error: str | None = None
    at: float = 0.0
    seconds: float | None = None

    def to_json(self) -> JsonObject:
        return {
            "what": self.what,
            "given": self.given,
            "answer": self.answer,
            "error": self.error,
            "seconds": self.seconds,
        }


@dataclass(slots=True)
class Step:
    """One execution of a state. Times are those of the run, in seconds since the epoch.

    *before* is its raw input, *input* what its action saw, *after* what the next state gets. *phase*: running until it
    ends, then completed, faulted, rescued (from a fault, DSL 0.8), skipped, or left (from outside). *then* says where
    the run goes from there.
    """

    number: int
    state: str
    name: str
    kind: str
    depth: int
    began: float
    before: Json = None
    input: Json = None
    after: Json = None
    context_before: Json = None
    context_after: Json = None
    variables: JsonObject = field(default_factory=dict)
    phase: str = "running"
    ended: float | None = None
    error: Json = None
    then: str | None = None
    expressions: list[Evaluated] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    unshown: int = 0

    def to_json(self) -> JsonObject:
        return {
            "number": self.number,
            "state": self.state,
            "name": self.name,
            "kind": self.kind,
            "depth": self.depth,
            "phase": self.phase,
            "began": self.began,
            "seconds": None if self.ended is None else self.ended - self.began,
            "before": self.before,
            "input": self.input,
            "after": self.after,
            "context_before": self.context_before,
            "context_after": self.context_after,
            "variables": self.variables,
            "expressions": [each.to_json() for each in self.expressions],
            "asked": [each.to_json() for each in self.asked],
            "unshown": self.unshown,
            "error": self.error,
            "then": self.then,
        }


@dataclass(slots=True)
class Total:
    """What all the executions of one state come to."""

    name: str
    kind: str
    executions: int = 0
    seconds: float = 0.0
    faults: int = 0
