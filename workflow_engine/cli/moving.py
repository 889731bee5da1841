"""``wfe deploy --check`` and ``wfe runs migrate``: open runs and another version of their workflow."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.options import count
from workflow_engine.cli.remote import NAME, add_connection, find_workflow, with_api
from workflow_engine.cli.terminal import FAILED, FINE, USAGE, counted, print_json, result, say
from workflow_engine.errors import Conflict, InvalidDocument
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi

_PAGE = 200


def add_map(parser: argparse.ArgumentParser) -> None:
    """Add ``--map``."""
    parser.add_argument(
        "--map",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="what a state is in the other version (/do/1/pay=/do/2/charge), where its name is another; repeatable",
    )


def check_files(arguments: argparse.Namespace) -> int:
    """Say of the open runs of other versions which could move to those in the files."""
    from workflow_engine.cli.documents import read_document
    from workflow_engine.cli.resources import LocalFiles

    async def work(api: HttpApi) -> int:
        local = await LocalFiles.open(arguments.catalog)
        code, told = FINE, []
        for file in arguments.files:
            document = read_document(file)
            resources = await local.answers(document, file)
            try:
                checked = await api.check_runs(
                    document.text,
                    name=document.name,
                    resources=resources,
                    limit=arguments.runs,
                    map=arguments.map,
                )
            except InvalidDocument as error:
                for problem in error.problems:
                    say(problem.render(error.name))
                code = FAILED
                continue
            told.append(checked)
            if not arguments.json:
                _report(checked)
        if arguments.json:
            print_json(told)
        return code

    return with_api(arguments, work)


def _report(checked: Mapping[str, Any]) -> None:
    name = f"{checked['namespace']}/{checked['name']}/{checked['version']}"
    for verdict in checked["runs"]:
        for line in lines_of(verdict):
            result(line)
    answers = [verdict["answer"] for verdict in checked["runs"]]
    counts = ", ".join(f"{answers.count(answer)} {answer}" for answer in dict.fromkeys(answers))
    more = "; there are more (--runs)" if checked["more"] else ""
    say(
        f"{name}: {counted(checked['checked'], 'open run')} of other versions{': ' if counts else ''}{counts}{more}"
    )


def lines_of(verdict: Mapping[str, Any]) -> list[str]:
    """A verdict for people: what it is, and why."""
    at = f"  at {', '.join(verdict['at'])}" if verdict["at"] else ""
    version = f"  ({verdict['version']})" if verdict["version"] else ""
    lines = [f"{verdict['run']}{version}  {verdict['answer']}{at}"]
    lines += [
        f"    {reason['state'] + ': ' if reason['state'] else ''}{reason['why']}"
        for reason in verdict["reasons"]
    ]
    lines += [f"    note: {remark}" for remark in verdict["remarks"]]
    return lines


def configure_migrate(commands: Any) -> None:
    """Add ``wfe runs migrate``."""
    parser = commands.add_parser(
        "migrate",
        help="move open runs to another version of their workflow",
        description=(
            "Move open runs to another version of their workflow, where that is safe. Each comes to rest at the next\n"
            "boundaries of its states, and goes on from there. Others are left as they are, and told with the reason."
        ),
    )
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--workflow", metavar=NAME, help="all open runs of this workflow, or of this version")
    parser.add_argument("--to", default="latest", metavar="VERSION", help="the version (default: the latest)")
    parser.add_argument("--dry-run", action="store_true", help="only say which could")
    parser.add_argument("--limit", type=count, default=1000, metavar="N", help="at most N (default: 1000)")
    add_map(parser)
    add_connection(parser)
    parser.set_defaults(work=_migrate)


def _migrate(arguments: argparse.Namespace) -> int:
    if bool(arguments.ids) == bool(arguments.workflow):
        say("wfe runs migrate: name runs, or their workflow with --workflow")
        return USAGE

    async def work(api: HttpApi) -> int:
        ids = arguments.ids or await _ids(api, arguments.workflow, arguments.to, arguments.limit)
        code = FINE
        told: list[JsonObject] = []
        for id in ids:
            try:
                verdict = await api.migrate(id, arguments.to, map=arguments.map, dry=arguments.dry_run)
            except Conflict as error:
                if arguments.workflow:
                    continue  # it has ended meanwhile
                say(str(error))
                code = FAILED
                continue
            told.append(verdict)
            if verdict["answer"] == "cannot":
                code = FAILED
            if not arguments.json:
                for line in lines_of(verdict):
                    result(line)
        if arguments.json:
            print_json(told)
        elif not ids:
            say("There are no such runs.")
        return code

    return with_api(arguments, work)


async def _ids(api: HttpApi, workflow: str, to: str, limit: int) -> Sequence[str]:
    """The open runs of a workflow that are not of the version *to* already."""
    from workflow_engine.engine.runtime import RunQuery

    namespace, name, version = await find_workflow(api, workflow)
    wanted = (await api.workflow(namespace, name, to))["version"]
    ids: list[str] = []
    cursor: Any = None
    while len(ids) < limit:
        page: dict[str, Any] = await api.runs(RunQuery(None, name, version, "running", _PAGE, cursor))
        for run in page["runs"]:
            known = run["workflow"] or {}
            if known.get("namespace") in ("", None, namespace) and known.get("version") != wanted:
                ids.append(run["id"])
        cursor = page["cursor"]
        if cursor is None:
            break
    return ids[:limit]
