"""What is left of a document when the parts of it that are wrong in form are cut out.

Whatever the schema finds wrong is cut out at its place; what then lacks it is cut out in turn, until the schema has
nothing more to say. A task or state that cannot be kept leaves one that does nothing under its name, with the tasks
that stood in it, so that what is said of the rest is what would be said of it if that part were right.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from workflow_engine.dsl.document import Dialect, Document, problems_of
from workflow_engine.dsl.tree import Positions
from workflow_engine.dsl.wording import closest
from workflow_engine.values import Json, JsonObject, pointer

MOST_ROUNDS = 12
"""How often the schema is asked: a cut can take away what the part around it needs, and so on outwards."""

ANY = "*"
"""As a lost name: a part was cut out whose name cannot be told."""

ANY_VARIABLE = "$*"
"""As a lost name: a part was cut out that bound a variable whose name cannot be told."""

_BINDING = frozenset({"each", "at", "as", "item", "iterationParam"})
_BINDERS = frozenset({"for", "foreach", "catch"})
_NAMING = frozenset({"name", "id"})
_COLLECTIONS = (
    "use", "functions", "events", "errors", "retries", "secrets", "auth", "timeouts", "catalogs", "authentications",
)  # fmt: skip
_BOUND_WITHOUT_A_NAME = ("item", "index", "error")
_TASKS = frozenset({"do", "try", "branches", "before", "after"})
_WAYS = frozenset(
    {
        "if", "then", "try", "catch", "transition", "end", "nextState", "switch", "start", "compensatedBy",
        "usedForCompensation", "dataConditions", "eventConditions", "defaultCondition", "conditions", "onErrors",
        "exclusive",
    }
)  # fmt: skip
_DECIDING = ("format", "type", "kind", "invoke")
"""Keys that say what the object around them is: without one it would be taken for something else."""
_LANGUAGES = frozenset({"/evaluate/language", "/expressionLang"})
_LEADING_1_0 = frozenset({"switch", "raise", "try"})
_STRAIGHT = frozenset({"call", "do", "emit", "for", "fork", "listen", "run", "set", "wait"})
_WAIT: JsonObject = {"wait": {"seconds": 1}}
_HEADER: JsonObject = {"dsl": "1.0.3", "namespace": "x", "name": "x", "version": "0.0.0"}
_ROOTS: dict[Dialect, JsonObject] = {
    "1.0": {"document": _HEADER, "do": []},
    "0.8": {
        "id": "x",
        "specVersion": "0.8",
        "states": [{"name": "x", "type": "inject", "data": {}, "end": True}],
    },
}


@dataclass(slots=True)
class Rest:
    """What is sound of a document, and what is known of the rest.

    *document* is valid by its schema, and its positions are those in the text; `original` tells the pointer in the
    text. *lost* are names that may have been in what was cut out, *cut* that with its pointers, *astray* the pointers
    from which ways may have led on.
    """

    document: Document
    lost: frozenset[str]
    cut: list[tuple[str, Json]]
    astray: list[str]
    original: _Origins


def without_what_is_wrong(document: Document) -> Rest | None:
    """The sound part of *document*, whose form is wrong; None where nothing is left to look at."""
    cutter = _Cutter(document)
    for _ in range(MOST_ROUNDS):
        wrong = [problem for problem in problems_of(cutter.document) if problem.severity == "error"]
        if not wrong:
            return cutter.rest()
        if any(problem.code == "too-many-problems" or problem.pointer in _LANGUAGES for problem in wrong):
            return None
        for at in sorted({_parts(problem.pointer) for problem in wrong}, key=_order, reverse=True):
            if not cutter.cut(at):
                return None
    return None


class _Origins:
    """Where what is in the sound part stood: lists are shorter, and tasks of a lost task are elsewhere."""

    def __init__(self, root: Json) -> None:
        self._root = root
        self.indices: dict[int, list[int]] = {}
        self.homes: dict[int, str] = {}
        self.kept: list[Json] = []
        """Holds what is known by its identity."""

    def __call__(self, place: str) -> str:
        """The pointer in the text of what is at *place* of the sound part."""
        value, found = self._root, ""
        for part in _parts(place):
            if isinstance(value, dict):
                value = value.get(part)
                found += pointer(part)
            elif isinstance(value, list) and part.isdecimal():
                number = int(part)
                known = self.indices.get(id(value))
                value = value[number] if number < len(value) else None
                found += pointer(known[number] if known is not None and number < len(known) else number)
            else:
                found += pointer(part)
            if id(value) in self.homes:
                found = self.homes[id(value)]
        return found


class _Moved(Positions):
    """The places in the text of the sound part."""

    def __init__(self, written: Positions, original: _Origins) -> None:
        super().__init__(written._root)
        self._original = original

    def value(self, pointer: str) -> tuple[int, int]:
        return super().value(self._original(pointer))

    def key(self, pointer: str) -> tuple[int, int]:
        return super().key(self._original(pointer))


@dataclass
class _Cutter:
    written: Document
    lost: set[str] = field(default_factory=set)
    removed: list[tuple[str, Json]] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        data = _copy(self.written.data)
        assert isinstance(data, dict)
        self.data = data
        self.origins = _Origins(data)
        self.fillings: set[int] = set()
        self.filled = False
        positions = _Moved(self.written.positions, self.origins)
        self.document = Document(self.written.dialect, data, positions, self.written.name, self.written.text)

    def rest(self) -> Rest:
        lost = frozenset({*self.lost, *_BOUND_WITHOUT_A_NAME})
        return Rest(self.document, lost, self.removed, self.astray, self.origins)

    def cut(self, at: tuple[str, ...]) -> bool:
        """Take out what is at *at*; False where there is nothing that could be taken out."""
        if not at:
            return self._fill()
        holder = self._at(at[:-1])
        key = at[-1]
        origin = self.origins(pointer(*at))
        if isinstance(holder, list) and key.isdecimal() and int(key) < len(holder):
            self._cut_item(holder, int(key), at, origin)
        elif isinstance(holder, dict) and key in holder:
            self._cut_member(holder, key, at, origin)
        return True  # what is not there any more went with something around it

    def _cut_item(self, holder: list[Json], number: int, at: tuple[str, ...], origin: str) -> None:
        value = holder[number]
        if self.document.dialect == "0.8" and at[:-1] == ("states",) and isinstance(value, dict):
            put = self._state(value)
            if put is not None:
                self._lose(value, origin, key=None)
                holder[number] = put
                return
        self.origins.indices.setdefault(id(holder), list(range(len(holder)))).pop(number)
        del holder[number]
        self._lose(value, origin, key=None)
        named = (
            isinstance(value, dict)
            and bool(value)
            and (self.document.dialect == "1.0" or bool(value.get("name")))
        )
        if not named and (len(at) == 2 or at[-2] in _TASKS or not isinstance(value, dict | str)):
            self.lost.add(ANY)
        self._stray(origin, always=at[-2] in _TASKS or at[-2] == "states")
        if not holder:
            self.cut(at[:-1])

    def _cut_member(self, holder: JsonObject, key: str, at: tuple[str, ...], origin: str) -> None:
        value = holder[key]
        if closest(key, _DECIDING) is not None and len(at) > 1:
            self.cut(at[:-1])
            return
        if len(at) > 4 and at[-4] == "switch" and closest(key, ("when",)) is not None:
            self.cut(at[:-2])  # a case without a condition would be another default
            return
        a_task = self.document.dialect == "1.0" and len(at) > 2 and at[-3] in _TASKS and at[-2].isdecimal()
        if a_task and len(holder) == 1 and id(value) not in self.fillings:
            holder[key] = self._task(value, origin)
            return
        del holder[key]
        self._lose(value, origin, key=key)
        self._stray(origin, always=a_task)

    def _stray(self, origin: str, *, always: bool = False) -> None:
        in_time = self.document.dialect == "0.8" and "imeout" in origin
        if origin == "/start" or in_time:
            self.astray.append("/states/0")
        elif always or not _WAYS.isdisjoint(origin.split("/")[-4:]):
            self.astray.append(origin)

    def _task(self, value: Json, origin: str) -> JsonObject:
        """What stands for a task that is wrong: one that waits, or does the tasks that stood in it."""
        body = value if isinstance(value, dict) else {}
        inner = list(self._lists(body, origin))
        self._lose({key: item for key, item in body.items() if key not in _TASKS}, origin, key=None)
        filling: JsonObject = dict(_WAIT)
        if inner:
            filling = {"do": [{f"part {number}": {"do": tasks}} for number, tasks in enumerate(inner)]}
        for key in ("then", "if"):
            if isinstance(body.get(key), str):
                filling[key] = body[key]
        if (
            not _STRAIGHT & body.keys()
            or _LEADING_1_0 & body.keys()
            or not isinstance(body.get("then", ""), str)
        ):
            self.astray.append(origin)
        self.fillings.add(id(filling))
        self.origins.kept.append(filling)
        return filling

    def _lists(self, body: JsonObject, origin: str) -> Iterator[list[Json]]:
        """The lists of tasks right inside of the task *body*."""
        for path in (("do",), ("try",), ("catch", "do"), ("fork", "branches"), ("foreach", "do")):
            found: Json = body
            for part in path:
                found = found.get(part) if isinstance(found, dict) else None
            if isinstance(found, list) and found:
                self.origins.homes[id(found)] = origin + pointer(*path)
                self.origins.kept.append(found)
                yield found

    def _state(self, body: JsonObject) -> JsonObject | None:
        """What stands for a state of 0.8 that is wrong; None if it was put there already, or has no name."""
        name = body.get("name")
        if id(body) in self.fillings or not isinstance(name, str):
            return None
        put: JsonObject = {"name": name, "type": "sleep", "duration": "PT1S"}
        for key in ("id", "transition", "end", "compensatedBy", "usedForCompensation", "onErrors"):
            if key in body:
                put[key] = body[key]
        if body.get("type") == "switch" or not {"transition", "end"} & body.keys():
            put.pop("transition", None)
            put["end"] = True
            self.astray.append("/states/0")
        self.fillings.add(id(put))
        self.origins.kept.append(put)
        return put

    def _fill(self) -> bool:
        """Put in what the document itself needs and lacks, once."""
        if self.filled:
            return False
        self.filled = True
        missing = _ROOTS[self.document.dialect]
        if "key" in self.data:
            missing = {key: value for key, value in missing.items() if key != "id"}
        for key, value in missing.items():
            if key in ("do", "states") and key not in self.data:
                self.lost.add(ANY)
                self.astray.append(f"/{key}/0")
            self.data.setdefault(key, _copy(value))
        return True

    def _lose(self, value: Json, origin: str, *, key: str | None) -> None:
        """Remember what was cut out: its names, and its texts for what can be said of them."""
        self.removed.append((origin, value))
        if key is not None:
            self.lost.add(key)
        if key in _BINDING and not (isinstance(value, str) and value.isidentifier()):
            self.lost.add(ANY_VARIABLE)
        if key in _BINDERS and not isinstance(value, dict):
            self.lost.add(ANY_VARIABLE)
        if key in _NAMING and not (isinstance(value, str) and value):
            self.lost.add(ANY)
        if key is not None and value != [] and closest(key, _COLLECTIONS) is not None:
            self.lost.add(ANY)
        pending: list[Json] = [value]
        while pending:
            item = pending.pop()
            if isinstance(item, str):
                if len(item) <= 200:
                    self.lost.add(item)
            elif isinstance(item, dict):
                self.lost.update(item)
                pending += item.values()
            elif isinstance(item, list):
                pending += item

    def _at(self, parts: tuple[str, ...]) -> Json:
        value: Json = self.data
        for part in parts:
            if isinstance(value, dict):
                value = value.get(part)
            elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
                value = value[int(part)]
            else:
                return None
        return value


def _copy(value: Any) -> Any:
    """A copy in which nothing is there twice, as aliases make it."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _parts(place: str) -> tuple[str, ...]:
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in place.split("/")[1:])


def _order(parts: tuple[str, ...]) -> list[tuple[int, int, str]]:
    """Items of a list in the order of their numbers; what is inside after what it is in."""
    return [(0, int(part), "") if part.isdecimal() and len(part) < 9 else (1, 0, part) for part in parts]
