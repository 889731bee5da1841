"""The stdio transport of MCP: the server is a child process, each message is a line of its stdin or stdout."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import IO

from workflow_engine.calls import json_rpc
from workflow_engine.calls.content import JSON, encode
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.http import shown
from workflow_engine.calls.processes import (
    GRACE,
    admit,
    argument,
    argument_list,
    end,
    environment,
    limits,
    scratch,
)
from workflow_engine.calls.url import bounded
from workflow_engine.errors import Fault, fault
from workflow_engine.processes.guarded import GuardedProcess
from workflow_engine.processes.output import Tail
from workflow_engine.values import JsonObject

_ARGUMENTS = frozenset({"command", "arguments", "environment"})
_PATIENCE = 1.0
_SHOWN = 500


@asynccontextmanager
async def opened(given: JsonObject, context: CallContext) -> AsyncIterator[ProcessChannel]:
    """Start the server and give the channel to it; when the block is left, it and all that it has started are ended.

    It is asked to end by the end of its stdin, and made to if that is not enough. It works in an empty folder, within
    the bounds of the worker, and does not outlive it.
    """
    admit("mcp", context)
    unknown = sorted(given.keys() - _ARGUMENTS)
    if unknown:
        raise fault("configuration", f"the stdio transport of call mcp has no argument {unknown[0]!r}")
    command = given.get("command")
    if not isinstance(command, str) or not command or "\0" in command:
        raise fault("configuration", f"the command of an MCP server must be a string, not {shown(command)}")
    words = [argument(word) for word in argument_list(given.get("arguments"))]
    name = f"the MCP server {bounded(os.path.basename(command), 100)!r}"  # noqa: PTH119 - to show, not to use
    async with scratch() as folder:
        said, complained = _Lines(context.egress.max_response), Tail()
        with _pipe() as (reading, writing):
            try:
                process = await GuardedProcess.start(
                    [command, *words],
                    output=[said.write],
                    errors=[complained.write],
                    stdin=reading,
                    env=environment(given.get("environment"), context, folder),
                    inherit=False,
                    cwd=folder,
                    grace=GRACE,
                    limits=limits(context),
                    scratch=folder,
                )
            except (OSError, ValueError) as error:
                why = str(error).removeprefix(f"cannot start {command}: ")
                raise fault("communication", f"{name} cannot be started: {why}") from None
            finally:
                reading.close()
            channel = ProcessChannel(process, name, said, complained, context)
            try:
                await channel.connect(writing)
                yield channel
            finally:
                await asyncio.shield(channel.close())


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    read, write = os.pipe()
    with os.fdopen(read, "rb", buffering=0) as reading, os.fdopen(write, "wb", buffering=0) as writing:
        yield reading, writing


class _Lines:
    """What a server writes, line by line; *limit* bounds what it may have written and nobody has read, in bytes."""

    def __init__(self, limit: int) -> None:
        self._limit, self._kept, self._size = limit, deque[bytes](), 0
        self._open = bytearray()
        self.over = False
        self.news = asyncio.Event()

    def write(self, data: bytes) -> None:
        if self.over:
            return
        self._size += len(data)
        self.over = self._size > self._limit
        *whole, rest = data.split(b"\n")
        for line in whole:
            self._kept.append(bytes(self._open) + line)
            self._open.clear()
        self._open += rest
        self.news.set()

    def next(self, *, ended: bool) -> bytes | None:
        """The next line, if there is one; what has no end is one once the server has *ended*."""
        if not self._kept and ended and self._open:
            self._kept.append(bytes(self._open))
            self._open.clear()
        if not self._kept:
            return None
        line = self._kept.popleft()
        self._size -= len(line) + 1
        return line


class ProcessChannel:
    """Messages to the stdin and from the stdout of a child process."""

    def __init__(
        self, process: GuardedProcess, name: str, said: _Lines, complained: Tail, context: CallContext
    ) -> None:
        self._process, self._name, self._said, self._complained = process, name, said, complained
        self._context = context
        self._ended = asyncio.create_task(process.wait())
        self._ended.add_done_callback(lambda _: said.news.set())
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, pipe: IO[bytes]) -> None:
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, pipe)
        self._writer = asyncio.StreamWriter(transport, protocol, None, loop)

    async def close(self) -> None:
        """End the process: kindly, then not."""
        if self._writer is not None:
            self._writer.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await asyncio.shield(self._ended)
        if not self._ended.done():
            await end(self._process)
        await self._ended

    def agree(self, version: str) -> None:
        """Nothing more: messages do not say which version they are of."""

    async def tell(self, message: JsonObject) -> None:
        assert self._writer is not None
        body, _ = encode(message, JSON)
        try:
            self._writer.write(body + b"\n")
            await self._writer.drain()
        except OSError:
            raise await self._gone() from None

    async def exchange(self, message: JsonObject) -> AsyncGenerator[JsonObject, None]:
        await self.tell(message)
        while True:
            line = await self._line()
            if line.strip():
                for found in json_rpc.messages(line, self._name, self._context.redact):
                    yield found

    async def _line(self) -> bytes:
        while True:
            self._said.news.clear()
            if self._said.over:
                limit = self._context.egress.max_response
                what = f"writes more than {limit} bytes at once, the limit for one response"
                raise fault("communication", f"{self._name} {what}")
            ended = self._ended.done()
            line = self._said.next(ended=ended)
            if line is not None:
                return line
            if ended:
                raise await self._gone()
            await self._said.news.wait()

    async def _gone(self) -> Fault:
        """What to say of a server that has ended, or is about to: it reads no more."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await asyncio.shield(self._ended)
        code = self._process.returncode
        how = "reads no more"
        if self._process.over is not None:
            how = f"was ended: it used more {self._process.over} than the worker allows"
        elif code is not None:
            how = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
        words = " ".join(self._context.redact("\n".join(self._complained.lines())).split())
        if len(words) > _SHOWN:
            words = "…" + words[-_SHOWN:]
        return fault("communication", f"{self._name} {how}" + (f": {words}" if words else ""))
