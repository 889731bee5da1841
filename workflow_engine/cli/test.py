"""``wfe test``: scenarios of workflows, on a virtual clock and with answers in the place of the world."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from workflow_engine.cli.options import DEPLOYING, EGRESS, add_settings, seconds, settings
from workflow_engine.cli.terminal import FAILED, FINE, counted, print_json, result, say
from workflow_engine.errors import InvalidDocument, Rejected
from workflow_engine.settings import Settings
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.cli.scenarios import Scenario, Scenarios
    from workflow_engine.graph.model import StateGraph

ENDINGS = (".test.yaml", ".test.yml", ".test.json")
_APART = {"node_modules", "__pycache__"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe test`` takes."""
    parser.usage = "wfe test [FILE | FOLDER]… [OPTIONS]"
    parser.description = (
        "Run scenarios of workflows, in this process: waiting takes no time, and nothing outside is called.\n\n"
        "A file of scenarios ends in .test.yaml (or .yml, .json); folders are searched for them. Calls get the\n"
        "answers that the file has for them, and one without an answer fails the scenario. docs/testing.md says\n"
        "what a file may have. Exit code 1 if a scenario failed."
    )
    parser.epilog = "examples:\n  wfe test\n  wfe test order.test.yaml --only refund --junit report.xml"
    parser.add_argument("paths", nargs="*", default=["."], metavar="FILE|FOLDER", help="(default: here)")
    parser.add_argument("--only", metavar="TEXT", help="scenarios with TEXT in their names")
    parser.add_argument("--junit", metavar="FILE", help="write a report in JUnit's XML there")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--coverage",
        type=_percent,
        metavar="PERCENT",
        help="fail where less of the states of all workflows was visited",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=30.0,
        metavar="S",
        help="fail a scenario that computes for longer, in seconds (default: %(default)g)",
    )
    add_settings(parser, *EGRESS, *DEPLOYING, "expression_limits")
    parser.set_defaults(work=_test)


@dataclass(slots=True)
class Tried:
    """One scenario that was tried: *failures* are the reasons why it is not as it should be."""

    file: str
    name: str
    line: int
    failures: list[str]
    seconds: float
    calls: int = 0

    def to_json(self) -> JsonObject:
        return {
            "file": self.file,
            "line": self.line,
            "scenario": self.name,
            "passed": not self.failures,
            "failures": [*self.failures],
            "seconds": self.seconds,
            "calls": self.calls,
        }


@dataclass(slots=True)
class Coverage:
    """Which states of a workflow were visited: names by pointers, of all and of those that were not."""

    workflow: str
    states: dict[str, str]
    missed: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        return {
            "workflow": self.workflow,
            "states": len(self.states),
            "visited": len(self.states) - len(self.missed),
            "missed": {**self.missed},
        }


def _percent(text: str) -> float:
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage")
    return value


def _files(paths: Sequence[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        if not Path(path).is_dir():
            found.append(path)
            continue
        inside = sorted(
            str(file)
            for ending in ENDINGS
            for file in Path(path).rglob(f"*{ending}")
            if not any(part.startswith(".") or part in _APART for part in file.relative_to(path).parts)
        )
        found += inside
    if not found:
        raise Rejected("no-tests", f"there is no file *{ENDINGS[0]} in {', '.join(paths)}")
    return list(dict.fromkeys(found))


def _test(arguments: argparse.Namespace) -> int:
    from workflow_engine.cli.junit import write_junit
    from workflow_engine.cli.scenarios import read_scenarios

    chosen = settings(arguments)
    tried: list[Tried] = []
    coverages: dict[str, Coverage] = {}
    invalid = False
    for file in _files(arguments.paths):
        scenarios = None
        try:
            scenarios = read_scenarios(file)
            tell = _quiet if arguments.json else _tell
            tried += asyncio.run(
                try_file(
                    scenarios, chosen, coverages, only=arguments.only, longest=arguments.timeout, tell=tell
                )
            )
        except InvalidDocument as error:
            invalid = True
            for problem in error.problems:
                say(problem.render(error.name))
        except Rejected as error:
            if scenarios is None:
                raise
            invalid = True  # what it needs is not there; other files may be fine
            say(f"{file}: {error}")
    if arguments.only is not None and not tried and not invalid:
        raise Rejected("no-tests", f"no scenario has {arguments.only!r} in its name")
    failed = sum(bool(each.failures) for each in tried)
    if arguments.json:
        print_json(
            {
                "scenarios": [each.to_json() for each in tried],
                "coverage": [each.to_json() for each in coverages.values()],
            }
        )
    if arguments.junit is not None:
        write_junit(arguments.junit, tried)
    for line in _summary(tried, coverages.values()):
        say(line)
    states = sum(len(each.states) for each in coverages.values())
    visited = states - sum(len(each.missed) for each in coverages.values())
    if arguments.coverage is not None and visited * 100 < arguments.coverage * states:
        say(
            f"{visited * 100 / states:.0f} % of the states were visited; {arguments.coverage:g} % are asked for"
        )
        return FAILED
    return FAILED if failed or invalid else FINE


def _summary(tried: Sequence[Tried], coverages: Iterable[Coverage]) -> Iterator[str]:
    failed = sum(bool(each.failures) for each in tried)
    yield f"{counted(len(tried), 'scenario')}: {len(tried) - failed} passed, {failed} failed"
    for each in coverages:
        seen = len(each.states) - len(each.missed)
        yield f"{each.workflow}: {seen} of {counted(len(each.states), 'state')} visited"
        for pointer, name in each.missed.items():
            yield f"  never: {name} ({pointer})"


def _tell(one: Tried) -> None:
    result(f"{'FAIL' if one.failures else 'ok  '}  {one.file}:{one.line}  {one.name}")
    for failure in one.failures:
        result(f"        {failure}")


def _quiet(_: Tried) -> None:
    """It is told later, with all others."""


async def try_file(
    scenarios: Scenarios,
    chosen: Settings,
    coverages: dict[str, Coverage],
    *,
    only: str | None = None,
    longest: float = 30.0,
    tell: Callable[[Tried], None] = _quiet,
    alone: bool = False,
) -> list[Tried]:
    """Try the *scenarios* of one file, or those that have *only* in their names; *tell* hears of each. *alone*: no
    other file of this machine is read for its workflows.
    """
    from workflow_engine.cli.documents import read_valid_document
    from workflow_engine.cli.resources import LocalFiles
    from workflow_engine.graph.model import states_of
    from workflow_engine.standalone import compiled

    folder = Path(scenarios.file).parent
    files = [str(folder / file) for file in (scenarios.workflow, *scenarios.workflows)]
    documents = [(file, read_valid_document(file)) for file in files]
    local = await LocalFiles.open([str(folder / file) for file in scenarios.catalog], neighbours=True)
    resources: dict[str, Json] = {}
    for file, document in () if alone else documents:
        resources |= await local.answers(document, file)
    (workflow, document), *others = documents
    graph, graphs = await compiled(
        document.text,
        settings=chosen,
        name=document.name,
        resources=resources,
        others=[other.text for _, other in others],
    )
    states = {state.id: state.name for state in states_of(graph)}
    known = {*states, *states.values()}
    known.update(
        name for other in graphs.values() for state in states_of(other) for name in (state.id, state.name)
    )
    coverage = coverages.setdefault(workflow, Coverage(workflow, states, dict(states)))
    tried = []
    for scenario in scenarios.scenarios:
        if only is not None and only not in scenario.name:
            continue
        one = await _try(scenario, graph, graphs, scenarios.file, longest, coverage)
        unknown = sorted(scenario.expected.names - known)
        one.failures[:0] = [
            *(
                f"calls: there is no state {name!r} to answer"
                for name in scenario.answers
                if name not in known
            ),
            *(f"expect: there is no state {name!r}" for name in unknown),
        ]
        tried.append(one)
        tell(one)
    return tried


async def _try(
    scenario: Scenario,
    graph: StateGraph,
    graphs: Mapping[str, StateGraph],
    file: str,
    longest: float,
    coverage: Coverage,
) -> Tried:
    from workflow_engine.cli.judging import Came, judge
    from workflow_engine.runtimes.answers import Answers, Unanswered
    from workflow_engine.standalone import try_out

    answers = Answers(scenario.answers)
    began = time.monotonic()
    try:
        async with asyncio.timeout(longest):
            outcome, run = await try_out(
                graph,
                graphs,
                scenario.input,
                answers=answers,
                events=scenario.events,
                secrets=scenario.secrets,
                now=scenario.now,
            )
    except Unanswered as error:
        failures = [str(error)]
    except TimeoutError:
        failures = [f"it has not ended within {longest:g} s of computing"]
    else:
        given = {id(each.event) for each in scenario.events}
        started = [step for step in run.progress if step.phase == "started"]
        for step in started:
            coverage.missed.pop(step.state, None)
        came = Came(
            outcome.status,
            outcome.output,
            None if outcome.error is None else outcome.error.to_json(),
            [step.name for step in started],
            [call.to_json() for call in answers.made],
            [event for log in run.channels.values() for event in log if id(event) not in given],
            outcome.waiting_for,
            (run.scheduler.now() - scenario.now).total_seconds(),
        )
        failures = judge(scenario.expected, came)
    seconds = round(time.monotonic() - began, 4)
    return Tried(file, scenario.name, scenario.line, failures, seconds, len(answers.made))
