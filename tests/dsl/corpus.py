"""Documents to try the schema check on: those of the specification, one with everything, and mutations of both."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from workflow_engine.dsl.source import load
from workflow_engine.values import Json, JsonObject

HERE = Path(__file__).parent
_YAML_BLOCK = re.compile(r'"""yaml\n(.*?)"""', re.DOTALL)
_REPLACEMENTS: dict[str, Json] = {
    "a word": "zz not it",
    "an empty string": "",
    "an expression": "${ .x }",
    "a fraction": 12.5,
    "a whole number": 7,
    "a negative number": -1,
    "a list": [],
    "an object": {},
    "a boolean": True,
    "null": None,
}


def everything(dialect: str) -> JsonObject:
    """A document that uses every property of *dialect* once."""
    return load((HERE / "documents" / f"everything-{dialect}.yaml").read_text()).data


def examples(spec: Path, dialect: str) -> Iterator[tuple[str, str]]:
    """Name and text of every example of the specification, and of every workflow in its conformance features."""
    for path in sorted((spec / dialect / "examples").iterdir()):
        yield path.name, path.read_text()
    for path in sorted((spec / dialect / "ctk").glob("*.feature")):
        for number, block in enumerate(_YAML_BLOCK.findall(path.read_text())):
            text = textwrap.dedent(block)
            if "document:" in text:
                yield f"{path.stem}-{number}", text


class Mutation(NamedTuple):
    """A document with one change: what was done, and to what, as a path with ``*`` for indices and names."""

    change: str
    place: str
    document: Json


def slices(document: JsonObject) -> Iterator[JsonObject]:
    """*document* in small ones, each with one task or state, since most of a document has no part in a check."""
    rest = {key: value for key, value in document.items() if key not in {"do", "states", "use"}}
    if "states" in document:
        small = {key: value for key, value in rest.items() if key in {"id", "specVersion"}}
        yield {**rest, "states": [{"name": "end", "type": "inject", "data": {}, "end": True}]}
        for state in document["states"]:
            yield {**small, "states": [state]}
        return
    yield {**rest, "do": []}
    for name, part in document.get("use", {}).items():
        yield {"document": document["document"], "do": [], "use": {name: part}}
    for task in document["do"]:
        yield {"document": document["document"], "do": [task]}


def mutations(document: JsonObject) -> Iterator[Mutation]:
    """Every document that differs from *document* by one value or property less, more or of another kind."""
    for path, value in _walk(document):
        place = "/".join("*" if isinstance(part, int) else part for part in path)
        if path:
            yield Mutation("without", place, _with(document, path))
        if isinstance(value, dict):
            yield Mutation(
                "with an unknown property", place, _with(document, path, {**value, "zzUnknown": 1})
            )
        for name, replacement in _REPLACEMENTS.items():
            if type(replacement) is not type(value) or isinstance(value, str):
                yield Mutation(f"to {name}", place, _with(document, path, replacement))


def _walk(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    yield path, value
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _walk(item, (*path, key))


def _with(document: Json, path: tuple[str | int, ...], *replacement: Json) -> Json:
    """*document* with the value at *path* replaced, or removed if there is no *replacement*."""
    if not path:
        return replacement[0]
    copy = json.loads(json.dumps(document))
    container = copy
    for part in path[:-1]:
        container = container[part]
    if replacement:
        container[path[-1]] = replacement[0]
    else:
        del container[path[-1]]
    return copy
