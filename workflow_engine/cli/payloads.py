"""``wfe payloads``: make keys, and delete what no run needs any longer from the store of large values."""

from __future__ import annotations

import argparse
import asyncio
import os
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from workflow_engine.cli.options import PAYLOADS, TEMPORAL, add_settings, settings
from workflow_engine.cli.terminal import FINE, print_json, result, say
from workflow_engine.errors import Conflict, Rejected, Unavailable
from workflow_engine.settings import Settings


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe payloads`` takes."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    key = commands.add_parser(
        "key",
        help="make a key",
        description="Make a key of 32 random bytes, and print it in base64, or write it into a folder.",
    )
    key.add_argument(
        "--folder", type=Path, metavar="DIR", help="write it to DIR/ID, which nobody else may read"
    )
    key.add_argument("--id", default="k1", help="what the key is called (default: %(default)s)")
    key.add_argument(
        "--current", action="store_true", help="use it for what is new from now on (DIR/current)"
    )
    key.set_defaults(work=_key)
    prune = commands.add_parser(
        "prune",
        help="delete what no run claims",
        description="Delete the objects that no history of the namespace claims any longer: those of runs that "
        "Temporal has forgotten.\nIt reads every history that is there; run it once a day, where few runs are.",
    )
    prune.add_argument(
        "--older-than",
        type=_hours,
        default=24.0,
        metavar="HOURS",
        help="leave alone what was put since, for its run may only be starting (default: 24)",
    )
    prune.add_argument("--dry-run", action="store_true", help="delete nothing, and tell how much it would be")
    prune.add_argument("--json", action="store_true", help="print JSON")
    add_settings(prune, "data", *TEMPORAL, *PAYLOADS)
    prune.set_defaults(work=_prune)


def _hours(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 1 <= value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours, 1 or more")
    return value


def _key(arguments: argparse.Namespace) -> int:
    from workflow_engine.runtimes.temporal.payloads.keys import CURRENT, checked_id, new_key

    id, folder = checked_id(arguments.id), arguments.folder
    if folder is None:
        if arguments.current:
            raise Rejected(
                "usage", "--current needs --folder; elsewhere WFE_PAYLOAD_KEY names the current key"
            )
        result(new_key())
        return FINE
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (folder / id).exists():
        raise Conflict(f"{folder / id} is there already: a key is never overwritten; choose another --id")
    others = [path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    if CURRENT not in others and len(others) == 1 and not arguments.current:
        # With two keys, it is to be said which one is used: at no moment may a process find that it is not.
        _name_current(folder / CURRENT, others[0])
    _write(folder / id, new_key())
    if arguments.current:
        _name_current(folder / CURRENT, id)
    say(f"The key {id} is in {folder}.")
    if others and not arguments.current:
        say(
            f"What is new is encrypted with it once {folder / CURRENT} names it. Copy it to every machine before."
        )
    return FINE


def _name_current(path: Path, id: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    _write(fresh, id)
    fresh.replace(path)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())


def _prune(arguments: argparse.Namespace) -> int:
    chosen = settings(arguments)
    if chosen.payload_store is None:
        folder = chosen.data.absolute() / "payloads"
        if not folder.is_dir():
            raise Rejected(
                "no-payload-store",
                f"WFE_PAYLOAD_STORE says which store is meant (or --data, where that of wfe dev is, not {folder})",
            )
        chosen = replace(chosen, payload_store=folder.as_uri())
    _must_be_there(chosen.payload_store or "")
    found = asyncio.run(_pruned(chosen, arguments.older_than, arguments.dry_run))
    if arguments.json:
        print_json(found)
        return FINE
    verb = "can be deleted" if arguments.dry_run else "deleted"
    result(
        f"{found['deleted']:,} of {found['objects']:,} objects {verb}, {found['freed']:,} of {found['size']:,} bytes; "
        f"{found['runs']:,} histories were read"
    )
    return FINE


def _must_be_there(url: str) -> None:
    """Refuse a folder that is no store: to open it would make it one, and tell whoever mistyped it that all is well."""
    from workflow_engine.runtimes.temporal.payloads.stores.file import MARK

    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path and not (Path(unquote(parts.path)) / MARK).exists():
        raise Unavailable(
            f"the payload store {url} is not there (it has no file {MARK}): is a disk not mounted?"
        )


async def _pruned(chosen: Settings, hours: float, dry: bool) -> dict[str, int]:
    from workflow_engine.runtimes.temporal.connection import connect, translated
    from workflow_engine.runtimes.temporal.payloads.opening import open_payloads
    from workflow_engine.runtimes.temporal.payloads.pruning import prune

    async with open_payloads(**chosen.payload_options | {"keys": None}) as payloads:
        client = await connect(
            chosen.temporal_address, chosen.temporal_namespace, profile=chosen.temporal_profile
        )
        assert payloads.store is not None
        with translated(address=chosen.temporal_address):
            found = await prune(client, payloads.store, older=hours * 3600, dry=dry, progress=say)
        return {
            "objects": found.objects,
            "size": found.size,
            "runs": found.runs,
            "deleted": found.deleted,
            "freed": found.freed,
        }
