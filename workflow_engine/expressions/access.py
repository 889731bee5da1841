"""Reading and writing inside JSON values: index, slice, path. A value is never changed; a change is a copy.

A path is a tuple of keys: strings, whole numbers, and slices as ``{"start": …, "end": …}``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import LIMITS, MAX_DEPTH, Machine, too_deep, too_long
from workflow_engine.expressions.ordering import equal, type_name
from workflow_engine.expressions.rendering import excerpt

Path: TypeAlias = tuple[Any, ...]

_NUMBERS = {int, float}


def _cannot_index(value: Any, key: Any) -> EvaluationError:
    return EvaluationError(f"Cannot index {type_name(value)} with {type_name(key)} ({excerpt(key)})")


def field(value: Any, name: str) -> Any:
    """``.name``: null where it is missing, and of null."""
    if type(value) is dict:
        return value.get(name)
    if value is None:
        return None
    raise _cannot_index(value, name)


def index(machine: Machine, value: Any, key: Any) -> Any:
    """``value[key]``."""
    kind, other = type(value), type(key)
    if kind is dict and other is str:
        return value.get(key)
    if kind is list:
        if other in _NUMBERS:
            if other is float:
                key = place_of(key)
            return value[key] if -len(value) <= key < len(value) else None
        if other is dict:
            return cut(value, *slice_bounds(key))
        if other is list:
            return positions(machine, value, key)
    elif value is None and (other is str or other in _NUMBERS or other is dict):
        return None
    elif kind is str and other is dict:
        return cut(value, *slice_bounds(key))
    raise _cannot_index(value, key)


def place_of(key: float) -> int:
    """The place in an array that *key* means, which is cut to a whole number; far beyond any end where it is none."""
    return math.trunc(min(max(key, -_FAR), _FAR)) if key == key else _FAR


_FAR = 1 << 60


def slice_bounds(key: dict[str, Any]) -> tuple[Any, Any]:
    """The start and end of a slice that is given as an object."""
    if "start" not in key or "end" not in key:
        raise EvaluationError("Start and end indices of an array slice must be numbers")
    return key["start"], key["end"]


def cut(value: Any, start: Any, stop: Any) -> Any:
    """``value[start:stop]`` of an array, a string or null; the start is rounded down, the end up."""
    if value is None:
        return None
    if type(value) is not list and type(value) is not str:
        raise _cannot_index(value, {"start": start, "end": stop})
    low, high = bounds(len(value), start, stop)
    return value[low:high]


def bounds(length: int, start: Any, stop: Any) -> tuple[int, int]:
    """The offsets that a slice of something *length* long comes down to, the first never after the second."""
    for bound in (start, stop):
        if bound is not None and type(bound) not in _NUMBERS:
            raise EvaluationError("the bounds of a slice must be numbers")
    low = 0 if start is None else _offset(start, length, math.floor)
    high = length if stop is None else _offset(stop, length, math.ceil)
    return low, max(low, high)


def _offset(bound: float, length: int, whole: Any) -> int:
    if bound != bound:
        return 0 if whole is math.floor else length
    if bound < 0:
        bound += length
    return int(whole(min(max(bound, 0), length)))


def positions(machine: Machine, value: list[Any], part: list[Any]) -> list[int]:
    """The places at which *part* begins in *value*."""
    size = len(part)
    if size == 0:
        return []
    machine.spend(len(value))
    first = part[0]
    return [
        start
        for start in range(len(value) - size + 1)
        if equal(machine, value[start], first)
        and (size == 1 or equal(machine, value[start : start + size], part))
    ]


def get(machine: Machine, value: Any, path: Sequence[Any]) -> Any:
    """The value at *path*, null where something on the way is null or missing."""
    for key in path:
        if value is None:
            return None
        value = index(machine, value, key)
    return value


def put(machine: Machine, value: Any, path: Sequence[Any], new: Any) -> Any:
    """*value* with *new* at *path*; what is missing on the way is made."""
    if len(path) > MAX_DEPTH:
        too_deep()
    if not path:
        return new
    key = path[0]
    if len(path) == 1:
        return put_item(machine, value, key, new)
    return put_item(machine, value, key, put(machine, index(machine, value, key), path[1:], new))


def put_item(machine: Machine, value: Any, key: Any, new: Any) -> Any:
    """A copy of *value* with *new* under *key*."""
    kind, other = type(value), type(key)
    if other is str and (kind is dict or value is None):
        if value is None:
            return {key: new}
        machine.array(4 * len(value))
        changed = dict(value)
        changed[key] = new
        return changed
    if other in _NUMBERS and (kind is list or value is None):
        items = [] if value is None else list(value)
        set_place(machine, items, key, new)
        return items
    if other is dict and (kind is list or value is None):
        items = [] if value is None else value
        if type(new) is not list:
            raise EvaluationError("A slice of an array can only be assigned another array")
        low, high = bounds(len(items), *slice_bounds(key))
        machine.array(len(items) + len(new))
        return [*items[:low], *new, *items[high:]]
    if other is dict and kind is str:
        raise EvaluationError("Cannot update string slices")
    raise _cannot_index(value, key)


def set_place(machine: Machine, items: list[Any], key: float, new: Any) -> None:
    """Put *new* at place *key* of *items*, which is changed; nulls fill the way to a place past its end."""
    if key != key:
        raise EvaluationError("Cannot set array element at NaN index")
    place = place_of(key)
    if place < 0:
        place += len(items)
        if place < 0:
            raise EvaluationError("Out of bounds negative array index")
    if place >= LIMITS.array:
        too_long(place + 1)
    machine.array(len(items))
    if place >= len(items):
        machine.spend((place - len(items)) >> 2)
        items.extend([None] * (place + 1 - len(items)))
    items[place] = new


def drop_paths(machine: Machine, value: Any, paths: Iterable[Sequence[Any]]) -> Any:
    """*value* without what is at *paths*; all of them count from the value as it was."""
    tree: dict[Any, Any] = {}
    for path in paths:
        machine.spend(1 + len(path))
        if len(path) > MAX_DEPTH:
            too_deep()
        if not path:
            return None
        _mark(machine, value, path, tree)
    return _without(machine, value, tree) if tree else value


_GONE: Any = None
"""In a tree of what is to go: this key goes as a whole. Else there is the tree of what goes inside it."""


def _mark(machine: Machine, value: Any, path: Sequence[Any], tree: dict[Any, Any]) -> None:
    """Note *path* in *tree*, with its negative places and slices told as the places that they are."""
    for at, key in enumerate(path):
        last = at == len(path) - 1
        if value is None:
            return
        _check_droppable(value, key)
        if type(key) is dict:
            low, high = bounds(len(value), *slice_bounds(key))
            machine.spend(high - low)
            if last:
                tree.update(dict.fromkeys(range(low, high)))
            else:
                inner: dict[Any, Any] = {}
                _mark(machine, value[low:high], path[at + 1 :], inner)
                for place, below in inner.items():
                    _graft(tree, low + place, below)
            return
        if type(value) is list:
            key = place_of(key)
            key += len(value) if key < 0 else 0
            if not 0 <= key < len(value):
                return
        if last:
            tree[key] = _GONE
            return
        below = tree.setdefault(key, {})
        if below is _GONE:
            return
        tree, value = below, index(machine, value, key)


def _graft(tree: dict[Any, Any], key: Any, below: Any) -> None:
    if below is _GONE or tree.get(key, {}) is _GONE:
        tree[key] = _GONE
        return
    present = tree.setdefault(key, {})
    for inner, further in below.items():
        _graft(present, inner, further)


def _check_droppable(value: Any, key: Any) -> None:
    kind, other = type(value), type(key)
    if kind is dict and other is str:
        return
    if kind is list and (other in _NUMBERS or other is dict):
        return
    raise EvaluationError(f"Cannot delete field at {type_name(key)} index of {type_name(value)}")


def _without(machine: Machine, value: Any, tree: dict[Any, Any]) -> Any:
    machine.array(4 * len(value))
    kept = value.copy()
    gone = []
    for key, below in tree.items():
        if below is _GONE:
            gone.append(key)
        elif below and (key in value if type(value) is dict else key < len(value)):
            kept[key] = _without(machine, value[key], below)
    if type(value) is dict:
        for key in gone:
            kept.pop(key, None)
        return kept
    machine.spend(len(gone))
    places = set(gone)
    return [item for place, item in enumerate(kept) if place not in places] if places else kept


def drop_item(machine: Machine, value: Any, key: Any) -> Any:
    """*value* without what is under *key*."""
    return drop_paths(machine, value, [(key,)])


class Editor:
    """One value changed in many places: each container is copied once, however often it is changed.

    What it copied is its own until somebody else may have seen it; then `release` makes it copy again.
    """

    __slots__ = ("_machine", "_own", "root")

    def __init__(self, machine: Machine, root: Any) -> None:
        self._machine = machine
        self._own: dict[int, Any] = {}  # by identity, and keeps them alive, so that no identity comes again
        self.root = root

    def release(self) -> None:
        """Own nothing any more: the root, or a part of it, was handed out."""
        self._own.clear()

    def owns(self, value: Any) -> bool:
        """Whether *value* is a copy of its own, which it may change under whoever else holds it."""
        return id(value) in self._own

    def get(self, path: Sequence[Any]) -> Any:
        return get(self._machine, self.root, path)

    def put(self, path: Sequence[Any], new: Any) -> None:
        """Set *new* at *path*."""
        if len(path) > MAX_DEPTH:
            too_deep()
        self._machine.spend(len(path))
        if not path:
            self.root = new
            return
        parent: Any = None
        value = self.root
        for step, key in enumerate(path):
            if type(key) is dict or (value is not None and type(value) not in {dict, list}):
                new = put(self._machine, value, path[step:], new)
                self._attach(parent, path, step, new)
                return
            if id(value) not in self._own:
                value = self._copy(value, key)
                self._attach(parent, path, step, value)
            parent = value
            if step < len(path) - 1:
                value = index(self._machine, value, key)
        self._attach(parent, path, len(path), new)

    def _attach(self, parent: Any, path: Sequence[Any], step: int, value: Any) -> None:
        if step == 0:
            self.root = value
            return
        key = path[step - 1]
        if type(parent) is dict:
            if type(key) is not str:
                raise _cannot_index(parent, key)
            parent[key] = value
            if len(parent) > LIMITS.array:
                too_long(len(parent))
        elif type(key) in _NUMBERS:
            if type(key) is int and 0 <= key < len(parent):
                parent[key] = value
            else:
                set_place(self._machine, parent, key, value)
        else:
            raise _cannot_index(parent, key)

    def _copy(self, value: Any, key: Any) -> Any:
        copied: Any
        if value is None:
            if type(key) is not str and type(key) not in _NUMBERS:
                raise _cannot_index(value, key)
            copied = {} if type(key) is str else []
        else:
            self._machine.array(4 * len(value))
            copied = value.copy()
        self._own[id(copied)] = copied
        return copied
