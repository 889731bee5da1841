"""Connections to NATS: to whichever server takes them, made again when they end, and told of without what is secret."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.errors import APIError

from workflow_engine.errors import Conflict, Rejected, Unavailable
from workflow_engine.events.stores.nats_address import Address

CONNECT = 5
ANSWER = 5.0
HOLDER = 2.0
"""Seconds for connecting, for an answer of JetStream, and for who has the journal to say so."""
GOODBYE = 1.0
"""Seconds for a connection to end."""
PING = 10
"""Seconds after which a connection that says nothing is asked for a sign of life; two that are missed end it."""
LARGEST = 512 * 1024
"""Bytes of a message, if the server allows as many: a few dozen are read together."""
HEADERS = 1024
"""Bytes that headers have at most, which count as part of a message."""
ERRORS = (nats.errors.Error, APIError, OSError, TimeoutError, ValueError)
"""What the client raises where something is wrong with a server."""
_log = logging.getLogger(__name__)


class _Client(Client):
    """A client whose connecting ends with the first error; by itself, it tries the same server for ever."""

    connects = True

    async def note(self, error: Exception) -> None:
        if self.connects:
            raise error
        _log.debug("NATS: %s", error)


class NatsConnection:
    """A connection of which one has the journal: that answers on ``NAME.holder``.

    *on_back* is called when somebody else may have taken the journal over: when the server is there again, and when
    another process says so on ``NAME.taken``.
    """

    def __init__(self, address: Address, on_back: Callable[[], None]) -> None:
        self._address, self._on_back = address, on_back
        self._holder = f"{address.name}.holder"
        self._taken = f"{address.name}.taken"
        self._client: Client | None = None
        self._away = asyncio.Event()
        self._why: Exception | None = None
        self._answering: list[Subscription] = []
        self._closing = False
        self._returning: asyncio.Task[None] | None = None
        self._discovered: list[str] = []
        self.shown = address.shown
        self.most = self._allowed = LARGEST
        """Bytes that a message may have by the stream, and by the server."""

    @property
    def largest(self) -> int:
        """How many bytes a message may have."""
        return min(self.most, self._allowed)

    async def open(self) -> None:
        """Connect; `Unavailable` where no server takes it."""
        self._closing = False
        self._away.clear()
        try:
            self._client = await self._connected()
        except ImportError as error:
            raise Rejected(
                "store-url",
                f"{self.shown}: creds and nkey need the package nkeys: pip install 'nats-py[nkeys]'",
            ) from error

    async def _connected(self) -> Client:
        """A connection to the first server that takes it. The client's own way to connect again hides why it cannot."""
        options = self._options()
        servers = [*random.sample(self._address.servers, len(self._address.servers)), *self._discovered]
        failed: BaseException = OSError("no server is named")
        for server in servers:
            client = _Client()
            ended = functools.partial(self._ended, client)
            try:
                async with asyncio.timeout(CONNECT + 1):
                    await client.connect(
                        [server],
                        name="wfe events",
                        connect_timeout=CONNECT,
                        allow_reconnect=False,
                        ping_interval=PING,
                        max_outstanding_pings=2,
                        error_cb=client.note,
                        closed_cb=ended,
                        **options,
                    )
            except ERRORS as error:
                await _closed(client)
                failed = error
                continue
            except BaseException:  # whoever wanted it wants it no more
                await _closed(client)
                raise
            client.connects = False
            self._discovered = [each.geturl() for each in client.discovered_servers]
            self._allowed = client.max_payload - HEADERS
            return client
        raise self._unavailable(failed) from None

    def _options(self) -> dict[str, Any]:
        try:
            return self._address.options()
        except OSError as error:  # of files of certificates
            raise Unavailable(f"the event store {self.shown} cannot be reached: {error}") from error

    async def close(self) -> None:
        """Disconnect. Closing twice is fine."""
        client, self._client = self._client, None
        self._closing = True
        self._away.set()
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)
        if client is not None:
            await _closed(client)

    # What the client tells

    async def _ended(self, client: Client) -> None:
        """A connection is over; if it was the one in use, get another."""
        if client is not self._client or self._closing:
            return
        self._client = None
        self._away.set()
        _log.warning("the event store %s cannot be reached; trying again", self.shown)
        self._returning = asyncio.create_task(self._return(), name="event store connection")

    async def _return(self) -> None:
        pause = 0.05
        while True:
            try:
                client = await self._connected()
                if client.is_connected:
                    break
            except Exception as error:  # noqa: BLE001  whatever it is: nobody else would connect again
                _log.debug("%s: %s", self.shown, error)
                self._why = error
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)
        self._client = client
        self._away.clear()
        _log.info("the event store %s is there again", self.shown)
        self._on_back()

    def _unavailable(self, error: BaseException) -> Unavailable:
        if isinstance(error, Unavailable):
            return error
        description = getattr(error, "description", None)
        reason = description or str(error).removeprefix("nats: ") or "it does not answer in time"
        refused = isinstance(error, APIError) and description
        return Unavailable(
            f"the event store {self.shown} {'does not work' if refused else 'cannot be reached'}: {reason}"
        )

    @asynccontextmanager
    async def asking(self) -> AsyncIterator[JetStreamContext]:
        """What answers with `Unavailable` where the server does not."""
        client = self._client
        if client is None and self._closing:
            raise Unavailable(f"the event store {self.shown} is not open")
        if client is None or not client.is_connected:
            raise self._unavailable(self._why or ConnectionError("the connection was lost"))
        try:
            yield client.jetstream(timeout=ANSWER)
        except (Conflict, Rejected, Unavailable):
            raise
        except ERRORS as error:
            raise self._unavailable(error) from error

    async def unless_away(self, sending: asyncio.Future[Any]) -> Any:
        """Give up at once where the connection ends meanwhile."""
        away = asyncio.ensure_future(self._away.wait())
        try:
            await asyncio.wait({sending, away}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            away.cancel()
        if sending.done():
            return sending.result()
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        raise nats.errors.ConnectionClosedError

    # Who has it

    async def holder(self) -> str | None:
        """Who answers that it has the journal; ``None`` where nobody does."""
        client = self._client
        async with self.asking():
            assert client is not None
            try:
                answer = await client.request(self._holder, b"", timeout=HOLDER)
            except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
                return None
        return answer.data.decode("utf-8", "replace")[:200]

    async def answer(self, who: str) -> None:
        """Tell whoever asks for the holder: *who*; until the connection ends."""
        client = self._client
        async with self.asking():
            assert client is not None

            async def tell(message: Any) -> None:
                await message.respond(who.encode())

            async def doubt(_message: Any) -> None:
                self._on_back()

            await self.resign()
            self._answering = [
                await client.subscribe(self._holder, cb=tell),
                await client.subscribe(self._taken, cb=doubt),
            ]
            await client.flush()

    async def announce(self) -> None:
        """Have those look at the journal who believe that they have it."""
        client = self._client
        async with self.asking():
            assert client is not None
            await client.publish(self._taken)
            await client.flush()

    async def resign(self) -> None:
        """Tell nobody any more."""
        answering, self._answering = self._answering, []
        for subscription in answering:
            with contextlib.suppress(*ERRORS):
                await subscription.unsubscribe()


async def _closed(client: Client) -> None:
    """Let go of a connection; the client waits for ever for the end of one whose TLS was refused."""
    with contextlib.suppress(*ERRORS):
        async with asyncio.timeout(GOODBYE):
            await client.close()
