"""An operator, accounts and users of a NATS server that asks for JWTs, as ``nsc`` makes them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import nkeys
from nacl.signing import SigningKey


class Signer:
    """One who can sign: *prefix* says as what."""

    def __init__(self, prefix: int) -> None:
        self.seed: bytes = nkeys.encode_seed(bytes(SigningKey(os.urandom(32))), prefix)
        self._pair = nkeys.from_seed(bytearray(self.seed))
        self.public = self._pair.public_key.decode()

    def signed(self, subject: str, name: str, claims: dict[str, Any]) -> str:
        """The JWT that says *claims* of *subject*."""
        body = {
            "iat": int(time.time()),
            "iss": self.public,
            "name": name,
            "sub": subject,
            "nats": {"version": 2, **claims},
        }
        digest = hashlib.sha256(json.dumps(body).encode()).digest()
        body["jti"] = base64.b32encode(digest).decode().rstrip("=")
        head = {"typ": "JWT", "alg": "ed25519-nkey"}
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (head, body))
        return f"{text}.{_encoded(self._pair.sign(text.encode()))}"


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Accounts:
    """An operator with one account that may use JetStream, and another one for the system."""

    def __init__(self) -> None:
        operator, system = Signer(nkeys.PREFIX_BYTE_OPERATOR), Signer(nkeys.PREFIX_BYTE_ACCOUNT)
        self._account = Signer(nkeys.PREFIX_BYTE_ACCOUNT)
        none = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1}
        stream = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1, "wildcards": True}
        limits = {"type": "account", "limits": none | stream}
        preloaded = {
            system.public: operator.signed(
                system.public, "SYS", {"type": "account", "limits": none | {"wildcards": True}}
            ),
            self._account.public: operator.signed(self._account.public, "events", limits),
        }
        lines = "\n".join(f"  {public}: {token}" for public, token in preloaded.items())
        self.config = (
            f"operator: {operator.signed(operator.public, 'O', {'type': 'operator'})}\n"
            f"system_account: {system.public}\n"
            f"resolver: MEMORY\nresolver_preload: {{\n{lines}\n}}\n"
        )
        """What the server is given."""

    def user(self, file: Path, permissions: dict[str, Any] | None = None) -> Path:
        """Write the credentials of a user of the account, who may do what *permissions* say, or all."""
        user = Signer(nkeys.PREFIX_BYTE_USER)
        claims = {"type": "user", "subs": -1, "data": -1, "payload": -1, **(permissions or {})}
        token = self._account.signed(user.public, "engine", claims)
        file.write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )
        file.chmod(0o600)
        return file
