"""Builtins on strings: pieces, letters, numbers and JSON in text, dates."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any

from workflow_engine.expressions import arithmetic, dates, regex
from workflow_engine.expressions.builtins_values import problem
from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import Machine, weigh
from workflow_engine.expressions.operators import number
from workflow_engine.expressions.rendering import FORMATS, excerpt, to_json, to_text
from workflow_engine.expressions.selecting import elements
from workflow_engine.values import unicode

_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_SPACE = "".join(
    map(
        chr,
        [
            *range(9, 14),
            32,
            0x85,
            0xA0,
            0x1680,
            *range(0x2000, 0x200B),
            0x2028,
            0x2029,
            0x202F,
            0x205F,
            0x3000,
        ],
    )
)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LARGEST = 1.7976931348623157e308
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def _string(value: Any, what: str) -> str:
    if type(value) is not str:
        raise problem(value, what)
    return value


def _strings(name: str, *values: Any) -> None:
    if any(type(value) is not str for value in values):
        raise EvaluationError(f"{name}() requires string inputs")


def _split(machine: Machine, value: Any, separator: Any) -> list[str]:
    _strings("split", value, separator)
    return arithmetic.split(machine, value, separator)


def _join(machine: Machine, value: Any, separator: Any) -> Any:
    items = list(elements(value))
    machine.spend(len(items))
    if len(items) > 1 and type(separator) is not str:
        raise problem(separator, "cannot be put between strings")
    pieces = []
    for item in items:
        if type(item) in {list, dict}:
            raise problem(item, "cannot be joined to a string")
        pieces.append("" if item is None else to_text(machine, item))
    machine.text(sum(map(len, pieces)) + len(pieces) * (len(separator) if type(separator) is str else 0))
    return (separator if len(items) > 1 else "").join(pieces)


def _starts_with(_machine: Machine, value: Any, prefix: Any) -> bool:
    _strings("startswith", value, prefix)
    return bool(value.startswith(prefix))


def _ends_with(_machine: Machine, value: Any, suffix: Any) -> bool:
    _strings("endswith", value, suffix)
    return bool(value.endswith(suffix))


def _left_trim(machine: Machine, value: Any, prefix: Any) -> Any:
    _strings("startswith", value, prefix)
    machine.text(len(value))
    return value.removeprefix(prefix)


def _right_trim(machine: Machine, value: Any, suffix: Any) -> Any:
    _strings("endswith", value, suffix)
    machine.text(len(value))
    return value.removesuffix(suffix)


def _trim(machine: Machine, value: Any, affix: Any) -> Any:
    return _right_trim(machine, _left_trim(machine, value, affix), affix)


def _trimmer(trim: Callable[[str], str]) -> Callable[..., str]:
    def apply(machine: Machine, value: Any) -> str:
        machine.text(len(_string(value, "cannot be trimmed, as it is not a string")))
        return trim(value)

    return apply


def _letters(table: dict[int, int]) -> Callable[..., str]:
    def apply(machine: Machine, value: Any) -> str:
        machine.text(2 * len(_string(value, "has no letters, as it is not a string")))
        return str(value).translate(table)

    return apply


def _explode(machine: Machine, value: Any) -> list[int]:
    text = _string(value, "cannot be exploded, as it is not a string")
    machine.spend(len(text))
    machine.array(len(text))
    return list(map(ord, text))


def _implode(machine: Machine, value: Any) -> str:
    if type(value) is not list:
        raise EvaluationError("implode input must be an array")
    machine.spend(len(value))
    return "".join([_character(code) for code in value])


def _character(code: Any) -> str:
    if (type(code) is not int and type(code) is not float) or code != code:
        raise problem(code, "can't be imploded, unicode codepoint needs to be numeric")
    if not 0 <= code <= 0x10FFFF or 0xD800 <= code < 0xE000:
        return "\ufffd"
    return chr(int(code))


def _ascii(_machine: Machine, value: Any) -> str:
    return _character(value)


def _byte_length(machine: Machine, value: Any) -> int:
    text = _string(value, "only strings have UTF-8 byte length")
    machine.text(len(text))
    return len(text.encode("utf-8", "replace"))


def _to_number(machine: Machine, value: Any) -> Any:
    if type(value) is int or type(value) is float:
        return value
    if type(value) is str:
        machine.text(len(value))
        if _NUMBER.fullmatch(value):
            return number(value)
        special = value.lower().lstrip("+-")
        if special in {"nan", "infinity"}:
            machine.nonfinite = True
            return math.nan if special == "nan" else -math.inf if value.startswith("-") else math.inf
    raise problem(value, "cannot be parsed as a number")


def _from_json(machine: Machine, value: Any) -> Any:
    text = _string(value, "only strings can be parsed")
    machine.text(4 * len(text))
    stripped = text.strip(" \t\n\r")
    if stripped.lower() == "nan":
        machine.nonfinite = True
        return math.nan
    try:
        parsed = json.loads(stripped, parse_float=_finite, parse_int=number, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error) if isinstance(error, ValueError) else "it is nested too deeply"
        raise EvaluationError(f"{reason} (while parsing {excerpt(text)})") from None
    machine.spend(weigh(parsed) >> 6)
    return unicode(parsed) if _HALF.search(stripped) else parsed


def _finite(text: str) -> float:
    return max(-_LARGEST, min(_LARGEST, float(text)))


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"Invalid literal {name}")


def _format(machine: Machine, value: Any, name: Any) -> str:
    render = FORMATS.get(name) if type(name) is str else None
    if render is None:
        raise problem(name, "is not a valid format")
    return render(machine, value)


def regex_and_flags(value: Any, flags: Any) -> tuple[Any, Any]:
    """A pattern and its flags, of which the pattern may be an array of both."""
    if type(value) is list and value:
        return value[0], value[1] if len(value) > 1 else None
    if type(value) is not str:
        raise EvaluationError(f"{excerpt(value)} is not a string or array")
    return value, flags


def _test(machine: Machine, value: Any, pattern: Any, flags: Any = None) -> bool:
    return regex.test(machine, value, *regex_and_flags(pattern, flags))


def _split_at(machine: Machine, value: Any, pattern: Any, flags: Any) -> list[str]:
    found = regex.matches(machine, value, pattern, flags, everywhere=True)
    pieces, at = [], 0
    for match in found:
        pieces.append(value[at : match.start])
        at = match.end
    machine.text(len(value))
    return [*pieces, value[at:]]


def all_matches(machine: Machine, value: Any, pattern: Any, flags: Any = None) -> list[Any]:
    """The outputs of ``match``."""
    return [match.to_json() for match in regex.matches(machine, value, *regex_and_flags(pattern, flags))]


def all_captures(machine: Machine, value: Any, pattern: Any, flags: Any = None) -> list[Any]:
    """The outputs of ``capture``."""
    return [match.named() for match in regex.matches(machine, value, *regex_and_flags(pattern, flags))]


def scanned(machine: Machine, value: Any, pattern: Any, flags: Any = None) -> list[Any]:
    """The outputs of ``scan``: the texts that match, or the groups of each."""
    found = regex.matches(machine, value, pattern, flags, everywhere=True)
    return [[text for _, _, text in match.groups] if match.groups else match.text for match in found]


def pieces(machine: Machine, value: Any, pattern: Any, flags: Any = None) -> list[str]:
    """The outputs of ``splits``."""
    return _split_at(machine, value, pattern, flags)


TEXT: dict[tuple[str, int], Callable[..., Any]] = {
    ("split", 1): _split,
    ("split", 2): _split_at,
    ("join", 1): _join,
    ("startswith", 1): _starts_with,
    ("endswith", 1): _ends_with,
    ("ltrimstr", 1): _left_trim,
    ("rtrimstr", 1): _right_trim,
    ("trimstr", 1): _trim,
    ("trim", 0): _trimmer(lambda text: text.strip(_SPACE)),
    ("ltrim", 0): _trimmer(lambda text: text.lstrip(_SPACE)),
    ("rtrim", 0): _trimmer(lambda text: text.rstrip(_SPACE)),
    ("ascii_downcase", 0): _letters(_LOWER),
    ("ascii_upcase", 0): _letters(_UPPER),
    ("ascii", 0): _ascii,
    ("explode", 0): _explode,
    ("implode", 0): _implode,
    ("utf8bytelength", 0): _byte_length,
    ("tonumber", 0): _to_number,
    ("tostring", 0): to_text,
    ("tojson", 0): to_json,
    ("fromjson", 0): _from_json,
    ("format", 1): _format,
    ("test", 1): _test,
    ("test", 2): _test,
    ("gmtime", 0): dates.gmtime,
    ("mktime", 0): dates.mktime,
    ("strftime", 1): dates.strftime,
    ("strptime", 1): dates.strptime,
}
"""Functions of strings with one output."""

STREAMS: dict[tuple[str, int], Callable[..., list[Any]]] = {
    ("match", 1): all_matches,
    ("match", 2): all_matches,
    ("capture", 1): all_captures,
    ("capture", 2): all_captures,
    ("scan", 1): scanned,
    ("scan", 2): scanned,
    ("splits", 1): pieces,
    ("splits", 2): pieces,
}
"""Functions of strings with any number of outputs."""
