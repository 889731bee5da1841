"""A server of the official MCP SDK: over HTTP in tests, over stdio as ``python -m tests.standins.mcp_server``."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.transport_security import TransportSecuritySettings


def server() -> MCPServer:
    """Tools, a prompt and resources; ``environment`` and ``meta`` tell what the client has sent along."""
    made = MCPServer("stand-in", version="1.2.3", log_level="CRITICAL")

    @made.tool()
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @made.tool()
    def fail() -> str:
        """Fail, as tools do."""
        raise RuntimeError("out of paper")

    @made.tool()
    async def slow(seconds: float, ctx: Context) -> str:
        """Take a while, and tell how far it is."""
        for step in range(10):
            await ctx.report_progress(step, 10)
            await asyncio.sleep(seconds / 10)
        return "done"

    @made.tool()
    def environment() -> dict[str, str]:
        """The environment of the server."""
        return dict(os.environ)

    @made.tool()
    def words() -> list[str]:
        """The arguments of the server."""
        return sys.argv[1:]

    @made.tool()
    def meta(ctx: Context) -> dict[str, Any]:
        """What the request says about itself."""
        return dict(ctx.request_context.meta or {})

    @made.tool()
    async def ask(ctx: Context) -> str:
        """Ask the client for something that it does not offer."""
        try:
            return str(await ctx.session.list_roots())
        except MCPError as error:
            return str(error)

    @made.prompt()
    def greet(name: str) -> str:
        """Greet somebody."""
        return f"Say hello to {name}."

    @made.resource("memo://today")
    def today() -> str:
        return "nothing to do"

    @made.resource("memo://{day}")
    def memo(day: str) -> str:
        return f"memo of {day}"

    return made


def app(*, json_response: bool = False, stateless: bool = False) -> Any:
    """The server over streamable HTTP, at ``/mcp``."""
    security = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    return server().streamable_http_app(
        json_response=json_response, stateless_http=stateless, transport_security=security
    )


if __name__ == "__main__":
    server().run("stdio")
