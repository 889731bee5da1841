"""What a subscription makes of an event before its target gets it: pure, bounded, and the same in each attempt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import orjson

from workflow_engine import expressions
from workflow_engine.errors import Rejected
from workflow_engine.events.cloudevents import normalize
from workflow_engine.values import Json, JsonObject, pointer

KINDS = ("data", "event")
_OF_DATA = frozenset({"data", "data_base64", "dataschema"})
_KEPT = ("specversion", "id", "source", "type", "time")
Transform: TypeAlias = JsonObject


class NotTransformed(ValueError):
    """An event cannot be transformed; the message says why. Trying again would not help."""


def check_transform(spec: Json, *path: str | int) -> None:
    """Raise `Rejected` for what is no transform: ``{"data": template}`` or ``{"event": template}``.

    A template is any JSON with expressions in ``${ … }``, which see the event as ``.``.
    """
    if not isinstance(spec, dict) or len(spec) != 1 or not set(spec) <= set(KINDS):
        raise Rejected("transform-invalid", "expected one of data and event", pointer=pointer(*path))
    [(kind, template)] = spec.items()
    check_template(template, *path, kind)


def check_template(template: Json, *path: str | int) -> None:
    """Raise `Rejected` for JSON that has an expression which is none."""
    try:
        expressions.template(template, variables=())
    except expressions.ExpressionError as error:
        raise Rejected("transform-invalid", str(error), pointer=pointer(*path)) from None


@lru_cache(maxsize=1024)
def _compiled(template: bytes) -> expressions.Template:
    return expressions.template(orjson.loads(template), variables=())


def filled(template: Json, event: JsonObject) -> Json:
    """What *template* gives for *event*, or `NotTransformed`."""
    try:
        return _compiled(orjson.dumps(template)).evaluate(event, {})
    except expressions.EvaluationError as error:
        raise NotTransformed(str(error)) from None


def transformed(spec: Transform, event: JsonObject) -> JsonObject:
    """The event that *spec* makes of *event*, or `NotTransformed`.

    With ``data`` only that is replaced, and ``dataschema`` left out, which is of what there was. With ``event`` all is,
    but for id, source, type and time where it says nothing of them.
    """
    [(kind, template)] = spec.items()
    made = filled(template, event)
    if kind == "data":
        changed = {name: value for name, value in event.items() if name not in _OF_DATA}
        return {**changed, "datacontenttype": "application/json", "data": made}
    if not isinstance(made, dict):
        raise NotTransformed("what `event` gives is no object")
    kept = {name: event[name] for name in _KEPT if name in event}
    try:
        return normalize({**kept, **made})
    except Rejected as error:
        raise NotTransformed(f"what `event` gives is no CloudEvent: {error.pointer}: {error}") from None


def all_transformed(spec: Transform, events: Sequence[JsonObject]) -> tuple[JsonObject, ...]:
    """Each of *events*, `transformed`: for a thread, where the templates may take their time."""
    return tuple(transformed(spec, event) for event in events)
