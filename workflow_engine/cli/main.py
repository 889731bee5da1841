"""`wfe`: the table of its commands, and what becomes of their errors.

A command is imported when it is asked for, so that ``wfe --help`` and ``wfe validate`` start fast. Results are
on stdout, everything else on stderr. What every exit code means is in `PAGE_END`.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from workflow_engine.cli.arguments import Parser
from workflow_engine.cli.loading import loading
from workflow_engine.cli.terminal import (
    FAILED,
    FINE,
    INTERRUPTED,
    UNREACHABLE,
    USAGE,
    open_streams,
    print_error_json,
    say,
    silence,
)

BROKEN_PIPE = 141
BUG = 70
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}
"""What writing to a file fails with that was opened before, such as the one that stdout is."""
PAGE_END = """\
`wfe COMMAND --help` tells more about one. Settings are options or variables of the environment, such as
--api-url or WFE_API_URL; an option wins.

Exit codes: 0 fine; 1 the document is invalid, the run did not complete, or what was asked for is not there;
2 wrong usage, or a file that cannot be read or written; 3 a server could not be reached; 70 a bug in wfe;
130 interrupted by Ctrl-C.
"""
LISTS = {
    "channel": "wfe channels list",
    "dead letter": "wfe dead-letters list",
    "event": "wfe events list",
    "run": "wfe runs list",
    "source": "wfe sources list",
    "subscription": "wfe subscriptions list",
    "workflow": "wfe workflows list",
}
"""Which command shows what there is of a kind."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command: *configure* is ``module:function``, which adds its arguments to a parser and sets ``work``."""

    name: str
    summary: str
    example: str
    configure: str

    def load(self) -> Callable[[argparse.ArgumentParser], None]:
        """Import what adds the arguments."""
        module, _, function = self.configure.partition(":")
        with loading():
            imported = importlib.import_module(f"workflow_engine.cli.{module}")
        loaded: Callable[[argparse.ArgumentParser], None] = getattr(imported, function)
        return loaded


GROUPS: Sequence[tuple[str, Sequence[Command]]] = (
    (
        "Begin",
        (
            Command(
                "demo", "watch an order go through the engine, in ten seconds", "wfe demo", "demo:configure"
            ),
            Command("dev", "run everything on this machine, with web UI", "wfe dev", "dev:configure"),
            Command(
                "completion",
                "let the shell complete commands and options",
                "source <(wfe completion bash)",
                "completion:configure",
            ),
        ),
    ),
    (
        "Write workflows",
        (
            Command("new", "write a small workflow to begin with", "wfe new hello.yaml", "new:configure"),
            Command(
                "validate",
                "find what is wrong with documents",
                "wfe validate order.yaml",
                "validate:configure_validate",
            ),
            Command(
                "explain",
                "what a problem code means",
                "wfe explain unknown-task",
                "validate:configure_explain",
            ),
            Command(
                "graph", "draw a workflow", "wfe graph order.yaml --format dot | dot -Tsvg", "graph:configure"
            ),
            Command(
                "run",
                "run one document and print its output",
                """wfe run order.yaml --input '{"id": 7}'""",
                "run:configure",
            ),
            Command(
                "test",
                "run scenarios of workflows, without any server",
                "wfe test order.test.yaml",
                "test:configure",
            ),
            Command("lsp", "serve an editor as one writes workflows", "wfe lsp", "lsp:configure"),
            Command(
                "schema", "the JSON Schema of workflows", "wfe schema 1.0 >workflow.json", "schema:configure"
            ),
            Command(
                "migrate",
                "write a DSL 1.0 document from one of DSL 0.8",
                "wfe migrate greeting.sw.json -o greeting.yaml",
                "migrate:configure",
            ),
        ),
    ),
    (
        "Use a server",
        (
            Command("deploy", "deploy workflows", "wfe deploy order.yaml", "deploy:configure_deploy"),
            Command(
                "workflows", "what is deployed", "wfe workflows show shop/order", "deploy:configure_workflows"
            ),
            Command(
                "start",
                "start a run of a deployed workflow",
                "wfe start shop/order --wait",
                "runs:configure_start",
            ),
            Command("runs", "follow and control runs", "wfe runs show RUN", "runs:configure_runs"),
            Command(
                "schedules",
                "see and hold what the clock starts",
                "wfe schedules show shop/clean-up",
                "schedules:configure",
            ),
            Command(
                "events",
                "publish and find events",
                "wfe events publish --type order.placed --source shop",
                "events:configure",
            ),
            Command(
                "channels", "the logs that events are in", "wfe channels show orders", "channels:configure"
            ),
            Command(
                "subscriptions",
                "who gets which events",
                "wfe subscriptions put audit audit.yaml",
                "subscriptions:configure",
            ),
            Command(
                "sources",
                "which services events come from",
                "wfe sources add orders --operation file://orders.yaml#orderPlaced",
                "sources:configure",
            ),
            Command(
                "dead-letters",
                "what could not be delivered",
                "wfe dead-letters redrive --subscription audit",
                "subscriptions:configure_dead_letters",
            ),
            Command(
                "catalog", "register AsyncAPI documents", "wfe catalog add orderapp.yaml", "catalog:configure"
            ),
            Command(
                "mcp", "let an assistant run and write workflows", "wfe mcp --read-only", "mcp:configure"
            ),
        ),
    ),
    (
        "Run a server in production",
        (
            Command(
                "api",
                "serve the API, with router and catalog",
                "wfe api --port 8080",
                "serve:configure_api",
            ),
            Command(
                "worker",
                "run workflows and make their calls",
                "wfe worker --api-url http://api:8080",
                "worker:configure_worker",
            ),
            Command(
                "payloads",
                "keys and the store of large values",
                "wfe payloads prune --dry-run",
                "payloads:configure",
            ),
        ),
    ),
)
COMMANDS = {command.name: command for _, commands in GROUPS for command in commands}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what *arguments* ask for; the exit code. Without them, those of the process, which it may end."""
    open_streams()
    try:
        code = _main(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has had enough
        silence(sys.stdout)
        code = BROKEN_PIPE
    except OSError as error:
        silence(sys.stdout)
        say(f"wfe: error: the output cannot be written: {error.strerror}")
        code = USAGE
    if arguments is None and "temporalio" in sys.modules:
        # Threads of the Temporal SDK may call into an interpreter that is being taken down, which aborts.
        sys.stderr.flush()
        os._exit(code)
    return code


def _main(given: list[str]) -> int:
    debug = False
    while given and given[0].startswith("-"):
        match option := given.pop(0):
            case "-h" | "--help":
                return _page()
            case "--version":
                return _version()
            case "--debug":
                debug = True
            case _:
                say(f"wfe: error: unknown option {option}; try wfe --help")
                return USAGE
    if not given:
        say("\n".join(_lines()))
        return USAGE
    if given[0] == "help":
        if len(given) == 1:
            return _page()
        given = [given[1], "--help"]
    command = COMMANDS.get(given[0])
    if command is None:
        close = get_close_matches(given[0], COMMANDS, n=1)
        hint = f"did you mean `wfe {close[0]}`?" if close else "try wfe --help"
        say(f"wfe: error: there is no command {given[0]!r}; {hint}")
        return USAGE
    return _guarded(command, given[1:], debug=debug)


def _guarded(command: Command, given: Sequence[str], *, debug: bool) -> int:
    """Run *command*; its errors become messages on stderr and exit codes, and never a traceback."""
    try:
        parsed = parser_of(command).parse_args(given)
        debug = debug or parsed.debug
        work: Callable[[argparse.Namespace], int] = parsed.work
        code = work(parsed)
    except KeyboardInterrupt:
        return INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError) or (error.filename is None and error.errno in UNWRITABLE):
            raise  # stdout
        return _complain(command, error, debug=debug)
    except Exception as error:  # noqa: BLE001 - the last resort of a program
        return _complain(command, error, debug=debug)
    return code


def parser_of(command: Command) -> argparse.ArgumentParser:
    """The parser of what *command* takes."""
    summary = command.summary[0].upper() + command.summary[1:] + "."
    parser = Parser(
        prog=f"wfe {command.name}",
        description=summary,
        epilog=f"example: {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an unexpected error")
    command.load()(parser)
    return parser


def _complain(command: Command, error: Exception, *, debug: bool) -> int:
    from workflow_engine.errors import Conflict, Fault, InvalidDocument, NotFound, Rejected, Unavailable

    match error:
        case InvalidDocument():
            for problem in error.problems:
                say(problem.render(error.name))
            return FAILED
        case Fault():
            print_error_json(error.error.to_json())
            return FAILED
        case NotFound(kind=kind, hint="") if kind in LISTS:
            say(f"wfe {command.name}: {error}; `{LISTS[kind]}` shows what there is")
            return FAILED
        case NotFound() | Conflict():
            say(f"wfe {command.name}: {error}")
            return FAILED
        case Rejected(status=409):
            say(f"wfe {command.name}: {error}")
            return FAILED
        case Rejected():
            say(f"wfe {command.name}: error: {error}")
            if error.status == 401:
                say("Give it with --api-token or WFE_API_TOKEN.")
            return USAGE
        case Unavailable():
            say(f"wfe {command.name}: {error}")
            if "did not answer in time" in str(error):
                say(
                    "It may wait for Temporal or for a store: its address /readyz says which part does not work."
                )
            elif "certificate is not trusted" in str(error):
                say("Name the authority that has issued it with --api-ca or WFE_API_CA.")
            elif "closed the connection without an answer" in str(error):
                say("It may want TLS (https://…), or a certificate of you: --api-cert or WFE_API_CERT.")
            elif "the API at" in str(error):
                say("Start one with `wfe dev`, or name another with --api-url or WFE_API_URL.")
            return UNREACHABLE
        case OSError(filename=str() | os.PathLike() as file):
            say(f"wfe {command.name}: error: {os.fspath(file)}: {error.strerror}")
            return USAGE
        case _:
            if debug:
                traceback.print_exception(error)
            say(f"wfe {command.name}: this is a bug in wfe: {type(error).__name__}: {error}")
            if not debug:
                say(f"`wfe --debug {command.name} …` shows where it happened; please report that.")
            return BUG


def _page() -> int:
    print("\n".join(_lines()))
    return FINE


def _lines() -> Iterator[str]:
    yield "usage: wfe COMMAND [ARGUMENTS]\n"
    yield "Runs serverless workflows, written in the Serverless Workflow DSL 1.0 or 0.8, durably on Temporal."
    width = max(map(len, COMMANDS))
    for title, commands in GROUPS:
        yield f"\n{title}:"
        for command in commands:
            yield f"  {command.name:<{width}}  {command.summary}"
            yield f"  {'':<{width}}    {command.example}"
    yield f"\n{PAGE_END}"
    yield "Options: -h, --help; --version; --debug (tracebacks of unexpected errors)"


def _version() -> int:
    from importlib.metadata import PackageNotFoundError, version

    try:
        print(f"wfe {version('serverless-workflow-engine')}")
    except PackageNotFoundError:
        print("wfe (not installed)")
    return FINE


if __name__ == "__main__":
    sys.exit(main())
