"""When documents are checked: soon after they change, the last state only, never two states of one at a time.

An editor that asks for problems (`pull`) is told nothing by itself: it would show each problem twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from lsprotocol import types

from workflow_engine.editing.checking import Checking
from workflow_engine.editing.opened import Opened, Snapshot
from workflow_engine.editing.problems import diagnostics, failure
from workflow_engine.editing.text import Text

PAUSE = 0.15
"""Seconds without a change after which a document is checked."""
PATIENCE = 1.0
"""Seconds after which it is checked though changes go on."""
STALE = 3.0
"""Seconds after which the check of an earlier state is given up: by then it would rather take for ever than end."""

MOST = 2_000
"""Problems that are told of a document: more would only keep the editor busy."""

Publish = Callable[[types.PublishDiagnosticsParams], None]


@dataclass(slots=True)
class _Watch:
    task: asyncio.Task[None]
    waiting_since: float
    checking_since: float | None = None
    changed: bool = False
    found: list[types.Diagnostic] = field(default_factory=list)


class Changed(Exception):
    """The document was changed while it was checked."""


@dataclass(slots=True)
class _Pull:
    """What an editor that asks is told of a document: *found* in *text*, which is known by *id*."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    text: Text | None = None
    id: str = ""
    found: list[types.Diagnostic] = field(default_factory=list)
    work: asyncio.Task[list[types.Diagnostic]] | None = None
    since: float = 0.0


class Diagnosing:
    """Checks open documents and publishes what is found; *pulled* says that the editor asks for it instead."""

    def __init__(self, opened: Opened, checking: Checking, publish: Publish) -> None:
        self._opened = opened
        self._checking = checking
        self._publish = publish
        self.on_first: Callable[[], None] = lambda: None
        """Called when one of the documents turns out to be one of ours."""
        self.pulled = False
        self._watched: dict[str, _Watch] = {}
        self._pulls: dict[str, _Pull] = {}
        self._count = 0
        self._found: dict[str, tuple[int | None, list[types.Diagnostic]]] = {}

    def found(self, uri: str, version: int | None = None) -> list[types.Diagnostic]:
        """What was published of the document last; only if that was this *version*, where one is given."""
        known, found = self._found.get(uri, (None, []))
        return found if version is None or version == known else []

    def changed(self, uri: str, pause: float = PAUSE) -> None:
        """The document was opened or changed."""
        watch, now = self._watched.get(uri), time.monotonic()
        if self.pulled:
            pull = self._pulls.get(uri)
            if pull is not None and pull.work is not None and now - pull.since > STALE:
                pull.work.cancel()
            return
        since = now
        if watch is not None and not watch.task.done():
            if watch.checking_since is not None and now - watch.checking_since < STALE:
                watch.changed = True
                return
            since = watch.waiting_since if watch.checking_since is None else now
            watch.task.cancel()
        pause = max(0.0, min(pause, since + PATIENCE - now))
        task = asyncio.get_running_loop().create_task(self._check(uri, pause))
        self._watched[uri] = _Watch(task, since)

    def closed(self, uri: str) -> None:
        """The document was closed: nothing is said of it any more."""
        watch = self._watched.pop(uri, None)
        if watch is not None:
            watch.task.cancel()
        pull = self._pulls.pop(uri, None)
        if pull is not None and pull.work is not None:
            pull.work.cancel()
        if self._found.pop(uri, (None, []))[1] and not self.pulled:
            self._publish(types.PublishDiagnosticsParams(uri, []))

    def stop(self) -> None:
        """Check nothing more."""
        for watch in self._watched.values():
            watch.task.cancel()
        self._watched.clear()
        for pull in self._pulls.values():
            if pull.work is not None:
                pull.work.cancel()

    async def pull(self, uri: str) -> tuple[str, list[types.Diagnostic]]:
        """What is wrong with the document, and a name for that; `Changed` if the document is another one meanwhile."""
        document = self._opened.get(uri)
        if document is None:
            return "", []
        text, pull = document.text, self._pulls.setdefault(uri, _Pull())
        async with pull.turn:
            if document.text is not text:
                raise Changed
            if pull.text is text:
                return pull.id, pull.found
            state = await document.snapshot()
            pull.work = asyncio.get_running_loop().create_task(self._diagnostics(state))
            pull.since = time.monotonic()
            try:
                found = await pull.work
            except asyncio.CancelledError:
                asked = asyncio.current_task()
                if document.text is text or asked is None or asked.cancelling():
                    raise
                raise Changed from None
            finally:
                pull.work = None
            if document.text is not text or self._opened.get(uri) is not document:
                raise Changed
            self._count += 1
            pull.text, pull.id, pull.found = text, str(self._count), found
            self._found[uri] = text.version, found
            return pull.id, found

    async def _check(self, uri: str, pause: float) -> None:
        while True:
            await asyncio.sleep(pause)
            watch, document = self._watched.get(uri), self._opened.get(uri)
            if watch is None or document is None:
                return
            watch.checking_since, watch.changed = time.monotonic(), False
            try:
                state = await document.snapshot()
                found = await self._diagnostics(state)
            finally:
                watch.checking_since = None
            if document.text is state.text:
                self._tell(state, found)
            if not watch.changed and document.text is state.text:
                return
            watch.waiting_since, pause = time.monotonic(), PAUSE

    async def _diagnostics(self, state: Snapshot) -> list[types.Diagnostic]:
        if state.kind is None:
            return []
        self.on_first()
        self.on_first = lambda: None
        task = "lint" if state.kind == "asyncapi" else "check"
        answer = await self._checking.ask(task, state.text.source, state.uri)
        problems = answer.get("problems")
        if isinstance(problems, list):
            told = [problem for problem in problems[:MOST] if isinstance(problem, dict)]
            return await asyncio.to_thread(diagnostics, state, told)
        return [failure(str(answer.get("failed")))]

    def _tell(self, state: Snapshot, found: list[types.Diagnostic]) -> None:
        if state.kind is None and state.uri not in self._found:
            return
        self._found[state.uri] = state.text.version, found
        self._publish(types.PublishDiagnosticsParams(state.uri, found, version=state.text.version))
