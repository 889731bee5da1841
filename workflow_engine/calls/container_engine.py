"""The containers of a Docker-compatible engine, by its HTTP API, on a socket of this machine or over TCP.

Paths carry no version, so that each engine answers in its own: what is used here has been there since Docker 1.12, and
Podman has it too (``podman system service``).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import struct
from collections.abc import AsyncIterator, Callable, Mapping
from http import HTTPStatus
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp

from workflow_engine.errors import Fault, fault
from workflow_engine.values import Json, JsonObject

DEFAULT = "unix:///var/run/docker.sock"
_QUICK = 60.0
"""Seconds for what an engine does at once: all but pulling an image and waiting for a container."""
_HEADER = struct.Struct(">B3sL")
_HEAD = 16 * 1024


class EngineError(Exception):
    """The engine refuses: *status* is that of HTTP, the text what it says."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ContainerEngine:
    """A connection to the engine at *address*; use it in ``async with``.

    Each method is one request. It raises `EngineError` for what the engine refuses, and a `Fault` when there is none:
    configuration where nothing listens, communication where it ends amid an answer.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        parts = urlsplit(address)
        if parts.scheme == "unix" and parts.path:
            self._path: str | None = parts.path
            self._base = "http://engine"
        elif parts.scheme in ("tcp", "http") and parts.hostname:
            self._path = None
            self._host, self._port = parts.hostname, parts.port or 2375
            self._base = f"http://{parts.netloc}"
        else:
            raise fault(
                "configuration", f"DOCKER_HOST: {address!r} is neither unix:///SOCKET nor tcp://HOST:PORT"
            )
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def here(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The engine that the variable ``DOCKER_HOST`` names, else the socket of Docker."""
        variables = os.environ if environ is None else environ
        address = variables.get("DOCKER_HOST") or DEFAULT
        if variables.get("DOCKER_TLS_VERIFY") and not address.startswith("unix:"):
            detail = f"DOCKER_TLS_VERIFY: the container engine at {address} cannot be spoken to over TLS"
            raise fault("configuration", f"{detail}; forward its socket (ssh -L) and use unix:///SOCKET")
        return cls(address)

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector() if self._path is None else aiohttp.UnixConnector(self._path)
        timeout = aiohttp.ClientTimeout(total=None, connect=10)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._session is not None
        await self._session.close()

    # --- images -------------------------------------------------------------------------------------------

    async def image(self, name: str) -> JsonObject:
        """The image *name*, as the engine describes it."""
        return await self._object("GET", f"/images/{quote(name, safe='/:@')}/json")

    async def pull(self, name: str) -> None:
        """Fetch *name* from its registry; an engine answers 200 and then tells in the body what goes wrong."""
        async with self._ask("POST", "/images/create", {"fromImage": name}) as answer:
            problem = ""
            async for line in answer.content:
                with contextlib.suppress(ValueError):
                    told = json.loads(line)
                    problem = str(told.get("error") or problem) if isinstance(told, dict) else problem
        if problem:
            raise EngineError(HTTPStatus.NOT_FOUND, problem)

    # --- containers ---------------------------------------------------------------------------------------

    async def containers(self, *labels: str) -> list[JsonObject]:
        """Every container, running or not, that has all of *labels* (``name`` or ``name=value``)."""
        query = {"all": "1", "filters": json.dumps({"label": list(labels)})}
        found = await self._json("GET", "/containers/json", query)
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []

    async def create(self, name: str, configuration: JsonObject) -> str:
        """Make a container and give its id; 404 when its image is not there, 409 when its name is taken."""
        made = await self._object("POST", "/containers/create", {"name": name}, configuration)
        return str(made["Id"])

    async def inspect(self, id: str) -> JsonObject:
        """A container by its id or name, as the engine describes it."""
        return await self._object("GET", f"/containers/{id}/json")

    async def exists(self, id: str) -> bool:
        """Whether there is a container with that id or name."""
        try:
            await self.inspect(id)
        except EngineError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True

    async def start(self, id: str) -> None:
        """Start a container; one that runs stays as it is."""
        await self._nothing("POST", f"/containers/{id}/start")

    async def wait(self, id: str) -> int:
        """The exit code of a container, once it has ended."""
        async with self._ask("POST", f"/containers/{id}/wait") as answer:
            ended = json.loads(await answer.read())
        return int(ended["StatusCode"])

    async def stop(self, id: str, grace: int) -> None:
        """SIGTERM, and SIGKILL after *grace* seconds; harmless for one that has ended."""
        await self._nothing("POST", f"/containers/{id}/stop", {"t": str(grace)})

    async def remove(self, id: str) -> None:
        """Remove a container, running or not, with its anonymous volumes; one that is not there is no problem."""
        try:
            await self._nothing("DELETE", f"/containers/{id}", {"force": "1", "v": "1"})
        except EngineError as error:
            if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT}:  # 409: it is being removed
                raise

    async def logs(self, id: str, sinks: Mapping[str, Callable[[bytes], None]], *, follow: bool) -> None:
        """Hand what a container has written to ``stdout`` and ``stderr`` to *sinks*; with *follow*, until its end.

        `EngineError` when the engine breaks off: Podman 4 does so at times for one that ends this very moment.
        """
        query = {"follow": str(int(follow)), **dict.fromkeys(sinks, "1")}
        async with self._ask("GET", f"/containers/{id}/logs", query) as answer:
            with contextlib.suppress(asyncio.IncompleteReadError):
                while True:
                    head = await answer.content.readexactly(_HEADER.size)
                    stream, zeros, length = _HEADER.unpack(head)
                    if stream > 2 or any(zeros):  # it has changed its mind, behind the status of the answer
                        raise EngineError(500, _message(head + await answer.content.read(_HEAD)))
                    sink = sinks.get("stderr" if stream == 2 else "stdout")
                    while length:
                        piece = await answer.content.read(min(length, 65536))
                        if not piece:
                            return
                        length -= len(piece)
                        if sink is not None:
                            sink(piece)

    async def feed(self, id: str, data: bytes, *, started: Callable[[], Any]) -> None:
        """Attach to the stdin of a container, await *started*, and write *data* to it and its end.

        The connection stops to be HTTP for that, which no client library carries; it is made by hand.
        """
        with self._told():
            if self._path is not None:
                reader, writer = await asyncio.open_unix_connection(self._path)
            else:
                reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            request = f"POST /containers/{quote(id)}/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: engine\r\n"
            writer.write(
                f"{request}Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n".encode()
            )
            with self._told():
                head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status not in {HTTPStatus.SWITCHING_PROTOCOLS, HTTPStatus.OK}:
                raise EngineError(status, _message(await reader.read(_HEAD)))
            await started()
            with contextlib.suppress(ConnectionError):  # it need not read to the end, nor at all
                for start in range(0, len(data), 65536):
                    writer.write(data[start : start + 65536])
                    await writer.drain()
                if writer.can_write_eof():
                    writer.write_eof()
            with contextlib.suppress(ConnectionError):
                while await reader.read(65536):
                    pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    # --- requests -----------------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Json = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._session is not None
        with self._told():
            async with self._session.request(
                method, self._base + path, params=query, json=body if body is not None else None
            ) as answer:
                if answer.status >= HTTPStatus.BAD_REQUEST:
                    raise EngineError(answer.status, _message(await answer.content.read(_HEAD)))
                yield answer

    @contextlib.contextmanager
    def _told(self) -> Any:
        try:
            yield
        except (
            aiohttp.ClientConnectorError,
            FileNotFoundError,
            PermissionError,
            ConnectionRefusedError,
        ) as error:
            why = getattr(error, "strerror", None) or str(error)
            raise fault(
                "configuration",
                f"no container engine can be reached at {self._address}: {why}; start one (Docker, or "
                "`podman system service`), or set DOCKER_HOST for the worker",
            ) from None
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError) as error:
            raise fault("communication", f"the container engine at {self._address}: {error}") from None

    async def _json(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Json = None
    ) -> Json:
        async with self._soon(), self._ask(method, path, query, body) as answer:
            value: Json = json.loads(await answer.read())
            return value

    @contextlib.asynccontextmanager
    async def _soon(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(_QUICK) as timer:
                yield
        except TimeoutError:
            if timer.expired():
                detail = f"the container engine at {self._address} did not answer for {_QUICK:g} s"
                raise fault("communication", detail) from None
            raise

    async def _object(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Json = None
    ) -> JsonObject:
        found = await self._json(method, path, query, body)
        assert isinstance(found, dict), found
        return found

    async def _nothing(self, method: str, path: str, query: Mapping[str, str] | None = None) -> None:
        async with self._soon(), self._ask(method, path, query) as answer:
            await answer.read()


def refused(error: EngineError, what: str) -> Fault:
    """What the engine does not do, as a fault of the call."""
    kind = "runtime" if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR else "configuration"
    return fault(kind, f"{what}: the container engine says: {str(error)[:1000]}")


def _message(body: bytes) -> str:
    try:
        told = json.loads(body)
    except ValueError:
        return body.decode(errors="replace").strip()
    return str(told.get("message") or told.get("cause") or told) if isinstance(told, dict) else str(told)
