"""Values that are names in other files: channels and operations of AsyncAPI, operations of OpenAPI, workflows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from lsprotocol import types

from workflow_engine.editing.elsewhere import operations
from workflow_engine.editing.language import Part
from workflow_engine.editing.neighbours import Beside, Found
from workflow_engine.editing.nodes import CURSOR, Node

if TYPE_CHECKING:
    from workflow_engine.editing.completion import Place

_ITEM = types.CompletionItemKind
Value = tuple[str, types.CompletionItemKind, str]
"""A value, what it is, and what is told of it."""


def of_neighbours(place: Place, parts: Sequence[Part], neighbours: Found | Beside) -> Iterator[Value]:
    """What *neighbours*, and files that the document names, have for the value at *place*."""
    labels = {part.label for part in parts}
    if "asyncapi.channel" in labels:
        for each in neighbours.asyncapi:
            for channel in each.channels:
                yield channel, _ITEM.Event, each.file.name
    if "asyncapi.operation" in labels:
        document = place.root.at((*place.spot.path[:-1], "document"))
        for each in neighbours.asyncapi:
            for id, what in each.operations:
                text = id if document is not None else f"file://{each.file.name}#{id}"
                yield text, _ITEM.Event, what
    yield from _of_workflows(place, labels, neighbours)
    yield from _of_openapi(place, labels)
    if "function.operation" in labels:
        type = place.root.at((*place.spot.path[:-1], "type"))
        if type is None or type.text == "asyncapi":
            for each in neighbours.asyncapi:
                for id, what in each.operations:
                    yield f"file://{each.file.name}#{id}", _ITEM.Event, what


def _of_openapi(place: Place, labels: set[str]) -> Iterator[Value]:
    """The operations of the OpenAPI document beside this one that is named."""
    if "openapi.operationId" in labels:
        named = place.root.at((*place.spot.path[:-1], "document", "endpoint"))
        named = named if named is None or named.kind == "scalar" else named.child("uri")
        for id in operations(place.of, "" if named is None else named.text):
            yield id, _ITEM.Method, "an operation"
    if "function.operation" in labels:
        name, found, _ = place.spot.node.text.replace(CURSOR, "").partition("#")
        for id in operations(place.of, name) if found else ():
            yield f"{name}#{id}", _ITEM.Method, "an operation"


def _of_workflows(place: Place, labels: set[str], neighbours: Found | Beside) -> Iterator[Value]:
    """The workflows that can be run by another."""
    run = place.root.at(place.spot.path[:-1])
    for part in ("namespace", "name", "version") if run is not None else ():
        if f"run.workflow.{part}" in labels:
            for each in neighbours.workflows:
                beside = (("namespace", each.namespace), ("name", each.name))
                fits = all(_says(run, name, text) for name, text in beside if name != part)
                if each.namespace and fits:
                    yield str(getattr(each, part)), _ITEM.Module, each.file.name
    if labels & {"action.subFlowRef", "action.subFlowRef.workflowId"}:
        for each in neighbours.workflows:
            if not each.namespace:
                yield each.name, _ITEM.Module, each.file.name


def _says(run: Node | None, name: str, text: str) -> bool:
    node = None if run is None else run.child(name)
    return node is None or not node.text or node.text == text
