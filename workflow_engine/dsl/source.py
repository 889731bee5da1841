"""YAML 1.2 or JSON text to data, with the line and column of every key and value.

The core schema of YAML 1.2 decides what a plain scalar is: ``on``, ``yes``, ``off``, ``2024-01-31`` and
``12:30`` are strings, only ``true`` and ``false`` are booleans (decision A69). What JSON cannot hold is a
problem: keys that are not strings, duplicate keys, custom tags, ``.inf``, integers beyond 64 bits.

Anchors and aliases are expanded, and the merge key ``<<`` of YAML 1.1 is understood, because authors share
settings with it: a key of the mapping itself wins over a merged one, an earlier merged mapping over a later,
and merged keys follow the mapping's own.

Text comes from outside, so size, depth, and the number and length of values after expansion are bounded
(`Limits`); nothing here recurses.
"""

from __future__ import annotations

from dataclasses import dataclass

from workflow_engine.dsl.json_text import NotJson, read_json
from workflow_engine.dsl.tree import Limits, Positions, TooMuch, TreeBuilder
from workflow_engine.dsl.yaml_text import read_yaml
from workflow_engine.errors import InvalidDocument, Problem
from workflow_engine.values import Json

__all__ = ["Limits", "Positions", "Source", "load", "read_source"]


@dataclass(frozen=True, slots=True)
class Source:
    """What a text holds: its *data*, where each part of it stands, and the *text* itself without a BOM."""

    data: Json
    positions: Positions
    text: str


def load(text: str | bytes, *, name: str = "<text>", limits: Limits = Limits()) -> Source:  # noqa: B008 - frozen
    """Read one YAML or JSON document; *name* is what errors call it.

    Raises `InvalidDocument` with every problem found; a syntax error or an exceeded limit is the last one,
    since nothing after it can be read.
    """
    source, problems = read_source(text, limits=limits)
    if problems or source is None:
        raise InvalidDocument(problems, name=name)
    return source


def read_source(text: str | bytes, *, limits: Limits = Limits()) -> tuple[Source | None, list[Problem]]:  # noqa: B008 - frozen
    """As `load`, with what could be read beside the problems; None where reading had to stop."""
    builder = TreeBuilder(limits)
    stopped: list[Problem] = []
    decoded = ""
    try:
        decoded = _decode(text, builder)
        if decoded.lstrip(" \t\r\n")[:1] in {"{", "[", '"'}:
            try:
                read_json(decoded, builder)
            except NotJson:  # flow style YAML begins so too
                builder = TreeBuilder(limits)
                read_yaml(decoded, builder)
        else:
            read_yaml(decoded, builder)
    except TooMuch as problem:
        stopped.append(problem.problem)
    found = sorted([*builder.problems, *stopped], key=lambda problem: (problem.line, problem.column))
    return None if stopped else Source(builder.data, builder.positions(), decoded), found


def _decode(text: str | bytes, builder: TreeBuilder) -> str:
    """The characters of *text* without a byte order mark."""
    most = builder.limits.bytes
    if len(text) > most or (isinstance(text, str) and len(text.encode(errors="replace")) > most):
        raise builder.stop("too-large", f"the text is longer than {most:,} bytes", 1, 1)
    if isinstance(text, str):
        return text.removeprefix("\ufeff")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        good = text.decode(errors="replace").partition("\ufffd")[0]
        place = good.count("\n") + 1, len(good) - good.rfind("\n")
        raise builder.stop("not-utf-8", "this is not UTF-8; save the file as UTF-8", *place) from None
