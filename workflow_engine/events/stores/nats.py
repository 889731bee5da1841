"""A store in JetStream of NATS: a journal in a stream, followed by a copy in a SQLite file that answers questions."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import os
import re
import secrets
import shutil
import socket
import sqlite3
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from workflow_engine.errors import Conflict, Rejected, Unavailable
from workflow_engine.events.stores.journal import Bounds, Journal, digest
from workflow_engine.events.stores.nats_connection import Address, valid
from workflow_engine.events.stores.nats_journal import NatsJournal
from workflow_engine.events.stores.replica import ReplicaConnection, standing
from workflow_engine.events.stores.sqlite import SqliteStore
from workflow_engine.events.stores.sqlite_log import read_channels
from workflow_engine.events.stores.sqlite_schema import upgrade

SNAPSHOT = 64 * 1024 * 1024
"""Bytes of the journal after which a snapshot is made; more if the last snapshot was larger."""
AGAIN = 0.2
"""Seconds until it is asked once more what became of the store while the server was away."""
PAUSE = 60.0
"""Seconds until a snapshot that failed is tried again."""
_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")
_log = logging.getLogger(__name__)


class NatsStore(SqliteStore):
    """All four protocols in a journal that one process writes at a time.

    Who opens it while another process answers is refused; where nobody answers, it goes on at once, and whoever had it
    before is refused by the server when it next writes. *file* is where the copy is kept between starts; without it,
    the copy is made anew each time, in a folder for temporary files.
    """

    def __init__(self, address: Address, file: Path | None, *, snapshot: int = SNAPSHOT) -> None:
        self._kept, self._temporary = file, None if file else ""
        super().__init__(file or Path(tempfile.gettempdir()) / "wfe-events.db")
        self._shown = address.shown
        self._journal: Journal = NatsJournal(address, self._back)
        self._every, self._room, self._grown, self._largest = snapshot, address.max_bytes, 0, 0
        self._snapshotting: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._replica: ReplicaConnection | None = None
        self._who = f"process {os.getpid()} on {socket.gethostname()}"

    async def open(self) -> None:
        if self._connection is not None:
            return
        me = secrets.token_bytes(16)
        await self._journal.open()
        try:
            await self._begin(me)
        except BaseException:
            await self._let_go()
            raise

    async def _alone(self) -> None:
        who = await self._journal.holder()
        if who is not None:
            raise Conflict(
                f"the event store {self._shown} is in use by {who}; stop it, reach its router over HTTP, or give "
                "another name"
            )

    async def _begin(self, me: bytes) -> None:
        if self._kept is None:
            self._temporary = await asyncio.to_thread(tempfile.mkdtemp, prefix="wfe-events-")
            self._path = Path(self._temporary) / "events.db"
            self._lock = type(self._lock)(self._path)
        await asyncio.to_thread(self._lock.acquire)
        # Whoever has the store answers before it writes. So if nobody answers, and nothing was written since before
        # that was asked, nobody has it; and if somebody is about to, only one of the two first entries is taken.
        bounds = await self._journal.bounds()
        await self._alone()
        await self._fitting(bounds)
        connection = ReplicaConnection(
            self._path,
            self._journal,
            me,
            bounds.identity,
            on_caught_up=self._caught_up,
            on_entry=self._entered,
            on_full=self._make_room,
        )
        self._connection = connection
        await connection.catch_up()
        while connection.at != bounds.last:
            bounds = await self._journal.bounds()
            await self._alone()
            await connection.catch_up()
        await self._journal.answer(self._who)

        def begin(db: sqlite3.Connection) -> None:
            upgrade(db)
            db.execute(
                "CREATE TABLE IF NOT EXISTS writer (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB, who TEXT)"
            )
            db.execute("INSERT OR REPLACE INTO writer VALUES (1, ?, ?)", (me, self._who))

        connection.lead()
        try:
            await connection.write(begin)
        except Unavailable:
            await self._journal.resign()
            await self._alone()  # another one was faster
            raise
        await self._journal.announce()
        self._replica = connection
        self._channels = await connection.read(read_channels)
        self._grown = (await self._journal.bounds()).size
        self._largest = next((each.size for each in await self._journal.snapshots()), 0)
        self._entered(0)

    async def _fitting(self, bounds: Bounds) -> None:
        """See to a copy that the journal can go on from: the one that is there, a snapshot, or nothing yet."""
        has = await asyncio.to_thread(_standing, self._path)
        if has is not None and has[0] == bounds.identity:
            _, at, ours = has
            if at > bounds.last:
                raise self._lost(at, bounds.last)
            if at >= bounds.first:
                ((_, message), *_) = await self._journal.read(at - 1)
                if digest(message) != ours:
                    raise self._lost(at, bounds.last)
                return
            if at == 0 and bounds.first == 1:
                return
        await asyncio.to_thread(_remove, self._path)
        snapshots = await self._journal.snapshots()
        if not snapshots:
            if bounds.first > 1:
                raise Conflict(
                    f"the event store {self._shown} begins at {bounds.first} and has no snapshot of what was before: "
                    "what was removed from it has to be restored"
                )
            return
        at = snapshots[0].sequence
        if not bounds.first - 1 <= at <= bounds.last:
            raise Conflict(
                f"the event store {self._shown} has {bounds.first} to {bounds.last}, to which its snapshot of {at} "
                "does not fit: restore stream and snapshots together"
            )
        packed = self._path.with_name(self._path.name + ".snapshot")
        try:
            await self._journal.load_snapshot(at, packed)
            await asyncio.to_thread(_unpack, packed, self._path, bounds.identity)
        except (OSError, EOFError, zlib.error, sqlite3.Error) as error:
            if isinstance(error, Unavailable):
                raise
            raise Unavailable(
                f"the event store {self._shown}: its snapshot of {at} cannot be used: {error}"
            ) from error
        finally:
            packed.unlink(missing_ok=True)

    def _lost(self, at: int, last: int) -> Conflict:
        return Conflict(
            f"the event store {self._shown} ends at {last}, and has lost what was acknowledged up to {at}: was an "
            f"older state of the server restored? {self._path} still has it; move that file away to go on with what "
            "the server has"
        )

    async def close(self) -> None:
        if self._connection is None:
            return
        for task in (self._snapshotting, self._settling):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._let_go()
        self._wakeups.notify_all()

    async def _let_go(self) -> None:
        connection, self._connection, self._replica = self._connection, None, None
        if connection is not None:
            await connection.close()
        await self._journal.close()
        self._lock.release()
        if self._temporary:
            await asyncio.to_thread(shutil.rmtree, self._temporary, ignore_errors=True)
            self._temporary = ""

    # What the connection and the journal tell

    def _back(self) -> None:
        """The server is there again: find out what became of what was under way."""
        if self._replica is not None:
            if self._settling is not None:
                self._settling.cancel()
            self._settling = asyncio.create_task(self._settle(self._replica), name="event store")

    async def _settle(self, replica: ReplicaConnection) -> None:
        while not replica.fenced:
            with contextlib.suppress(Unavailable):
                await replica.settle()
                await self._journal.answer(self._who)
                return
            await asyncio.sleep(AGAIN)

    def _caught_up(self, db: sqlite3.Connection) -> Callable[[], None]:
        channels = read_channels(db)

        def known() -> None:
            self._channels = channels
            self._wakeups.notify_all()

        return known

    def _entered(self, size: int) -> None:
        self._grown += size
        most = self._room // 2 if self._room else self._grown + 1
        if self._grown >= min(most, max(self._every, self._largest)):
            self._make_room()

    def _make_room(self) -> None:
        if self._replica is not None and self._snapshotting is None:
            self._snapshotting = asyncio.create_task(self._snapshot(), name="event store snapshot")

    async def _snapshot(self) -> None:
        began = time.monotonic()
        try:
            at = await self.snapshot()
            _log.info("snapshot of %s up to %s in %.1f s", self._shown, at, time.monotonic() - began)
        except (Unavailable, Conflict, sqlite3.Error, OSError) as error:
            _log.warning("no snapshot of the event store %s: %s", self._shown, error)
            await asyncio.sleep(PAUSE)
        finally:
            self._snapshotting = None
        self._entered(0)

    async def snapshot(self) -> int:
        """Put a copy of everything into the journal, and have it forget what was before; up to which message."""
        self._require_open()
        packed = self._path.with_name(self._path.name + ".snapshot")
        grown = self._grown
        try:
            at = await asyncio.to_thread(_pack, self._path, packed)
            size = packed.stat().st_size
            await self._journal.keep_snapshot(at, packed)
        finally:
            packed.unlink(missing_ok=True)
        self._grown, self._largest = self._grown - grown, size
        await self._journal.forget(at)
        return at


def open_nats(url: str) -> NatsStore:
    """The store of ``nats://[user:password@|token@]host[:port][,host…]/name?…``; `Rejected` tells nothing secret."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise Rejected("store-url", "nats:…: expected nats://host[:port]/name") from None
    login, _, hosts = parts.netloc.rpartition("@")
    user, colon, password = login.partition(":")
    name = unquote(parts.path).strip("/") or "wfe-events"
    shown = f"{parts.scheme}://{user + '@' if colon else ''}{hosts}/{name}"
    if not hosts or not valid(name) or not all(_HOST.fullmatch(host) for host in hosts.split(",")):
        raise Rejected(
            "store-url",
            f"{shown!r}: expected nats://host[:port][,host[:port]]/name, a name of letters, digits, - and _",
        )
    unknown = options.keys() - {
        "replicas",
        "max_bytes",
        "snapshot",
        "file",
        "creds",
        "nkey",
        "ca",
        "cert",
        "key",
    }
    if unknown:
        raise Rejected("store-url", f"{shown!r}: there is no option {', '.join(sorted(unknown))}")
    numbers = {each: _number(shown, each, options) for each in ("replicas", "max_bytes", "snapshot")}
    if numbers["replicas"] not in (None, 1, 3, 5):
        raise Rejected("store-url", f"{shown!r}: replicas is 1, 3 or 5")
    if "key" in options and "cert" not in options:
        raise Rejected("store-url", f"{shown!r}: key needs cert")
    address = Address(
        servers=tuple(f"{parts.scheme}://{host}" for host in hosts.split(",")),
        name=name,
        shown=shown,
        replicas=numbers["replicas"],
        max_bytes=numbers["max_bytes"],
        user=unquote(user) if colon else None,
        password=unquote(password) if colon else None,
        token=unquote(user) if user and not colon else None,
        creds=options.get("creds"),
        nkey=options.get("nkey"),
        tls=parts.scheme == "tls" or "ca" in options or "cert" in options,
        ca=options.get("ca"),
        cert=options.get("cert"),
        key=options.get("key"),
    )
    file = Path(options["file"]) if "file" in options else None
    return NatsStore(address, file, snapshot=numbers["snapshot"] or SNAPSHOT)


def _number(shown: str, name: str, options: dict[str, str]) -> int | None:
    text = options.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 2**53:
        raise Rejected("store-url", f"{shown!r}: {name} is a number")
    return int(text)


def _standing(path: Path) -> tuple[str, int, bytes] | None:
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(path)) as db:
        return standing(db)


def _remove(path: Path) -> None:
    for ending in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)


def _pack(path: Path, packed: Path) -> int:
    """Write a copy of the database as it is now, compressed; which message it is at."""
    copy = packed.with_name(packed.name + ".db")
    copy.unlink(missing_ok=True)
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("VACUUM INTO ?", (str(copy),))
        with contextlib.closing(sqlite3.connect(copy)) as db:
            has = standing(db)
        if has is None:
            raise Unavailable(f"{path} is no copy of a journal")
        with copy.open("rb") as content, gzip.open(packed, "wb", compresslevel=1) as made:
            shutil.copyfileobj(content, made, 1024 * 1024)
    finally:
        copy.unlink(missing_ok=True)
    return has[1]


def _unpack(packed: Path, path: Path, identity: str) -> None:
    """Make the copy of a snapshot, which may have been taken before the streams were moved elsewhere."""
    with gzip.open(packed, "rb") as content, path.open("wb") as made:
        shutil.copyfileobj(content, made, 1024 * 1024)
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE replica SET identity = ?", (identity,))
