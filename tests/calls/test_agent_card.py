"""Agent cards: which way to the agent is taken, and who it is told is calling."""

from __future__ import annotations

import contextlib
import json
from contextlib import asynccontextmanager
from typing import Any

import pytest
from a2a.types import a2a_pb2 as pb
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL as YARL

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.calls.test_a2a import served, text
from tests.standins.issuer import APP_SECRET
from tests.standins.server import serve
from workflow_engine.calls import Egress, a2a
from workflow_engine.calls.agent_card import AgentCard, api_key
from workflow_engine.errors import Fault

ANSWER = {"jsonrpc": "2.0", "id": 1, "result": "hello"}
BEARER = {"bearer": {"token": "t0ken"}}
BASIC = {"basic": {"username": "u", "password": "p"}}
DIGEST = {"digest": {"username": "u", "password": "p"}}
RPC = "$URL/rpc"
WORDS = (
    *(
        "url",
        "preferredTransport",
        "protocolVersion",
        "additionalInterfaces",
        "transport",
        "supportedInterfaces",
    ),
    *(
        "protocolBinding",
        "tenant",
        "security",
        "securitySchemes",
        "securityRequirements",
        "schemes",
        "type",
        "s0",
    ),
    *(
        "scheme",
        "in",
        "name",
        "location",
        "apiKeySecurityScheme",
        "httpAuthSecurityScheme",
        "apiKey",
        "header",
    ),
)
URL = {"url": RPC}


@asynccontextmanager
async def described(card: Any, path: str = "/.well-known/agent-card.json"):
    """A server with *card*, in which ``$URL`` is its own address, and an agent at ``/rpc``."""
    url = ""

    async def give(request: web.Request) -> web.Response:
        body = card if isinstance(card, str) else json.dumps(card)
        return web.Response(text=body.replace("$URL", url), content_type="application/json")

    async def answer(request: web.Request) -> web.Response:
        return web.json_response(ANSWER)

    app = web.Application()
    app.router.add_get(path, give)
    app.router.add_post("/rpc", answer)
    async with serve(app) as server:
        url = server.url
        yield server


async def ask(server, context, *, policy=None, path="", method="tasks/get"):
    uri = f"{server.url}{path}"
    endpoint = uri if policy is None else {"uri": uri, "authentication": policy}
    given = {"method": method, "agentCard": {"endpoint": endpoint}, "parameters": {"id": "x"}}
    return await a2a.call(given, context)


def interfaces(*listed: tuple[str, str, str]) -> dict[str, Any]:
    names = ("url", "protocolBinding", "protocolVersion")
    return {"supportedInterfaces": [dict(zip(names, item, strict=True)) for item in listed]}


@pytest.mark.parametrize(
    "card",
    [
        URL,
        {**URL, "preferredTransport": "JSONRPC", "protocolVersion": "0.2.5"},
        {
            "url": "$URL/grpc",
            "preferredTransport": "GRPC",
            "additionalInterfaces": [{"url": RPC, "transport": "JSONRPC"}],
        },
        interfaces((RPC, "JSONRPC", "1.0")),
        interfaces(("$URL/grpc", "GRPC", "1.0"), ("$URL/rest", "HTTP+JSON", "1.0"), (RPC, "JSONRPC", "1.1")),
        {**interfaces(("$URL/other", "JSONRPC", "1.0"), (RPC, "JSONRPC", "0.3")), "protocolVersion": "1.0"},
    ],
)
async def test_the_way_that_is_taken_is_one_of_json_rpc(context, card):
    async with described(card) as server:
        assert await ask(server, context) == "hello"
        assert server.last.target == "/rpc"


@pytest.mark.parametrize(
    ("card", "words"),
    [
        ({**URL, "name": "Ada", "preferredTransport": "GRPC"}, "agent 'Ada' is called by GRPC; `call: a2a`"),
        (interfaces((RPC, "GRPC", "1.0"), (RPC, "HTTP+JSON", "1.0")), "is called by GRPC, HTTP+JSON;"),
        ({}, "is called by nothing"),
        ("[]", "is no object, but an array"),
        ("<html>", "is not JSON"),
        ({"url": "nowhere"}, "cannot be called"),
        ({"url": "file:///etc/passwd"}, "cannot be called"),
        ({"url": "ftp://x.example/rpc"}, "is not an absolute http or https URL"),
        ({"url": 7, "supportedInterfaces": [1, {}], "additionalInterfaces": "x"}, "is called by nothing"),
    ],
)
async def test_a_card_that_leads_nowhere_is_a_configuration_fault(context, card, words):
    async with described(card) as server:
        assert words in await fault_of(ask(server, context), "configuration")


async def test_a_card_has_its_well_known_place_only_where_the_address_is_a_hosts(context):
    async with described(URL, "/cards/me.json") as server:
        assert await ask(server, context, path="/cards/me.json") == "hello"
        await fault_of(ask(server, context, path="/"), "communication", 404)


async def test_a_tenant_is_told_to_the_agent(context):
    card = interfaces((RPC, "JSONRPC", "1.0"))
    card["supportedInterfaces"][0]["tenant"] = "blue"
    async with described(card) as server:
        await ask(server, context)
        assert json.loads(server.last.body)["params"] == {"tenant": "blue", "id": "x"}


async def test_an_agent_may_not_be_called_where_the_operator_does_not_let_workflows(context):
    async with described({"url": "http://169.254.169.254/rpc"}) as server:
        await fault_of(ask(server, context), "authorization", 403)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6)
        ),
    ).filter(lambda value: isinstance(value, dict))
)
def test_whatever_is_in_a_card_it_leads_somewhere_or_is_a_fault(data):
    card = AgentCard(data, "agent 'x'")
    for modern in (True, False):
        with contextlib.suppress(Fault):
            assert isinstance(card.interface(modern=modern).url, str)
    for policy in (None, BEARER, BASIC):
        with contextlib.suppress(Fault):
            scheme = card.scheme(policy)
            if scheme is not None:
                api_key(scheme, policy, YARL("http://x.example/"), CIMultiDict())


@pytest.mark.parametrize("version", ["1.0\r\nX: y", "one", "1.", "9" * 9])
async def test_a_version_that_is_none_is_a_configuration_fault(context, version):
    async with described(interfaces((RPC, "JSONRPC", version))) as server:
        assert "which is none" in await fault_of(ask(server, context), "configuration")


async def test_an_api_key_has_a_name_that_a_header_can_have(context):
    async with described(wanting({"type": "apiKey", "in": "header", "name": "X Key:"})) as server:
        call = ask(server, context, policy=BEARER)
        assert "no name that can be used" in await fault_of(call, "configuration")


def wanting(*schemes: dict[str, Any], security: Any = None) -> dict[str, Any]:
    """A card that asks for one of *schemes*, which are called s0, s1 …, unless *security* says otherwise."""
    named = {f"s{number}": scheme for number, scheme in enumerate(schemes)}
    either = [{name: []} for name in named]
    return {**URL, "securitySchemes": named, "security": either if security is None else security}


HTTP_BEARER = {"type": "http", "scheme": "Bearer"}
HTTP_BASIC = {"type": "http", "scheme": "basic"}
NEWER = {"httpAuthSecurityScheme": {"scheme": "bearer"}}


@pytest.mark.parametrize(
    ("card", "policy", "header"),
    [
        (URL, None, None),
        (URL, BEARER, None),
        (wanting(HTTP_BEARER), BEARER, "Bearer t0ken"),
        (wanting({"type": "oauth2", "flows": {}}), BEARER, "Bearer t0ken"),
        (wanting({"type": "openIdConnect"}), BEARER, "Bearer t0ken"),
        (wanting({"type": "mutualTLS"}, HTTP_BASIC), BASIC, "Basic dTpw"),
        (wanting(HTTP_BEARER, security=[{}]), None, None),
        (wanting(NEWER), BEARER, "Bearer t0ken"),
        (
            wanting(NEWER, security=[]) | {"securityRequirements": [{"schemes": {"s0": {"list": []}}}]},
            BEARER,
            "Bearer t0ken",
        ),
    ],
)
async def test_an_agent_gets_the_credentials_that_its_card_asks_for(context, card, policy, header):
    async with described(card) as server:
        assert await ask(server, context, policy=policy) == "hello"
        assert server.last.headers.get("Authorization") == header


@pytest.mark.parametrize(
    ("scheme", "where"),
    [
        ({"type": "apiKey", "in": "header", "name": "X-Key"}, "header"),
        ({"type": "apiKey", "in": "query", "name": "key"}, "query"),
        ({"type": "apiKey", "in": "cookie", "name": "key"}, "cookie"),
        ({"apiKeySecurityScheme": {"location": "header", "name": "X-Key"}}, "header"),
    ],
)
async def test_an_api_key_is_the_token_of_a_bearer_policy(context, scheme, where):
    async with described(wanting(scheme)) as server:
        assert await ask(server, context, policy=BEARER) == "hello"
        sent = server.last
        assert "Authorization" not in sent.headers
        assert {
            "header": sent.headers.get("X-Key") == "t0ken",
            "query": sent.target == "/rpc?key=t0ken",
            "cookie": sent.headers.get("Cookie") == "key=t0ken",
        }[where]


@pytest.mark.parametrize(
    ("card", "policy", "words"),
    [
        (wanting(HTTP_BEARER), None, "wants http bearer, and its endpoint has no authentication here"),
        (wanting(HTTP_BASIC, HTTP_BEARER), DIGEST, "wants http basic or http bearer"),
        (
            wanting({"type": "mutualTLS"}),
            BEARER,
            "wants mutualTLS, and its endpoint has authentication bearer",
        ),
        (wanting(HTTP_BEARER, HTTP_BASIC, security=[{"s0": [], "s1": []}]), BEARER, "bearer and http basic"),
        (wanting(security=[{"gone": []}]), BEARER, "scheme 'gone'"),
        (
            {**wanting(HTTP_BEARER), "url": "http://elsewhere.example/rpc"},
            BEARER,
            "are not sent to the other",
        ),
    ],
)
async def test_an_agent_that_asks_for_other_credentials_is_not_called(context, card, policy, words):
    async with described(card) as server:
        assert words in await fault_of(ask(server, context, policy=policy), "authentication", 401)
        assert {request.method for request in server.requests} == {"GET"}


async def test_an_agent_of_the_official_sdk_gets_a_token_of_a_real_issuer(internet):
    flow = pb.ClientCredentialsOAuthFlow(token_url="https://issuer.example/oauth2/token", scopes={})
    scheme = pb.OAuth2SecurityScheme(flows=pb.OAuthFlows(client_credentials=flow))
    known = {
        "security_schemes": {"login": pb.SecurityScheme(oauth2_security_scheme=scheme)},
        "security_requirements": [pb.SecurityRequirement(schemes={"login": pb.StringList(list=[])})],
    }
    policy = {
        "oauth2": {
            "authority": "https://issuer.example",
            "grant": "client_credentials",
            "client": {"id": "app", "secret": APP_SECRET},
        }
    }

    def allow(request) -> bool:
        return request.headers.get("Authorization", "").startswith("Bearer ")

    with served("0.3", allow=allow, **known) as server:
        async with Egress(**internet.egress) as egress:
            endpoint = {"uri": server.url, "authentication": policy}
            given = {
                "method": "message/send",
                "agentCard": {"endpoint": endpoint},
                "parameters": text("hello"),
            }
            answer = await a2a.call(given, make_context(egress))
            assert answer["parts"] == [{"kind": "text", "text": "you said hello"}]
            without = {**given, "agentCard": {"endpoint": server.url}}
            assert "wants oauth2" in await fault_of(a2a.call(without, make_context(egress)), "authentication")
            direct = {"method": "message/send", "server": f"{server.url}/a2a", "parameters": text("hello")}
            await fault_of(a2a.call(direct, make_context(egress)), "communication", 401)
