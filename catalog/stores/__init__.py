"""Where documents are kept, chosen by URL: ``memory:``, ``sqlite:///path/to/file`` or ``postgresql://…``."""

from __future__ import annotations

from urllib.parse import unquote

from catalog.store import Store
from catalog.stores.memory import MemoryStore
from catalog.stores.postgresql import PostgresqlStore
from catalog.stores.sqlite import SqliteStore

__all__ = ["MemoryStore", "PostgresqlStore", "SqliteStore", "open_store"]


async def open_store(url: str) -> Store:
    """Open the store at *url*; ``sqlite:///catalog.db`` is relative, ``sqlite:////var/catalog.db`` absolute.

    `ValueError` for another scheme, `Unavailable` if the file or database cannot be opened.
    """
    scheme, _, rest = url.partition(":")
    if scheme == "memory" and rest.strip("/") == "":
        return MemoryStore()
    if scheme == "sqlite" and rest.startswith("///") and len(rest) > 3:
        return await SqliteStore.open(unquote(rest[3:]))
    if scheme in ("postgresql", "postgres"):
        return await PostgresqlStore.open(url)
    raise ValueError(f"{url!r} names no store; use memory:, sqlite:///path or postgresql://…")
