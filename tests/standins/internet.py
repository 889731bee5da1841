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
from typing import TypeAlias, TypedDict

import trustme
from aiohttp import web

from tests.standins import assistants, elsewhere, functions, httpbin, issuer, petstore, schemas
from tests.standins.certificates import ca_file
from tests.standins.server import Server, ServerThread, serve

MakeApp: TypeAlias = Callable[[], web.Application]

HOSTS: Mapping[str, MakeApp] = {
    "petstore.swagger.io": petstore.app,
    "httpbin.org": httpbin.app,
    "issuer.example": issuer.app,
    "tools.example": assistants.tools,
    "agent.example": assistants.agent,
    "schemas.example": schemas.app,
    **elsewhere.SECURE,
    **functions.SECURE,
}
PLAIN = elsewhere.PLAIN
"""The hosts without TLS."""


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
        return {
            f"{host}:{80 if host in PLAIN else 443}": server.address for host, server in self.servers.items()
        }

    @property
    def egress(self) -> EgressArguments:
        """What to make an `Egress` of, so that the hosts are reached at their real https URLs."""
        return {"connect_to": self.connect_to, "ca_file": self.ca_file}


@asynccontextmanager
async def internet() -> AsyncIterator[Internet]:
    """Serve every host of `HOSTS` and `PLAIN` in this event loop."""
    ca = trustme.CA()
    async with AsyncExitStack() as stack:
        path = stack.enter_context(ca_file(ca))
        servers = {}
        for make_app, names, tls in _served(ca):
            server = await stack.enter_async_context(serve(make_app(), tls=tls, names=names))
            servers |= dict.fromkeys(names, server)
        yield Internet(servers, path)


@contextmanager
def internet_thread() -> Iterator[Internet]:
    """Serve every host of `HOSTS` and `PLAIN` from threads: for fixtures of module or session scope."""
    ca = trustme.CA()
    with ExitStack() as stack:
        path = stack.enter_context(ca_file(ca))
        servers = {}
        for make_app, names, tls in _served(ca):
            server = stack.enter_context(ServerThread(make_app, tls=tls, names=names))
            servers |= dict.fromkeys(names, server)
        yield Internet(servers, path)


def _served(ca: trustme.CA) -> Iterator[tuple[MakeApp, tuple[str, ...], trustme.CA | None]]:
    """What each server serves, to which hosts: those with the same application share one."""
    for hosts, tls in ((HOSTS, ca), (PLAIN, None)):
        for make_app in dict.fromkeys(hosts.values()):
            yield make_app, tuple(host for host, made in hosts.items() if made is make_app), tls
