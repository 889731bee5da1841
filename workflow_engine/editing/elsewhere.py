"""Definitions in other files: operations of AsyncAPI documents, and workflows that are run by others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from lsprotocol import types

from workflow_engine.editing.language import language
from workflow_engine.editing.neighbours import Neighbour, Workflow
from workflow_engine.editing.nodes import Node, Spot, spot, walk
from workflow_engine.editing.opened import Snapshot
from workflow_engine.editing.reading import read
from workflow_engine.editing.text import Text

FILE = "file://"
_RUN = {"run.workflow.name", "run.workflow.namespace", "run.workflow.version"}
_SUB_FLOW = {
    "action.subFlowRef",
    "action.subFlowRef.workflowId",
    "end.continueAs",
    "end.continueAs.workflowId",
}


def definition(
    of: Snapshot, offset: int, asyncapi: Sequence[Neighbour], workflows: Sequence[Workflow]
) -> list[types.Location]:
    """Where what the text at *offset* names is in another file of the folder."""
    here = spot(of.root, offset)
    if of.kind not in ("1.0", "0.8") or here.on_key or here.node.kind != "scalar":
        return []
    text = here.node.text
    if text.startswith(FILE):
        name, _, operation = text.removeprefix(FILE).partition("#")
        files = [each.file for each in asyncapi if each.file.name == name.rpartition("/")[2]]
        return [found for file in files for found in _in(file, of, operation)]
    known = language(of.kind, of.root)
    labels = set() if known is None else {part.label for part in known.at(of.root, here.path)}
    wanted = _wanted(labels, here, of.root)
    return [found for each in workflows if wanted == (each.namespace, each.name) for found in _head(each, of)]


def _wanted(labels: set[str], here: Spot, root: Node) -> tuple[str, str] | None:
    """The namespace and the name of the workflow that is named at *here*."""
    if labels & _RUN:
        run = root.at(here.path[:-1])
        namespace, name = (None, None) if run is None else (run.child("namespace"), run.child("name"))
        return None if namespace is None or name is None else (namespace.text, name.text)
    return ("", here.node.text) if labels & _SUB_FLOW else None


def _in(file: Path, of: Snapshot, operation: str) -> Iterator[types.Location]:
    text = _text(file, of)
    if text is None:
        return
    if not operation:
        yield types.Location(file.as_uri(), text.range(0, 0))
    for path, entry in walk(read(text.source)) if operation else ():
        if path == ("operations", operation) and entry.key is not None:
            yield types.Location(file.as_uri(), text.range(entry.key.start, entry.key.end))
        elif entry.name == "operationId" and entry.value.text == operation:
            yield types.Location(file.as_uri(), text.range(entry.value.start, entry.value.end))


def _head(workflow: Workflow, of: Snapshot) -> Iterator[types.Location]:
    text = _text(workflow.file, of)
    if text is None:
        return
    path = ("document", "name") if workflow.namespace else ("id",)
    node = read(text.source).at(path)
    if node is not None:
        yield types.Location(workflow.file.as_uri(), text.range(node.start, node.end))


def _text(file: Path, of: Snapshot) -> Text | None:
    try:
        return Text(file.read_bytes().decode(), encoding=of.text.encoding)
    except (OSError, ValueError):
        return None
