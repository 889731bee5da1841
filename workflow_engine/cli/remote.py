"""What the commands that use a server share: the connection, and how workflows are named."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from workflow_engine.cli.options import CLIENT, add_settings, settings
from workflow_engine.engine.names import named
from workflow_engine.errors import NotFound

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

NAME = "NAMESPACE/NAME[:VERSION]"
PATIENCE = 45.0
"""Seconds for one answer: longer than the API waits for Temporal, so that it can say that it does in vain."""


def add_connection(parser: argparse.ArgumentParser, *, json: bool = True) -> None:
    """Add the options that say which server is meant, and ``--json``."""
    if json:
        parser.add_argument("--json", action="store_true", help="print JSON")
    add_settings(parser, *CLIENT)


def with_api(arguments: argparse.Namespace, work: Callable[[HttpApi], Awaitable[int]]) -> int:
    """Run *work* on the API that *arguments* name; its exit code."""
    from workflow_engine.api.certificates import shown
    from workflow_engine.api.client import HttpApi

    chosen = settings(arguments)
    certificates = shown(*chosen.shown_files)

    async def connected() -> int:
        async with HttpApi(chosen.api_url, chosen.api_token, certificates=certificates) as api:
            return await work(api)

    return asyncio.run(connected())


async def find_workflow(api: HttpApi, text: str) -> tuple[str, str, str | None]:
    """Namespace, name and version, as `named`; the namespace of a name alone is looked up: `NotFound` when there is
    none, or are several.
    """
    found = named(text)
    if found.namespace is not None:
        return found.namespace, found.name, found.version
    known = [str(item["namespace"]) for item in await api.workflows(name=found.name, limit=10)]
    if len(known) == 1:
        return known[0], found.name, found.version
    if known:
        several = " or ".join(f"{each}/{found.name}" for each in known)
        raise NotFound("workflow", found.name, f"it is in several namespaces; write {several}")
    raise NotFound("workflow", found.name, "`wfe workflows list` shows what is deployed")
