"""Ends a process that runs tests when one of them cannot be ended otherwise: a pytest plugin.

The time limit of a test (`pytest-timeout`) raises an exception in it, once. A test that swallows that, or hangs while
it cleans up, hangs for ever after, and all tests with it; nor does it come through where it is raised in what is called
while garbage is collected. Here such a process tells where each of its threads and tasks stands, ends what it started,
and ends itself: the test has failed, and another process runs the others. So does the one that the others report to,
when none does for long.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tests.once_more import ended_folder

GRACE = float(os.environ.get("WFE_TEST_GRACE", "60"))
"""Seconds after the time limit of a test in which it may fail and clean up."""
QUIET = 15 * 60.0
"""Seconds in which some process has something to report, unless `WFE_SIZE=full` makes single tests take hours."""
STOPPING = 3.0
"""Seconds that what it started has to end by itself."""
ENDED = 70
"""The exit code of a process that is ended so."""


class Watchdog:
    """One thread, that ends the process unless it is called off in time."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._until: float | None = None
        self._why, self._test = "", ""
        self._thread: threading.Thread | None = None
        self.out = 2
        """Where it tells what it does: standard error, which is another while a test is run."""
        self.named: Path | None = None
        """A folder for a file with the test's name."""

    def watch(self, seconds: float, why: str, test: str = "") -> None:
        """End the process after so many *seconds*, and say *why*: what it does is *test*."""
        with self._changed:
            self._why, self._test, self._until = why, test, time.monotonic() + seconds
            self._changed.notify()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
            self._thread.start()

    def call_off(self) -> None:
        with self._changed:
            self._until = None
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while True:
                left = None if self._until is None else self._until - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._changed.wait(left)
        if self._test and self.named is not None:
            with contextlib.suppress(OSError):
                (self.named / str(os.getpid())).write_text(self._test)
        _end_all(self._why, self.out)


def _end_all(why: str, standard_error: int) -> NoReturn:
    out = os.fdopen(standard_error, "w", closefd=False)
    # Should telling it hang too.
    faulthandler.dump_traceback_later(20, exit=True, file=out)
    with contextlib.suppress(BaseException):
        print(f"\n{why}; this process is ended.", file=out, flush=True)
        faulthandler.dump_traceback(out)
        for line in standing(task for task in gc.get_objects() if isinstance(task, asyncio.Task)):
            print(line, file=out)
        out.flush()
    with contextlib.suppress(BaseException):
        end_descendants(os.getpid())
    os._exit(ENDED)


def standing(tasks: Iterator[asyncio.Task[Any]]) -> Iterator[str]:
    """Lines that tell where each of *tasks* that has not ended waits, from the outermost function to the innermost."""
    for task in tasks:
        if task.done():
            continue
        yield f"Task {task.get_name()}:"
        waits: Any = task.get_coro()
        while waits is not None:
            frame = getattr(waits, "cr_frame", None) or getattr(waits, "gi_frame", None)
            frame = frame or getattr(waits, "ag_frame", None)
            if frame is None:
                yield f"  {waits!r:.200}"
                break
            yield f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_qualname}'
            waits = getattr(waits, "cr_await", None) or getattr(waits, "gi_yieldfrom", None)


def end_descendants(pid: int) -> None:
    """End all that *pid* started, and what those did: SIGTERM, and SIGKILL after `STOPPING` seconds."""
    found = _descendants(pid)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for each in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(each, number)
        by = time.monotonic() + STOPPING
        while number == signal.SIGTERM and _descendants(pid) and time.monotonic() < by:
            time.sleep(0.05)


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX":
                children.setdefault(int(parent), []).append(int(path.parent.name))
    found = list(children.get(pid, []))
    for each in found:
        found += children.get(each, [])
    return found


_watchdog = Watchdog()


def pytest_configure(config: pytest.Config) -> None:
    """Keep standard error as it is now, before tests have one of their own."""
    _watchdog.out = os.dup(2)
    cache: pytest.Cache | None = getattr(config, "cache", None)
    _watchdog.named = None if cache is None else ended_folder(cache)
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_Reports(float(os.environ.get("WFE_TEST_QUIET", QUIET))))


class _Reports:
    """In the process that the others report to: whether they do."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def pytest_runtest_logreport(self) -> None:
        if os.environ.get("WFE_SIZE") != "full":
            _watchdog.watch(self._seconds, f"no process has reported a test for {self._seconds:g} s")

    def pytest_sessionfinish(self) -> None:
        _watchdog.call_off()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[object]:
    """Watch each test, with what is set up before it and what is ended after it."""
    limit = _limit(item)
    if not limit or sys.gettrace() is not None:
        return (yield)
    _watchdog.watch(limit + GRACE, f"{item.nodeid} goes on after its time limit", item.nodeid)
    try:
        return (yield)
    finally:
        _watchdog.call_off()


def _limit(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    if marker is not None:
        return float(marker.args[0] if marker.args else marker.kwargs.get("timeout") or 0)
    return float(item.config.getoption("timeout", None) or item.config.getini("timeout") or 0)
