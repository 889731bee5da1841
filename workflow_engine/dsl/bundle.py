"""What a run is pinned to: a document and every external thing it needs, known by the digest of both.

A bundle travels in the start arguments of a run, so that its history is whole and a new deployment cannot
change it. The bytes are JSON, keys in document order: as they are while a person may want to read them in the
Temporal UI, compressed beyond that. A worker keeps what it compiled by digest.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

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
READABLE = 32 * 1024
"""Up to this many bytes a bundle travels as plain JSON."""
FORMAT = 1
_NOWHERE = Positions(Place(0, 0, 0, 0))


@dataclass(frozen=True, slots=True)
class Bundle:
    """A document and its resources: JSON, or compressed JSON, and the sha256 of the JSON."""

    digest: str
    data: bytes

    @classmethod
    def of(cls, document: Document, resources: Mapping[str, Json]) -> Bundle:
        """Bundle *document*; `Rejected` when it is too large to travel."""
        content = {
            "format": FORMAT,
            "dialect": document.dialect,
            "document": document.data,
            "resources": dict(resources),
        }
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
        plain = self.data if self.readable else zlib.decompressobj().decompress(self.data, MAX_BYTES + 1)
        if len(plain) > MAX_BYTES:
            raise Rejected(
                "bundle-too-large", f"the bundle {self.digest[:12]} unpacks to over {MAX_BYTES:,} bytes"
            )
        if hashlib.sha256(plain).hexdigest() != self.digest:
            raise Rejected(
                "bundle-damaged", f"the bundle {self.digest[:12]} does not have the content it says"
            )
        content = json.loads(plain)
        if content.get("format") != FORMAT:
            raise Rejected(
                "bundle-format", f"bundle format {content.get('format')!r} is not known to this version"
            )
        document = Document(content["dialect"], content["document"], _NOWHERE, self.digest[:12], "")
        return document, content["resources"]


def bundle_of(graph: StateGraph) -> Bundle:
    """The bundle that *graph* was compiled from."""
    dialect: Dialect = "1.0" if graph.dialect == "1.0" else "0.8"
    document = Document(dialect, graph.source, _NOWHERE, graph.name.name, "")
    return Bundle.of(document, graph.resources)


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
    return Bundle.of(changed, resources)


@lru_cache(maxsize=256)
def _graph(digest: str, data: bytes) -> StateGraph:
    document, resources = Bundle(digest, data).open()
    return dsl.compile(document, resources)
