"""The errors of the catalog. Each says whose it is.

::

    For the author of a document   InvalidSpec(ValueError)        problems: code, message, place; all at once
    For the caller                 NotFound(LookupError)          nothing has this name
                                   Conflict(ValueError)           it contradicts what is already there
                                   InvalidReference(ValueError)   it cannot be read as a reference
                                   InvalidMessage(ValueError)     a message lacks what its operation needs
                                   Denied(PermissionError)        the token is missing or wrong
                                   Unavailable(ConnectionError)   the catalog cannot be reached
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from catalog.values import JsonObject


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a document.

    *pointer* is an RFC 6901 pointer into it; *line* and *column* count from 1 and are 0 where there is no
    place. *severity* is ``error`` or ``warning``; a document with warnings alone is valid.
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


class InvalidSpec(ValueError):
    """A document that the catalog does not take; *problems* has every reason, in document order."""

    def __init__(self, problems: Iterable[Problem], *, name: str = "<text>") -> None:
        self.problems = tuple(problems)
        self.name = name
        super().__init__("\n".join(problem.render(name) for problem in self.problems))


class NotFound(LookupError):
    """Nothing of this *kind* has this *id*."""

    def __init__(self, kind: str, id: str, hint: str = "") -> None:
        self.kind, self.id, self.hint = kind, id, hint
        super().__init__(f"no {kind} {id!r}" + (f"; {hint}" if hint else ""))


class Conflict(ValueError):
    """The request contradicts what is already there; the message says with what, and what to do."""


class InvalidReference(ValueError):
    """Text that should name an operation and does not; the message says how to write one."""


class InvalidMessage(ValueError):
    """A message, or a parameter of its address, lacks what its operation needs."""


class Denied(PermissionError):
    """The catalog wants a token, or another one."""


class Unavailable(ConnectionError):
    """The catalog cannot be reached; the message names its URL."""


def did_you_mean(wanted: str, known: Iterable[str]) -> str:
    """``did you mean 'x'?`` when a *known* name is close to the *wanted* one, else an empty string."""
    close = get_close_matches(wanted, sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""
