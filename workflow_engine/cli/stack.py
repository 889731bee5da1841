"""Everything on one machine: the processes of ``wfe dev`` and ``wfe demo``, and the ports they take."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import sysconfig
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import workflow_engine
from workflow_engine.api.certificates import shown
from workflow_engine.api.client import HttpApi
from workflow_engine.cli.options import variable
from workflow_engine.cli.serve import url_of
from workflow_engine.cli.supervisor import Child
from workflow_engine.errors import Conflict, Rejected, Unavailable
from workflow_engine.processes.ports import free_port, port_in_use
from workflow_engine.runtimes.temporal.server import ServerOptions, command, lock_path, wait_ready
from workflow_engine.runtimes.temporal.server import environment as server_environment
from workflow_engine.settings import Settings

LOCAL = "127.0.0.1"
_TRIED = 100
_POLL_EVERY = 0.05
_PROBE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Port:
    """A port that is wanted: *explicit* when somebody asked for exactly this one; 0 is any."""

    option: str
    number: int
    explicit: bool
    host: str = LOCAL


def choose_ports(wanted: list[Port], say: Callable[[str], None]) -> list[int]:
    """A free port for each that is *wanted*: a default that is taken gives way to the next, and *say* tells so.

    Raises `Conflict`, naming who has it, when one that was asked for is taken.
    """
    chosen: list[int] = []
    for port in wanted:
        number = port.number or free_port(port.host)
        user = _user(port.host, number, chosen)
        if user and port.explicit:
            raise Conflict(
                f"port {number} is in use by {user}: stop it, or choose another with {port.option}"
            )
        if user:
            number = _next_free(port, number, chosen)
            say(f"port {port.number} is in use by {user}; {number} is taken instead ({port.option} chooses)")
        chosen.append(number)
    return chosen


def _user(host: str, number: int, chosen: list[int]) -> str | None:
    return "wfe itself" if number in chosen else port_in_use(host, number)


def _next_free(port: Port, number: int, chosen: list[int]) -> int:
    for candidate in range(number + 1, min(number + _TRIED, 65536)):
        if _user(port.host, candidate, chosen) is None:
            return candidate
    raise Conflict(f"no port from {number} to {number + _TRIED} is free: choose one with {port.option}")


@dataclass(frozen=True, slots=True)
class Stack:
    """Temporal, API and worker, with all that they keep in `settings.data`."""

    settings: Settings
    temporal: ServerOptions

    @classmethod
    def of(cls, chosen: Settings, *, temporal_port: int, ui_port: int) -> Stack:
        """The stack for settings whose *port* is chosen; addresses between the parts are made to fit."""
        if chosen.tls_cert is not None or chosen.api_cert is not None:
            raise Rejected(
                "invalid-setting", "WFE_TLS_CERT: `wfe dev` speaks plain HTTP; `wfe api` serves TLS"
            )
        temporal = ServerOptions(
            port=temporal_port,
            ui_port=ui_port,
            data_file=chosen.data.absolute() / "temporal.db",
            namespace="default",
            codec=f"{url_of(chosen)}/v1/codec",
        )
        data = chosen.data.absolute()
        fitted = replace(
            chosen,
            data=data,
            payload_store=chosen.payload_store or (data / "payloads").as_uri(),
            # As durable as the server's own file: what is lost with the power, both lose.
            interim_store=chosen.interim_store
            or f"sqlite:///{quote(f'{data}/interim.db')}?synchronous=normal",
            api_url=url_of(chosen),
            temporal_address=temporal.address,
            temporal_namespace="default",
            temporal_profile=None,
            temporal_ui=temporal.ui_url or "",
        )
        return cls(fitted, temporal)

    @property
    def urls(self) -> Mapping[str, str]:
        """What people open, by what it is."""
        return {
            "api": self.settings.api_url,
            "docs": f"{self.settings.api_url}/docs",
            "temporal_ui": self.settings.temporal_ui,
            "temporal": self.settings.temporal_address,
        }

    def children(self) -> list[Child]:
        """The programs, in the order in which they start: no worker of its own where the API works too."""
        chosen, environment = self.settings, _environment(self.settings)
        ready_file = chosen.data / "worker.ready"
        ready_file.unlink(missing_ok=True)
        programs = [
            Child(
                "temporal",
                command(self.temporal),
                env=server_environment(),
                ready=partial(
                    wait_ready,
                    self.temporal.address,
                    search_attributes=self.temporal.search_attributes,
                    data_file=self.temporal.data_file,
                ),
                url=chosen.temporal_ui,
                ports=((LOCAL, self.temporal.port), (LOCAL, self.temporal.ui_port)),
                lock=lock_path(self.temporal),
            ),
            Child(
                "api",
                program("api"),
                env=environment,
                ready=partial(_api_ready, chosen),
                after=("temporal",),
                url=chosen.api_url,
                ports=((chosen.host, chosen.port),),
                grace=chosen.grace_seconds + 5.0 if chosen.api_worker else 10.0,
            ),
            Child(
                "worker",
                program("worker", "--ready-file", str(ready_file)),
                env=environment,
                ready=appears(ready_file),
                after=("temporal", "api"),
                grace=chosen.grace_seconds + 5.0,
            ),
        ]
        return programs[:2] if chosen.api_worker else programs


def program(*arguments: str) -> list[str]:
    """Our own command; -P, for what is in the current folder must not be taken for a part of us."""
    return [sys.executable, "-P", "-m", "workflow_engine", "--debug", *arguments]


def _python_path() -> str:
    """Where a child finds this package, installed or not."""
    root = str(Path(workflow_engine.__file__).absolute().parents[1])
    before = os.environ.get("PYTHONPATH", "")
    if root in (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), before):
        return before
    return f"{root}{os.pathsep}{before}" if before else root


_FILES = ("reach", "tls_cert", "tls_key", "client_ca", "api_ca", "api_cert", "api_cert_key")
"""The settings that are files which a child reads; those of TLS are empty here."""


def _environment(chosen: Settings) -> dict[str, str]:
    """The variables that make a child have the settings *chosen*; a token must not be seen on a command line."""
    queues = chosen.allowed_queues
    values = {
        "data": str(chosen.data),
        "host": chosen.host,
        "port": str(chosen.port),
        "api_token": chosen.api_token or "",
        "api_token_run": chosen.api_token_run or "",
        "api_token_read": chosen.api_token_read or "",
        "api_issuer": chosen.api_issuer or "",
        "api_audience": chosen.api_audience,
        "api_tokens": str(chosen.api_tokens or ""),
        "api_issuer_hours": str(chosen.api_issuer_hours),
        **{name: str(getattr(chosen, name) or "") for name in _FILES},
        "api_url": chosen.api_url,
        "temporal_address": chosen.temporal_address,
        "temporal_namespace": chosen.temporal_namespace,
        "temporal_profile": "",
        "temporal_ui": chosen.temporal_ui,
        "task_queue": chosen.task_queue,
        "search_attributes": str(chosen.search_attributes),
        "secrets": chosen.secrets,
        "default_catalog": chosen.default_catalog or "",
        "events_store": chosen.events_store or "",
        "events_days": "" if chosen.events_days is None else str(chosen.events_days),
        "definitions_store": chosen.definitions_store or "",
        "catalog_store": chosen.catalog_store or "",
        "allowed_hosts": ",".join(chosen.allowed_hosts),
        "allow_link_local": str(chosen.allow_link_local),
        "allow_private": str(chosen.allow_private),
        "connect_to": ",".join(chosen.connect_to),
        "grpc_plaintext_hosts": ",".join(chosen.grpc_plaintext_hosts),
        "processes": ",".join(sorted(chosen.allowed_processes)) or "none",
        "activity_queues": "all" if queues is None else ",".join(sorted(queues)) or "none",
        "payload_store": chosen.payload_store or "",
        "interim_store": chosen.interim_store or "",
        "payload_threshold": str(chosen.payload_threshold),
        "payload_largest": str(chosen.payload_largest),
        "payload_memory": "" if chosen.payload_memory is None else str(chosen.payload_memory),
        "payload_keys": chosen.payload_keys or "",
        "payload_key": chosen.payload_key or "",
        "codec_origins": ",".join(chosen.codec_origins),
        "expression_limits": ",".join(chosen.expression_limits),
        "call_seconds": str(chosen.call_seconds),
        "express": str(chosen.express),
        "api_worker": str(chosen.api_worker),
        "express_seconds": str(chosen.express_seconds),
        "grace_seconds": str(chosen.grace_seconds),
        "process_seconds": str(chosen.process_seconds),
        "process_memory": str(chosen.process_memory),
        "process_count": str(chosen.process_count),
        "process_cpus": str(chosen.process_cpus or ""),
        "container_volumes": ",".join(chosen.container_volumes),
        "ca_file": "" if chosen.ca_file is None else str(chosen.ca_file.absolute()),
    }
    return {variable(name): value for name, value in values.items()} | {
        "PYTHONPATH": _python_path(),
        "PYTHONUNBUFFERED": "1",
    }


async def _api_ready(chosen: Settings) -> None:
    """Until every part of the API works; it wants its token for that."""
    certificates = shown(*chosen.shown_files)
    async with HttpApi(
        chosen.api_url, chosen.api_token, timeout=_PROBE_SECONDS, certificates=certificates
    ) as api:
        while True:
            with contextlib.suppress(Unavailable):
                await api.ready()
                return
            await asyncio.sleep(_POLL_EVERY)


def appears(path: Path) -> Callable[[], Awaitable[None]]:
    """Readiness of a child that writes its process id to *path*: again at each of its lives."""
    seen = ""

    async def wait() -> None:
        nonlocal seen
        while True:
            found = _content(path)
            if found and found != seen:
                seen = found
                return
            await asyncio.sleep(_POLL_EVERY)

    return wait


def _content(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
