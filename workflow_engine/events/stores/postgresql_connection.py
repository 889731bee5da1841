"""A PostgreSQL database: a bounded pool of connections, transactions that are retried, and who is told of news."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import asyncpg

from workflow_engine.errors import Rejected, Unavailable

T = TypeVar("T")
Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Work: TypeAlias = Callable[[Db], Awaitable[T]]

TRIES = 6
"""How often a transaction is tried that others got in the way of."""
CONNECT = 5.0
ACQUIRE = 10.0
COMMAND = 60.0
QUIET = 10.0
"""Seconds for connecting, for a connection to be free, for one statement, and until whoever listens asks whether the
server is still there.
"""

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.UndefinedTableError,
)
_log = logging.getLogger(__name__)


_REFUSES = (
    asyncpg.DiskFullError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.UndefinedTableError,
)
"""What a server that is there cannot do."""
_IN_THE_WAY = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.UniqueViolationError,
    asyncpg.DuplicateSchemaError,
)


@dataclass(frozen=True, slots=True)
class Address:
    """Where the store is: what asyncpg reads, the schema, how many connections at most, and how it is shown."""

    dsn: str
    schema: str
    connections: int
    shown: str


def shown(url: str) -> str:
    """*url* without its password."""
    try:
        parts = urlsplit(url)
        if parts.password is None and "password" not in parts.query:
            return url
        host = parts.netloc.rpartition("@")[2]
        user = f"{parts.username}@" if parts.username else ""
        return f"{parts.scheme}://{user}{host}{parts.path}"
    except ValueError:
        return url.partition(":")[0] + ":…"


class Database:
    """Runs functions in transactions on one of a few connections, and tells who waits of what others wrote.

    Whatever keeps the server from answering is `Unavailable`; the next call connects again.
    """

    def __init__(
        self,
        address: Address,
        on_news: Callable[[str | None], None] | None = None,
        *,
        what: str = "event store",
    ) -> None:
        """*what* it is called in messages; without *on_news* nobody listens. News that connections of the pool send are
        not told: who has them sent knows.
        """
        self._address, self._on_news = address, on_news
        self._called = f"the {what} {address.shown}"
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._listening: asyncio.Task[None] | None = None
        self._under_way: set[asyncio.Task[Any]] = set()
        self._pids: set[int] = set()
        self.hears = False
        """Whether news come by themselves at the moment."""

    async def open(self) -> None:
        """Get ready; it is the first work that connects."""
        try:
            self._pool = await asyncpg.create_pool(
                self._address.dsn,
                min_size=0,
                max_size=self._address.connections,
                reset=_keep,
                init=self._connected,
                **self._options(),
            )
        except ValueError as error:
            raise Rejected("store-url", f"{self._address.shown}: {error}") from error
        if self._on_news is not None:
            listening = self._listen(self._on_news)
            self._listening = asyncio.create_task(listening, name="postgresql news")

    async def prepare(
        self, table: str, tables: str, format: int, lock: int, then: Work[Any] | None = None
    ) -> None:
        """Make *tables* unless they are there: SQL with ``{schema}``, among them *table* for the number of their
        *format*; and do what comes *then* each time. It is done under the advisory *lock*, by one process at a time.

        `Unavailable` where they have another format. When it fails, the database is closed.
        """
        schema = self._address.schema

        async def work(db: Db) -> Any:
            await db.execute("SELECT pg_advisory_xact_lock($1::bigint)", lock)
            if await db.fetchval("SELECT to_regclass($1)", f'"{schema}".{table}') is None:
                await db.execute(tables.format(schema=schema))
                await db.execute(f"INSERT INTO {table} VALUES ($1)", format)  # noqa: S608  a name of ours
            if then is not None:
                await then(db)
            return await db.fetchval(f"SELECT max(number) FROM {table}")  # noqa: S608

        try:
            found = await self.write(work)
            if found != format:
                raise Unavailable(f"{self._called} has format {found}, this program reads {format}")
        except BaseException:
            await self.close()
            raise

    async def _connected(self, connection: Db) -> None:
        pid = connection.get_server_pid()
        self._pids.add(pid)
        connection.add_termination_listener(lambda _: self._pids.discard(pid))

    def _options(self) -> dict[str, Any]:
        # Tables of what waits grow and shrink sooner than statistics of them are made, and what is asked has an index.
        settings = {
            "search_path": f'"{self._address.schema}"',
            "application_name": "wfe",
            "jit": "off",
            "enable_seqscan": "off",
            "plan_cache_mode": "force_generic_plan",
        }
        return {"timeout": CONNECT, "command_timeout": COMMAND, "server_settings": settings}

    async def close(self) -> None:
        """Finish what was begun and disconnect."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await asyncio.gather(*self._under_way, return_exceptions=True)
        try:
            async with asyncio.timeout(ACQUIRE):
                await pool.close()
        except (*_AWAY, asyncpg.PostgresError):
            pool.terminate()

    async def write(self, work: Work[T], *, sync: bool = True) -> T:
        """Run *work* inside a transaction; returns when it is committed, and with *sync* flushed to disk.

        It may run several times, and must not change anything but the database. Cancelling does not undo it.
        """
        begin = "BEGIN" if sync else "BEGIN; SET LOCAL synchronous_commit TO off"
        return await self._shielded(self._retried(begin, work))

    async def read(self, work: Work[T]) -> T:
        """Run *work*, which only reads, each statement on what is committed."""
        return await self._shielded(self._retried(None, work))

    async def statement(self, work: Work[T]) -> T:
        """Run *work*, which is one statement, and so a transaction of its own. Else as `write`."""
        return await self._shielded(self._retried(None, work))

    async def _shielded(self, work: Awaitable[T]) -> T:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # who was cancelled does not ask for it

    async def _retried(self, begin: str | None, work: Work[T]) -> T:
        for left in reversed(range(TRIES)):
            try:
                return await self._once(begin, work)
            except _IN_THE_WAY as error:
                if not left:
                    raise Unavailable(
                        f"{self._called} is busy: {error or 'others write the same'}"
                    ) from error
                await asyncio.sleep(random.uniform(0.001, 0.05))  # noqa: S311  to part those that met
            except asyncpg.DataError as error:
                raise Rejected("not-storable", f"PostgreSQL cannot store it: {error}") from error
            except asyncpg.ClientConfigurationError as error:
                raise Rejected("store-url", f"{self._address.shown}: {error}") from error
            except _AWAY as error:
                raise self._unavailable(error) from error
        raise AssertionError("unreachable")

    async def _once(self, begin: str | None, work: Work[T]) -> T:
        pool = self._pool
        if pool is None:
            raise Unavailable(f"{self._called} is not open")
        connection = await pool.acquire(timeout=ACQUIRE)
        try:
            if begin is not None:
                await connection.execute(begin)
            result = await work(connection)
            if begin is not None:
                await connection.execute("COMMIT")
            return result
        except BaseException:
            await _undo(connection)
            raise
        finally:
            await pool.release(connection)

    def _unavailable(self, error: BaseException) -> Unavailable:
        reason = str(error) or (
            "it does not answer in time" if isinstance(error, TimeoutError) else repr(error)
        )
        refused = isinstance(error, _REFUSES)
        return Unavailable(f"{self._called} {'does not work' if refused else 'cannot be reached'}: {reason}")

    async def _listen(self, on_news: Callable[[str | None], None]) -> None:
        def hear(_connection: object, pid: int, _topic: str, payload: object) -> None:
            if pid not in self._pids:  # what is written here is told here, sooner
                on_news(str(payload))

        pause = 0.05
        while True:
            try:
                connection = await asyncpg.connect(self._address.dsn, **self._options())
                try:
                    gone = asyncio.Event()
                    connection.add_termination_listener(lambda _, gone=gone: gone.set())
                    await connection.add_listener(topic(self._address.schema), hear)
                    self.hears, pause = True, 0.05
                    on_news(None)  # what was missed meanwhile
                    while not gone.is_set():
                        with contextlib.suppress(TimeoutError):
                            async with asyncio.timeout(QUIET):
                                await gone.wait()
                        if not gone.is_set():
                            await connection.execute("SELECT 1", timeout=CONNECT)
                finally:
                    self.hears = False
                    connection.terminate()
            except (*_AWAY, asyncpg.PostgresError) as error:
                _log.debug("no news from %s: %s", self._address.shown, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)


def topic(schema: str) -> str:
    """The name that news of a store are sent under; notifications are common to all schemas of a database."""
    return f"wfe:{schema}"


async def _keep(_connection: object) -> None:
    """Connections have nothing to reset: settings are local to transactions."""


async def _undo(connection: Db) -> None:
    if connection.is_closed() or not connection.is_in_transaction():
        return
    with contextlib.suppress(asyncio.CancelledError, *_AWAY, asyncpg.PostgresError):
        async with asyncio.timeout(CONNECT):
            await connection.execute("ROLLBACK")
            return
    connection.terminate()
