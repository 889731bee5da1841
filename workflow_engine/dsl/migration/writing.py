"""What every part of a migration uses: expressions as 1.0 has them, names for tasks, notes, and tasks in order."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from workflow_engine import expressions
from workflow_engine.dsl.migration import jq
from workflow_engine.dsl.migration.report import Kind, Note, Report, StateReport
from workflow_engine.dsl.v0_8.sonataflow import PATH
from workflow_engine.dsl.v0_8.variables import CONSTANTS
from workflow_engine.dsl.v0_8.workflow import WorkflowLowering
from workflow_engine.expressions import members, translated
from workflow_engine.values import Duration, Json, JsonObject

Tasks: TypeAlias = "list[tuple[str, JsonObject]]"
"""Named tasks, one after the other."""

DIRECTIVES = frozenset({"continue", "exit", "end"})
_ORDER = (
    *(
        "if",
        "input",
        "metadata",
        "for",
        "while",
        "try",
        "do",
        "call",
        "with",
        "emit",
        "fork",
        "listen",
        "raise",
    ),
    *("run", "set", "switch", "wait", "catch", "output", "export", "timeout", "then"),
)
"""In what order the parts of a task are read best."""
_SECRETS = re.compile(r"\$SECRETS?\b")
_SLUG = re.compile(r"[^a-zA-Z0-9]+")


@dataclass(frozen=True, slots=True)
class Lens:
    """Where the state data is in what flows through a list of tasks: it is all of it, or its member ``data``."""

    whole: bool = True

    @property
    def data(self) -> str:
        return "." if self.whole else ".data"


WHOLE, PART = Lens(), Lens(whole=False)


class Writer:
    """A 0.8 document that is being written anew; *lowering* has its definitions and knows its expressions."""

    def __init__(self, lowering: WorkflowLowering) -> None:
        self.lowering = lowering
        self.report = Report()
        self.state: StateReport | None = None
        self.variables: frozenset[str] = frozenset()
        """Variables of the loop around what is being written: its element."""
        self.secrets: set[str] = set()
        self.authentications: set[str] = set()
        constants = lowering.data.get("constants")
        self.constants: JsonObject = constants if isinstance(constants, dict) else {}

    # --- the report ---------------------------------------------------------------------------------------

    def note(self, kind: Kind, at: str, message: str, suggestion: str = "") -> None:
        """Say something once, of the state that is being written or else of the workflow."""
        notes = self.report.notes if self.state is None else self.state.notes
        made = Note(kind, at, message, suggestion)
        if made not in notes:
            notes.append(made)

    def differs(self, at: str, message: str, suggestion: str = "") -> None:
        self.note("differs", at, message, suggestion)

    def cannot(self, at: str, message: str, suggestion: str = "") -> None:
        self.note("cannot", at, message, suggestion)

    def time_for_events(self, body: JsonObject) -> bool:
        """Whether the state *body* has a time in which its events must come, of its own or of the workflow."""
        given = (body.get("timeouts"), self.lowering.data.get("timeouts"), body)
        return any(isinstance(part, dict) and "eventTimeout" in part for part in given)

    def mapped(self, text: str) -> None:
        if self.state is not None and text not in self.state.mapped:
            self.state.mapped.append(text)

    # --- expressions --------------------------------------------------------------------------------------

    def source(self, text: Json, at: str) -> str:
        """The jq of an expression, with the constants that it names before it."""
        return self._bound(self.lowering.expression(text, CONSTANTS | self.variables, at).source)

    def one(self, text: Json, at: str) -> str:
        """As `source`, so that it can stand in a larger expression."""
        return self.embedded(self.source(text, at))

    def embedded(self, source: str) -> str:
        return jq.one(source, self.variables | {"secrets", "workflow"})

    def condition(self, text: Json, at: str) -> str:
        """The jq of an expression that holds or does not."""
        return self._bound(self.lowering.condition(text, CONSTANTS | self.variables, at).source)

    def value(self, value: Json, at: str) -> Json:
        """A value with expressions inside."""
        return self._translated(self.lowering.template(value, CONSTANTS | self.variables, at).source)

    def _translated(self, value: Json) -> Json:
        if isinstance(value, dict):
            return {key: self._translated(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._translated(item) for item in value]
        if isinstance(value, str):
            return translated(value, lambda source: f" {self._bound(source).strip()}{_end(source)}")
        return value

    def _bound(self, source: str) -> str:
        for _, name in members(f"${{{source}\n}}", ("SECRETS", "SECRET")):
            if name is not None:
                self.secrets.add(name)
        source = self._told(_SECRETS.sub("$secrets", source))
        used = [name for _, name in members(f"${{{source}\n}}", CONSTANTS)]
        if not used:
            return source.strip("\n")
        known: JsonObject = {name: self.constants.get(name) for name in used if name is not None}
        if None in used:
            known = self.constants
        return f"{jq.literal(known)} as $CONST | {source.strip()}" + ("\n" if "#" in source else "")

    def _told(self, source: str) -> str:
        """*source* with what SonataFlow tells of a run as 1.0 has it."""
        if "$WORKFLOW" not in source:
            return source
        data = self.lowering.data
        id = str(data.get("id", data.get("key")))
        known = {
            "instanceId": "$workflow.id",
            "input": "$workflow.input",
            "id": jq.literal(id),
            "name": jq.literal(str(data.get("name") or id)),
            "version": jq.literal(str(data.get("version") or "1.0")),
        }
        for name, instead in known.items():
            source = re.sub(rf"\$WORKFLOW\.{name}\b", instead.replace("\\", r"\\"), source)
        if "$WORKFLOW" in source:
            message = "what SonataFlow tells of a run is not there in 1.0: `$WORKFLOW` is an empty object now"
            self.cannot("" if self.state is None else self.state.pointer, message)
            source = source.replace("$WORKFLOW", "({})")
        return source

    def duration(self, value: Json, at: str) -> Json:
        """A duration as 1.0 has it: days and weeks stand before the ``T``."""
        text = str(value)
        inner = expressions.unwrap(text)
        if inner is not None or PATH.fullmatch(text):
            return jq.slot(self.source(text, at))
        if re.search(r"T.*[DW]", text, re.IGNORECASE):
            length = Duration.parse(text)
            return {"months": length.months} if length.months else {"seconds": int(length.seconds)}
        return text.strip()

    def timeout(self, value: Json, at: str) -> JsonObject:
        return {"after": self.duration(value, at)}


def _end(source: str) -> str:
    return "\n" if "#" in source else " "


def task(**parts: Json) -> JsonObject:
    """A task with its parts in the order that people read them in; those that are None are left out."""
    given: JsonObject = {key.rstrip("_"): value for key, value in parts.items() if value is not None}
    return ordered(given)


def ordered(given: JsonObject) -> JsonObject:
    """*given* with its keys in the order of reading."""
    known = [key for key in _ORDER if key in given]
    return {key: given[key] for key in [*known, *(key for key in given if key not in known)]}


def do(tasks: Tasks) -> list[Json]:
    """*tasks* as a list of the document: no two have one name."""
    listed: list[Json] = []
    used: set[str] = set()
    for name, body in tasks:
        mine = unused(name, used)
        listed.append({mine: ordered(body)})
    return listed


def unused(name: str, used: set[str]) -> str:
    """*name*, or something like it that is not in *used* and is no directive; it is in there then."""
    plain = name.strip() or "task"
    if plain in DIRECTIVES:
        plain += " state"
    found, number = plain, 2
    while found in used:
        found, number = f"{plain} {number}", number + 1
    used.add(found)
    return found


def slug(text: str, *, most: int = 63) -> str:
    """*text* as the name of a workflow of DSL 1.0 may be: letters, digits and hyphens."""
    return _SLUG.sub("-", text).strip("-")[:most].strip("-") or "workflow"


def version(text: str) -> str:
    """*text* as a semantic version: ``1.0`` is ``1.0.0``."""
    found = re.fullmatch(r"v?(\d+)(?:\.(\d+))?(?:\.(\d+))?([-+][0-9A-Za-z.+-]+)?", text.strip())
    if found is None:
        return "1.0.0"
    numbers = [str(int(part or 0)) for part in found.groups()[:3]]
    return ".".join(numbers) + (found[4] or "")


def steps(parts: Iterable[str]) -> str:
    """Programs one after the other, each on what the one before gives."""
    return " | ".join(part for part in parts if part and part != ".") or "."
