"""AsyncAPI documents of every supported version, read into one model."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace as with_changes
from itertools import islice

from catalog.asyncapi import v2, v3
from catalog.asyncapi.reading import Reading, TooMuch, size
from catalog.asyncapi.structure import structure_problems
from catalog.description import Description
from catalog.errors import InvalidSpec, Problem, did_you_mean
from catalog.nodes import Limits
from catalog.schemas import VERSIONS
from catalog.source import Source, read
from catalog.values import Json

__all__ = ["describe_document", "lint"]

_MOST_PROBLEMS = 100
_DESCRIBE = {"2": v2.describe, "3": v3.describe}


def describe_document(
    text: str, *, service: str | None = None, name: str = "<text>", limits: Limits | None = None
) -> Description:
    """Read an AsyncAPI document of any supported version: a pure function of *text*.

    *service* is what its operations name as their service (default: the title); *name* is the file named in
    problems. Raises `InvalidSpec` with every problem, the first hundred in document order.
    """
    description, problems = _describe(text, service, limits)
    if description is None or any(problem.severity == "error" for problem in problems):
        raise InvalidSpec(problems, name=name)
    return description


def lint(text: str, *, limits: Limits | None = None) -> tuple[Problem, ...]:
    """Every problem of a document, warnings too, in document order; none if it is fine."""
    return _describe(text, None, limits)[1]


def _describe(
    text: str, service: str | None, limits: Limits | None
) -> tuple[Description | None, tuple[Problem, ...]]:
    try:
        source = read(text, limits)
    except InvalidSpec as error:
        return None, error.problems
    version = _version(source)
    if isinstance(version, Problem):
        return None, (*source.problems, version)
    reading = Reading(source)
    described: Description | None = None
    try:
        for problem in islice(structure_problems(source.data, version), 2 * _MOST_PROBLEMS):
            reading.problem(problem.code, problem.message, problem.pointer)
        reading.check_references()
        digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        described = _DESCRIBE[version[0]](reading.cursor(), service, digest)
        for operation in described.operations:
            reading.count(size(operation.to_json()))
    except TooMuch:
        described = None
    except RecursionError:  # the caller has left little of the stack
        described = None
        reading.problem("too-deep", "values are nested too deep to be read", "")
    problems = _in_order([*source.problems, *reading.problems])
    if described is not None:
        warnings = tuple(problem for problem in problems if problem.severity == "warning")
        described = with_changes(described, warnings=warnings)
    return described, problems


def _in_order(problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Errors are kept before warnings when there are too many."""
    most = sorted(problems, key=lambda problem: problem.severity == "warning")[:_MOST_PROBLEMS]
    return tuple(sorted(most, key=lambda problem: (problem.line, problem.column)))


def _version(source: Source) -> str | Problem:
    def problem(code: str, message: str, pointer: str = "") -> Problem:
        return Problem(code, message, pointer, *source.place(pointer))

    data: Json = source.data
    if not isinstance(data, dict):
        return problem("not-asyncapi", "the document is not an object; an AsyncAPI document is")
    version = data.get("asyncapi")
    known = f"{VERSIONS[0]} to {VERSIONS[6]}, {VERSIONS[7]} and {VERSIONS[8]} are understood"
    if version is None:
        other = next((name for name in ("openapi", "swagger", "arazzo") if name in data), None)
        hint = (
            f"; it is an {other} document"
            if other
            else did_you_mean("asyncapi", data).replace("did", "; did", 1)
        )
        return problem(
            "not-asyncapi", f"the document does not say its AsyncAPI version (asyncapi: {VERSIONS[-1]}){hint}"
        )
    if not isinstance(version, str) or version not in VERSIONS:
        return problem("unsupported-version", f"AsyncAPI {version!r} is not supported: {known}", "/asyncapi")
    return version
