"""Events: which ones a task listens for, what it takes from them, and how one is published."""

from __future__ import annotations

import re

from workflow_engine.dsl.migration import jq
from workflow_engine.dsl.migration.writing import Writer, task
from workflow_engine.dsl.v0_8.actions import last_name
from workflow_engine.dsl.v0_8.definitions import objects
from workflow_engine.values import Json, JsonObject


def wanted(writer: Writer, name: str, at: str, *, starts: bool = False) -> JsonObject:
    """The filter for the event *name*; *starts*: it starts runs, so that there is nothing yet that it belongs to."""
    definition, place = writer.lowering.events[name]
    attributes: JsonObject = {"type": jq.plain(str(definition.get("type")))}
    source = definition.get("source")
    if isinstance(source, str) and source:
        attributes["source"] = jq.attribute(source)
    made: JsonObject = {"with": attributes}
    correlate: JsonObject = {}
    for number, rule in enumerate(objects(definition.get("correlation"))):
        key = str(rule.get("contextAttributeName")).lower()
        entry: JsonObject = {"from": jq.slot(jq.path((key,)))}
        value = rule.get("contextAttributeValue")
        if value is not None:
            entry["expect"] = writer.value(value, f"{place}/correlation/{number}/contextAttributeValue")
        elif writer.lowering.starts_by_event and not starts:
            entry["expect"] = jq.slot(f"$workflow.input[0]{jq.path((key,))}")
        elif not starts:
            writer.differs(
                at,
                f"0.8 compares {key!r} with what the run knows of it, 1.0 only if `expect` says what",
                "give `correlate` an `expect`",
            )
        correlate[key] = entry
    return {**made, "correlate": correlate} if correlate else made


def strategy(writer: Writer, names: list[str], at: str, *, every: bool, starts: bool = False) -> JsonObject:
    """Wait for one of *names*, or for *every* one."""
    listed: list[Json] = [wanted(writer, name, at, starts=starts) for name in names]
    if len(listed) == 1:
        return {"one": listed[0]}
    return {"all" if every else "any": listed}


def channel(writer: Writer, holder: JsonObject, at: str) -> JsonObject | None:
    """The metadata for the channel that *holder* names."""
    found = writer.lowering.channel(holder.get("metadata"), at)
    return None if found == "default" else {"channel": found}


def names_of(handler: JsonObject) -> list[str]:
    """The events of an entry of ``onEvents`` or ``eventConditions``, or of a callback."""
    names = handler.get("eventRefs")
    return [str(name) for name in names] if isinstance(names, list) else [str(handler.get("eventRef"))]


def is_one_of(writer: Writer, handler: JsonObject) -> str:
    """Whether ``.``, an event, is for *handler*."""
    tests = list(dict.fromkeys(jq.is_event(writer.lowering.events[name][0]) for name in names_of(handler)))
    return tests[0] if len(tests) == 1 else " or ".join(f"({test})" for test in tests)


def taken(
    writer: Writer, handler: JsonObject, at: str, events: str, *, alone: bool, many: bool
) -> tuple[str, str]:
    """What must be defined, and a program on state data that merges those of *events* in that are for *handler*.

    *alone*: no other handler waits for any; *many*: there may be more than one.
    """
    given = handler.get("eventDataFilter")
    known: JsonObject = given if isinstance(given, dict) else {}
    if known.get("useData", True) is False:
        return "", "."
    seen = _seen(writer, handler)
    chosen = known.get("data")
    if chosen is not None:
        seen = f"({seen} | {writer.one(chosen, f'{at}/eventDataFilter/data')})"
    name = (last_name(str(chosen)) if chosen is not None else None) or "response"
    path = writer.lowering.path(known.get("toStateData"), f"{at}/eventDataFilter/toStateData")
    merging = jq.Merging(path, name)
    if alone and not many:
        return merging.defines, f"({events}[0] | {seen}) as $result | {merging.program('$result')}"
    only = "" if alone else f" | select({is_one_of(writer, handler)})"
    merged = f"reduce ({events}[]{only} | {seen}) as $result (.; {merging.program('$result')})"
    return merging.defines, merged


def _seen(writer: Writer, handler: JsonObject) -> str:
    """What is seen of an event: its data, or all of it where ``dataOnly`` is false."""
    known = [writer.lowering.events[name][0] for name in names_of(handler)]
    whole = [definition for definition in known if definition.get("dataOnly", True) is False]
    if not whole:
        return ".data"
    if len(whole) == len(known):
        return "."
    tests = " or ".join(f"({jq.is_event(definition)})" for definition in whole)
    return f"(if {tests} then . else .data end)"


def emit(writer: Writer, item: JsonObject, key: str, at: str) -> JsonObject:
    """Publish the event that *item* names under *key*; without ``data`` its payload is the state data (B45)."""
    definition, place = writer.lowering.events[str(item.get(key))]
    data: Json = item.get("data", "${ . }")
    data = (
        jq.slot(writer.source(data, f"{at}/data"))
        if isinstance(data, str)
        else writer.value(data, f"{at}/data")
    )
    source = definition.get("source")
    if not isinstance(source, str):
        name = writer.lowering.data.get("id") or writer.lowering.data.get("key")
        source = f"/default/{re.sub(r'[^A-Za-z0-9._~-]+', '-', str(name))}"
        writer.differs(place, f"1.0 wants a `source` for an event that is published: it is {source}")
    event: JsonObject = {"source": source, "type": definition.get("type"), "data": data}
    given = item.get("contextAttributes")
    for attributes in given if isinstance(given, list) else [given]:
        for attribute, value in (attributes if isinstance(attributes, dict) else {}).items():
            event.setdefault(attribute.lower(), writer.value(value, f"{at}/contextAttributes"))
    return task(emit={"event": {"with": event}}, metadata=channel(writer, definition, place))
