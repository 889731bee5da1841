"""How an OAuth client proves to a token endpoint who it is (RFC 6749 §2.3, RFC 7523, OpenID Connect Core §9)."""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import Any
from urllib.parse import quote_plus

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from workflow_engine.errors import Fault, fault
from workflow_engine.values import Json, JsonObject

METHODS = ("client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none")
ASSERTION_SECONDS = 120
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
SHORTEST_SECRET = 32
"""In bytes: what signs with HS256 must be as long as its hash (RFC 7518 §3.2)."""
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512", "secp256k1": "ES256K"}


def authenticate_client(
    client: JsonObject, endpoint: str, scheme: str
) -> tuple[dict[str, str], dict[str, str]]:
    """The parameters and the headers by which *client* authenticates at the token *endpoint*.

    *client* is that of an authentication policy: ``id``, ``secret``, ``assertion``, ``authentication``. A client
    without a secret and without a word on its authentication is a public one, unless it has an ``assertion``.
    That is sent as it is; without one it is made and signed here, with the secret as key: for
    ``private_key_jwt`` that is a private key, in PEM or as a JWK. *scheme* is what faults begin with; they never
    have a value of *client*.
    """
    id, method = text(client, "id"), text(client, "authentication")
    secret, assertion = client.get("secret"), text(client, "assertion")
    if not method:
        method = "private_key_jwt" if assertion else "client_secret_post" if secret else "none"
    if method not in METHODS:
        raise _wrong(scheme, f"client.authentication must be one of {', '.join(METHODS)}")
    if assertion and not method.endswith("_jwt"):
        raise _wrong(scheme, f"client.assertion has no place in the client.authentication {method}")
    if method == "none":
        return ({"client_id": id} if id else {}), {}
    if not id:
        raise _wrong(scheme, "client.id is missing")
    if method.endswith("_jwt"):
        signed = assertion or _signed(method, id, secret, endpoint, scheme)
        return {"client_id": id, "client_assertion_type": ASSERTION, "client_assertion": signed}, {}
    if not isinstance(secret, str) or not secret:
        raise _wrong(scheme, f"client.secret is missing, which {method} needs")
    if method == "client_secret_post":
        return {"client_id": id, "client_secret": secret}, {}
    pair = f"{quote_plus(id)}:{quote_plus(secret)}".encode()
    return {}, {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def text(properties: JsonObject, name: str) -> str:
    """The string *name* of *properties*; empty where there is none."""
    value = properties.get(name)
    return value if isinstance(value, str) else ""


def _signed(method: str, id: str, secret: Json, endpoint: str, scheme: str) -> str:
    if not secret:
        raise _wrong(scheme, f"{method} needs client.secret to sign with, or a client.assertion")
    key: Any
    if method == "client_secret_jwt":
        if not isinstance(secret, str) or len(secret.encode()) < SHORTEST_SECRET:
            raise _wrong(
                scheme, f"client_secret_jwt needs a client.secret of {SHORTEST_SECRET} bytes or more"
            )
        key, algorithm, key_id = secret, "HS256", None
    else:
        try:
            key, algorithm, key_id = _private_key(secret)
        except (ValueError, TypeError, jwt.PyJWTError):
            message = (
                "private_key_jwt needs a private key as client.secret: RSA, EC or Ed25519, in PEM or as a JWK"
            )
            raise _wrong(scheme, message) from None
    now = int(time.time())
    claims = {
        "iss": id,
        "sub": id,
        "aud": endpoint,
        "jti": str(uuid.uuid4()),
        "iat": now,
        "exp": now + ASSERTION_SECONDS,
    }
    return jwt.encode(claims, key, algorithm, headers={"kid": key_id} if key_id else None)


def _private_key(secret: Json) -> tuple[Any, str, str | None]:
    """The key, the algorithm that it signs with, and its id; `ValueError` where it is none."""
    if isinstance(secret, str) and secret.lstrip().startswith("{"):
        secret = json.loads(secret)
    if isinstance(secret, dict):
        if "d" not in secret:
            raise ValueError("a public key cannot sign")
        jwk = jwt.PyJWK(secret)
        return jwk.key, jwk.algorithm_name, jwk.key_id
    key = load_pem_private_key(str(secret).encode(), None)
    if isinstance(key, rsa.RSAPrivateKey):
        return key, "RS256", None
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key, _CURVES[key.curve.name] if key.curve.name in _CURVES else _no(key.curve.name), None
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return key, "EdDSA", None
    return _no(type(key).__name__), "", None


def _no(what: str) -> str:
    raise ValueError(f"{what} cannot sign")


def _wrong(scheme: str, message: str) -> Fault:
    return fault("configuration", f"authentication {scheme}: {message}")
