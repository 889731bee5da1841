"""A source over the API, and what comes of what its service sends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.api.server import Api
from tests.brokers.documents import BASE, asyncapi
from tests.events.conftest import eventually

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
"""What a note is."""


async def put_document(server: Api, document: dict[str, Any], name: str = "notes") -> None:
    answer = await server.call("PUT", f"/v1/catalog/specs/{name}", data=json.dumps(document).encode())
    assert answer.status in (200, 201), answer.json


async def described(server: Api, protocol: str, port: int, address: str, **more: Any) -> None:
    """Have the catalog know a service that sends and receives notes."""
    given = {"message": {"payload": SCHEMA}, **more}
    await put_document(server, asyncapi(protocol, f"127.0.0.1:{port}", address=address, **given))


async def put(server: Api, id: str = "notes", **source: Any) -> dict[str, Any]:
    body = {"operation": f"{BASE}#noted", "channel": "heard", **source}
    answer = await server.call("PUT", f"/v1/sources/{id}", json=body)
    assert answer.status == 200, answer.json
    return answer.json


async def source(server: Api, id: str = "notes") -> dict[str, Any]:
    answer = await server.get(f"/v1/sources/{id}")
    assert answer.status == 200, answer.json
    return answer.json


async def status(server: Api, wanted: Callable[[dict[str, Any]], Any], id: str = "notes") -> dict[str, Any]:
    """How the source is, once that is as *wanted*."""
    found: dict[str, Any] = {}

    async def is_so() -> Any:
        found.update((await source(server, id))["status"])
        return wanted(found)

    await eventually(is_so)
    return found


async def hears(server: Api, id: str = "notes") -> dict[str, Any]:
    return await status(server, lambda told: told["state"] == "hearing", id)


async def events(server: Api, channel: str = "heard") -> list[dict[str, Any]]:
    """The events of a channel, oldest first."""
    answer = await server.get(f"/v1/events?channel={channel}&limit=1000")
    return [] if answer.status == 404 else [each["event"] for each in reversed(answer.json["events"])]


async def until(server: Api, count: int, channel: str = "heard") -> list[dict[str, Any]]:
    """The events of a channel, oldest first, once there are so many."""
    found: list[dict[str, Any]] = []

    async def enough() -> bool:
        found[:] = await events(server, channel)
        return len(found) >= count

    await eventually(enough)
    return found
