"""Opens interim stores, by the scheme of their URL."""

from __future__ import annotations

from workflow_engine.errors import Rejected
from workflow_engine.events.stores import file_of
from workflow_engine.runtimes.temporal.interim.port import InterimStore
from workflow_engine.runtimes.temporal.interim.sqlite import SqliteInterim


async def open_interim(url: str) -> InterimStore:
    """Open the store at *url*: ``sqlite:///path[?synchronous=normal]`` or ``postgresql://…``.

    `Rejected` for a URL that cannot be read, `Unavailable` where the store cannot be used.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "sqlite":
        path, synchronous = file_of(url)
        return await SqliteInterim.open(path, synchronous=synchronous)
    if scheme in ("postgresql", "postgres"):
        return await _postgresql(url)
    raise Rejected(
        "store-url",
        f"WFE_INTERIM_STORE: {scheme!r} is the scheme of no interim store; use sqlite:///path or postgresql://…",
    )


async def _postgresql(url: str) -> InterimStore:
    try:
        from workflow_engine.runtimes.temporal.interim.postgresql import PostgresqlInterim
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        how = "pip install 'serverless-workflow-engine[postgresql]'"
        raise Rejected("store-url", f"PostgreSQL needs the package asyncpg: {how}") from error
    return await PostgresqlInterim.open(url)
