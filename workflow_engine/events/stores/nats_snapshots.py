"""The files of copies of a journal, and of their snapshots, which are compressed."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.stores.replica import standing

T = TypeVar("T")

_BLOCK = 1024 * 1024
_OFTEN = 10_000
"""After how many instructions of SQLite it is asked whether to go on."""


def pack(
    path: Path,
    packed: Path,
    place: tuple[str, int, bytes] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> int:
    """Write a copy of the database as it is now, compressed, at another *place* of the journal if one is given; which
    message it is at. `Unavailable` soon after it is *stopped*.
    """
    copy = packed.with_name(packed.name + ".db")
    copy.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.set_progress_handler(stopped, _OFTEN)  # which ends the statement where it is true
            db.execute("VACUUM INTO ?", (str(copy),))
        if place is not None:
            stand(copy, *place)
        with contextlib.closing(sqlite3.connect(copy)) as db:
            has = standing(db)
        if has is None:
            raise Unavailable(f"{path} is no copy of a journal")
        with copy.open("rb") as content, gzip.open(packed, "wb", compresslevel=1) as made:
            while block := content.read(_BLOCK):
                if stopped():
                    raise Unavailable("the snapshot was stopped")
                made.write(block)
    finally:
        copy.unlink(missing_ok=True)
    return has[1]


def unpack(packed: Path, path: Path, identity: str) -> bytes:
    """Make the copy of a snapshot, which may have been taken before the streams were moved elsewhere; the digest of the
    message that it is at.
    """
    with gzip.open(packed, "rb") as content, path.open("wb") as made:
        shutil.copyfileobj(content, made, _BLOCK)
        made.flush()
        os.fsync(made.fileno())
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE replica SET identity = ?", (identity,))
        has = standing(db)
    if has is None:
        raise Unavailable(f"{packed} is no copy of a journal")
    return has[2]


def stand(path: Path, identity: str, at: int, digest: bytes) -> None:
    """Have the copy stand at another message."""
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE replica SET identity = ?, applied = ?, digest = ?", (identity, at, digest))


async def finished(work: Callable[[], T], stop: Callable[[], None] = lambda: None) -> T:
    """What comes of *work* in a thread. Who is cancelled has it *stop*, and waits: its files will be used again."""
    doing = asyncio.get_running_loop().run_in_executor(None, work)
    try:
        return await asyncio.shield(doing)
    except asyncio.CancelledError:
        stop()
        await asyncio.gather(doing, return_exceptions=True)
        raise


def standing_in(path: Path) -> tuple[str, int, bytes] | None:
    """As `standing`; `Conflict` for a file that is no copy, which must not be made one."""
    if not path.exists() or not path.stat().st_size:
        return None
    with contextlib.closing(sqlite3.connect(path)) as db:
        try:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
                raise
            tables = {path.name}
        if tables and "replica" not in tables:
            raise Conflict(
                f"{path} is there and is no copy of an event store in NATS; move it away, or give file=…"
            )
        return standing(db)


def remove(path: Path) -> None:
    """Remove a database with the files beside it."""
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)
