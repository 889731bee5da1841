"""Large values in a bucket of S3, or of anything that speaks its protocol."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from workflow_engine.errors import Rejected, Unavailable
from workflow_engine.runtimes.temporal.held import Content
from workflow_engine.runtimes.temporal.payloads.store import (
    YOUNG,
    Stored,
    StoreUnavailable,
    ValueLost,
    checked,
    segment,
)

if TYPE_CHECKING:
    from obstore.store import S3Store as Bucket

OPTIONS = frozenset({"endpoint", "region"})
_TIMEOUT = timedelta(seconds=60)
_CONNECT = timedelta(seconds=3)
_RETRIES = timedelta(seconds=3)
"""How long the client tries again by itself; whoever wants the value tries on."""
_PAGE = 1000
_PART = 8 * 1024 * 1024
"""A larger object is written in parts of so many bytes: each has its own time, and is tried again alone."""
_SIDE_BY_SIDE = 4
"""How many parts are on their way at once."""


class S3Store:
    """Objects of one bucket under a prefix. Credentials are those of the environment (``AWS_…``) or of the machine."""

    def __init__(self, url: str, bucket: Bucket) -> None:
        self._url, self._bucket = url, bucket

    @property
    def url(self) -> str:
        return self._url

    @classmethod
    def open(cls, bucket: str, prefix: str, options: Mapping[str, str]) -> S3Store:
        """A store in *bucket* under *prefix*, of AWS or of the ``endpoint``; nothing is asked yet."""
        try:
            from obstore.store import S3Store as Bucket
        except ImportError:
            raise Rejected(
                "extra-needed",
                "a payload store s3://… needs the package obstore: pip install 'serverless-workflow-engine[s3]'",
            ) from None
        more: dict[str, Any] = {"region": options.get("region") or "us-east-1"}
        if endpoint := options.get("endpoint"):
            more |= {"endpoint": endpoint, "virtual_hosted_style_request": False}
        opened = Bucket(
            bucket,
            prefix=prefix or None,
            client_options={
                "timeout": _TIMEOUT,
                "connect_timeout": _CONNECT,
                "allow_http": (endpoint or "").startswith("http://"),
            },
            retry_config={
                "max_retries": 2,
                "retry_timeout": _RETRIES,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=200),
                    "max_backoff": timedelta(seconds=1),
                    "base": 2,
                },
            },
            **more,
        )
        url = f"s3://{bucket}/{prefix}".rstrip("/") + (f" at {endpoint}" if endpoint else "")
        return cls(url, opened)

    def _unavailable(self, done: str, error: Exception) -> StoreUnavailable:
        # The library tells its whole configuration after the first lines, for its developers.
        reason = " ".join(str(error).partition("\n\nDebug source")[0].split())[:500]
        return StoreUnavailable(f"the payload store {self.url} cannot be {done}: {reason}")

    async def put(self, key: str, *pieces: Content) -> None:
        from obstore.exceptions import BaseError

        size = sum(len(piece) for piece in pieces)
        try:
            there = await self._head(checked(key))
            young = time.time() - YOUNG.total_seconds()
            if there is not None and there.size == size and there.modified > young:
                return
            if size <= _PART:
                await self._bucket.put_async(key, b"".join(pieces), use_multipart=False)
            else:
                await self._bucket.put_async(
                    key, _parts(pieces), chunk_size=_PART, max_concurrency=_SIDE_BY_SIDE
                )
        except Unavailable:
            raise
        except (BaseError, OSError) as error:
            raise self._unavailable("written", error) from None

    async def _head(self, key: str) -> Stored | None:
        try:
            found = await self._bucket.head_async(key)
        except FileNotFoundError:
            return None
        return Stored(key, found["size"], found["last_modified"].timestamp())

    async def get(self, key: str, most: int) -> bytes | bytearray | None:
        from obstore.exceptions import BaseError

        try:
            answer = await self._bucket.get_async(checked(key))
            size = answer.meta["size"]
            if size > most:
                raise ValueLost(f"{self.url}: {key} has more than {most:,} bytes, which is the most")
            if size <= _PART:
                return bytes(await answer.bytes_async())
            read, at = bytearray(size), 0
            async for part in answer.stream(min_chunk_size=_PART // 8):
                read[at : at + len(part)] = memoryview(part)
                at += len(part)
            return read
        except FileNotFoundError:
            return None
        except Unavailable:
            raise
        except (BaseError, OSError) as error:
            raise self._unavailable("read", error) from None

    async def objects(self, namespace: str) -> AsyncIterator[Stored]:
        from obstore.exceptions import BaseError

        try:
            async for page in self._bucket.list(segment(namespace), chunk_size=_PAGE):
                for found in page:
                    yield Stored(found["path"], found["size"], found["last_modified"].timestamp())
        except Unavailable:
            raise
        except (BaseError, OSError) as error:
            raise self._unavailable("listed", error) from None

    async def delete(self, key: str, before: float) -> bool:
        from obstore.exceptions import BaseError

        try:
            there = await self._head(checked(key))
            if there is None or there.modified > before:
                return False
            await self._bucket.delete_async(key)
        except FileNotFoundError:
            return False
        except Unavailable:
            raise
        except (BaseError, OSError) as error:
            raise self._unavailable("changed", error) from None
        return True

    async def check(self) -> None:
        from obstore.exceptions import BaseError

        try:
            await self._head("x/00/" + "0" * 64)
        except Unavailable:
            raise
        except (BaseError, OSError) as error:
            raise self._unavailable("read", error) from None

    async def close(self) -> None:
        """The connections end with the client."""


def _parts(pieces: Sequence[Content]) -> Iterator[bytes]:
    """*pieces* in parts that are not copied all at once."""
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _PART):
            yield bytes(view[start : start + _PART])
