"""Who may ask the API for what: by tokens of the server, and by those of an OpenID provider, a real one on loopback."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.api.documents import GREET, event
from tests.api.server import api
from workflow_engine.api.access import Either, Refused, Tokens, needed
from workflow_engine.api.grants import Grant
from workflow_engine.api.issuer import MAX_DOCUMENT, Issuer
from workflow_engine.calls import Egress
from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.settings import Settings

TOKENS = Tokens({"admin": "a-token", "run": "r-token", "read": "l-token"})
RUNS = "/v1/workflows/tests/greet/1.0.0/runs"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [
        ("GET", "/v1/runs/x", "read"),
        ("HEAD", "/metrics", "read"),
        ("POST", "/v1/workflows/validate", "read"),
        ("POST", "/v1/workflows/check", "read"),
        ("POST", "/v1/subscriptions/test", "read"),
        ("POST", RUNS, "run"),
        ("POST", "/v1/runs/a/b/cancel", "run"),
        ("POST", "/v1/runs/batch", "run"),
        ("POST", "/v1/events", "run"),
        ("POST", "/v1/schedules/a/b/trigger", "run"),
        ("POST", "/v1/schedules/a/b/pause", "admin"),
        ("POST", "/v1/runs", "admin"),  # of a document that is handed in
        ("POST", "/v1/runs/a/migrate", "admin"),
        ("POST", "/v1/workflows", "admin"),
        ("POST", RUNS + "/", "admin"),
        ("POST", "/v1/workflows/a/b/c/d/runs", "admin"),
        ("PUT", "/v1/subscriptions/s", "admin"),
        ("DELETE", "/v1/subscriptions/s", "admin"),
        ("POST", "/v1/dead-letters/redrive", "admin"),
        ("POST", "/v1/codec/decode", "admin"),
        ("PUT", "/v1/listeners", "admin"),
        ("PUT", "/v1/catalog/specs/x", "admin"),
        ("PATCH", "/v1/runs/x", "admin"),
    ],
)
def test_what_a_request_needs(method: str, path: str, role: str) -> None:
    assert needed(method, path) == role


async def test_a_token_may_what_its_role_may_and_no_more() -> None:
    async with api(access=TOKENS, loopback_only=False) as server:
        greet = {"data": GREET.encode()}
        yaml = {"Content-Type": "text/yaml"}
        for token in ("l-token", "r-token"):
            refused = await server.post("/v1/workflows", **greet, headers={**bearer(token), **yaml})
            assert (refused.status, refused.json["type"]) == (403, "urn:wfe:problem:role-missing")
        made = await server.post("/v1/workflows", **greet, headers={**bearer("a-token"), **yaml})
        assert made.status == 201
        for token in ("l-token", "r-token", "a-token"):
            assert (await server.get("/v1/workflows", headers=bearer(token))).status == 200
        assert (await server.post(RUNS, json={}, headers=bearer("l-token"))).status == 403
        assert (await server.post(f"{RUNS}?wait=10", json={}, headers=bearer("r-token"))).status == 200
        headers = {**bearer("r-token"), "Content-Type": "application/cloudevents+json"}
        assert (await server.post("/v1/events", json=event("1"), headers=headers)).status == 202
        assert (await server.get("/v1/workflows", headers=bearer("x-token"))).status == 401
        assert (await server.get("/livez")).status == 200


@dataclass
class Provider:
    """An OpenID provider with a key of its own; *asked* counts how often its keys are."""

    url: str = ""
    key: Any = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))
    kid: str = "one"
    asked: int = 0
    down: bool = False
    claims_issuer: str = ""
    pieces: bool = False
    padding: int = 0
    runner: Any = None

    async def serve(self) -> None:
        port = int(self.url.rpartition(":")[2]) if self.url else 0
        await web.TCPSite(self.runner, "127.0.0.1", port, reuse_address=True).start()

    async def stop(self) -> None:
        for site in list(self.runner.sites):
            await site.stop()
        await self.runner.server.shutdown(0.05)

    def jwk(self) -> dict[str, Any]:
        made = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return {**made, "kid": self.kid, "use": "sig"}

    async def configuration(self, _: web.Request) -> web.Response:
        return web.json_response({"issuer": self.claims_issuer or self.url, "jwks_uri": f"{self.url}/keys"})

    async def keys(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        if self.pieces:
            body = json.dumps({"keys": [self.jwk()], "more": "x" * self.padding}).encode()
            answer = web.StreamResponse()
            await answer.prepare(request)
            for start in range(0, len(body), max(100, len(body) // 4)):
                await answer.write(body[start : start + max(100, len(body) // 4)])
                await asyncio.sleep(0.02)
            return answer
        strange = [
            {"kty": "oct", "k": "AAAA", "kid": "shared"},
            {"kty": "EC", "crv": "P-1", "kid": "odd"},
            "no",
        ]
        return web.Response(status=500) if self.down else web.json_response({"keys": [*strange, self.jwk()]})

    def token(self, *, key: Any = None, algorithm: str = "RS256", kid: str = "", **changes: Any) -> str:
        claims = {"iss": self.url, "aud": "wfe", "exp": time.time() + 60, "sub": "ada", "scope": "wfe:read"}
        made = {name: value for name, value in {**claims, **changes}.items() if value is not None}
        return jwt.encode(made, key or self.key, algorithm, headers={"kid": kid or self.kid})


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    provider = Provider()
    app = web.Application()
    app.router.add_get("/.well-known/openid-configuration", provider.configuration)
    app.router.add_get("/keys", provider.keys)
    provider.runner = web.AppRunner(app)
    await provider.runner.setup()
    await provider.serve()
    provider.url = f"http://127.0.0.1:{provider.runner.addresses[0][1]}"
    yield provider
    await provider.runner.cleanup()


@pytest.fixture
async def issuer(provider: Provider) -> AsyncIterator[Issuer]:
    async with Egress() as egress:
        yield Issuer(provider.url, "wfe", egress)


async def test_keys_that_come_in_pieces_are_read_to_the_end_within_bounds(
    provider: Provider, issuer: Issuer
) -> None:
    provider.pieces = True
    assert (await issuer.grant(provider.token())).role == "read"
    async with Egress() as egress:
        provider.padding = MAX_DOCUMENT
        with pytest.raises(Unavailable, match="more than"):
            await Issuer(provider.url, "wfe", egress).grant(provider.token())


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({}, "read"),
        ({"scope": "openid wfe:run wfe:read"}, "run"),
        ({"scope": None, "scp": ["wfe:admin"]}, "admin"),
        ({"scope": None, "roles": ["wfe:run"]}, "run"),
        ({"scope": "profile", "realm_access": {"roles": ["wfe:admin", "x"]}}, "admin"),
        ({"aud": ["other", "wfe"]}, "read"),
    ],
)
async def test_a_token_of_the_provider_has_the_role_that_it_names(
    provider: Provider, issuer: Issuer, claims: dict[str, Any], role: str
) -> None:
    assert (await issuer.grant(provider.token(**claims))).role == role


@pytest.mark.parametrize(
    ("claims", "grant"),
    [
        ({}, Grant("read")),
        ({"wfe_namespaces": ["shop"]}, Grant.of("read", ["shop"], [])),
        ({"wfe_namespaces": "shop b", "wfe_channels": ["o/*"]}, Grant.of("read", ["shop", "b"], ["o/*"])),
        ({"wfe_namespaces": ["*"], "wfe_channels": []}, Grant.of("read", ["*"], [])),
        ({"scope": "wfe:run wfe:namespace:shop wfe:channel:*"}, Grant.of("run", ["shop"], ["*"])),
    ],
)  # fmt: skip
async def test_a_token_of_the_provider_is_limited_by_its_claims(
    provider: Provider, issuer: Issuer, claims: dict[str, Any], grant: Grant
) -> None:
    assert await issuer.grant(provider.token(**claims)) == grant


async def test_a_token_whose_limits_make_no_sense_is_refused(provider: Provider, issuer: Issuer) -> None:
    for claims in (
        {"wfe_namespaces": 7},
        {"wfe_channels": [{}]},
        {"wfe_namespaces": None, "wfe_channels": "a*b"},
    ):
        with pytest.raises(Refused, match="are names"):
            await issuer.grant(provider.token(**claims))


async def test_a_token_that_is_not_valid_is_refused(provider: Provider, issuer: Issuer) -> None:
    other = rsa.generate_private_key(65537, 2048)
    public = provider.jwk()
    wrong = {
        "expired": provider.token(exp=time.time() - 120),
        "for another audience": provider.token(aud="other"),
        "for nobody": provider.token(aud=None),
        "without an end": provider.token(exp=None),
        "of another issuer": provider.token(iss="https://evil.example"),
        "signed by somebody else": provider.token(key=other),
        "signed by an unknown key": provider.token(key=other, kid="two"),
        "signed with what is public": jwt.encode(
            {"iss": provider.url}, public["n"], "HS256", headers={"kid": "one"}
        ),
        "of another algorithm than its key": provider.token(
            key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"
        ),
        "not signed": jwt.encode({"iss": provider.url, "aud": "wfe"}, None, "none"),  # type: ignore[arg-type]
        "not a token": "a.b.c",
        "no role": provider.token(scope="openid"),
    }
    for why, token in wrong.items():
        try:
            role = await issuer.grant(token)
        except Refused:
            continue
        pytest.fail(f"a token {why} gives the role {role}")


async def test_keys_are_asked_for_once_and_again_when_a_token_names_another_one(
    provider: Provider, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await issuer.grant(provider.token())
    assert provider.asked == 1
    provider.key, provider.kid = rsa.generate_private_key(65537, 2048), "two"
    with pytest.raises(Refused):
        await issuer.grant(provider.token())  # so soon the keys are not asked for again
    assert provider.asked == 1
    monkeypatch.setattr("workflow_engine.api.issuer.AGAIN_SECONDS", 0.0)
    assert (await issuer.grant(provider.token())).role == "read"
    assert provider.asked == 2


async def test_a_provider_that_cannot_be_asked_is_unavailable_and_one_that_lies_too(
    provider: Provider, issuer: Issuer
) -> None:
    provider.down = True
    with pytest.raises(Unavailable):
        await issuer.grant(provider.token())
    provider.down, provider.claims_issuer = False, "https://evil.example"
    with pytest.raises(Unavailable):
        await issuer.grant(provider.token())
    provider.claims_issuer = ""
    assert (await issuer.grant(provider.token())).role == "read"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys are fetched again for each token."""
    monkeypatch.setattr("workflow_engine.api.issuer.KEYS_SECONDS", -1.0)
    monkeypatch.setattr("workflow_engine.api.issuer.AGAIN_SECONDS", -1.0)


@pytest.mark.usefixtures("impatient")
async def test_tokens_count_on_while_their_issuer_is_away_and_it_is_told(
    provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    async with Egress() as egress:
        issuer = Issuer(provider.url, "wfe", egress)
        async with api(access=Either(TOKENS, issuer), loopback_only=False) as server:
            token = provider.token()
            assert (await server.get("/v1/runs", headers=bearer(token))).status == 200
            ready = (await server.get("/readyz", headers=bearer(token))).json
            assert (ready["status"], ready["warnings"]) == ("ready", {})
            await provider.stop()
            assert (await server.get("/v1/runs", headers=bearer(token))).status == 200
            other = provider.token(kid="of-a-key-made-meanwhile")
            assert (await server.get("/v1/runs", headers=bearer(other))).status == 503
            ready = (await server.get("/readyz", headers=bearer(token))).json
            assert ready["status"] == "ready"
            assert "cannot be asked" in ready["warnings"]["issuer"]
            assert "checked with the keys that it had" in ready["warnings"]["issuer"]
            shown = (await server.get("/metrics", headers=bearer(token))).body.decode()
            assert "wfe_issuer_reachable 0\n" in shown
            assert "wfe_issuer_keys_seconds" in shown
            assert len([each for each in caplog.messages if "cannot be asked" in each]) == 1
            removed, provider.key, provider.kid = token, rsa.generate_private_key(65537, 2048), "two"
            await provider.serve()
            assert (await server.get("/v1/runs", headers=bearer(removed))).status == 401
            assert (await server.get("/v1/runs", headers=bearer(provider.token()))).status == 200
            shown = (await server.get("/metrics", headers=bearer("l-token"))).body.decode()
            assert "wfe_issuer_reachable 1\n" in shown


@pytest.mark.usefixtures("impatient")
async def test_keys_of_an_issuer_that_stays_away_count_for_a_bounded_time(provider: Provider) -> None:
    async with Egress() as egress:
        issuer = Issuer(provider.url, "wfe", egress, kept_hours=0.001)
        token = provider.token()
        assert (await issuer.grant(token)).role == "read"
        await provider.stop()
        issuer._fetched -= 10.0
        with pytest.raises(Unavailable, match="cannot be asked"):
            await issuer.grant(token)
        told = (await issuer.standing()).told()
        assert told is not None
        assert told.endswith("its tokens are answered with 503")


async def test_the_documentation_opens_in_a_browser_and_takes_the_token_there() -> None:
    async with api(access=TOKENS, loopback_only=False) as server:
        assert (await server.get("/v1/workflows")).status == 401
        assert (await server.get("/metrics")).status == 401
        page = await server.get("/docs")
        assert page.status == 200
        assets = re.findall(r'(?:src|href)="(/[^"]+)"', page.body.decode())
        assert len(assets) >= 2
        for asset in assets:
            assert (await server.get(asset)).status == 200, asset
        described = (await server.get("/openapi.json")).json
        (scheme,) = described["components"]["securitySchemes"].items()
        assert scheme[1]["scheme"] == "bearer"
        for path, operations in described["paths"].items():
            for method, operation in operations.items():
                if path != "/livez" and not path.endswith("/sources/{id}/events"):
                    assert operation["security"] == [{scheme[0]: []}], (method, path)
        assert (await server.post("/docs")).status == 401
        assert (await server.get("/docs/../v1/workflows")).status == 401
        assert (await server.get("/static-offline-docs/../v1/workflows")).status in (401, 404)


async def test_the_api_takes_both_kinds_of_tokens(provider: Provider, issuer: Issuer) -> None:
    async with api(access=Either(TOKENS, issuer), loopback_only=False) as server:
        assert (await server.get("/v1/runs", headers=bearer("a-token"))).status == 200
        assert (await server.get("/v1/runs", headers=bearer(provider.token()))).status == 200
        assert (await server.post(RUNS, json={}, headers=bearer(provider.token()))).status == 403
        refused = await server.get("/v1/runs", headers=bearer(provider.token(aud="x")))
        assert (refused.status, refused.json["type"]) == (401, "urn:wfe:problem:unauthorized")
    provider.down = True
    async with Egress() as egress:
        other = Issuer(provider.url, "wfe", egress)
        async with api(access=Either(TOKENS, other), loopback_only=False) as server:
            assert (await server.get("/v1/runs", headers=bearer(provider.token()))).status == 503
            assert (await server.get("/v1/runs", headers=bearer("r-token"))).status == 200


def test_other_tokens_go_with_that_of_the_workers() -> None:
    for name in ("API_TOKEN_RUN", "API_TOKEN_READ", "API_ISSUER"):
        with pytest.raises(Rejected):
            Settings.from_env({f"WFE_{name}": "https://issuer.example"})
        Settings.from_env({f"WFE_{name}": "https://issuer.example", "WFE_API_TOKEN": "t"})
    with pytest.raises(Rejected):
        Settings.from_env({"WFE_API_ISSUER": "http://issuer.example", "WFE_API_TOKEN": "t"})
