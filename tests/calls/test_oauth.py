"""Access tokens by oauth2 and oidc, from an issuer that verifies what it is sent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.standins.issuer import ACCESS, EXCHANGE, Issuer
from tests.standins.server import Server, serve
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.errors import Fault

call = CALLERS["http"]
SECRET = "a secret of more than 32 bytes: + & %"


@pytest.fixture
def issuer() -> Issuer:
    made = Issuer()
    made.register("app", "client_secret_post", SECRET)
    return made


@pytest.fixture
async def server(issuer) -> AsyncIterator[Server]:
    async with serve(issuer.app()) as running:
        yield running


def policy(server: Server, scheme: str = "oauth2", **properties):
    given = {
        "authority": server.url,
        "grant": "client_credentials",
        "client": {"id": "app", "secret": SECRET},
        **properties,
    }
    return {scheme: {name: value for name, value in given.items() if value is not None}}


def protected(server: Server, given: dict, **more):
    endpoint = {"uri": f"{server.url}/protected", "authentication": given}
    return {"method": "get", "endpoint": endpoint, **more}


async def test_a_token_is_fetched_and_sent(issuer, server, context):
    answer = await call(protected(server, policy(server, scopes=["read", "write"])), context)
    assert (answer["sub"], answer["scope"]) == ("app", "read write")
    assert issuer.grants == [
        {
            "grant_type": "client_credentials",
            "scope": "read write",
            "client_id": "app",
            "client_secret": SECRET,
            "client": "app",
            "type": "application/x-www-form-urlencoded",
        }
    ]


@pytest.mark.parametrize("encoding", ["application/x-www-form-urlencoded", "application/json"])
async def test_the_request_is_a_form_or_json(issuer, server, context, encoding):
    given = policy(server, request={"encoding": encoding}, audiences=["a", "b"])
    assert (await call(protected(server, given), context))["aud"] == ["a", "b"]
    assert issuer.grants[0]["type"] == encoding


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt"])
async def test_a_client_authenticates_with_its_secret(issuer, server, context, method):
    issuer.register("b: ä", method, SECRET)
    client = {"id": "b: ä", "secret": SECRET, "authentication": method}
    assert (await call(protected(server, policy(server, client=client)), context))["sub"] == "b: ä"
    wrong = policy(server, client=client | {"secret": "wrong but of a good length, as bytes go"})
    detail = await fault_of(call(protected(server, wrong), context), "authentication", 401)
    assert "/oauth2/token" in detail
    assert "invalid_client" in detail
    assert "wrong but" not in detail


KEYS = [
    ("RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
    ("ES256", ec.generate_private_key(ec.SECP256R1())),
    ("ES384", ec.generate_private_key(ec.SECP384R1())),
    ("EdDSA", ed25519.Ed25519PrivateKey.generate()),
]


@pytest.mark.parametrize("form", ["pem", "jwk", "jwk as text"])
@pytest.mark.parametrize(("algorithm", "key"), KEYS, ids=[algorithm for algorithm, _ in KEYS])
async def test_a_client_authenticates_with_a_private_key(issuer, server, context, algorithm, key, form):
    issuer.register("app", "private_key_jwt", key=key.public_key(), algorithm=algorithm)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    if form != "pem":
        made = jwt.get_algorithm_by_name(algorithm)
        secret = {**json.loads(made.to_jwk(key)), "alg": algorithm, "kid": "k1"}
    if form == "jwk as text":
        secret = json.dumps(secret)
    client = {"id": "app", "secret": secret, "authentication": "private_key_jwt"}
    assert (await call(protected(server, policy(server, client=client)), context))["sub"] == "app"


async def test_an_assertion_of_the_author_is_sent_as_it_is(issuer, server, context):
    issuer.register("app", "client_secret_jwt", SECRET)
    claims = {"iss": "app", "sub": "app", "aud": f"{server.url}/oauth2/token", "iat": 1_000_000_000}
    for method in ({"authentication": "client_secret_jwt"}, {}):
        assertion = jwt.encode({**claims, "exp": 4_000_000_000, "jti": str(method)}, SECRET, "HS256")
        given = policy(server, client={"id": "app", "assertion": assertion, **method})
        assert (await call(protected(server, given), context))["sub"] == "app"


@pytest.mark.parametrize("client", [{"id": "public", "authentication": "none"}, {"id": "public"}])
async def test_a_public_client_has_only_its_id(issuer, server, context, client):
    issuer.register("public", "none")
    given = policy(server, client=client, grant="password", username="ada", password="lovelace")
    assert (await call(protected(server, given), context))["sub"] == "ada"


async def test_the_grant_password_signs_a_user_in(server, context):
    given = policy(server, grant="password", username="ada", password="lovelace")
    assert (await call(protected(server, given), context))["sub"] == "ada"
    wrong = policy(server, grant="password", username="ada", password="byron-23")
    detail = await fault_of(call(protected(server, wrong), context), "authentication", 401)
    assert "invalid_grant" in detail


async def test_the_grant_refresh_token_takes_the_token_of_the_subject(issuer, server, context):
    issuer.refresh.add("r1")
    given = policy(server, grant="refresh_token", subject={"token": "r1", "type": "refresh"})
    assert (await call(protected(server, given), context))["sub"] == "refreshed"


async def test_the_grant_token_exchange_acts_for_another(issuer, server, context):
    subject = {"token": issuer.token(server.url, "ada"), "type": ACCESS}
    actor = {"token": issuer.token(server.url, "charles"), "type": ACCESS}
    answer = await call(
        protected(server, policy(server, grant=EXCHANGE, subject=subject, actor=actor)), context
    )
    assert (answer["sub"], answer["act"]) == ("ada", {"sub": "charles"})
    answer = await call(protected(server, policy(server, grant=EXCHANGE, subject=subject)), context)
    assert (answer["sub"], answer["act"]) == ("ada", None)


async def test_a_token_is_used_until_shortly_before_it_expires(issuer, server, context):
    for _ in range(3):
        await call(protected(server, policy(server)), context)
    assert len(issuer.issued) == 1
    issuer.lifetime = 0
    other = policy(server, scopes=["other"])
    for _ in range(3):
        await call(protected(server, other), context)
    assert len(issuer.issued) == 4


async def test_a_token_without_a_lifetime_is_used_again(issuer, server, context):
    issuer.lifetime = None
    for _ in range(3):
        await call(protected(server, policy(server)), context)
    assert len(issuer.issued) == 1


async def test_calls_at_the_same_time_share_one_token(issuer, server, context):
    issuer.delay = 0.05
    await asyncio.gather(*(call(protected(server, policy(server)), context) for _ in range(10)))
    assert len(issuer.issued) == 1


async def test_calls_at_the_same_time_share_one_refusal(issuer, server, context):
    issuer.delay, issuer.answer = 0.05, (400, '{"error": "invalid_client"}')
    calls = [call(protected(server, policy(server)), context) for _ in range(5)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert all(isinstance(outcome, Fault) for outcome in outcomes)
    assert len(server.requests) == 1
    issuer.answer = None
    assert (await call(protected(server, policy(server)), context))["sub"] == "app"


async def test_a_call_that_is_given_up_does_not_take_the_token_from_others(issuer, server, context):
    issuer.delay = 0.05
    first = asyncio.create_task(call(protected(server, policy(server)), context))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(call(protected(server, policy(server)), context))
    await asyncio.sleep(0.01)
    first.cancel()
    assert (await second)["sub"] == "app"
    assert len(issuer.issued) == 1


async def test_policies_that_differ_have_tokens_of_their_own(issuer, server, context):
    await call(protected(server, policy(server, scopes=["a"])), context)
    assert (await call(protected(server, policy(server, scopes=["b"])), context))["scope"] == "b"
    wrong = policy(server, scopes=["a"], client={"id": "app", "secret": "wrong"})
    await fault_of(call(protected(server, wrong), context), "authentication", 401)


async def test_a_token_that_is_refused_is_replaced_once(issuer, server, context):
    await call(protected(server, policy(server)), context)
    issuer.revoked.update(issuer.issued)
    arguments = protected(server, policy(server), body="again") | {"method": "post"}
    assert (await call(arguments, context))["got"] == '"again"'
    assert len(issuer.issued) == 2
    issuer.key, issuer.revoked = issuer.key[::-1], {*issuer.issued}
    assert (await call(arguments, context))["sub"] == "app"


async def test_a_second_refusal_is_the_answer(issuer, server, context):
    endpoint = {"uri": f"{server.url}/protected", "authentication": {"bearer": {"token": "x"}}}
    await fault_of(call({"method": "get", "endpoint": endpoint}, context), "communication", 401)
    assert len(server.requests) == 1
    issuer.opaque = True
    issuer.answer = (200, '{"access_token": "unknown", "token_type": "bearer", "expires_in": 60}')
    await fault_of(call(protected(server, policy(server)), context), "communication", 401)
    assert [request.target for request in server.requests[1:]] == ["/oauth2/token", "/protected"] * 2


async def test_a_refresh_token_gets_the_next_token_and_the_grant_when_it_is_refused(issuer, server, context):
    issuer.lifetime = 0
    given = policy(server, grant="password", username="ada", password="lovelace")
    for _ in range(3):
        await call(protected(server, given), context)
    assert [grant["grant_type"] for grant in issuer.grants] == ["password", "refresh_token", "refresh_token"]
    issuer.refresh.clear()
    await call(protected(server, given), context)
    assert [grant["grant_type"] for grant in issuer.grants[3:]] == ["refresh_token", "password"]


async def test_a57_oidc_asks_the_authority_where_its_tokens_are(server, context):
    for authority in (server.url, f"{server.url}/", f"{server.url}/.well-known/openid-configuration"):
        given = policy(server, "oidc", authority=authority)
        assert (await call(protected(server, given), context))["sub"] == "app"
    targets = [request.target for request in server.requests]
    assert targets.count("/auth/token") == 3
    assert targets.count("/.well-known/openid-configuration") == 1


async def test_a57_oauth2_puts_the_endpoint_together_or_asks(server, context):
    for properties in (
        {"endpoints": {"token": "/auth/token"}},
        {"endpoints": {"token": f"{server.url}/auth/token"}, "authority": "http://elsewhere.invalid"},
        {"authority": f"{server.url}/.well-known/openid-configuration"},
    ):
        await call(protected(server, policy(server, **properties)), context)
    assert [request.target for request in server.requests if "token" in request.target] == ["/auth/token"] * 3


async def test_an_authority_must_be_the_issuer_it_says_or_a_listed_one(issuer, server, context):
    issuer.name = "https://issuer.example"
    detail = await fault_of(call(protected(server, policy(server, "oidc")), context), "authentication", 401)
    assert "https://issuer.example" in detail
    given = policy(server, "oidc", issuers=["https://issuer.example"])
    assert (await call(protected(server, given), context))["sub"] == "app"


async def test_a_token_is_held_to_the_issuers(issuer, server, context):
    given = policy(server, issuers=[server.url])
    assert (await call(protected(server, given), context))["sub"] == "app"
    other = policy(server, issuers=["https://issuer.example"])
    detail = await fault_of(call(protected(server, other), context), "authentication", 401)
    assert server.url in detail
    issuer.opaque = True
    unknown = policy(server, issuers=[server.url], scopes=["x"])
    detail = await fault_of(call(protected(server, unknown), context), "authentication", 401)
    assert "does not say its issuer" in detail


@pytest.mark.parametrize(
    ("properties", "words"),
    [
        ({"authority": None}, "authority is missing"),
        ({"authority": "nowhere"}, "cannot be called"),
        ({"grant": "authorization_code"}, "nobody is there"),
        ({"grant": "magic"}, "grant must be one of"),
        ({"grant": "password", "username": "ada"}, "password is missing"),
        ({"grant": "refresh_token"}, "subject.token is missing"),
        ({"grant": EXCHANGE}, "subject.token is missing"),
        ({"grant": EXCHANGE, "subject": {"token": "SECRET"}}, "subject.type is missing"),
        ({"client": "SECRET"}, "client must be an object"),
        ({"client": {"secret": "SECRET"}}, "client.id is missing"),
        ({"client": {"id": "a", "authentication": "client_secret_basic"}}, "client.secret is missing"),
        ({"client": {"id": "a", "secret": "SECRET", "authentication": "tls"}}, "must be one of"),
        ({"client": {"id": "a", "secret": "SECRET", "authentication": "client_secret_jwt"}}, "32 bytes"),
        ({"client": {"id": "a", "secret": "SECRET", "authentication": "private_key_jwt"}}, "private key"),
        ({"client": {"id": "a", "authentication": "private_key_jwt"}}, "to sign with"),
        (
            {
                "client": {
                    "id": "a",
                    "secret": "s",
                    "assertion": "SECRET",
                    "authentication": "client_secret_post",
                }
            },
            "client.assertion has no place",
        ),
        ({"request": {"encoding": "text/xml"}}, "request.encoding"),
        ({"scopes": [1]}, "scopes must be a list of strings"),
    ],
)
async def test_a_policy_that_cannot_be_applied_is_refused_without_its_secrets(
    server, context, properties, words
):
    work = call(protected(server, policy(server, **properties)), context)
    detail = await fault_of(work, "configuration", 400)
    assert words in detail
    assert "SECRET" not in detail


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((500, "oops"), "answered 500"),
        ((200, "[]"), "not as a token endpoint does"),
        ((200, "[" * 100_000), "not as a token endpoint does"),
        ((200, "{}"), "no access token"),
        ((200, '{"access_token": "a b"}'), "no access token"),
        ((200, '{"access_token": "a", "token_type": "DPoP"}'), "'DPoP'"),
        ((200, '{"error": "temporarily_unavailable"}'), "temporarily_unavailable"),
        ((302, ""), "answered 302"),
        ((200, " " * 300_000), "larger"),
    ],
)
async def test_an_answer_that_is_no_token_is_an_authentication_fault(issuer, server, context, answer, words):
    issuer.answer = answer
    detail = await fault_of(call(protected(server, policy(server)), context), "authentication", 401)
    assert words in detail
    assert f"{server.url}/oauth2/token" in detail


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "client_secret_jwt"])
async def test_an_issuer_that_repeats_credentials_gives_nothing_away(issuer, server, context, method):
    issuer.echo = True
    secret, password = "S3CRET" * 8, "PASSW0RD"
    given = policy(
        server,
        grant="password",
        username="ada",
        password=password,
        client={"id": "app", "secret": secret, "authentication": method},
    )
    issuer.register("app", "none" if method == "client_secret_post" else method, "another" * 8)
    detail = await fault_of(call(protected(server, given), context), "authentication", 401)
    sent = server.last
    assert secret not in detail
    assert password not in detail
    assert sent.headers.get("Authorization", "Basic ?").partition(" ")[2] not in detail


async def test_an_issuer_that_cannot_be_reached_is_an_authentication_fault(server, context):
    given = policy(server, authority="http://127.0.0.1:1")
    detail = await fault_of(call(protected(server, given), context), "authentication", 401)
    assert "http://127.0.0.1:1/oauth2/token" in detail
    given = policy(server, "oidc", authority="http://127.0.0.1:1")
    detail = await fault_of(call(protected(server, given), context), "authentication", 401)
    assert "openid-configuration" in detail


async def test_an_issuer_is_bound_by_the_rules_on_whom_calls_may_reach(server, issuer):
    async with Egress(allowed_hosts=["127.0.0.1"]) as egress:
        given = policy(server, authority=server.url.replace("127.0.0.1", "localhost"))
        await fault_of(call(protected(server, given), make_context(egress)), "authorization", 403)
    async with Egress(allow_private=False) as egress:
        given = policy(server, authority="http://169.254.169.254")
        await fault_of(call(protected(server, given), make_context(egress)), "authorization", 403)
    assert issuer.issued == []


async def test_a_slow_issuer_is_given_the_time_of_the_call(issuer, server, egress):
    issuer.delay = 5
    context = make_context(egress, timeout=0.05)
    detail = await fault_of(call(protected(server, policy(server)), context), "communication", 500)
    assert "authentication to call" in detail


async def test_a_document_is_fetched_and_its_operation_called_with_a_token(issuer, server, context):
    endpoint = {"uri": f"{server.url}/document", "authentication": policy(server)}
    arguments = {"document": {"endpoint": endpoint}, "operationId": "look", "authentication": policy(server)}
    assert (await CALLERS["openapi"](arguments, context))["sub"] == "app"
    assert len(issuer.issued) == 1


async def test_a_token_never_goes_to_the_origin_that_a_redirect_leads_to(issuer, server, bin_server, context):
    elsewhere = f"http://localhost:{server.port}/protected"
    endpoint = {"uri": f"{bin_server.url}/redirect-to?url={elsewhere}", "authentication": policy(server)}
    arguments = {"method": "get", "endpoint": endpoint, "redirect": True}
    await fault_of(call(arguments, context), "communication", 401)
    assert "Authorization" in bin_server.last.headers
    assert "Authorization" not in server.last.headers
    assert len(issuer.issued) == 1
