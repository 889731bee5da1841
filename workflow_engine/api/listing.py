"""Which runs are listed: a `RunQuery` as the parameters of a request, and back."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from workflow_engine.engine.runtime import RunQuery
from workflow_engine.errors import Rejected
from workflow_engine.values import rfc3339


def path_of(query: RunQuery) -> str:
    """Where the runs are that *query* asks for."""
    given = {
        "namespace": query.namespace,
        "workflow": query.name,
        "version": query.version,
        "status": query.status,
        "limit": str(query.limit),
        "cursor": query.cursor,
        "parked": "true" if query.parked else None,
        "started_after": None if query.after is None else rfc3339(query.after),
        "started_before": None if query.before is None else rfc3339(query.before),
    }
    pairs = [(name, value) for name, value in given.items() if value is not None]
    pairs += [("attribute", f"{name}={value}") for name, value in query.attributes.items()]
    pairs += [("key", pair) for pair in query.keys]
    return "/v1/runs?" + "&".join(f"{name}={quote(value, safe='')}" for name, value in pairs)


def attributes_of(pairs: Sequence[str] | None) -> dict[str, str]:
    """What ``NAME=VALUE`` pairs say of search attributes; `Rejected` for any other text."""
    found: dict[str, str] = {}
    for pair in pairs or ():
        name, separator, value = pair.partition("=")
        if not (separator and name.isidentifier()):
            raise Rejected("invalid-query", f"attribute: {pair!r} is not NAME=VALUE")
        found[name] = value
    return found


def keys_of(pairs: Sequence[str] | None) -> Sequence[str]:
    """*pairs*, each of which is ``NAME=VALUE``; `Rejected` for any other text."""
    for pair in pairs or ():
        name, separator, value = pair.partition("=")
        if not (separator and name and value):
            raise Rejected("invalid-query", f"key: {pair!r} is not NAME=VALUE")
    return pairs or ()
