"""The ledger of the chaos test: a process of its own, never killed, that writes down what workflows do to the world.

``POST /effects``, with an ``Idempotency-Key`` and a JSON body ``{"run": …, "effect": …}``: an effect. A key that has
been seen is an arrival more of the same effect and gets the same answer; so does a service that deduplicates.
``{"fails": n}`` in the body: the first n arrivals of that effect are refused with 503, ``{"seconds": s}``: it takes
that long. ``GET /`` tells all.

Run as ``python -m tests.chaos.ledger``; it prints its port and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Ledger:
    """*keys* are the distinct effects: what each key stood for when it first came. *wrong*: what must never be."""

    keys: dict[str, dict[str, Any]] = field(default_factory=dict)
    arrivals: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    async def effect(self, request: web.Request) -> web.Response:
        body = await request.json()
        key = request.headers.get("Idempotency-Key", "")
        name = f"{body['run']}:{body['effect']}"
        self.arrivals[name] += 1
        if self.refused[name] < body.get("fails", 0):
            self.refused[name] += 1
            return web.json_response({"no": name}, status=503)
        if not key:
            self.wrong.append(f"{name} came without a key")
        known = self.keys.setdefault(key, body)
        if known != body:
            self.wrong.append(f"{key} was {known} and came again as {body}")
        await asyncio.sleep(body.get("seconds", 0))
        return web.json_response({"done": body["effect"]})

    async def tell(self, request: web.Request) -> web.Response:
        seen = [{"key": key, "run": body["run"], "effect": body["effect"]} for key, body in self.keys.items()]
        told = {
            "effects": seen,
            "arrivals": sum(self.arrivals.values()),
            "refused": sum(self.refused.values()),
            "wrong": self.wrong,
        }
        return web.json_response(told)


async def serve() -> None:
    ledger = Ledger()
    app = web.Application()
    app.router.add_post("/effects", ledger.effect)
    app.router.add_get("/", ledger.tell)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=512).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve())
