"""An AsyncAPI document with a server to be named, and the workflows that use it."""

from __future__ import annotations

import json
from typing import Any

import catalog
from tests.semantics.v1.documents import workflow

BASE = "file://notes.yaml"


def asyncapi(
    protocol: str, host: str, *, address: str = "notes", path: str = "", **more: Any
) -> dict[str, Any]:
    """A document whose service receives and sends notes at one server, which is called ``here``."""
    message: dict[str, Any] = {"payload": {"type": "object"}, **more.pop("message", {})}
    channel = {"address": address, "messages": {"note": message}, **more.pop("channel", {})}
    bindings = more.pop("operation", {})
    reference = {"$ref": "#/channels/notes"}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "notes", "version": "1.0.0"},
        "servers": {
            "here": {"host": host, "protocol": protocol, **({"pathname": path} if path else {}), **more}
        },
        "channels": {"notes": channel},
        "operations": {
            "note": {"action": "receive", "channel": reference, **bindings},
            "noted": {"action": "send", "channel": reference, **bindings},
        },
    }


def pinned(document: dict[str, Any]) -> dict[str, Any]:
    """The operations as a bundle pins them."""
    described = catalog.describe_document(json.dumps(document))
    return {f"{BASE}#{operation.id}": operation.to_json() for operation in described.operations}


def publishing(message: str = "{payload: {n: '${ .n }'}}", rest: str = "") -> str:
    given = f"{{operation: '{BASE}#note', server: {{name: here}}, message: {message}{rest}}}"
    return workflow(f"do: [{{send: {{call: asyncapi, with: {given}}}}}]")


def subscribing(subscription: str, rest: str = "") -> str:
    given = f"{{operation: '{BASE}#noted', server: {{name: here}}, subscription: {subscription}{rest}}}"
    return workflow(f"do: [{{hear: {{call: asyncapi, with: {given}}}}}]")
