"""``wfe deploy`` and ``wfe workflows``: put workflows on a server, and see what is there."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from workflow_engine.cli.deleting import configure_delete
from workflow_engine.cli.moving import add_map, check_files
from workflow_engine.cli.options import add_express, add_limit, count
from workflow_engine.cli.remote import NAME, add_connection, find_workflow, with_api
from workflow_engine.cli.terminal import FAILED, FINE, USAGE, print_json, print_table, result, say
from workflow_engine.errors import Conflict, InvalidDocument, Rejected
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi
    from workflow_engine.cli.resources import LocalFiles

_UNREADABLE = ("unreadable", "not-a-file")


def configure_deploy(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe deploy`` takes."""
    parser.usage = "wfe deploy FILE… [OPTIONS]"
    parser.description = (
        "Deploy workflows, with the local files that they name. A version never changes: the same text again\n"
        "is `unchanged`, another text needs another version. Prints `namespace/name/version digest outcome`."
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="YAML or JSON, DSL 1.0 or 0.8; - is standard input"
    )
    parser.add_argument(
        "--catalog",
        nargs="+",
        action="extend",
        default=[],
        metavar="SPEC",
        help="AsyncAPI documents to use instead of those in the server's catalog",
    )
    add_express(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="deploy nothing: replay open runs of other versions on this one, and say which could move to it",
    )
    parser.add_argument(
        "--runs", type=count, default=100, metavar="N", help="with --check, at most N runs (default: 100)"
    )
    add_map(parser)
    add_connection(parser)
    parser.set_defaults(work=_deploy)


def _deploy(arguments: argparse.Namespace) -> int:
    if arguments.check:
        return check_files(arguments)
    from workflow_engine.cli.resources import LocalFiles

    async def work(api: HttpApi) -> int:
        local = await LocalFiles.open(arguments.catalog)
        code = FINE
        deployed: list[Json] = []
        for file in arguments.files:
            try:
                answer = await _deploy_file(api, local, file, arguments.express)
            except InvalidDocument as error:
                code = max(code, FAILED)
                deployed.append({"file": file, "problems": [problem.to_json() for problem in error.problems]})
                for problem in error.problems:
                    say(problem.render(error.name))
            except (Conflict, Rejected) as error:
                if isinstance(error, Rejected) and error.status in (401, 403):
                    raise
                unreadable = isinstance(error, Rejected) and error.code in _UNREADABLE
                code = max(code, USAGE if unreadable else FAILED)
                deployed.append({"file": file, "error": str(error)})
                say(str(error) if unreadable else f"{file}: {error}")
            else:
                deployed.append({"file": file, **answer})
                _report(file, answer, as_json=arguments.json)
        if arguments.json:
            print_json(deployed)
        return code

    return with_api(arguments, work)


async def _deploy_file(api: HttpApi, local: LocalFiles, file: str, express: bool | None) -> JsonObject:
    from workflow_engine.cli.documents import read_document

    document = read_document(file)
    resources = await local.answers(document, file)
    return await api.deploy(document.text, name=document.name, resources=resources, express=express)


def _report(file: str, answer: JsonObject, *, as_json: bool) -> None:
    from workflow_engine.errors import Problem

    warnings = answer.get("warnings")
    for warning in warnings if isinstance(warnings, list) else []:
        if isinstance(warning, dict):
            say(Problem(**warning).render(file))  # type: ignore[arg-type]
    if not as_json:
        outcome = "created" if answer.get("created") else "unchanged"
        result(f"{full_name(answer)} {answer['digest']} {outcome}")
    schedule = answer.get("schedule")
    if isinstance(schedule, dict):
        say(f"{file}: {first_run(schedule)}")


def first_run(schedule: JsonObject) -> str:
    """When the clock starts the first run of a workflow that has just been deployed."""
    from workflow_engine.cli.schedules import rule

    when = f"runs {rule(schedule)}"
    coming = schedule["next"]
    if schedule["paused"]:
        return f"{when}, but is paused ({schedule['note']})"
    if isinstance(coming, list) and coming:
        return f"{when}, next at {coming[0]}"
    if schedule["remark"]:
        return f"{when}; {schedule['remark']}"
    return f"{when}, beginning now" if schedule["after"] else f"{when}; no such moment is to come"


def full_name(members: JsonObject) -> str:
    """``namespace/name/version`` of an answer that has these members."""
    return f"{members['namespace']}/{members['name']}/{members['version']}"


def configure_workflows(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe workflows`` takes."""
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    listing = commands.add_parser(
        "list", help="every workflow", description="List the latest version of every workflow."
    )
    listing.add_argument("--namespace", metavar="NAME", help="in this namespace")
    add_limit(listing)
    add_connection(listing)
    listing.set_defaults(work=_list)
    show = commands.add_parser(
        "show", help="one workflow", description="Show the text of a deployed workflow."
    )
    show.add_argument("workflow", metavar=NAME, help="NAME alone is enough where it is the only one")
    show.add_argument("--versions", action="store_true", help="list its versions instead")
    show.add_argument("--graph", choices=("mermaid", "dot", "json"), help="draw it instead")
    show.add_argument(
        "--contract",
        choices=("openapi", "asyncapi"),
        help="how it is run, as an OpenAPI document, or the events that it sends and takes, as an AsyncAPI one",
    )
    add_connection(show)
    show.set_defaults(work=_show)
    configure_delete(commands)


def _list(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        _print_workflows(
            await api.workflows(namespace=arguments.namespace, limit=arguments.limit), as_json=arguments.json
        )
        return FINE

    return with_api(arguments, work)


def _print_workflows(workflows: list[JsonObject], *, as_json: bool) -> None:
    if as_json:
        print_json(workflows)
        return
    rows = [
        (
            full_name(item),
            str(item["dsl"]),
            str(item["digest"])[:12],
            str(item["deployed_at"]),
            str(item["title"]),
        )
        for item in workflows
    ]
    print_table(("WORKFLOW", "DSL", "DIGEST", "DEPLOYED", "TITLE"), rows)
    if not rows:
        say("Nothing is deployed yet.")


def _show(arguments: argparse.Namespace) -> int:
    async def work(api: HttpApi) -> int:
        namespace, name, version = await find_workflow(api, arguments.workflow)
        if arguments.versions:
            _print_workflows(await api.versions(namespace, name), as_json=arguments.json)
        elif form := arguments.contract or arguments.graph:
            drawn = await api.graph(namespace, name, version or "latest", format=form)
            if form in ("mermaid", "dot"):
                sys.stdout.write(drawn)
            else:
                print_json(json.loads(drawn))
        else:
            found = await api.workflow(namespace, name, version or "latest")
            if arguments.json:
                print_json(found)
            else:
                sys.stdout.write(str(found["text"]))
        return FINE

    return with_api(arguments, work)
