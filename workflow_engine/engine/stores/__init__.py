"""Implementations of the definition store, by the scheme of their URL."""

from __future__ import annotations

from workflow_engine.engine.store import DefinitionStore
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.engine.stores.sqlite import SqliteDefinitions
from workflow_engine.errors import Rejected


async def open_definitions(url: str) -> DefinitionStore:
    """Open the store at *url*: ``memory:``, ``sqlite:///path`` or ``postgresql://…``."""
    scheme, _, rest = url.partition(":")
    if scheme == "memory":
        return MemoryDefinitions()
    if scheme == "sqlite" and rest.startswith("///"):
        return await SqliteDefinitions.open(rest.removeprefix("///"))
    if scheme in ("postgresql", "postgres"):
        return await _postgresql(url)
    message = f"{url!r} names no definition store; use memory:, sqlite:///path or postgresql://…"
    raise Rejected("unknown-store", message)


async def _postgresql(url: str) -> DefinitionStore:
    try:
        from workflow_engine.engine.stores.postgresql import PostgresqlDefinitions
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        how = "pip install 'serverless-workflow-engine[postgresql]'"
        raise Rejected("store-url", f"PostgreSQL needs the package asyncpg: {how}") from error
    return await PostgresqlDefinitions.open(url)
