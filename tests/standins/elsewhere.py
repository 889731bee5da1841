"""Stand-ins of the hosts that the specification's own examples call, each with what its example needs to go on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping

from aiohttp import web

from tests.standins.issuer import Issuer

REALM = "/realms/fake-authority"
LUKE = {"name": "Luke Skywalker", "homeworld": "https://swapi.dev/api/planets/1/"}
LEIA = {"name": "Leia Organa", "homeworld": "https://swapi.dev/api/planets/2/"}
PLANETS = {"1": {"name": "Tatooine"}, "2": {"name": "Alderaan"}}


def echo() -> web.Application:
    """Answers every request with what was asked."""

    async def answer(request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if text else None
        return web.json_response({"method": request.method, "path": request.path_qs, "body": body})

    made = web.Application()
    made.router.add_route("*", "/{path:.*}", answer)
    return made


def swapi() -> web.Application:
    """Two people of Star Wars and the planets they are from; a search without the last slash is redirected."""
    routes = web.RouteTableDef()

    @routes.get("/api/people/")
    async def search(request: web.Request) -> web.Response:
        wanted = request.query.get("search", "").lower()
        found = [person for person in (LUKE, LEIA) if wanted in person["name"].lower()]
        return web.json_response({"count": len(found), "results": found})

    @routes.get("/api/people/{id}")
    async def person(request: web.Request) -> web.Response:
        return web.json_response({"1": LUKE, "5": LEIA}[request.match_info["id"]])

    @routes.get("/api/planets/{id}/")
    async def planet(request: web.Request) -> web.Response:
        return web.json_response(PLANETS[request.match_info["id"]])

    made = web.Application()
    made.add_routes(routes)
    return made


def unavailable() -> web.Application:
    """Answers every request with 503."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=503)

    made = web.Application()
    made.router.add_route("*", "/{path:.*}", answer)
    return made


def stream() -> web.Application:
    """Sends three notes as server-sent events, and then nothing more, but stays connected."""

    async def notes(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for n in range(int(request.headers.get("Last-Event-ID", "0")) + 1, 4):
            await response.write(f'id: {n}\ndata: {{"n": {n}}}\n\n'.encode())
        await asyncio.Event().wait()
        return response

    made = web.Application()
    made.router.add_get("/notes", notes)
    return made


def keycloak() -> web.Application:
    """An issuer whose authority has a path, at the addresses that the examples give it and at its discovered ones."""
    issuer = Issuer(name=f"http://keycloak{REALM}")
    issuer.register("workflow-runtime-id", "client_secret_post", "workflow-runtime-secret")
    made = issuer.app()
    made.router.add_post(f"{REALM}/auth/token", issuer._token)
    made.router.add_get(f"{REALM}/.well-known/openid-configuration", issuer._configuration)
    return made


ORDERS = {
    "openapi": "3.0.3",
    "info": {"title": "orders", "version": "1"},
    "servers": [{"url": "/"}],
    "paths": {
        path: {"post": {"operationId": operation, "responses": {"200": {"description": "done"}}}}
        for path, operation in (("/log", "logreading"), ("/report", "produceReport"))
    },
}


def orders() -> web.Application:
    """The service that readings are logged with, described by its own OpenAPI document."""

    async def document(request: web.Request) -> web.Response:
        return web.json_response(ORDERS)

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"done": request.path})

    made = web.Application()
    made.router.add_get("/ordersservices.json", document)
    made.router.add_post("/{path:.*}", answer)
    return made


SECURE: Mapping[str, Callable[[], web.Application]] = {
    "swapi.dev": swapi,
    "stream.example": stream,
    "external-service.example.com": unavailable,
    **dict.fromkeys(
        (
            "example.com",
            "fake-chat-api.com",
            "fake-hospital.com",
            "fake.com",
            "hospital.example.com",
            "superbet-casinos.com",
            "virtual-wf-powered-race.com",
        ),
        echo,
    ),
}
"""Reached by https."""
PLAIN: Mapping[str, Callable[[], web.Application]] = {"keycloak": keycloak, "myorg.io": orders}
"""Reached by http."""
