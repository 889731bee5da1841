"""Large values in a folder, of this machine or one that several share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from workflow_engine.errors import Unavailable
from workflow_engine.runtimes.temporal.held import Content
from workflow_engine.runtimes.temporal.payloads.store import (
    YOUNG,
    Stored,
    StoreUnavailable,
    ValueLost,
    checked,
    segment,
)

T = TypeVar("T")

MARK = "wfe-payloads"
"""The file that makes a folder a store: where a disk is not mounted, nothing is written, nor missed for good."""
_LEFTOVER = 86_400.0
"""After so many seconds a file that was never finished is of a writer that has died."""


class FileStore:
    """Objects as files: written beside their place, flushed to the disk, and moved there at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def url(self) -> str:
        return self.root.as_uri()

    @classmethod
    async def open(cls, root: Path) -> FileStore:
        """Make a store of the folder *root*, or use the one that it is."""
        store = cls(root.absolute())  # noqa: ASYNC240 - it asks for the current folder alone
        await store._doing("made", store._make)
        return store

    def _make(self) -> None:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError), (self.root / MARK).open("x") as file:
            file.write("large payloads of workflows; see `wfe payloads`\n")

    async def _doing(self, done: str, work: Callable[[], T]) -> T:
        try:
            return await asyncio.to_thread(work)
        except Unavailable:
            raise
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreUnavailable(f"the payload store {self.url} cannot be {done}: {reason}") from None

    def _path(self, key: str) -> Path:
        if not (self.root / MARK).exists():
            raise StoreUnavailable(
                f"the payload store {self.url} is not there (it has no file {MARK}): is a disk not mounted?"
            )
        return self.root / checked(key)

    async def put(self, key: str, *pieces: Content) -> None:
        await self._doing("written", lambda: self._put(self._path(key), pieces))

    def _put(self, path: Path, pieces: Sequence[Content]) -> None:
        if _renewed(path, sum(len(piece) for piece in pieces)):
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            with open(beside, "xb", opener=_private) as file:
                file.writelines(pieces)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        for folder in (path.parent, path.parent.parent):
            _flush(folder)

    async def get(self, key: str, most: int) -> bytes | None:
        return await self._doing("read", lambda: self._get(self._path(key), most))

    def _get(self, path: Path, most: int) -> bytes | None:
        try:
            with path.open("rb", buffering=0) as file:
                size = os.fstat(file.fileno()).st_size
                if size > most:
                    raise ValueLost(f"{path} has more than {most:,} bytes, which is the most")
                return file.readall()
        except FileNotFoundError:
            return None

    async def objects(self, namespace: str) -> AsyncIterator[Stored]:
        folder = self.root / segment(namespace)
        await self.check()
        for part in await self._doing("listed", lambda: sorted(folder.glob("??"))):
            for stored in await self._doing("listed", lambda part=part: list(self._in(part))):  # type: ignore[misc]
                yield stored

    def _in(self, folder: Path) -> Iterator[Stored]:
        for path in folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                if not path.name.startswith("."):
                    key = path.relative_to(self.root).as_posix()
                    yield Stored(key, status.st_size, status.st_mtime)
                elif time.time() - status.st_mtime > _LEFTOVER:
                    path.unlink()

    async def delete(self, key: str, before: float) -> bool:
        return await self._doing("changed", lambda: self._delete(self._path(key), before))

    def _delete(self, path: Path, before: float) -> bool:
        """Take the file away, look at it, and put it back if somebody has made it young meanwhile."""
        away = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            path.rename(away)
        except FileNotFoundError:
            return False
        if away.stat().st_mtime > before:
            away.replace(path)
            return False
        away.unlink()
        return True

    async def check(self) -> None:
        await self._doing("read", lambda: self._path("x/00/" + "0" * 64))

    async def close(self) -> None:
        """Nothing is held open."""


def _renewed(path: Path, size: int) -> bool:
    """Whether the object is there; it is young then."""
    try:
        status = path.stat()
        if status.st_size != size:
            return False
        if time.time() - status.st_mtime > YOUNG.total_seconds():
            os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
