"""``wfe mcp``: the engine as a server of tools (Model Context Protocol), over standard input and output."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import orjson

from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FINE, say
from workflow_engine.errors import Rejected
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")
"""The versions of the protocol that are spoken, newest first."""
MAX_LINE = 16 * 1024 * 1024
MAX_BATCH = 100
_PARSE, _REQUEST, _METHOD, _PARAMS, _INTERNAL = -32700, -32600, -32601, -32602, -32603

_log = logging.getLogger(__name__)

Write = Callable[[bytes], None]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe mcp`` takes."""
    parser.description = (
        "Serve tools to an assistant, over standard input and output: each deployed workflow is one, with its\n"
        "schema; others find, follow and control runs, publish events, and check, draw and test documents.\n"
        "What needs no server works without one."
    )
    parser.add_argument(
        "--read-only", action="store_true", help="leave out all that starts or changes something"
    )
    parser.add_argument("--deploy", action="store_true", help="let workflows be deployed too")
    add_connection(parser, json=False)
    parser.set_defaults(work=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    from workflow_engine.cli.mcp_tools import Tools

    if arguments.read_only and arguments.deploy:
        raise Rejected("mcp-options", "--read-only and --deploy exclude each other")

    async def work(api: HttpApi) -> int:
        say("wfe mcp: waiting for an assistant on standard input; Ctrl-C ends it")
        tools = Tools(api, acts=not arguments.read_only, deploys=arguments.deploy)

        def write(line: bytes) -> None:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()

        await Server(tools.listed, tools.call, write).serve(_Lines().next)
        return FINE

    return with_api(arguments, work)


class _Lines:
    """Lines of standard input. A thread reads them that nobody waits for: Ctrl-C ends the program though none comes."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[bytes] = asyncio.Queue(100)
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._read, name="stdin", daemon=True).start()

    async def next(self) -> bytes:
        """The next line, or as much of it as one may have; empty at the end."""
        return await self._lines.get()

    def _read(self) -> None:
        # Not by sys.stdin, whose lock Python wants at its end.
        rest = b""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the program ends
            while more := os.read(0, 64 * 1024):
                *lines, rest = (rest + more).split(b"\n")
                if len(rest) > MAX_LINE:
                    lines.append(rest)
                for line in lines:
                    asyncio.run_coroutine_threadsafe(self._lines.put(line + b"\n"), self._loop).result()
            for line in (rest, b""):
                asyncio.run_coroutine_threadsafe(self._lines.put(line), self._loop).result()


class Server:
    """JSON-RPC 2.0, a message a line: requests are answered as they are done, and may be cancelled."""

    def __init__(
        self,
        listed: Callable[[], Awaitable[list[JsonObject]]],
        call: Callable[[str, JsonObject], Awaitable[JsonObject]],
        write: Write,
    ) -> None:
        self._listed, self._call, self._write = listed, call, write
        self._requests: dict[str | int, asyncio.Task[None]] = {}
        self._batches: set[asyncio.Task[None]] = set()

    async def serve(self, read: Callable[[], Awaitable[bytes]]) -> None:
        """Answer what *read* gives, line by line, until it gives nothing more; what is under way is let go."""
        try:
            while line := await read():
                if len(line) > MAX_LINE:
                    self._send(_failure(None, _REQUEST, f"a message has more than {MAX_LINE:,} bytes"))
                    return
                if line.strip():
                    self._take(line)
        finally:
            for task in (*self._batches, *self._requests.values()):
                task.cancel()
            await asyncio.gather(*self._batches, *self._requests.values(), return_exceptions=True)

    def _take(self, line: bytes) -> None:
        try:
            messages: Json = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            self._send(_failure(None, _PARSE, f"not JSON: {error}"))
            return
        if isinstance(messages, list) and 0 < len(messages) <= MAX_BATCH:
            self._take_batch(messages)
        else:
            self._begin(messages, self._send)

    def _take_batch(self, messages: list[Json]) -> None:
        """Several messages, as version 2025-03-26 has them: their answers are one, once all are there."""
        answers: list[JsonObject] = []
        tasks = [task for each in messages if (task := self._begin(each, answers.append)) is not None]

        async def together() -> None:
            await asyncio.gather(*tasks, return_exceptions=True)
            if answers:
                self._write(_line([{"jsonrpc": "2.0", **each} for each in answers]))

        self._batches.add(task := asyncio.create_task(together(), name="mcp batch"))
        task.add_done_callback(self._batches.discard)

    def _begin(self, message: Json, answered: Callable[[JsonObject], None]) -> asyncio.Task[None] | None:
        """Begin with what a message asks for; *answered* gets the answer, if there is to be one."""
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            if not isinstance(message, dict) or not ({"result", "error"} & message.keys()):
                answered(_failure(None, _REQUEST, "not a request of JSON-RPC 2.0"))
            return None
        id, params = message.get("id"), message.get("params") or {}
        method = str(message["method"])
        if not isinstance(id, str | int) or isinstance(id, bool):
            if method == "notifications/cancelled" and isinstance(params, dict):
                self._cancel(params.get("requestId"))
            return None
        if id in self._requests:
            answered(_failure(id, _REQUEST, "a request with this id is under way"))
            return None
        task = asyncio.create_task(self._answer(id, method, params, answered), name=f"mcp {method}")
        self._requests[id] = task
        task.add_done_callback(lambda _: self._requests.pop(id, None))
        return task

    def _cancel(self, id: Json) -> None:
        if isinstance(id, str | int) and id in self._requests:
            self._requests[id].cancel()

    async def _answer(
        self, id: str | int, method: str, params: Json, answered: Callable[[JsonObject], None]
    ) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            try:
                answered({"id": id, "result": await self._result(method, params)})
            except _Refused as error:
                answered(_failure(id, error.code, str(error)))
            except Exception as error:  # noqa: BLE001 - a bug in one tool must not end the others
                _log.exception("mcp %s", method)
                answered(_failure(id, _INTERNAL, f"{type(error).__name__}: {error}"))

    async def _result(self, method: str, params: Json) -> JsonObject:
        if not isinstance(params, dict):
            raise _Refused(_PARAMS, "params must be an object")
        match method:
            case "initialize":
                return _greeting(params.get("protocolVersion"))
            case "ping":
                return {}
            case "tools/list":
                return {"tools": [*await self._listed()]}
            case "tools/call":
                name, arguments = params.get("name"), params.get("arguments") or {}
                if not isinstance(name, str) or not isinstance(arguments, dict):
                    raise _Refused(_PARAMS, "give the `name` of a tool, and its `arguments` as an object")
                try:
                    return await self._call(name, arguments)
                except LookupError as error:
                    raise _Refused(_PARAMS, str(error)) from None
            case _:
                raise _Refused(_METHOD, f"there is no method {method[:100]!r}")

    def _send(self, members: JsonObject) -> None:
        self._write(_line({"jsonrpc": "2.0", **members}))


class _Refused(Exception):
    """A request that cannot be answered, and the *code* that JSON-RPC has for it."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _failure(id: str | int | None, code: int, message: str) -> JsonObject:
    return {"id": id, "error": {"code": code, "message": message}}


def _line(message: Json) -> bytes:
    return orjson.dumps(message) + b"\n"


def _greeting(wanted: Json) -> JsonObject:
    from workflow_engine import __version__

    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {"listChanged": False}},
        "serverInfo": {"name": "wfe", "title": "Serverless Workflow engine", "version": __version__},
        "instructions": (
            "Tools that begin with run_ start a workflow and give its output. A run that has not ended in time goes "
            "on: follow it with show_run. To write a workflow, use validate_workflow until there are no problems, then "
            "test_workflow with scenarios."
        ),
    }
