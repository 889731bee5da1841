"""The processes that share one router: who lives, which of them has which channel, and what they ask of one another.

All of it is settings of the store that they share, which each of them watches.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import orjson

from workflow_engine.errors import Conflict, NotFound, Rejected, Unavailable
from workflow_engine.events.outages import report
from workflow_engine.events.shared_store import SharedStore
from workflow_engine.events.spi import Change, Versioned
from workflow_engine.values import Json, JsonObject

MEMBER = "member/"
COMMAND = "command/"
BEAT = 2.0
"""How many seconds apart a process says that it lives."""
SILENT = 8.0
"""After how many seconds without that it counts as dead; each counts by its own clock, so that none need agree."""
ANSWER = 30.0
"""How many seconds to wait for what another process is asked to do."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Member:
    rev: int
    seen: float
    place: str
    pid: int


class Peers:
    """A process among others. *changed* is called when the members change; *hear* gets the other changes of settings;
    *serves* tells whether this process has a channel, for which then *execute* does what others ask.
    """

    def __init__(
        self,
        store: SharedStore,
        me: str,
        *,
        changed: Callable[[], None],
        hear: Callable[[Change], None],
        serves: Callable[[str], bool],
        execute: Callable[[str, str, JsonObject], Awaitable[Json]],
    ) -> None:
        self._store, self.me = store, me
        self._changed, self._hear, self._serves, self._execute = changed, hear, serves, execute
        self._members: dict[str, _Member] = {}
        self._asked: dict[str, asyncio.Future[JsonObject]] = {}
        self._executing: dict[str, asyncio.Task[None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._place = _place()

    async def start(self) -> list[Versioned]:
        """Become one of them; all settings as of now: what changes later is heard."""
        await self._beat()
        found = await self._store.entries("")
        for entry in found:
            if entry.key.startswith(MEMBER):
                self._met(Change(entry.key, entry.value, entry.rev))
        await self._bury_the_dead()
        rev = max((entry.rev for entry in found), default=0)
        self._tasks = [
            asyncio.create_task(self._follow(rev), name="peers: watch"),
            asyncio.create_task(self._live(), name="peers: beat"),
        ]
        return found

    async def stop(self) -> None:
        """Leave; the others take over at once."""
        for task in (*self._tasks, *self._executing.values()):
            task.cancel()
        await asyncio.gather(*self._tasks, *self._executing.values(), return_exceptions=True)
        with contextlib.suppress(Unavailable):
            await self._store.delete(MEMBER + self.me)

    def is_mine(self, channel: str) -> bool:
        """Whether the channel is for this process. All agree who has not heard of different members; a member more or
        less moves only the channels that it gets or had.
        """
        return max({*self._members, self.me}, key=lambda name: _rank(name, channel)) == self.me

    def members(self) -> list[str]:
        """Who lives, by name."""
        return sorted({*self._members, self.me})

    async def ask(self, channel: str, do: str, given: JsonObject) -> Json:
        """Let the process that has *channel* do something, and return its answer or raise its error. `Unavailable` if
        none answers; it may have been done nevertheless.
        """
        key = f"{COMMAND}{quote(channel, safe='')}/{uuid.uuid4().hex}"
        future = self._asked[key] = asyncio.get_running_loop().create_future()
        left = True
        try:
            await self._store.put(key, orjson.dumps({"do": do, "with": given}))
            async with asyncio.timeout(ANSWER):
                answer = await future
            left = bool(answer)
        except TimeoutError:
            raise Unavailable(f"no process of the router that has channel {channel} answers") from None
        finally:
            del self._asked[key]
            if left:
                with contextlib.suppress(Unavailable):
                    await asyncio.shield(self._store.delete(key))
        if "error" in answer:
            raise _restored(answer["error"])
        result: Json = answer.get("answer")
        return result

    async def take_up(self, channel: str) -> None:
        """Do what was asked of the process that had *channel* before."""
        for entry in await self._store.entries(f"{COMMAND}{quote(channel, safe='')}/"):
            if "at" in (message := orjson.loads(entry.value)):
                if time.time() - message["at"] > 10 * ANSWER:  # whoever asked is dead
                    await self._store.delete(entry.key)
            else:
                self._take(entry.key, message, entry.rev)

    async def _follow(self, rev: int) -> None:
        pause = 0.05
        while True:
            try:
                async for change in self._store.watch("", rev):
                    rev, pause = change.rev, 0.05
                    if change.key.startswith(MEMBER):
                        self._met(change)
                    elif change.key.startswith(COMMAND):
                        self._heard(change)
                    else:
                        self._hear(change)
            except Exception as error:  # noqa: BLE001  a bug must not make it deaf
                report(_log, error, "no news of the router's other processes: %s", error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)

    def _met(self, change: Change) -> None:
        name = change.key.removeprefix(MEMBER)
        known = name in self._members
        if change.value is None:
            self._members.pop(name, None)
        else:
            told = orjson.loads(change.value)
            self._members[name] = _Member(change.rev, time.monotonic(), told["place"], told["pid"])
        if known != (name in self._members) and name != self.me:
            self._changed()

    async def _beat(self) -> None:
        told = {"place": self._place, "pid": os.getpid()}
        await self._store.put(MEMBER + self.me, orjson.dumps(told))

    async def _live(self) -> None:
        last = time.monotonic()
        while True:
            await asyncio.sleep(BEAT)
            try:
                await self._beat()
                if (
                    time.monotonic() - last > 2 * BEAT + 1
                ):  # it was this process, or the store, that was silent
                    for member in self._members.values():
                        member.seen = time.monotonic()
                last = time.monotonic()
                await self._bury_the_dead()
            except Exception as error:  # noqa: BLE001  it has to live
                report(_log, error, "this process cannot tell the router's others that it lives: %s", error)

    def _is_gone(self, member: _Member) -> bool:
        """Whether a process of this machine has ended; of others only their silence tells."""
        if not self._place or member.place != self._place:
            return False
        try:
            os.kill(member.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            return False
        return False

    async def _bury_the_dead(self) -> None:
        for name, member in list(self._members.items()):
            silent = time.monotonic() - member.seen > SILENT
            if name == self.me or not (silent or self._is_gone(member)):
                continue
            _log.warning(
                "%s of this router has ended without a word; the others go on with what it had", name
            )
            await self._store.put_back(name)
            try:
                await self._store.delete(MEMBER + name, if_rev=member.rev)
            except Conflict:  # it lives after all, or somebody else was sooner
                if await self._store.get(MEMBER + name) is None:
                    self._met(Change(MEMBER + name, None, 0))

    def _heard(self, change: Change) -> None:
        message = None if change.value is None else orjson.loads(change.value)
        future = self._asked.get(change.key)
        if message is None or "at" in message:
            if future is not None and not future.done():
                future.set_result(message or {})
        else:
            self._take(change.key, message, change.rev)

    def _take(self, key: str, message: dict[str, Any], rev: int) -> None:
        channel = unquote(key.split("/")[1])
        if self._serves(channel) and key not in self._executing:
            task = asyncio.create_task(
                self._answer(key, channel, message, rev), name=f"asked to {message['do']}"
            )
            self._executing[key] = task
            task.add_done_callback(lambda _: self._executing.pop(key, None))

    async def _answer(self, key: str, channel: str, message: dict[str, Any], rev: int) -> None:
        answer: dict[str, Any] | None = None
        done, pause = False, 0.05
        while self._serves(channel) or done:
            try:
                if not done:
                    try:
                        result = await self._execute(channel, message["do"], message["with"])
                        answer = None if result is None else {"answer": result}
                    except (NotFound, Conflict, Rejected) as error:
                        answer = {"error": _told(error)}
                    done = True
                if answer is None:
                    await self._store.delete(key, if_rev=rev)
                else:
                    await self._store.put(key, orjson.dumps({**answer, "at": time.time()}), if_rev=rev)
            except Conflict:
                return  # whoever asked has given up
            except Exception as error:  # noqa: BLE001  the next owner may have more luck
                report(_log, error, "channel %s cannot %s: %s", channel, message["do"], error)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)
            else:
                return


def _rank(member: str, channel: str) -> tuple[bytes, str]:
    return hashlib.blake2b(f"{member}\0{channel}".encode(), digest_size=8).digest(), member


def _place() -> str:
    """The machine, since it was started, and the space of its process ids; empty where that cannot be known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _told(error: NotFound | Conflict | Rejected) -> JsonObject:
    match error:
        case NotFound():
            return {"kind": error.kind, "id": error.id, "hint": error.hint}
        case Rejected():
            return {
                "code": error.code,
                "message": str(error),
                "pointer": error.pointer,
                "status": error.status,
            }
        case Conflict():
            return {"message": str(error)}


def _restored(told: Json) -> Exception:
    assert isinstance(told, dict)
    text = {name: str(value) for name, value in told.items()}
    if "kind" in text:
        return NotFound(text["kind"], text["id"], text["hint"])
    if "code" in text:
        return Rejected(text["code"], text["message"], pointer=text["pointer"], status=int(text["status"]))
    return Conflict(text["message"])
