"""What a run is pinned to: a document and every external thing it needs, known by the digest of both.

A bundle travels in the start arguments of a run, so that its history is whole and a new deployment cannot
change it. The bytes are JSON, keys in document order: as they are while they are few, compressed beyond that; the
Temporal UI shows both, by the codec server. A worker keeps what it compiled by digest.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson

from workflow_engine import dsl
from workflow_engine.dsl.document import Dialect, Document
from workflow_engine.dsl.tree import Place, Positions
from workflow_engine.errors import Rejected
from workflow_engine.graph.model import StateGraph
from workflow_engine.values import Json

MAX_BYTES = 16 * 1024 * 1024
"""The largest bundle, uncompressed; a compressed one must also fit a payload (2 MB by default)."""
MAX_COMPRESSED = 1_900_000
READABLE = 2 * 1024
"""Up to this many bytes a bundle travels as plain JSON. Each run has it in its history: a larger one costs less
compressed, and the codec server shows what is in it.
"""
FORMAT = 1
SEMANTICS = 8
"""What the interpreter asks of Temporal for the runs that start now. It travels as metadata of the bundle's payload, so
that it costs nothing and a run under way goes on as it began: runs from before it was told have 1.
2: express runs. 3: the attempts at one call, and the filters of its output, are left to its activity.
4: loops whose iterations are side by side (DSL 1.0). 5: every sub-flow that is waited for outlives the history in which
it was begun, and what a run is to end by is not lost where something else of it ends in the same moment.
6: `multipleOf` of a schema goes by decimal digits; months that a run may take are those from its beginning.
7: a call that nothing else goes on beside is made within the workflow task where nothing is lost by that. 8: several
in a row are, where their worker keeps what each gave before the next is begun."""
_NOWHERE = Positions(Place(0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A document and its resources: JSON, or compressed JSON, and the sha256 of the JSON."""

    digest: str
    data: bytes
    semantics: int = SEMANTICS

    @classmethod
    def of(cls, document: Document, resources: Mapping[str, Json], *, express: bool | None = None) -> Bundle:
        """Bundle *document*; `Rejected` when it is too large to travel.

        *express* is what its deployer wants (`StateGraph.express`); None leaves it to the document.
        """
        content: dict[str, Any] = {
            "format": FORMAT,
            "dialect": document.dialect,
            "document": document.data,
            "resources": dict(resources),
        }
        if express is not None:
            content["express"] = express
        plain = orjson.dumps(content)
        packed = zlib.compress(plain, 6)
        if len(plain) > MAX_BYTES or len(packed) > MAX_COMPRESSED:
            raise Rejected(
                "bundle-too-large",
                f"the document with its resources is {len(plain):,} bytes ({len(packed):,} compressed); at most "
                f"{MAX_BYTES:,} ({MAX_COMPRESSED:,}) can travel with a run",
                status=413,
            )
        return cls(hashlib.sha256(plain).hexdigest(), plain if len(plain) <= READABLE else packed)

    @property
    def readable(self) -> bool:
        """Whether *data* is plain JSON."""
        return self.data.startswith(b"{")

    def graph(self) -> StateGraph:
        """The compiled graph, from memory when this process has seen the bundle before."""
        return _graph(self.digest, self.data)

    def open(self) -> tuple[Document, dict[str, Json]]:
        """The document, without places, and the resources."""
        content = self._content()
        document = Document(content["dialect"], content["document"], _NOWHERE, self.digest[:12], "")
        return document, content["resources"]

    @property
    def express(self) -> bool | None:
        """What the deployer wants; None: what the document says."""
        wanted: bool | None = self._content().get("express")
        return wanted

    def expressed(self, express: bool | None) -> Bundle:
        """This bundle for express runs, or for those that are not; None: as it is."""
        return self if express is None else _expressed(self, express)

    def plain(self) -> bytes:
        """The JSON; `Rejected` where that is too large, or is not what the digest says."""
        try:
            plain = self.data if self.readable else zlib.decompressobj().decompress(self.data, MAX_BYTES + 1)
        except zlib.error:
            plain = b""
        if len(plain) > MAX_BYTES:
            raise Rejected(
                "bundle-too-large", f"the bundle {self.digest[:12]} unpacks to over {MAX_BYTES:,} bytes"
            )
        if hashlib.sha256(plain).hexdigest() != self.digest:
            raise Rejected(
                "bundle-damaged", f"the bundle {self.digest[:12]} does not have the content it says"
            )
        return plain

    def _content(self) -> dict[str, Any]:
        content: dict[str, Any] = orjson.loads(self.plain())
        if content.get("format") != FORMAT:
            raise Rejected(
                "bundle-format", f"bundle format {content.get('format')!r} is not known to this version"
            )
        return content


def says_express(document: Document) -> bool:
    """Whether *document* itself says whether its runs are express."""
    header = document.data if document.dialect == "0.8" else document.data.get("document")
    metadata = header.get("metadata") if isinstance(header, dict) else None
    return isinstance(metadata, dict) and "express" in metadata


def bundle_of(graph: StateGraph) -> Bundle:
    """The bundle that *graph* was compiled from."""
    dialect: Dialect = "1.0" if graph.dialect == "1.0" else "0.8"
    document = Document(dialect, graph.source, _NOWHERE, graph.name.name, "")
    return Bundle.of(document, graph.resources, express=graph.express)


def retimed(bundle: Bundle, timeout: Json) -> Bundle:
    """*bundle* with *timeout* as its ``workflowExecTimeout`` (DSL 0.8 ``continueAs``).

    `InvalidDocument` when it cannot be, such as for a ``runBefore`` that the workflow has not.
    """
    document, resources = bundle.open()
    assert isinstance(document.data, dict)
    given = document.data.get("timeouts")
    timeouts = {**(given if isinstance(given, dict) else {}), "workflowExecTimeout": timeout}
    changed = replace(document, data={**document.data, "timeouts": timeouts})
    dsl.compile(changed, resources)
    return Bundle.of(changed, resources, express=bundle.express)


@lru_cache(maxsize=256)
def _graph(digest: str, data: bytes) -> StateGraph:
    bundle = Bundle(digest, data)
    document, resources = bundle.open()
    graph = dsl.compile(document, resources)
    return graph if bundle.express is None else replace(graph, express=bundle.express)


@lru_cache(maxsize=256)
def _expressed(bundle: Bundle, express: bool) -> Bundle:
    document, resources = bundle.open()
    return Bundle.of(document, resources, express=express)
