"""jq's dates: seconds since 1970, "broken down" arrays, and strftime formats. All in UTC and the C locale.

A broken-down time is ``[year, month 0-11, day of month, hours, minutes, seconds, day of week, day of year]``.
The Gregorian calendar is computed here, so years have no end and no time zone or locale of a worker shows.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import Machine

_DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_FARTHEST = 67_768_036_191_676_799
"""Seconds of the last year that fits 32 bits, which is where the C library ends."""


def days_from_civil(year: int, month: int, day: int) -> int:
    """Days from 1970-01-01 to a day of the proleptic Gregorian calendar; *month* counts from 1."""
    year -= month <= 2
    era, year_of_era = divmod(year, 400)
    day_of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146097 + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year - 719468


def civil_from_days(days: int) -> tuple[int, int, int]:
    """The year, month (from 1) and day that are *days* after 1970-01-01."""
    era, day_of_era = divmod(days + 719468, 146097)
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted = (5 * day_of_year + 2) // 153
    month = shifted + (3 if shifted < 10 else -9)
    return year_of_era + era * 400 + (month <= 2), month, day_of_year - (153 * shifted + 2) // 5 + 1


def gmtime(machine: Machine, seconds: Any) -> list[Any]:
    """The broken-down time of *seconds* since 1970; a fraction stays with the seconds."""
    if type(seconds) is not int and type(seconds) is not float:
        raise EvaluationError("gmtime() requires numeric inputs")
    if not -_FARTHEST <= seconds <= _FARTHEST:
        raise EvaluationError("error converting number of seconds since epoch to datetime")
    whole = math.floor(seconds)
    fraction = seconds - whole
    days, rest = divmod(whole, 86400)
    year, month, day = civil_from_days(days)
    second = rest % 60 + fraction if fraction else rest % 60
    return [
        year, month - 1, day, rest // 3600, rest // 60 % 60, second,
        (days + 4) % 7, days - days_from_civil(year, 1, 1),
    ]  # fmt: skip


def mktime(machine: Machine, parts: Any) -> int:
    """Seconds since 1970 of a broken-down time; parts past their range carry over, missing ones are 0."""
    if type(parts) is not list:
        raise EvaluationError("mktime requires array inputs")
    return _seconds(_parts(parts, "mktime"))


def _parts(parts: list[Any], name: str) -> list[int]:
    numbers = []
    for part in parts[:6]:
        if (type(part) is not int and type(part) is not float) or not -1e12 < part < 1e12:
            raise EvaluationError(f"{name} requires parsed datetime inputs")
        numbers.append(int(part))
    return numbers + [0] * (6 - len(numbers))


def _seconds(parts: list[int]) -> int:
    year, month, day, hour, minute, second = parts
    year, month = year + month // 12, month % 12
    return (days_from_civil(year, month + 1, 1) + day - 1) * 86400 + hour * 3600 + minute * 60 + second


def strftime(machine: Machine, value: Any, pattern: Any) -> str:
    """*value*, seconds or broken down, written as *pattern* says; an unknown conversion stays as it is."""
    if type(value) is int or type(value) is float:
        value = gmtime(machine, value)
    if type(value) is not list:
        raise EvaluationError("strftime/1 requires parsed datetime inputs")
    if type(pattern) is not str:
        raise EvaluationError("strftime/1 requires a string format")
    seconds = _seconds(_parts(value, "strftime/1"))
    moment = gmtime(machine, seconds)
    machine.text(len(pattern) * 8)
    return _CONVERSION.sub(lambda match: _converted(match, moment, seconds), pattern)


_CONVERSION = re.compile(r"%(?P<flag>[-_0^]?)(?P<modifier>[EO]?)(?P<letter>[a-zA-Z%])")


def _converted(match: re.Match[str], moment: list[Any], seconds: int) -> str:
    convert = _WRITERS.get(match["letter"])
    if convert is None:
        return match[0]
    text = convert(moment, seconds)
    flag = match["flag"]
    if flag == "^":
        return text.upper()
    if flag and text.strip().isdecimal():
        digits = text.strip().lstrip("0") or "0"
        return digits if flag == "-" else digits.rjust(len(text), " " if flag == "_" else "0")
    return text


def _iso_week(moment: list[Any]) -> tuple[int, int]:
    """The year and number of the ISO 8601 week of *moment*."""
    year, yday = moment[0], moment[7]
    weekday = (moment[6] + 6) % 7
    week = (yday - weekday + 10) // 7
    if week < 1:
        return year - 1, _weeks(year - 1)
    return (year + 1, 1) if week > _weeks(year) else (year, week)


def _weeks(year: int) -> int:
    first = (days_from_civil(year, 1, 1) + 3) % 7
    leap = days_from_civil(year + 1, 1, 1) - days_from_civil(year, 1, 1) == 366
    return 53 if first == 3 or (first == 2 and leap) else 52


def _clock(moment: list[Any]) -> str:
    return f"{moment[3]:02}:{moment[4]:02}:{int(moment[5]):02}"


def _date(moment: list[Any]) -> str:
    return f"{moment[1] + 1:02}/{moment[2]:02}/{moment[0] % 100:02}"


_WRITERS: dict[str, Callable[[list[Any], int], str]] = {
    "%": lambda m, s: "%",
    "a": lambda m, s: _DAYS[m[6]][:3],
    "A": lambda m, s: _DAYS[m[6]],
    "b": lambda m, s: _MONTHS[m[1]][:3],
    "B": lambda m, s: _MONTHS[m[1]],
    "h": lambda m, s: _MONTHS[m[1]][:3],
    "c": lambda m, s: f"{_DAYS[m[6]][:3]} {_MONTHS[m[1]][:3]} {m[2]:2} {_clock(m)} {m[0]}",
    "C": lambda m, s: f"{m[0] // 100:02}",
    "d": lambda m, s: f"{m[2]:02}",
    "D": lambda m, s: _date(m),
    "e": lambda m, s: f"{m[2]:2}",
    "F": lambda m, s: f"{m[0]}-{m[1] + 1:02}-{m[2]:02}",
    "g": lambda m, s: f"{_iso_week(m)[0] % 100:02}",
    "G": lambda m, s: str(_iso_week(m)[0]),
    "H": lambda m, s: f"{m[3]:02}",
    "I": lambda m, s: f"{(m[3] + 11) % 12 + 1:02}",
    "j": lambda m, s: f"{m[7] + 1:03}",
    "k": lambda m, s: f"{m[3]:2}",
    "l": lambda m, s: f"{(m[3] + 11) % 12 + 1:2}",
    "m": lambda m, s: f"{m[1] + 1:02}",
    "M": lambda m, s: f"{m[4]:02}",
    "n": lambda m, s: "\n",
    "p": lambda m, s: "AM" if m[3] < 12 else "PM",
    "P": lambda m, s: "am" if m[3] < 12 else "pm",
    "r": lambda m, s: f"{(m[3] + 11) % 12 + 1:02}{_clock(m)[2:]} {'AM' if m[3] < 12 else 'PM'}",
    "R": lambda m, s: _clock(m)[:5],
    "s": lambda m, s: str(s),
    "S": lambda m, s: f"{int(m[5]):02}",
    "t": lambda m, s: "\t",
    "T": lambda m, s: _clock(m),
    "u": lambda m, s: str(m[6] or 7),
    "U": lambda m, s: f"{(m[7] + 7 - m[6]) // 7:02}",
    "V": lambda m, s: f"{_iso_week(m)[1]:02}",
    "w": lambda m, s: str(m[6]),
    "W": lambda m, s: f"{(m[7] + 7 - (m[6] + 6) % 7) // 7:02}",
    "x": lambda m, s: _date(m),
    "X": lambda m, s: _clock(m),
    "y": lambda m, s: f"{m[0] % 100:02}",
    "Y": lambda m, s: str(m[0]),
    "z": lambda m, s: "+0000",
    "Z": lambda m, s: "UTC",
}

_COMPOUND = {"D": "%m/%d/%y", "F": "%Y-%m-%d", "R": "%H:%M", "T": "%H:%M:%S", "r": "%I:%M:%S %p",
             "c": "%a %b %e %H:%M:%S %Y", "x": "%m/%d/%y", "X": "%H:%M:%S"}  # fmt: skip
_DIGITS = {"Y": (4, 0, 9999), "m": (2, 1, 12), "d": (2, 1, 31), "e": (2, 1, 31), "H": (2, 0, 23), "k": (2, 0, 23),
           "I": (2, 1, 12), "l": (2, 1, 12), "M": (2, 0, 59), "S": (2, 0, 60), "j": (3, 1, 366), "y": (2, 0, 99),
           "C": (2, 0, 99), "s": (18, 0, _FARTHEST), "u": (1, 1, 7), "w": (1, 0, 6), "U": (2, 0, 53),
           "W": (2, 0, 53), "V": (2, 0, 53), "G": (4, 0, 9999), "g": (2, 0, 99)}  # fmt: skip
_NAMES: dict[str, tuple[str, ...]] = {"a": _DAYS, "A": _DAYS, "b": _MONTHS, "B": _MONTHS, "h": _MONTHS}
_OFFSET = re.compile(r"Z|[+-]\d{2}(?::?\d{2})?")


def strptime(machine: Machine, text: Any, pattern: Any) -> list[Any]:
    """The broken-down time that *text* spells in the form of *pattern*; a zone in it is read and ignored."""
    if type(text) is not str or type(pattern) is not str:
        raise EvaluationError("strptime/1 requires string inputs and arguments")
    machine.text(len(text) + len(pattern))
    found: dict[str, int] = {}
    end = _read(text, 0, pattern, found)
    if end is None or text[end:].strip():
        raise EvaluationError(f'date "{text[:100]}" does not match format "{pattern[:100]}"')
    return _broken_down(machine, found)


def _read(text: str, at: int, pattern: str, found: dict[str, int]) -> int | None:
    """Read *text* from *at* as *pattern*; the offset after it, or None where they differ."""
    place = 0
    while place < len(pattern):
        character = pattern[place]
        place += 1
        if character.isspace():
            at = _skip(text, at)
            continue
        if character != "%" or place >= len(pattern):
            if text[at : at + 1] != character:
                return None
            at += 1
            continue
        if pattern[place] in "EO-_0^" and place + 1 < len(pattern):
            place += 1
        after = _read_conversion(text, at, pattern[place], found)
        if after is None:
            return None
        at, place = after, place + 1
    return at


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at].isspace():
        at += 1
    return at


def _read_conversion(text: str, at: int, letter: str, found: dict[str, int]) -> int | None:
    if letter in _COMPOUND:
        return _read(text, at, _COMPOUND[letter], found)
    if letter in {"n", "t"}:
        return _skip(text, at)
    if letter == "%":
        return at + 1 if text[at : at + 1] == "%" else None
    at = _skip(text, at)
    if letter in _DIGITS:
        width, low, high = _DIGITS[letter]
        match = re.compile(rf"[+-]?[0-9]{{1,{width}}}" if letter == "s" else rf"[0-9]{{1,{width}}}").match(
            text, at
        )
        if match is None or not low <= int(match[0]) <= high:
            return None
        found[{"e": "d", "k": "H", "l": "I"}.get(letter, letter)] = int(match[0])
        return match.end()
    if letter in _NAMES:
        return _read_name(text, at, letter, found)
    if letter in {"p", "P"}:
        found["p"] = int(text[at : at + 2].upper() == "PM")
        return at + 2 if text[at : at + 2].upper() in {"AM", "PM"} else None
    if letter == "z":
        offset = _OFFSET.match(text, at)
        return offset.end() if offset else None
    if letter == "Z":
        while at < len(text) and not text[at].isspace():
            at += 1
        return at
    return None


def _read_name(text: str, at: int, letter: str, found: dict[str, int]) -> int | None:
    lower = text[at : at + 9].lower()
    for number, name in enumerate(_NAMES[letter]):
        for form in (name.lower(), name[:3].lower()):
            if lower.startswith(form):
                found["a" if letter in "aA" else "b"] = number
                return at + len(form)
    return None


def _broken_down(machine: Machine, found: dict[str, int]) -> list[Any]:
    if "s" in found:
        return gmtime(machine, found["s"])
    year = found.get("Y", 1900)
    if "y" in found and "Y" not in found:
        century = found["C"] * 100 if "C" in found else (1900 if found["y"] >= 69 else 2000)
        year = century + found["y"]
    month = found.get("b", found.get("m", 1) - 1)
    day = found.get("d", 1)
    hour = found.get("H", 0)
    if "I" in found:
        hour = found["I"] % 12 + 12 * found.get("p", 0)
    if "j" in found and not {"b", "m", "d"} & found.keys():
        _, month, day = civil_from_days(days_from_civil(year, 1, 1) + found["j"] - 1)
        month -= 1
    days = days_from_civil(year, month + 1, 1) + day - 1
    return [
        year, month, day, hour, found.get("M", 0), found.get("S", 0),
        (days + 4) % 7, days - days_from_civil(year, 1, 1),
    ]  # fmt: skip
