"""The error tree. Each error says whose it is.

::

    For the author of a workflow   InvalidDocument(ValueError)     problems: code, message, place; all at once
    For the workflow itself        Fault(Exception)                error: RFC 9457 data, for the nearest `try`
    For the caller of the engine   NotFound(LookupError)
                                   Conflict(ValueError)
                                   Rejected(ValueError)            a request that is wrong in itself
                                   Unavailable(ConnectionError)    a part of the system cannot be reached
    For us                         anything else                   a bug: parks the run, never ends it
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from workflow_engine.values import JsonObject


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document.

    *pointer* is an RFC 6901 pointer into the document; *line* and *column* count from 1 and are 0 where
    there is no place. *severity* is ``error`` or ``warning``; a document with warnings alone is valid.
    """

    code: str
    message: str
    pointer: str = ""
    line: int = 0
    column: int = 0
    severity: str = "error"

    def render(self, file: str) -> str:
        """``file:line:col: code: message``, the form that editors and CI understand."""
        place = f"{file}:{self.line}:{self.column}" if self.line else file
        kind = "" if self.severity == "error" else f"{self.severity}: "
        return f"{place}: {kind}{self.code}: {self.message}"

    def to_json(self) -> JsonObject:
        return {
            "code": self.code,
            "message": self.message,
            "pointer": self.pointer,
            "line": self.line,
            "column": self.column,
            "severity": self.severity,
        }


class InvalidDocument(ValueError):
    """A document that cannot be run; *problems* has every reason, in document order."""

    def __init__(self, problems: Iterable[Problem], *, name: str = "<text>") -> None:
        self.problems = tuple(problems)
        self.name = name
        super().__init__("\n".join(problem.render(name) for problem in self.problems))


ERRORS = "https://serverlessworkflow.io/spec/1.0.0/errors/"
"""Where the standard error types live in what this engine raises (decision A21)."""

STANDARD_STATUS = {
    "configuration": 400,
    "validation": 400,
    "expression": 400,
    "authentication": 401,
    "authorization": 403,
    "timeout": 408,
    "communication": 500,
    "runtime": 500,
}
_TITLES = {
    "configuration": "Configuration Error",
    "validation": "Validation Error",
    "expression": "Expression Error",
    "authentication": "Authentication Error",
    "authorization": "Authorization Error",
    "timeout": "Timeout Error",
    "communication": "Communication Error",
    "runtime": "Runtime Error",
}
_ALIASES = re.compile(
    r"https://(?:serverlessworkflow\.io(?:\.io)?|open-workflow-specification\.org)"
    r"/(?:dsl/errors/types|spec/1\.0\.0/errors)/(\w+)"
)


def canonical_type(type: str) -> str:
    """Fold every spelling of a standard error type into the one this engine raises (decision A21).

    The specification, its conformance features and its renamed successor spell them in three ways; a
    bare last segment (``communication``) is understood too. Other types come back as they are.
    """
    if type in STANDARD_STATUS:
        return ERRORS + type
    match = _ALIASES.fullmatch(type)
    return ERRORS + match[1] if match else type


@dataclass(frozen=True, slots=True)
class Error:
    """RFC 9457 problem details of a fault; *instance* is the pointer of the state that raised it."""

    type: str
    status: int
    title: str | None = None
    detail: str | None = None
    instance: str | None = None

    def to_json(self) -> JsonObject:
        """The members that are set: an absent `detail` is left out, never null."""
        members: JsonObject = {"type": self.type, "status": self.status}
        for name in ("title", "detail", "instance"):
            value = getattr(self, name)
            if value is not None:
                members[name] = value
        return members

    @classmethod
    def from_json(cls, members: JsonObject) -> Error:
        status = members.get("status")
        return cls(
            type=str(members.get("type", ERRORS + "runtime")),
            status=status if isinstance(status, int) else 500,
            title=_text(members, "title"),
            detail=_text(members, "detail"),
            instance=_text(members, "instance"),
        )


def _text(members: JsonObject, name: str) -> str | None:
    value = members.get(name)
    return value if isinstance(value, str) else None


class Fault(Exception):
    """A workflow error on its way to the nearest catch. Its `error` is data; nothing else is carried."""

    def __init__(self, error: Error) -> None:
        super().__init__(f"{error.title or error.type} ({error.status}): {error.detail or ''}".rstrip(": "))
        self.error = error

    def at(self, instance: str) -> Fault:
        """This fault with *instance* as its place, unless it already has one (decision A30)."""
        return self if self.error.instance is not None else Fault(replace(self.error, instance=instance))


def fault(
    kind: str,
    detail: str,
    *,
    status: int | None = None,
    instance: str | None = None,
    title: str | None = None,
) -> Fault:
    """A fault of a standard *kind*: configuration, validation, expression, authentication, authorization,
    timeout, communication or runtime. *status* defaults to the one the specification gives the kind, *title* to the
    kind's own.
    """
    titled = title or _TITLES[kind]
    return Fault(Error(ERRORS + kind, status or STANDARD_STATUS[kind], titled, detail, instance))


class NotFound(LookupError):
    """Nothing of this *kind* has this *id*."""

    def __init__(self, kind: str, id: str, hint: str = "") -> None:
        self.kind, self.id, self.hint = kind, id, hint
        super().__init__(f"no {kind} {id!r}" + (f"; {hint}" if hint else ""))


class Conflict(ValueError):
    """The request contradicts what is already there; the message says with what, and what to do."""


class Rejected(ValueError):
    """A request that is wrong in itself: *code* names the rule, *message* says what to change.

    *pointer* is the place in the request's body, where there is one; *problems* are the reasons, where there are some.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        pointer: str = "",
        status: int = 400,
        problems: Iterable[Problem] = (),
    ) -> None:
        self.code, self.pointer, self.status, self.problems = code, pointer, status, tuple(problems)
        super().__init__(message)


class Unavailable(ConnectionError):
    """A part of the system cannot be reached; the message names the part and where it was expected."""
