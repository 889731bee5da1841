"""Take the values of secrets out of what a call gives back, in every form in which they may have come back."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, TypeAlias
from urllib.parse import quote, quote_plus

import re2

from workflow_engine.calls.url import REDACTED
from workflow_engine.errors import Fault
from workflow_engine.values import Json

SHORTEST = 4
"""Texts with fewer characters are hidden only where they are the whole of a string: they are parts of anything."""
_LINE = 16
_IN_URLS = "/:?[]@!$&'()*+,;=~"
_LONG = 512
"""From this length on a form is looked for as it is, and its beginnings up to here."""
_QUOTED = 4096
"""How much of the end of a text may be a quotation that was cut."""
_ENDS = re.compile(r"…|\.\.\.|$")
_Pattern: TypeAlias = Any


class Redaction:
    """Hides *values*, in capitals or not: as they are, percent-encoded, escaped in JSON, in base64 alone or amid other
    text, line by line, and as a beginning that was cut off.
    """

    def __init__(self, values: Iterable[str]) -> None:
        plain = {value for value in values if value}
        self._whole = frozenset(value.lower() for value in plain)
        found = {form for value in plain for form in _forms(value) if len(form) >= SHORTEST}
        forms = sorted(found, key=lambda form: (-len(form), form))
        self._long = [form for form in forms if len(form) > _LONG]
        short = [form for form in forms if len(form) <= _LONG]
        self._pattern: _Pattern | None = None
        if short:
            try:
                self._pattern = _compiled("|".join(map(_in_text_or_url, short)))
            except re2.error:  # so many that they are looked for one by one, as they are
                self._long += short
        self._by_start: dict[str, list[str]] = {}
        for form in forms:
            self._by_start.setdefault(form[:SHORTEST].lower(), []).append(form[:_LONG].lower())

    def text(self, text: str) -> str:
        """*text* without them, and without the beginnings of them at its end and before an ellipsis."""
        text = self._hidden(text)
        ends = [match.start() for match in _ENDS.finditer(text[-_QUOTED:])]
        before = max(0, len(text) - _QUOTED)
        for end in reversed(ends):
            at = self._beginning(text, before + end)
            if at is not None:
                text = text[:at] + REDACTED + text[before + end :]
        return text

    def _hidden(self, text: str) -> str:
        if text.lower() in self._whole:
            return REDACTED
        for form in self._long:
            text = text.replace(form, REDACTED)
        return text if self._pattern is None else str(self._pattern.sub(REDACTED, text))

    def _beginning(self, text: str, end: int) -> int | None:
        """Where a form begins that *text* has only the beginning of, up to *end*."""
        for at in range(max(0, end - _LONG), end - SHORTEST + 1):
            left = text[at:end].lower()
            if any(form.startswith(left) for form in self._by_start.get(left[:SHORTEST], ())):
                return at
        return None

    def json(self, value: Json) -> Json:
        """*value* without them, in its strings, its keys, and the numbers that they are."""
        if isinstance(value, str):
            return self._hidden(value)
        if isinstance(value, list):
            return [self.json(item) for item in value]
        if isinstance(value, dict):
            return {self._hidden(key): self.json(item) for key, item in value.items()}
        if isinstance(value, int | float) and not isinstance(value, bool):
            return REDACTED if len(str(value)) >= SHORTEST and str(value) in self._whole else value
        return value

    def fault(self, raised: Fault) -> Fault:
        """*raised* without them."""
        error = raised.error
        title = None if error.title is None else self.text(error.title)
        detail = None if error.detail is None else self.text(error.detail)
        return Fault(replace(error, type=self.text(error.type), title=title, detail=detail))


def texts(value: Json) -> Iterator[str]:
    """Every string in *value*, and every number as text."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)


def _forms(value: str) -> Iterator[str]:
    lines = [line.strip() for line in value.splitlines()]
    for text in {
        value,
        value.strip(),
        " ".join(value.split()),
        *(line for line in lines if len(line) >= _LINE),
    }:
        yield text
        yield json.dumps(text)[1:-1]
        yield json.dumps(text, ensure_ascii=False)[1:-1]
        yield quote(text, safe="")
        yield quote(text, safe=_IN_URLS)
        yield quote_plus(text)
        yield from _base64(text.encode("utf-8", errors="replace"))


def _compiled(pattern: str) -> _Pattern:
    """RE2 looks for all forms at once, in time that does not depend on how many there are."""
    options = re2.Options()
    options.max_mem = 256 * 1024 * 1024
    options.case_sensitive = False
    options.log_errors = False
    return re2.compile(pattern, options)


def _in_text_or_url(form: str) -> str:
    """A pattern for *form* in which each character stands for itself or for its percent-encoding: which ones are
    encoded depends on the part of a URL, and on who wrote it.
    """
    return "".join(map(_character, form))


def _character(char: str) -> str:
    if char.isalnum() and char.isascii():
        return char
    encoded = "".join(f"%{byte:02x}" for byte in char.encode("utf-8", errors="replace"))
    return f"(?:{re.escape(char)}|{encoded}{'|[+]' if char == ' ' else ''})"


def _base64(data: bytes) -> Iterator[str]:
    """What is sure to be in the base64 of any bytes that have *data* in them: it depends on where they begin."""
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        first = (before * 8 + 5) // 6
        last = (before + len(data)) * 8 // 6
        inside = encoded[first:last]
        if len(inside) >= 2 * SHORTEST:
            yield inside
            yield inside.translate(str.maketrans("+/", "-_"))
