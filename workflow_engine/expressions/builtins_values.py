"""Builtins on any value: lengths, keys, order, groups, entries, paths as data. Each takes machine and input."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable
from typing import Any

from workflow_engine.expressions import arithmetic
from workflow_engine.expressions.access import drop_paths, get, index, place_of, positions, put
from workflow_engine.expressions.arithmetic import contains
from workflow_engine.expressions.errors import EvaluationError, Raised
from workflow_engine.expressions.limits import LIMITS, MAX_DEPTH, Machine, too_deep, too_long
from workflow_engine.expressions.ordering import compare, ordered, sort_key, type_name
from workflow_engine.expressions.rendering import excerpt
from workflow_engine.expressions.selecting import children, elements

_NUMBERS = {int, float}


def problem(value: Any, what: str) -> EvaluationError:
    """An error that shows its *value*."""
    return EvaluationError(f"{type_name(value)} ({excerpt(value)}) {what}")


def _length(machine: Machine, value: Any) -> Any:
    if type(value) in {str, list, dict}:
        return len(value)
    if value is None:
        return 0
    if type(value) in _NUMBERS:
        return abs(value)
    raise problem(value, "has no length")


def _keys(machine: Machine, value: Any) -> list[Any]:
    if type(value) is dict:
        machine.spend(len(value))
        return sorted(value)
    return _keys_unsorted(machine, value)


def _keys_unsorted(machine: Machine, value: Any) -> list[Any]:
    if type(value) is dict:
        machine.spend(len(value) >> 3)
        return list(value)
    if type(value) is list:
        machine.spend(len(value) >> 3)
        return list(range(len(value)))
    raise problem(value, "has no keys")


def has(machine: Machine, value: Any, key: Any) -> bool:
    """Whether an object has a *key*, or an array a place."""
    if type(value) is dict and type(key) is str:
        return key in value
    if type(value) is list and type(key) in _NUMBERS:
        return 0 <= place_of(key) < len(value)
    if value is None:
        return False
    raise EvaluationError(f"Cannot check whether {type_name(value)} has a {type_name(key)} key")


def total(machine: Machine, value: Any) -> Any:
    """``add``: the elements added up from left to right, null where there are none."""
    items = elements(value)
    machine.spend(len(items))
    kinds = set(map(type, items))
    if len(items) > 1:
        if kinds <= _NUMBERS:
            return _sum(machine, items)
        if kinds == {str}:
            machine.text(sum(map(len, items)))
            return "".join(items)
        if kinds == {list}:
            machine.array(sum(map(len, items)))
            return list(itertools.chain.from_iterable(items))
        if kinds == {dict}:
            return _united(machine, items)
    result = None
    for item in items:
        result = arithmetic.add(machine, result, item)
    return result


def _sum(machine: Machine, numbers: Collection[int | float]) -> int | float:
    if set(map(type, numbers)) == {int} and sum(map(abs, numbers)) <= arithmetic.EXACT:
        return sum(numbers)
    summed = 0.0
    for number in numbers:  # not sum(): it rounds floats differently from one version of Python to another
        summed += number if type(number) is float else arithmetic.to_float(number)
    return arithmetic.number(machine, summed)


def _united(machine: Machine, items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    united: dict[str, Any] = {}
    for item in items:
        machine.spend(len(item) >> 3)
        united |= item
        if len(united) > LIMITS.array:
            too_long(len(united))
    return united


def _array(value: Any, what: str) -> list[Any]:
    if type(value) is not list:
        raise problem(value, f"cannot be {what}, as it is not an array")
    return value


def _sort(machine: Machine, value: Any) -> Any:
    return ordered(machine, _array(value, "sorted"))


def _extreme(machine: Machine, value: Any, keys: list[Any], *, largest: bool) -> Any:
    best = None
    for place, key in enumerate(keys):
        machine.spend(1)
        if best is None or (compare(machine, key, keys[best]) < 0) is not largest:
            best = place
    return None if best is None else value[best]


def _min(machine: Machine, value: Any) -> Any:
    return _extreme(machine, value, _array(value, "compared"), largest=False)


def _max(machine: Machine, value: Any) -> Any:
    return _extreme(machine, value, _array(value, "compared"), largest=True)


def least_by(machine: Machine, value: Any, keys: list[Any]) -> Any:
    """The first of the elements of *value* whose key is least."""
    return _extreme(machine, value, keys, largest=False)


def greatest_by(machine: Machine, value: Any, keys: list[Any]) -> Any:
    """The last of the elements of *value* whose key is greatest."""
    return _extreme(machine, value, keys, largest=True)


def sorted_by(machine: Machine, value: Any, keys: list[Any]) -> list[Any]:
    """The elements of *value* in the order of their *keys*."""
    return [value[place] for place in _places(machine, keys)]


def _places(machine: Machine, keys: list[Any]) -> list[int]:
    machine.spend(len(keys) * max(1, len(keys).bit_length() >> 2))
    ranked = [sort_key(machine, key) for key in keys]
    return sorted(range(len(keys)), key=ranked.__getitem__)


def grouped_by(machine: Machine, value: Any, keys: list[Any]) -> list[list[Any]]:
    """The elements of *value* in arrays of equal *keys*, in the order of the keys."""
    ranked = [sort_key(machine, key) for key in keys]
    groups: list[list[Any]] = []
    last: Any = None
    for place in _places(machine, keys):
        if groups and ranked[place] == last:
            groups[-1].append(value[place])
        else:
            groups.append([value[place]])
            last = ranked[place]
    return groups


def unique_by(machine: Machine, value: Any, keys: list[Any]) -> list[Any]:
    """The first element for each key, in the order of the keys."""
    return [group[0] for group in grouped_by(machine, value, keys)]


def _unique(machine: Machine, value: Any) -> list[Any]:
    items = _array(value, "sorted")
    return unique_by(machine, items, items)


def _reverse(machine: Machine, value: Any) -> Any:
    if value is None or value == {}:
        return []
    machine.spend(len(_array(value, "reversed")) >> 3)
    return value[::-1]


def _flatten(machine: Machine, value: Any, depth: Any = MAX_DEPTH) -> list[Any]:
    if compare(machine, depth, 0) < 0:
        raise EvaluationError("flatten depth must not be negative")
    if type(depth) not in _NUMBERS:
        if any(type(item) is list for item in elements(value)):
            raise problem(depth, "is not a depth to flatten to")
        depth = 0
    flat: list[Any] = []
    _flatten_into(machine, elements(value), min(depth, MAX_DEPTH), flat)
    if len(flat) > LIMITS.array:
        too_long(len(flat))
    return flat


def _flatten_into(machine: Machine, items: Iterable[Any], depth: float, flat: list[Any]) -> None:
    for item in items:
        machine.spend(1)
        if type(item) is list and depth > 0:
            _flatten_into(machine, item, depth - 1, flat)
        else:
            flat.append(item)


def _transpose(machine: Machine, value: Any) -> list[Any]:
    rows = _array(value, "transposed")
    width = max([len(_array(row, "transposed")) for row in rows], default=0)
    machine.spend(width * len(rows))
    machine.array(width)
    return [list(column) for column in itertools.zip_longest(*rows)]


def _to_entries(machine: Machine, value: Any) -> list[Any]:
    if type(value) is dict or type(value) is list:
        machine.spend(2 * len(value))
        return [{"key": key, "value": item} for key, item in children(value)]
    raise problem(value, "has no keys")


def _from_entries(machine: Machine, value: Any) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for entry in elements(value):
        machine.spend(3)
        if type(entry) is not dict:
            raise EvaluationError(f'Cannot index {type_name(entry)} with "key"')
        key = None
        for name in ("key", "Key", "name", "Name"):
            key = entry.get(name)
            if key is not None and key is not False:
                break
        if type(key) is not str:
            raise EvaluationError(f"Cannot use {type_name(key)} ({excerpt(key)}) as object key")
        made[key] = entry["value"] if "value" in entry else entry.get("Value")
    return made


def indices(machine: Machine, value: Any, part: Any) -> Any:
    """The places of *part* in an array or string."""
    if value is None:
        return index(machine, value, part)
    if type(value) is str and type(part) is str:
        machine.text(4 * len(value))
        found, at = [], value.find(part) if part else -1
        while at >= 0:
            machine.spend(1)
            found.append(at)
            at = value.find(part, at + 1)
        return found
    if type(value) is list:
        return positions(machine, value, part if type(part) is list else [part])
    if type(value) is dict and type(part) is str:
        return value.get(part)
    raise EvaluationError(f"Cannot look for {type_name(part)} ({excerpt(part)}) in {type_name(value)}")


def _index(machine: Machine, value: Any, part: Any) -> Any:
    return index(machine, indices(machine, value, part), 0)


def _rindex(machine: Machine, value: Any, part: Any) -> Any:
    return index(machine, indices(machine, value, part), -1)


def _bsearch(machine: Machine, value: Any, target: Any) -> int:
    items = _array(value, "searched")
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        order = compare(machine, items[middle], target)
        if order == 0:
            return middle
        low, high = (middle + 1, high) if order < 0 else (low, middle)
    return -1 - low


def path_of(value: Any) -> list[Any]:
    """*value* as a path, which is an array."""
    if type(value) is not list:
        raise EvaluationError("Path must be specified as an array")
    return value


def _getpath(machine: Machine, value: Any, path: Any) -> Any:
    machine.spend(len(path_of(path)))
    return get(machine, value, path)


def _setpath(machine: Machine, value: Any, path: Any, new: Any) -> Any:
    return put(machine, value, path_of(path), new)


def _delpaths(machine: Machine, value: Any, paths: Any) -> Any:
    if type(paths) is not list:
        raise EvaluationError("Paths must be specified as an array")
    return drop_paths(machine, value, [path_of(path) for path in paths])


def _error(machine: Machine, value: Any, *message: Any) -> Any:
    payload = message[0] if message else value
    if type(payload) is str:
        raise EvaluationError(payload)
    raise Raised(excerpt(payload) if payload is not None else "null (null) not a string", payload)


def _to_array(machine: Machine, value: Any) -> list[Any]:
    return value if type(value) is list else [value]


def _to_boolean(machine: Machine, value: Any) -> bool:
    if type(value) is bool:
        return value
    if value in ("true", "false"):
        return bool(value == "true")
    raise problem(value, "cannot be parsed as a boolean")


def walk(machine: Machine, value: Any, apply: Callable[[Any], Any], weight: int, depth: int = 0) -> Any:
    """*apply*, which takes *weight* steps, to every part of *value*, the innermost first."""
    if depth > MAX_DEPTH:
        too_deep()
    machine.spend(weight)
    if type(value) is dict:
        return apply({key: walk(machine, item, apply, weight, depth + 1) for key, item in value.items()})
    if type(value) is list:
        return apply([walk(machine, item, apply, weight, depth + 1) for item in value])
    return apply(value)


VALUES: dict[tuple[str, int], Callable[..., Any]] = {
    ("length", 0): _length,
    ("keys", 0): _keys,
    ("keys_unsorted", 0): _keys_unsorted,
    ("has", 1): has,
    ("in", 1): lambda machine, value, other: has(machine, other, value),
    ("contains", 1): contains,
    ("inside", 1): lambda machine, value, other: contains(machine, other, value),
    ("add", 0): total,
    ("not", 0): lambda _machine, value: value is None or value is False,
    ("type", 0): lambda _machine, value: type_name(value),
    ("sort", 0): _sort,
    ("min", 0): _min,
    ("max", 0): _max,
    ("unique", 0): _unique,
    ("reverse", 0): _reverse,
    ("flatten", 0): _flatten,
    ("flatten", 1): _flatten,
    ("transpose", 0): _transpose,
    ("to_entries", 0): _to_entries,
    ("from_entries", 0): _from_entries,
    ("indices", 1): indices,
    ("index", 1): _index,
    ("rindex", 1): _rindex,
    ("bsearch", 1): _bsearch,
    ("setpath", 2): _setpath,
    ("delpaths", 1): _delpaths,
    ("error", 0): _error,
    ("error", 1): _error,
    ("toarray", 0): _to_array,
    ("toboolean", 0): _to_boolean,
    ("now", 0): lambda machine, _value: machine.now,
    ("have_literal_numbers", 0): lambda _machine, _value: True,
    ("have_decnum", 0): lambda _machine, _value: False,
}
"""Functions of the input and of values."""

GETPATH = _getpath
