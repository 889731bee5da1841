"""An OAuth 2.0 and OpenID Connect issuer on loopback, which believes nothing that it has not verified.

    issuer = Issuer()
    issuer.register("app", "client_secret_post", secret="…")
    async with serve(issuer.app()) as server:
        ...                     # {server.url}/oauth2/token, /.well-known/openid-configuration, /protected

Access tokens are JWTs that it signs itself; ``/protected`` takes those that are valid and not revoked.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import jwt
from aiohttp import web

ACCESS = "urn:ietf:params:oauth:token-type:access_token"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


APP_SECRET = "the secret of app, longer than 32 bytes"


def app() -> web.Application:
    """An issuer with the client ``app``, its secret `APP_SECRET`, and the user ada, for a host of its own."""
    issuer = Issuer()
    issuer.register("app", "client_secret_post", APP_SECRET)
    return issuer.app()


class Refused(Exception):
    def __init__(self, error: str, description: str = "", status: int = 400) -> None:
        self.error, self.description, self.status = error, description, status


@dataclass(frozen=True)
class Client:
    id: str
    method: str
    secret: str = ""
    key: Any = None
    algorithm: str = "HS256"


@dataclass
class Issuer:
    """What it knows and what it has issued. *lifetime* of tokens is in seconds; *echo* repeats requests in errors."""

    users: dict[str, str] = field(default_factory=lambda: {"ada": "lovelace"})
    lifetime: int | None = 3600
    rotates: bool = True
    echo: bool = False
    opaque: bool = False
    name: str | None = None
    answer: tuple[int, str] | None = None
    delay: float = 0.0
    clients: dict[str, Client] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)
    revoked: set[str] = field(default_factory=set)
    grants: list[Mapping[str, Any]] = field(default_factory=list)
    refresh: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    key: str = field(default_factory=lambda: secrets.token_hex(32))

    def register(self, id: str, method: str, secret: str = "", key: Any = None, algorithm: str = "HS256"):
        self.clients[id] = Client(id, method, secret, key, algorithm)

    def app(self) -> web.Application:
        made = web.Application()
        made.router.add_post("/oauth2/token", self._token)
        made.router.add_post("/auth/token", self._token)
        made.router.add_get("/.well-known/openid-configuration", self._configuration)
        made.router.add_route("*", "/protected", self._protected)
        made.router.add_get("/document", self._document)
        return made

    def token(self, base: str, subject: str, **claims: Any) -> str:
        """A token of this issuer, as another client may hold one."""
        claims = {"iss": self.name or base, "sub": subject, "jti": secrets.token_hex(8), **claims}
        return jwt.encode({**claims, "exp": int(time.time()) + 3600}, self.key, "HS256")

    async def _configuration(self, request: web.Request) -> web.Response:
        base = str(request.url.origin())
        return web.json_response({"issuer": self.name or base, "token_endpoint": f"{base}/auth/token"})

    async def _protected(self, request: web.Request) -> web.Response:
        claims = self._claims(request)
        if claims is None:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
        named = {name: claims.get(name) for name in ("sub", "scope", "aud", "act")}
        return web.json_response(named | {"got": (await request.read()).decode()})

    async def _document(self, request: web.Request) -> web.Response:
        if self._claims(request) is None:
            return web.Response(status=401)
        operation = {"operationId": "look", "responses": {"200": {"description": "seen"}}}
        document = {"openapi": "3.0.3", "info": {"title": "t", "version": "1"}}
        document |= {"servers": [{"url": "/"}], "paths": {"/protected": {"get": operation}}}
        return web.json_response(document)

    def _claims(self, request: web.Request) -> Mapping[str, Any] | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or token in self.revoked:
            return None
        if self.opaque:
            return {"sub": "opaque"} if token in self.issued else None
        try:
            return jwt.decode(token, self.key, ["HS256"], options={"verify_aud": False})
        except jwt.PyJWTError:
            return None

    async def _token(self, request: web.Request) -> web.Response:
        body = await request.text()
        await asyncio.sleep(self.delay)
        if self.answer is not None:
            return web.Response(status=self.answer[0], text=self.answer[1], content_type="application/json")
        try:
            sent = self._parameters(request.content_type, body)
            client = self._client(request, sent)
            self.grants.append(
                {**sent, "client": client.id if client else None, "type": request.content_type}
            )
            return web.json_response(self._granted(request, sent, client))
        except Refused as refused:
            described = f"{refused.description} {body} {request.headers.get('Authorization')}"
            description = described if self.echo else refused.description
            return web.json_response(
                {"error": refused.error, "error_description": description}, status=refused.status
            )

    def _parameters(self, content_type: str, body: str) -> dict[str, Any]:
        if content_type == "application/json":
            data = json.loads(body)
            return data if isinstance(data, dict) else {}
        if content_type != "application/x-www-form-urlencoded":
            raise Refused("invalid_request", f"content type {content_type}")
        sent: dict[str, Any] = {}
        for name, value in parse_qsl(body, keep_blank_values=True):
            if name == "audience" and name in sent:
                sent[name] = [*(sent[name] if isinstance(sent[name], list) else [sent[name]]), value]
            elif name in sent:
                raise Refused("invalid_request", f"{name} is given twice")
            else:
                sent[name] = value
        return sent

    def _client(self, request: web.Request, sent: Mapping[str, Any]) -> Client | None:
        header = request.headers.get("Authorization", "")
        used = [bool(header), "client_secret" in sent, "client_assertion" in sent]
        if sum(used) > 1:
            raise Refused("invalid_request", "two ways of client authentication")
        if header:
            scheme, _, encoded = header.partition(" ")
            id, _, secret = base64.b64decode(encoded).decode().partition(":")
            client = self._known(unquote_plus(id), "client_secret_basic")
            if scheme != "Basic" or unquote_plus(secret) != client.secret:
                raise Refused("invalid_client", "wrong secret", 401)
            return client
        if "client_secret" in sent:
            client = self._known(sent.get("client_id"), "client_secret_post")
            if sent["client_secret"] != client.secret:
                raise Refused("invalid_client", "wrong secret", 401)
            return client
        if "client_assertion" in sent:
            return self._asserted(request, sent)
        return self._known(sent["client_id"], "none") if "client_id" in sent else None

    def _known(self, id: Any, *methods: str) -> Client:
        client = self.clients.get(str(id))
        if client is None or client.method not in methods:
            raise Refused("invalid_client", "no such client, or not in this way", 401)
        return client

    def _asserted(self, request: web.Request, sent: Mapping[str, Any]) -> Client:
        if sent.get("client_assertion_type") != ASSERTION:
            raise Refused("invalid_client", "type of assertion", 401)
        client = self._known(sent.get("client_id"), "client_secret_jwt", "private_key_jwt")
        try:
            claims = jwt.decode(
                sent["client_assertion"],
                client.key or client.secret,
                [client.algorithm],
                audience=str(request.url),
                issuer=client.id,
                options={"require": ["exp", "iat", "jti", "sub", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            raise Refused("invalid_client", f"assertion: {error}", 401) from None
        if claims["sub"] != client.id or claims["jti"] in self.seen:
            raise Refused("invalid_client", "assertion for another, or used before", 401)
        self.seen.add(claims["jti"])
        return client

    def _granted(
        self, request: web.Request, sent: Mapping[str, Any], client: Client | None
    ) -> dict[str, Any]:
        subject, acting = client.id if client else "", None
        match sent.get("grant_type"):
            case "client_credentials":
                if client is None or client.method == "none":
                    raise Refused("unauthorized_client", "a public client")
            case "password":
                subject = str(sent.get("username"))
                if self.users.get(subject) != sent.get("password"):
                    raise Refused("invalid_grant", "wrong password")
            case "refresh_token":
                if sent.get("refresh_token") not in self.refresh:
                    raise Refused("invalid_grant", "unknown refresh token")
                if self.rotates:
                    self.refresh.discard(sent["refresh_token"])
                subject = "refreshed"
            case str(grant) if grant == EXCHANGE:
                subject = self._party(sent, "subject")
                acting = {"sub": self._party(sent, "actor")} if "actor_token" in sent else None
            case other:
                raise Refused("unsupported_grant_type", str(other))
        return self._issue(str(request.url.origin()), sent, subject, acting)

    def _party(self, sent: Mapping[str, Any], name: str) -> str:
        if sent.get(f"{name}_token_type") != ACCESS:
            raise Refused("invalid_request", f"type of the {name} token")
        try:
            return str(jwt.decode(sent[f"{name}_token"], self.key, ["HS256"])["sub"])
        except (KeyError, jwt.PyJWTError):
            raise Refused("invalid_request", f"the {name} token") from None

    def _issue(self, base: str, sent: Mapping[str, Any], subject: str, acting: Any) -> dict[str, Any]:
        claims = {"scope": sent.get("scope"), "act": acting}
        if "audience" in sent:
            claims["aud"] = sent["audience"]
        token = secrets.token_hex(16) if self.opaque else self.token(base, subject, **claims)
        self.issued.append(token)
        answer: dict[str, Any] = {"access_token": token, "token_type": "Bearer"}
        if self.lifetime is not None:
            answer["expires_in"] = self.lifetime
        if sent["grant_type"] in ("password", "refresh_token") and self.rotates:
            answer["refresh_token"] = secrets.token_hex(16)
            self.refresh.add(answer["refresh_token"])
        return answer
