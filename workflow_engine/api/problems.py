"""Errors on the wire: each becomes RFC 9457 problem details, and becomes the same error again in a client.

The ``type`` of a problem is ``urn:wfe:problem:`` and its code, which never changes; ``title`` and ``detail``
are for people. Besides the members of the RFC there are, where they are known:

* ``problems``          everything wrong with a document or the parameters: code, message, pointer, line, column
* ``pointer``           RFC 6901 pointer of the place in the request's body
* ``kind, id, hint``    what was not found
* ``request_id``        what to look for in the log of the server, when the fault is ours
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from workflow_engine.errors import Conflict, Fault, InvalidDocument, NotFound, Problem, Rejected, Unavailable
from workflow_engine.values import Json, JsonObject

MEDIA_TYPE = "application/problem+json"
URN = "urn:wfe:problem:"
RETRY_SECONDS = 2
"""What a caller is asked to wait when a part of the system cannot be reached."""


@dataclass(frozen=True, slots=True)
class Details:
    """A problem before it has a place: *code* is the tail of its type, *members* are the extensions."""

    status: int
    code: str
    detail: str
    members: JsonObject = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def to_json(self, instance: str) -> JsonObject:
        """The body of an answer to the request for *instance*, a path."""
        return {
            "type": URN + self.code,
            "title": self.code.replace("-", " ").capitalize(),
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
            **self.members,
        }


def details(error: Exception) -> Details | None:
    """What a caller is told of *error*; ``None`` for an exception that is not of the error tree: our bug."""
    match error:
        case InvalidDocument():
            problems = error.problems
            too_large = any(problem.code == "too-large" for problem in problems)
            members: JsonObject = {"problems": [problem.to_json() for problem in problems]}
            return Details(413 if too_large else 400, "invalid-document", _summary(problems), members)
        case Rejected():
            place: JsonObject = {"pointer": error.pointer} if error.pointer else {}
            if error.problems:
                place["problems"] = [problem.to_json() for problem in error.problems]
            return Details(error.status, error.code, str(error), place)
        case NotFound():
            missing: JsonObject = {"kind": error.kind, "id": error.id, "hint": error.hint}
            return Details(404, "not-found", str(error), missing)
        case Conflict():
            return Details(409, "conflict", str(error))
        case Unavailable():
            return Details(503, "unavailable", str(error), headers={"Retry-After": str(RETRY_SECONDS)})
        case Fault():
            return Details(400, "fault", str(error), {"error": error.error.to_json()})
        case _:
            return None


def _summary(problems: Sequence[Problem]) -> str:
    errors = [problem for problem in problems if problem.severity == "error"] or problems
    if not errors:
        return "the document is not valid"
    first = errors[0]
    place = f" (line {first.line}, column {first.column})" if first.line else ""
    more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
    return f"{first.message}{place}{more}"


def restore(status: int, members: Mapping[str, Json], url: str) -> Exception:
    """The error that an answer of *status* with problem details *members* stands for.

    `Unavailable`, naming *url*, for every status from 500 up.
    """
    code = str(members.get("type", "")).removeprefix(URN) or "unknown"
    detail = str(members.get("detail") or members.get("title") or f"status {status}")
    if status >= 500:
        request = members.get("request_id")
        hint = f" (its log has more, under {request})" if request else ""
        return Unavailable(f"{url} answered {status}: {detail}{hint}")
    if code == "invalid-document":
        return InvalidDocument(_problems(members.get("problems")))
    if code == "not-found" and "kind" in members:
        return NotFound(str(members["kind"]), str(members.get("id", "")), str(members.get("hint", "")))
    if code == "conflict":
        return Conflict(detail)
    pointer, problems = str(members.get("pointer", "")), _problems(members.get("problems"))
    return Rejected(code, detail, pointer=pointer, status=status, problems=problems)


def _problems(given: Json) -> Iterable[Problem]:
    for item in given if isinstance(given, list) else []:
        if isinstance(item, dict):
            line, column = item.get("line"), item.get("column")
            yield Problem(
                code=str(item.get("code", "")),
                message=str(item.get("message", "")),
                pointer=str(item.get("pointer", "")),
                line=line if isinstance(line, int) else 0,
                column=column if isinstance(column, int) else 0,
                severity=str(item.get("severity", "error")),
            )
