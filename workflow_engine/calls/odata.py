"""Functions of type ``odata`` (DSL 0.8): entities of an OData service (OData 4.01, URL Conventions)."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from urllib.parse import quote

from workflow_engine.calls.content import kind
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.exchange import Request, deadline, exchange
from workflow_engine.calls.http import members, merge_headers, target
from workflow_engine.calls.uri_template import scalar_text
from workflow_engine.calls.url import add_query, bounded, shown_uri
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

_GUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NAME = re.compile(r"[^\W\d]\w*(?:/[^\W\d]\w*)*")
_NUMBERS = frozenset({"top", "skip"})
_HEADERS: JsonObject = {"Accept": "application/json", "OData-MaxVersion": "4.01"}


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Ask for entities; the output is what the service answers: for a set, an object with the array ``value``.

    A status outside 200-299 is a communication fault with that status, as of every call over HTTP.
    """
    uri = address(arguments)
    options = query(members(arguments.get("queryOptions"), "queryOptions"))
    started = time.monotonic()
    async with deadline(context.timeout, f"authentication to call {shown_uri(uri)}"):
        url, credentials = await target(uri, arguments.get("authentication"), context.egress)
    headers = merge_headers(credentials.headers, _HEADERS, context.egress)
    around = replace(context, timeout=max(context.timeout - (time.monotonic() - started), 0.001))
    request = Request("GET", add_query(url, options), headers, credentials=credentials)
    return await exchange(request, around, output="content", redirect=False)


def address(arguments: JsonObject) -> str:
    """The URL of the entity set, or of the entity with the ``key``: text, a number, or an object of a composite key."""
    service, entity_set = str(arguments.get("service")), str(arguments.get("entitySet"))
    base, _, query = service.partition("?")
    found = f"{base.rstrip('/')}/{quote(entity_set, safe='/.')}"
    if arguments.get("key") is not None:
        found += f"({_key(arguments['key'])})"
    return f"{found}?{query}" if query else found


def _key(key: Json) -> str:
    if not isinstance(key, dict):
        return _encoded(key)
    if not key:
        raise fault("validation", "the key is an object without a member")
    for name in key:
        if not _NAME.fullmatch(name):
            raise fault("validation", f"{bounded(name, 100)!r} cannot be the name of a part of a key")
    return ",".join(f"{quote(name, safe='/')}={_encoded(value)}" for name, value in key.items())


def _encoded(value: Json) -> str:
    return quote(literal(value), safe="-'")


def literal(value: Json) -> str:
    """*value* as OData writes it in a URL: text in quotes, which are doubled inside; a GUID without."""
    if isinstance(value, dict | list):
        raise fault("validation", f"a value in an OData URL must be a scalar, not {kind(value)}")
    if value is None:
        return "null"
    if isinstance(value, str) and not _GUID.fullmatch(value):
        return "'" + value.replace("'", "''") + "'"
    return scalar_text(value)


def query(options: JsonObject) -> list[str]:
    """The system query options, encoded, each with its ``$``; null leaves one out."""
    return [
        f"${name.lower()}={quote(text, safe='')}"
        for name, value in options.items()
        if (text := _option(name, value)) is not None
    ]


def _option(name: str, value: Json) -> str | None:
    if value is None:
        return None
    if isinstance(value, list):
        value = _joined(value)
    if name in _NUMBERS and not (isinstance(value, int | str) and re.fullmatch(r"\d+", str(value))):
        raise fault("validation", f"the query option {name} must be a whole number, not {kind(value)}")
    if name == "count" and not (isinstance(value, bool) or value in ("true", "false")):
        raise fault("validation", f"the query option count must be true or false, not {kind(value)}")
    if isinstance(value, dict) or value == "":
        what = "empty" if value == "" else kind(value)
        raise fault("validation", f"the query option {name} must be text, not {what}")
    return scalar_text(value)


def _joined(parts: list[Json]) -> str:
    """Text, of which each second part is a value: within quotes as it belongs there, else written as a literal."""
    text = ""
    for number, part in enumerate(parts):
        if number % 2 == 0:
            text += str(part)
        elif text.count("'") % 2:
            if isinstance(part, dict | list):
                raise fault("validation", f"a value in an OData URL must be a scalar, not {kind(part)}")
            text += scalar_text(part).replace("'", "''")
        else:
            text += literal(part)
    return text
