"""The search attributes of runs, which a namespace of Temporal must know before a run may have them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

SEARCH_ATTRIBUTES: Mapping[str, str] = {
    "WfeDefinition": "Keyword",
    "WfeNamespace": "Keyword",
    "WfeVersion": "Keyword",
    "WfeCorrelation": "KeywordList",
}
"""What runs are found by; name to type, as Temporal names types."""

_ENUM_WORDS = {
    "Text": "TEXT",
    "Keyword": "KEYWORD",
    "Int": "INT",
    "Double": "DOUBLE",
    "Bool": "BOOL",
    "Datetime": "DATETIME",
    "KeywordList": "KEYWORD_LIST",
}
_LATER = frozenset({RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED,
                    RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.NOT_FOUND})  # fmt: skip
_LONGEST_PAUSE = 30.0
_log = logging.getLogger("wfe")


def advice(namespace: str) -> str:
    """How somebody who may do it makes the search attributes known, and how to do without."""
    options = " ".join(f"--name {name} --type {type}" for name, type in SEARCH_ATTRIBUTES.items())
    return (
        f"`temporal operator search-attribute create --namespace {namespace} {options}` makes them known, and "
        "WFE_SEARCH_ATTRIBUTES=false does without"
    )


async def register(client: Client, attributes: Mapping[str, str]) -> list[str]:
    """Make those of *attributes* known that the namespace does not know; their names."""
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = {
        name: IndexedValueType.Value("INDEXED_VALUE_TYPE_" + _ENUM_WORDS[type])
        for name, type in attributes.items()
        if name not in known.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)
        )
    return [*missing]


async def see_to(client: Client) -> None:
    """Make the search attributes known as soon as Temporal answers; the log says so, or who else has to do it."""
    pause = 0.5
    while True:
        try:
            added = await register(client, SEARCH_ATTRIBUTES)
        except (RPCError, RuntimeError) as error:
            if isinstance(error, RPCError) and error.status not in _LATER:
                text = "the search attributes of runs cannot be looked at or made known: %s. If runs cannot start, %s"
                _log.warning(text, error, advice(client.namespace))
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
        else:
            if added:
                _log.info(
                    "search attributes made known in namespace %s: %s", client.namespace, ", ".join(added)
                )
            return
