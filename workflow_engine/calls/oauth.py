"""``oauth2`` and ``oidc``: access tokens from a token endpoint (RFC 6749, RFC 8693, OpenID Connect Discovery)."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlencode

import jwt
from multidict import CIMultiDict
from yarl import URL

from workflow_engine.calls.client_authentication import authenticate_client, text
from workflow_engine.calls.credentials import Credentials
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.exchange import Request, Response, deadline, send
from workflow_engine.calls.tokens import Token
from workflow_engine.calls.uri_template import address
from workflow_engine.calls.url import REDACTED, bounded, parse_url, shown_url
from workflow_engine.errors import ERRORS, Fault, fault
from workflow_engine.values import Json, JsonObject

SECONDS = 30.0
"""How long the issuer may take for one token, discovery included."""
MAX_ANSWER = 256 * 1024
UNKNOWN_LIFETIME = 300.0
"""How long a token is used whose lifetime the issuer does not tell; a 401 ends it earlier."""
DISCOVERY = "/.well-known/openid-configuration"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
GRANTS = ("client_credentials", "password", "refresh_token", EXCHANGE)
ENCODINGS = ("application/x-www-form-urlencoded", "application/json")
_PUBLIC = frozenset({"grant_type", "scope", "audience", "client_id", "client_assertion_type"})
_PUBLIC_TYPES = frozenset({"subject_token_type", "actor_token_type", "username"})

_Parameters = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Policy:
    """An oauth2 or oidc policy whose properties have been looked at."""

    scheme: str
    authority: str
    endpoint: str
    grant: _Parameters
    common: _Parameters
    client: JsonObject
    encoding: str
    issuers: tuple[str, ...]


async def authorize(scheme: str, properties: JsonObject, egress: Egress) -> Credentials:
    """The credentials of an ``oauth2`` or ``oidc`` policy: a bearer token, fetched unless one is still good.

    A token is used by every call with the same policy until shortly before it expires, in memory only. Where the
    issuer gave a refresh token that gets the next one, and only if it is refused the grant again. What goes wrong
    at the token endpoint is an authentication fault with its address; a policy that cannot be applied is a
    configuration fault. Neither has a credential in it.

    ``grant: refresh_token`` takes the refresh token from ``subject.token``, for the specification has no other
    property for one. ``endpoints.revocation`` and ``endpoints.introspection`` are not needed for a call.
    """
    policy = _policy(scheme, properties)
    written = json.dumps([scheme, properties], sort_keys=True)
    key = hashlib.sha256(written.encode()).hexdigest()

    async def fetch(known: Token | None) -> Token:
        return await _fetch(policy, egress, known)

    token = await egress.remembered.token(key, fetch)

    async def renew() -> Mapping[str, str]:
        egress.remembered.drop(key, token.value)
        return _header(await egress.remembered.token(key, fetch))

    return Credentials(_header(token), renew=renew)


def _header(token: Token) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token.value}"}


# --- the policy -----------------------------------------------------------------------------------------------


def _policy(scheme: str, properties: JsonObject) -> _Policy:
    authority = address(text(properties, "authority").strip(), properties)
    if not authority:
        raise _wrong(scheme, "authority is missing")
    endpoints, request = _part(scheme, properties, "endpoints"), _part(scheme, properties, "request")
    encoding = text(request, "encoding") or ENCODINGS[0]
    if encoding not in ENCODINGS:
        raise _wrong(scheme, f"request.encoding must be one of {', '.join(ENCODINGS)}")
    scopes = _texts(scheme, properties, "scopes")
    common = [("scope", " ".join(scopes))] if scopes else []
    common += [("audience", audience) for audience in _texts(scheme, properties, "audiences")]
    more = _part(scheme, properties, "$parameters")  # what DSL 0.8 has besides
    common += [(name, text(more, name)) for name in more]
    return _Policy(
        scheme,
        authority,
        text(endpoints, "token") or "/oauth2/token",
        _grant(scheme, properties),
        common,
        _part(scheme, properties, "client"),
        encoding,
        _texts(scheme, properties, "issuers"),
    )


def _grant(scheme: str, properties: JsonObject) -> _Parameters:
    grant = text(properties, "grant")
    if grant == "authorization_code":
        message = "grant authorization_code needs a code that a person gets by signing in, and nobody is there to do so"
        raise _wrong(scheme, message)
    if grant not in GRANTS:
        raise _wrong(scheme, f"grant must be one of {', '.join(GRANTS)}")
    parameters = [("grant_type", grant)]
    if grant == "password":
        names = ("username", "password")
        parameters += [(name, _needed(scheme, grant, text(properties, name), name)) for name in names]
    elif grant == "refresh_token":
        subject = _part(scheme, properties, "subject")
        parameters.append((grant, _needed(scheme, grant, text(subject, "token"), "subject.token")))
    elif grant == EXCHANGE:
        for name in ("subject", "actor"):
            party = _part(scheme, properties, name)
            if not party and name == "actor":
                continue
            for member, parameter in (("token", f"{name}_token"), ("type", f"{name}_token_type")):
                value = _needed(scheme, "token-exchange", text(party, member), f"{name}.{member}")
                parameters.append((parameter, value))
    return parameters


def _needed(scheme: str, grant: str, value: str, name: str) -> str:
    if not value:
        raise _wrong(scheme, f"{name} is missing, which the grant {grant} needs")
    return value


def _part(scheme: str, properties: JsonObject, name: str) -> JsonObject:
    value = properties.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _wrong(scheme, f"{name} must be an object")
    return value


def _texts(scheme: str, properties: JsonObject, name: str) -> tuple[str, ...]:
    value = properties.get(name)
    items = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(item, str) for item in items):
        raise _wrong(scheme, f"{name} must be a list of strings")
    return tuple(str(item) for item in items)


def _wrong(scheme: str, message: str) -> Fault:
    return fault("configuration", f"authentication {scheme}: {message}")


# --- the issuer -----------------------------------------------------------------------------------------------


async def _fetch(policy: _Policy, egress: Egress, known: Token | None) -> Token:
    endpoint = await _token_endpoint(policy, egress)
    if known is not None and known.refresh is not None:
        try:
            refresh = [("grant_type", "refresh_token"), ("refresh_token", known.refresh)]
            token = await _request(policy, refresh, endpoint, egress)
        except Fault as refused:
            if refused.error.type != ERRORS + "authentication":
                raise
        else:
            return token if token.refresh else Token(token.value, token.expires, known.refresh)
    return await _request(policy, policy.grant, endpoint, egress)


async def _request(policy: _Policy, grant: _Parameters, endpoint: str, egress: Egress) -> Token:
    url = _url(policy, endpoint, egress)
    proof, headers = authenticate_client(policy.client, str(url), policy.scheme)
    parameters = [*grant, *policy.common, *proof.items()]
    sent: CIMultiDict[str] = CIMultiDict(headers)
    sent["Accept"] = "application/json"
    sent["Content-Type"] = policy.encoding
    asked = time.monotonic()
    request = Request("POST", url, sent, _encoded(parameters, policy.encoding))
    response = await _answer(request, egress, redirect=False)
    what = f"the token endpoint {shown_url(url)}"
    answer = _object(response)
    if response.status != HTTPStatus.OK or answer is None or "error" in answer:
        raise _refused(what, response, answer, parameters)
    value = text(answer, "access_token")
    if not value or not value.isascii() or any(char <= " " or char == "\x7f" for char in value):
        raise fault("authentication", f"{what} gave no access token that can be sent")
    if text(answer, "token_type").lower() not in ("bearer", "n_a", ""):
        kind = bounded(text(answer, "token_type"), 50)
        raise fault(
            "authentication", f"{what} gave a token of type {kind!r}; only bearer tokens are supported"
        )
    _check_issuer(policy, answer, what)
    lifetime = _lifetime(answer.get("expires_in"))
    return Token(value, asked + lifetime - min(60.0, lifetime / 5), text(answer, "refresh_token") or None)


def _url(policy: _Policy, address: str, egress: Egress) -> URL:
    try:
        return egress.admit(parse_url(address))
    except ValueError as error:
        raise _wrong(policy.scheme, f"its issuer cannot be called: {error}") from None


async def _answer(request: Request, egress: Egress, *, redirect: bool) -> Response:
    """What the issuer says; that it says nothing is a failure to authenticate, too."""
    try:
        async with deadline(SECONDS, f"{request.method} {shown_url(request.url)}"):
            return await send(request, egress, redirect=redirect, limit=MAX_ANSWER)
    except Fault as failed:
        if failed.error.type == ERRORS + "communication":
            raise fault("authentication", failed.error.detail or "the issuer cannot be reached") from None
        raise


def _encoded(parameters: _Parameters, encoding: str) -> bytes:
    if encoding == ENCODINGS[0]:
        return urlencode(parameters).encode()
    members: JsonObject = {}
    for name, value in parameters:
        before = members.get(name)
        if before is None:
            members[name] = value
        else:
            members[name] = [*before, value] if isinstance(before, list) else [before, value]
    return json.dumps(members).encode()


def _object(response: Response) -> JsonObject | None:
    try:
        data: Json = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _refused(what: str, response: Response, answer: JsonObject | None, parameters: _Parameters) -> Fault:
    """Why there is no token, in the words of the issuer, without anything that was sent to it."""
    detail = f"{what} answered {response.status}"
    if answer is None:
        return fault("authentication", f"{detail}, and not as a token endpoint does (RFC 6749)")
    said = ": ".join(part for part in (text(answer, "error"), text(answer, "error_description")) if part)
    hidden = [value for name, value in parameters if name not in _PUBLIC | _PUBLIC_TYPES]
    hidden += [value.partition(" ")[2] for value in response.request.headers.getall("Authorization", [])]
    for value in sorted(filter(None, hidden), key=len, reverse=True):
        said = said.replace(value, REDACTED)
    return fault("authentication", f"{detail}: {bounded(' '.join(said.split()), 300)}" if said else detail)


def _lifetime(value: Json) -> float:
    try:
        seconds = float(value) if isinstance(value, int | float | str) else UNKNOWN_LIFETIME
    except ValueError:
        return UNKNOWN_LIFETIME
    return min(max(seconds, 0.0), 86_400.0) if seconds == seconds else UNKNOWN_LIFETIME


def _check_issuer(policy: _Policy, answer: JsonObject, what: str) -> None:
    """Hold a token to ``issuers``: the claim of a token that comes straight from its endpoint needs no other proof
    than TLS (OpenID Connect Core §3.1.3.7).
    """
    if not policy.issuers:
        return
    for name in ("access_token", "id_token"):
        try:
            claims = jwt.decode(text(answer, name), options={"verify_signature": False})
        except jwt.PyJWTError:
            continue
        issuer = claims.get("iss")
        if isinstance(issuer, str):
            if issuer not in policy.issuers:
                raise fault(
                    "authentication",
                    f"{what} gave a token of the issuer {bounded(issuer, 200)!r}, which is not in `issuers`",
                )
            return
    raise fault(
        "authentication", f"{what} gave a token that does not say its issuer, and the policy has `issuers`"
    )


async def _token_endpoint(policy: _Policy, egress: Egress) -> str:
    """Where tokens are had: told by the issuer's own description, or put together (decision A57)."""
    base = policy.authority.rstrip("/")
    described = base.endswith("openid-configuration")
    if policy.scheme == "oauth2" and not described:
        absolute = policy.endpoint.startswith(("http://", "https://"))
        return policy.endpoint if absolute else f"{base}/{policy.endpoint.lstrip('/')}"
    return await _discovered(policy, base if described else base + DISCOVERY, egress)


async def _discovered(policy: _Policy, address: str, egress: Egress) -> str:
    url = _url(policy, address, egress)
    what = f"the OpenID configuration {shown_url(url)}"
    found = egress.texts.get(str(url))
    if found is None:
        headers: CIMultiDict[str] = CIMultiDict({"Accept": "application/json"})
        response = await _answer(Request("GET", url, headers), egress, redirect=True)
        if response.status != HTTPStatus.OK:
            raise fault("authentication", f"{what}: the server answered {response.status}")
        found = str(response.request.url), response.body.decode("utf-8", errors="replace")
    try:
        document = json.loads(found[1])
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not text(document, "token_endpoint"):
        raise fault("authentication", f"{what} does not name a token endpoint")
    issuer, expected = text(document, "issuer"), policy.issuers or (address.removesuffix(DISCOVERY),)
    if issuer.rstrip("/") not in [name.rstrip("/") for name in expected]:
        raise fault(
            "authentication",
            f"{what} is that of the issuer {bounded(issuer, 200)!r}; "
            f"expected {', '.join(expected)} (other ones can be listed in `issuers`)",
        )
    endpoint = text(document, "token_endpoint")
    if url.scheme == "https" and not endpoint.startswith("https://"):
        raise fault("authentication", f"{what} names a token endpoint without TLS")
    egress.texts.put(str(url), found)
    return endpoint
