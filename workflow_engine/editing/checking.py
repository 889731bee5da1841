"""Asks the process of `checker`, one thing at a time; ends it when it takes too long or is no longer wanted."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import orjson

from workflow_engine.editing.checker import HEADER
from workflow_engine.editing.reading import MOST as LARGEST
from workflow_engine.values import JsonObject

LONGEST = 15.0
"""Seconds that one document may take."""
UNWANTED = 1.0
"""Seconds that one may still take whose answer nobody wants any more."""
BEGINNING = 60.0
"""Seconds that the process may take to begin, on a machine that has other things to do."""
MOST = LARGEST + 1
"""Characters that are sent: one more than a document may have bytes, which says that it has too many."""

_HOME = Path(__file__).parents[2]
_PROGRAM = (
    "import sys; sys.path.append(sys.argv[1]); from workflow_engine.editing.checker import main; main()"
)


class Checking:
    """The process, started when it is first needed."""

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._beginning: asyncio.Task[Process] | None = None
        self._unwanted: asyncio.Task[JsonObject] | None = None

    async def ask(self, task: str, text: str, name: str) -> JsonObject:
        """What the process answers: see `checker`; ``failed`` says why there is no answer.

        Where the caller is cancelled while the process is at work, the next one waits a little for the end of that,
        and gets another process if there is none: most of what is no longer wanted ends sooner than a process begins.
        """
        message = orjson.dumps({"task": task, "text": _encodable(text[:MOST]), "name": name})
        async with self._turn:
            answer = await self._attempt(message)
            if answer is None:  # it may have been ended while nobody asked, by the system for its memory
                answer = await self._attempt(message)
        return answer or {"failed": "what checks documents has ended with it"}

    async def _attempt(self, message: bytes) -> JsonObject | None:
        """The answer to *message*; None if the process ended before it gave one."""
        try:
            await self._finish()
            process = await self._begun()
        except (OSError, EOFError, TimeoutError) as error:
            self._end()
            return {"failed": f"what checks documents does not begin: {type(error).__name__}"}
        work = asyncio.get_running_loop().create_task(_exchange(process, message))
        work.add_done_callback(_seen)
        try:
            async with asyncio.timeout(self._longest):
                return await asyncio.shield(work)
        except TimeoutError:
            self._end()
            return {"failed": f"it took longer than {self._longest:g} seconds"}
        except (OSError, EOFError, ValueError):
            self._end()
            return None
        except asyncio.CancelledError:
            self._unwanted = work
            raise

    async def _finish(self) -> None:
        """Wait for the end of what nobody wants any more, or end the process."""
        work, self._unwanted = self._unwanted, None
        if work is not None:
            try:
                async with asyncio.timeout(UNWANTED):
                    await asyncio.shield(work)
            except (OSError, EOFError, ValueError, TimeoutError):
                self._end()
            except asyncio.CancelledError:
                self._unwanted = work
                raise

    async def _begun(self) -> Process:
        """The process, ready to be asked. It goes on to begin though the caller is cancelled."""
        if self._process is None or self._process.returncode is not None:
            if self._beginning is None or self._beginning.done():
                self._beginning = asyncio.get_running_loop().create_task(self._begin())
            return await asyncio.shield(self._beginning)
        return self._process

    async def _begin(self) -> Process:
        # The folder that the server runs in, which is the author's, is no place for modules: -P.
        program = (sys.executable, "-P", "-c", _PROGRAM, str(_HOME))
        folder = Path(sys.executable).parent
        process = await asyncio.create_subprocess_exec(*program, stdin=PIPE, stdout=PIPE, cwd=folder)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(BEGINNING):
                await process.stdout.readexactly(HEADER.size)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        self._process = process
        return process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def close(self) -> None:
        """End the process, and wait until it has."""
        if self._beginning is not None and not self._beginning.done():
            with contextlib.suppress(OSError, EOFError, TimeoutError):
                await self._beginning
        process = self._process
        self._end()
        if process is not None:
            await process.wait()


def _seen(work: asyncio.Task[JsonObject]) -> None:
    """How *work* ended is known, though nobody may wait for it."""
    if not work.cancelled():
        work.exception()


async def _exchange(process: Process, message: bytes) -> JsonObject:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(HEADER.pack(len(message)) + message)
    await process.stdin.drain()
    (size,) = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
    answer: JsonObject = orjson.loads(await process.stdout.readexactly(size))
    return answer


def _encodable(text: str) -> str:
    """*text* with what UTF-8 cannot hold, halves of surrogate pairs, in a form that is told as a problem."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffe" if "\ud800" <= char <= "\udfff" else char for char in text)
    return text
