"""The way out: one HTTP client for all calls, and the rules on whom it may reach."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from ipaddress import IPv4Address
from pathlib import Path
from socket import AF_UNSPEC, AddressFamily
from types import TracebackType
from typing import Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from workflow_engine import __version__
from workflow_engine.calls.addresses import AddressPolicy, covers, host_key, literal_address
from workflow_engine.calls.tokens import Remembered
from workflow_engine.errors import Fault, fault

MIB = 1024 * 1024
MAX_RESPONSE = 8 * MIB
MAX_HEADERS = 128
MAX_HEADER_BYTES = 16 * 1024
MAX_NARROWED = 1000
"""For how many a narrowed egress is kept at hand."""


class Refused(OSError):
    """Name resolution found only addresses that the policy refuses; `fault` says so to the author."""

    def __init__(self, refusal: Fault) -> None:
        super().__init__(str(refusal))
        self.fault = refusal


class TextCache:
    """Texts fetched a moment ago, with the URL they came from: for a minute, and not more than 16 MiB."""

    def __init__(self, *, seconds: float = 60, characters: int = 16 * MIB) -> None:
        self._seconds, self._room = seconds, characters
        self._texts: dict[str, tuple[float, tuple[str, str]]] = {}

    def get(self, uri: str) -> tuple[str, str] | None:
        """What was put under *uri*, unless it is too old."""
        put_at, found = self._texts.get(uri, (0.0, ("", "")))
        return found if put_at and time.monotonic() - put_at < self._seconds else None

    def put(self, uri: str, found: tuple[str, str]) -> None:
        """Remember the URL and text of *uri*; the oldest texts make room for it."""
        self._texts.pop(uri, None)
        self._texts[uri] = (time.monotonic(), found)
        while sum(len(text) for _, (_, text) in self._texts.values()) > self._room:
            del self._texts[next(iter(self._texts))]


class Egress:
    """Owns the HTTP client that calls share, and decides whom they may reach.

    Use it as an async context manager, in the event loop that the calls run in.

    *allowed_hosts*, *allow_link_local* and *allow_private* are the rules of `AddressPolicy`. They are
    applied to the host of every request, to each hop of a redirect, and to the very addresses that are
    connected to, so a name that changes its address between check and use gains nothing.

    *connect_to* sends connections elsewhere, as curl's ``--connect-to`` does: ``{"api.example.com:443":
    "127.0.0.1:8443"}``. TLS is still verified for the original name. Its targets are the operator's own
    choice and are not subject to the address rules. *ca_file* has certificates that are trusted besides
    those of the system. *trust_env* takes proxies from the environment; a proxy resolves names itself, so
    the address rules then hold for literals only. *max_response* bounds a body in bytes, decompressed; *seconds* is how
    long a call may take where its workflow says nothing else.
    *plaintext_hosts* are called without TLS where the protocol leaves the choice to the client, as gRPC does.
    *services* says where functions are whose documents do not: URLs by the names of functions, ``*`` for every other.
    `texts` remembers documents that calls have fetched, `remembered` the access tokens that they got.
    """

    def __init__(
        self,
        *,
        allowed_hosts: Iterable[str] | None = None,
        allow_link_local: bool = False,
        allow_private: bool = True,
        connect_to: Mapping[str, str] | None = None,
        ca_file: str | Path | None = None,
        trust_env: bool = False,
        max_response: int = MAX_RESPONSE,
        seconds: float = 60.0,
        plaintext_hosts: Iterable[str] = (),
        services: Mapping[str, str] | None = None,
    ) -> None:
        hosts = None if allowed_hosts is None else tuple(allowed_hosts)
        self.policy = AddressPolicy(hosts, allow_link_local, allow_private)
        self.max_response = max_response
        self.seconds = seconds
        self.texts = TextCache()
        self.remembered = Remembered()
        self._connect_to = {_endpoint(left): _endpoint(right) for left, right in (connect_to or {}).items()}
        for host, port in self._connect_to:
            if literal_address(host) is not None:
                raise ValueError(f"connect_to {host}:{port}: the host to replace must be a name")
        self.ca_file = ca_file
        self._plaintext_hosts = tuple(plaintext_hosts)
        self._services = dict(services or {})
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None
        self._narrowed: dict[str, Egress] = {}
        self._tls: ssl.SSLContext | None = None

    def narrowed(self, whose: str, why_not: Callable[[str], str | None]) -> Egress:
        """This egress for *whose* calls: with the same client, but for hosts that *why_not* gives a reason against.

        What it has fetched is not shared with others, who may not call those hosts.
        """
        made = self._narrowed.get(whose)
        if made is None or made.policy.besides != why_not:  # others may be allowed by now
            if len(self._narrowed) >= MAX_NARROWED:
                self._narrowed.clear()
            made = self._narrowed[whose] = _Narrowed(self, why_not)
        return made

    async def tls(self) -> ssl.SSLContext:
        """What connections that are not HTTP verify the other side with."""
        if self._tls is None:
            self._tls = await asyncio.to_thread(_tls_context, self.ca_file)
        return self._tls

    @property
    def session(self) -> aiohttp.ClientSession:
        """The shared client. It follows no redirects by itself and keeps no cookies between calls."""
        if self._session is None:
            raise RuntimeError("Egress is used outside of its `async with`")
        return self._session

    def unled(self) -> aiohttp.ClientSession:
        """A client of its own, over the same connections, that refuses redirects: for what follows them by itself."""
        refusing = aiohttp.TraceConfig()
        refusing.on_request_redirect.append(_refuse_redirect)
        return aiohttp.ClientSession(
            connector=self.session.connector,
            connector_owner=False,
            headers=self.session.headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=self._trust_env,
            max_headers=MAX_HEADERS,
            max_field_size=MAX_HEADER_BYTES,
            trace_configs=[refusing],
        )

    def serves(self, function: str) -> bool:
        """Whether the operator has said where the service of *function* is."""
        return bool(function) and (function in self._services or "*" in self._services)

    def service(self, function: str) -> str:
        """The URL of the service that has *function*, whose document does not say it; else a configuration fault."""
        found = self._services.get(function) or self._services.get("*")
        if found is None:
            why = (
                "its document has no host, and neither has the setting WFE_FUNCTION_URLS (name=URL, or *=URL)"
            )
            raise fault("configuration", f"nothing says where the function {function[:200]!r} is: {why}")
        return found

    def admit(self, url: URL) -> URL:
        """Check *url* and return it with an IPv4 host in its usual notation.

        A URL that is not absolute http or https is a configuration fault; a host that may not be called,
        an authorization fault.
        """
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise fault("configuration", f"{str(url)[:200]!r} is not an absolute http or https URL")
        self.policy.check_host(url.raw_host)
        address = literal_address(url.raw_host)
        if isinstance(address, IPv4Address) and str(address) != url.raw_host:
            url = url.with_host(str(address))
        return url

    async def addresses(self, host: str, port: int) -> list[tuple[str, int]]:
        """Where a connection to *host* that is not made by the HTTP client may go: addresses and ports.

        The rules have been applied, to the name as to what it resolves to. Names that cannot be resolved are a
        communication fault.
        """
        self.policy.check_host(host)
        literal = literal_address(host)
        if literal is not None:
            return [(str(literal), port)]
        try:
            found = await _PolicyResolver(self.policy, self._connect_to).resolve(host_key(host), port)
        except Refused as refused:
            raise refused.fault from None
        except OSError as error:
            reason = error.strerror or str(error)
            raise fault("communication", f"the name {host!r} cannot be resolved: {reason}") from None
        return [(result["host"], result["port"]) for result in found]

    def plaintext(self, host: str) -> bool:
        """Whether *host* is called without TLS where nothing else says so: loopback, and the operator's choice."""
        key = host_key(host)
        literal = literal_address(key)
        loopback = key == "localhost" if literal is None else literal.is_loopback
        return loopback or any(covers(rule, key) for rule in self._plaintext_hosts)

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(_tls_context, self.ca_file) if self.ca_file else True
        connector = aiohttp.TCPConnector(
            resolver=_PolicyResolver(self.policy, self._connect_to), ssl=context, ttl_dns_cache=10
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": f"wfe/{__version__}", "Accept-Encoding": "gzip, deflate"},
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=self._trust_env,
            max_headers=MAX_HEADERS,
            max_field_size=MAX_HEADER_BYTES,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in (self, *self._narrowed.values()):
            await each.remembered.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()


class _Narrowed(Egress):
    """Another one's egress, within closer bounds."""

    def __init__(self, whole: Egress, why_not: Callable[[str], str | None]) -> None:
        self.__dict__.update(whole.__dict__)
        self._whole = whole
        self.policy = replace(whole.policy, besides=why_not)
        self.texts, self.remembered = TextCache(characters=MIB), Remembered()

    @property
    def session(self) -> aiohttp.ClientSession:
        return self._whole.session

    async def tls(self) -> ssl.SSLContext:
        return await self._whole.tls()


class _PolicyResolver(AbstractResolver):
    """Resolves names to the addresses that the policy lets through: what it returns is connected to."""

    def __init__(self, policy: AddressPolicy, connect_to: Mapping[tuple[str, int], tuple[str, int]]) -> None:
        self._policy = policy
        self._connect_to = connect_to
        self._names = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC
    ) -> list[ResolveResult]:
        replacement = self._connect_to.get((host_key(host), port))
        if replacement is not None:
            found = await self._names.resolve(*replacement, family=family)
            for result in found:
                result["hostname"] = host
            return found
        found = await self._names.resolve(host, port, family=family)
        allowed: list[ResolveResult] = []
        refusal: Fault | None = None
        for result in found:
            address = literal_address(result["host"])
            if address is None:
                raise OSError(None, f"{host} resolved to {result['host']!r}, which is not an address")
            try:
                self._policy.check_address(address, host)
            except Fault as refused:
                refusal = refused
            else:
                allowed.append(result)
        if refusal is not None and not allowed:
            raise Refused(refusal)
        return allowed

    async def close(self) -> None:
        await self._names.close()


async def _refuse_redirect(session: aiohttp.ClientSession, context: object, led: object) -> None:
    raise aiohttp.ClientError("the server answers with a redirect, which is not followed")


def _endpoint(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"connect_to {text!r} is not host:port")
    return host_key(host), int(port)


def _tls_context(ca_file: str | Path | None) -> ssl.SSLContext:
    if ca_file is None:
        return _trusting(None)
    there = Path(ca_file).stat()
    return _trusting(str(ca_file), there.st_ino, there.st_size, there.st_mtime_ns)


@lru_cache(maxsize=8)
def _trusting(ca_file: str | None, *_stamp: int) -> ssl.SSLContext:
    """One for all that trust the same authorities, for those of the machine take long to read."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    return context
