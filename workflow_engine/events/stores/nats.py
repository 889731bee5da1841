"""A store in JetStream of NATS: a journal in a stream, followed by a copy in a SQLite file that answers questions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket
import sqlite3
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.shared_store import Taken
from workflow_engine.events.stores.journal import Bounds, Journal, Moved, Snapshot, digest, parts
from workflow_engine.events.stores.nats_address import Address, address
from workflow_engine.events.stores.nats_journal import NatsJournal
from workflow_engine.events.stores.nats_snapshots import finished, pack, remove, stand, standing_in, unpack
from workflow_engine.events.stores.replica import ReplicaConnection
from workflow_engine.events.stores.sqlite import SqliteStore
from workflow_engine.events.stores.sqlite_log import read_channels
from workflow_engine.events.stores.sqlite_schema import upgrade

AGAIN = 0.2
"""Seconds until it is asked once more what became of the store while the server was away."""
LEAST, PAUSE = 1.0, 60.0
"""Seconds until a snapshot that failed is tried again: at least, for others wait for the room, and otherwise."""
_log = logging.getLogger(__name__)


def open_nats(url: str) -> NatsStore:
    """The store of a URL, which is not open yet."""
    return NatsStore(address(url))


class NatsStore(SqliteStore):
    """All four protocols in a journal that one process writes at a time.

    Who opens it while another process answers is refused; where nobody answers, it goes on at once, and whoever had it
    before is refused by the server when it next writes. The copy is kept between starts in a file, if the address has
    one; else it is made anew each time, in a folder for temporary files. Where the server has lost what the copy has,
    the copy is put back if the address says so, else nothing is opened; likewise where the server has something else.
    """

    def __init__(self, address: Address) -> None:
        self._recovers = address.recovers
        self._kept, self._temporary = address.file, ""
        super().__init__(address.file or Path(tempfile.gettempdir()) / "wfe-events.db")
        self._shown = address.shown
        self._journal: Journal = NatsJournal(address, self._back)
        self._every, self._room, self._grown, self._largest = address.snapshot, 0, 0, 0
        self._lacks_snapshot = self._was_away = False
        self._full = asyncio.Event()
        self._snapshotting: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._replica: ReplicaConnection | None = None
        self._opening: ReplicaConnection | None = None
        self._on_lost: Callable[[], None] = lambda: None
        self._who = f"process {os.getpid()} on {socket.gethostname()}"

    def when_lost(self, tell: Callable[[], None]) -> None:
        """As `LosableStore`."""
        self._on_lost = tell
        if self._replica is not None and self._replica.fenced:
            tell()

    def _lose(self) -> None:
        self._on_lost()

    async def open(self) -> None:
        if self._connection is not None:
            return
        me = secrets.token_bytes(16)
        try:
            await self._journal.open()
            await self._begin(me)
        except BaseException as error:
            await self._let_go()
            self._why = f": {error}" if isinstance(error, Conflict | Unavailable) else ""
            if isinstance(error, sqlite3.Error):
                raise Unavailable(
                    f"{self._path} cannot be used as the copy of the event store {self._shown}: {error}; if it is "
                    "damaged, move it away, and it is made again of what the server has"
                ) from error
            raise
        self._why = ""

    async def _alone(self) -> None:
        who = await self._journal.holder()
        if who is not None:
            raise Taken(
                f"the event store {self._shown} is in use by {who}; stop it, reach its router over HTTP, or give "
                "another name"
            )

    async def _begin(self, me: bytes) -> None:
        if self._kept is None:
            self._temporary = await asyncio.to_thread(tempfile.mkdtemp, prefix="wfe-events-")
            self._path = Path(self._temporary) / "events.db"
            self._lock = type(self._lock)(self._path)
        try:
            await asyncio.to_thread(self._lock.acquire)
        except Conflict as error:
            raise Taken(str(error)) from None
        # Whoever has the store answers before it writes. So if nobody answers, and nothing was written since before
        # that was asked, nobody has it; and if somebody is about to, only one of the two first entries is taken.
        bounds = await self._journal.bounds()
        await self._alone()
        await self._fitting(bounds, me)
        connection = ReplicaConnection(
            self._path,
            self._journal,
            me,
            bounds.identity,
            on_caught_up=self._caught_up,
            on_entry=self._entered,
            on_full=self._has_no_room,
            on_fenced=self._lose,
        )
        self._opening = connection  # and nobody else writes until it is this process's
        await connection.catch_up()
        while connection.at != bounds.last:
            bounds = await self._journal.bounds()
            await self._alone()
            await connection.catch_up()
        self._was_away = False
        await self._journal.answer(self._who)

        def begin(db: sqlite3.Connection) -> None:
            upgrade(db)
            db.execute(
                "CREATE TABLE IF NOT EXISTS writer (one INTEGER PRIMARY KEY CHECK (one = 1), id BLOB, who TEXT)"
            )
            db.execute("INSERT OR REPLACE INTO writer VALUES (1, ?, ?)", (me, self._who))

        stood = connection.at
        connection.lead()
        try:
            await connection.write(begin)
        except Unavailable:
            await self._journal.resign()
            await self._alone()  # another one was faster
            raise
        await self._journal.announce()
        self._channels = await connection.read(read_channels)
        self._replica = self._connection = connection
        self._opening = None
        if self._was_away:  # since it began to answer, which ended with that connection
            self._back()
        bounds = await self._journal.bounds()
        self._grown, self._room = bounds.size, bounds.room
        snapshots = await self._journal.snapshots()
        if any(each.sequence > stood for each in snapshots):  # a stream was restored that had not got there
            await self._journal.forget_later(stood)
        self._largest = next((each.size for each in snapshots), 0)
        if self._lacks_snapshot:
            self._make_room()
        self._entered(0)

    async def _fitting(self, bounds: Bounds, me: bytes) -> None:
        """See to a copy that the journal can go on from: the one that is there, a snapshot, or nothing yet."""
        has = await asyncio.to_thread(standing_in, self._path)
        if has is not None and has[1]:
            identity, at, ours = has
            if identity != bounds.identity and bounds.last:
                raise self._differs(at, "is another one than that")
            if identity != bounds.identity or at > bounds.last:
                await self._recover(bounds, at, me)
                return
            if at >= bounds.first:
                ((_, message), *_) = await self._journal.read(at - 1)
                if digest(message) != ours:
                    raise self._differs(at, "went another way than that")
                return
        snapshots, damage = await self._journal.snapshots(), None
        for snapshot in snapshots:
            if bounds.first - 1 <= snapshot.sequence <= bounds.last:
                try:
                    if await self._take(snapshot, bounds):
                        return
                except Unavailable as error:
                    _log.warning("%s", error)
                    damage, self._lacks_snapshot = damage or error, True
        if damage is not None:
            raise damage
        if has is not None and bounds.first - 1 == bounds.last == has[1] > 0:
            self._lacks_snapshot = True  # somebody emptied the journal, and the copy has all that was in it
            return
        if snapshots:
            raise Conflict(
                f"the event store {self._shown} has {bounds.first} to {bounds.last}, to which its snapshot of "
                f"{snapshots[0].sequence} does not fit: restore stream and snapshots together"
            )
        if bounds.first > 1:
            raise Conflict(
                f"the event store {self._shown} begins at {bounds.first} and has no snapshot of what was before: "
                "what was removed from it has to be restored"
            )
        await asyncio.to_thread(remove, self._path)

    async def _take(self, snapshot: Snapshot, bounds: Bounds) -> bool:
        """Make the copy of a snapshot, if that is of this journal: streams may have been restored one by one."""
        at, packed, made = snapshot.sequence, self._beside("snapshot"), self._beside("new")
        try:
            await self._journal.load_snapshot(at, packed)
            its = await finished(lambda: unpack(packed, made, bounds.identity))
            if at >= bounds.first:
                ((_, message), *_) = await self._journal.read(at - 1)
                if digest(message) != its:
                    _log.warning(
                        "the event store %s: the snapshot of %s is of something else", self._shown, at
                    )
                    return False
            await asyncio.to_thread(remove, self._path)
            await asyncio.to_thread(made.replace, self._path)
        except (OSError, EOFError, zlib.error, sqlite3.Error) as error:
            if isinstance(error, Unavailable):
                raise
            raise Unavailable(
                f"the event store {self._shown}: its snapshot of {at} cannot be used: {error}"
            ) from error
        finally:
            packed.unlink(missing_ok=True)
            await asyncio.to_thread(remove, made)
        return True

    def _beside(self, ending: str) -> Path:
        return self._path.with_name(f"{self._path.name}.{ending}")

    def _differs(self, at: int, how: str) -> Conflict:
        return Conflict(
            f"the event store {self._shown} {how} of which {self._path} is a copy, up to {at}, and has not what is "
            "there: is the URL right? Move the file away to go on with what the server has, or give another one, file=…"
        )

    async def _recover(self, bounds: Bounds, at: int, me: bytes) -> None:
        """The copy has what the journal has lost: go on with the copy, if that is wanted."""
        if not self._recovers:
            raise Conflict(
                f"the event store {self._shown} ends at {bounds.last}, and has not what was acknowledged up to {at}: "
                f"is the URL right, or was an older state of the server restored? {self._path} still has everything; "
                "add recover=copy to the URL to put it back into the server, or move the file away to go on with what "
                "the server has"
            )
        # Of an entry that changes nothing, so that no other copy is taken for one of the same place.
        (mark,) = parts(me, 0, [], self._journal.largest)
        place = (bounds.identity, bounds.last + 1, digest(mark))
        # In this order: should this end half way, nobody goes on without what the copy has, and it can be done again.
        await self._keep(self._path, place)
        await asyncio.to_thread(stand, self._path, *place)
        try:
            await self._journal.append([mark], bounds.last)
        except Moved:
            raise Unavailable(
                f"the event store {self._shown} was written by another process; try again"
            ) from None
        await self._journal.forget_later(bounds.last + 1)
        await self._journal.forget(bounds.last + 1)
        _log.warning("the event store %s was put back from %s", self._shown, self._path)

    async def _keep(self, path: Path, place: tuple[str, int, bytes] | None = None) -> tuple[int, int]:
        """Store a snapshot of the copy, as if it were at another *place*; what it is of, and its size."""
        packed, stopped = self._beside("snapshot"), threading.Event()
        try:
            at = await finished(lambda: pack(path, packed, place, stopped.is_set), stopped.set)
            await self._journal.keep_snapshot(at, packed)
            return at, packed.stat().st_size
        finally:
            packed.unlink(missing_ok=True)

    async def close(self) -> None:
        if self._connection is None:
            return
        for task in (self._snapshotting, self._settling):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._replica is not None and self._replica.fenced:
            self._why = f": {self._replica.fenced}"
        await self._let_go()
        self._wakeups.notify_all()

    async def _let_go(self) -> None:
        connection = self._connection or self._opening
        self._connection = self._replica = self._opening = None
        self._lacks_snapshot = False
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
        self._was_away = True
        if self._replica is not None:
            if self._settling is not None:
                self._settling.cancel()
            self._settling = asyncio.create_task(self._settle(self._replica), name="event store")

    async def _settle(self, replica: ReplicaConnection) -> None:
        pause = AGAIN
        while not replica.fenced:
            with contextlib.suppress(Unavailable):
                await replica.settle()
                await self._journal.answer(self._who)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)

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

    def _has_no_room(self) -> None:
        self._full.set()
        self._make_room()

    async def _snapshot(self) -> None:
        began = time.monotonic()
        self._full.clear()
        try:
            at = await self.snapshot()
            _log.info("snapshot of %s up to %s in %.1f s", self._shown, at, time.monotonic() - began)
        except (Unavailable, Conflict, sqlite3.Error, OSError) as error:
            _log.warning("no snapshot of the event store %s: %s", self._shown, error)
            await asyncio.sleep(min(max(LEAST, 3 * (time.monotonic() - began)), PAUSE))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE):
                    await self._full.wait()
        finally:
            self._snapshotting = None
        self._entered(0)

    async def snapshot(self) -> int:
        """Put a copy of everything into the journal, and have it forget what was before; up to which message."""
        self._require_open()
        grown = self._grown
        at, size = await self._keep(self._path)
        self._grown, self._largest, self._lacks_snapshot = self._grown - grown, size, False
        await self._journal.forget(at)
        return at
