"""``run: container``: one container, by the engine of the worker, from its start to its end.

A container is known by labels: which call it is for, and what is to become of it. So a call that was lost with its
worker finds the container of its earlier attempt, and containers are removed in the end whoever is left to do it (see
`container_sweeping`).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from workflow_engine.calls.container_engine import ContainerEngine, EngineError, refused
from workflow_engine.calls.container_options import Container, read
from workflow_engine.calls.container_sweeping import CLEANUP, DEADLINE, KEY, REMOVE_AFTER, sweep
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.processes import Ended, Pipe, admit, form_of, returned, streams_of
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

GRACE = 2
"""Seconds between SIGTERM and SIGKILL for a container whose time is up."""
LAG = 5.0
"""Seconds for what a container wrote to arrive, once it is known to have ended."""
_OURS = frozenset({128 + 9, 128 + 15})
"""Exit codes of containers that somebody ended."""
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_.-]+")


async def call(arguments: JsonObject, context: CallContext) -> Json:
    """Run a container made of *arguments* (see `container_options.read`), and give what ``return`` asks for.

    It may take the time of *context* at most and is then ended. What becomes of it afterwards is its ``lifetime``:
    it is removed by us (``always``), by whoever looks after that time (``eventually``), or by nobody (``never``, the
    default; decision A68).
    """
    admit("container", context)
    container = read(arguments, context)
    form = form_of(arguments)
    what = f"the container of image {container.image}"
    try:
        async with ContainerEngine.here() as engine:
            ended = await _Attempt(engine, container, context, form, what).run()
            await sweep(engine, context.now)
    except EngineError as error:
        raise refused(error, what) from None
    return returned(ended, form, what, context)


@dataclass(slots=True)
class _Attempt:
    """One attempt of a call to run *container*."""

    engine: ContainerEngine
    container: Container
    context: CallContext
    form: str
    what: str
    id: str | None = None
    over: bool = False

    async def run(self) -> Ended:
        bounds = self.context.bounds
        seconds = min(self.context.timeout, bounds.seconds)
        try:
            async with asyncio.timeout(seconds) as timer:
                fresh = await self._obtain(seconds)
                ended = await self._follow(fresh)
                self.over = True
        except TimeoutError:
            if not timer.expired():
                raise
            setting = " (the worker's setting WFE_PROCESS_SECONDS)" if seconds == bounds.seconds else ""
            raise fault("timeout", f"{self.what} took longer than {seconds:g} s{setting}") from None
        finally:
            await asyncio.shield(self._settle())
        return ended

    async def _obtain(self, seconds: float) -> bool:
        """Find the container of an earlier attempt, or make one; whether it is to be started."""
        for _ in range(2):
            if await self._find():
                return False
            made = await self._make(seconds)
            if made is not None:
                self.id = made
                return True
            # Made by another attempt this very moment, or somebody else's.
        raise fault(
            "configuration",
            f"{self.what} cannot be called {self.container.name!r}: another container has that name; an expression can "
            "make a new one each time, and `lifetime: {cleanup: always}` leaves none behind",
            status=HTTPStatus.CONFLICT,
        )

    async def _find(self) -> bool:
        """Whether an earlier attempt left a container with which we can go on; any other that it left is removed."""
        for found in await self.engine.containers(f"{KEY}={self.context.idempotency_key}"):
            id = str(found["Id"])
            state = (await self.engine.inspect(id)).get("State")
            assert isinstance(state, dict)
            done = state.get("Status") == "exited" and state.get("ExitCode") not in _OURS
            # What it had read of its input is not known.
            if done or (state.get("Status") == "running" and self.container.stdin is None):
                self.id = id
                return True
            await self.engine.remove(id)
        return False

    async def _make(self, seconds: float) -> str | None:
        """A new container; None when its name is taken."""
        container, engine = self.container, self.engine
        if container.pull == "always":
            await self._pull()
        try:
            image = await engine.image(container.image)
        except EngineError as error:
            if error.status != HTTPStatus.NOT_FOUND or container.pull == "always":
                raise
            if container.pull == "never":
                detail = f"{self.what} is not there, and its pullPolicy is never"
                raise fault("configuration", detail, status=HTTPStatus.NOT_FOUND) from None
            await self._pull()
            image = await engine.image(container.image)
        name = container.name or conventional_name(self.context)
        labels: JsonObject = {
            KEY: self.context.idempotency_key,
            CLEANUP: container.cleanup,
            DEADLINE: str(int(self.context.now.timestamp() + seconds)),
            REMOVE_AFTER: f"{container.remove_after:g}",
            "wfe.run": self.context.run_id,
            "wfe.state": self.context.state,
            "wfe.workflow": self.context.source.strip("/"),
        }
        try:
            return await engine.create(name, container.configuration(image, labels, self.context.bounds))
        except EngineError as error:
            if error.status == HTTPStatus.CONFLICT or await engine.exists(name):  # Podman answers 500
                return None
            raise

    async def _pull(self) -> None:
        try:
            await self.engine.pull(self.container.image)
        except EngineError as error:
            raise fault("communication", f"{self.what} cannot be pulled: {error}") from None

    async def _follow(self, fresh: bool) -> Ended:
        """Start it, give it its input, and take what it writes, until it has ended."""
        assert self.id is not None
        engine, bounds = self.engine, self.context.bounds
        feeding: asyncio.Task[None] | None = None
        if fresh and self.container.stdin is not None:
            started = asyncio.Event()

            async def start() -> None:
                await engine.start(str(self.id))
                started.set()

            feeding = asyncio.create_task(engine.feed(self.id, self.container.stdin, started=start))
            starting = asyncio.create_task(started.wait())
            await asyncio.wait({feeding, starting}, return_when=asyncio.FIRST_COMPLETED)
            starting.cancel()
            if not started.is_set():
                await feeding
        elif fresh:
            await engine.start(self.id)
        try:
            code, pipes = await self._to_its_end()
        finally:
            if feeding is not None:
                feeding.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await feeding
        # One that another attempt has removed is not there: how it ended, Podman makes up.
        state = (await engine.inspect(self.id)).get("State")
        if code == 128 + 9 and isinstance(state, dict) and state.get("OOMKilled"):
            limit = f"{bounds.memory // 1024**2} MiB"
            raise fault("runtime", f"{self.what} used more memory than the worker allows ({limit})")
        return Ended(code, pipes["stdout"].text(), pipes["stderr"].text())

    async def _to_its_end(self) -> tuple[int, dict[str, Pipe]]:
        """Its exit code, and what it wrote.

        That it has ended is asked beside following what it writes: an engine may break off, or not end, what is
        followed when the container ends in between. Then what was written is read once more.
        """
        assert self.id is not None
        pipes = self._pipes()
        following = asyncio.create_task(self._written(pipes, follow=True))
        ending = asyncio.create_task(self.engine.wait(self.id))
        try:
            await asyncio.wait({following, ending}, return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                _was_whole(following)  # or it has written too much, and need not end
            code = await ending
            await asyncio.wait({following}, timeout=LAG)
            whole = following.done() and _was_whole(following)
            return code, pipes if whole else await self._read_again()
        finally:
            for task in (following, ending):
                task.cancel()
            await asyncio.gather(following, ending, return_exceptions=True)

    async def _read_again(self) -> dict[str, Pipe]:
        pipes = self._pipes()
        await self._written(pipes, follow=False)
        return pipes

    def _pipes(self) -> dict[str, Pipe]:
        wanted = streams_of(self.form)
        room = self.context.bounds.output // max(1, len(wanted))
        return {name: Pipe(room if name in wanted else None) for name in ("stdout", "stderr")}

    async def _written(self, pipes: Mapping[str, Pipe], *, follow: bool) -> None:
        def sink(name: str) -> Callable[[bytes], None]:
            def write(data: bytes) -> None:
                pipes[name].write(data)
                if pipes[name].over:
                    raise fault(
                        "runtime", f"{self.what} was ended: it wrote more than {room:,} bytes to {name}"
                    )

            return write

        assert self.id is not None
        room = self.context.bounds.output // max(1, len(streams_of(self.form)))
        await self.engine.logs(self.id, {name: sink(name) for name in pipes}, follow=follow)

    async def _settle(self) -> None:
        """Nothing of it runs any more; and what its lifetime says is done. What cannot be done now, a sweep does."""
        if self.id is None:
            return
        with contextlib.suppress(Exception):
            if not self.over:
                await self.engine.stop(self.id, GRACE)
        with contextlib.suppress(Exception):
            if self.container.cleanup == "always":
                await self.engine.remove(self.id)


def _was_whole(following: asyncio.Task[None]) -> bool:
    """Whether *following*, which is done, has read all; not where the engine broke off. A `Fault` is raised."""
    error = following.exception()
    if error is not None and not isinstance(error, EngineError):
        raise error
    return error is None


def conventional_name(context: CallContext) -> str:
    """``{workflow.name}-{uuid}.{workflow.namespace}-{task.name}`` (specification 1.0, run); the uuid is that of the
    call, so that there is never a second one.
    """
    namespace, name, *_ = [*context.source.strip("/").split("/"), "", ""]
    task = context.state.rpartition("/")[2].replace("~1", "/").replace("~0", "~")
    id = uuid.uuid5(uuid.NAMESPACE_URL, context.idempotency_key)
    return _NOT_IN_A_NAME.sub("-", f"{name[:63]}-{id}.{namespace[:63]}-{task[:63]}").lstrip("-._")
