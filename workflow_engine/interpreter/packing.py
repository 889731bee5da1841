"""A position as it travels: what stands in it several times is written once, and a long row of numbers by its ends.

A frame tree has the same data in many places: as what came into a state, as what its action sees, as what the states
within it got. In memory that is one value, and so it is here:

    {"pool": [VALUE, …], "value": POSITION}

In both, ``{"#": 3}`` is the value number 3 of the pool, ``{"#": {"from": 0, "to": 9}}`` the whole numbers from 0 up to
9, without it; and an object of the data that has ``#`` as its only member is ``{"#": [VALUE]}``. What is large can be
kept apart, in an array beside the position: ``{"#": "0"}`` is the first value of that, and ``{"#": "input"}`` the input
of the run, which travels by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from workflow_engine.values import Json, JsonObject, weighs

MARK = "#"
SHORT = 64
"""Texts of fewer characters are written where they stand."""
ROW = 64
"""From so many numbers on a row is written by its ends."""
LARGE = 64 * 1024
"""From so many characters on a value is kept apart: the smallest that has them, for it changes least."""
APART = 64
"""So many values are kept apart at most."""
MANY = 1000
"""What has more members is kept apart whole."""
INPUT = "input"


def pack(position: JsonObject) -> JsonObject:
    """*position* as it travels."""
    packer = _Packer()
    packer.count(position)
    return {"value": packer.value(position, whole=True), "pool": packer.pool}


def pack_apart(position: JsonObject, input: Json) -> tuple[JsonObject, list[Json]]:
    """*position* of a run with *input* as it travels, and what is large in it."""
    packer = _Packer(input)
    for member in position.values():
        packer.set_apart(member)
    packer.count(position)
    return {"value": packer.value(position, whole=True), "pool": packer.pool}, packer.apart


def unpack(packed: JsonObject, input: Json = None, apart: Sequence[Json] = ()) -> JsonObject:
    """The position that was packed; one that was not is as it is."""
    if "root" in packed:
        return packed
    reader = _Reader(input, apart)
    listed = packed["pool"]
    assert isinstance(listed, list)
    for value in listed:  # each has only what comes before it
        reader.pool.append(reader.read(value))
    position = reader.read(packed["value"])
    assert isinstance(position, dict)
    return position


class _Packer:
    def __init__(self, input: Json = None) -> None:
        self.pool: list[Json] = []
        self.apart: list[Json] = []
        self._times: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._input = input
        self._places: dict[int, str] = {}

    def set_apart(self, value: Json) -> bool:
        """Find what is large in *value*, and say whether anything is. Only as much is looked at as that takes."""
        if id(value) in self._places:
            return True
        if not isinstance(value, str | dict | list) or weighs(value, LARGE) < LARGE:
            return False
        if value is self._input:
            self._places[id(value)] = INPUT
            return True
        if not isinstance(value, str) and len(value) <= MANY:
            members = value.values() if isinstance(value, dict) else value
            found = [self.set_apart(member) for member in members]
            if True in found:
                return True
        if len(self.apart) < APART:
            self._places[id(value)] = str(len(self.apart))
            self.apart.append(value)
        return True

    def count(self, position: Json) -> None:
        """Find out what stands there more than once."""
        left: list[Json] = [position]
        while left:
            value = left.pop()
            if not _long(value) or id(value) in self._places:
                continue
            times = self._times[id(value)] = self._times.get(id(value), 0) + 1
            if times > 1:
                continue
            if isinstance(value, dict):
                left.extend(value.values())
            elif isinstance(value, list) and _row(value) is None:
                left.extend(value)

    def value(self, value: Json, *, whole: bool = False) -> Json:
        """*value* as it is written; *whole*: not as a reference to the pool."""
        if not whole and id(value) in self._places:
            return {MARK: self._places[id(value)]}
        if not whole and self._times.get(id(value), 0) > 1 and _long(value):
            number = self._numbers.get(id(value))
            if number is None:
                self.pool.append(self.value(value, whole=True))
                number = self._numbers[id(value)] = len(self.pool) - 1
            return {MARK: number}
        if isinstance(value, dict):
            written = {key: self.value(item) for key, item in value.items()}
            return {MARK: [written[MARK]]} if len(value) == 1 and MARK in value else written
        if isinstance(value, list):
            ends = _row(value)
            return [self.value(item) for item in value] if ends is None else {MARK: ends}
        return value


def _long(value: Json) -> bool:
    return (isinstance(value, dict | list) and bool(value)) or (
        isinstance(value, str) and len(value) >= SHORT
    )


def _row(value: list[Json]) -> JsonObject | None:
    """The ends of whole numbers that follow each other."""
    first = value[0] if value else None
    if len(value) < ROW or type(first) is not int or type(value[-1]) is not int:
        return None
    end = first + len(value)
    if value[-1] != end - 1 or any(type(item) is not int for item in value) or value != [*range(first, end)]:
        return None
    return {"from": first, "to": end}


class _Reader:
    def __init__(self, input: Json, apart: Sequence[Json]) -> None:
        self.pool: list[Json] = []
        self._input, self._apart = input, apart

    def read(self, value: Json) -> Json:
        if isinstance(value, list):
            return [self.read(item) for item in value]
        if not isinstance(value, dict):
            return value
        if len(value) != 1 or MARK not in value:
            return {key: self.read(item) for key, item in value.items()}
        marked = value[MARK]
        if isinstance(marked, int):
            return self.pool[marked]
        if isinstance(marked, str):
            return self._input if marked == INPUT else self._apart[int(marked)]
        if isinstance(marked, list):
            return {MARK: self.read(marked[0])}
        assert isinstance(marked, dict)
        first, end = marked["from"], marked["to"]
        assert isinstance(first, int)
        assert isinstance(end, int)
        return [*range(first, end)]
