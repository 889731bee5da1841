"""One source that is heard: from the broker into the channel, and only then acknowledged."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime

from workflow_engine.calls.authentication import with_secret
from workflow_engine.calls.brokers.admission import around
from workflow_engine.calls.brokers.direct import PAUSES, SETTLING, link_to, protocol_of
from workflow_engine.calls.brokers.heard import Heard, read, told
from workflow_engine.calls.brokers.link import Hearing, Incoming
from workflow_engine.calls.brokers.server import choose
from workflow_engine.calls.connections import guarded
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.redaction import Redaction, texts
from workflow_engine.calls.retry_after import pause_after
from workflow_engine.calls.secrets import Secrets
from workflow_engine.calls.url import bounded
from workflow_engine.errors import Fault, NotFound, Rejected, Unavailable, fault
from workflow_engine.events.broker_sources import BrokerSource
from workflow_engine.events.cloudevents import MAX_BATCH
from workflow_engine.events.router import Router
from workflow_engine.events.subscriptions import start_us
from workflow_engine.values import Json, JsonObject, rfc3339

COUNTED = ("stored", "duplicates", "filtered", "refused", "dropped")
"""What messages become: events, events that were there, nothing for the filters, dead letters; and those that are lost,
for neither the broker keeps them, nor is there room here.
"""
ASKING = 2.0
"""How many seconds a broker has to say what waits."""
STEADY = 10.0
"""After how many seconds of hearing it is not the same trouble when the broker is gone again. Those between two servers
often cut off what says nothing for a minute, or half of one.
"""
STORE_PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""How long to wait, in seconds, before the next try to store what was heard."""

_log = logging.getLogger(__name__)


class Ear:
    """Hears *source* from `start` to `stop`, however often the broker goes away. *noted*: what was told of it last."""

    def __init__(
        self, source: BrokerSource, router: Router, egress: Egress, secrets: Secrets, noted: JsonObject
    ) -> None:
        self.source = source
        self.noted = noted
        self.error = ""
        self.changed: Callable[[], None] = lambda: None
        """Called when the state is another one."""
        self._router, self._egress, self._secrets = router, egress, secrets
        self._state, self._since = "connecting", _now()
        self._error_at: Json = noted.get("error_at")
        self._last_error: Json = noted.get("last_error")
        self._counts = {name: _number(noted.get(name)) for name in COUNTED}
        self._last_message: Json = noted.get("last_message")
        self._lag: int | None = None
        self._at: JsonObject = _at(noted, source.group)
        self._hearing: Hearing | None = None
        self._task: asyncio.Task[None] | None = None
        self._tries, self._ending = 0, False
        self._began: float | None = None
        self._redaction = Redaction(())

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"source {self.source.id}")

    async def stop(self) -> None:
        """Hear no more; what was heard is stored and acknowledged first."""
        self._ending = True
        while self._task is not None and not self._task.done():
            self._task.cancel()  # which a library may miss that has a message at this very moment
            await asyncio.wait({self._task}, timeout=1.0)

    def told(self) -> JsonObject:
        """How it is."""
        return {
            "state": self._state,
            "since": self._since,
            "error": self.error or None,
            "last_error": self._last_error,
            "error_at": self._error_at,
            "promise": None if self._hearing is None else self._hearing.promise,
            "lag": self._lag,
            "last_message": self._last_message,
            **self._counts,
            "dropped": self._dropped(),
            "at": {"group": self.source.group, **self._at},
        }

    def _dropped(self) -> int:
        return self._counts["dropped"] + (0 if self._hearing is None else self._hearing.dropped)

    async def ask(self) -> None:
        """Learn from the broker how many messages wait there."""
        hearing = self._hearing
        if hearing is None or hearing.ask is None or self._state == "failing":
            self._lag = None
            return
        try:
            async with asyncio.timeout(ASKING):  # `wait_for` forgets that it was cancelled as the answer came
                self._lag = await hearing.ask()
        except Exception:  # noqa: BLE001  whatever is wrong with the connection, who hears will tell
            self._lag = None

    def _become(self, state: str, error: str = "") -> None:
        if error:
            error = bounded(self._redaction.text(" ".join(error.split())), 500)
            self._last_error, self._error_at = error, _now()
        if error and error != self.error:
            _log.warning("source %s: %s", self.source.id, error)
        if self.error and not error:
            _log.info("source %s hears again", self.source.id)
        if state != self._state:
            self._state, self._since = state, _now()
            self.changed()
        self.error = error

    async def _run(self) -> None:
        with guarded(self._egress):
            while True:
                pause = 0.0
                try:
                    await self._hear()
                except Fault as raised:
                    reason, pause = raised.error.detail or str(raised), pause_after(raised, 0.0)
                except (Unavailable, NotFound, Rejected, OSError) as error:
                    reason = str(error) or type(error).__name__
                except Exception as error:  # noqa: BLE001  a bug must not end it
                    _log.exception("source %s: a bug", self.source.id)
                    reason = f"a bug: {type(error).__name__}"
                else:
                    reason = "the broker has nothing more to say"
                self._become("failing", reason)
                if self._began is not None and time.monotonic() - self._began >= STEADY:
                    self._tries = 0
                self._began = None
                await asyncio.sleep(pause or PAUSES[min(self._tries, len(PAUSES) - 1)])
                self._tries += 1

    async def _hear(self) -> None:
        source = self.source
        given: JsonObject = {}
        if source.authentication is not None:
            given["authentication"] = policy = await with_secret(source.authentication, self._secrets)
            self._redaction = Redaction(texts(policy))
        server = choose(source.pinned, source.server, source.protocol)
        context = around(self._egress, source.group, f"/sources/{source.id}")
        link = await link_to(source.pinned, server, source.address, given, context)
        start = start_us(source.start)
        hearing = Hearing(source.group, start / 1e6 if isinstance(start, int) else start, at=self._at)
        async with aclosing(protocol_of(server).hear(link, hearing)) as batches:
            async for batch in batches:
                self._began = self._began or time.monotonic()
                if self._hearing is not hearing:
                    self._counts["dropped"], self._hearing = self._dropped(), hearing
                self._become("hearing")
                if batch:
                    await self._take(server.protocol, batch)
                    self._tries = 0
                if self._ending:
                    raise asyncio.CancelledError

    async def _take(self, protocol: str, batch: Sequence[Incoming]) -> None:
        """Store what came, then let the broker forget it; also when this is to end meanwhile."""
        taking = asyncio.create_task(self._settle(protocol, batch))
        try:
            await asyncio.shield(taking)
        except asyncio.CancelledError:
            until = asyncio.get_running_loop().time() + SETTLING
            while not taking.done() and (left := until - asyncio.get_running_loop().time()) > 0:
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({taking}, timeout=left)
            taking.cancel()
            raise

    async def _settle(self, protocol: str, batch: Sequence[Incoming]) -> None:
        heard = await asyncio.to_thread(read, self.source, protocol, batch)
        refused = [each for each in heard if each.code]
        events = [each.event for each in heard if not each.code and each.wanted]
        tries = 0
        while True:
            try:
                stored, duplicates, worse = await self._publish(events)
                await self._refuse([*refused, *worse])
                break
            except Unavailable as error:  # the broker keeps what it has, for nothing more is asked of it
                self._become("held", f"the router's store is away: {error}")
                await asyncio.sleep(STORE_PAUSES[min(tries, len(STORE_PAUSES) - 1)])
                tries += 1
        self._become("hearing")
        await self._acknowledge(batch)
        for message in batch:
            self._at.update(message.at)
        self._last_message = _now()
        filtered = len(heard) - len(refused) - len(events)
        numbers = (stored, duplicates, filtered, len(refused) + len(worse))
        for name, number in zip(COUNTED, numbers, strict=False):
            self._counts[name] += number

    async def _acknowledge(self, batch: Sequence[Incoming]) -> None:
        """Let the broker forget what is stored; where it does not hear of it, it comes again, and is known."""
        try:
            for message in batch:
                await message.settle()
        except Exception as error:  # noqa: BLE001  each library has errors of its own for a connection that is gone
            raise fault("communication", f"not acknowledged: {str(error) or type(error).__name__}") from None

    async def _publish(self, events: Sequence[JsonObject]) -> tuple[int, int, list[Heard]]:
        """Store *events*: how many were new, how many there already, and which the router does not take."""
        stored = duplicates = 0
        worse: list[Heard] = []
        for at in range(0, len(events), MAX_BATCH):
            try:
                answers = await self._router.publish(self.source.channel, events[at : at + MAX_BATCH])
            except Rejected:
                answers = []
                for event in events[at : at + MAX_BATCH]:
                    try:
                        answers += await self._router.publish(self.source.channel, [event])
                    except Rejected as error:
                        worse.append(Heard(event, error.code, str(error)))
            duplicates += sum(each.duplicate for each in answers)
            stored += sum(not each.duplicate for each in answers)
        return stored, duplicates, worse

    async def _refuse(self, refused: Sequence[Heard]) -> None:
        if not refused:
            return
        _log.warning("source %s: refused: %s", self.source.id, told(refused[-1].code, refused[-1].reason))
        letters = [(each.event, each.code, each.reason) for each in refused]
        await self._router.refuse(self.source.id, self.source.channel, letters)


def _now() -> str:
    return rfc3339(datetime.now(UTC))


def _at(noted: JsonObject, group: str) -> JsonObject:
    """The places after what was acknowledged last, of the group."""
    found = noted.get("at")
    if not isinstance(found, dict) or found.get("group") != group:
        return {}
    return {place: at for place, at in found.items() if place != "group"}


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0
