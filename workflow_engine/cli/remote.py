"""What the commands that use a server share: the connection, and how workflows are named."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from workflow_engine.cli.options import CLIENT, add_settings, settings
from workflow_engine.errors import NotFound, Rejected

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

NAME = "NAMESPACE/NAME[/VERSION]"
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


def parts_of(name: str) -> tuple[str | None, str, str | None]:
    """Namespace, name and version in ``NAME``, ``NAMESPACE/NAME`` or ``NAMESPACE/NAME/VERSION``."""
    parts = name.split("/")
    if not all(parts) or len(parts) > 3:
        raise Rejected("workflow-name", f"{name!r} names no workflow; write {NAME}, or NAME alone")
    match parts:
        case [only]:
            return None, only, None
        case [namespace, local]:
            return namespace, local, None
        case _:
            return parts[0], parts[1], parts[2]


async def find_workflow(api: HttpApi, name: str) -> tuple[str, str, str | None]:
    """As `parts_of`, the namespace of a name alone looked up; `NotFound` when there is none or are several."""
    namespace, local, version = parts_of(name)
    if namespace is not None:
        return namespace, local, version
    known = await api.workflows()
    found = [str(item["namespace"]) for item in known if item["name"] == local]
    if len(found) == 1:
        return found[0], local, version
    if found:
        several = " or ".join(f"{each}/{local}" for each in found)
        raise NotFound("workflow", local, f"it is in several namespaces; write {several}")
    raise NotFound("workflow", local, "`wfe workflows list` shows what is deployed")
