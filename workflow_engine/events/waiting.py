"""The runs that listen to one channel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import orjson

from workflow_engine.events.listeners import Step, Waited, Waiter
from workflow_engine.events.records import Position
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.events.dispatch import Dispatcher


class Waiters:
    """Waiters by run, and which events each run has taken. Events are searched back to where a run asks.

    There is no gap between history and what comes: while the lock is held the cursor stands still, history is
    read up to it, and the waiter is registered for what is behind it.
    """

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._runs: dict[str, dict[str, Waiter]] = {}
        self._consumed: dict[str, dict[Position, tuple[str, int]]] = {}
        self._closing: set[tuple[str, str]] = set()
        self._order = 0

    async def load(self, state: Mapping[str, bytes]) -> None:
        """Take up the waiters that are stored in *state*. Whoever was closing one has to begin anew."""
        if closing := [key for key in state if key.startswith("closing/")]:
            dispatcher = self._dispatcher
            await dispatcher.commit(Step(dispatcher.name, dispatcher.now_us()), state=dict.fromkeys(closing))
        for key, value in state.items():
            kind, _, name = key.partition("/")
            if kind == "waiter":
                waiter = Waiter.from_bytes(value, state.get(f"waited/{name}"))
                self._runs.setdefault(waiter.run_id, {})[waiter.listen_id] = waiter
            elif kind == "consumed":
                run, _, position = name.partition("/")
                listen_id, seq = orjson.loads(value)
                self._consumed.setdefault(unquote(run), {})[Position.parse(position)] = (listen_id, seq)
        for waiter in sorted(self.all(), key=lambda waiter: waiter.order):
            self._order = waiter.order
            if not waiter.waited.complete:
                self._dispatcher.index.add(waiter, waiter.machine.interests())

    def all(self) -> list[Waiter]:
        """Every waiter that was not taken back, complete or not."""
        return [waiter for waiters in self._runs.values() for waiter in waiters.values()]

    def has_run(self, run_id: str) -> bool:
        """Whether anything is known of a run."""
        return run_id in self._runs or run_id in self._consumed

    def state_of(self, run_id: str, listen_id: str) -> str:
        """``listening``, ``closing`` or ``unknown``: whether deliveries may be made."""
        if (run_id, listen_id) in self._closing:
            return "closing"
        return "listening" if listen_id in self._runs.get(run_id, {}) else "unknown"

    def has_consumed(self, run_id: str, position: Position, step: Step) -> bool:
        """Whether a waiter of the run took the event, be it within *step*."""
        return position in self._consumed.get(run_id, {}) or (run_id, position) in step.consumed

    def consume(self, step: Step) -> None:
        """Remember what was taken in *step*, which is committed."""
        for (run_id, position), taken in step.consumed.items():
            self._consumed.setdefault(run_id, {})[position] = taken

    async def listen(
        self, run_id: str, listen_id: str, spec: JsonObject, since_us: int, seq: int = 0
    ) -> None:
        """Register a waiter, and park what it finds in history; doing it twice is doing it once. *seq* is the number of
        its next event: it may have had some before.
        """
        if listen_id in self._runs.get(run_id, {}):
            return
        dispatcher = self._dispatcher
        waiter = Waiter(run_id, listen_id, spec, since_us, Waited({}, seq, complete=False), begun=seq)
        interest = waiter.machine.interest()
        wanted = frozenset(type for type, _ in interest if type is not None)
        types = wanted if all(type is not None for type, _ in interest) else None
        start = {
            partition: await dispatcher.store.offset_at(dispatcher.name, partition, since_us)
            for partition in dispatcher.cursor
        }
        step, at = Step(dispatcher.name, dispatcher.now_us()), dict(start)
        await self._search(waiter, step, at, types)
        async with dispatcher.lock:
            if listen_id in self._runs.get(run_id, {}):
                return
            if any(position in self._consumed.get(run_id, {}) for _, position in step.consumed):
                # Another waiter of the run took one of them meanwhile: this one has to look again.
                step, at = Step(dispatcher.name, dispatcher.now_us()), dict(start)
            await self._search(waiter, step, at, types)
            self._order += 1
            waiter.order = self._order
            await dispatcher.commit(step, state={f"waiter/{waiter.name}": waiter.to_bytes()})
            self._runs.setdefault(run_id, {})[listen_id] = waiter
            if not waiter.waited.complete:
                dispatcher.index.add(waiter, waiter.machine.interests())

    async def _search(
        self, waiter: Waiter, step: Step, at: dict[int, int], types: frozenset[str] | None
    ) -> None:
        """Offer what is between *at* and the cursor, which may move on meanwhile, until it is reached."""
        cursor = self._dispatcher.cursor
        while any(at[partition] < cursor[partition] for partition in at):
            async with aclosing(self._dispatcher.history(at, dict(cursor), types)) as history:
                async for stored in history:
                    await self._dispatcher.offer(stored, [waiter], step)
                    progress = step.progress.get(waiter)
                    if isinstance(progress, Waited) and progress.complete:
                        return

    async def unlisten(
        self,
        run_id: str,
        listen_id: str,
        used: int | None,
        settled: Callable[[str, str], Awaitable[None]],
    ) -> None:
        """Take a waiter back. What was not delivered is free for other waiters of the run, and so is what was
        delivered from the number *used* on. *settled* waits until no delivery of a waiter is under way.
        """
        dispatcher = self._dispatcher
        if listen_id not in self._runs.get(run_id, {}):
            return
        waiter = self._runs[run_id][listen_id]
        async with dispatcher.lock:
            dispatcher.index.remove(waiter)
            self._closing.add((run_id, listen_id))
            if dispatcher.shared:  # for those who deliver elsewhere
                step = Step(dispatcher.name, dispatcher.now_us())
                await dispatcher.commit(step, state={f"closing/{waiter.name}": b""})
        try:
            await settled(waiter.group, listen_id)
            async with dispatcher.lock:
                if listen_id not in self._runs.get(run_id, {}):
                    return
                items = await dispatcher.store.parked(waiter.group)
                waiting = {orjson.loads(item.payload)["seq"] for item in items if item.key == listen_id}
                free = [
                    position
                    for position, (taker, seq) in self._consumed.get(run_id, {}).items()
                    if taker == listen_id and (seq in waiting or (used is not None and seq >= used))
                ]
                gone = [f"{kind}/{waiter.name}" for kind in ("waiter", "waited", "closing")]
                gone += [f"consumed/{quote(run_id, safe='')}/{position}" for position in free]
                await dispatcher.commit(Step(dispatcher.name, dispatcher.now_us()), state=dict.fromkeys(gone))
                for position in free:
                    del self._consumed[run_id][position]
                del self._runs[run_id][listen_id]
            await asyncio.shield(dispatcher.store.discard(waiter.group, listen_id))
        finally:
            self._closing.discard((run_id, listen_id))

    async def forget(self, run_id: str, *, keep: bool = False) -> None:
        """Remove everything about a run, but what it took if *keep*. Deliveries of it are for the caller to discard."""
        dispatcher = self._dispatcher
        async with dispatcher.lock:
            waiters = list(self._runs.get(run_id, {}).values())
            free = await self._outlived() if keep else {run_id: list(self._consumed.get(run_id, {}))}
            gone = [f"{kind}/{waiter.name}" for waiter in waiters for kind in ("waiter", "waited", "closing")]
            gone += [f"consumed/{quote(run, safe='')}/{at}" for run, taken in free.items() for at in taken]
            await dispatcher.commit(Step(dispatcher.name, dispatcher.now_us()), state=dict.fromkeys(gone))
            for waiter in waiters:
                dispatcher.index.remove(waiter)
            self._runs.pop(run_id, None)
            for run, taken in free.items():
                for at in taken:
                    del self._consumed[run][at]
                if not self._consumed.get(run):
                    self._consumed.pop(run, None)

    async def _outlived(self) -> dict[str, list[Position]]:
        """What runs that do not listen have taken and is no longer in the channel."""
        dispatcher = self._dispatcher
        first = {
            partition: await dispatcher.store.offset_at(dispatcher.name, partition, 0)
            for partition in dispatcher.cursor
        }
        return {
            run: [at for at in taken if at.offset < first.get(at.partition, 0)]
            for run, taken in self._consumed.items()
            if run not in self._runs
        }
