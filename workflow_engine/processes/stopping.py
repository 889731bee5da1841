"""How a process is told to stop: once, to finish what is under way; twice, to end at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Sequence

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NAMED = 5
_log = logging.getLogger("wfe")


@contextlib.contextmanager
def stopping() -> Iterator[asyncio.Event]:
    """What is set by the first SIGTERM or Ctrl-C; a second one ends the process, with exit code 0."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            _log.warning("told to stop again: ending at once; others make again what was under way")
            os._exit(0)
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, asked)
    try:
        yield stop
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)


def tell_of(calls: Sequence[str], seconds: float) -> None:
    """Say in the log which *calls* are waited for, *seconds* at most."""
    if not calls:
        _log.info("stopping: nothing is under way")
        return
    shown = ", ".join(calls[:_NAMED]) + (f" and {len(calls) - _NAMED} more" if len(calls) > _NAMED else "")
    what = "1 call" if len(calls) == 1 else f"{len(calls)} calls"
    _log.info("stopping: finishing %s for at most %g s: %s (again: end at once)", what, seconds, shown)
