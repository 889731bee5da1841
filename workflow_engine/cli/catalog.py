"""``wfe catalog``: the commands of the catalog, on the server that the settings name."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping

from workflow_engine.cli.terminal import UNREACHABLE, say
from workflow_engine.settings import Settings

OPTIONS = {
    "--server": "--api-url",
    "--token": "--api-token",
    "--ca": "--api-ca",
    "--cert": "--api-cert",
    "--cert-key": "--api-cert-key",
}
"""How the options of the catalog alone are called in every command."""


def _defaults(found: Settings) -> Mapping[str, object]:
    return {
        "WFE_CATALOG_URL": found.api_url,
        "WFE_CATALOG_TOKEN": found.api_token,
        "WFE_CATALOG_CA": found.api_ca,
        "WFE_CATALOG_CERT": found.api_cert,
        "WFE_CATALOG_CERT_KEY": found.api_cert_key,
    }


def _text(value: object) -> str:
    return "" if value is None else str(value)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the catalog's own commands."""
    from catalog import cli

    found = Settings.from_env(os.environ)
    environ = {name: os.environ.get(name) or _text(default) for name, default in _defaults(found).items()}
    parser.description = (
        "AsyncAPI documents, whose operations workflows call. The catalog of a server is at the same address as its\n"
        "API, so options and variables are those of every command: --api-url and WFE_API_URL, and so on."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    cli.add_commands(commands, {name: value for name, value in environ.items() if value}, OPTIONS)
    parser.set_defaults(work=_run)


def _run(arguments: argparse.Namespace) -> int:
    from catalog import cli

    code = cli.run(arguments)
    if code == UNREACHABLE:
        say(
            "`wfe dev` starts a server, --api-url or WFE_API_URL name another; /readyz of one says what does not work."
        )
    return code
