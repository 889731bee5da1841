"""Where a worker's CPU goes: ``python -m benchmarks.engine.profiling FILE MODULE …`` runs a module under profile.

Each thread of Python has a profile of its own, by the CPU that it uses; what functions use is counted for the part of
the program that they are in. What the process uses beyond is Temporal's core, which is not Python, and the profiling.
"""

from __future__ import annotations

import asyncio
import cProfile
import json
import runpy
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import CodeType
from typing import Any

from benchmarks.engine.contenders import TITLES, contenders
from benchmarks.engine.rounds import cell, warmed_up
from benchmarks.engine.shapes import Shape
from workflow_engine.runtimes.temporal.server import ServerOptions, dev_server

LOOKED_EVERY = 0.05
WANTED = ".wanted"
"""The suffix of the file by which a profile is asked for."""
CORE = "Temporal's core (Rust), and what profiling costs"
PARTS: Sequence[tuple[str, str]] = (
    ("workflow_engine/expressions/", "expressions"),
    ("workflow_engine/interpreter/", "interpreter"),
    ("workflow_engine/filters/", "interpreter"),
    ("workflow_engine/graph/", "interpreter"),
    ("workflow_engine/dsl/", "bundles"),
    ("workflow_engine/runtimes/temporal/converter", "payloads"),
    ("workflow_engine/calls/", "calls: HTTP"),
    ("/aiohttp/", "calls: HTTP"),
    ("/yarl/", "calls: HTTP"),
    ("/multidict/", "calls: HTTP"),
    ("workflow_engine/runtimes/", "the engine's workflow and activities"),
    ("benchmarks/engine/by_hand/", "hand-written code"),
    ("temporalio/worker/workflow_sandbox/", "SDK: sandbox"),
    ("temporalio/worker/_workflow_instance", "SDK: activations of workflows"),
    ("temporalio/worker/_activity", "SDK: tasks of activities"),
    ("temporalio/converter/", "payloads"),
    ("temporalio/bridge/_visitor", "payloads"),
    ("temporalio/bridge/proto/", "SDK: protobuf"),
    ("/google/protobuf/", "SDK: protobuf"),
    ("temporalio/", "SDK: the rest"),
    ("/concurrent/futures/", "threads and event loop"),
    ("/asyncio/", "threads and event loop"),
    ("/selectors.py", "threads and event loop"),
)
"""Parts of the program by what the path of a file has in it; the innermost frame that has one counts."""
ABOUT = (
    "CPU of the worker process for one run, in ms, while it is at work under profile (`profiling.py`), which makes "
    "Python several times slower, and small functions most: the shares are what counts, and of expressions not even "
    "those (they have a table of their own); what a run really costs is in the first table."
)
CAVEAT = " No profile: it needs Python 3.11, in which each thread can have one."


class Profiler:
    """Profiles every thread of this process that is started from now on, by the CPU that it uses, and this one."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._profiles: list[cProfile.Profile] = []
        self._paths: dict[str, str] = {}
        original, profiler = threading.Thread.run, self

        def run(self: threading.Thread) -> None:
            with profiler.watched():
                original(self)

        threading.Thread.run = run  # type: ignore[method-assign]
        threading.Thread(target=self._write_on, name="writer", daemon=True).start()

    def watched(self) -> cProfile.Profile:
        """A profile of the thread that uses it in a ``with``."""
        profile = cProfile.Profile(time.thread_time)
        self._profiles.append(profile)
        return profile

    def _write_on(self) -> None:
        wanted = self._file.with_suffix(WANTED)
        while True:
            time.sleep(LOOKED_EVERY)
            if not wanted.exists():
                continue
            spent: defaultdict[str, float] = defaultdict(float)
            for profile in list(self._profiles):
                for entry in profile.getstats():
                    self._count(entry, spent)
            spent[CORE] = max(0.0, time.process_time() - sum(spent.values()))
            fresh = self._file.with_suffix(".fresh")
            fresh.write_text(json.dumps(spent))
            fresh.replace(self._file)
            wanted.unlink()

    def _count(self, entry: Any, spent: defaultdict[str, float]) -> None:
        """Add the time of a function to the part that it is in, and that of what it calls which is in none."""
        part = self._part(entry.code)
        if part is None:
            return
        spent[part] += entry.inlinetime
        for called in entry.calls or ():
            if self._part(called.code) is None:
                spent[part] += called.inlinetime

    def _part(self, code: CodeType | str) -> str | None:
        """The part that a function is in; None for one of C or of the standard library, which belongs to its caller."""
        if isinstance(code, str):
            return None
        path = code.co_filename
        if path not in self._paths:
            self._paths[path] = next((part for piece, part in PARTS if piece in path), "")
        return self._paths[path] or None


async def measure(
    wanted: Sequence[tuple[Shape, Sequence[str]]], seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """For each of the *wanted* shapes and contenders, milliseconds of CPU of a run by the part of the worker."""
    if sys.version_info[:2] != (3, 11):
        return {"about": ABOUT + CAVEAT, "shapes": {}}
    found: dict[str, Mapping[str, float]] = {}
    known = sorted({letter for _, letters in wanted for letter in letters})
    with tempfile.TemporaryDirectory(prefix="wfe-benchmark-") as name:
        folder = Path(name)
        async with (
            dev_server(ServerOptions(headless=True, log_level="error")) as server,
            contenders(server.address, folder, known, profiled=True) as at_work,
        ):
            for shape, letters in wanted:
                for letter in letters:
                    contender = at_work[letter]
                    await warmed_up(shape, contender)
                    file = folder / f"{contender.worker}.profile"
                    before = await asyncio.to_thread(_read, file)
                    runs = (await cell(shape, contender, server.process.pid, 10, seconds)).runs
                    after = await asyncio.to_thread(_read, file)
                    found[f"{shape.title} ({letter})"] = {
                        part: (after[part] - before.get(part, 0.0)) / runs * 1e3
                        for part in sorted(after, key=lambda part: (part == CORE, part))
                        if after[part] - before.get(part, 0.0) > 0
                    }
                say(f"profile: {shape.title}")
    told = ", ".join(f"({letter}) {TITLES[letter]}" for letter in known)
    return {"about": f"{ABOUT} Contenders: {told}.", "shapes": found}


def _read(file: Path) -> dict[str, float]:
    wanted = file.with_suffix(WANTED)
    wanted.touch()
    while wanted.exists():
        time.sleep(LOOKED_EVERY)
    content: dict[str, float] = json.loads(file.read_text())
    return content


if __name__ == "__main__":
    _, written, module, *rest = sys.argv
    sys.argv = [module, *rest]
    with Profiler(Path(written)).watched():
        runpy.run_module(module, run_name="__main__", alter_sys=True)
