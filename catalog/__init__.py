"""An AsyncAPI catalog: which services there are, and what each can send and receive.

It stands alone and knows nothing of the workflow engine, which reaches it through `Catalog` in the same
process or `catalog.client.HttpCatalog` elsewhere. Text comes in through `source` and `asyncapi` (one reader
for AsyncAPI 2, one for 3) and becomes the version-neutral `model`; `catalog` keeps it in a `store`; `api`,
`client` and `cli` are its faces.
"""

from __future__ import annotations

from catalog.asyncapi import describe_document, lint
from catalog.catalog import Catalog
from catalog.description import Description
from catalog.errors import Conflict, Denied, InvalidReference, InvalidSpec, NotFound, Problem, Unavailable
from catalog.model import Channel, Message, Operation, Registration, Server, Service, Spec
from catalog.stores import open_store

__all__ = [
    "Catalog",
    "Channel",
    "Conflict",
    "Denied",
    "Description",
    "InvalidReference",
    "InvalidSpec",
    "Message",
    "NotFound",
    "Operation",
    "Problem",
    "Registration",
    "Server",
    "Service",
    "Spec",
    "Unavailable",
    "describe_document",
    "lint",
    "open_store",
]
