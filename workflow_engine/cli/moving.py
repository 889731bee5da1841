"""``wfe deploy --check`` and ``wfe runs migrate``: open runs and another version of their workflow."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from workflow_engine.cli.control import QUERY, parse_query
from workflow_engine.cli.options import count
from workflow_engine.cli.remote import NAME, add_connection, find_workflow, with_api
from workflow_engine.cli.terminal import FAILED, FINE, USAGE, counted, print_json, result, say
from workflow_engine.errors import Conflict, InvalidDocument, NotFound, Rejected, Unavailable
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.api.client import HttpApi
    from workflow_engine.engine.runtime import RunQuery

_PAGE = 200
_NEWS = 5.0
"""After how many seconds it is told how far it is."""


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
    parser.add_argument(
        "--query", metavar=QUERY, help="all open runs of which this holds, as for `wfe runs cancel`"
    )
    parser.add_argument("--to", default="latest", metavar="VERSION", help="the version (default: the latest)")
    parser.add_argument("--dry-run", action="store_true", help="only say which could")
    parser.add_argument("--limit", type=count, default=1000, metavar="N", help="at most N (default: 1000)")
    parser.add_argument(
        "--parallel", type=count, default=8, metavar="N", help="so many at once (default: %(default)s)"
    )
    add_map(parser)
    add_connection(parser)
    parser.set_defaults(work=_migrate)


def _migrate(arguments: argparse.Namespace) -> int:
    if [bool(arguments.ids), bool(arguments.workflow), arguments.query is not None].count(True) != 1:
        say("wfe runs migrate: name runs, or their workflow with --workflow, or give --query")
        return USAGE

    async def work(api: HttpApi) -> int:
        ids = arguments.ids or await _found(api, arguments)
        many = _Many(api, arguments, list(dict.fromkeys(ids)))
        if not ids:
            say("There are no such runs.")
        try:
            await many.do()
        finally:
            many.tell()
        return FAILED if many.failed else FINE

    return with_api(arguments, work)


class _Many:
    """The runs that are moved, several side by side; what becomes of each is told at once."""

    def __init__(self, api: HttpApi, arguments: argparse.Namespace, ids: Sequence[str]) -> None:
        self._api, self._arguments, self._ids = api, arguments, ids
        self._left = iter(ids)
        self._told: list[JsonObject] = []
        self._counts: Counter[str] = Counter()
        self._lost = 0
        self._since = time.monotonic()

    @property
    def failed(self) -> bool:
        return self._counts["cannot"] + self._counts["failed"] > 0

    async def do(self) -> None:
        lanes = min(self._arguments.parallel, len(self._ids))
        tasks = [asyncio.create_task(self._lane()) for _ in range(lanes)]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _lane(self) -> None:
        for id in self._left:
            verdict = await self._one(id)
            self._counts[str(verdict["answer"])] += 1
            self._told.append(verdict)
            if not self._arguments.json:
                for line in lines_of(verdict):
                    result(line)
            if time.monotonic() - self._since > _NEWS:
                self._since = time.monotonic()
                say(f"{len(self._told)} of {counted(len(self._ids), 'run')}: {self._summary()}")

    async def _one(self, id: str) -> JsonObject:
        given = self._arguments
        try:
            verdict = await self._api.migrate(id, given.to, map=given.map, dry=given.dry_run)
        except (Conflict, NotFound, Rejected) as error:
            ended = isinstance(error, Conflict) and not given.ids
            verdict = _verdict(id, "ended" if ended else "failed", str(error))
        except Unavailable as error:
            self._lost += 1
            if self._lost > given.parallel or len(self._ids) == 1:
                raise
            return _verdict(id, "failed", str(error))
        self._lost = 0
        return verdict

    def _summary(self) -> str:
        return ", ".join(f"{number} {answer}" for answer, number in self._counts.items())

    def tell(self) -> None:
        """What has come of all of them, also where it was stopped."""
        if self._arguments.json:
            print_json(self._told)
        left = len(self._ids) - len(self._told)
        if left:
            say(f"Stopped: {counted(left, 'run')} of {len(self._ids)} not dealt with. Do it again for those.")
        if len(self._ids) > 1 and self._told:
            say(f"{counted(len(self._told), 'run')}: {self._summary()}")


def _verdict(id: str, answer: str, why: str) -> JsonObject:
    reasons: list[Json] = [{"state": "", "why": why}]
    return {"run": id, "version": None, "answer": answer, "at": [], "reasons": reasons, "remarks": []}


async def _found(api: HttpApi, arguments: argparse.Namespace) -> Sequence[str]:
    """The open runs of a workflow or a query that are not of the wanted version already."""
    from workflow_engine.engine.runtime import RunQuery

    query, wanted = RunQuery(status="running", limit=_PAGE), None
    if arguments.workflow:
        namespace, name, version = await find_workflow(api, arguments.workflow)
        wanted = (await api.workflow(namespace, name, arguments.to))["version"]
        query = replace(query, namespace=namespace, name=name, version=version)
    else:
        query = _queried(arguments.query, query)
    # Asked for without it: a server without search attributes does not know the namespace, nor the version.
    ids: list[str] = []
    cursor: Any = None
    while len(ids) < arguments.limit:
        page: dict[str, Any] = await api.runs(replace(query, namespace=None, cursor=cursor))
        for run in page["runs"]:
            known = run["workflow"] or {}
            if query.namespace in ("", None, known.get("namespace") or query.namespace) and (
                wanted is None or known.get("version") != wanted
            ):
                ids.append(run["id"])
        cursor = page["cursor"]
        if cursor is None:
            break
    return ids[: arguments.limit]


def _queried(text: str, query: RunQuery) -> RunQuery:
    given: dict[str, Any] = parse_query(text, datetime.now(UTC))
    if "error" in given:
        raise Rejected("usage", "--query: a run that goes on has no error yet")

    def moment(name: str) -> datetime | None:
        return datetime.fromisoformat(given[name]) if name in given else None

    return replace(
        query,
        namespace=given.get("namespace"),
        name=given.get("workflow"),
        version=given.get("version"),
        status=given.get("status", query.status),
        attributes=given.get("attributes", {}),
        after=moment("started_after"),
        before=moment("started_before"),
    )
