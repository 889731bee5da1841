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
from typing import TYPE_CHECKING, Any

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

    async def serve(self, read: Callable[[], Awaitable[bytes]]) -> None:
        """Answer what *read* gives, line by line, until it gives nothing more; what is under way is let go."""
        try:
            while line := await read():
                if len(line) > MAX_LINE:
                    self._fail(None, _REQUEST, f"a message has more than {MAX_LINE:,} bytes")
                    return
                if line.strip():
                    self._take(line)
        finally:
            for task in self._requests.values():
                task.cancel()
            await asyncio.gather(*self._requests.values(), return_exceptions=True)

    def _take(self, line: bytes) -> None:
        try:
            message: Json = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            self._fail(None, _PARSE, f"not JSON: {error}")
            return
        if not isinstance(message, dict) or not isinstance(message.get("method"), str):
            if not isinstance(message, dict) or not ({"result", "error"} & message.keys()):
                self._fail(None, _REQUEST, "not a request of JSON-RPC 2.0")
            return
        id, params = message.get("id"), message.get("params") or {}
        method = str(message["method"])
        if not isinstance(id, str | int) or isinstance(id, bool):
            if method == "notifications/cancelled" and isinstance(params, dict):
                self._cancel(params.get("requestId"))
            return
        if id in self._requests:
            self._fail(id, _REQUEST, "a request with this id is under way")
            return
        task = asyncio.create_task(self._answer(id, method, params), name=f"mcp {method}")
        self._requests[id] = task
        task.add_done_callback(lambda _: self._requests.pop(id, None))

    def _cancel(self, id: Json) -> None:
        if isinstance(id, str | int) and id in self._requests:
            self._requests[id].cancel()

    async def _answer(self, id: str | int, method: str, params: Json) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            try:
                result = await self._result(method, params)
            except LookupError as error:
                self._fail(id, _METHOD, str(error))
            except ValueError as error:
                self._fail(id, _PARAMS, str(error))
            except Exception as error:  # noqa: BLE001 - a bug in one tool must not end the others
                _log.exception("mcp %s", method)
                self._fail(id, _INTERNAL, f"{type(error).__name__}: {error}")
            else:
                self._send({"id": id, "result": result})

    async def _result(self, method: str, params: Json) -> JsonObject:
        if not isinstance(params, dict):
            raise ValueError("params must be an object")
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
                    raise ValueError("give the `name` of a tool, and its `arguments` as an object")
                return await self._call(name, arguments)
            case _:
                raise LookupError(f"there is no method {method[:100]!r}")

    def _fail(self, id: str | int | None, code: int, message: str) -> None:
        self._send({"id": id, "error": {"code": code, "message": message}})

    def _send(self, members: dict[str, Any]) -> None:
        self._write(orjson.dumps({"jsonrpc": "2.0", **members}) + b"\n")


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
