"""A stand-in of httpbin.org: it answers with what it was asked, in the ways that callers must cope with."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import secrets
from collections import Counter
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

    nonces: dict[str, int] = {}

    @routes.route("*", "/digest-auth/{qop}/{user}/{password}/{algorithm}")
    @routes.route("*", "/digest-auth/{qop}/{user}/{password}/{algorithm}/{stale_after}")
    async def digest(request: web.Request) -> web.Response:
        """Answers who proves to know the password by RFC 7616; a nonce is good for *stale_after* requests."""
        about = request.match_info
        uses = int(about.get("stale_after", 1000))
        algorithm = about["algorithm"]
        given = _digest(request.headers.get("Authorization", ""))
        known, stale = given.get("nonce") in nonces, False
        if known and given.get("response") == _expected(request, given):
            count = int(given.get("nc") or "1", 16)
            last = nonces[given["nonce"]]
            if last < count <= uses:
                nonces[given["nonce"]] = count
                return web.json_response({"authenticated": True, "user": about["user"], "nc": count})
            stale = True
        nonce = secrets.token_hex(8)
        nonces[nonce] = 0
        qop = "" if about["qop"] == "none" else f', qop="{about["qop"]}"'
        challenge = f'Digest realm="a, realm", nonce="{nonce}", opaque="o", algorithm={algorithm}{qop}'
        return web.Response(
            status=401, headers={"WWW-Authenticate": challenge + (", stale=true" if stale else "")}
        )

    @routes.get("/bearer")
    async def bearer(request: web.Request) -> web.Response:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            return web.Response(status=401, headers={"WWW-Authenticate": "Bearer"})
        return web.json_response({"authenticated": True, "token": token})

    attempts: Counter[str] = Counter()

    @routes.route("*", "/status/{codes}")
    async def status(request: web.Request) -> web.Response:
        """One of the *codes*. The original chooses by chance; here each attempt of a call gets the next one."""
        codes = request.match_info["codes"].split(",")
        call = request.headers.get("Idempotency-Key", "")
        attempts[call] += len(codes) > 1
        return web.Response(status=int(codes[(attempts[call] - 1) % len(codes)]))

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


def _digest(header: str) -> dict[str, str]:
    scheme, _, rest = header.partition(" ")
    found = re.findall(r'(\w+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))', rest) if scheme == "Digest" else []
    return {name: quoted or bare for name, quoted, bare in found}


def _expected(request: web.Request, given: dict[str, str]) -> str:
    about = request.match_info
    algorithm = about["algorithm"].upper()
    if given.get("uri") != request.raw_path or given.get("opaque") != "o":
        return "nothing"
    make = hashlib.sha256 if algorithm.startswith("SHA-256") else hashlib.md5

    def hashed(*parts: str) -> str:
        return make(":".join(parts).encode()).hexdigest()

    first = hashed(about["user"], "a, realm", about["password"])
    if algorithm.endswith("-SESS"):
        first = hashed(first, given["nonce"], given["cnonce"])
    second = hashed(request.method, given["uri"])
    if about["qop"] == "none":
        return hashed(first, given["nonce"], second)
    if given.get("qop") != about["qop"]:
        return "nothing"
    return hashed(first, given["nonce"], given["nc"], given["cnonce"], "auth", second)


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
