"""Ports on this machine: a free one, and who has one that is not."""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
from ipaddress import ip_address
from pathlib import Path

_LISTEN = "0A"
_SOCKET_LINK = re.compile(r"socket:\[(\d+)\]")
_GIVEN_OUT = Path("/proc/sys/net/ipv4/ip_local_port_range")
_OURS = 10_000
_TRIES = 100


def free_port(host: str = "127.0.0.1") -> int:
    """A TCP port that was free a moment ago; another program may take it first, so be ready to ask again."""
    return free_ports(1, host)[0]


def free_ports(count: int, host: str = "127.0.0.1") -> list[int]:
    """*count* different free ports, where possible of those that the system gives to nobody who asks for any: a server
    may be some time on its way to its port, or away from it while it is started again, and meanwhile every connection
    that any program opens takes a port.
    """
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket(_family(host), socket.SOCK_STREAM)) for _ in range(count)]
        for each in sockets:
            _bind(each, host)
        return [each.getsockname()[1] for each in sockets]


def _bind(bound: socket.socket, host: str) -> None:
    """To a port that the system gives out only when it is asked for that one; to any where there is none."""
    try:
        first = int(_GIVEN_OUT.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        first = 0
    for _ in range(_TRIES if first > 2 * _OURS else 0):
        with contextlib.suppress(OSError):
            bound.bind((host, first - 1 - secrets.randbelow(_OURS)))
            return
    bound.bind((host, 0))


def port_in_use(host: str, port: int) -> str | None:
    """Who listens on *port* of *host* (an IP address or `localhost`): `temporal (pid 12)` where /proc tells,
    else `another program`. None when the port is free for us to listen on.
    """
    with socket.socket(_family(host), socket.SOCK_STREAM) as probe:
        # A connection of an earlier server that lingers is no obstacle: servers set this option too.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            return f"nobody, but ports below 1024 need privileges that this process lacks ({port})"
        except OSError:
            return _listener(port) or "another program"
    return None


def _family(host: str) -> socket.AddressFamily:
    with contextlib.suppress(ValueError):
        return socket.AF_INET6 if ip_address(host).version == 6 else socket.AF_INET
    return socket.AF_INET


def _listener(port: int) -> str | None:
    inodes = _listening_inodes(port)
    for process in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            for descriptor in (process / "fd").iterdir():
                match = _SOCKET_LINK.fullmatch(str(descriptor.readlink()))
                if match and match[1] in inodes:
                    return f"{(process / 'comm').read_text().strip()} (pid {process.name})"
    return None


def _listening_inodes(port: int) -> set[str]:
    """Inodes of sockets that listen on *port*, whatever the address: see proc(5), /proc/net/tcp."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                    found.add(fields[9])
    return found
