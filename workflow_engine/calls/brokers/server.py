"""Which server of an AsyncAPI document a call goes to, and by which protocol."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from workflow_engine.calls.content import kind
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

_PROTOCOLS = {
    "http": ("http", False),
    "https": ("http", True),
    "ws": ("ws", False),
    "wss": ("ws", True),
    "nats": ("nats", False),
    "tls": ("nats", True),
    "kafka": ("kafka", False),
    "kafka-secure": ("kafka", True),
    "amqp": ("amqp", False),
    "amqps": ("amqp", True),
    "mqtt": ("mqtt", False),
    "mqtt5": ("mqtt", False),
    "mqtts": ("mqtt", True),
    "secure-mqtt": ("mqtt", True),
}
"""The protocols that a document may name, and which of ours that is: the protocol, and whether it is over TLS."""
_PORTS = {
    "http": (80, 443),
    "ws": (80, 443),
    "nats": (4222, 4222),
    "kafka": (9092, 9093),
    "amqp": (5672, 5671),
    "mqtt": (1883, 8883),
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server to connect to: *protocol* is one of http, ws, nats, kafka, amqp and mqtt, *secure* means TLS.

    *version* is that of the protocol, as the document has it. *security* are the types of scheme that it lists.
    """

    name: str
    protocol: str
    secure: bool
    hosts: tuple[tuple[str, int], ...]
    path: str = ""
    version: str = ""
    security: tuple[str, ...] = ()
    bindings: JsonObject = field(default_factory=dict)

    def __str__(self) -> str:
        return f"server {self.name!r} ({', '.join(f'{host}:{port}' for host, port in self.hosts)})"


def choose(operation: JsonObject, wanted: Json, protocol: Json) -> Server:
    """The server of *operation* that *wanted* (``{name, variables}``) names, or the first that speaks *protocol*.

    What the document does not have, and what cannot be spoken here, is a configuration fault.
    """
    listed = operation.get("servers")
    servers = [server for server in listed if isinstance(server, dict)] if isinstance(listed, list) else []
    if wanted is not None and not isinstance(wanted, dict):
        raise fault("configuration", f"the server must be an object with a name, not {kind(wanted)}")
    if wanted is not None:
        name = wanted.get("name")
        servers = [server for server in servers if server.get("name") == name]
        if not servers:
            known = _names(listed)
            raise fault(
                "configuration", f"the document has no server {name!r} for the operation; it has {known}"
            )
    chosen = next((server for server in servers if protocol is None or _speaks(server, str(protocol))), None)
    if chosen is None:
        what = (
            f"server {wanted['name']!r} does not speak" if wanted else f"no server ({_names(listed)}) speaks"
        )
        raise fault("configuration", f"{what} the protocol {protocol!r}")
    return _server(chosen, wanted.get("variables") if wanted else None)


def _names(servers: Json) -> str:
    listed = servers if isinstance(servers, list) else []
    names = [f"{item.get('name')} ({item.get('protocol')})" for item in listed if isinstance(item, dict)]
    return ", ".join(names) or "none"


def _speaks(server: JsonObject, protocol: str) -> bool:
    spoken = str(server.get("protocol")).lower()
    family = _PROTOCOLS.get(spoken, (spoken, False))[0]
    if protocol == "mqtt5":
        return spoken == "mqtt5" or (family == "mqtt" and str(server.get("protocol_version")).startswith("5"))
    return family == protocol


def _server(server: JsonObject, given: Json) -> Server:
    spoken, name = str(server.get("protocol")).lower(), str(server.get("name"))
    if spoken not in _PROTOCOLS:
        ours = ", ".join(sorted({family for family, _ in _PROTOCOLS.values()}))
        what = f"server {name!r} speaks {spoken!r}, and calls speak {ours}"
        raise fault(
            "configuration", f"{what}; without `server` and `protocol` it goes through the event router"
        )
    family, secure = _PROTOCOLS[spoken]
    host = _filled(str(server.get("host")), server, given)
    scheme = str(server.get("url")).partition("://")[0].lower()
    secure = secure or _PROTOCOLS.get(scheme, ("", False)) == (family, True)
    if "@" in host:
        raise fault(
            "configuration", f"server {name!r}: who connects is for `authentication` to say, not for its URL"
        )
    hosts = tuple(_host(item, _PORTS[family][secure], name) for item in host.split(","))
    version = "5" if spoken == "mqtt5" else str(server.get("protocol_version") or "")
    schemes = server.get("security")
    security = tuple(
        str(item.get("type"))
        for item in (schemes if isinstance(schemes, list) else [])
        if isinstance(item, dict)
    )
    path = _filled(str(server.get("pathname") or ""), server, given)
    return Server(name, family, secure, hosts, path, version, security, bindings(server, family))


def _filled(text: str, server: JsonObject, given: Json) -> str:
    """*text* with the variables of the server in it: as given, else their default; one of their ``enum``."""
    declared = server.get("variables")
    values = given if isinstance(given, dict) else {}

    def value_of(match: re.Match[str]) -> str:
        variable = declared.get(match[1]) if isinstance(declared, dict) else None
        about = variable if isinstance(variable, dict) else {}
        value = values.get(match[1], about.get("default"))
        allowed = about.get("enum")
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise fault(
                "configuration", f"server {server.get('name')!r}: its variable {match[1]!r} has no value"
            )
        if isinstance(allowed, list) and allowed and str(value) not in map(str, allowed):
            raise fault(
                "configuration",
                f"server {server.get('name')!r}: {str(value)[:100]!r} is not allowed for its variable {match[1]!r}",
            )
        return str(value)

    return re.sub(r"\{([^{}]*)\}", value_of, text)


def _host(text: str, default: int, name: str) -> tuple[str, int]:
    match = re.fullmatch(
        r"\s*(\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#\s]+)(?::(\d{1,5}))?\s*", text.rpartition("://")[2]
    )
    if match is None or int(match[2] or default) > 65535:
        raise fault("configuration", f"server {name!r}: {text[:200]!r} is not a host with a port")
    return match[1].strip("[]"), int(match[2] or default)


def bindings(holder: Json, protocol: str) -> JsonObject:
    """What the bindings of *holder* say for *protocol*; of ``mqtt5`` too, where it is that."""
    known = holder.get("bindings") if isinstance(holder, dict) else None
    found: JsonObject = {}
    for name in (protocol, "mqtt5") if protocol == "mqtt" else (protocol,):
        part = known.get(name) if isinstance(known, dict) else None
        found |= part if isinstance(part, dict) else {}
    return found
