"""One SQLite file: a thread that writes with group commit, a few that read, and a lock against a second process."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

from workflow_engine.errors import Conflict, Unavailable

T = TypeVar("T")
C = TypeVar("C", bound=sqlite3.Connection)

GROUP = 256
"""How many writes share one commit at most."""
READERS = 2
_log = logging.getLogger(__name__)


class FileLock:
    """The right of one process to a database. The kernel ends it with the process, however that dies."""

    def __init__(self, database: Path) -> None:
        self._path = database.with_name(database.name + ".lock")
        self._database = database
        self._file = -1

    def acquire(self) -> None:
        """`Conflict`, naming the file and the process that has it, if there is one."""
        self._database.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(file)
            raise Conflict(
                f"{self._database} is in use by process {holder}; stop it, reach its router over HTTP, "
                "or give another file"
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._file = file

    def release(self) -> None:
        """Without effect if it is not held. The lock file stays: removing it would race with the next holder."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class Write(Generic[T]):
    """A function that waits for its turn to write, and how it went."""

    __slots__ = ("done", "error", "result", "sync", "work")

    def __init__(
        self, work: Callable[[sqlite3.Connection], T], done: asyncio.Future[T], *, sync: bool
    ) -> None:
        self.work, self.done, self.sync = work, done, sync
        self.result: T | None = None
        self.error: BaseException | None = None

    def resolve(self) -> None:
        if self.done.done():
            return
        if isinstance(self.error, StopIteration):  # which a future does not take
            self.done.set_exception(RuntimeError(repr(self.error)))
        elif self.error is not None:
            self.done.set_exception(self.error)
        else:
            self.done.set_result(cast("T", self.result))


class Connection:
    """Runs functions on the database: writes on one thread, many in one commit; reads on others meanwhile.

    What queues up while a commit is flushed to disk goes into the next one together, so that a single writer waits
    for nobody and many writers share the flush. A write that raises is undone alone.
    """

    def __init__(
        self, path: Path, *, synchronous: str, shown: str | None = None, what: str = "event store"
    ) -> None:
        """*what* it is, and *shown*, by default its path, are what messages call it."""
        self._path = path
        self._called = f"the {what} {shown or path}"
        self._full = synchronous == "full"
        self._writes: queue.SimpleQueue[Write[Any] | None] = queue.SimpleQueue()
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._closing = False
        self._loop = asyncio.get_running_loop()
        self._writer = self._connect_writer()
        self._thread = threading.Thread(target=self._run, name=f"sqlite-writer {path.name}", daemon=True)
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix=f"sqlite-reader {path.name}")
        self._thread.start()

    def _connect_writer(self) -> sqlite3.Connection:
        return self._connect(sqlite3.Connection)

    def _connect(self, factory: type[C]) -> C:
        connection = sqlite3.connect(
            self._path, isolation_level=None, check_same_thread=False, timeout=10, factory=factory
        )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute("PRAGMA cache_size = -16384")
        return connection

    async def write(self, work: Callable[[sqlite3.Connection], T], *, sync: bool = True) -> T:
        """Run *work* inside a transaction; returns when it is committed, and with *sync* flushed to disk."""
        if self._closing:
            raise Unavailable(f"{self._called} is closed")
        done: asyncio.Future[T] = self._loop.create_future()
        self._writes.put(Write(work, done, sync=sync))
        return await done

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run *work*, which only reads, on what is committed."""
        if self._closing:
            raise Unavailable(f"{self._called} is closed")
        return await self._loop.run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect(sqlite3.Connection)
            connection.execute("PRAGMA query_only = ON")
            self._opened.append(connection)
        try:
            return work(connection)
        except sqlite3.DatabaseError as error:
            if is_of_the_file(error):
                raise Unavailable(f"{self._called} cannot be read: {error}") from error
            raise

    async def close(self) -> None:
        """Finish the writes that were asked for, then let go of the file."""
        if self._closing:
            return
        self._closing = True
        self._writes.put(None)
        await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._readers.shutdown)
        for connection in (*self._opened, self._writer):
            connection.close()

    def _run(self) -> None:
        last = False
        while not last:
            first = self._writes.get()
            group = [first]
            while len(group) < GROUP and not self._writes.empty():
                group.append(self._writes.get())
            writes = [write for write in group if write is not None]
            last = len(writes) < len(group)
            if writes:
                try:
                    self._commit(writes)
                except BaseException as error:  # noqa: BLE001  whatever it is: without this thread all wait for ever
                    _log.exception("%s cannot be written", self._called)
                    for write in writes:
                        write.error = Unavailable(f"{self._called} cannot be written: {error!r}")
                self._loop.call_soon_threadsafe(resolve, writes)

    def _commit(self, writes: list[Write[Any]]) -> None:
        connection = self._writer
        try:
            flush = self._full and any(write.sync for write in writes)
            connection.execute(f"PRAGMA synchronous = {'FULL' if flush else 'NORMAL'}")
            connection.execute("BEGIN IMMEDIATE")
            run_each(connection, writes)
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error):
                raise
            for write in writes:
                write.error = Unavailable(f"{self._called} cannot be written: {error}")


def is_of_the_file(error: Exception) -> bool:
    """Whether it says something of the file or its disk, and not of what was asked for."""
    code = getattr(error, "sqlite_errorcode", None)
    return isinstance(error, sqlite3.OperationalError) or code in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    )


def run_each(connection: sqlite3.Connection, writes: Sequence[Write[Any]]) -> None:
    """Run *writes* inside the transaction; one that raises is undone alone."""
    for write in writes:
        connection.execute("SAVEPOINT one")
        try:
            write.result = write.work(connection)
        except Exception as error:
            if is_of_the_file(error):
                raise
            write.error = error
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")


def resolve(writes: Sequence[Write[Any]]) -> None:
    """Tell those who wait for *writes* how they went; in the event loop."""
    for write in writes:
        write.resolve()
