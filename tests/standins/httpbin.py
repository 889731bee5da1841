"""A stand-in of httpbin.org: it answers with what it was asked, in the ways that callers must cope with."""

from __future__ import annotations

import asyncio
import base64
from email.parser import BytesParser

from aiohttp import web


def app() -> web.Application:
    """The paths of httpbin that tests use; they behave as the original's do."""
    routes = web.RouteTableDef()

    @routes.get("/basic-auth/{user}/{password}")
    async def basic(request: web.Request) -> web.Response:
        expected = "{user}:{password}".format_map(request.match_info)
        if request.headers.get("Authorization") != f"Basic {base64.b64encode(expected.encode()).decode()}":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="Fake Realm"'})
        return web.json_response({"authenticated": True, "user": request.match_info["user"]})

    @routes.get("/bearer")
    async def bearer(request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        return web.json_response({"authenticated": True, "token": token})

    @routes.route("*", "/status/{code}")
    async def status(request: web.Request) -> web.Response:
        return web.Response(status=int(request.match_info["code"]))

    @routes.route("*", "/redirect/{count}")
    async def redirect(request: web.Request) -> web.Response:
        count = int(request.match_info["count"])
        target = "/get" if count <= 1 else f"/redirect/{count - 1}"
        return web.Response(status=int(request.query.get("status", 302)), headers={"Location": target})

    @routes.route("*", "/redirect-to")
    async def redirect_to(request: web.Request) -> web.Response:
        return web.Response(
            status=int(request.query.get("status_code", 302)), headers={"Location": request.query["url"]}
        )

    @routes.get("/headers")
    async def headers(request: web.Request) -> web.Response:
        return web.json_response({"headers": dict(request.headers)})

    @routes.route("*", "/delay/{seconds}")
    async def delay(request: web.Request) -> web.Response:
        await asyncio.sleep(min(float(request.match_info["seconds"]), 10))
        return await echo(request)

    @routes.get("/bytes/{count}")
    async def data(request: web.Request) -> web.Response:
        count = int(request.match_info["count"])
        return web.Response(body=bytes(index % 256 for index in range(count)))

    @routes.route("*", "/get")
    @routes.route("*", "/anything")
    @routes.route("*", "/anything/{rest:.*}")
    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        text = body.decode("utf-8", errors="replace")
        args = {name: request.query.getall(name) for name in request.query}
        return web.json_response(
            {
                "method": request.method,
                "url": str(request.url),
                "path": request.raw_path,
                "args": {name: values[0] if len(values) == 1 else values for name, values in args.items()},
                "headers": dict(request.headers),
                "data": text,
                "json": await _json(request),
                "form": await _form(request),
            }
        )

    made = web.Application(client_max_size=64 * 1024 * 1024)
    made.add_routes(routes)
    return made


async def _json(request: web.Request) -> object:
    try:
        return await request.json()
    except ValueError:
        return None


async def _form(request: web.Request) -> dict[str, str]:
    if not request.content_type.startswith("multipart/"):
        return {key: str(value) for key, value in (await request.post()).items()}
    head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + await request.read())
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True).decode(
            "utf-8", errors="replace"
        )
        for part in message.get_payload()
    }
