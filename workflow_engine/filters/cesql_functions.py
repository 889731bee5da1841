"""The types of CloudEvents SQL, how one is cast to another, and the functions that are built in."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from workflow_engine.values import Json

Value: TypeAlias = "str | int | bool"
Type: TypeAlias = type[str] | type[int] | type[bool]

MAX_TEXT = 1 << 20
"""How many characters a text may have that a function makes."""
INT32 = 2**31
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_NAMES = {str: "String", int: "Integer", bool: "Boolean"}


class EvaluationError(Exception):
    """Evaluating went wrong: *kind* is a kind of error of the specification, *value* what there is all the same."""

    def __init__(self, kind: str, message: str, at: int, value: Value = False) -> None:
        super().__init__(message)
        self.kind, self.at, self.value = kind, at, value


def zero(type: Type) -> Value:
    """The zero value of a type."""
    return type()


def value_of(attribute: Json) -> Value:
    """What an attribute of an event is here: integers of 32 bits, booleans and texts; all else becomes a text."""
    if isinstance(attribute, str | bool):
        return attribute
    if isinstance(attribute, int) and -INT32 <= attribute < INT32:
        return attribute
    return str(attribute)


def cast(value: Value, target: Type, at: int) -> Value:
    """*value* as a *target*, or `EvaluationError` of the kind ``cast`` (specification, section 3.7)."""
    source = type(value)
    if source is target:
        return value
    if target is str:
        return ("true" if value else "false") if source is bool else str(value)
    if source is not str:
        return target(value)
    text = str(value)
    if target is bool:
        lowered = text.lower() if len(text) <= 5 else ""
        if lowered not in ("true", "false"):
            raise EvaluationError("cast", f"{_shown(text)} is neither true nor false", at)
        return lowered == "true"
    number = int(text) if _INTEGER.fullmatch(text) else INT32
    if not -INT32 <= number < INT32:
        raise EvaluationError("cast", f"{_shown(text)} is no integer of 32 bits", at, 0)
    return number


def castable(value: Value, target: Type) -> bool:
    """Whether *value* can be cast to *target*."""
    try:
        cast(value, target, 0)
    except EvaluationError:
        return False
    return True


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


def integer(value: int, at: int) -> int:
    """*value* if it is of 32 bits, else an error of the kind ``math`` with the value 0.

    The specification says that integers have 32 bits, and not what becomes of a sum that has more: here it is wrong,
    rather than wrapped around.
    """
    if not -INT32 <= value < INT32:
        raise EvaluationError("math", "the result has more than 32 bits", at, 0)
    return value


Arguments: TypeAlias = Sequence[Value]


@dataclass(frozen=True, slots=True)
class Function:
    """A function: the types of its first arguments, that of all further ones if it takes any, and its result's.

    *call* gets arguments of these types and the place of the call. ``None`` as a type takes a value as it is.
    """

    returns: Type
    parameters: tuple[Type | None, ...]
    call: Callable[[Arguments, int], Value]
    further: Type | None = None


def function(name: str, count: int) -> Function | None:
    """The function of this name, in capital letters, that takes *count* arguments."""
    for found in FUNCTIONS.get(name, ()):
        if len(found.parameters) == count or (found.further is not None and count > len(found.parameters)):
            return found
    return None


def _text(text: str, at: int) -> str:
    if len(text) > MAX_TEXT:
        raise EvaluationError("functionEvaluation", f"a text of more than {MAX_TEXT} characters", at, "")
    return text


def _concat_ws(arguments: Arguments, at: int) -> str:
    separator, *texts = map(str, arguments)
    size = sum(map(len, texts)) + len(separator) * max(len(texts) - 1, 0)
    return separator.join(texts) if size <= MAX_TEXT else _text("x" * (MAX_TEXT + 1), at)


def _concat(arguments: Arguments, at: int) -> str:
    return _concat_ws(("", *arguments), at)


def _left(arguments: Arguments, at: int) -> str:
    text, count = str(arguments[0]), int(arguments[1])
    if count < 0:
        raise EvaluationError("functionEvaluation", "LEFT takes a count from 0 on", at, text)
    return text[:count]


def _right(arguments: Arguments, at: int) -> str:
    text, count = str(arguments[0]), int(arguments[1])
    if count < 0:
        raise EvaluationError("functionEvaluation", "RIGHT takes a count from 0 on", at, text)
    return text[max(len(text) - count, 0) :]


def _substring(arguments: Arguments, at: int) -> str:
    text, position = str(arguments[0]), int(arguments[1])
    length = int(arguments[2]) if len(arguments) == 3 else len(text)
    if not -len(text) <= position <= len(text):
        message = f"SUBSTRING at {position} of a text with {len(text)} characters"
        raise EvaluationError("functionEvaluation", message, at, "")
    if length < 0:
        raise EvaluationError("functionEvaluation", "SUBSTRING takes a length from 0 on", at, "")
    if position == 0:
        return ""
    begin = position - 1 if position > 0 else len(text) + position
    return text[begin : begin + length]


def _abs(arguments: Arguments, at: int) -> int:
    value = abs(int(arguments[0]))
    if value == INT32:
        raise EvaluationError("math", "the absolute value has more than 32 bits", at, INT32 - 1)
    return value


FUNCTIONS: dict[str, tuple[Function, ...]] = {
    "LENGTH": (Function(int, (str,), lambda given, _: len(str(given[0]))),),
    "CONCAT": (Function(str, (), _concat, further=str),),
    "CONCAT_WS": (Function(str, (str,), _concat_ws, further=str),),
    "LOWER": (Function(str, (str,), lambda given, at: _text(str(given[0]).lower(), at)),),
    "UPPER": (Function(str, (str,), lambda given, at: _text(str(given[0]).upper(), at)),),
    "TRIM": (Function(str, (str,), lambda given, _: str(given[0]).strip()),),
    "LEFT": (Function(str, (str, int), _left),),
    "RIGHT": (Function(str, (str, int), _right),),
    "SUBSTRING": (Function(str, (str, int), _substring), Function(str, (str, int, int), _substring)),
    "ABS": (Function(int, (int,), _abs),),
    "INT": (Function(int, (None,), lambda given, at: cast(given[0], int, at)),),
    "BOOL": (Function(bool, (None,), lambda given, at: cast(given[0], bool, at)),),
    "STRING": (Function(str, (None,), lambda given, at: cast(given[0], str, at)),),
    "IS_INT": (Function(bool, (None,), lambda given, _: castable(given[0], int)),),
    "IS_BOOL": (Function(bool, (None,), lambda given, _: castable(given[0], bool)),),
}
"""Those that the specification names, by their names in capital letters."""


def type_name(type: Type) -> str:
    """How the specification calls a type."""
    return _NAMES[type]
