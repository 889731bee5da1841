"""The keys that payloads are encrypted with: where they are, and which one is used for what is new."""

from __future__ import annotations

import base64
import binascii
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from workflow_engine.errors import Rejected
from workflow_engine.runtimes.temporal.converter import KeyMissing

SIZE = 32
"""Bytes of a key: AES-256."""
ENVIRONMENT = "WFE_PAYLOAD_KEY_"
CURRENT = "current"
"""The file, or the end of the variable's name, that says which key is used for what is new."""
AGAIN = 5.0
"""How many seconds pass at least until the keys are read again."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_LONGEST = 4096


@dataclass(frozen=True, slots=True)
class Key:
    """A key of 32 bytes, and what it is called: the id stands beside each payload that it encrypted."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Ring:
    keys: Mapping[str, Key]
    current: Key


class Keys:
    """Keys by id, read again now and then, so that a new one needs no restart.

    What cannot be read when it is read again is told, and the keys that are known go on being used.
    """

    def __init__(self, read: Callable[[], Mapping[str, str]], place: str, current: str | None = None) -> None:
        """*read* gives the texts of keys by id, and maybe under `CURRENT` the id of the current one."""
        self._read, self._place, self._chosen = read, place, current
        self._ring = self._ring_of(read())
        self._at = time.monotonic()

    @property
    def place(self) -> str:
        return self._place

    def current(self) -> Key:
        """The key for what is new."""
        self._refresh(60 * AGAIN)
        return self._ring.current

    def key(self, id: str) -> Key:
        """The key called *id*; `KeyMissing` when there is none."""
        if id not in self._ring.keys:
            self._refresh(AGAIN)
        found = self._ring.keys.get(id)
        if found is None:
            known = ", ".join(sorted(self._ring.keys))
            raise KeyMissing(
                f"a payload is encrypted with the key {id[:100]!r}, which is not at {self._place}; there are {known}"
            )
        return found

    def _refresh(self, after: float) -> None:
        if time.monotonic() - self._at < after:
            return
        self._at = time.monotonic()
        try:
            self._ring = self._ring_of(self._read())
        except (Rejected, OSError) as error:
            import logging

            logging.getLogger(__name__).error("the payload keys cannot be read again: %s", error)

    def _ring_of(self, texts: Mapping[str, str]) -> _Ring:
        found = {id: Key(id, _secret(text, id, self._place)) for id, text in texts.items() if id != CURRENT}
        if not found:
            raise _wrong(f"no key at {self._place}; `wfe payloads key` makes one")
        current = self._chosen or texts.get(CURRENT, "").strip()
        if not current and len(found) > 1:
            raise _wrong(
                f"several keys at {self._place} ({', '.join(sorted(found))}); WFE_PAYLOAD_KEY says which one to use, "
                f"or {CURRENT} beside them"
            )
        current = current or next(iter(found))
        if current not in found:
            raise _wrong(f"the current key {current!r} is not at {self._place}")
        return _Ring(found, found[current])


def open_keys(place: str, current: str | None, environ: Mapping[str, str] | None = None) -> Keys:
    """The keys at *place*: ``env:`` (or ``env:PREFIX_``) or ``file:///FOLDER``; *current* is the id of the one to use.

    `Rejected` when there is none, or when they are not what they should be.
    """
    if place.startswith("env:"):
        variables = os.environ if environ is None else environ
        prefix = place.removeprefix("env:") or ENVIRONMENT
        return Keys(lambda: _in_environment(variables, prefix), f"{prefix}*", current)
    parts = urlsplit(place)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        folder = Path(unquote(parts.path))
        try:
            return Keys(lambda: _in_folder(folder), str(folder), current)
        except OSError as error:
            raise _wrong(f"{error.filename or folder}: {error.strerror or error}") from None
    raise _wrong(f"{place!r} is neither env: nor file:///FOLDER")


def new_key() -> str:
    """A new key, as it is kept: base64."""
    return base64.b64encode(secrets.token_bytes(SIZE)).decode()


def checked_id(id: str) -> str:
    """*id*, if it can be that of a key; else `Rejected`."""
    if not _ID.fullmatch(id) or id == CURRENT:
        raise _wrong(f"{id[:100]!r} cannot be the id of a key: letters, digits, . _ and -")
    return id


def _in_environment(environ: Mapping[str, str], prefix: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, text in environ.items():
        if name.startswith(prefix) and text:
            id = name.removeprefix(prefix)
            found[CURRENT if id.lower() == CURRENT else checked_id(id)] = text
    return found


def _in_folder(folder: Path) -> Mapping[str, str]:
    """A file for each key, named by its id, as Kubernetes mounts them."""
    found: dict[str, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        with path.open("rb") as file:
            text = file.read(_LONGEST).decode("utf-8", errors="replace")
        found[path.name if path.name == CURRENT else checked_id(path.name)] = text
    return found


def _secret(text: str, id: str, place: str) -> bytes:
    """The bytes of a key, from base64 or hexadecimal; an error never shows what it is."""
    text = text.strip()
    try:
        secret = bytes.fromhex(text) if len(text) == 2 * SIZE else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        secret = b""
    if len(secret) != SIZE:
        raise _wrong(f"the key {id!r} at {place} is not {SIZE} bytes in base64 or hexadecimal")
    return secret


def _wrong(message: str) -> Rejected:
    return Rejected("invalid-setting", f"WFE_PAYLOAD_KEYS: {message}")
