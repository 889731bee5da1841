"""What is in other files: operations of AsyncAPI and OpenAPI documents, functions of DSL 0.8, other workflows."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from lsprotocol import types

from workflow_engine.editing.kinds import flow_of
from workflow_engine.editing.language import language
from workflow_engine.editing.neighbours import Found, Neighbour, Workflow
from workflow_engine.editing.nodes import Node, Spot, spot, walk
from workflow_engine.editing.opened import Snapshot, file_at
from workflow_engine.editing.reading import MOST, read
from workflow_engine.editing.text import Text

FILE = "file://"
_RUN = {"run.workflow.name", "run.workflow.namespace", "run.workflow.version"}
_SUB_FLOW = {
    "action.subFlowRef",
    "action.subFlowRef.workflowId",
    "end.continueAs",
    "end.continueAs.workflowId",
}

_FILE = re.compile(r"(?!/)[\w./ -]{1,300}\.(?:json|ya?ml|proto|graphql|js|py)")
_ADDRESS = re.compile(r"https?://[^\s{}\"'<>]+")
_MOST = 500
_GROUPS = {
    "function": "functions", "event": "events", "retry": "retries", "error": "errors", "authentication": "auth",
}  # fmt: skip


def definition(
    of: Snapshot, offset: int, asyncapi: Sequence[Neighbour], workflows: Sequence[Workflow]
) -> list[types.Location]:
    """Where what the text at *offset* names is in another file of the folder."""
    here = spot(of.root, offset)
    if of.kind not in ("1.0", "0.8") or here.on_key or here.node.kind != "scalar":
        return []
    text = here.node.text
    name, _, operation = text.removeprefix(FILE).partition("#")
    there = file_of(of, text)
    if there is not None:
        return list(_in(there, of, operation))
    if text.startswith(FILE):
        files = [each.file for each in asyncapi if each.file.name == name.rpartition("/")[2]]
        return [found for file in files for found in _in(file, of, operation)]
    known = language(of.kind, of.root)
    labels = set() if known is None else {part.label for part in known.at(of.root, here.path)}
    if "openapi.operationId" in labels:
        document = of.root.at((*here.path[:-1], "document", "endpoint"))
        document = document if document is None or document.kind == "scalar" else document.child("uri")
        there = None if document is None else file_of(of, document.text)
        return [] if there is None else list(_in(there, of, text))
    wanted = _wanted(labels, here, of.root)
    those = [each for each in workflows if wanted == (each.namespace, each.name)]
    version = _version_of(here, of.root)
    those = [each for each in those if each.version == version] or those
    return [found for each in those for found in _head(each, of)] or list(_in_group(of, offset))


def _wanted(labels: set[str], here: Spot, root: Node) -> tuple[str, str] | None:
    """The namespace and the name of the workflow that is named at *here*."""
    if labels & _RUN:
        run = root.at(here.path[:-1])
        namespace, name = (None, None) if run is None else (run.child("namespace"), run.child("name"))
        return None if namespace is None or name is None else (namespace.text, name.text)
    return ("", here.node.text) if labels & _SUB_FLOW else None


def _version_of(here: Spot, root: Node) -> str:
    """The version that is named beside the workflow at *here*."""
    holder = root.at(here.path[:-1])
    node = None if holder is None else holder.child("version")
    return "" if node is None else node.text


def file_of(of: Snapshot, text: str) -> Path | None:
    """The file beside the document that *text* names, as the engine finds it; None where there is none."""
    name = text.removeprefix(FILE).partition("#")[0]
    here = file_at(of.uri)
    if here is None or _FILE.fullmatch(name) is None:
        return None
    path = here.parent / name
    try:
        return path if path.is_file() or of.others(path) is not None else None
    except (OSError, ValueError):
        return None


def beside(of: Snapshot, name: str) -> Node | None:
    """The tree of the file beside the document that is called *name*."""
    file = file_of(of, name)
    text = None if file is None else _text(file, of)
    return None if text is None else read(text.source)


def operations(of: Snapshot, name: str) -> list[str]:
    """The ids of the operations in the OpenAPI document beside this one that is called *name*."""
    root = beside(of, name)
    if root is None:
        return []
    found = (each.value.text for _, each in walk(root) if each.name == "operationId")
    return [id for id, _ in zip(dict.fromkeys(filter(None, found)), range(_MOST), strict=False)]


def links(of: Snapshot) -> list[types.DocumentLink]:
    """The values that are addresses, or name files beside the document."""
    found: list[types.DocumentLink] = []
    for _, entry in walk(of.root if of.kind is not None else Node("nothing", 0, 0)):
        node = entry.value
        if node.kind != "scalar" or node.style in ("block", "alias"):
            continue
        if _ADDRESS.fullmatch(node.text):
            target: str | None = node.text
        else:
            file = file_of(of, node.text)
            target = None if file is None else file.as_uri()
        if target is not None:
            found.append(types.DocumentLink(of.text.range(*node.inner), target=target))
        if len(found) >= _MOST:
            break
    return found


def _in_group(of: Snapshot, offset: int) -> Iterator[types.Location]:
    """Where the name at *offset* is defined in the file that has the functions, events and so on of DSL 0.8."""
    name = next((each for each in of.names if each.start <= offset <= each.end and not each.defines), None)
    group = None if name is None else _GROUPS.get(name.sort)
    holder = None if group is None else of.root.child(group)
    file = None if holder is None or holder.kind != "scalar" else file_of(of, holder.text)
    text = None if file is None else _text(file, of)
    if name is None or group is None or file is None or text is None:
        return
    root = read(text.source)
    for each in (root if root.kind == "list" else root.child(group) or root).entries:
        named = each.value.child("name")
        if named is not None and named.text == name.text:
            yield types.Location(file.as_uri(), text.range(named.start, named.end))


def _in(file: Path, of: Snapshot, operation: str) -> Iterator[types.Location]:
    """The operation in the *file*; its beginning where there is none of that name."""
    text = _text(file, of)
    if text is None:
        return
    found = False
    for path, entry in walk(read(text.source)) if operation else ():
        node = None
        if path == ("operations", operation):
            node = entry.key
        elif entry.name == "operationId" and entry.value.text == operation:
            node = entry.value
        if node is not None:
            found = True
            yield types.Location(file.as_uri(), text.range(node.start, node.end))
    if not found:
        yield types.Location(file.as_uri(), text.range(0, 0))


def _head(workflow: Workflow, of: Snapshot) -> Iterator[types.Location]:
    text = _text(workflow.file, of)
    if text is None:
        return
    root = read(text.source)
    path = ("document", "name") if workflow.namespace else ("metadata", "name") if flow_of(root) else ("id",)
    node = root.at(path)
    if node is not None:
        yield types.Location(workflow.file.as_uri(), text.range(node.start, node.end))


def _text(file: Path, of: Snapshot) -> Text | None:
    """What stands in *file*; in the editor, if it is open there."""
    if (open := of.others(file)) is not None:
        return open if len(open.source) <= MOST else None
    try:
        if file.stat().st_size > MOST:
            return None
        return Text(file.read_bytes().decode(), encoding=of.text.encoding)
    except (OSError, ValueError):
        return None


def in_folders(found: Found, query: str) -> list[types.SymbolInformation]:
    """The workflows of the folders and the operations of their AsyncAPI documents that have *query* in their names."""
    top = types.Range(types.Position(0, 0), types.Position(0, 0))
    named = [
        *((each.name, types.SymbolKind.Module, each.file, each.namespace) for each in found.workflows),
        *(
            (id, types.SymbolKind.Method, each.file, "")
            for each in found.asyncapi
            for id, _ in each.operations
        ),
    ]
    return [
        types.SymbolInformation(
            types.Location(file.as_uri(), top), name, kind, container_name=holder or file.name
        )
        for name, kind, file, holder in named
        if name.strip() and query.lower() in name.lower()
    ][:_MOST]
