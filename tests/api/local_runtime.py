"""A complete `Runtime` in this process, so that the API can be tested without Temporal.

Runs are `LocalRun`s with the router as their world: what they emit is published, and a run that listens is
registered with the router and receives what the router delivers. Sleeping takes no time; listening does.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import (
    ENDED,
    Load,
    Retry,
    RunDescription,
    RunPage,
    RunQuery,
    Start,
    StateDescription,
)
from workflow_engine.engine.verdicts import Verdict
from workflow_engine.errors import Conflict, Fault, NotFound, Rejected
from workflow_engine.events.router import Router
from workflow_engine.interpreter.effects import Arrival, Listener, Place, SubRun
from workflow_engine.interpreter.lifecycle import status_of
from workflow_engine.interpreter.retrying import ABSENT, Standing, Wish, edited, gone_on, hold, standing
from workflow_engine.interpreter.run import Run
from workflow_engine.interpreter.skipping import skip
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.values import Json, JsonObject

Find = "Callable[[str, str, str | None], Awaitable[Bundle]]"


class LocalRuntime:
    """Runs until the process ends. Give it its *router* and *find* before the first run."""

    def __init__(self) -> None:
        self.router: Router
        self.find: Find
        self._runs: dict[str, _Live] = {}

    async def start(self, start: Start) -> bool:
        if start.run_id in self._runs:
            return False
        self._runs[start.run_id] = _Live(self, start)
        return True

    def _run(self, run_id: str) -> _Live:
        try:
            return self._runs[run_id]
        except KeyError:
            raise NotFound("run", run_id) from None

    async def describe(self, run_id: str) -> RunDescription:
        return self._run(run_id).describe()

    async def wait(self, run_id: str, seconds: float) -> RunDescription:
        live = self._run(run_id)
        await asyncio.wait({live.task}, timeout=seconds)
        return live.describe()

    async def output(self, run_id: str, seconds: float) -> Json:
        run = await self.wait(run_id, seconds)
        if run.status != "completed":
            raise Conflict(f"the run {run_id!r} has no output; it is {run.status}")
        return run.output

    async def list(self, query: RunQuery) -> RunPage:
        fitting = [
            live.describe(brief=True)
            for live in reversed(self._runs.values())
            if query.namespace in (None, live.start.workflow.namespace)
            and query.name in (None, live.start.workflow.name)
            and query.version in (None, live.start.workflow.version)
            and (
                query.status in (None, live.status)
                or (query.status == "running" and live.status not in ENDED)  # as Temporal lists them
            )
        ]
        try:
            first = int(base64.urlsafe_b64decode(query.cursor)) if query.cursor else 0
        except (binascii.Error, ValueError):
            raise Rejected("invalid-cursor", f"{query.cursor!r} is no cursor of an earlier list") from None
        last = first + query.limit
        more = base64.urlsafe_b64encode(str(last).encode()).decode() if last < len(fitting) else None
        return RunPage(fitting[first:last], more)

    async def history(self, run_id: str, execution: str | None) -> JsonObject:
        return {"id": self._run(run_id).start.run_id, "execution": execution, "events": []}

    async def judged(self, run_id: str, bundle: object, names: object) -> Verdict:
        return Verdict(run_id, None, "same")

    async def move(self, run_id: str, bundle: object, names: object, seconds: float) -> Verdict:
        return Verdict(run_id, None, "moved")

    async def load(self) -> Load:
        return Load(sum(live.status not in ENDED for live in self._runs.values()))

    async def parked(self) -> int:
        return 0

    async def cancel(self, run_id: str) -> None:
        self._run(run_id).cancelling.set()

    async def terminate(self, run_id: str, reason: str) -> None:
        self._run(run_id).cancelling.set()

    async def suspend(self, run_id: str) -> None:
        self._alive(run_id, "suspend").going.clear()

    async def resume(self, run_id: str) -> None:
        self._alive(run_id, "resume").going.set()

    async def standing(self, run_id: str) -> Sequence[Standing]:
        live = self._run(run_id)
        return standing(live.graph, live.run.position())

    async def retry(self, run_id: str, retry: Retry) -> None:
        live = self._run(run_id)
        if not live.task.done():
            raise Rejected("run-not-ended", f"the run {run_id!r} has not ended", status=409)
        if live.status == "completed":
            raise Rejected("run-completed", f"the run {run_id!r} is completed", status=409)
        start = live.start if retry.bundle is None else replace(live.start, bundle=retry.bundle)
        if retry.input is not ABSENT:
            start = replace(start, input=retry.input)
        position = gone_on(start.bundle.graph(), live.run.position(), retry.wish, datetime.now(UTC))
        self._runs[run_id] = _Live(self, replace(start, position=position))

    async def skip(self, run_id: str, wish: Wish, key: str | None = None) -> None:
        skip(self._alive(run_id, "skip").run, wish)

    async def edit(self, run_id: str, wish: Wish) -> None:
        live = self._alive(run_id, "edit")
        if live.going.is_set():
            raise Rejected("run-not-suspended", "the run is not suspended; suspend it first", status=409)
        edited(hold(live.run.root, wish.state), wish)

    def _alive(self, run_id: str, command: str) -> _Live:
        live = self._run(run_id)
        if live.task.done():
            raise Conflict(f"the run {run_id!r} has ended; there is nothing to {command}")
        return live

    async def deliver(self, run_id: str, listen_id: str, message: JsonObject) -> bool:
        live = self._runs.get(run_id)
        if live is None or live.task.done():
            return False
        inbox = live.inboxes[listen_id]
        if message["seq"] >= inbox.next:
            inbox.next = message["seq"] + 1
            index = 0 if message["index"] is None else message["index"]
            inbox.queue.put_nowait(Arrival(message["event"], index, message["complete"], message["ends"]))
        return True

    async def result(self, run_id: str) -> Json:
        """The output of a run, once it has ended; its fault is raised."""
        return await asyncio.shield(self._run(run_id).task)

    async def close(self) -> None:
        """End every run."""
        for live in self._runs.values():
            live.cancelling.set()
        await asyncio.gather(*(live.task for live in self._runs.values()), return_exceptions=True)


@dataclass
class _Inbox:
    queue: asyncio.Queue[Arrival] = field(default_factory=asyncio.Queue)
    next: int = 0


class _CancelledRun(Exception):
    pass


class _Live(LocalRun):
    """One run, its effects and its task."""

    def __init__(self, runtime: LocalRuntime, start: Start) -> None:
        super().__init__(start.bundle.graph(), run_id=start.run_id)
        self.runtime, self.start = runtime, start
        self.started_at, self.ended_at = datetime.now(UTC), None
        self.inboxes: defaultdict[str, _Inbox] = defaultdict(_Inbox)
        self.cancelling, self.going = asyncio.Event(), asyncio.Event()
        self.going.set()
        self.run = Run(self.graph, start.input, self, seeds=start.seeds, position=start.position)
        self.task = asyncio.create_task(self._drive())
        self.task.add_done_callback(self._ended)

    async def _drive(self) -> Json:
        async def whole() -> Json:
            outcome = await self.scheduler.join([self.run.execute, self._cancel], need=1, tolerant=False)
            return next(iter(outcome.values()))

        try:
            return await self.scheduler.drive(whole())
        finally:
            keep = isinstance(sys.exception(), Fault)
            await self.runtime.router.forget_run(self.run_id, keep=keep)

    async def _cancel(self) -> None:
        await self.scheduler.real(self.cancelling.wait())
        raise _CancelledRun

    def _ended(self, task: asyncio.Task[Json]) -> None:
        self.ended_at = datetime.now(UTC)
        task.exception()

    @property
    def status(self) -> str:
        if self.task.done():
            error = self.task.exception()
            if error is None:
                return "completed"
            return "cancelled" if isinstance(error, _CancelledRun) else "faulted"
        if not self.going.is_set():
            return "suspended"
        doing = [leaf.doing or "" for leaf in self.run.root.leaves()]
        if not doing:
            return "pending"
        return "waiting" if all(text.startswith(("listening", "waiting")) for text in doing) else "running"

    def describe(self, *, brief: bool = False) -> RunDescription:
        status = self.status
        error = self.task.exception() if self.task.done() else None
        states = [
            StateDescription(
                leaf.state,
                leaf.state.rpartition("/")[2],
                leaf.doing,
                None,
                status_of(leaf, suspended=not self.going.is_set()),
            )
            for leaf in self.run.root.leaves()
        ]
        return RunDescription(
            id=self.run_id,
            workflow=self.start.workflow,
            status=status,
            input=None if brief else self.start.input,
            output=self.task.result() if status == "completed" and not brief else None,
            error=error.error.to_json() if isinstance(error, Fault) else None,
            states=() if brief or status in ENDED else states,
            started_at=self.started_at,
            ended_at=self.ended_at,
        )

    # --- the effects that reach beyond the run --------------------------------------------------------------

    async def publish(self, channel: str, event: JsonObject, place: Place) -> None:
        await self.scheduler.real(self.runtime.router.publish(channel, [event]))

    async def listen(self, listener: Listener, place: Place) -> None:
        router, since = self.runtime.router, self.started_at
        listening = router.listen(self.run_id, place.id, listener.spec, since=since, channel=listener.channel)
        await self.scheduler.real(listening)

    async def next_event(self, place: Place) -> Arrival:
        return await self.scheduler.real(self.inboxes[place.id].queue.get())

    async def stop_listening(self, place: Place) -> None:
        await self.scheduler.real(self.runtime.router.unlisten(self.run_id, place.id))

    async def run_workflow(self, sub_run: SubRun, place: Place) -> Json:
        return await self.scheduler.real(self._sub_run(sub_run, f"{self.run_id}{place.id}"))

    async def _sub_run(self, wanted: SubRun, run_id: str) -> Json:
        bundle: Bundle = await self.runtime.find(wanted.namespace, wanted.name, wanted.version)
        graph = bundle.graph()
        await self.runtime.start(Start(run_id, graph.name, bundle, wanted.input))
        return await self.runtime.result(run_id) if wanted.wait else None

    async def gate(self) -> None:
        if not self.going.is_set():
            await self.scheduler.real(self.going.wait())
