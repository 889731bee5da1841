"""Options that several commands have: settings, and where input comes from."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Mapping
from difflib import get_close_matches

from workflow_engine.cli.terminal import say
from workflow_engine.settings import Settings

CLIENT = ("api_url", "api_token", "api_ca", "api_cert", "api_cert_key")
SERVER = (
    "data",
    "host",
    "port",
    "api_token",
    "api_issuer",
    "api_audience",
    "api_tokens",
    "api_issuer_hours",
    "tls_cert",
    "tls_key",
    "client_ca",
    "events_store",
    "events_days",
    "definitions_store",
    "catalog_store",
)
TEMPORAL = (
    "temporal_address",
    "temporal_namespace",
    "temporal_profile",
    "task_queue",
)
STARTING = ("temporal_ui", "search_attributes", "api_worker")
"""What only the API uses, which starts runs and links to them."""
DEPLOYING = ("default_catalog", "activity_queues", "express")
"""What counts when a workflow is deployed."""
BUILD = ("deployment", "build_id", "versioning")
EGRESS = (
    "allowed_hosts",
    "allow_link_local",
    "allow_private",
    "connect_to",
    "grpc_plaintext_hosts",
    "ca_file",
    "processes",
    "reach",
)
"""What workflows may reach and start."""
PROCESS = (
    "call_seconds",
    "express_seconds",
    "interim_store",
    "grace_seconds",
    "expression_limits",
    "process_seconds",
    "process_memory",
    "process_count",
    "process_cpus",
    "container_volumes",
)
"""How long their calls may take, and what the processes that they start may use."""

PAYLOADS = (
    "payload_store",
    "payload_threshold",
    "payload_largest",
    "payload_memory",
    "payload_keys",
    "payload_key",
)
"""Where large values go, and what encrypts all of them."""

_FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
_PREFIX = "setting_"
_OTHERS = ("WFE_SECRET_", "WFE_PAYLOAD_KEY_", "WFE_CATALOG_")
"""How variables begin that are no settings: secrets, keys, and where the commands of the catalog find it."""
_METAVAR = {
    "data": "DIR",
    "api_url": "URL",
    "api_token": "TOKEN",
    "api_issuer": "URL",
    "api_audience": "NAME",
    "api_tokens": "FILE",
    "api_issuer_hours": "HOURS",
    "temporal_address": "HOST:PORT",
    "temporal_ui": "URL",
    "events_store": "URL",
    "events_days": "DAYS",
    "definitions_store": "URL",
    "catalog_store": "URL",
    "allowed_hosts": "HOST,…",
    "connect_to": "FROM=TO,…",
    "payload_store": "URL",
    "interim_store": "URL",
    "payload_keys": "PLACE",
    "payload_key": "ID",
    "payload_threshold": "KIB",
    "payload_largest": "MIB",
    "payload_memory": "MIB",
    "codec_origins": "ORIGIN,…",
    "grpc_plaintext_hosts": "HOST,…",
    "ca_file": "FILE",
    "reach": "FILE",
    "tls_cert": "FILE",
    "tls_key": "FILE",
    "client_ca": "FILE",
    "api_ca": "FILE",
    "api_cert": "FILE",
    "api_cert_key": "FILE",
    "processes": "KIND,…",
    "expression_limits": "NAME=NUMBER,…",
    "default_catalog": "URL",
    "activity_queues": "QUEUE,…",
}


def add_settings(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add an option for each of the settings *names*; read them with `settings`."""
    group = parser.add_argument_group(
        "settings", "Each is a variable of the environment too; an option wins."
    )
    for name in names:
        field = _FIELDS[name]
        option = "--" + name.replace("_", "-")
        default = field.default
        shown = "" if default in (None, ()) else f"; default {_shown(default)}"
        text = f"{field.metadata['description']} (WFE_{name.upper()}{shown})".replace("%", "%%")
        if field.type == "bool":
            group.add_argument(option, dest=_PREFIX + name, action=argparse.BooleanOptionalAction, help=text)
        else:
            reader = port if name == "port" else str
            metavar = _METAVAR.get(name, name.rpartition("_")[2].upper())
            group.add_argument(option, dest=_PREFIX + name, type=reader, metavar=metavar, help=text)


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Add ``--limit`` of a list, which is shown whole without."""
    parser.add_argument("--limit", type=count, metavar="N", help="at most N (default: all)")


def add_express(parser: argparse.ArgumentParser) -> None:
    """Add the choice of express runs; None where nothing is chosen."""
    parser.add_argument(
        "--express",
        action=argparse.BooleanOptionalAction,
        help="make all short calls within the workflow task, more than once if a worker is lost; or each call as an "
        "activity; default: as the workflow says, else as many as lose nothing by it",
    )


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else str(default)


def settings(arguments: argparse.Namespace, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of *environ* (default: the process's), with those of the options over them.

    Expressions of this process may do from now on what they say.
    """
    environment = dict(os.environ if environ is None else environ)
    for doubt in misspelt(environment):
        say(f"warning: {doubt}")
    for name in _FIELDS:
        value = getattr(arguments, _PREFIX + name, None)
        if value is not None:
            environment[variable(name)] = str(value)
    chosen = Settings.from_env(environment)
    if chosen.expression_limits:
        from workflow_engine.expressions.limits import allow

        allow(chosen.expression_limits)
    return chosen


def misspelt(environ: Mapping[str, str]) -> list[str]:
    """What to say of variables that no part reads, and that are nearly the name of a setting."""
    known = [variable(name) for name in _FIELDS]
    said = []
    for name in environ:
        if name.startswith("WFE_") and name not in known and not name.startswith(_OTHERS):
            close = get_close_matches(name, known, n=1, cutoff=0.85)
            said += [f"there is no setting {name}; did you mean {close[0]}?"] if close else []
    return said


def given(arguments: argparse.Namespace, name: str) -> bool:
    """Whether somebody chose the setting *name*, by option or environment."""
    return getattr(arguments, _PREFIX + name, None) is not None or bool(os.environ.get(variable(name)))


def variable(name: str) -> str:
    """The variable of the environment for the setting *name*."""
    return f"WFE_{name.upper()}"


def forget_cluster() -> None:
    """Drop the variables by which Temporal's clients find a cluster (``TEMPORAL_API_KEY``…), from this process and
    those that it starts: the server that is embedded is not that cluster.
    """
    for name in [name for name in os.environ if name.startswith("TEMPORAL_")]:
        del os.environ[name]


def port(text: str) -> int:
    """A port for argparse; 0 is a free one."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def seconds(text: str) -> float:
    """A length of time for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def count(text: str) -> int:
    """A positive number for argparse."""
    if not text.isdecimal() or not 0 < int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 100000")
    return int(text)
