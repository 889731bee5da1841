"""``wfe catalog``: the commands of the catalog, on the server that the settings name."""

from __future__ import annotations

import argparse
import os

from workflow_engine.cli.terminal import UNREACHABLE, say
from workflow_engine.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the catalog's own commands."""
    from catalog import cli

    found = Settings.from_env(os.environ)
    environ = {"WFE_CATALOG_URL": os.environ.get("WFE_CATALOG_URL") or found.api_url}
    token = os.environ.get("WFE_CATALOG_TOKEN") or found.api_token
    if token:
        environ["WFE_CATALOG_TOKEN"] = token
    parser.description = (
        "AsyncAPI documents, whose operations workflows call. The catalog of a server is at the same address as its\n"
        "API: WFE_API_URL and WFE_API_TOKEN are the defaults of --server and --token."
    )
    cli.add_commands(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"), environ)
    parser.set_defaults(work=_run)


def _run(arguments: argparse.Namespace) -> int:
    from catalog import cli

    code = cli.run(arguments)
    if code == UNREACHABLE:
        say(
            "`wfe dev` starts a server, --server or WFE_API_URL name another; /readyz of one says what does not work."
        )
    return code
