"""Regular expressions of JSON Schema in time linear to the text, because both may come from outside."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import re2

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_ESCAPES = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


@lru_cache(maxsize=1024)
def compile_pattern(source: str) -> Any:
    r"""Compile an ECMA-262 pattern with RE2; ``\uXXXX`` is understood. `ValueError` if it cannot be:
    look-around and back-references have no linear-time form.
    """
    translated = _ESCAPES.sub(lambda match: rf"\x{{{match[1]}}}" if match[1] else match[0], source)
    try:
        return re2.compile(translated, _OPTIONS)
    except re2.error as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else reason
        raise ValueError(f"the pattern {source!r} is not supported: {reason}") from error


def matches(source: str, text: str) -> bool:
    """Whether the pattern occurs anywhere in *text*."""
    return compile_pattern(source).search(text) is not None
