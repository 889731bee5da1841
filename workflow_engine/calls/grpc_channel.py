"""Connections to gRPC servers, within the bounds of the egress."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import aiohappyeyeballs

from workflow_engine import __version__
from workflow_engine.calls.addresses import literal_address
from workflow_engine.calls.egress import Egress

MAX_METADATA = 16 * 1024
CONNECT_SECONDS = 10
"""How long both families of addresses may take to find one that answers."""


@cache
def library() -> Any:
    """The module ``grpc``, loaded when it is needed: unless asked it says only what is wrong."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    import grpc

    return grpc


@asynccontextmanager
async def open_channel(host: str, port: int, *, tls: bool, egress: Egress) -> AsyncIterator[Any]:
    """A ``grpc.aio`` channel to *host*, which connects only to what the egress lets through.

    Names are resolved here and not by the library; TLS is verified for *host* all the same. Proxies of the
    environment are not used, messages are bounded by the egress, and nothing is tried twice.
    """
    grpc = library()
    target = _target(await reachable(await egress.addresses(host, port)))
    shown = f"[{host}]" if ":" in host else host
    options: list[tuple[str, Any]] = [
        ("grpc.default_authority", shown if port == 443 else f"{shown}:{port}"),
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.enable_retries", 0),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", egress.max_response),
        ("grpc.max_send_message_length", egress.max_response),
        ("grpc.max_metadata_size", MAX_METADATA),
        ("grpc.absolute_max_metadata_size", MAX_METADATA),
        ("grpc.primary_user_agent", f"wfe/{__version__}"),
    ]
    if tls:
        if literal_address(host) is None:
            options.append(("grpc.ssl_target_name_override", host))
        roots = await asyncio.to_thread(_roots, None if egress.ca_file is None else str(egress.ca_file))
        channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(roots), options)
    else:
        channel = grpc.aio.insecure_channel(target, options)
    try:
        yield channel
    finally:
        await channel.close()


async def reachable(addresses: list[tuple[str, int]]) -> list[tuple[str, int]]:
    """The addresses of one family, for a channel takes no other: of the one that answers first, where there are two."""
    families = {socket.AF_INET6 if _is_ipv6(address) else socket.AF_INET for address in addresses}
    if len(families) == 1:
        return addresses
    tried = [
        (
            socket.AF_INET6 if _is_ipv6(address) else socket.AF_INET,
            socket.SOCK_STREAM,
            socket.IPPROTO_TCP,
            "",
            address,
        )
        for address in addresses
    ]
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            connected = await aiohappyeyeballs.start_connection(
                tried, happy_eyeballs_delay=0.25, interleave=1
            )
    except OSError:  # a timeout is one; the library says why
        return [address for address in addresses if not _is_ipv6(address)]
    with connected:
        ipv6 = connected.family == socket.AF_INET6
    return [address for address in addresses if _is_ipv6(address) == ipv6]


def _is_ipv6(address: tuple[str, int]) -> bool:
    return ":" in address[0]


def _target(addresses: list[tuple[str, int]]) -> str:
    if _is_ipv6(addresses[0]):
        return "ipv6:" + ",".join(f"[{address.partition('%')[0]}]:{port}" for address, port in addresses)
    return "ipv4:" + ",".join(f"{address}:{port}" for address, port in addresses)


@lru_cache(maxsize=4)
def _roots(ca_file: str | None) -> bytes | None:
    """The certificates to trust, in PEM: those of the system and of *ca_file*; None for what the library ships."""
    system = ssl.get_default_verify_paths().cafile
    files = [Path(name) for name in (system, ca_file) if name]
    parts = [file.read_bytes() for file in files if file.is_file()]
    return b"\n".join(parts) if parts else None
