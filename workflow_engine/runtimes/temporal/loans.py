"""Values that a run has sent to a call, as they are in memory, for the call to have where the same worker makes it.

JSON of many small parts takes several times its text once it is parsed, and without this a worker would have what a
run sends twice: as the run has it, and as the call has parsed it. A value is lent under the key of the object that it
was stored as, so it is just what the call would have read. It is lent for a few seconds, and no longer than its run is
kept; who comes later, or on another worker, reads it from the store. Borrowers change nothing in it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final

SECONDS = 5.0
NOTHING: Final = object()
BORROWS: ContextVar[bool] = ContextVar("borrows", default=False)
"""Whether who reads now may have values that are lent."""


class Loans:
    """Lent values by key, of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lent: dict[str, tuple[Any, str, float]] = {}

    def lend(self, key: str, value: Any, run: str) -> None:
        """Lend *value*, which the execution *run* has; to be called where an event loop runs."""
        with self._lock:
            self._lent[key] = (value, run, time.monotonic() + SECONDS)
        asyncio.get_running_loop().call_later(SECONDS + 0.1, self._expire)

    def borrow(self, key: str) -> Any:
        """What is lent under *key*, or `NOTHING`."""
        with self._lock:
            value, _, until = self._lent.get(key, (NOTHING, "", 0.0))
        return value if time.monotonic() < until else NOTHING

    def end(self, run: str) -> None:
        """The execution *run* is not kept any more."""
        if self._lent:
            self._drop(lambda of, _: of == run)

    def _expire(self) -> None:
        now = time.monotonic()
        self._drop(lambda _, until: until <= now)

    def _drop(self, which: Callable[[str, float], bool]) -> None:
        with self._lock:
            for key in [key for key, (_, run, until) in self._lent.items() if which(run, until)]:
                del self._lent[key]


LOANS = Loans()
