"""URLs of stores in NATS."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from workflow_engine.errors import Rejected

SNAPSHOT = 64 * 1024 * 1024
"""Bytes of the journal after which a snapshot is made; more if the last snapshot was larger."""
_SEED = re.compile(rb"\A\s*(SU[A-Z2-7]+)\s*\Z")
_CREDS = re.compile(rb"USER JWT-+\s+\S+\s.*USER NKEY SEED-+\s+(SU[A-Z2-7]+)\s", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """Where the journal is: *servers* and how to connect to them; *name* of the stream; what it is made with.

    *file*, *snapshot* and *recovers* are for the store.
    """

    servers: tuple[str, ...]
    name: str
    shown: str
    replicas: int | None = None
    max_bytes: int | None = None
    user: str | None = None
    password: str | None = None
    token: str | None = None
    creds: str | None = None
    nkey: str | None = None
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    file: Path | None = None
    snapshot: int = SNAPSHOT
    recovers: bool = False

    def options(self) -> dict[str, Any]:
        """How the client is to connect, credentials included; `OSError` where a file of them cannot be used."""
        made: dict[str, Any] = {}
        if self.token is not None:
            made["token"] = self.token
        if self.user is not None:
            made |= {"user": self.user, "password": self.password or ""}
        if self.creds is not None:
            _require_seed("creds", self.creds, _CREDS)
            made["user_credentials"] = self.creds
        if self.nkey is not None:
            _require_seed("nkey", self.nkey, _SEED)
            made["nkeys_seed"] = self.nkey
        if self.tls:
            context = ssl.create_default_context(cafile=self.ca)
            if self.cert is not None:
                context.load_cert_chain(self.cert, self.key)
            made["tls"] = context
        return made


def address(url: str) -> Address:
    """What a URL ``nats://[user:password@|token@]host[:port][,host…]/name?…``; `Rejected` tells nothing secret."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise Rejected("store-url", "nats:…: expected nats://host[:port]/name") from None
    login, _, hosts = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    name = unquote(parts.path).strip("/") or "wfe-events"
    shown = f"{parts.scheme}://{user + '@' if colon else ''}{hosts}/{name}"
    if not hosts or not _NAME.fullmatch(name) or not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise Rejected(
            "store-url",
            f"{shown!r}: expected nats://host[:port][,host[:port]]/name, a name of letters, digits, - and _",
        )
    unknown = options.keys() - {
        "replicas",
        "max_bytes",
        "snapshot",
        "file",
        "recover",
        "creds",
        "nkey",
        "ca",
        "cert",
        "key",
    }
    if unknown:
        raise Rejected("store-url", f"{shown!r}: there is no option {', '.join(sorted(unknown))}")
    numbers = {each: _number(shown, each, options) for each in ("replicas", "max_bytes", "snapshot")}
    if options.get("recover", "copy") != "copy":
        raise Rejected("store-url", f"{shown!r}: the only way to recover is recover=copy")
    if numbers["replicas"] not in (None, 1, 3, 5):
        raise Rejected("store-url", f"{shown!r}: replicas is 1, 3 or 5")
    if "key" in options and "cert" not in options:
        raise Rejected("store-url", f"{shown!r}: key needs cert")
    return Address(
        servers=tuple(f"{parts.scheme}://{host}" for host in hosts.split(",")),
        name=name,
        shown=shown,
        replicas=numbers["replicas"],
        max_bytes=numbers["max_bytes"],
        user=unquote(user) if colon else None,
        password=unquote(password) if colon else None,
        token=unquote(user) if user and not colon else None,
        creds=options.get("creds"),
        nkey=options.get("nkey"),
        tls=parts.scheme == "tls" or "ca" in options or "cert" in options,
        ca=options.get("ca"),
        cert=options.get("cert"),
        key=options.get("key"),
        file=Path(options["file"]) if "file" in options else None,
        snapshot=numbers["snapshot"] or SNAPSHOT,
        recovers="recover" in options,
    )


def _require_seed(name: str, file: str, pattern: re.Pattern[bytes]) -> None:
    """The client fails in ways of its own where a file has nothing of the kind."""
    import nkeys

    found = pattern.search(Path(file).read_bytes())
    try:
        if found is not None:
            nkeys.from_seed(bytearray(found[1]))
            return
    except Exception:  # noqa: BLE001, S110  whatever it is, it must not tell what the file has
        pass
    raise OSError(f"{name}={file} has no seed of a user")


def _number(shown: str, name: str, options: dict[str, str]) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 2**53:
        raise Rejected("store-url", f"{shown!r}: {name} is a number")
    return int(text)
