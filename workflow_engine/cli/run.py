"""``wfe run``: one document, run once, its output on stdout."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workflow_engine.cli.inputs import STDIN, read_events, read_json
from workflow_engine.cli.loading import loading
from workflow_engine.cli.options import (
    DEPLOYING,
    EGRESS,
    PROCESS,
    add_settings,
    forget_cluster,
    seconds,
    settings,
)
from workflow_engine.cli.terminal import FAILED, FINE, print_error_json, print_json, say
from workflow_engine.errors import InvalidDocument, Rejected
from workflow_engine.settings import Settings
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl import Document

DEFAULT_TIMEOUT = 300.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe run`` takes."""
    parser.usage = "wfe run FILE [OPTIONS]"
    parser.description = (
        "Run one document and print its output as JSON.\n\n"
        "It runs on a Temporal server of its own, which ends with the run; with --runtime local in this process,\n"
        "where waiting takes no time. A run that faults ends with exit code 1 and its error on stderr."
    )
    parser.epilog = (
        "examples:\n"
        "  wfe run order.yaml --input '{\"id\": 7}'\n"
        "  wfe run order.yaml --event @order-placed.json --catalog orderapp.yaml --runtime local"
    )
    parser.add_argument("file", metavar="FILE", help="YAML or JSON, DSL 1.0 or 0.8; - is standard input")
    parser.add_argument("--input", metavar="JSON|@FILE|-", help="its input (default: {})")
    parser.add_argument(
        "--event",
        action="append",
        default=[],
        metavar="JSON|@FILE",
        help="a CloudEvent, or a list of them, that start the run or that it waits for; may be repeated",
    )
    parser.add_argument(
        "--runtime",
        choices=("temporal", "local"),
        default="temporal",
        help="temporal: as in production; local: in this process, on a virtual clock (default: %(default)s)",
    )
    parser.add_argument(
        "--catalog",
        nargs="+",
        action="extend",
        default=[],
        metavar="SPEC",
        help="AsyncAPI documents whose operations it calls",
    )
    parser.add_argument(
        "--workflow",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="other documents that it may run as sub-workflows",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=DEFAULT_TIMEOUT,
        metavar="S",
        help="give up after so many seconds (default: %(default)g)",
    )
    parser.add_argument("--verbose", action="store_true", help="show progress though stderr is no terminal")
    add_settings(parser, *EGRESS, *DEPLOYING, *PROCESS)
    parser.set_defaults(work=_run)


@dataclass(frozen=True, slots=True)
class _Job:
    """All that a run takes."""

    document: Document
    input: Json
    events: Sequence[JsonObject]
    resources: dict[str, Json]
    others: Sequence[str]
    timeout: float
    settings: Settings
    progress: Callable[[str], None]


def _run(arguments: argparse.Namespace) -> int:
    sources = [arguments.file, arguments.input, *arguments.event, *arguments.catalog, *arguments.workflow]
    if sources.count(STDIN) > 1:
        raise Rejected("stdin-twice", "only one thing can be read from standard input (-)")
    chosen = settings(arguments)
    given = {} if arguments.input is None else read_json(arguments.input, "--input")
    events = [event for text in arguments.event for event in read_events(text)]
    return asyncio.run(_execute(arguments, chosen, given, events))


async def _execute(
    arguments: argparse.Namespace, chosen: Settings, given: Json, events: Sequence[JsonObject]
) -> int:
    from workflow_engine.cli.documents import read_valid_document
    from workflow_engine.cli.resources import LocalFiles

    shows = arguments.verbose or sys.stderr.isatty()
    if shows:
        _show_messages()
    documents = [
        (file, read_valid_document(file, warn=shows)) for file in (arguments.file, *arguments.workflow)
    ]
    local = await LocalFiles.open(arguments.catalog, neighbours=True)
    resources: dict[str, Json] = {}
    for file, document in documents:
        resources |= await local.answers(document, file)
    (_, document), *others = documents
    job = _Job(
        document=document,
        input=given,
        events=events,
        resources=resources,
        others=[other.text for _, other in others],
        timeout=arguments.timeout,
        settings=chosen,
        progress=say if shows else lambda _: None,
    )
    try:
        return await (_locally(job) if arguments.runtime == "local" else _on_temporal(job))
    except InvalidDocument as error:
        if any(problem.message.startswith("no AsyncAPI operation") for problem in error.problems):
            say("Give the AsyncAPI documents that it uses with --catalog SPEC.")
        raise


def _show_messages() -> None:
    """Show what `sysout` functions of DSL 0.8 say, as the progress is shown."""
    messages = logging.getLogger("workflow_engine.sysout")
    messages.setLevel(logging.INFO)
    messages.handlers = [logging.StreamHandler(sys.stderr)]


async def _on_temporal(job: _Job) -> int:
    with loading():
        from workflow_engine.standalone import run_embedded

    # What the run says of itself comes out of it anyway; stderr is for its error.
    logging.getLogger("temporalio.workflow").addHandler(logging.NullHandler())

    forget_cluster()
    run = await run_embedded(
        job.document.text,
        job.input,
        settings=job.settings,
        name=job.document.name,
        events=job.events,
        resources=job.resources,
        others=job.others,
        timeout=job.timeout,
        progress=job.progress,
    )
    match run.status:
        case "completed":
            print_json(run.output)
            return FINE
        case "faulted":
            print_error_json(run.error)
        case "cancelled":
            say("wfe run: the run was cancelled")
        case _:
            say(f"wfe run: the run has not ended within {job.timeout:g} s; it is {run.status}")
            for state in run.states:
                say(f"  {state.name} ({state.id}): {state.doing or 'running'}")
            if run.status == "waiting":
                _suggest_event()
    return FAILED


async def _locally(job: _Job) -> int:
    with loading():
        from workflow_engine.standalone import run_local

    try:
        async with asyncio.timeout(job.timeout):
            outcome, local = await run_local(
                job.document.text,
                job.input,
                settings=job.settings,
                name=job.document.name,
                events=job.events,
                resources=job.resources,
                others=job.others,
            )
    except TimeoutError:
        say(f"wfe run: the run has not ended within {job.timeout:g} s")
        return FAILED
    for step in local.progress:
        job.progress(f"{step.phase:<9}  {step.name}  ({step.state})")
    match outcome.status:
        case "completed":
            print_json(outcome.output)
            return FINE
        case "faulted":
            print_error_json(None if outcome.error is None else outcome.error.to_json())
        case _:
            say("wfe run: the run waits for events that nobody will send:")
            for waiting in outcome.waiting_for:
                say(f"  {waiting}")
            _suggest_event()
    return FAILED


def _suggest_event() -> None:
    say("""Give it one with --event '{"type": "…", "source": "…", "data": …}', or --event @FILE.""")
