"""The services that the workflows call: one small HTTP server on loopback, in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import signal
from pathlib import Path
from typing import Any

from aiohttp import web


async def _reserve(request: web.Request) -> web.Response:
    asked: dict[str, Any] = await request.json()
    return web.json_response({"reservation": f"R-{asked['orderId']}"})


async def _charge(request: web.Request) -> web.Response:
    asked: dict[str, Any] = await request.json()
    return web.json_response({"payment": f"P-{asked['orderId']}"})


async def _external(request: web.Request) -> web.Response:
    asked: dict[str, Any] = await request.json()
    await asyncio.sleep(int(request.query.get("delayMs", "10")) / 1000)
    return web.json_response({**asked, "risk": "MEDIUM", "segment": "STANDARD", "source": "mock-service"})


async def main(port: int, ready: Path) -> None:
    """Serve on *port* until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    app = web.Application()
    app.router.add_post("/reserve", _reserve)
    app.router.add_post("/charge", _charge)
    app.router.add_post("/external", _external)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.to_thread(ready.touch)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--ready-file", type=Path, required=True)
    given = parser.parse_args()
    asyncio.run(main(given.port, given.ready_file))
