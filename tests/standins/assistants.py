"""A server of tools (MCP) and an agent (A2A) for the example and the recorded runs: small, and the same at every start.

What the protocols are like is tested with the servers of the official SDKs (`mcp_server`, `agent`).
"""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

FORECASTS = {"Lisbon": {"celsius": 24, "sky": "clear"}, "Bergen": {"celsius": 7, "sky": "rain"}}
_VERSION = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}


def tools() -> web.Application:
    """``POST /mcp``: the tool ``forecast`` knows two cities, and says so where it is asked for another one."""

    async def answer(request: web.Request) -> web.Response:
        message = await request.json()
        if "id" not in message:
            return web.Response(status=202)
        if message["method"] == "initialize":
            server = {**_VERSION, "serverInfo": {"name": "tools.example", "version": "1.0"}}
            return _result(message, server, {"Mcp-Session-Id": "1"})
        if message["method"] == "tools/list":
            return _result(message, {"tools": [{"name": "forecast", "inputSchema": {"type": "object"}}]})
        city = message["params"]["arguments"]["city"]
        found = FORECASTS.get(city)
        text = (
            f"I know nothing about {city}" if found is None else f"{found['celsius']} degrees, {found['sky']}"
        )
        result: dict[str, Any] = {"content": [{"type": "text", "text": text}], "isError": found is None}
        return _result(message, result if found is None else {**result, "structuredContent": found})

    async def end(request: web.Request) -> web.Response:
        return web.Response(status=204)

    made = web.Application()
    made.router.add_post("/mcp", answer)
    made.router.add_delete("/mcp", end)
    return made


def agent() -> web.Application:
    """An agent that says what to wear, and its card, which asks for a bearer token."""

    async def card(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "protocolVersion": "0.3.0",
                "name": "Wardrobe",
                "url": "https://agent.example/a2a",
                "preferredTransport": "JSONRPC",
                "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
                "security": [{"token": []}],
            }
        )

    async def answer(request: web.Request) -> web.Response:
        if not request.headers.get("Authorization", "").startswith("Bearer "):
            return web.Response(status=401)
        message = await request.json()
        asked = message["params"]["message"]
        [said] = [part["text"] for part in asked["parts"]]
        degrees = re.search(r"-?\d+", said)
        wear = "a coat" if degrees is None or int(degrees[0]) < 15 else "a shirt"
        text = f"Wear {wear}" + (" and take an umbrella." if "rain" in said else ".")
        parts = [{"kind": "text", "text": text}]
        return _result(message, {"kind": "message", "role": "agent", "messageId": "1", "parts": parts})

    made = web.Application()
    made.router.add_get("/.well-known/agent-card.json", card)
    made.router.add_post("/a2a", answer)
    return made


def _result(message: Any, result: Any, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"jsonrpc": "2.0", "id": message["id"], "result": result}, headers=headers)
