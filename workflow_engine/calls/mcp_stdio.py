"""The stdio transport of MCP: the server is a child process, each message is a line of its stdin or stdout."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from workflow_engine.calls import json_rpc
from workflow_engine.calls.content import JSON, encode, kind
from workflow_engine.calls.context import CallContext
from workflow_engine.calls.http import members, shown
from workflow_engine.calls.processes import admit
from workflow_engine.calls.uri_template import scalar_text
from workflow_engine.calls.url import bounded
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

INHERITED = ("HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "USER")
"""What a server's environment has of the worker's: enough to find and run programs, and no more."""

_ARGUMENTS = frozenset({"command", "arguments", "environment"})
_PATIENCE = 1.0
_TAIL = 4096
_SHOWN = 500


@asynccontextmanager
async def opened(given: JsonObject, context: CallContext) -> AsyncIterator[ProcessChannel]:
    """Start the server and give the channel to it; when the block is left, it and all that it has started are ended.

    It is asked to end by the end of its stdin, and made to if that is not enough.
    """
    admit("mcp", context)
    unknown = sorted(given.keys() - _ARGUMENTS)
    if unknown:
        raise fault("configuration", f"the stdio transport of call mcp has no argument {unknown[0]!r}")
    command = given.get("command")
    if not isinstance(command, str) or not command or "\0" in command:
        raise fault("configuration", f"the command of an MCP server must be a string, not {shown(command)}")
    name = bounded(os.path.basename(command), 100)  # noqa: PTH119 - a name to show, not a path to use
    try:
        process = await asyncio.create_subprocess_exec(
            command,
            *_words(given.get("arguments")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(given.get("environment")),
            start_new_session=True,
            limit=context.egress.max_response,
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise fault("communication", f"the MCP server {name!r} cannot be started: {reason}") from None
    tail = _Tail()
    listening = asyncio.create_task(tail.read(process.stderr))
    try:
        yield ProcessChannel(process, name, tail, context)
    finally:
        await _end(process)
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening


def _words(value: Json) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise fault("configuration", f"the arguments of an MCP server must be a list, not {kind(value)}")
    return [_word(item, "an argument") for item in value]


def _environment(value: Json) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in INHERITED if name in os.environ}
    given = members(value, "the environment of an MCP server")
    for name in given:
        if not name or "=" in name or "\0" in name:
            raise fault("validation", f"{shown(name)} is not the name of an environment variable")
    return inherited | {
        name: _word(item, f"variable {name}") for name, item in given.items() if item is not None
    }


def _word(value: Json, what: str) -> str:
    if isinstance(value, dict | list) or value is None:
        raise fault("validation", f"{what} of an MCP server must be a scalar, not {kind(value)}")
    text = scalar_text(value)
    if "\0" in text:
        raise fault("validation", f"{what} of an MCP server has a null character in it")
    return text


class _Tail:
    """The end of what a server writes to stderr, for the fault that tells of its death."""

    def __init__(self) -> None:
        self.text = b""

    async def read(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (chunk := await stream.read(64 * 1024)):
            self.text = (self.text + chunk)[-_TAIL:]


class ProcessChannel:
    """Messages to the stdin and from the stdout of a child process."""

    def __init__(
        self, process: asyncio.subprocess.Process, name: str, tail: _Tail, context: CallContext
    ) -> None:
        self._process, self._name, self._tail = process, name, tail
        self._redact, self._limit = context.redact, context.egress.max_response

    def agree(self, version: str) -> None:
        """Nothing more: messages do not say which version they are of."""

    async def tell(self, message: JsonObject) -> None:
        assert self._process.stdin is not None
        body, _ = encode(message, JSON)
        try:
            self._process.stdin.write(body + b"\n")
            await self._process.stdin.drain()
        except OSError:
            raise await self._ended() from None

    async def exchange(self, message: JsonObject) -> AsyncGenerator[JsonObject, None]:
        await self.tell(message)
        while True:
            line = await self._line()
            if line.strip():
                for found in json_rpc.messages(line, f"the MCP server {self._name!r}", self._redact):
                    yield found

    async def _line(self) -> bytes:
        assert self._process.stdout is not None
        try:
            return await self._process.stdout.readuntil(b"\n")
        except asyncio.LimitOverrunError:
            what = f"writes a message of more than {self._limit} bytes, the limit for one response"
            raise fault("communication", f"the MCP server {self._name!r} {what}") from None
        except asyncio.IncompleteReadError as error:
            if error.partial.strip():
                return error.partial
            raise await self._ended() from None

    async def _ended(self) -> Exception:
        """What to say of a server that is gone."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self._process.wait()
        code = self._process.returncode
        how = "closed its output"
        if code is not None:
            how = f"ended with exit code {code}" if code >= 0 else f"was ended by signal {-code}"
        said = bounded(" ".join(self._redact(self._tail.text.decode(errors="replace")).split()), _SHOWN)
        return fault("communication", f"the MCP server {self._name!r} {how}" + (f": {said}" if said else ""))


async def _end(process: asyncio.subprocess.Process) -> None:
    """End *process* and its group: kindly, then not."""
    assert process.stdin is not None
    process.stdin.close()
    try:
        if process.returncode is None and not await _gone(process):
            _signal(process, signal.SIGTERM)
            await _gone(process)
    finally:
        _signal(process, signal.SIGKILL)
        transport = process._transport  # type: ignore[attr-defined]
        await process.wait()
        transport.close()


async def _gone(process: asyncio.subprocess.Process) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE):
            await process.wait()
    except TimeoutError:
        return False
    return True


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
