"""Settings: one frozen value, made from an environment that is passed in.

Every setting is a variable named ``WFE_`` and the field in capitals (``WFE_PORT=9000``); lists are separated
by commas. Command-line options override them.

Longer than 400 lines because every setting is here, with what it means.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from workflow_engine.errors import Rejected
from workflow_engine.graph.lifecycle import CHOICES, Told
from workflow_engine.telemetry.otlp import INSTALL, installed

_CHANNEL = re.compile(r"[a-zA-Z0-9._/-]{1,200}")
_TAKEN = frozenset({"default", "dead-letters"})
"""Where events that start workflows are, and what could not be delivered: lifecycle events do not go there."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_MOST = 2_592_000
PROCESSES = ("script", "shell", "container", "mcp")
"""The kinds of processes that workflows may start on a worker's machine."""


def _setting(default: Any, description: str) -> Any:
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True, slots=True)
class Settings:
    """How the parts of the engine find each other, and what workflows may reach."""

    data: Path = _setting(Path(".wfe"), "folder for everything that is kept")
    host: str = _setting("127.0.0.1", "address the API listens on; any but loopback needs an API token")
    port: int = _setting(8080, "port the API listens on")
    api_token: str | None = _setting(None, "token that every call of the API must carry (Bearer)")
    api_token_run: str | None = _setting(
        None,
        "another token, for who may start and control runs and publish events, and look, but nothing else",
    )
    api_token_read: str | None = _setting(None, "another token, for who may only look")
    api_tokens: Path | None = _setting(
        None,
        "a file with more tokens, each with its role, and the namespaces and channels that it is limited to",
    )
    api_issuer: str | None = _setting(
        None, "URL of an OpenID provider whose tokens count too; they name wfe:read, wfe:run or wfe:admin"
    )
    api_audience: str = _setting("wfe", "whom the tokens of that provider must be for")
    api_issuer_hours: float = _setting(
        24,
        "how long its tokens count, checked with the keys that it had, while that provider cannot be asked",
    )
    tls_cert: Path | None = _setting(
        None, "certificate (PEM, with its chain) that the API serves TLS with; read again when it is renewed"
    )
    tls_key: Path | None = _setting(None, "its key, if that is not in the same file")
    client_ca: Path | None = _setting(
        None,
        "authorities (PEM) one of which must have issued the certificate that a client of the API shows; default: none",
    )
    api_ca: Path | None = _setting(
        None, "certificates by which workers and the command line know the API, besides those of the system"
    )
    api_cert: Path | None = _setting(
        None,
        "certificate (PEM) that workers and the command line show the API; read again when it is renewed",
    )
    api_cert_key: Path | None = _setting(None, "its key, if that is not in the same file")
    api_url: str = _setting("http://127.0.0.1:8080", "where workers and the command line find the API")
    temporal_address: str = _setting("127.0.0.1:7233", "host:port of the Temporal server")
    temporal_namespace: str = _setting("default", "Temporal namespace")
    temporal_profile: str | None = _setting(
        None, "profile of the Temporal client configuration file (TLS, API key)"
    )
    temporal_ui: str = _setting("http://127.0.0.1:8233", "address of the Temporal UI, for links")
    task_queue: str = _setting("wfe", "task queue that workers serve")
    deployment: str | None = _setting(
        None,
        "name of the Worker Deployment that workers belong to; with a build id, Temporal keeps versions apart",
    )
    build_id: str | None = _setting(None, "which build of it a worker is, such as the version of the engine")
    versioning: str = _setting(
        "pinned",
        "what runs do when another build is made current: pinned (stay, until they go on in a new history), or "
        "auto-upgrade (move to it at once)",
    )
    search_attributes: bool = _setting(
        True, "set the search attributes WfeNamespace, WfeDefinition, WfeVersion"
    )
    events_store: str | None = _setting(
        None,
        "URL of the router's store: `sqlite:///path`, `postgresql://user@host/database?schema=wfe`,"
        " `nats://host:4222/name`, `memory:`; default: a SQLite file in the data folder",
    )
    events_days: float | None = _setting(
        None,
        "how many days events are kept at least; those that something still needs stay; default: for ever",
    )
    definitions_store: str | None = _setting(
        None,
        "URL of the definition store: sqlite:///FILE, or postgresql://USER:PASSWORD@HOST/DATABASE[?schema=NAME] for "
        "several API processes; default: a SQLite file likewise",
    )
    catalog_store: str | None = _setting(
        None, "URL of the catalog's store, like that of definitions; default: a SQLite file likewise"
    )
    interim_store: str | None = _setting(
        None,
        "where workers keep what calls gave until it is in the history, so that calls in a row cost one workflow task: "
        "sqlite:///FILE for the workers of one machine, postgresql://USER:PASSWORD@HOST/DATABASE[?schema=NAME] for "
        "those of several; the same for all that share runs; or none; default: none, but for `wfe dev` a SQLite file "
        "in the data folder",
    )
    lifecycle_events: str = _setting(
        "none",
        f"lifecycle events that runs publish of themselves unless their document says otherwise: {CHOICES}",
    )
    lifecycle_channel: str = _setting("lifecycle", "channel of the router that they are published to")
    secrets: str = _setting(
        "env:",
        "where secrets are: env: for variables WFE_SECRET_NAME (env:OTHER_ for OTHER_NAME), or file:///FOLDER",
    )
    reach: Path | None = _setting(
        None,
        "a file that says which secrets, hosts, processes and queues the workflows of each namespace may use, and the "
        "subscriptions and sources of each channel; the same for API and workers; default: all may use all",
    )
    default_catalog: str | None = _setting(
        None,
        "catalog of functions that workflows call `default` (name:version@default): a URL, or a folder",
    )
    allowed_hosts: tuple[str, ...] = _setting(
        (), "hosts that workflows may call (exact, or *.example.com); empty: all"
    )
    allow_link_local: bool = _setting(False, "let workflows call link-local and cloud metadata addresses")
    allow_private: bool = _setting(True, "let workflows call loopback and private addresses")
    connect_to: tuple[str, ...] = _setting(
        (), "connect elsewhere: host:port=host:port, TLS verified for the former"
    )
    grpc_plaintext_hosts: tuple[str, ...] = _setting(
        (), "hosts whose gRPC services are called without TLS (exact, or *.example.com), besides loopback"
    )
    function_urls: tuple[str, ...] = _setting(
        (),
        "where functions of DSL 0.8 are that have a path alone, or no host: name=URL, and *=URL for all others",
    )
    ca_file: Path | None = _setting(None, "certificates to trust besides those of the system")
    call_seconds: float = _setting(
        60, "longest time that a call may take where its workflow says nothing else, in seconds"
    )
    api_worker: bool = _setting(
        False,
        "work in the process of the API too, which begins the runs that it starts at once: fewer operations for each "
        "run, where one process is enough; wfe dev then starts no other worker",
    )
    express: bool = _setting(
        False,
        "make runs of workflows that are deployed from now on express, where nobody has said whether they are",
    )
    express_seconds: float = _setting(
        2, "longest time that a call of an express run may take within its workflow task, in seconds"
    )
    expression_limits: tuple[str, ...] = _setting(
        (),
        "how much one expression may do, NAME=NUMBER,…: steps (1000000), calls (512 deep), text (characters of a "
        "string, 16777216), array (elements, 1000000), result (characters of its JSON, 16777216); the same for all "
        "workers",
    )
    grace_seconds: float = _setting(
        10,
        "how long a worker that stops finishes the calls that it makes, in seconds; others make the rest again",
    )
    processes: tuple[str, ...] | None = _setting(
        None,
        "processes that workflows may start on a worker's machine: script, shell, container, mcp; or all, or none; "
        "default: all, but none where the API or Temporal is reached at another address than loopback",
    )
    activity_queues: tuple[str, ...] | None = _setting(
        None,
        "task queues of Temporal whose activities workflows may call: their names; or all, or none; default: all, but "
        "none where the API is reached at another address than loopback",
    )
    process_seconds: float = _setting(3600, "longest time that a process may take, in seconds")
    process_memory: float = _setting(
        1024, "most memory that a process may use, in MiB, with all that it starts"
    )
    process_cpus: float | None = _setting(None, "how many CPUs a container may use; default: all")
    container_volumes: tuple[str, ...] = _setting(
        (), "folders of the host that containers may mount, or *; empty: none"
    )
    process_count: float = _setting(
        64, "of how many processes a process may consist, with all that it starts"
    )

    traces: str = _setting(
        "none",
        "whether runs and requests are traced: otlp (OpenTelemetry, over HTTP; the variables OTEL_… say where to), or "
        "none; the same for API and workers",
    )

    history_events: int | None = _setting(
        None,
        "at how many events of history a run goes on in a new one; default: when Temporal suggests it, at about 4,000",
    )
    drain_seconds: float = _setting(
        60, "how long a run that is to go on in a new history waits for calls under way, in seconds"
    )

    payload_store: str | None = _setting(
        None,
        "where values go that are too large for Temporal: file:///FOLDER or s3://BUCKET/PREFIX?endpoint=URL, the same "
        "for API and workers; default: `payloads` in the data folder for `wfe dev`, else nowhere",
    )
    payload_threshold: float = _setting(128, "from which size a value goes there, in KiB")
    payload_largest: float = _setting(
        64, "largest input, and largest result of a call, in MiB; without a store it is 1 and about 2"
    )
    payload_memory: float | None = _setting(
        None,
        "how much of large values the runs of one worker have in memory at a time, in MiB; the largest one always "
        "passes; default: a quarter of the memory that the process may use, at most 1024",
    )
    payload_keys: str | None = _setting(
        None,
        "keys that all values are encrypted with: env: for variables WFE_PAYLOAD_KEY_ID, or file:///FOLDER; default: "
        "they are not",
    )
    payload_key: str | None = _setting(None, "id of the key for what is new, where there are several")
    codec_origins: tuple[str, ...] = _setting(
        (), "origins of web pages that may have values decoded by the API; default: that of the Temporal UI"
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read every setting that *environ* has; `Rejected` names the variable that cannot be understood."""
        values: dict[str, Any] = {}
        for item in dataclasses.fields(cls):
            variable = f"WFE_{item.name.upper()}"
            text = environ.get(variable)
            if text is None or text == "":
                continue
            try:
                values[item.name] = _READERS[str(item.type)](text)
            except ValueError as error:
                raise Rejected("invalid-setting", f"{variable}={text!r}: {error}") from None
        return cls(**values).checked()

    @property
    def build(self) -> dict[str, str | None]:
        """Which build of which Worker Deployment a worker is."""
        return {"deployment": self.deployment, "id": self.build_id, "versioning": self.versioning}

    def checked(self) -> Self:
        """These settings; `Rejected` when they contradict each other."""
        if self.host not in LOOPBACK and not self.api_token:
            raise Rejected(
                "token-needed",
                f"listening on {self.host} lets others in: set WFE_API_TOKEN to a secret that callers must send",
            )
        others = self.api_token_run or self.api_token_read or self.api_issuer or self.api_tokens
        if not self.api_token and others:
            raise Rejected(
                "token-needed",
                "WFE_API_TOKEN_RUN, WFE_API_TOKEN_READ, WFE_API_TOKENS and WFE_API_ISSUER go with WFE_API_TOKEN, which "
                "workers send",
            )
        if self.api_issuer and not self.api_issuer.startswith(
            ("https://", "http://127.0.0.1", "http://localhost")
        ):
            raise Rejected("invalid-setting", f"WFE_API_ISSUER: {self.api_issuer!r} is no https URL")
        for given, without in (
            ("tls_key", "tls_cert"),
            ("client_ca", "tls_cert"),
            ("api_cert_key", "api_cert"),
        ):
            if getattr(self, given) is not None and getattr(self, without) is None:
                raise Rejected(
                    "invalid-setting",
                    f"WFE_{given.upper()} goes with WFE_{without.upper()}, which is not set",
                )
        if not _can_be_listened_on(self.host):
            raise Rejected(
                "invalid-setting",
                f"WFE_HOST: {self.host!r} is no IP address of this machine and not localhost",
            )
        if not self.secrets.startswith(("env:", "file:///")) and not _brought(self.secrets):
            raise Rejected(
                "invalid-setting", f"WFE_SECRETS: {self.secrets!r} is neither env: nor file:///FOLDER"
            )
        try:
            if self.expression_limits:
                from workflow_engine.expressions.limits import Limits

                Limits.parse(self.expression_limits)
        except ValueError as error:
            raise Rejected("invalid-setting", f"WFE_EXPRESSION_LIMITS: {error}") from None
        try:
            Told.parse(self.lifecycle_events)
        except ValueError as error:
            raise Rejected("invalid-setting", f"WFE_LIFECYCLE_EVENTS: {error}") from None
        channel = self.lifecycle_channel
        if channel in _TAKEN or not _CHANNEL.fullmatch(channel):
            raise Rejected(
                "invalid-setting",
                f"WFE_LIFECYCLE_CHANNEL: {channel!r} is not a channel for them: 1 to 200 of a-z A-Z 0-9 . _ / -, and "
                f"none of {', '.join(sorted(_TAKEN))}",
            )
        interim = (self.interim_url or "sqlite:").partition(":")[0].lower()
        if interim not in ("sqlite", "postgresql", "postgres"):
            raise Rejected(
                "invalid-setting",
                f"WFE_INTERIM_STORE: {interim!r} is the scheme of no interim store; use sqlite:///FILE, postgresql://…",
            )
        if self.traces not in ("none", "otlp"):
            raise Rejected("invalid-setting", f"WFE_TRACES: {self.traces!r} is neither none nor otlp")
        if self.traces == "otlp" and not installed():
            raise Rejected("invalid-setting", f"WFE_TRACES: otlp needs OpenTelemetry: {INSTALL}")
        if (self.deployment is None) != (self.build_id is None):
            raise Rejected(
                "invalid-setting", "WFE_DEPLOYMENT and WFE_BUILD_ID go together: set both, or none"
            )
        if self.versioning not in ("pinned", "auto-upgrade"):
            raise Rejected(
                "invalid-setting", f"WFE_VERSIONING: {self.versioning!r} is neither pinned nor auto-upgrade"
            )
        for pair in self.connect_to:
            if pair.count("=") != 1 or pair.count(":") < 2:
                raise Rejected("invalid-setting", f"WFE_CONNECT_TO: {pair!r} is not host:port=host:port")
        for pair in self.function_urls:
            if not re.fullmatch(r"[^=]+=(https?|grpc)://[^\s/]+(/\S*)?", pair):
                raise Rejected("invalid-setting", f"WFE_FUNCTION_URLS: {pair!r} is not name=URL")
        for kind in self.processes or ():
            if kind not in PROCESSES and self.processes not in (("all",), ("none",)):
                known = ", ".join(PROCESSES)
                raise Rejected(
                    "invalid-setting", f"WFE_PROCESSES: {kind!r} is none of {known}; or write all, or none"
                )
        return self

    @property
    def allowed_processes(self) -> frozenset[str]:
        """The kinds of processes that workflows may start. Where nobody has chosen: all while only this machine can
        reach the API (where we listen, and where we call it) and Temporal, whose other clients could have workers run
        what they like.
        """
        if self.processes is None:
            temporal = self.temporal_address.rpartition(":")[0].strip("[]")
            hosts = {self.host, urlsplit(self.api_url).hostname or "", temporal}
            return frozenset(PROCESSES if hosts <= LOOPBACK else ())
        return frozenset(PROCESSES if "all" in self.processes else self.processes) - {"none"}

    @property
    def own_processes(self) -> frozenset[str]:
        """The same for a document that is run without servers, by who wrote it or looked at it: all, unless chosen."""
        return frozenset(PROCESSES) if self.processes is None else self.allowed_processes

    @property
    def allowed_queues(self) -> frozenset[str] | None:
        """The task queues whose activities workflows may call, None for all. Where nobody has chosen: all while only
        this machine can reach the API.
        """
        if self.activity_queues is None:
            return None if {self.host, urlsplit(self.api_url).hostname or ""} <= LOOPBACK else frozenset()
        return None if self.activity_queues == ("all",) else frozenset(self.activity_queues) - {"none"}

    @property
    def served_files(self) -> tuple[Path | None, Path | None, Path | None]:
        """The certificate that the API shows, its key, and the authorities of its clients."""
        return self.tls_cert, self.tls_key, self.client_ca

    @property
    def shown_files(self) -> tuple[Path | None, Path | None, Path | None]:
        """The authorities by which the API is known, the certificate that it is shown, and its key."""
        return self.api_ca, self.api_cert, self.api_cert_key

    @property
    def payload_options(self) -> dict[str, Any]:
        """What `open_payloads` is to be told; sizes in bytes."""
        return {
            "store": self.payload_store,
            "keys": self.payload_keys,
            "key": self.payload_key,
            "namespace": self.temporal_namespace,
            "threshold": int(self.payload_threshold * 1024),
            "largest": int(self.payload_largest * 1024 * 1024),
            "memory": None if self.payload_memory is None else int(self.payload_memory * 1024 * 1024),
        }

    @property
    def largest_input(self) -> int:
        """How many bytes the input of a run may have."""
        return int(self.payload_largest * 1024 * 1024) if self.payload_store else 1024 * 1024

    @property
    def shown_to(self) -> tuple[str, ...]:
        """The origins of pages that may have payloads decoded: those chosen, else the Temporal UI's."""
        if self.codec_origins or not self.temporal_ui:
            return self.codec_origins
        parts = urlsplit(self.temporal_ui)
        port = "" if parts.port is None else f":{parts.port}"
        hosts = ("localhost", "127.0.0.1", "[::1]") if parts.hostname in LOOPBACK else (parts.hostname or "",)
        return tuple(f"{parts.scheme}://{host}{port}" for host in hosts)

    @property
    def events_url(self) -> str:
        """A store in NATS has its copy in the data folder, unless the URL says where."""
        chosen = self.events_store or f"sqlite:///{self.data.absolute()}/events.db"
        if chosen.startswith(("nats:", "tls:")) and "file=" not in chosen.partition("?")[2]:
            file = quote(f"{self.data.absolute()}/events-nats.db")
            return f"{chosen}{'&' if '?' in chosen else '?'}file={file}"
        return chosen

    @property
    def definitions_url(self) -> str:
        return self.definitions_store or f"sqlite:///{self.data.absolute()}/definitions.db"

    @property
    def interim_url(self) -> str | None:
        """None where results are recorded in the history alone."""
        return None if self.interim_store in (None, "none") else self.interim_store

    @property
    def catalog_url(self) -> str:
        return self.catalog_store or f"sqlite:///{self.data.absolute()}/catalog.db"


def _brought(place: str) -> bool:
    """Whether another distribution brings the scheme of *place* (`calls.secrets.ENTRY_POINTS`)."""
    return place.partition(":")[0] in {entry.name for entry in entry_points(group="workflow_engine.secrets")}


def _can_be_listened_on(host: str) -> bool:
    """Whether *host* is an address: names are not looked up, for they may stand for several."""
    if host == "localhost":
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _boolean(text: str) -> bool:
    match text.lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
        case _:
            raise ValueError("use true or false")


def _port(text: str) -> int:
    if not text.isdecimal() or int(text[:10]) > 65535:
        raise ValueError("a port is a number from 0 to 65535")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 1 <= number <= _MOST:
        raise ValueError(f"use a number from 1 to {_MOST:,}")
    return number


def _events(text: str) -> int:
    if not text.isdecimal() or not 50 <= int(text[:10]) <= 30_000:
        raise ValueError("use a whole number from 50 to 30000")
    return int(text)


def _positive_part(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0.01 <= number <= 10_000:
        raise ValueError("use a number from 0.01 to 10000")
    return number


def _list(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


_READERS: Mapping[str, Callable[[str], Any]] = {
    "Path": Path,
    "Path | None": Path,
    "str": str,
    "str | None": str,
    "int": _port,
    "int | None": _events,
    "float": _positive,
    "float | None": _positive_part,
    "bool": _boolean,
    "tuple[str, ...]": _list,
    "tuple[str, ...] | None": _list,
}
