"""Write a whole 0.8 document as one of DSL 1.0: its states become tasks of one list, which ``then`` leads through."""

from __future__ import annotations

from collections.abc import Mapping

from workflow_engine.dsl import definition_files
from workflow_engine.dsl.document import Document
from workflow_engine.dsl.lowering import in_order
from workflow_engine.dsl.migration import surroundings
from workflow_engine.dsl.migration.report import Migrated, StateReport
from workflow_engine.dsl.migration.switches import data_switch, event_switch
from workflow_engine.dsl.migration.transitions import Ways
from workflow_engine.dsl.migration.wrapping import plain
from workflow_engine.dsl.migration.writing import Tasks, Writer, ordered, unused
from workflow_engine.dsl.v0_8.workflow import WorkflowLowering
from workflow_engine.errors import ERRORS, InvalidDocument, Rejected
from workflow_engine.graph.model import GoTo
from workflow_engine.values import Json, JsonObject


def migrate(document: Document, resources: Mapping[str, Json] | None = None) -> Migrated:
    """*document*, which is of DSL 0.8, as one of DSL 1.0; *resources* are the definitions that are in other files.

    `InvalidDocument` when it has problems, `Rejected` when definitions are missing. What this engine alone does not
    support is no problem here.
    """
    lowering = WorkflowLowering(document, resources)
    for kind, address in definition_files.referenced(lowering.data):
        raise Rejected(
            "unresolved", f"the {kind} are in {address}, which was not found: they are needed to migrate"
        )
    lowering.lower()
    fatal = [
        problem
        for problem in lowering.problems
        if problem.severity == "error" and not problem.code.startswith("unsupported")
    ]
    if fatal:
        raise InvalidDocument(in_order(fatal), name=document.name)
    writer = Writer(lowering)
    tasks = _tasks(writer)
    if lowering.before_end is not None:
        tasks = _in_time(writer, tasks, _tasks(writer, lowering.before_end.state))
    _unwritten(writer)
    return Migrated(surroundings.document(writer, tasks), writer.report)


def _in_time(writer: Writer, tasks: list[Json], last: list[Json]) -> list[Json]:
    """The *tasks* with the time that the workflow has, and *last*, which ``runBefore`` has done when it is up.

    What they work on then is what the last task that ended gave.
    """
    at = "/timeouts/workflowExecTimeout"
    given = writer.lowering.data["timeouts"]
    assert isinstance(given, dict)
    limit = given["workflowExecTimeout"]
    assert isinstance(limit, dict)
    for item in tasks:
        assert isinstance(item, dict)
        for body in item.values():
            assert isinstance(body, dict)
            body.setdefault("export", {"as": "${ . }"})
    timed: JsonObject = {"do": tasks, "timeout": writer.timeout(limit["duration"], f"{at}/duration")}
    kept: JsonObject = {"set": "${ if $context == {} then . else $context end }"}
    caught: JsonObject = {
        "errors": {"with": {"type": f"{ERRORS}timeout"}},
        "when": '${ $error.instance == "/do/0/run/try/0/in time" }',
        "do": [{"what there is": kept}, *last],
    }
    if limit.get("interrupt") is not True:
        message = "0.8 lets the state that is being done finish before `runBefore`; 1.0 interrupts it"
        writer.differs(f"{at}/runBefore", message)
    writer.mapped("`runBefore` -> `catch` around the tasks")
    return [{"run": {"try": [{"in time": timed}], "catch": caught}}]


def _unwritten(writer: Writer) -> None:
    """Tell of the states of which no task was made."""
    lowering = writer.lowering
    written = {state.pointer for state in writer.report.states}
    for number, body in enumerate(lowering.states):
        id = f"/states/{number}"
        if id not in written:
            left = StateReport(str(body.get("name")), id, str(body.get("type")))
            left.mapped.append(f"nothing in 1.0 leads to it: there is no task {left.name!r}")
            writer.report.states.append(left)
    writer.report.states.sort(key=lambda state: _number(state.pointer))


def _tasks(writer: Writer, first_state: str | None = None) -> list[Json]:
    """A list of tasks: *first_state* first, else that of the workflow; the others that it leads to in their order."""
    lowering = writer.lowering
    start = lowering.start.state if isinstance(lowering.start, GoTo) else "/states/0"
    starts = first_state is None and lowering.starts_by_event
    start = first_state or start
    used: set[str] = set()
    names = {
        f"/states/{number}": unused(str(state.get("name")), used)
        for number, state in enumerate(lowering.states)
    }
    ways = Ways(writer, used, dict(names), start)
    again = ""
    if starts:
        # Who comes back to the state that the run started with waits for its events anew.
        again = ways.names[start] = unused(f"{names[start]} again", used)
    written: dict[str, Tasks] = {start: _state(writer, ways, start, names[start], starts=starts)}
    done: set[str] = set() if again else {start}
    while waiting := [id for id in ways.reached if id not in done]:
        id = waiting[0]
        done.add(id)
        key = id + "#again" if id == start else id
        written[key] = _state(writer, ways, id, ways.names[id], starts=False)
    writer.state = None
    first = {start: 0, start + "#again": 1}
    order = sorted(written, key=lambda key: (first.get(key, 2), _number(key)))
    return _listed([pair for key in order for pair in written[key]])


def _number(id: str) -> int:
    return int(id.split("#", maxsplit=1)[0].rpartition("/")[2])


def _state(writer: Writer, ways: Ways, id: str, name: str, *, starts: bool) -> Tasks:
    """The tasks that the state with the pointer *id* becomes, the first of them called *name*."""
    body = writer.lowering.body_of(id)
    writer.state = StateReport(str(body.get("name")), id, str(body.get("type")))
    writer.report.states.append(writer.state)
    metadata = body.get("metadata")
    if isinstance(metadata, dict) and "errorMessage" in metadata:
        message = "`errorMessage` in the metadata, by which SonataFlow ends a run, has no effect"
        writer.cannot(f"{id}/metadata/errorMessage", message, "write a `raise` with an `if` after the task")
    if body.get("type") != "switch":
        tasks = plain(writer, ways, body, id, name, starts=starts)
    elif "eventConditions" in body:
        tasks = event_switch(writer, ways, body, id, name)
    else:
        tasks = data_switch(writer, ways, body, id, name)
    writer.state.tasks = [task for task, _ in tasks]
    return tasks


def _listed(tasks: Tasks) -> list[Json]:
    """The list; where a task goes on with the next one it need not say so."""
    listed: list[Json] = []
    for number, (name, body) in enumerate(tasks):
        following = tasks[number + 1][0] if number + 1 < len(tasks) else None
        made: JsonObject = {key: value for key, value in body.items() if key != "then" or value != following}
        listed.append({name: ordered(made)})
    return listed
