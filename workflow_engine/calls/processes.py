"""Processes that calls start on this machine: whether they may, and one run within its bounds."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from workflow_engine.calls.content import kind
from workflow_engine.calls.context import CallContext
from workflow_engine.errors import fault
from workflow_engine.processes import leftovers
from workflow_engine.processes.guard import Limits
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.values import Json, JsonObject

RETURNS = ("stdout", "stderr", "code", "all", "none")
"""What ``run.return`` may ask for (specification 1.0, run)."""
GRACE = 2.0
"""Seconds between the request to end (SIGTERM) and the end (SIGKILL) of a process whose time is up."""
_FILES = 1024
_FILE = 1024**3
_TAIL = 16 * 1024
_SHOWN = 2000
"""How many characters of the end of stderr a fault tells."""


def admit(kind: str, context: CallContext) -> None:
    """Return when the operator lets workflows start processes of *kind*; else an authorization fault (403)."""
    if kind not in context.processes:
        raise fault(
            "authorization",
            f"workflows may not start a {kind} process on this worker: its setting WFE_PROCESSES does not allow it",
            status=403,
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """How a process ended: *code* is 128 and the signal's number for one that a signal ended, as shells say it.

    *stdout* and *stderr* are whole where they were wanted, else their ends.
    """

    code: int
    stdout: str
    stderr: str


@contextlib.asynccontextmanager
async def scratch() -> AsyncIterator[Path]:
    """A folder for one process to work in; it is gone afterwards, with all that is in it."""
    made = leftovers.scratch()
    folder = await asyncio.to_thread(made.__enter__)
    try:
        yield folder
    finally:
        # Not in the way of a cancellation: what is left to do is a matter of moments.
        await asyncio.shield(asyncio.to_thread(made.__exit__, None, None, None))


async def execute(
    command: Sequence[str],
    arguments: JsonObject,
    context: CallContext,
    folder: Path,
    *,
    what: str,
    wanted: Sequence[str] = ("stdout", "stderr"),
) -> Ended:
    """Run *command* in *folder*, with the ``stdin`` and ``environment`` of *arguments*, and nothing of our environment.

    It may take the time of *context* at most, and use what its bounds say; what goes beyond is a fault, as is output
    that is *wanted* and larger than the bound. However we end, it and all that it started end too.
    """
    bounds = context.bounds
    seconds = min(context.timeout, bounds.seconds)
    process: GuardedProcess | None = None
    timer: asyncio.Timeout | None = None
    room = bounds.output // max(1, len(wanted))
    pipes = {name: Pipe(room if name in wanted else None) for name in ("stdout", "stderr")}
    try:
        with _stdin(arguments.get("stdin")) as stdin:
            process = await GuardedProcess.start(
                [argument(part) for part in command],
                output=[pipes["stdout"].write],
                errors=[pipes["stderr"].write],
                stdin=stdin,
                env=environment(arguments.get("environment"), context, folder),
                inherit=False,
                cwd=folder,
                grace=GRACE,
                limits=limits(context),
                scratch=folder,
            )
        for pipe in pipes.values():
            pipe.when_over(process.kill)
        async with asyncio.timeout(seconds) as timer:
            code = await process.wait()
    except TimeoutError:
        if timer is None or not timer.expired():
            raise
        setting = " (the worker's setting WFE_PROCESS_SECONDS)" if seconds == bounds.seconds else ""
        raise fault("timeout", f"{what} took longer than {seconds:g} s{setting}") from None
    except OSError as error:
        raise fault("configuration", f"{what} cannot be started: {error}") from None
    finally:
        if process is not None and process.returncode is None:
            await asyncio.shield(end(process))
    if process.over is not None:
        limit = f"{bounds.memory // 1024**2} MiB" if process.over == "memory" else str(bounds.processes)
        raise fault(
            "runtime", f"{what} was ended: it used more {process.over} than the worker allows ({limit})"
        )
    for name, pipe in pipes.items():
        if pipe.over:
            raise fault("runtime", f"{what} was ended: it wrote more than {room:,} bytes to {name}")
    return Ended(128 - code if code < 0 else code, pipes["stdout"].text(), pipes["stderr"].text())


def limits(context: CallContext) -> Limits:
    """What a process may use, with all that it starts."""
    return Limits(context.bounds.memory, context.bounds.processes, _FILE, _FILES)


async def end(process: GuardedProcess) -> None:
    """Ask *process* and all that it has started to end, and after a moment make them."""
    process.terminate_all()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await process.wait()
            return
    await process.stop(0)


def returned(ended: Ended, form: str, what: str, context: CallContext) -> Json:
    """What of a process is the output; a runtime fault when it failed and nobody asked for its exit code (A65)."""
    if ended.code != 0 and form not in {"code", "all"}:
        raise failed(ended, what, context)
    every: JsonObject = {"code": ended.code, "stdout": ended.stdout, "stderr": ended.stderr}
    output = every if form == "all" else every.get(form)
    most = context.bounds.output * 5 // 4
    if form != "code" and len(json.dumps(output, ensure_ascii=False).encode()) > most:
        # Control characters are six bytes each in JSON, in which the output travels.
        raise fault("runtime", f"the output of {what} is larger than {most:,} bytes as JSON")
    return output


def failed(ended: Ended, what: str, context: CallContext) -> Exception:
    """The fault of a process that ended with another exit code than 0, with the end of what it complained."""
    how = f"exit code {ended.code}"
    with contextlib.suppress(ValueError):
        how += f" (by {signal.Signals(ended.code - 128).name})" if ended.code > 128 else ""
    complaint = context.redact(ended.stderr.strip())
    if len(complaint) > _SHOWN:
        complaint = "…" + complaint[-_SHOWN:]
    return fault("runtime", f"{what} ended with {how}" + (f": {complaint}" if complaint else ""))


def form_of(arguments: JsonObject, default: str = "stdout") -> str:
    """The argument ``return``, what is wanted of a process."""
    form = arguments.get("return", default)
    if form not in (*RETURNS, default):
        raise fault("configuration", f"return must be one of {', '.join(RETURNS)}")
    return str(form)


def streams_of(form: str) -> tuple[str, ...]:
    """The streams of a process that ``return: FORM`` gives back."""
    return {"all": ("stdout", "stderr"), "stdout": ("stdout",), "stderr": ("stderr",)}.get(form, ())


def argument_list(value: Json) -> list[str]:
    """``arguments`` as argv: a list, or as in 1.0.0 an object, each member of which is ``name=value`` (A72)."""
    if value is None:
        return []
    if isinstance(value, dict):
        return [name if item is None else f"{name}={text_of(item)}" for name, item in value.items()]
    if isinstance(value, list):
        return [text_of(item) for item in value]
    raise fault("configuration", f"arguments must be a list, or an object, not {kind(value)}")


def text_of(value: Json) -> str:
    """A value for a process, which knows only text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def environment(value: Json, context: CallContext, folder: Path) -> dict[str, str]:
    """The environment of a process on this machine: what every one needs, and `variables`."""
    whole: dict[str, str | None] = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        **variables(value, context),
    }
    return {name: text for name, text in whole.items() if text is not None}


def variables(value: Json, context: CallContext) -> dict[str, str | None]:
    """The variables of a process: what it may know of us, and those that the author gives it.

    Values are text (`text_of`); null leaves a variable out.
    """
    given = {} if value is None else value
    if not isinstance(given, dict):
        raise fault("configuration", f"environment must be an object, not {kind(value)}")
    found: dict[str, str | None] = {
        "WFE_RUN_ID": context.run_id,
        "WFE_IDEMPOTENCY_KEY": context.idempotency_key,
    }
    for name, item in given.items():
        if not name or "=" in name or "\0" in name:
            raise fault("validation", f"{name[:100]!r} cannot be the name of an environment variable")
        encoded(name)
        found[name] = None if item is None else argument(text_of(item))
    return found


def argument(text: str) -> str:
    """*text*, which a program can be given."""
    if "\0" in text:
        raise fault(
            "validation", "a process cannot be given text with a NUL character in it, except by stdin"
        )
    encoded(text)
    return text


def encoded(text: str) -> bytes:
    """*text* in UTF-8, all that a process can be given."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise fault(
            "validation", "a process cannot be given text that is not Unicode (half a surrogate pair)"
        ) from None


@contextlib.contextmanager
def _stdin(value: Json) -> Iterator[IO[bytes] | None]:
    """What a process reads: a file without a name, so that neither of us ever waits for the other; None: nothing."""
    if value is None:
        yield None
        return
    with tempfile.TemporaryFile() as file:
        file.write(encoded(text_of(value)))
        file.seek(0)
        yield file


class Pipe:
    """What a process writes to one of its streams: all of it up to *most* bytes, or its end where *most* is None."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._kept = bytearray()
        self.over = False
        self._full: Callable[[], None] = lambda: None

    def write(self, data: bytes) -> None:
        if self._most is None:
            self._kept += data
            del self._kept[:-_TAIL]
            return
        self._kept += data[: self._most - len(self._kept) + 1]
        if len(self._kept) > self._most and not self.over:
            self.over = True
            self._full()

    def when_over(self, act: Callable[[], None]) -> None:
        """Do *act* as soon as there is too much: now, if there is already."""
        self._full = act
        if self.over:
            act()

    def text(self) -> str:
        return self._kept.decode(errors="replace")
