"""Files of scenarios for ``wfe test``: what a workflow is given, what answers its calls, what must come of it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from typing import Any

from dsl_schemas import schema
from workflow_engine import expressions
from workflow_engine.cli.inputs import read_bytes
from workflow_engine.dsl.report import Full, Report
from workflow_engine.dsl.rules import compile_rules
from workflow_engine.dsl.scalar_rules import Check
from workflow_engine.dsl.source import Limits, Source, load
from workflow_engine.errors import Error, InvalidDocument, Problem, canonical_type
from workflow_engine.runtimes.answers import Answer
from workflow_engine.standalone import Coming
from workflow_engine.values import Duration, Json, JsonObject, pointer

HOLDS = frozenset({"calls", "events", "states", "status", "error"})
"""What an expression of ``holds`` may name besides the output, which is ``.``."""
_BEGINNING = datetime(2030, 1, 1, tzinfo=UTC)
"""When virtual clocks begin where nothing else is said: the same in each run of a test."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come of a scenario; what is None, or absent from *members*, is free.

    *members* is ``expect`` as it is written. *holds* are its conditions, compiled. Times are in seconds.
    """

    members: JsonObject
    status: str
    holds: Sequence[tuple[str, expressions.Expression]] = ()
    within: float | None = None
    not_before: float | None = None

    @property
    def names(self) -> set[str]:
        """The states that it names: one that is not there would never be visited, and that is no news."""
        members: Any = self.members
        listed = [name for part in ("states", "visits", "avoids") for name in members.get(part, ())]
        return {*listed, *(each["state"] for each in members.get("calls", ()))}


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario, at *line* of its file."""

    name: str
    line: int
    input: Json
    events: Sequence[Coming]
    answers: Mapping[str, Answer | Sequence[Answer]]
    secrets: JsonObject
    now: datetime
    expected: Expected


@dataclass(frozen=True, slots=True)
class Scenarios:
    """A file of scenarios; the *workflow* and the other files are named relative to it."""

    file: str
    workflow: str
    workflows: Sequence[str]
    catalog: Sequence[str]
    scenarios: Sequence[Scenario]


def read_scenarios(file: str) -> Scenarios:
    """Read a file of scenarios; `InvalidDocument` has all that is wrong with it, in its order."""
    source = load(read_bytes(file, Limits().bytes), name=file)
    if isinstance(source.data, dict) and source.data.keys() & {"document", "specVersion"}:
        message = "expected a file of scenarios, which names its workflow (docs/testing.md), got a workflow"
        raise InvalidDocument([Problem("wrong-type", message, "", 1, 1)], name=file)
    report = Report(source)
    with suppress(Full):
        _rules()(source.data, None, report)
    problems = report.problems()
    if problems:
        raise InvalidDocument(problems, name=file)
    assert isinstance(source.data, dict)
    reader = _Reader(source)
    found = reader.scenarios(source.data)
    if reader.problems:
        raise InvalidDocument(reader.problems, name=file)
    data: Any = source.data
    return Scenarios(file, data["workflow"], data.get("workflows", ()), data.get("catalog", ()), found)


@cache
def _rules() -> Check:
    return compile_rules(schema("workflow-test"))


class _Reader:
    """Reads what the schema has found to be right; expressions and names may be wrong still."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.problems: list[Problem] = []

    def _problem(self, code: str, message: str, *path: str | int) -> None:
        place = pointer(*path)
        self.problems.append(Problem(code, message, place, *self._source.positions.value(place)))

    def scenarios(self, data: dict[str, Any]) -> list[Scenario]:
        common = self._answers(data.get("calls", {}), "calls")
        found: list[Scenario] = []
        for number, each in enumerate(data["scenarios"]):
            path = ("scenarios", number)
            if any(each["name"] == other.name for other in found):
                message = f"there is a scenario {each['name']!r} already"
                self._problem("duplicate-name", message, *path, "name")
            found.append(
                Scenario(
                    each["name"],
                    self._source.positions.value(pointer(*path))[0],
                    each.get("input", {}),
                    [
                        self._coming(event, *path, "events", at)
                        for at, event in enumerate(each.get("events", ()))
                    ],
                    {**common, **self._answers(each.get("calls", {}), *path, "calls")},
                    {**data.get("secrets", {}), **each.get("secrets", {})},
                    _moment(each.get("now") or data.get("now")),
                    self._expected(each.get("expect", {}), *path, "expect"),
                )
            )
        return found

    def _coming(self, given: dict[str, Any], *path: str | int) -> Coming:
        for name in ("type", "source"):
            if name not in given["event"]:
                message = f"the event has no {name!r}, which every CloudEvent needs"
                self._problem("missing-property", message, *path, "event")
        event = {"specversion": "1.0", "id": str(uuid.uuid4()), **given["event"]}
        return Coming(event, _seconds(given.get("after", "PT0S")), given.get("channel", "default"))

    def _answers(self, given: dict[str, Any], *path: str | int) -> dict[str, Answer | Sequence[Answer]]:
        return {
            name: [self._answer(item, *path, name, number) for number, item in enumerate(answer)]
            if isinstance(answer, list)
            else self._answer(answer, *path, name)
            for name, answer in given.items()
        }

    def _answer(self, given: dict[str, Any], *path: str | int) -> Answer:
        try:
            expressions.template(given.get("output"), variables=())
        except expressions.ExpressionError as wrong:
            self._problem("invalid-expression", str(wrong), *path, "output")
        error = None
        if "error" in given:
            members = {"type": "runtime", **given["error"]}
            error = Error.from_json(members)
            error = replace(error, type=canonical_type(error.type))
        return Answer(
            given.get("output"), error, given.get("never", False), _seconds(given.get("takes", "PT0S"))
        )

    def _expected(self, given: dict[str, Any], *path: str | int) -> Expected:
        holds = []
        for number, text in enumerate(given.get("holds", ())):
            try:
                holds.append((text, expressions.expression_slot(text, variables=HOLDS)))
            except expressions.ExpressionError as wrong:
                self._problem("invalid-expression", str(wrong), *path, "holds", number)
        if "error" in given and given.get("status", "faulted") != "faulted":
            message = (
                f"`error` is of a run that is faulted, and `status` is {given['status']}; keep one of them"
            )
            self._problem("conflicting-properties", message, *path, "error")
        elif "output" in given and ("error" in given or given.get("status", "completed") != "completed"):
            status = given.get("status", "faulted")
            message = f"`output` is of a run that is completed, and it is expected to be {status}"
            self._problem("conflicting-properties", message, *path, "output")
        status = given.get("status") or ("faulted" if "error" in given else "completed")
        within, before = (given.get(name) for name in ("within", "notBefore"))
        return Expected(
            given,
            status,
            holds,
            None if within is None else _seconds(within),
            None if before is None else _seconds(before),
        )


def _seconds(text: str) -> float:
    return Duration.parse(text).seconds_from(_BEGINNING)


def _moment(text: str | None) -> datetime:
    return _BEGINNING if text is None else datetime.fromisoformat(text).astimezone(UTC)
