"""Checks of strings, numbers and booleans, compiled from schemas."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from workflow_engine.dsl.report import Path, Report
from workflow_engine.dsl.wording import closest, kind, listing, shown
from workflow_engine.values import Duration, Json

Check: TypeAlias = Callable[[Json, Path, Report], None]
Complaint: TypeAlias = Callable[[str], "str | None"]
"""What is wrong with a text, in words; None if nothing is."""


def refused(schema: dict[str, Any]) -> Check:
    """Refuses any value: the schema's title says why."""
    code = schema["x-codes"]["not"]
    message = schema["title"]
    return lambda value, path, report: report.add(code, message, path, at_key=True)


def string_rule(schema: dict[str, Any]) -> Check:
    """Checks type, ``minLength``, ``enum``, ``pattern``, ``format`` and an ``anyOf`` of the latter two."""
    codes = schema.get("x-codes", {})
    shortest = schema.get("minLength", 0)
    expected = schema.get("title", "a string that is not empty" if shortest else "a string")
    complaints = [(codes.get(word, "invalid-value"), complaint) for word, complaint in _complaints(schema)]

    def check(value: Json, path: Path, report: Report) -> None:
        if not isinstance(value, str):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            code = codes.get("number", "wrong-type") if number else "wrong-type"
            fits = [complaint for _, complaint in complaints] if number else []
            quotable = value is not None and not isinstance(value, list | dict)
            hint = _quote(report.written(path), fits) if quotable else ""
            report.add(code, f"expected {expected}, got {kind(value)}{hint}", path)
        elif len(value) < shortest:
            report.add("invalid-value", f"expected {expected}, got an empty string", path)
        else:
            for code, complaint in complaints:
                message = complaint(value)
                if message is not None:
                    report.add(code, message, path)
                    return

    return check


def _quote(written: str, complaints: Sequence[Complaint]) -> str:
    """Advice to quote what is *written*; of a version that is too short, in full. None where quotes would not help."""
    for text in (written, f"{written}.0", f"{written}.0.0"):
        if written and not any(complaint(text) for complaint in complaints):
            return f'; put it in quotes: "{text}"'
    return "" if written else "; put it in quotes"


def _complaints(schema: dict[str, Any]) -> list[tuple[str, Complaint]]:
    expected = schema.get("title", "something else")
    found: list[tuple[str, Complaint]] = []
    if "enum" in schema:
        found.append(("enum", _one_of(schema["enum"])))
    if "pattern" in schema:
        word = "name" if schema.get("x-codes", {}).get("pattern") == "invalid-name" else ""
        found.append(("pattern", _matches(schema["pattern"], expected, word)))
    if "format" in schema:
        found.append(("format", _duration))
    if "anyOf" in schema:
        options = [complaint for option in schema["anyOf"] for _, complaint in _complaints(option)]

        def none_fits(text: str) -> str | None:
            told = [option(text) for option in options]
            return f"expected {expected}, got {shown(text)}" if None not in told else None

        found.append(("anyOf", none_fits))
    return found


def _one_of(values: list[str]) -> Complaint:
    accepted = frozenset(values)

    def complaint(text: str) -> str | None:
        if text in accepted:
            return None
        guess = closest(text, values)
        hint = f"; did you mean {shown(guess)}?" if guess is not None else ""
        return f"expected {listing(values)}, got {shown(text)}{hint}"

    return complaint


def _matches(pattern: str, expected: str, word: str) -> Complaint:
    # In Python, unlike in JSON Schema's dialect, $ matches before a last line break too.
    matcher = re.compile(re.sub(r"\$$", r"\\Z", pattern))

    def complaint(text: str) -> str | None:
        if matcher.search(text) is not None:
            return None
        slug = re.sub("[^a-zA-Z0-9]+", "-", text[:200])[:63].strip("-") if word else ""
        hint = f"; use {slug}" if slug and matcher.search(slug) else ""
        return f"expected {expected}, got {shown(text)}{hint}"

    return complaint


def _duration(text: str) -> str | None:
    try:
        Duration.parse(text)
    except ValueError as error:
        return str(error) if len(text) < 60 else f"{shown(text)} is not an ISO 8601 duration such as PT1H30M"
    return None


def number_rule(schema: dict[str, Any]) -> Check:
    """Checks that a value is a number or a whole number, and its bounds."""
    whole = schema["type"] == "integer"
    expected = schema.get("title", "a whole number" if whole else "a number")
    least, most = schema.get("minimum"), schema.get("maximum")

    def check(value: Json, path: Path, report: Report) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            hint = "; leave the quotes out" if isinstance(value, str) and value.isdecimal() else ""
            report.add("wrong-type", f"expected {expected}, got {kind(value)}{hint}", path)
        elif whole and value != int(value):
            report.add("wrong-type", f"expected {expected}, got {report.written(path)}", path)
        elif least is not None and value < least:
            report.add("invalid-value", f"{report.written(path)} is less than {least}", path)
        elif most is not None and value > most:
            report.add("invalid-value", f"{report.written(path)} is more than {most}", path)

    return check


def boolean_rule(schema: dict[str, Any]) -> Check:
    """Checks that a value is a boolean, and with ``const`` which one."""
    expected = schema.get("title", "true or false")
    wanted = schema.get("const")

    def check(value: Json, path: Path, report: Report) -> None:
        if not isinstance(value, bool):
            words = {"true", "false", "yes", "no", "on", "off"}
            hint = "; write true or false" if isinstance(value, str) and value.lower() in words else ""
            report.add("wrong-type", f"expected {expected}, got {kind(value)}{hint}", path)
        elif wanted is not None and value is not wanted:
            report.add("invalid-value", f"expected {expected}, got {kind(value)}", path)

    return check
