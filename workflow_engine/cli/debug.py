"""``wfe runs debug``: a run replayed here, state by state, with its data, its expressions and what it cost."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_engine.cli.options import count
from workflow_engine.cli.remote import add_connection, with_api
from workflow_engine.cli.terminal import FAILED, FINE, USAGE, counted, print_json, print_table, printable, say
from workflow_engine.errors import NotFound
from workflow_engine.values import Json, JsonObject

MOST_LINKS = 50
"""How many executions of one run are looked at, from the last one back."""
_WIDE = 160
"""How much of a value is shown on one line, in characters; ``--at`` shows all of it."""
_COLOURS = {"faulted": "31", "rescued": "33", "left": "33", "running": "36", "skipped": "2"}
_BOLD, _DIM = "1", "2"


def configure_debug(commands: Any) -> None:
    """Add ``wfe runs debug``."""
    parser = commands.add_parser(
        "debug",
        help="replay a run here, state by state",
        description=(
            "Replay a run here from its history, without calling anything: each state with its data before and after,\n"
            "its expressions and their values, and what it cost in time and in history. For runs under way too."
        ),
    )
    parser.add_argument("run", metavar="ID|FILE", help="a run, or a history of one as JSON")
    parser.add_argument(
        "--state", metavar="POINTER", help="only this state and what is inside it (/do/1/charge)"
    )
    parser.add_argument("--at", type=int, metavar="N", help="only step N, with all of its data")
    parser.add_argument("--costs", action="store_true", help="only what each state cost")
    parser.add_argument(
        "--limit", type=count, default=200, metavar="N", help="at most N steps (default: 200)"
    )
    parser.add_argument(
        "--format",
        choices=("text", "json", "mermaid", "dot"),
        default="text",
        help="mermaid and dot draw the workflow, with what became of each state (default: %(default)s)",
    )
    add_connection(parser, json=False)
    parser.set_defaults(work=_debug)


def _debug(arguments: argparse.Namespace) -> int:
    file = Path(arguments.run)
    if file.suffix == ".json" or file.is_file():
        return _of_file(arguments, file)

    async def work(api: Any) -> int:
        links: list[JsonObject] = []
        execution: str | None = None
        while len(links) < MOST_LINKS:
            link = await api.history(arguments.run, execution)
            links.insert(0, link)
            before = link.get("previous")
            if not isinstance(before, str):
                break
            execution = before
        else:
            say(f"The run has more executions; the last {MOST_LINKS} are shown.")
        run = await api.run(arguments.run)
        return await _show(arguments, links, run)

    return with_api(arguments, work)


def _of_file(arguments: argparse.Namespace, file: Path) -> int:
    try:
        content = json.loads(file.read_text())
        links = content if isinstance(content, list) else [content]
        if not all(isinstance(link, dict) for link in links):
            raise ValueError("it is no history")
        return asyncio.run(_show(arguments, links, None))
    except OSError as error:
        say(f"{file}: {error.strerror}")
    except json.JSONDecodeError as error:
        say(
            f"{file}:{error.lineno}:{error.colno}: this is no history, which is JSON, as `GET /v1/runs/ID/history` or "
            f"`temporal workflow show --output json` give it: {error.msg}"
        )
    except ValueError as error:
        say(f"{file}: {error}")
    return USAGE


async def _show(arguments: argparse.Namespace, links: Sequence[JsonObject], run: JsonObject | None) -> int:
    from workflow_engine.runtimes.temporal.debugging import debugged
    from workflow_engine.runtimes.temporal.histories import parsed, sizes_in

    if arguments.format in {"mermaid", "dot"}:
        return await _draw(arguments.format, [parsed(link) for link in links])
    told = [await debugged(parsed(link), sizes=sizes_in(link)) for link in links]
    if run is not None and run.get("parked"):
        told[-1]["parked"] = run["parked"]
    chosen = [_chosen(arguments, link) for link in told]
    if not any(link["steps"] for link in chosen) and (arguments.state or arguments.at is not None):
        what = f"state {arguments.state}" if arguments.state else f"step {arguments.at}"
        raise NotFound("step", what, "the run has not come to it")
    if arguments.format == "json":
        print_json(chosen)
    else:
        paint = _painter(sys.stdout.isatty())
        for number, link in enumerate(chosen):
            for line in described(link, paint, whole=arguments.at is not None, costs_only=arguments.costs):
                print(printable(line, keep="\n\t\x1b" if sys.stdout.isatty() else "\n\t"))
            if not (arguments.at is not None or arguments.state):
                _print_costs(link)
            if number + 1 < len(chosen):
                print()
    return FAILED if any(link["failure"] for link in told) else FINE


async def _draw(format: str, histories: Sequence[Any]) -> int:
    from workflow_engine.graph import render
    from workflow_engine.runtimes.temporal.picturing import pictured

    picture = await pictured(histories)
    draw = render.dot if format == "dot" else render.mermaid
    sys.stdout.write(draw(picture.graph, picture.marks))
    for failure in picture.failures:
        say(f"this version of the engine does not go this way: {failure[:2000]}")
    return FAILED if picture.failures else FINE


def _chosen(arguments: argparse.Namespace, link: JsonObject) -> JsonObject:
    """*link* with those of its steps that are asked for."""
    steps: Any = link["steps"]
    if arguments.at is not None:
        steps = [step for step in steps if step["number"] == arguments.at]
    if arguments.state is not None:
        wanted = "/" + arguments.state.strip("/")
        steps = [step for step in steps if step["state"] == wanted or step["state"].startswith(wanted + "/")]
    more = max(0, len(steps) - arguments.limit)
    return {**link, "steps": steps[: arguments.limit], "more": more}


def _painter(colours: bool) -> Any:
    return (lambda code, text: f"\x1b[{code}m{text}\x1b[0m") if colours else (lambda _code, text: text)


def described(link: Mapping[str, Any], paint: Any, *, whole: bool, costs_only: bool = False) -> Iterator[str]:
    """The lines that tell of one execution: a head, and its steps."""
    if not whole:
        size = f"{counted(link['events'], 'event')}, {link['bytes']:,} bytes of history"
        yield paint(_BOLD, f"run {link['id']}  {link['workflow'] or ''}  {link['status']}")
        yield f"{seconds(link['seconds'])}, {size}, execution {link['execution']}"
        if link["at"]:
            yield "stands at " + ", ".join(str(state) for state in link["at"])
        if parked := link.get("parked"):
            at = f" at {parked['state']}" if parked["state"] else ""
            yield paint("31", f"parked{at}: {parked['exception']}")
            yield from (f"  | {line}" for line in str(parked["trace"]).rstrip().splitlines()[-4:])
        if link["failure"]:
            yield paint("31", f"this version of the engine does not go this way: {link['failure'][:2000]}")
        yield ""
    if costs_only:
        return
    for step in link["steps"]:
        yield from _step(step, link["began"], paint, whole=whole)
    if link["omitted"] and not whole:
        yield f"({counted(link['omitted'], 'step')} in the middle not kept)"
    if link["more"]:
        yield f"({counted(link['more'], 'more step')}: --limit, --state or --at N shows them)"


def _step(step: Mapping[str, Any], began: float, paint: Any, *, whole: bool) -> Iterator[str]:
    indent = "  " * step["depth"]
    took = "" if step["seconds"] is None else f"  {seconds(step['seconds'])}"
    then = f"  → {step['then']}" if step["then"] else ""
    phase = step["phase"] if step["phase"] == "completed" else paint(_COLOURS[step["phase"]], step["phase"])
    place = step["state"] or "(the run)"
    head = f"#{step['number']:<4} +{step['began'] - began:.3f}s {indent}{paint(_BOLD, place)}  {step['kind']}"
    yield f"{head}  {phase}{took}{then}"
    margin = f"      {indent}  "

    def row(label: str, value: Json) -> Iterator[str]:
        for number, line in enumerate(_value(value, whole=whole)):
            shown = label if number == 0 else ""
            yield f"{margin}{paint(_DIM, f'{shown:<8}')} {line}"

    if step["variables"]:
        yield from row("with", step["variables"])
    yield from row("before", step["before"])
    if step["input"] is not None and step["input"] != step["before"]:
        yield from row("input", step["input"])
    for each in step["expressions"]:
        yield from (f"{margin}{line}" for line in _expression(each, paint, whole=whole))
    for each in step["asked"]:
        yield from (f"{margin}{line}" for line in _asked(each, paint, whole=whole))
    if step["unshown"]:
        yield f"{margin}({step['unshown']} more expressions and effects)"
    if step["error"] is not None:
        yield from row("error", step["error"])
    elif step["phase"] in ("completed", "rescued", "skipped"):
        if step["after"] == step["before"] and not whole:
            yield f"{margin}{paint(_DIM, 'after   ')} unchanged"
        else:
            yield from row("after", step["after"])
        if step["context_after"] != step["context_before"]:
            yield from row("context", step["context_after"])


def _expression(each: Mapping[str, Any], paint: Any, *, whole: bool) -> Iterator[str]:
    from workflow_engine.runtimes.steps import Evaluated

    at = paint(_DIM, f"  ({each['at']})") if each["at"] else ""
    if "error" in each:
        yield f"{_short(each['expression'], whole=whole)}  ✗  {paint('31', each['error'])}{at}"
        return
    if each["expression"] == json.dumps(each["value"], ensure_ascii=False):
        return  # a constant
    evaluated = Evaluated(each["at"], each["expression"], each["value"])
    parts = list(evaluated.parts())
    if isinstance(each["expression"], str) and not parts:  # bare jq
        yield f"{_short(each['expression'], whole=whole, text=True)}  =  {_short(each['value'], whole=whole)}{at}"
    for pointer, source, value in parts:
        at = paint(_DIM, f"  ({each['at']}{pointer})") if each["at"] else ""
        yield f"{_short(source, whole=whole, text=True)}  =  {_short(value, whole=whole)}{at}"


def _asked(each: Mapping[str, Any], paint: Any, *, whole: bool) -> Iterator[str]:
    took = "no answer yet" if each["seconds"] is None else seconds(each["seconds"])
    given = "" if each["given"] is None else f" {_short(each['given'], whole=whole)}"
    yield f"{paint('36', each['what'])}{given}  {took}"
    if each["error"] is not None:
        yield f"    {paint('31', each['error'])}"
    elif each["answer"] is not None:
        yield f"    answer {_short(each['answer'], whole=whole)}"


def _value(value: Json, *, whole: bool) -> list[str]:
    short = json.dumps(value, ensure_ascii=False)
    if len(short) <= _WIDE:
        return [short]
    if not whole:
        return [f"{short[:_WIDE]}… ({len(short):,} characters)"]
    return json.dumps(value, indent=2, ensure_ascii=False).splitlines()


def _short(value: Json, *, whole: bool, text: bool = False) -> str:
    shown = value if text and isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = " ".join(shown.split()) if text else shown
    return shown if whole or len(shown) <= _WIDE else f"{shown[:_WIDE]}… ({len(shown):,} characters)"


def seconds(passed: float) -> str:
    """A length of time, in the unit that suits it."""
    return (
        f"{passed * 1000:.0f} ms"
        if passed < 1
        else f"{passed:.2f} s"
        if passed < 120
        else f"{passed / 60:.1f} min"
    )


def _print_costs(link: Mapping[str, Any]) -> None:
    """What each state cost, the run itself last but for a line that adds up."""
    print()
    rows = [_cost_row(state) for state in link["states"]]
    headings = ("STATE", "TIMES", "TOOK", "CALLS", "QUEUED", "WAITS", "WORKER", "EVENTS", "BYTES")
    events, size = f"{link['events']}", f"{link['bytes']:,}"
    print_table(headings, [*rows, ("all", "", seconds(link["seconds"]), "", "", "", "", events, size)])


def _cost_row(state: Mapping[str, Any]) -> tuple[str, ...]:
    times = f"{state['executions']}" + (f" ({state['faults']} faulted)" if state["faults"] else "")
    spans = [state[name] for name in ("seconds", "calling", "queued", "waiting", "working")]
    shown = [seconds(span) if span else "-" for span in spans]
    return (state["state"] or "(the run)", times, *shown, f"{state['events']}", f"{state['bytes']:,}")
