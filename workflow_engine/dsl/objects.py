"""The check of an object: which properties it lacks, which it should not have, and which exclude each other.

All that a schema says about one object is looked at together, its parts (bases, and the branches of its
conditions) included, so that one mistake is one problem: a misspelled property is not missing as well, and
what stands beside an unknown keyword is not judged.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple, TypeAlias

from workflow_engine.dsl.report import MAX_PROBLEMS, Path, Report
from workflow_engine.dsl.scalar_rules import Check
from workflow_engine.dsl.wording import closest, kind, listing, ticked
from workflow_engine.values import Json

Object: TypeAlias = "dict[str, Json]"
Predicate: TypeAlias = Callable[[Object], bool]


class Branch(NamedTuple):
    """Taken by an object that has *property* and not *unless*."""

    property: str
    unless: str | None

    def taken(self, value: Object) -> bool:
        return self.property in value and (self.unless is None or self.unless not in value)


class Choice(NamedTuple):
    """Of several properties an object has exactly one, or at least one."""

    branches: tuple[Branch, ...]
    exactly_one: bool
    codes: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        return [branch.property for branch in self.branches]


class Condition(NamedTuple):
    """Which further part applies to an object."""

    test: Predicate
    then: ObjectRule | None
    otherwise: ObjectRule | None


@dataclass(slots=True, eq=False)
class ObjectRule:
    """What a schema says about an object; callable, as every check is."""

    title: str
    codes: Mapping[str, str]
    properties: dict[str, Check] = field(default_factory=dict)
    patterns: tuple[re.Pattern[str], ...] = ()
    refused: frozenset[str] = frozenset()
    values: Check | None = None
    required: tuple[str, ...] = ()
    needed: frozenset[str] = frozenset()
    choice: Choice | None = None
    companions: tuple[tuple[str, list[str]], ...] = ()
    fewest: int = 0
    most: int | None = None
    closed: Literal["", "alone", "with parts"] = ""
    suspicious: bool = False
    bases: list[ObjectRule] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    renamed: Mapping[str, str] = field(default_factory=dict)
    misplaced: Mapping[str, str] = field(default_factory=dict)

    def parts(self, value: Object) -> list[ObjectRule]:
        """This rule and every one that applies to *value* because of it."""
        found = [self]
        for base in self.bases:
            found += base.parts(value)
        for test, then, otherwise in self.conditions:
            chosen = then if test(value) else otherwise
            if chosen is not None:
                found += chosen.parts(value)
        return found

    def __call__(self, value: Json, path: Path, report: Report) -> None:
        if not isinstance(value, dict):
            hint = "; write {} for an empty one" if value is None and not self.required else ""
            needs = f" with {' and '.join(f'`{name}`' for name in self.required)}" if self.required else ""
            expected = self.title + needs if self.title == "an object" else self.title
            report.add("wrong-type", f"expected {expected}, got {kind(value)}{hint}", path)
            return
        parts = self.parts(value) if self.bases or self.conditions else [self]
        for part in parts:
            if len(value) < part.fewest:
                report.add("empty-object", "there must be something in this object", path)
                return
            if part.most is not None and len(value) > part.most:
                self._too_many(value, path, report)
                return
        if not all(part.content(value) for part in parts):
            _Look(self, value, parts, path, report).report()
        for key, item in value.items():
            for part in parts:
                check = part.properties.get(key, part.values)
                if check is not None:
                    check(item, (path, key), report)

    def content(self, value: Object) -> bool:
        """Whether this part certainly has nothing to say about which properties *value* has."""
        if self.suspicious or self.closed == "with parts" or not self.needed <= value.keys():
            return False
        if self.closed == "alone" and not value.keys() <= self.properties.keys():
            return False
        if self.choice is not None and sum([branch.taken(value) for branch in self.choice.branches]) != 1:
            return False
        return not self.companions or not any(name in value for name, _ in self.companions)

    def _too_many(self, value: Object, path: Path, report: Report) -> None:
        names = list(value)
        message = (
            f"expected {self.title}, got {len(names)} properties: {listing(names, 'and')}; is what belongs to "
            f"{ticked(names[0])} indented deeper than it, or a dash missing?"
        )
        report.add("several-names", message, (path, names[1]), at_key=True)


class _Look:
    """One look at the properties that one object has and lacks."""

    def __init__(
        self, rule: ObjectRule, value: Object, parts: list[ObjectRule], path: Path, report: Report
    ) -> None:
        self.rule, self.value, self.parts, self.path, self.to = rule, value, parts, path, report

    def report(self) -> None:
        value = self.value
        unknown = self._unknown()
        missing = [name for part in self.parts for name in part.required if name not in value]
        choices = [part.choice for part in self.parts if part.choice is not None]
        taken = [(choice, [b.property for b in choice.branches if b.taken(value)]) for choice in choices]
        apart = [
            (name, needed)
            for part in self.parts
            for name, names in part.companions
            for needed in names
            if name in value and needed not in value
        ]
        if not unknown and not missing and not apart and all(len(names) == 1 for _, names in taken):
            if any(part.suspicious for part in self.parts):
                self._suspect()
            return
        for choice, names in taken:
            if not names and "none" in choice.codes:
                self._no_keyword(choice, unknown)
                return
        elsewhere = self._elsewhere(unknown)
        meant = {name: self._meant(name) for name in unknown if name not in elsewhere}
        explained = {guess for guess in meant.values() if guess is not None}
        if not elsewhere:
            explained.update(self._missing(missing, taken, explained))
        for choice, names in taken:
            if len(names) > 1 and choice.exactly_one:
                self._conflict(choice, names)
        for name, needed in apart:
            if needed not in explained:
                message = f"{ticked(name)} has a meaning only beside {ticked(needed)}"
                self.to.add("misplaced-property", message, (self.path, name), at_key=True)
        for name, guess in meant.items():
            self.to.add("unknown-property", self._about(name, guess), (self.path, name), at_key=True)

    def _missing(
        self, required: list[str], taken: list[tuple[Choice, list[str]]], explained: set[str]
    ) -> set[str]:
        """Report all that is missing as one problem, but for names that a typo explains; the names missing."""
        names = [name for name in dict.fromkeys(required) if name not in explained]
        needs = [listing(names, "and")] if names else []
        for choice, present in taken:
            if not present and not explained.union(required).intersection(choice.names):
                few = "one of" if choice.exactly_one else "at least one of"
                needs.append(f"{few} {listing(self._offered(choice))}")
                names += choice.names
        if needs:
            message = f"{self._name()} needs {' and '.join(needs)}"
            self.to.add("missing-property", message, self.path, at_key=True)
        return {*names, *required}

    def _elsewhere(self, unknown: list[str]) -> list[str]:
        """Report names that belong elsewhere, all with the same place as one problem; they are the mistake."""
        places: dict[str, list[str]] = {}
        for name in unknown:
            note = next((part.misplaced[name] for part in self.parts if name in part.misplaced), None)
            if note is not None:
                places.setdefault(note, []).append(name)
        for note, names in places.items():
            verb = "does" if len(names) == 1 else "do"
            message = f"{listing(names, 'and')} {verb} not belong here: {note}"
            self.to.add("unknown-property", message, (self.path, names[0]), at_key=True)
        return [name for names in places.values() for name in names]

    def _unknown(self) -> list[str]:
        found: dict[str, None] = {}
        for part in self.parts:
            if part.closed == "alone":
                known = set(part.properties)
            elif part.closed == "with parts":
                known = {name for each in part.parts(self.value) for name in each.properties}
            else:
                continue
            for name in self.value.keys() - known:
                if not any(pattern.search(name) for pattern in part.patterns):
                    found[name] = None
        # What is far beyond the number of problems that are told costs no time.
        return list(islice((name for name in self.value if name in found), MAX_PROBLEMS)) if found else []

    def _known(self) -> list[str]:
        """The names that this object may still have, without those that are there only to be refused."""
        names = dict.fromkeys(name for part in self.parts for name in part.properties)
        return [name for name in names if name not in self.value and name not in self._refused()]

    def _refused(self) -> set[str]:
        return {name for part in self.parts for name in part.refused}

    def _offered(self, choice: Choice) -> list[str]:
        return [name for name in choice.names if name not in self._refused()]

    def _meant(self, name: str) -> str | None:
        for part in self.parts:
            if name in part.renamed:
                return part.renamed[name]
        return closest(name, self._known())

    def _about(self, name: str, guess: str | None) -> str:
        if guess is not None:
            return f"unknown property {ticked(name)}; did you mean {ticked(guess)}?"
        known = self._known()
        rest = f"; what can stand here is {listing(known)}" if known else ""
        return f"unknown property {ticked(name)}{rest}"

    def _no_keyword(self, choice: Choice, unknown: Iterable[str]) -> None:
        """Nothing says what this object is; what else it has cannot be judged."""
        message = f"nothing says what this task does; it needs one of {listing(choice.names)}"
        for name in unknown:
            note = next((part.misplaced[name] for part in self.parts if name in part.misplaced), None)
            guess = closest(name, choice.names)
            if note is not None or guess is not None:
                hint = (
                    f"{ticked(name)}: {note}" if note is not None else f"did you mean {ticked(str(guess))}?"
                )
                path = (self.path, name)
                self.to.add(choice.codes["none"], f"{message}; {hint}", path, at_key=True)
                return
        self.to.add(choice.codes["none"], message, self.path, at_key=True)

    def _conflict(self, choice: Choice, names: list[str]) -> None:
        in_order = [name for name in self.value if name in names]
        code = choice.codes.get("many", "conflicting-properties")
        message = f"{listing(in_order, 'and')} exclude each other; keep one of them"
        self.to.add(code, message, (self.path, in_order[1]), at_key=True)

    def _name(self) -> str:
        """What to call this object: by its key, or that of its list."""
        if self.path is None:
            return "the document"
        container, own = self.path
        if isinstance(own, str):
            return ticked(own)
        return f"an item of {ticked(str(container[1]))}" if container is not None else "an item"

    def _suspect(self) -> None:
        """Warn of names in an open object that are nearly a property's."""
        known = self._known()
        properties = {name for part in self.parts for name in part.properties}
        for name in islice((name for name in self.value if name not in properties), MAX_PROBLEMS):
            guess = closest(name, known)
            if guess is not None:
                message = f"{ticked(name)} is not a property of the language; did you mean {ticked(guess)}?"
                path = (self.path, name)
                self.to.add("unknown-property", message, path, at_key=True, severity="warning")
