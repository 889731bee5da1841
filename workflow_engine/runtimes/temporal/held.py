"""Large values on their way through the SDK: it carries a token of each, and the bytes stay here, once.

The SDK copies a payload from message to message at each step of its way: from 100 MB it would make 700. So the
converter gives it a token where a value is large, and the driver of the store takes the bytes for it; on the way back
likewise. A token never leaves the process: what is sent is the claim.

A value that is held is taken once. One that nobody takes, because what it was for has failed, is let go of after
`LONGEST` seconds; who asks for it then reads it again (the token of a stored value says which it is), or, where it was
never stored, makes it again: a workflow task that fails is tried again.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from temporalio.api.common.v1 import Payload

Content = bytes | bytearray | memoryview

ENCODING: Final = b"binary/wfe-held"
LONGEST: Final = 120.0
ROOM = 64 * 1024 * 1024
"""How many bytes are held of values that are there besides: of more, they are written out once more when it is time."""
Again = Callable[[], Content]


class NotHeld(Exception):
    """The bytes of a token have been let go of. The task that wants them fails, and is tried again."""


@dataclass(frozen=True, slots=True)
class Loan:
    """A *value* as a *run*, an execution, has it in memory: see `loans`."""

    value: Any
    run: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is held: its *content*, or how it is made; what may be lent of it."""

    size: int
    since: float
    content: Content | None
    make: Again | None
    loan: Loan | None = None


class Held:
    """Bytes by token, of one process, for all of its threads; at most *room* of those that can be made again."""

    def __init__(self, room: int = ROOM) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._entries: dict[bytes, _Entry] = {}
        self._again: dict[bytes, Again] = {}
        self._room = room

    def hold(
        self,
        content: Content | None,
        again: Again | None = None,
        make: Again | None = None,
        loan: Loan | None = None,
    ) -> Payload:
        """A token of *content*, which *again* would read once more, or *make* make: then only if there is room, and
        there is any.
        """
        now = time.monotonic()
        number = str(next(self._numbers)).encode()
        with self._lock:
            for old in [old for old, entry in self._entries.items() if now - entry.since > LONGEST]:
                self._left(self._entries.pop(old))
            size = 0 if content is None else len(content)
            if make is not None and size > self._room:
                content = None
            entry = _Entry(size, now, content, make, loan)
            if make is not None and content is not None:
                self._room -= size
            self._entries[number] = entry
            if again is not None:
                self._again[number] = again
                if (read := READ.get()) is not None:
                    read.append(number)
                while len(self._again) > _MOST:
                    del self._again[next(iter(self._again))]
        return Payload(metadata={"encoding": ENCODING}, data=number)

    def size(self, token: Payload) -> int:
        """How many bytes *token* stands for, as far as it is known."""
        found = self._entries.get(token.data)
        return 0 if found is None else found.size

    def loan(self, token: Payload) -> Loan | None:
        """What may be lent of what *token* stands for."""
        found = self._entries.get(token.data)
        return None if found is None else found.loan

    def take(self, token: Payload) -> Content:
        """The bytes of *token*, which are held no longer; `NotHeld` when they cannot be had."""
        with self._lock:
            found = self._entries.pop(token.data, None)
            again = self._again.get(token.data)
            if found is not None:
                self._left(found)
        if found is not None and found.content is not None:
            return found.content
        again = again if found is None else found.make
        if again is None:
            raise NotHeld("a large value is held no longer")
        return again()

    def drop(self, numbers: list[bytes]) -> None:
        """Let go of what nobody has taken of these: it can be read again."""
        with self._lock:
            for number in numbers:
                found = self._entries.pop(number, None)
                if found is not None:
                    self._left(found)

    def _left(self, entry: _Entry) -> None:
        if entry.make is not None and entry.content is not None:
            self._room += entry.size


_MOST = 10_000
READ: ContextVar[list[bytes] | None] = ContextVar("read", default=None)
"""What has been read for the task that is taken up: when it is over, what it has not taken is let go of."""
HELD = Held()


def is_token(payload: Payload) -> bool:
    """Whether *payload* is a token of `HELD`."""
    return payload.metadata.get("encoding") == ENCODING


def whole(payload: Payload) -> Payload:
    """*payload* with its bytes in it, for who shows or writes it down."""
    if not is_token(payload):
        return payload
    return Payload(metadata={"encoding": b"json/plain"}, data=bytes(HELD.take(payload)))
