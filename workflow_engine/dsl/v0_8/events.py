"""The events of a 0.8 document: which one a state waits for, and how one is published (dsl.md §2.5)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflow_engine.dsl import event_attributes
from workflow_engine.dsl.v0_8.definitions import objects
from workflow_engine.dsl.v0_8.variables import SECRETS, WORKFLOW
from workflow_engine.expressions import Template
from workflow_engine.graph.model import Emit, EventFilter
from workflow_engine.values import Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

CONSTANTS = frozenset({"CONST"})


def event_filter(lowering: WorkflowLowering, name: str, at: str) -> EventFilter:
    """The filter of the event definition *name*; attribute names compare without case (decision B21)."""
    if name not in lowering.events:
        lowering.undefined("event", name, at)
        return EventFilter({})
    definition, _ = lowering.events[name]
    if definition.get("kind") == "produced":
        message = f"the event {name!r} is defined as produced; a state can only wait for a consumed one"
        lowering.problem("wrong-event-kind", message, at)
    attributes: JsonObject = {"type": {"equals": definition.get("type")}}
    source = definition.get("source")
    if isinstance(source, str) and source:
        wildcard = any(part in {"+", "#"} for part in source.split("/"))
        attributes["source"] = {"mqtt": source} if wildcard else {"equals": source}
    only_data = definition.get("dataOnly", True) is not False
    correlate = _correlation(lowering, name)
    return EventFilter(attributes, correlate, True, name, only_data, remembers=bool(correlate))


def _correlation(lowering: WorkflowLowering, name: str) -> tuple[tuple[str, str, Template | None], ...]:
    """Which attributes of an event tell whether it belongs to a run, by their names in small letters (B20, B21)."""
    definition, place = lowering.events[name]
    rules = []
    for number, rule in enumerate(objects(definition.get("correlation"))):
        key = str(rule.get("contextAttributeName")).lower()
        at = f"{place}/correlation/{number}"
        event_attributes.check_wanted(lowering, key, f"{at}/contextAttributeName")
        value, at = rule.get("contextAttributeValue"), f"{at}/contextAttributeValue"
        expected = None if value is None else lowering.template(value, CONSTANTS, at)
        if expected is not None and expected.variables & (SECRETS | WORKFLOW):
            lowering.unsupported(
                "`$SECRETS` or `$WORKFLOW` in what an event is compared with, which the router keeps", at
            )
        rules.append((key, f".[{json.dumps(key)}]", expected))
    return tuple(rules)


def _context_attributes(item: JsonObject, at: str) -> Iterator[tuple[str, Json, str]]:
    """The ``contextAttributes`` of *item*, an object or a list of objects (B45): name, value and place of each."""
    given, place = item.get("contextAttributes"), f"{at}/contextAttributes"
    listed = (
        [(each, f"{place}/{number}") for number, each in enumerate(given)] if isinstance(given, list) else []
    )
    for attributes, where in listed or [(given, place)]:
        for attribute, value in (attributes if isinstance(attributes, dict) else {}).items():
            yield attribute, value, where + pointer(attribute)


def produced(lowering: WorkflowLowering, item: JsonObject, key: str, at: str) -> Emit:
    """Publish the event that *item* names under *key*, with its ``data`` and ``contextAttributes`` (decision B45).

    Without ``data`` the payload is the state data. Names of attributes are written small, as CloudEvents wants them.
    """
    name = str(item.get(key))
    definition: JsonObject = {}
    places = {"data": f"{at}/data"}
    if name in lowering.events:
        definition, defined = lowering.events[name]
        places |= {known: f"{defined}/{known}" for known in ("type", "source")}
        if "kind" not in definition:
            message = f"what is published needs `kind: produced`; the event {name!r} has none, and is read so"
            lowering.warning("earlier-form", message, f"{at}/{key}")
        elif definition.get("kind") != "produced":
            message = f"the event {name!r} is defined as consumed; what is published needs `kind: produced`"
            lowering.problem("wrong-event-kind", message, f"{at}/{key}")
    else:
        lowering.undefined("event", name, f"{at}/{key}")
    data: Json = item.get("data", lowering.everything)
    if isinstance(data, str):
        lowering.expression(data, CONSTANTS, f"{at}/data")  # so that a problem has its place
        program = lowering.unwrapped(data)
        if not lowering.jsonpath:  # JSONPath is translated once, with the whole event
            program = lowering.inlined(program, f"{at}/data")
        data = f"${{ {program}\n}}"
    event: JsonObject = {"type": definition.get("type"), "data": data}
    if isinstance(definition.get("source"), str) and definition["source"]:
        event["source"] = definition["source"]
    for attribute, value, place in _context_attributes(item, at):
        if attribute.lower() in event:
            message = f"the event has `{attribute.lower()}` already, from its definition or written before"
            lowering.nonsense(event_attributes.CODE, message, place)
        else:
            event[attribute.lower()], places[attribute.lower()] = value, place
    event_attributes.check_published(lowering, event, places.__getitem__)
    before = len(lowering.problems)
    template = lowering.template(event, CONSTANTS, at)
    if lowering.wrong(before):
        del lowering.problems[before:]
        for part in ("data", "contextAttributes"):
            lowering.template(item.get(part), CONSTANTS, f"{at}/{part}")
    return Emit(template, lowering.channel(definition.get("metadata"), f"{at}/{key}"))
