"""Opens interim stores, by the scheme of their URL."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from workflow_engine.errors import Rejected
from workflow_engine.runtimes.temporal.interim.port import InterimStore
from workflow_engine.runtimes.temporal.interim.sqlite import SqliteInterim


async def open_interim(url: str) -> InterimStore:
    """Open the store at *url*: ``sqlite:///path[?synchronous=normal]`` or ``postgresql://…``.

    `Rejected` for a URL that cannot be read, `Unavailable` where the store cannot be used.
    """
    scheme = url.partition(":")[0].lower()
    if scheme == "sqlite":
        path, synchronous = _file(url)
        return await SqliteInterim.open(path, synchronous=synchronous)
    if scheme in ("postgresql", "postgres"):
        return await _postgresql(url)
    raise Rejected(
        "store-url",
        f"WFE_INTERIM_STORE: {scheme!r} is the scheme of no interim store; use sqlite:///path or postgresql://…",
    )


def _file(url: str) -> tuple[Path, str]:
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    options = dict(parse_qsl(parts.query))
    synchronous = options.pop("synchronous", "full").lower()
    if parts.netloc or not path or not url[7:].startswith("///"):
        raise Rejected("store-url", f"{url!r}: expected sqlite:///relative/path or sqlite:////absolute/path")
    if options or synchronous not in ("full", "normal"):
        raise Rejected("store-url", f"{url!r}: the only option is synchronous=full or synchronous=normal")
    return Path(path), synchronous


async def _postgresql(url: str) -> InterimStore:
    try:
        from workflow_engine.runtimes.temporal.interim.postgresql import PostgresqlInterim
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        how = "pip install 'serverless-workflow-engine[postgresql]'"
        raise Rejected("store-url", f"PostgreSQL needs the package asyncpg: {how}") from error
    return await PostgresqlInterim.open(url)
