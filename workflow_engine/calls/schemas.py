"""Find a schema when a workflow is deployed, with every document that it refers to, so that no run has to."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from workflow_engine.calls.structured_text import read
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.expressions import Schema, missing_references
from workflow_engine.values import Json, JsonObject

MOST = 50
"""How many documents a schema may come to."""
DEEPEST = 16
"""How many documents deep one may refer to another."""
MAX_SIZE = 1024 * 1024
"""How large they may be together, in characters of JSON."""


async def gather_schema(address: str, text_of: Callable[[str], Awaitable[str]]) -> JsonObject:
    """``{"address", "documents"}``: the schema at *address* and all that it refers to, as JSON, by address.

    `NotFound` and `Rejected` say what cannot be had, or is no schema, or is too much.
    """
    documents: dict[str, Json] = {}
    size = 0
    waiting = [(address, address, 0)]
    while waiting:
        place, by, depth = waiting.pop(0)
        if place in documents:
            continue
        if len(documents) == MOST:
            raise Rejected("unresolved", f"the schema {address} refers to more than {MOST} documents")
        if depth > DEEPEST:
            raise Rejected("unresolved", f"the schema {address} refers to documents more than {DEEPEST} deep")
        documents[place] = await _document(place, by, text_of)
        size += len(json.dumps(documents[place]))
        if size > MAX_SIZE:
            message = f"the schema {address} with what it refers to has more than {MAX_SIZE:,} characters"
            raise Rejected("unresolved", message)
        waiting += [(other, place, depth + 1) for other in missing_references(documents[place], place)]
    others = {place: document for place, document in documents.items() if place != address}
    try:
        Schema(documents[address], address, others)
    except ValueError as error:
        raise Rejected("unresolved", f"the schema {address} is of no use: {error}") from None
    return {"address": address, "documents": documents}


async def _document(place: str, by: str, text_of: Callable[[str], Awaitable[str]]) -> Json:
    what = f"the schema {place}" + ("" if place == by else f", which {by} refers to,")
    try:
        document = read(await text_of(place))
    except NotFound as missing:
        raise NotFound(
            missing.kind, missing.id, missing.hint if place == by else f"{by} refers to it; {missing.hint}"
        ) from None
    except ValueError as error:
        if isinstance(error, Rejected):
            raise
        raise Rejected("unresolved", f"{what} cannot be read: {error}") from None
    if not isinstance(document, dict | bool):
        raise Rejected("unresolved", f"{what} is neither an object nor a boolean, as a schema is")
    if isinstance(document, dict) and str(document.get("$id")).startswith("classpath:"):
        # SonataFlow's resources; nothing can be relative to such an address, so that it is where it was found
        return {key: value for key, value in document.items() if key != "$id"}
    return document


def same_origin(address: str, other: str) -> bool:
    """Whether who may read *address* may be told to the server of *other*."""
    return urlsplit(address)[:2] == urlsplit(other)[:2]
