"""Scalars of DSL 0.8 as earlier engines read them: ``terminate: "true"`` is true, ``version: 1.10`` is a text.

The engines that came before read them so, and their users' files are full of them. Each one is read as what it
says, with a warning; anything else is left to the schema, which refuses it.
"""

from __future__ import annotations

from collections.abc import Iterator

from workflow_engine.dsl.report import Path, Report
from workflow_engine.values import Json, JsonObject

_BOOLEANS = {"true": True, "false": False}


def read(data: JsonObject, report: Report) -> None:
    """Put booleans in the place of such texts, and the digits of a version in the place of its number."""
    for key in ("version", "specVersion"):
        if isinstance(data.get(key), int | float) and not isinstance(data[key], bool):
            digits = report.written((None, key))
            if key == "specVersion" and not digits.startswith("0.8"):
                continue
            message = f'the {key} is a text: put it in quotes: "{digits}"; it is read so'
            report.add("unquoted-version", message, (None, key), severity="warning")
            data[key] = digits
    if data.get("specVersion") in ("1.0", "1.0.0") and "states" in data:
        message = 'a document with `states` is one of DSL 0.8; "1.0" is read so: write specVersion: "0.8"'
        report.add("earlier-form", message, (None, "specVersion"), severity="warning")
        data["specVersion"] = "0.8"
    _unquote(data, report)


def _unquote(data: JsonObject, report: Report) -> None:
    """Put booleans in the place of such texts, for ``end``, its ``terminate`` and ``compensate``, and ``dataOnly``."""
    for state, at in _objects(data, "states", None):
        for body, place in [(state, at), *_ways(state, at)]:
            _replace(body, "end", place, report)
            for key, flags in (("end", ("terminate", "compensate")), ("transition", ("compensate",))):
                way = body.get(key)
                if isinstance(way, dict):
                    for flag in flags:
                        _replace(way, flag, (place, key), report)
    for event, at in _objects(data, "events", None):
        _replace(event, "dataOnly", at, report)


def _ways(state: JsonObject, at: Path) -> Iterator[tuple[JsonObject, Path]]:
    """The parts of a state that say where it goes on."""
    for key in ("dataConditions", "eventConditions", "onErrors"):
        yield from _objects(state, key, at)
    default = state.get("defaultCondition")
    if isinstance(default, dict):
        yield default, (at, "defaultCondition")


def _objects(body: JsonObject, key: str, at: Path) -> Iterator[tuple[JsonObject, Path]]:
    items: Json = body.get(key)
    for index, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict):
            yield item, ((at, key), index)


def _replace(body: JsonObject, key: str, at: Path, report: Report) -> None:
    written = body.get(key)
    if isinstance(written, str) and written in _BOOLEANS:
        body[key] = _BOOLEANS[written]
        message = (
            f'{key} is true or false, and not a text: "{written}" is read as {written}; leave out the quotes'
        )
        report.add("quoted-boolean", message, (at, key), severity="warning")
