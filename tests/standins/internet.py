"""The hosts that the conformance features name, and an issuer of tokens, on loopback: documents run here unchanged.

    with internet_thread() as internet:
        async with Egress(**internet.egress) as egress:
            ...                                    # https://petstore.swagger.io and https://httpbin.org

Each is a real TLS server with a certificate for the host's own name; only where to connect is replaced.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import trustme
from aiohttp import web

from tests.standins import httpbin, issuer, petstore
from tests.standins.certificates import ca_file
from tests.standins.server import Server, ServerThread, serve

HOSTS: Mapping[str, Callable[[], web.Application]] = {
    "petstore.swagger.io": petstore.app,
    "httpbin.org": httpbin.app,
    "issuer.example": issuer.app,
}


class EgressArguments(TypedDict):
    connect_to: dict[str, str]
    ca_file: Path


@dataclass(frozen=True)
class Internet:
    """The running servers, by host name, and the authority that vouches for them."""

    servers: Mapping[str, Server]
    ca_file: Path

    @property
    def petstore(self) -> Server:
        return self.servers["petstore.swagger.io"]

    @property
    def httpbin(self) -> Server:
        return self.servers["httpbin.org"]

    @property
    def connect_to(self) -> dict[str, str]:
        return {f"{host}:443": server.address for host, server in self.servers.items()}

    @property
    def egress(self) -> EgressArguments:
        """What to make an `Egress` of, so that the hosts are reached at their real https URLs."""
        return {"connect_to": self.connect_to, "ca_file": self.ca_file}


@asynccontextmanager
async def internet() -> AsyncIterator[Internet]:
    """Serve every host of `HOSTS` in this event loop."""
    ca = trustme.CA()
    async with AsyncExitStack() as stack:
        path = stack.enter_context(ca_file(ca))
        servers = {
            host: await stack.enter_async_context(serve(make_app(), tls=ca, names=(host,)))
            for host, make_app in HOSTS.items()
        }
        yield Internet(servers, path)


@contextmanager
def internet_thread() -> Iterator[Internet]:
    """Serve every host of `HOSTS` from threads: for fixtures of module or session scope."""
    ca = trustme.CA()
    with ExitStack() as stack:
        path = stack.enter_context(ca_file(ca))
        servers = {
            host: stack.enter_context(ServerThread(make_app, tls=ca, names=(host,)))
            for host, make_app in HOSTS.items()
        }
        yield Internet(servers, path)
