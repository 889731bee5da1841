"""The store of large values: a port, and which implementation a URL names."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal.held import Content

YOUNG = timedelta(minutes=10)
"""An object that is put again counts as new, to the precision of this: it will be claimed once more."""
_KEY = re.compile(r"[A-Za-z0-9._-]{1,250}/[0-9a-f]{2}/[0-9a-f]{64}")


class StoreUnavailable(Unavailable):
    """The store does not answer now. Whoever wanted something of it tries again later."""


class ValueLost(Unavailable):
    """The store answers, and has not what a claim says. A run that needs it waits until it is there again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An object of the store: *modified* is when it was put last, in seconds since 1970."""

    key: str
    size: int
    modified: float


class Store(Protocol):
    """Objects of bytes by key (see `checked`). Whatever goes wrong with it is `StoreUnavailable`."""

    @property
    def url(self) -> str:
        """What people call it."""

    async def put(self, key: str, *pieces: Content) -> None:
        """Have the *pieces*, one after the other, under *key*, durably; when they are there already, make it young."""

    async def get(self, key: str, most: int) -> bytes | bytearray | None:
        """What is under *key*, None when nothing is; `ValueLost` when it has over *most* bytes."""

    def objects(self, namespace: str) -> AsyncIterator[Stored]:
        """Every object whose key begins with *namespace* and a slash."""

    async def delete(self, key: str, before: float) -> bool:
        """Delete an object, and say so; not one that was put after *before* (seconds since 1970)."""

    async def check(self) -> None:
        """Whether it answers, and can be read."""

    async def close(self) -> None:
        """Let go of connections."""


def key_of(namespace: str, digest: str) -> str:
    """The key of an object whose content has the SHA-256 *digest*, in hex, of a Temporal namespace."""
    return f"{segment(namespace)}/{digest[:2]}/{digest}"


def segment(namespace: str) -> str:
    """*namespace* as a part of a key."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", namespace)[:250].lstrip(".") or "_"


def checked(key: str) -> str:
    """*key*, which somebody else may have written; `ValueLost` when it cannot be one of ours."""
    if not _KEY.fullmatch(key) or key.startswith("."):
        raise ValueLost(f"{key[:300]!r} is not the key of a payload")
    return key
