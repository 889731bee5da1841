"""``wfe migrate``: a DSL 0.8 document as one of DSL 1.0, with a report, and a check that both do the same."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_engine.cli.inputs import STDIN, read_events, read_json
from workflow_engine.cli.options import EGRESS, PROCESS, add_settings, forget_cluster, seconds, settings
from workflow_engine.cli.terminal import FAILED, FINE, printable, say
from workflow_engine.errors import Rejected
from workflow_engine.settings import Settings
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl import Document
    from workflow_engine.dsl.migration import Migrated, Report
    from workflow_engine.dsl.migration.comparison import Observed
    from workflow_engine.runtimes.recording import Watch


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe migrate`` takes."""
    parser.usage = "wfe migrate FILE [OPTIONS]"
    parser.description = (
        "Write a DSL 1.0 document from one of DSL 0.8, and a report about it on stderr: of each state, what it\n"
        "became, what means something else now, and what 1.0 cannot say. If there is such a thing nothing is written\n"
        "and the exit code is 1, but with --partial. docs/migration.md tells what becomes of what.\n\n"
        "--verify runs both documents with each input. The services are called once, by the 0.8 run: the 1.0 run is\n"
        "given their answers. A difference in output, error, calls or events is shown, and ends with exit code 1."
    )
    parser.epilog = (
        "examples:\n"
        "  wfe migrate greeting.sw.json -o greeting.yaml\n"
        '  wfe migrate greeting.sw.json --verify \'{"name": "Ann"}\' @another.json -o greeting.yaml'
    )
    parser.add_argument("file", metavar="FILE", help="YAML or JSON of DSL 0.8; - is standard input")
    parser.add_argument("-o", "--output", metavar="OUT", help="where to write the document (default: stdout)")
    parser.add_argument("--report", choices=("text", "json"), default="text", help="how to write the report")
    parser.add_argument("--report-file", metavar="FILE", help="where to write the report (default: stderr)")
    parser.add_argument("--partial", action="store_true", help="write it though something is left out")
    parser.add_argument(
        "--verify", nargs="+", metavar="INPUT", help="run both documents with each input: JSON or @FILE"
    )
    parser.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="JSON|@FILE",
        help="a CloudEvent, or a list of them, for the runs of --verify; may be repeated",
    )
    parser.add_argument(
        "--runtime",
        choices=("local", "temporal"),
        default="local",
        help="what --verify runs on; temporal: services are called twice, and only the outputs are compared",
    )
    parser.add_argument(
        "--catalog", nargs="+", action="extend", default=[], metavar="SPEC", help="AsyncAPI documents"
    )
    parser.add_argument(
        "--workflow",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="other documents, which are run as sub-workflows; the 1.0 run has them migrated too",
    )
    parser.add_argument(
        "--timeout", type=seconds, default=300.0, metavar="S", help="give a run up after so long"
    )
    add_settings(parser, *EGRESS, *PROCESS)
    parser.set_defaults(work=_migrate)


def _migrate(arguments: argparse.Namespace) -> int:
    from workflow_engine.cli.documents import dumped, read_document

    document = read_document(arguments.file)
    if document.dialect != "0.8":
        raise Rejected("not-0.8", f"{document.name} is of DSL {document.dialect}; only 0.8 is migrated")
    inputs = [read_json(text, "--verify") for text in arguments.verify or ()]
    events = [event for text in arguments.event for event in read_events(text)]
    chosen = settings(arguments)
    migrated = asyncio.run(_migrated(document, arguments.file))
    _tell(migrated.report, arguments)
    cannot = len(migrated.report.of("cannot"))
    if cannot and not arguments.partial:
        say(
            f"wfe migrate: nothing is written, for 1.0 cannot say all of it ({cannot} notes); --partial writes the rest"
        )
        return FAILED
    text = dumped(migrated.document)
    _write(text, arguments.output)
    if arguments.verify is None:
        return FINE
    others = [(file, read_document(file)) for file in arguments.workflow]
    verification = _Verification(arguments, chosen, document, text, migrated.report, others, events)
    return asyncio.run(verification.all(inputs))


async def _migrated(document: Document, file: str) -> Migrated:
    from workflow_engine.cli.resources import LocalFiles
    from workflow_engine.dsl import migration

    local = await LocalFiles.open([], neighbours=True)
    found = await local.answers(document, file, prefix="definitions:")
    return migration.migrate(document, found or None)


def _tell(report: Report, arguments: argparse.Namespace) -> None:
    if arguments.report == "json":
        text = json.dumps(report.to_json(), indent=2, ensure_ascii=False)
    else:
        text = "\n".join(report.lines())
    if arguments.report_file is None:
        say(text)
    else:
        _write(text + "\n", arguments.report_file)


def _write(text: str, file: str | None) -> None:
    if file is None or file == STDIN:
        print(printable(text, keep="\n\t"), end="")
        return
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise Rejected("unwritable", f"{file}: {error.strerror or error}") from None


@dataclass(frozen=True, slots=True)
class _Verification:
    arguments: argparse.Namespace
    settings: Settings
    document: Document
    text: str
    report: Report
    others: Sequence[tuple[str, Document]]
    events: Sequence[JsonObject]

    async def all(self, inputs: Sequence[Json]) -> int:
        """Run both with each of *inputs*; the exit code."""
        from workflow_engine import dsl
        from workflow_engine.cli.documents import dumped
        from workflow_engine.cli.resources import LocalFiles

        arguments = self.arguments
        local = await LocalFiles.open(arguments.catalog, neighbours=True)
        new = dsl.parse(self.text, name="the migrated document")
        old_others, new_others = [other.text for _, other in self.others], []
        resources = await local.answers(self.document, arguments.file)
        resources |= await local.answers(new, arguments.file)
        for file, other in self.others:
            resources |= await local.answers(other, file)
            text = other.text
            if other.dialect == "0.8":
                text = dumped((await _migrated(other, file)).document)
                resources |= await local.answers(dsl.parse(text), file)
            new_others.append(text)
        code = FINE
        for number, given in enumerate(inputs, 1):
            found = await self._differences(given, resources, old_others, new_others)
            say(f"verify {number}: " + ("the same" if not found else "DIFFERENT"))
            for line in found:
                say(f"  {line}")
            if found:
                code = FAILED
        return code

    async def _differences(
        self, given: Json, resources: dict[str, Json], old: Sequence[str], new: Sequence[str]
    ) -> list[str]:
        from workflow_engine.dsl.migration.comparison import Observed, differences
        from workflow_engine.runtimes.recording import Recording

        if self.arguments.runtime == "temporal":
            first = await self._on_temporal(self.document.text, given, resources, old)
            return differences(first, await self._on_temporal(self.text, given, resources, new), self.report)
        recording = Recording()
        seen = Observed("")
        first = await self._locally(
            self.document.text, given, resources, old, Observed("", calls=recording.calls), recording.first
        )
        second = await self._locally(self.text, given, resources, new, seen, recording.second(seen.calls))
        return differences(first, second, self.report)

    async def _locally(
        self,
        text: str,
        given: Json,
        resources: dict[str, Json],
        others: Sequence[str],
        seen: Observed,
        watch: Watch,
    ) -> Observed:
        from workflow_engine.standalone import run_local

        async with asyncio.timeout(self.arguments.timeout):
            outcome, local = await run_local(
                text,
                given,
                settings=self.settings,
                name=self.document.name,
                events=self.events,
                resources=resources,
                others=others,
                watch=watch,
            )
        seen.status, seen.output = outcome.status, outcome.output
        seen.error = None if outcome.error is None else outcome.error.to_json()
        ours = {str(event["id"]) for event in self.events}
        seen.published = [
            event for channel in local.channels.values() for event in channel if str(event["id"]) not in ours
        ]
        return seen

    async def _on_temporal(
        self, text: str, given: Json, resources: dict[str, Json], others: Sequence[str]
    ) -> Observed:
        from workflow_engine.dsl.migration.comparison import Observed
        from workflow_engine.standalone import run_embedded

        forget_cluster()
        run = await run_embedded(
            text,
            given,
            settings=self.settings,
            name=self.document.name,
            events=self.events,
            resources=resources,
            others=others,
            timeout=self.arguments.timeout,
        )
        return Observed(run.status, run.output, run.error)
