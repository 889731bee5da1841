"""What a migration says of itself: what each state became, what means something else, what 1.0 cannot say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from workflow_engine.values import Json, JsonObject

Kind = Literal["differs", "cannot"]


@dataclass(frozen=True, slots=True)
class Note:
    """Something at *pointer* of the 0.8 document that the new one says otherwise, or cannot say.

    With ``differs`` the outputs and the calls are the same wherever *message* does not say more. With ``cannot``
    the new document leaves it out. *suggestion* is what its author can do.
    """

    kind: Kind
    pointer: str
    message: str
    suggestion: str = ""

    def to_json(self) -> JsonObject:
        found: JsonObject = {"kind": self.kind, "pointer": self.pointer, "message": self.message}
        return {**found, "suggestion": self.suggestion} if self.suggestion else found


@dataclass(slots=True)
class StateReport:
    """What became of one state: *tasks* are names in the ``do`` of the workflow, *mapped* says it in words."""

    name: str
    pointer: str
    type: str
    tasks: list[str] = field(default_factory=list)
    mapped: list[str] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    side_by_side: bool = False
    """Whether its calls are made side by side, by DSL 0.8 or 1.0, so that their order means nothing."""

    def to_json(self) -> JsonObject:
        notes: list[Json] = [note.to_json() for note in self.notes]
        return {
            "state": self.name,
            "pointer": self.pointer,
            "type": self.type,
            "tasks": [*self.tasks],
            "mapped": [*self.mapped],
            "notes": notes,
        }


@dataclass(slots=True)
class Report:
    """The whole of it; *notes* are those that belong to no state."""

    states: list[StateReport] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    unordered: bool = False
    """Whether something is called that 0.8 does not wait for, so that no order of calls means anything."""

    def every(self) -> list[Note]:
        """The notes of the workflow and of its states, in the order of the document."""
        return [*self.notes, *(note for state in self.states for note in state.notes)]

    def of(self, kind: Kind) -> list[Note]:
        return [note for note in self.every() if note.kind == kind]

    def to_json(self) -> JsonObject:
        return {
            "notes": [note.to_json() for note in self.notes],
            "states": [state.to_json() for state in self.states],
        }

    def lines(self) -> Iterator[str]:
        """The report for people: one paragraph for each state."""
        if self.notes:
            yield "workflow"
            yield from _notes(self.notes)
        for state in self.states:
            tasks = ", ".join(map(repr, state.tasks)) or "nothing"
            yield f"{state.type} state {state.name!r} ({state.pointer}) -> {tasks}"
            yield from (f"  mapped: {line}" for line in state.mapped)
            yield from _notes(state.notes)
        differs, cannot = len(self.of("differs")), len(self.of("cannot"))
        yield (
            f"{len(self.states)} states; {differs} notes of a changed meaning; {cannot} of what 1.0 cannot say"
        )


def _notes(notes: list[Note]) -> Iterator[str]:
    for note in notes:
        word = "differs" if note.kind == "differs" else "CANNOT BE SAID"
        yield f"  {word}: {note.message} ({note.pointer or '/'})"
        if note.suggestion:
            yield f"    {note.suggestion}"


@dataclass(frozen=True, slots=True)
class Migrated:
    """A DSL 1.0 document as data, keys in the order to read them in, and the report about it."""

    document: JsonObject
    report: Report
