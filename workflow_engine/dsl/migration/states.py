"""What a 0.8 state does, as tasks that take state data and give state data; by its type."""

from __future__ import annotations

from collections.abc import Callable

from workflow_engine.dsl.migration import actions, events, jq
from workflow_engine.dsl.migration.failures import TIMEOUT
from workflow_engine.dsl.migration.writing import PART, WHOLE, Tasks, Writer, do, task
from workflow_engine.dsl.v0_8.definitions import iteration_name, objects, variables
from workflow_engine.dsl.v1.scope import RESERVED
from workflow_engine.values import Json, JsonObject


def limit(writer: Writer, key: str, *around: JsonObject) -> Json:
    """The timeout *key* of the first of *around* that has it, else of the workflow."""
    for body in (*around, writer.lowering.data):
        given = body.get("timeouts")
        if isinstance(given, dict) and key in given:
            return given[key]
    return around[0].get(key) if around and key == "eventTimeout" else None


def inject(writer: Writer, body: JsonObject, at: str) -> Tasks:
    data = writer.value(body.get("data"), f"{at}/data")
    writer.mapped("inject -> `set`, merged into the state data by `output.as`")
    merged = jq.slot(f"{jq.MERGE}merge($input; .)")
    return [("inject", {"set": data or "${ {} }", "output": {"as": merged}})]


def sleep(writer: Writer, body: JsonObject, at: str) -> Tasks:
    writer.mapped("sleep -> `wait`")
    return [("sleep", {"wait": writer.duration(body.get("duration"), f"{at}/duration")})]


def operation(writer: Writer, body: JsonObject, at: str) -> Tasks:
    listed, most = objects(body.get("actions")), limit(writer, "actionExecTimeout", body)
    if body.get("actionMode") == "parallel":
        writer.mapped("actions side by side -> `fork`, what each changed merged in their order")
        return [("actions", actions.side_by_side(writer, listed, f"{at}/actions", most))]
    return actions.in_a_row(writer, listed, f"{at}/actions", most)


def parallel(writer: Writer, body: JsonObject, at: str) -> Tasks:
    branches: Tasks = []
    listed = objects(body.get("branches"))
    for number, item in enumerate(listed):
        place = f"{at}/branches/{number}"
        most = limit(writer, "actionExecTimeout", item, body)
        inner = actions.in_a_row(writer, objects(item.get("actions")), f"{place}/actions", most)
        whole = limit(writer, "branchExecTimeout", item, body)
        timeout = None if whole is None else writer.timeout(whole, place)
        branches.append((str(item.get("name")), task(do=do(inner), timeout=timeout)))
    writer.mapped("parallel -> `fork`, what each branch changed merged in their order")
    compete = False
    if body.get("completionType") == "atLeast":
        need = str(body.get("numCompleted")).strip().removesuffix(".0")
        compete = need == "1" and len(listed) > 1
        if compete:
            writer.differs(
                f"{at}/completionType",
                "in 0.8 a branch that fails first fails the state; in 1.0 the others go on",
            )
        if not compete and need != str(len(listed)):
            writer.cannot(
                f"{at}/numCompleted",
                "a fork waits for one branch or for all of them; now it waits for all",
                "let the first branches `compete`, if one is enough",
            )
    return [("branches", actions.fork(writer, branches, compete=compete))]


def foreach(writer: Writer, body: JsonObject, at: str) -> Tasks:
    """A loop over copies of the state data; with ``outputCollection`` it flows as ``{data, results}``."""
    member = iteration_name(body) or "item"
    variable = member if variables(member) and member not in RESERVED else "element"
    listed, most = objects(body.get("actions")), limit(writer, "actionExecTimeout", body)
    collection = writer.one(body.get("inputCollection"), f"{at}/inputCollection")
    if body.get("mode") != "sequential":
        writer.differs(
            f"{at}/mode",
            "the loops of 1.0 take one element after the other: the same results, later",
            "a `fork` with a branch for each part of the collection is faster",
        )
        if writer.state is not None:
            writer.state.side_by_side = True
    into = body.get("outputCollection")
    lens = WHOLE if into is None else PART
    outer = writer.variables
    writer.variables = outer | (variables(member) if variable == member else frozenset())
    inner = actions.in_a_row(writer, listed, f"{at}/actions", most, lens)
    writer.variables = outer
    with_item = f". + {{{jq.literal(member)}: ${variable}}}"
    missing = f'({collection} // error("there is no collection"))'
    writer.mapped("foreach -> `for`, each round on a copy of the state data")
    if into is None:
        each = task(input={"from": jq.slot(with_item)}, do=do(inner), output={"as": "${ $task.input }"})
        loop: JsonObject = {"for": {"each": variable, "in": jq.slot(missing)}, "do": do([("each", each)])}
        return [("for each", loop)]
    each = task(
        input={"from": jq.slot(f"{{data: (.data | {with_item}), result: []}}")},
        do=do(inner),
        output={"as": "${ .result as $result | $task.input | .results += $result }"},
    )
    path = jq.path(writer.lowering.path(into, f"{at}/outputCollection"))
    collected = (
        f'.results as $results | .data | {path} = ({path} | if type == "array" then . else [] end) + $results'
    )
    loop = task(
        input={"from": "${ {data: ., results: []} }"},
        for_={"each": variable, "in": jq.slot(f".data | {missing}")},
        do=do([("each", each)]),
        output={"as": jq.slot(collected)},
    )
    return [("for each", loop)]


def in_time(writer: Writer, tasks: Tasks, timeout: Json, at: str, *, last: bool) -> Tasks:
    """*tasks*, which wait for events, until *timeout*: then what follows them in their list is left out."""
    if timeout is None:
        return tasks
    name, body = tasks[0]
    body["timeout"] = writer.timeout(timeout, at)
    catch: JsonObject = {"errors": {"with": {"type": TIMEOUT}}}
    if not last:
        catch["then"] = "exit"
    writer.mapped("event timeout -> `timeout` of `listen`, caught")
    return [(f"{name} in time", {"try": do([(name, body)]), "catch": catch})]


def event(writer: Writer, body: JsonObject, at: str, *, starts: bool = False) -> Tasks:
    """Listen, merge the events, and do the actions for them; one that *starts* the run has them as its input."""
    listed = objects(body.get("onEvents"))
    names = list(dict.fromkeys(name for item in listed for name in events.names_of(item)))
    every = body.get("exclusive", True) is False
    alone = len(listed) == 1
    source = "$workflow.input" if starts else "$events"
    tasks: Tasks = []
    if alone:
        defines, program = events.taken(
            writer, listed[0], f"{at}/onEvents/0", source, alone=True, many=every and len(names) > 1
        )
        tasks += _reaction(writer, body, listed[0], f"{at}/onEvents/0", plain=True)
    else:
        defines, program = "", f"{{data: ., events: {source}}}"
        for number, item in enumerate(listed):
            tasks.append(_handler(writer, body, item, f"{at}/onEvents/{number}"))
        tasks.append(("state data", {"set": "${ .data }"}))
    if starts:
        first: JsonObject = {"set": jq.slot(defines + program)}
        writer.mapped("start event state -> `schedule.on`; its events are `$workflow.input`")
        return [("events", first), *tasks]
    listen = task(
        metadata=events.channel(writer, body, at),
        listen={"to": events.strategy(writer, names, at, every=every), "read": "envelope"},
        output={"as": jq.slot(f"{defines}. as $events | $input | {program}")},
    )
    writer.mapped("event -> `listen`")
    waiting = in_time(writer, [("listen", listen)], limit(writer, "eventTimeout", body), at, last=not tasks)
    return [*waiting, *tasks]


def _handler(writer: Writer, body: JsonObject, item: JsonObject, at: str) -> tuple[str, JsonObject]:
    """An entry of ``onEvents`` beside others: what flows is ``{data, events}``."""
    defines, program = events.taken(writer, item, at, "$events", alone=False, many=True)
    asked = jq.slot(f"any(.events[]; {events.is_one_of(writer, item)})")
    merged: JsonObject = {"set": jq.slot(f"{defines}.events as $events | .data |= ({program})")}
    name = " or ".join(events.names_of(item))
    inner = _reaction(writer, body, item, at, plain=False)
    if not inner:
        return name, task(if_=asked, **merged)
    return name, task(if_=asked, do=do([("take", merged), *inner]))


def _reaction(writer: Writer, body: JsonObject, item: JsonObject, at: str, *, plain: bool) -> Tasks:
    listed, most = objects(item.get("actions")), limit(writer, "actionExecTimeout", body)
    if item.get("actionMode") == "parallel" and listed:
        fork = actions.side_by_side(writer, listed, f"{at}/actions", most)
        if plain:
            return [("actions", fork)]
        inner = task(input={"from": "${ .data }"}, do=do([("actions", fork)]))
        return [("actions", {**inner, "output": {"as": "${ . as $data | $task.input | .data = $data }"}})]
    return actions.in_a_row(writer, listed, f"{at}/actions", most, WHOLE if plain else PART)


def callback(writer: Writer, body: JsonObject, at: str) -> Tasks:
    given = body.get("action")
    action: JsonObject = given if isinstance(given, dict) else {}
    asked = actions.action(writer, action, f"{at}/action", limit(writer, "actionExecTimeout", body))
    defines, program = events.taken(writer, body, at, "$events", alone=True, many=False)
    listen = task(
        metadata=events.channel(writer, body, at),
        listen={"to": events.strategy(writer, events.names_of(body), at, every=False), "read": "envelope"},
        output={"as": jq.slot(f"{defines}. as $events | $input | {program}")},
    )
    writer.mapped("callback -> its action, then `listen`")
    writer.differs(
        at,
        "1.0 listens after the action, not before it: this engine keeps the events of a run for it, others may not",
    )
    return [asked, *in_time(writer, [("listen", listen)], limit(writer, "eventTimeout", body), at, last=True)]


CORES: dict[str, Callable[[Writer, JsonObject, str], Tasks]] = {
    "callback": callback,
    "event": event,
    "foreach": foreach,
    "inject": inject,
    "operation": operation,
    "parallel": parallel,
    "sleep": sleep,
}
"""The types of states that go on in one way; a switch does not."""
