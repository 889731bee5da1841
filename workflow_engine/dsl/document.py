"""A workflow document: text that was read, in a dialect, and valid by that dialect's schema."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal, NamedTuple, TypeAlias

from dsl_schemas import schema
from workflow_engine.dsl import earlier_scalars
from workflow_engine.dsl.manifests import unwrapped
from workflow_engine.dsl.report import Full, Report
from workflow_engine.dsl.rules import compile_rules
from workflow_engine.dsl.scalar_rules import Check
from workflow_engine.dsl.scalar_text import place
from workflow_engine.dsl.source import Limits, Positions, Source, read_source
from workflow_engine.dsl.wording import kind
from workflow_engine.errors import Problem
from workflow_engine.values import JsonObject, resolve_pointer

__all__ = ["Dialect", "Document", "Limits", "Reading", "read"]

Dialect: TypeAlias = Literal["1.0", "0.8"]


@dataclass(frozen=True, slots=True)
class Document:
    """What an author wrote, valid by the schema of its *dialect*.

    *data* is shared and not to be changed. *warnings* are what the schema check found worth saying.
    """

    dialect: Dialect
    data: JsonObject
    positions: Positions
    name: str
    text: str
    warnings: tuple[Problem, ...] = ()

    def problem(self, code: str, message: str, pointer: str, severity: str = "error") -> Problem:
        """A problem of the value at *pointer*, placed at its key (at the value itself for an item of a list)."""
        line, column = self.positions.key(pointer)
        return Problem(code, message, pointer, line, column, severity)

    def problem_in(self, code: str, message: str, pointer: str, offset: int) -> Problem:
        """A problem of the character at *offset* of the string at *pointer*, placed where it stands in the text."""
        line, column = self.positions.value(pointer)
        with suppress(LookupError):
            value = resolve_pointer(self.data, pointer)
            found = place(self.text, line, column, value, offset) if isinstance(value, str) else None
            if found is not None:
                return Problem(code, message, pointer, *found)
        return self.problem(code, message, pointer)


class Reading(NamedTuple):
    """What was read: *problems* of text and form, and the *document*, of wrong form unless it is *sound*.

    None: the text could not be read, or is in neither dialect.
    """

    document: Document | None
    problems: list[Problem]
    sound: bool


def read(text: str | bytes, *, name: str = "<text>", limits: Limits = Limits()) -> Reading:  # noqa: B008 - frozen
    """Read a workflow in DSL 1.0 or 0.8, written in YAML or JSON; *name* is what errors call it.

    Problems are in document order; references and expressions are left to the compiler.
    """
    source, unreadable = read_source(text, limits=limits)
    if source is None:
        return Reading(None, unreadable, sound=False)
    manifest = unwrapped(source)
    source = manifest or source
    report = Report(source)
    if manifest is not None:
        message = "a manifest of SonataFlow's operator: its `spec.flow` is read, as a document of its own"
        report.add("earlier-form", message, None, severity="warning")
    dialect = _dialect(source, report)
    if dialect is not None:
        with suppress(Full):  # the report says that there may be more
            if dialect == "0.8" and isinstance(source.data, dict):
                earlier_scalars.read(source.data, report)
            _rules(dialect)(source.data, None, report)
    problems = report.problems()
    if unreadable:
        at = "/spec/flow" if manifest is not None else ""
        unreadable = [replace(each, pointer=each.pointer.removeprefix(at)) for each in unreadable]
        problems = [each for each in problems if not _follows(each, unreadable)]
        problems = sorted([*unreadable, *problems], key=lambda each: (each.line, each.column))
    sound = not any(problem.severity == "error" for problem in problems)
    if dialect is None or not isinstance(source.data, dict):
        return Reading(None, problems, sound=False)
    document = Document(dialect, source.data, source.positions, name, source.text, tuple(problems))
    return Reading(document, problems, sound)


def _follows(problem: Problem, unreadable: list[Problem]) -> bool:
    """Whether *problem* may be there only because something at its place could not be read as it is written."""
    return any(
        problem.pointer in (each.pointer, each.pointer.rpartition("/")[0])
        or problem.pointer.startswith(each.pointer + "/")
        for each in unreadable
    )


def problems_of(document: Document) -> list[Problem]:
    """What the schema finds wrong with the data of *document*, which may have changed since it was parsed."""
    report = Report(Source(document.data, document.positions, document.text))
    with suppress(Full):
        _rules(document.dialect)(document.data, None, report)
    return report.problems()


@cache
def _rules(dialect: Dialect) -> Check:
    return compile_rules(schema(f"serverless-workflow-{dialect}"))


_OTHERS = {
    "asyncapi": "an AsyncAPI document: `wfe catalog add` makes its operations known",
    "openapi": "an OpenAPI document, whose operations a workflow calls by `call: openapi`",
    "swagger": "an OpenAPI document, whose operations a workflow calls by `call: openapi`",
    "scenarios": "a file of scenarios, which `wfe test` runs",
    "target": "a subscription: `wfe subscriptions put ID FILE` makes it",
}
"""What else authors have in files, by a member that it has."""


def _dialect(source: Source, report: Report) -> Dialect | None:
    """By ``document`` for 1.0, by ``specVersion`` or ``states`` for 0.8; None if that cannot be told."""
    data = source.data
    if not isinstance(data, dict):
        report.add("wrong-type", f"expected a workflow, which is an object, got {kind(data)}", None)
        return None
    newer = "document" in data or ("do" in data and "states" not in data)
    older = "specVersion" in data or "states" in data
    if newer and not older:
        return "1.0"
    if older and not newer:
        if "specVersion" not in data:
            message = "no `specVersion` says which version of the DSL this is; write specVersion: '0.8'"
            report.add("missing-version", message, None, severity="warning")
        return "0.8"
    if newer:
        one = next(name for name in ("document", "do") if name in data)
        other = next(name for name in ("specVersion", "states") if name in data)
        message = f"this has both `{one}` (DSL 1.0) and `{other}` (DSL 0.8); keep one of them"
    elif file := next((hint for name, hint in _OTHERS.items() if name in data), None):
        message = f"this is no workflow but {file}"
    else:
        message = (
            "nothing says which DSL this is; write `document: {dsl: '1.0.3', namespace: ..., name: ..., version: ...}` "
            "and `do`, or for DSL 0.8 `id`, `specVersion: '0.8'` and `states`"
        )
    report.add("unknown-dialect", message, None)
    return None
