"""How problems are put into words: what a value is, what a name was meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from json import dumps

from workflow_engine.values import Json

_LONGEST = 60
_MOST = 14


def shown(text: str) -> str:
    """*text* in double quotes, shortened, as messages cite what an author wrote."""
    return dumps(text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...", ensure_ascii=False)


def ticked(name: str) -> str:
    """*name* in backquotes, shortened, as messages cite a key or keyword."""
    return f"`{name if len(name) <= _LONGEST else name[: _LONGEST - 3] + '...'}`"


def kind(value: Json) -> str:
    """What *value* is, as a noun: a string, a list, nothing."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, bool):
        return f"the boolean {dumps(value)}"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"


def listing(names: Sequence[str], last: str = "or") -> str:
    """``a``, ``b`` or ``c``, of which a long list shows the first."""
    if len(names) > _MOST:
        return ", ".join(ticked(name) for name in names[:_MOST]) + ", ..."
    if len(names) < 2:
        return "".join(ticked(name) for name in names)
    return ", ".join(ticked(name) for name in names[:-1]) + f" {last} {ticked(names[-1])}"


def closest(name: str, known: Iterable[str]) -> str | None:
    """Which of *known* an author who wrote *name* most likely meant, if any."""
    candidates = list(known)
    folded = {_fold(candidate): candidate for candidate in reversed(candidates)}
    if _fold(name) in folded:
        return folded[_fold(name)]
    if len(name) > _LONGEST:
        return None
    matches = get_close_matches(_fold(name), folded, n=1, cutoff=0.72)
    return folded[matches[0]] if matches else None


def _fold(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")
