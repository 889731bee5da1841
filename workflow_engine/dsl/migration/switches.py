"""Switches: on data, and on the first event that comes."""

from __future__ import annotations

from workflow_engine.dsl.migration import events, jq
from workflow_engine.dsl.migration.states import in_time, limit
from workflow_engine.dsl.migration.transitions import Ways
from workflow_engine.dsl.migration.wrapping import filters, selecting, state_timeout
from workflow_engine.dsl.migration.writing import Tasks, Writer, do, ordered, task, unused
from workflow_engine.dsl.v0_8.actions import last_name
from workflow_engine.dsl.v0_8.definitions import objects
from workflow_engine.errors import ERRORS
from workflow_engine.values import Json, JsonObject


def data_switch(writer: Writer, ways: Ways, body: JsonObject, at: str, name: str) -> Tasks:
    """A switch is one in 1.0: the first condition that holds decides."""
    cases, extra = _cases(writer, ways, body, at, name, "dataConditions")
    made = task(switch=cases)
    _filtered(writer, body, at, made)
    _without_errors(writer, body, at)
    timeout = state_timeout(writer, body, at)
    if timeout is not None:
        made["timeout"] = timeout
    writer.mapped("switch -> `switch`")
    return [(name, ordered(made)), *extra]


def event_switch(writer: Writer, ways: Ways, body: JsonObject, at: str, name: str) -> Tasks:
    """Wait for the first event, or for its time to be up; then a switch on which one it was."""
    listed = objects(body.get("eventConditions"))
    names = list(dict.fromkeys(found for item in listed for found in events.names_of(item)))
    tests = [events.is_one_of(writer, item) for item in listed]
    programs = [
        events.taken(writer, item, f"{at}/eventConditions/{number}", "[$event]", alone=True, many=False)
        for number, item in enumerate(listed)
    ]
    defines = "".join(dict.fromkeys(part for part, _ in programs))
    if any(jq.ADD in part for part, _ in programs):
        defines = jq.MERGE + jq.ADD
    merged = ""
    for number, (test, (_, program)) in enumerate(zip(tests, programs, strict=True)):
        # Where several wait for the same event it is for all of them, and the last one decides where to go.
        merged += f"\n| if $event | {test} then .data |= ({program}) | .condition = {number + 1} else . end"
    output = f"{defines}.[0] as $event | {{data: $input, condition: 0}}{merged}"
    listen = task(
        metadata=events.channel(writer, body, at),
        listen={"to": events.strategy(writer, names, at, every=False), "read": "envelope"},
        output={"as": jq.slot(output)},
    )
    waiting = in_time(writer, [("listen", listen)], limit(writer, "eventTimeout", body), at, last=True)
    made = waiting[0][1]
    catch = made.get("catch")
    if isinstance(catch, dict):
        catch["do"] = do([("no event", {"set": {"data": "${ . }", "condition": 0}})])
    entered, left = filters(body)
    timeout = state_timeout(writer, body, at)
    if entered is not None or left is not None or timeout is not None:
        made = task(do=do(waiting), timeout=timeout)
        _filtered(writer, body, at, made, inside=".data")
    _without_errors(writer, body, at)
    decision = unused(f"{name} decides", ways.used)
    made["then"] = decision
    cases, extra = _cases(writer, ways, body, at, name, "eventConditions")
    for number, case in enumerate(cases[:-1]):
        assert isinstance(case, dict)
        for details in case.values():
            assert isinstance(details, dict)
            details["when"] = f"${{ $task.input.condition == {number + 1} }}"
            details["then"] = details.pop("then")
    decided = task(input={"from": "${ .data }"}, switch=cases)
    writer.mapped("switch on events -> `listen`, then `switch` on which event it was")
    return [(name, ordered(made)), (decision, decided), *extra]


def _cases(
    writer: Writer, ways: Ways, body: JsonObject, at: str, name: str, kind: str
) -> tuple[list[Json], Tasks]:
    cases: list[Json] = []
    extra: Tasks = []
    used: set[str] = set()
    for number, item in enumerate(objects(body.get(kind))):
        place = f"{at}/{kind}/{number}"
        then, more = ways.way(item, place, name)
        extra += more
        case: JsonObject = {}
        if "condition" in item:
            case["when"] = jq.slot(writer.condition(item["condition"], f"{place}/condition"))
        called = unused(str(item.get("name") or item.get("eventRef") or f"condition {number + 1}"), used)
        cases.append({called: {**case, "then": then}})
    default = body.get("defaultCondition")
    if not isinstance(default, dict):
        then = unused(f"no default of {name}", ways.used)
        error: JsonObject = {"type": f"{ERRORS}runtime", "status": 500, "detail": "no condition holds"}
        cases.append({unused("default", used): {"then": then}})
        writer.mapped("no `defaultCondition` -> `raise`")
        return cases, [*extra, (then, task(raise_={"error": error}, then="end"))]
    then, more = ways.way(default, f"{at}/defaultCondition", name)
    cases.append({unused("default", used): {"then": then}})
    return cases, [*extra, *more]


def _filtered(writer: Writer, body: JsonObject, at: str, made: JsonObject, inside: str = "") -> None:
    entered, left = filters(body)
    if entered is not None:
        made["input"] = {"from": jq.slot(selecting(writer, entered, f"{at}/stateDataFilter/input"))}
    if left is None:
        return
    program = selecting(writer, left, f"{at}/stateDataFilter/output", last_name(str(left)))
    made["output"] = {"as": jq.slot(f"{inside} |= ({program})" if inside else program)}
    if last_name(str(left)) is not None:
        writer.differs(
            f"{at}/stateDataFilter/output",
            "0.8 gives a value that is no object a name unless the workflow ends here; now it always gets one",
        )


def _without_errors(writer: Writer, body: JsonObject, at: str) -> None:
    if objects(body.get("onErrors")):
        writer.differs(
            f"{at}/onErrors",
            "a `switch` cannot stand in a `try` and lead out of it: an error of a condition ends the run",
        )
