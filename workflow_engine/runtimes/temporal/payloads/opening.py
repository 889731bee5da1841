"""Open what payloads need: their store and their keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from workflow_engine.errors import Rejected
from workflow_engine.runtimes.temporal.payloads.keys import open_keys
from workflow_engine.runtimes.temporal.payloads.store import Store
from workflow_engine.runtimes.temporal.payloads.stores.file import FileStore
from workflow_engine.runtimes.temporal.payloads.stores.s3 import OPTIONS, S3Store
from workflow_engine.runtimes.temporal.payloads.travelling import LARGEST, THRESHOLD, Payloads
from workflow_engine.runtimes.temporal.weights import WEIGHTS, return_what_is_free


@asynccontextmanager
async def open_payloads(
    *,
    store: str | None = None,
    keys: str | None = None,
    key: str | None = None,
    namespace: str = "default",
    threshold: int = THRESHOLD,
    largest: int = LARGEST,
    memory: int | None = None,
) -> AsyncIterator[Payloads]:
    """How values travel, with the *store* and the *keys* at those URLs; *key* is the id of the one for what is new.

    This process has at most *memory* bytes of large values at a time, by itself a part of what the machine has.
    """
    return_what_is_free()
    if memory is not None:
        WEIGHTS.most = memory
    ring = None if keys is None else open_keys(keys, key)
    opened = None if store is None else await open_store(store)
    try:
        yield Payloads(opened, ring, namespace, threshold, largest)
    finally:
        if opened is not None:
            await opened.close()


async def open_store(url: str) -> Store:
    """The store at ``file:///FOLDER`` or ``s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]``.

    A folder is made, if need be. `Rejected` for another URL, `StoreUnavailable` when it cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.strip("/") and not parts.query:
        return await FileStore.open(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = sorted(options.keys() - OPTIONS)
        if unknown:
            raise Rejected(
                "invalid-setting",
                f"WFE_PAYLOAD_STORE: {unknown[0]!r} is none of {', '.join(sorted(OPTIONS))}",
            )
        return S3Store.open(parts.netloc, unquote(parts.path).strip("/"), options)
    raise Rejected(
        "invalid-setting", f"WFE_PAYLOAD_STORE: {url!r} is neither file:///FOLDER nor s3://BUCKET/PREFIX"
    )
