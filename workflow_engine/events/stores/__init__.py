"""The backends of storage, opened by URL."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from workflow_engine.errors import Rejected
from workflow_engine.events.spi import Store

ENTRY_POINTS = "workflow_engine.event_stores"
"""The entry point group in which other distributions name theirs: scheme = ``module:opener``."""


def _memory(url: str) -> Store:
    from workflow_engine.events.stores.memory import MemoryStore

    if urlsplit(url).path not in ("", "/"):
        raise Rejected("store-url", f"{url!r}: memory: takes no path")
    return MemoryStore()


def file_of(url: str) -> tuple[Path, str]:
    """The file of ``sqlite:///path[?synchronous=normal]``, and how what is written gets there (`SqliteStore`).

    `Rejected` for a URL that is no such.
    """
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix("/")
    options = dict(parse_qsl(parts.query))
    synchronous = options.pop("synchronous", "full").lower()
    if parts.netloc or not path or not url[7:].startswith("///"):
        raise Rejected("store-url", f"{url!r}: expected sqlite:///relative/path or sqlite:////absolute/path")
    if options or synchronous not in ("full", "normal"):
        raise Rejected("store-url", f"{url!r}: the only option is synchronous=full or synchronous=normal")
    return Path(path), synchronous


def _sqlite(url: str) -> Store:
    from workflow_engine.events.stores.sqlite import SqliteStore

    path, synchronous = file_of(url)
    return SqliteStore(path, synchronous=synchronous)


def _postgresql(url: str) -> Store:
    try:
        from workflow_engine.events.stores.postgresql import PostgresStore, address
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise Rejected(
            "store-url",
            "an event store postgresql://… needs the package asyncpg:"
            " pip install 'serverless-workflow-engine[postgresql]'",
        ) from error
    return PostgresStore(address(url))


def _nats(url: str) -> Store:
    try:
        from workflow_engine.events.stores.nats import open_nats
    except ModuleNotFoundError as error:
        if error.name != "nats":
            raise
        raise Rejected(
            "store-url",
            "an event store nats://… needs the package nats-py: pip install 'serverless-workflow-engine[nats]'",
        ) from error
    return open_nats(url)


OPENERS: dict[str, Callable[[str], Store]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgres": _postgresql,
    "nats": _nats,
    "tls": _nats,
}
"""The schemes that are built in."""


def open_store(url: str) -> Store:
    """The store of *url*, which is not open yet: ``memory:``, ``sqlite:///path[?synchronous=normal]``,
    ``postgresql://[user[:password]@]host[:port]/database[?schema=wfe]``, ``nats://host[:port]/name``, or a scheme
    that another distribution brings
    under `ENTRY_POINTS`.

    `Rejected` for an unknown scheme, with those that are known, and for a URL that its scheme cannot read.
    """
    scheme = url.partition(":")[0].lower()
    if scheme in OPENERS:
        return OPENERS[scheme](url)
    others = {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}
    if scheme not in others:
        known = ", ".join(sorted({*OPENERS, *others}))
        raise Rejected("store-url", f"no event store for {scheme!r}; known are {known}")
    opened = others[scheme].load()(url)
    if not isinstance(opened, Store):
        raise Rejected("store-url", f"{scheme}: {others[scheme].value} is not an event store")
    return opened
