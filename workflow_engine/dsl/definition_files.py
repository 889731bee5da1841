"""Definitions of a 0.8 document that are in files of their own (dsl.md §2.1): found when it is deployed, and pinned.

A file wraps what it defines under the name that it has in the document (``{"functions": [...]}``), or has it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_engine.dsl.document import Document, problems_of
from workflow_engine.dsl.source import load
from workflow_engine.errors import InvalidDocument, Rejected
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.lowering import Lowering

KINDS = ("functions", "events", "errors", "retries", "timeouts", "constants", "secrets", "auth")


def definitions_key(kind: str, address: str) -> str:
    """Under which key the definitions of *kind* at *address* are pinned."""
    return f"definitions:{kind}:{address}"


def referenced(data: JsonObject) -> Iterator[tuple[str, str]]:
    """The kinds of definitions that *data* has elsewhere, each with the address."""
    for kind in KINDS:
        address = data.get(kind)
        if isinstance(address, str):
            yield kind, address


def read(text: str, address: str, kind: str) -> JsonObject:
    """``{"definitions": …}``: those of *kind* in the file at *address*. `Rejected` says why it is of no use."""
    try:
        content = load(text, name=address).data
    except InvalidDocument as invalid:
        first = invalid.problems[0]
        raise Rejected("unresolved", f"the {kind} {first.render(address)}") from None
    if isinstance(content, dict) and set(content) == {kind}:
        content = content[kind]
    wanted: type = dict if kind in ("timeouts", "constants") else list
    if not isinstance(content, wanted):
        shape = "an object" if wanted is dict else "a list"
        raise Rejected(
            "unresolved", f"the file {address} has no {kind}: {shape}, or an object with it as `{kind}`"
        )
    return {"definitions": content}


def expanded(document: Document, resources: Mapping[str, Json] | None) -> Document:
    """*document* with what is pinned in the place of its address; what is not there stays as it is."""
    data = document.data
    assert isinstance(data, dict)
    whole = expanded_data(data, resources or {})
    return document if whole is data else replace(document, data=whole)


def expanded_data(data: JsonObject, resources: Mapping[str, Json]) -> JsonObject:
    """As `expanded`, of the *data* of a document; the same object where nothing is there."""
    found: JsonObject = {}
    for kind, address in referenced(data):
        resource = resources.get(definitions_key(kind, address))
        if isinstance(resource, dict) and "definitions" in resource:
            found[kind] = resource["definitions"]
    return {**data, **found} if found else data


def check(lowering: Lowering, written: JsonObject, *, deployed: bool) -> None:
    """Report what is wrong with the definitions that are elsewhere: all of it is placed where they are named."""
    for kind, address in referenced(written):
        if not isinstance(lowering.data.get(kind), str):
            continue
        if deployed:
            message = f"the {kind} in {address} were not found when the workflow was deployed"
            lowering.problem("unresolved", message, f"/{kind}")
    elsewhere = {f"/{kind}" for kind, _ in referenced(written)}
    if elsewhere:
        found = problems_of(lowering.document)
        lowering.problems += [each for each in found if f"/{each.pointer[1:].partition('/')[0]}" in elsewhere]
