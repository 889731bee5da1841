"""Which documents the server knows: workflows of both DSLs and AsyncAPI documents; all others are left alone."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal, TypeAlias
from urllib.parse import unquote, urlsplit

from workflow_engine.editing.nodes import CURSOR, Node

Kind: TypeAlias = Literal["1.0", "0.8", "asyncapi", "workflow"]
"""``workflow`` is one that does not say which DSL it is in: it is only checked."""

LANGUAGE = "serverless-workflow"
"""What an editor may call the language of a file, to say that it is a workflow whatever stands in it."""
_ROOT_1_0 = {"document", "input", "use", "do", "timeout", "output", "schedule", "evaluate"}
_ENDINGS = (".sw.yaml", ".sw.yml", ".sw.json")
_BESIDE_DOCUMENT = ("dsl", "namespace")
_BESIDE_STATES = ("specVersion", "id", "key", "start", "functions", "events")


def kind_of(root: Node, uri: str, language: str | None) -> Kind | None:
    """What the document at *uri* is, whose text is *root*; None where it is none of ours."""
    there = {each.name for each in root.entries} if root.kind == "mapping" else set[str]()
    document = root.child("document")
    older = "specVersion" in there or "states" in there
    if document is not None and not older:
        if "do" in there or any(document.child(name) is not None for name in _BESIDE_DOCUMENT):
            return "1.0"
    elif document is None and older and not there.isdisjoint(_BESIDE_STATES):
        return "0.8"
    if "asyncapi" in there:
        return "asyncapi"
    sonataflow = _text(root, "apiVersion").startswith("sonataflow.org/")
    both = document is not None and older
    named = _path(uri).name.endswith(_ENDINGS)
    return "workflow" if sonataflow or both or named or language == LANGUAGE else None


def _path(uri: str) -> PurePosixPath:
    try:
        return PurePosixPath(unquote(urlsplit(uri).path))
    except ValueError:
        return PurePosixPath()


def flow_of(root: Node) -> Node | None:
    """The workflow, in DSL 0.8, in the manifest *root* of SonataFlow; None where it is no such manifest."""
    if _text(root, "kind") != "SonataFlow" or not _text(root, "apiVersion").startswith("sonataflow.org/"):
        return None
    return root.at(("spec", "flow"))


def _text(root: Node, name: str) -> str:
    node = root.child(name)
    return "" if node is None else node.text


def likely(root: Node) -> Kind | None:
    """What a document most likely will be, of which too little is there: one whose properties are all of DSL 1.0."""
    there = {each.name for each in root.entries if CURSOR not in each.name}
    return "1.0" if root.kind == "mapping" and "document" in there and there <= _ROOT_1_0 else None
