r"""jq's regular expressions on RE2, whose time is linear in the text: no pattern can freeze a worker.

jq uses Oniguruma. What RE2 cannot express (look-around, back-references, atomic groups) is refused with
the reason. ``\w``, ``\d`` and ``\s`` are widened to Unicode, as Oniguruma has them; ``\b`` stays ASCII,
and ``$`` is the end of the text alone, not also the place before a last line feed.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from workflow_engine.expressions.errors import EvaluationError
from workflow_engine.expressions.limits import Machine
from workflow_engine.expressions.ordering import type_name
from workflow_engine.expressions.rendering import excerpt

MAX_PATTERN = 4096
"""Longest pattern, in characters."""

_MEMORY = 8 << 20
_ASCII = {"d": "0-9", "w": "0-9A-Za-z_", "s": r"\t\n\v\f\r ", "h": "0-9a-fA-F"}
_UNICODE = {
    "d": r"\p{Nd}",
    "w": r"\p{L}\p{M}\p{Nd}\p{Nl}\p{No}\p{Pc}",
    "s": r"\t\n\v\f\r\x{85}\p{Z}",
    "h": "0-9a-fA-F",
}


class Match:
    """One match: offsets count characters, a group that took no part has the offset -1."""

    __slots__ = ("end", "groups", "start", "text")

    def __init__(
        self, start: int, end: int, text: str, groups: list[tuple[str | None, int, str | None]]
    ) -> None:
        self.start = start
        self.end = end
        self.text = text
        self.groups = groups

    def to_json(self) -> dict[str, Any]:
        """The object that ``match`` gives."""
        return {
            "offset": self.start,
            "length": self.end - self.start,
            "string": self.text,
            "captures": [
                {"offset": offset, "length": len(text or ""), "string": text, "name": name}
                for name, offset, text in self.groups
            ],
        }

    def named(self) -> dict[str, Any]:
        """The named groups, as ``capture`` gives them."""
        return {name: text for name, _, text in self.groups if name is not None}


def matches(
    machine: Machine, text: Any, pattern: Any, flags: Any, *, everywhere: bool = False
) -> list[Match]:
    """The matches of *pattern* in *text*: the first, or all with the flag ``g`` or *everywhere*."""
    regex, options = _prepared(machine, text, pattern, flags)
    every = everywhere or "g" in options
    names: list[str | None] = [None] * regex.groups
    for name, number in regex.groupindex.items():
        names[number - 1] = name
    found: list[Match] = []
    before = None
    for match in regex.finditer(_encodable(text)):
        machine.spend(16 + 4 * len(names))
        start, end = match.span()
        if (start, end) == before:  # the binding may give an empty match twice
            continue
        before = start, end
        if "n" not in options or start != end:
            groups = [(name, match.start(n), match.group(n)) for n, name in enumerate(names, 1)]
            found.append(Match(start, end, match.group(), groups))
        if not every:
            break
    return found


def test(machine: Machine, text: Any, pattern: Any, flags: Any) -> bool:
    """Whether *pattern* matches anywhere in *text*."""
    regex, options = _prepared(machine, text, pattern, flags)
    if "n" in options:
        return bool(matches(machine, text, pattern, flags))
    return regex.search(_encodable(text)) is not None


def _encodable(text: str) -> str:
    """*text* with halves of surrogate pairs, which UTF-8 does not have, replaced one by one."""
    if text.isascii():
        return text
    return text.encode("utf-8", "replace").decode()


def _prepared(machine: Machine, text: Any, pattern: Any, flags: Any) -> tuple[Any, str]:
    if type(text) is not str:
        raise EvaluationError(f"{type_name(text)} ({excerpt(text)}) cannot be matched, as it is not a string")
    if type(pattern) is not str:
        raise EvaluationError(
            f"{type_name(pattern)} ({excerpt(pattern)}) cannot be matched, as it is not a string"
        )
    if flags is not None and type(flags) is not str:
        raise EvaluationError(f"{type_name(flags)} ({excerpt(flags)}) is not a string")
    options = "".join(sorted(set(flags or "")))
    if set(options) - set("gimnpslx"):
        raise EvaluationError(f"{flags} is not a valid modifier string")
    regex = compiled(pattern, options)
    if isinstance(regex, str):
        raise EvaluationError(regex)
    # RE2 never takes longer than the text times the states that are alive at once. The classes of Unicode
    # have many states, of which few are.
    size = regex.programsize
    if not text.isascii():
        regex, size = compiled(pattern, options, ascii=False), 4 * size
    machine.spend(4 + (len(text) * (16 + size) >> 6))
    return regex, options


@lru_cache(maxsize=512)
def compiled(pattern: str, options: str, *, ascii: bool = True) -> Any:
    """The RE2 program of *pattern*, or the message why there is none; *ascii* for text that is all ASCII."""
    if len(pattern) > MAX_PATTERN:
        return f"a regular expression is longer than {MAX_PATTERN} characters"
    settings = re2.Options()
    settings.log_errors = False
    settings.max_mem = _MEMORY
    settings.case_sensitive = "i" not in options
    settings.dot_nl = "p" in options
    settings.longest_match = "l" in options
    try:
        return re2.compile(_translate(pattern, extended="x" in options, ascii=ascii), settings)
    except (re2.error, UnicodeError) as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
        return (
            f"the regular expression {excerpt(pattern)} is not RE2 syntax, which matches in linear time "
            f"(no look-around, no back-references): {reason}"
        )


def _translate(pattern: str, *, extended: bool, ascii: bool) -> str:
    """*pattern* with Oniguruma's escapes in RE2's terms; spaces and comments go where it is *extended*."""
    out: list[str] = []
    at, inside = 0, False
    while at < len(pattern):
        character = pattern[at]
        following = pattern[at + 1 : at + 2]
        at += 1
        if character == "\\" and following:
            at += 1
            out.append(_escape(following, inside=inside, classes=_ASCII if ascii else _UNICODE))
        elif inside:
            if character == "[" and following == ":" and (end := pattern.find(":]", at)) > 0:
                out.append(pattern[at - 1 : end + 2])
                at = end + 2
                continue
            inside = character != "]"
            out.append(character)
        elif character == "[":
            inside = True
            out.append(character)
            for opening in ("^", "]"):  # a bracket that comes first is itself
                if pattern.startswith(opening, at):
                    out.append("\\]" if opening == "]" else opening)
                    at += 1
        elif extended and character.isspace():
            continue
        elif extended and character == "#":
            end = pattern.find("\n", at)
            at = len(pattern) if end < 0 else end + 1
        else:
            out.append(character)
    return "".join(out)


def _escape(letter: str, *, inside: bool, classes: dict[str, str]) -> str:
    if letter in classes:
        return classes[letter] if inside else f"[{classes[letter]}]"
    if letter in {"D", "W", "S", "H"} and not inside:
        return f"[^{classes[letter.lower()]}]"
    if letter == "Z" and not inside:
        return r"\z"
    return "\\" + letter
