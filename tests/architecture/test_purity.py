"""Running a graph asks the world for nothing but through its effects: the interpreter itself opens nothing."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.graph.build import case, catch, graph, jq, json, listen, put, region, state
from workflow_engine.graph.model import (
    Emit,
    End,
    Exit,
    ForEach,
    Parallel,
    Raise,
    Sequence,
    Sleep,
    StateGraph,
    Switch,
    Try,
)
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.values import Duration

ACTS = (
    "open",
    "socket.",
    "subprocess.",
    "os.",
    "shutil.",
    "sqlite3.",
    "urllib.",
    "http.",
    "tempfile.",
    "glob.",
)


class _Watch:
    """An audit hook cannot be taken away again, so one is left in place and told when to look."""

    def __init__(self) -> None:
        self.thread = 0
        self.seen: list[str] = []
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.thread == threading.get_ident() and event.startswith(ACTS):
            self.seen.append(f"{event} {arguments!r:.200}")


_watch: _Watch | None = None


@contextmanager
def watched() -> Iterator[list[str]]:
    """What this thread asks of the system inside the block."""
    global _watch
    _watch = _watch or _Watch()
    _watch.seen = []
    _watch.thread = threading.get_ident()
    try:
        yield _watch.seen
    finally:
        _watch.thread = 0


def every_pure_state() -> StateGraph:
    """A graph with each action that needs nobody else: it sums up orders, and recovers from a fault."""
    body = region(
        state("/do/1/for/0", Switch((case("free", "$item == 0", Exit()),)), "/do/1/for/1"),
        state("/do/1/for/1", put(sum="${ .sum + $item }")),
        id="/do/1/for",
    )
    failing = region(state("/do/2/try/0", Raise(json({"type": "x", "status": 500}))), id="/do/2/try")
    saving = region(
        state("/do/2/catch/0", put(sum="${ .sum }", caught="${ $error.status }")), id="/do/2/catch"
    )
    branches = (
        region(state("/do/3/fork/0", Sleep(Duration(0, 60))), id="/do/3/fork/0"),
        region(state("/do/3/fork/1", put(other=1)), id="/do/3/fork/1"),
    )
    inner = region(state("/do/4/do/0", put(total="${ .[0].sum }", caught="${ .[0].caught }")), id="/do/4/do")
    return graph(
        state("/do/0/begin", put(items="${ .items }", sum=0), "/do/1/sum"),
        state("/do/1/sum", ForEach(jq(".items"), "item", "index", body), "/do/2/safe"),
        state("/do/2/safe", Try(failing, catch(saving)), "/do/3/both"),
        state("/do/3/both", Parallel(branches), "/do/4/shape"),
        state("/do/4/shape", Sequence(inner), "/do/5/tell"),
        state("/do/5/tell", Sequence(region(id="/do/5/do")), "/do/6/emit", when=".total > 5"),
        state("/do/6/emit", Emit(json({"type": "order.summed"}), "default"), "/do/7/hear"),
        state("/do/7/hear", listen("order.summed", timeout=Duration(0, 60)), End()),
    )


async def test_the_interpreter_opens_nothing_while_it_runs_a_graph():
    run = LocalRun(every_pure_state())
    with watched() as seen:
        outcome = await run.execute({"items": [1, 0, 2, 3]})
    assert seen == []
    assert (outcome.status, outcome.error) == ("completed", None)
    (event,) = run.channels["default"]
    assert event["type"] == "order.summed"
    assert run.progress[-1].phase == "completed"


def test_the_watch_sees_what_is_opened():
    with watched() as seen:
        Path(__file__).read_bytes()
    assert len(seen) == 1
    assert seen[0].startswith("open ")
