"""Where documents are kept, chosen by URL: ``memory:`` or ``sqlite:///path/to/file``."""

from __future__ import annotations

from urllib.parse import unquote

from catalog.store import Store
from catalog.stores.memory import MemoryStore
from catalog.stores.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore", "open_store"]


async def open_store(url: str) -> Store:
    """Open the store at *url*; ``sqlite:///catalog.db`` is relative, ``sqlite:////var/catalog.db`` absolute.

    `ValueError` for another scheme, `Unavailable` if the file cannot be opened.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "memory" and rest.strip("/") == "":
        return MemoryStore()
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > 3:
        return await SqliteStore.open(unquote(rest[3:]))
    raise ValueError(f"{url!r} names no store; use memory: or sqlite:///path")
