"""``wfe workflows delete``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.remote import NAME, add_connection, find_workflow, with_api
from workflow_engine.cli.terminal import FAILED, FINE, counted, print_json, result, say
from workflow_engine.errors import Rejected

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

DESPITE = ("runs", "schedule", "triggers", "callers")


def configure_delete(commands: Any) -> None:
    """Add ``wfe workflows delete``."""
    parser = commands.add_parser(
        "delete",
        help="delete a version of a workflow, or all of it",
        description=(
            "Delete a version of a workflow, or all versions where none is named. It is refused while runs of it\n"
            "are in flight, while its schedule or events start it, and while other workflows call it, unless\n"
            "--despite says so. Runs in flight go on to their ends. A version that is deployed again must be what\n"
            "it was."
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workflow", metavar=NAME, help="NAME alone is enough where it is the only one")
    parser.add_argument(
        "--despite",
        type=_despite,
        default=(),
        metavar="WHAT,…",
        help=f"what shall not keep it from being deleted: {', '.join(DESPITE)}",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    add_connection(parser)
    parser.set_defaults(work=_delete)


def _despite(text: str) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in text.split(","))
    if unknown := next((part for part in chosen if part not in DESPITE), None):
        raise argparse.ArgumentTypeError(f"{unknown!r} is none of {', '.join(DESPITE)}")
    return chosen


def _delete(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        namespace, name, version = await find_workflow(api, arguments.workflow)
        if version == "latest":
            raise Rejected("version-missing", "say which version is to be deleted, by its number")
        if not arguments.yes:
            there = [each["version"] for each in await api.versions(namespace, name)]
            what = f"version {version}" if version else counted(len(there), "version")
            if not _agreed(f"Delete {what} of {namespace}/{name}?"):
                return FAILED
        deleted: Any = await api.delete_workflow(namespace, name, version, despite=arguments.despite)
        if arguments.json:
            print_json(deleted)
            return FINE
        for each in deleted["versions"]:
            result(f"{namespace}/{name}/{each['version']} {each['digest']} deleted")
        if deleted["latest"]:
            say(f"The latest version of {namespace}/{name} is {deleted['latest']}.")
        if deleted["runs"]:
            say(f"{counted(deleted['runs'], 'run')} in flight: each goes on to its end.")
        return FINE

    return with_api(arguments, work)


def _agreed(question: str) -> bool:
    if not sys.stdin.isatty():
        raise Rejected("usage", f"{question} Say --yes")
    say(f"{question} [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
