"""Which network addresses a call may reach: a pure judgement on hosts and IP addresses."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from workflow_engine.errors import Fault, fault

Address: TypeAlias = IPv4Address | IPv6Address

# Networks whose last 32 bits are an IPv4 address: NAT64 (RFC 6052, RFC 8215) and SIIT (RFC 2765).
_TRANSLATED = tuple(IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96"))
_COMPATIBLE = IPv6Network("::/96")
_METADATA = frozenset(
    ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack and most others
        "169.254.170.2",  # AWS, credentials of a task
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure, the host's agent
    )
)
_METADATA_HOSTS = frozenset({"metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"})
_INTERNAL = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # shared address space, RFC 6598
        "192.0.0.0/24",
        "198.18.0.0/15",
        "240.0.0.0/4",
        "::1/128",
        "fc00::/7",
        "fec0::/10",
    )
)
# inet_aton reads hexadecimal, octal and short forms: 0x7f.1, 017700000001, 2130706433.
_LEGACY_IPV4 = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)(?:\.(?:0x[0-9a-f]*|[0-9]+)){0,3}", re.IGNORECASE)


def host_key(host: str) -> str:
    """*host* in the form that names are compared in: lower case, no final dot, no brackets or zone."""
    return host.strip("[]").partition("%")[0].rstrip(".").lower()


@lru_cache(maxsize=1024)
def literal_address(host: str) -> Address | None:
    """The address that *host* spells, in any notation a resolver would accept; None for a name."""
    key = host_key(host)
    try:
        return ip_address(key)
    except ValueError:
        pass
    if not _LEGACY_IPV4.fullmatch(key):
        return None
    try:
        return IPv4Address(socket.inet_aton(key))
    except OSError:
        return None


def embedded_address(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for (mapped, compatible, translated, 6to4, Teredo), else itself."""
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if any(address in network for network in _TRANSLATED) or (address in _COMPATIBLE and int(address) > 1):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Whom calls may reach. Every refusal is an authorization fault (403) that names the setting.

    *allowed_hosts* None allows every host; else a host must be one of them, or match a ``*.example.com``,
    which stands for every name below ``example.com`` but not that name itself.
    """

    allowed_hosts: tuple[str, ...] | None = None
    allow_link_local: bool = False
    allow_private: bool = True
    besides: Callable[[str], str | None] | None = None
    """Why a host may not be called by whom this policy is for; None where it may."""

    def check_host(self, host: str) -> None:
        """Refuse *host*, a name or a literal, by what it says; what a name resolves to is checked later."""
        key = host_key(host)
        if self.allowed_hosts is not None and not any(covers(rule, key) for rule in self.allowed_hosts):
            raise _refused(f"host {key!r} is not in the setting WFE_ALLOWED_HOSTS")
        why = None if self.besides is None else self.besides(key)
        if why is not None:
            raise _refused(why)
        if key in _METADATA_HOSTS and not self.allow_link_local:
            raise _refused(
                f"host {key!r} is a cloud metadata service; the setting WFE_ALLOW_LINK_LOCAL allows it"
            )
        address = literal_address(key)
        if address is not None:
            self.check_address(address, key)

    def check_address(self, address: Address, host: str) -> None:
        """Refuse *address*, which *host* resolved to or spells."""
        reason = self.refusal(address)
        if reason is not None:
            shown = repr(host) if host == str(address) else f"{host!r} ({address})"
            raise _refused(f"host {shown} is {reason}")

    def refusal(self, address: Address) -> str | None:
        """Why *address* may not be reached, with the setting that would allow it; None where it may."""
        meant = embedded_address(address)
        if not self.allow_link_local:
            if meant in _METADATA:
                return "a cloud metadata service; the setting WFE_ALLOW_LINK_LOCAL allows it"
            if meant.is_link_local:
                return "a link-local address; the setting WFE_ALLOW_LINK_LOCAL allows it"
        if meant.is_multicast:
            return "a multicast address, which no call can reach"
        if meant.is_unspecified or (isinstance(meant, IPv4Address) and int(meant) >> 24 == 0):
            return "an unspecified address, which no call can reach"
        if str(meant) == "255.255.255.255":
            return "the broadcast address, which no call can reach"
        if not self.allow_private and any(meant in network for network in _INTERNAL):
            return "a loopback or private address; the setting WFE_ALLOW_PRIVATE allows it"
        return None


def covers(rule: str, host: str) -> bool:
    """Whether *rule*, a host or ``*.example.com``, means *host*, which is a `host_key`."""
    rule = host_key(rule)
    return host.endswith(rule[1:]) and host != rule[2:] if rule.startswith("*.") else host == rule


def _refused(detail: str) -> Fault:
    return fault("authorization", f"this engine may not call it: {detail}")
