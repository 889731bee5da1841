"""A SQLite file that follows a journal: what is written is in the journal before it is seen here.

The file is a copy that can be made again from the journal. Statements that change something are noted while a
transaction runs, the journal is given them, and only when it has them durably is the transaction committed; if it does
not take them, nothing has happened. Where that is not known, the journal is read before anything else is written.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
import sqlite3
import struct
import zlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.events.stores.journal import (
    Full,
    Joining,
    Journal,
    Moved,
    Statement,
    TooLarge,
    digest,
    part,
    parts,
)
from workflow_engine.events.stores.sqlite_connection import Connection, Write, resolve, run_each

T = TypeVar("T")

_log = logging.getLogger(__name__)
_PATIENCE = 60.0
"""Seconds after which the journal is given up that should have said itself that it does not answer."""
_SLOW = 200_000
"""Bytes a second: so many more it has for what it is given."""
_SAFE = {
    sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE,
    sqlite3.SQLITE_TRANSACTION, sqlite3.SQLITE_SAVEPOINT, sqlite3.SQLITE_CREATE_TABLE, sqlite3.SQLITE_CREATE_INDEX,
    sqlite3.SQLITE_ALTER_TABLE, sqlite3.SQLITE_DROP_TABLE, sqlite3.SQLITE_DROP_INDEX, sqlite3.SQLITE_REINDEX,
    sqlite3.SQLITE_RECURSIVE,
}  # fmt: skip
_FUNCTIONS = {
    "coalesce", "count", "ifnull", "length", "like", "max", "min", "nullif", "substr", "sum", "total",
    "printf", "sqlite_drop_column", "sqlite_fail", "sqlite_rename_column", "sqlite_rename_quotefix",
    "sqlite_rename_table", "sqlite_rename_test",  # which ALTER TABLE is made of
}  # fmt: skip
"""What statements of a store may do: it is the same wherever they are run again, and touches nothing but the file."""


def _allow(action: int, first: str | None, second: str | None, _db: str | None, _in: str | None) -> int:
    if action in _SAFE:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA and first == "user_version":
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


class Recorder(sqlite3.Connection):
    """Notes the statements that change something, and refuses those that another place would run otherwise."""

    _noted: list[Statement] | None = None
    _mark = 0

    def record(self) -> None:
        """From now on."""
        self._noted, self._mark = [], 0

    def recorded(self) -> list[Statement]:
        """What was noted, without what was rolled back; nothing more is from now on."""
        noted, self._noted = self._noted, None
        return noted or []

    def guard(self) -> None:
        """Refuse what is not `_SAFE`."""
        self.set_authorizer(_allow)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        before = self.total_changes
        cursor = super().execute(sql, parameters)
        self._note(sql, [parameters], before)
        return cursor

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> sqlite3.Cursor:
        runs, before = [*parameters], self.total_changes
        cursor = super().executemany(sql, runs)
        self._note(sql, runs, before)
        return cursor

    def cursor(self, *_: Any, **__: Any) -> Any:
        """Not for use: what a cursor runs is not noted."""
        raise NotImplementedError("statements go through the connection")

    def _note(self, sql: str, runs: list[Any], before: int) -> None:
        if self._noted is None:
            return
        word = next(iter(sql.split(None, 1)), "").upper()
        if word in ("UPDATE", "DELETE"):
            if self.total_changes == before:
                return
        elif word == "SAVEPOINT":
            self._mark = len(self._noted)
            return
        elif word == "ROLLBACK":
            del self._noted[self._mark :]
            return
        elif word in ("", "SELECT", "BEGIN", "COMMIT", "RELEASE") or (word == "PRAGMA" and "=" not in sql):
            return
        self._noted.append((sql, [tuple(values) for values in runs]))

    def replay(self, statements: Sequence[Statement]) -> None:
        """Run what was noted elsewhere."""
        for sql, runs in statements:
            for values in runs:
                super().execute(sql, values).fetchall()


class ReplicaConnection(Connection):
    """Runs functions on the copy; writes go through *journal*, many in one entry.

    *identity* is the journal's. `catch_up` is to be called before anything is written, and `lead` after it.
    *on_caught_up* reads the file where something came from the journal that was not known to have been written, and
    answers with what is then to be done in the event loop; writes that were asked for before that are refused, for they
    may have been asked for in ignorance of it. *on_entry* is told in the event loop how many bytes the journal got,
    *on_full* that there was no room in it, and *on_fenced* that it is another's now.
    """

    def __init__(
        self,
        path: Path,
        journal: Journal,
        writer: bytes,
        identity: str,
        *,
        on_caught_up: Callable[[sqlite3.Connection], Callable[[], None]],
        on_entry: Callable[[int], None],
        on_full: Callable[[], None],
        on_fenced: Callable[[], None],
    ) -> None:
        self._journal, self._me, self._identity = journal, writer, identity
        self._on_caught_up, self._on_entry, self._on_full = on_caught_up, on_entry, on_full
        self._on_fenced = on_fenced
        self._entry = 0
        self._leads = self._doubt = self._asked = False
        self._joining = Joining()
        self._fenced = ""
        self._tail = 0
        super().__init__(path, synchronous="normal", shown=journal.shown)

    def _connect_writer(self) -> sqlite3.Connection:
        self._recorder = self._connect(Recorder)
        _prepare(self._recorder, self._identity)
        self._recorder.guard()
        return self._recorder

    async def write(self, work: Callable[[sqlite3.Connection], T], *, sync: bool = True) -> T:
        if not self._leads:
            raise Unavailable(f"{self._called} is being opened")
        self._require()
        return await super().write(work, sync=sync)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._require()
        return await super().read(work)

    def _require(self) -> None:
        if self._fenced:
            raise Unavailable(self._fenced)

    def _fence(self, who: str | None) -> None:
        """Somebody else has the journal now: neither write nor read any more."""
        self._fenced = (
            f"{self._called} was taken over by {who or 'another process'}; this process no longer writes it"
        )
        self._loop.call_soon_threadsafe(self._on_fenced)
        self._require()

    async def settle(self) -> None:
        """Find out whether the journal went on without this process knowing, and in whose hands."""
        self._asked = True
        await self.write(lambda _: None)

    @property
    def at(self) -> int:
        """The sequence of the last message that was read or written."""
        return self._tail

    @property
    def fenced(self) -> str:
        """That another process has taken the journal over, if it has."""
        return self._fenced

    def _commit(self, writes: list[Write[Any]]) -> None:
        db = self._recorder
        if not self._leads:  # then it is `catch_up` that asks, and nobody else
            try:
                self._catch_up()
            except Exception as error:  # noqa: BLE001  it is for who waits
                for write in writes:
                    write.error = error
            return
        try:
            self._require()
            asked, self._asked = self._asked, False
            if (self._doubt or asked) and self._catch_up():
                self._tell()
                raise Unavailable(f"{self._called} was read again after an interruption; try again")
            db.record()
            db.execute("BEGIN IMMEDIATE")
            run_each(db, writes)
            noted = db.recorded()
            if noted:
                self._append(noted)
            db.execute("COMMIT")
            self._doubt = False
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if not isinstance(error, sqlite3.Error | Unavailable | Conflict):
                raise
            if isinstance(error, TooLarge) and len(writes) > 1:
                half = len(writes) // 2
                for some in (writes[:half], writes[half:]):
                    for write in some:
                        write.result = write.error = None
                    self._commit(some)
                return
            text = f"{self._called} cannot be written: {error}" if isinstance(error, sqlite3.Error) else error
            for write in writes:
                write.error = Unavailable(str(text))

    def _append(self, noted: list[Statement]) -> None:
        """Have the transaction in the journal; until it is committed, whether it was is in doubt."""
        self._entry += 1
        messages = parts(self._me, self._entry, noted, self._journal.largest)
        self._doubt = True
        try:
            size = sum(map(len, messages))
            last = self._wait(self._journal.append(messages, self._tail), _PATIENCE + size / _SLOW)
        except Moved:
            self._recorder.execute("ROLLBACK")
            if self._catch_up():
                self._tell()
            raise Unavailable(f"{self._called} was read again after an interruption; try again") from None
        except Full:
            self._loop.call_soon_threadsafe(self._on_full)
            raise
        self._stand(last, messages[-1])
        self._tail = last
        self._loop.call_soon_threadsafe(self._on_entry, size)

    def _stand(self, sequence: int, message: bytes) -> None:
        """Note in the transaction which message it is of."""
        sqlite3.Connection.execute(
            self._recorder, "UPDATE replica SET applied = ?, digest = ?", (sequence, digest(message))
        )

    def _wait(self, work: Coroutine[Any, Any, T], patience: float = _PATIENCE) -> T:
        """Have the event loop do *work*; in the writer's thread."""
        doing = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return doing.result(patience)
        except (TimeoutError, concurrent.futures.CancelledError) as error:
            doing.cancel()
            raise Unavailable(f"{self._called} does not answer") from error

    async def catch_up(self) -> None:
        """Apply what the journal has and the file does not; before the first write."""
        await super().write(lambda _: None)

    def lead(self) -> None:
        """From now on entries of others in the journal mean that this one was taken over."""
        self._leads = True

    def _catch_up(self) -> int:
        """How many entries were applied."""
        taken = 0
        _, self._tail, _ = standing(self._recorder) or ("", 0, b"")
        self._joining = Joining()
        bounds = self._wait(self._journal.bounds())
        if bounds.identity != self._identity or bounds.last < self._tail:
            raise Unavailable(
                f"{self._called} has lost what it had confirmed: it was at {self._tail} and is at {bounds.last}. "
                f"{self._path} still has it"
            )
        while messages := self._wait(self._journal.read(self._tail)):
            if self._closing:
                raise Unavailable(f"{self._called} is closed")
            for sequence, message in messages:
                taken += self._take(sequence, message)
        self._doubt = False
        return taken

    def _take(self, sequence: int, message: bytes) -> bool:
        if sequence != self._tail + 1:
            raise Unavailable(f"{self._called} has a gap: {self._tail + 1} to {sequence - 1} are missing")
        read = part(message, self._called)
        if read is None:
            _log.warning("%s: message %s is of somebody else, and is left out", self._called, sequence)
            self._tail = sequence
            return False
        if self._leads and read.writer != self._me:
            self._wait(self._journal.resign())
            self._fence(self._wait(self._journal.holder()))
        try:
            statements = self._joining.take(read)
        except (zlib.error, struct.error, ValueError, TypeError, LookupError) as error:
            raise Unavailable(f"{self._called}: entry {sequence} is damaged: {error}") from error
        if statements is not None:
            db = self._recorder
            db.execute("BEGIN IMMEDIATE")
            try:
                db.replay(statements)
                self._stand(sequence, message)
                db.execute("COMMIT")
            except sqlite3.Error as error:
                db.execute("ROLLBACK")
                raise Unavailable(
                    f"{self._called}: entry {sequence} cannot be applied to {self._path}: {error}"
                ) from error
            self._loop.call_soon_threadsafe(self._on_entry, len(message))
        self._tail = sequence
        return statements is not None

    def _tell(self) -> None:
        """Make what came from the journal known, and refuse what was asked for before it was."""
        known = self._on_caught_up(self._recorder)

        async def tell() -> None:
            known()

        self._wait(tell())
        refused: list[Write[Any]] = []
        while not self._writes.empty():
            try:
                write = self._writes.get_nowait()
            except queue.Empty:
                break
            if write is None:
                self._writes.put(None)
                break
            write.error = Unavailable(f"{self._called} was read again after an interruption; try again")
            refused.append(write)
        self._loop.call_soon_threadsafe(resolve, refused)


def _prepare(db: sqlite3.Connection, identity: str) -> None:
    db.execute(
        "CREATE TABLE IF NOT EXISTS replica (one INTEGER PRIMARY KEY CHECK (one = 1), identity TEXT NOT NULL,"
        " applied INTEGER NOT NULL, digest BLOB NOT NULL)"
    )
    db.execute("INSERT INTO replica VALUES (1, ?, 0, x'') ON CONFLICT DO NOTHING", (identity,))


def standing(db: sqlite3.Connection) -> tuple[str, int, bytes] | None:
    """Which journal a file follows, the sequence of the message it is at, and its digest; ``None`` if it does not."""
    try:
        row = db.execute("SELECT identity, applied, digest FROM replica").fetchone()
    except sqlite3.DatabaseError:
        return None
    return (row[0], row[1], row[2]) if row else None
