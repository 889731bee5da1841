"""Hears brokers for the sources of the router: each source in one of its processes, for as long as it is there."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from workflow_engine.calls.authentication import with_secret
from workflow_engine.calls.brokers.admission import HEARD, Resolve, admitted, around, server_of
from workflow_engine.calls.brokers.direct import link_to, protocol_of
from workflow_engine.calls.brokers.ear import Ear
from workflow_engine.calls.brokers.link import OURS, Hearing
from workflow_engine.calls.brokers.server import choose
from workflow_engine.calls.connections import guarded
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.reach import UNLIMITED, Reach, Reaches
from workflow_engine.calls.secrets import Secrets
from workflow_engine.errors import NotFound, Rejected, Unavailable
from workflow_engine.events.broker_sources import BrokerSource
from workflow_engine.events.outages import report
from workflow_engine.events.router import Router
from workflow_engine.values import JsonObject

TELLING = 5.0
"""How many seconds apart what became of a source is written down, where it changes."""
LEAVING = 30.0
"""How many seconds a process has to let go of a source that is for another one now, before that begins all the same."""
FORGETTING = 20.0
"""How many seconds a broker has to forget a source that was deleted."""

_log = logging.getLogger(__name__)


class Hearings:
    """Use it while the *router* is started. Of several processes that share the store, one hears each source; when it
    ends, another goes on within seconds.
    """

    def __init__(
        self,
        router: Router,
        egress: Egress,
        secrets: Secrets,
        resolve: Resolve,
        reach: Reaches = UNLIMITED,
    ) -> None:
        self._router, self._egress, self._secrets, self._resolve = router, egress, secrets, resolve
        self._reach = reach
        self._ears: dict[str, Ear] = {}
        self._by: dict[str, Reach] = {}
        """By which bounds each of them began."""
        self._known: dict[str, BrokerSource] = {}
        self._waiting: dict[str, float] = {}
        """Since when a source that is for this process waits for another one to let go of it."""
        self._woken, self._changed = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._forgetting: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin with the sources that there are, and those to come."""
        self._router.sources_changed = self._woken.set
        self._reach.changed.append(self._woken.set)
        self._tasks = [
            asyncio.create_task(self._keep(), name="sources"),
            asyncio.create_task(self._tell(), name="sources: tell"),
        ]

    async def stop(self) -> None:
        """Let go of them all, after what was heard is stored; the brokers keep their places."""
        with contextlib.suppress(ValueError):
            self._reach.changed.remove(self._woken.set)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(ear.stop() for ear in self._ears.values()))
        await asyncio.gather(*self._forgetting, return_exceptions=True)
        await self._note()
        for id in self._ears:
            with contextlib.suppress(Unavailable):
                await self._router.release_source(id)
        self._ears.clear()
        self._by.clear()

    # What the API asks

    async def put(self, source: BrokerSource) -> BrokerSource:
        """Make a source, or change the one of this id; `Rejected` with the place of what cannot be heard."""
        try:
            before = await self._router.get_source(source.id)
        except NotFound:
            before = None
        earlier = before if isinstance(before, BrokerSource) else None
        made = await admitted(source, earlier, self._resolve, self._egress)
        self._reach.check_source(made.channel, made.to_json())
        server_of(made.pinned, made.server, made.protocol, self._given(made)[0], "server", spoken=HEARD)
        await self._router.put_source(made)
        return made

    async def pause(self, id: str, *, paused: bool) -> BrokerSource:
        """Hear nothing more of a source, or go on where it was."""
        source = await self._router.get_source(id)
        if not isinstance(source, BrokerSource):
            raise Rejected("source-called", "this source is called by its service; it can only be deleted")
        made = source.paused(paused)
        await self._router.put_source(made)
        return made

    async def told(self, source: BrokerSource) -> JsonObject:
        """How a source is: ``state``, ``error``, ``lag``, and how many messages became what."""
        ear = self._ears.get(source.id)
        if ear is None or ear.source.group != source.group:
            found = {"state": "connecting", **await self._router.source_note(source.id)}
        else:
            await ear.ask()
            found = ear.told()
        return found if source.enabled else {**found, "state": "paused", "error": None}

    def failing(self, hears: Callable[[str], bool] = lambda channel: True) -> dict[str, str]:
        """Why sources of this process hear nothing now, by id; of those alone whose channel somebody *hears*."""
        return {id: ear.error for id, ear in self._ears.items() if ear.error and hears(ear.source.channel)}

    def ears(self) -> Iterator[tuple[str, JsonObject]]:
        """How each source is that this process hears."""
        for id, ear in sorted(self._ears.items()):
            yield id, ear.told()

    # What it does by itself

    async def _keep(self) -> None:
        pause = 0.05
        while True:
            self._woken.clear()
            try:
                await self._arrange()
            except Exception as error:  # noqa: BLE001  a bug must not make it deaf
                report(_log, error, "sources wait: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
                continue
            pause = 0.05
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0 if self._waiting else None):
                    await self._woken.wait()

    async def _arrange(self) -> None:
        """Begin with the sources that are for this process, and let go of the others."""
        for id in [id for id in self._ears if not self._is_mine(id)]:
            await self._stop(id)  # also where it cannot be asked which there are, for another has the store
        found = [source for source in await self._router.sources() if isinstance(source, BrokerSource)]
        there = {source.id: source for source in found}
        mine = {id: source for id, source in there.items() if self._is_mine(id)}
        for id, ear in list(self._ears.items()):
            wanted = mine.get(id)
            stays = wanted is not None and wanted.enabled and wanted == ear.source
            stays = stays and self._by[id] == self._reach.of_channel(ear.source.channel)
            if not stays or not await self._router.take_source(id):
                await self._stop(id)
        for id, before in self._known.items():
            now = there.get(id)
            if self._is_mine(id) and (now is None or now.group != before.group):
                self._forget(before, deleted=now is None)
        self._known = there
        self._waiting = {id: since for id, since in self._waiting.items() if id in mine}
        for id, source in mine.items():
            if source.enabled and id not in self._ears and await self._may_hear(id):
                noted = await self._router.source_note(id)
                self._by[id] = self._reach.of_channel(source.channel)
                ear = self._ears[id] = Ear(source, self._router, *self._given(source), noted)
                ear.changed = self._changed.set
                ear.start()

    async def _stop(self, id: str) -> None:
        """Let go of a source, so that another process can hear it."""
        await self._ears[id].stop()
        await self._note()
        del self._ears[id], self._by[id]
        await self._router.release_source(id)

    async def _may_hear(self, id: str) -> bool:
        """Whether nobody else does any more, or who does has not let go of it for so long that it may never."""
        since = self._waiting.setdefault(id, time.monotonic())
        anyway = time.monotonic() - since > LEAVING
        if not await self._router.take_source(id, anyway=anyway):
            return False
        if anyway:
            _log.warning("source %s: another process has not let go of it for %g s", id, LEAVING)
        del self._waiting[id]
        return True

    def _given(self, source: BrokerSource) -> tuple[Egress, Secrets]:
        """What a source may call and use, by its channel."""
        own = self._reach.of_channel(source.channel)
        return own.egress(self._egress), own.keeping(self._secrets)

    def _is_mine(self, id: str) -> bool:
        return self._router.is_mine(f"source {id}")

    def _forget(self, source: BrokerSource, *, deleted: bool) -> None:
        task = asyncio.create_task(self._let_go(source, deleted=deleted), name=f"forget {source.id}")
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)

    async def _let_go(self, source: BrokerSource, *, deleted: bool) -> None:
        """Let the broker forget who heard, unless the group is somebody else's, too."""
        try:
            if deleted:
                await self._router.note_source(source.id, None)
                await self._router.forget_holder(source.id)
            if source.group.startswith(OURS):
                async with asyncio.timeout(FORGETTING):
                    await self._forgotten(source)
        except Exception as error:  # noqa: BLE001  it is as well gone
            _log.warning(
                "source %s: the broker may still keep %s: %s", source.id, source.group, type(error).__name__
            )

    async def _forgotten(self, source: BrokerSource) -> None:
        policy, (egress, secrets) = source.authentication, self._given(source)
        given: JsonObject = {} if policy is None else {"authentication": await with_secret(policy, secrets)}
        with guarded(egress):
            server = choose(source.pinned, source.server, source.protocol)
            context = around(egress, source.group, f"/sources/{source.id}")
            link = await link_to(source.pinned, server, source.address, given, context)
            await protocol_of(server).forget(link, Hearing(source.group))

    async def _tell(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TELLING):
                    await self._changed.wait()
            self._changed.clear()
            try:
                for ear in list(self._ears.values()):
                    await ear.ask()
                await self._note()
            except Exception as error:  # noqa: BLE001  a bug must not make it silent
                report(_log, error, "how sources are is not told: %s", error)

    async def _note(self) -> None:
        """Write down how sources are that have changed, for other processes and the next one."""
        for id, ear in list(self._ears.items()):
            if (told := ear.told()) != ear.noted:
                with contextlib.suppress(Unavailable):
                    await self._router.note_source(id, told)
                    ear.noted = told
