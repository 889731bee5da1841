"""Where a worker's CPU goes: ``python -m benchmarks.engine.profiling FILE MODULE …`` runs a module, and samples it.

Every few milliseconds each thread of Python is asked how much CPU it has used since, and where it is: that much is
counted for the part of the program that it is in. What the process uses beyond is Temporal's core, which is not Python.
"""

from __future__ import annotations

import asyncio
import json
import runpy
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.engine.contenders import TITLES, contenders
from benchmarks.engine.rounds import cell, warmed_up
from benchmarks.engine.shapes import Shape
from workflow_engine.runtimes.temporal.server import ServerOptions, dev_server

EVERY = 0.002
SWITCH = 1e-5
WRITTEN_EVERY = 0.1
CORE = "Temporal's core (Rust): polls, state machines, gRPC"
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
    "CPU of the worker process for one run, in ms, sampled while it is at work (`profiling.py`): each thread of "
    "Python by where it is, and what is left is Temporal's core. Sampling costs some itself, so the sums are above "
    "those of the first table."
)


class Sampler(threading.Thread):
    """Counts where the CPU of the other threads goes, and writes it to *file* now and then, in seconds."""

    def __init__(self, file: Path) -> None:
        super().__init__(name="sampler", daemon=True)
        self._file = file
        self._used: dict[int, float] = {}
        self._spent: defaultdict[str, float] = defaultdict(float)
        self._own = 0.0

    def run(self) -> None:
        # Else a thread is only seen where it waits for something, for until then it keeps the interpreter to itself.
        sys.setswitchinterval(SWITCH)
        written = 0.0
        while True:
            time.sleep(EVERY)
            self._sample()
            if time.monotonic() - written > WRITTEN_EVERY:
                written = time.monotonic()
                self._write()

    def _sample(self) -> None:
        for thread, frame in sys._current_frames().items():
            try:
                used = time.clock_gettime(time.pthread_getcpuclockid(thread))
            except OSError:  # it has ended
                continue
            spent = used - self._used.get(thread, used)
            self._used[thread] = used
            if thread == self.ident:
                self._own += spent
            elif spent > 0:
                self._spent[part_of(frame)] += spent

    def _write(self) -> None:
        spent = dict(self._spent)
        spent[CORE] = max(0.0, time.process_time() - self._own - sum(spent.values()))
        fresh = self._file.with_suffix(".fresh")
        fresh.write_text(json.dumps(spent))
        fresh.replace(self._file)


def part_of(frame: FrameType | None) -> str:
    """The part of the program that *frame* is in: the innermost that has a name here."""
    while frame is not None:
        path = frame.f_code.co_filename
        for piece, part in PARTS:
            if piece in path:
                return part
        frame = frame.f_back
    return "else"


async def measure(
    shapes: Sequence[Shape], letters: Sequence[str], seconds: float, say: Callable[[str], None]
) -> dict[str, Any]:
    """For each of *shapes* and contenders, milliseconds of CPU of a run by the part of the worker that used them."""
    found: dict[str, Mapping[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="wfe-benchmark-") as name:
        folder = Path(name)
        async with (
            dev_server(ServerOptions(headless=True, log_level="error")) as server,
            contenders(server.address, folder, letters, profiled=True) as at_work,
        ):
            for shape in shapes:
                for letter, contender in at_work.items():
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
    told = ", ".join(f"({letter}) {TITLES[letter]}" for letter in letters)
    return {"about": f"{ABOUT} Contenders: {told}.", "shapes": found}


def _read(file: Path) -> dict[str, float]:
    time.sleep(3 * WRITTEN_EVERY)
    content: dict[str, float] = json.loads(file.read_text())
    return content


if __name__ == "__main__":
    _, written, module, *rest = sys.argv
    Sampler(Path(written)).start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
