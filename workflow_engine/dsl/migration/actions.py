"""The actions of a 0.8 state as tasks: each takes state data and gives state data, with its result merged in."""

from __future__ import annotations

from workflow_engine.dsl.migration import jq, operations
from workflow_engine.dsl.migration.failures import retry
from workflow_engine.dsl.migration.writing import WHOLE, Lens, Tasks, Writer, do, task
from workflow_engine.dsl.v0_8.actions import _called as called
from workflow_engine.dsl.v0_8.actions import last_name
from workflow_engine.values import Json, JsonObject


def in_a_row(writer: Writer, listed: list[JsonObject], at: str, limit: Json, lens: Lens = WHOLE) -> Tasks:
    """The actions at *at*, one after the other; *limit* is the time of each."""
    return [action(writer, body, f"{at}/{number}", limit, lens) for number, body in enumerate(listed)]


def side_by_side(writer: Writer, listed: list[JsonObject], at: str, limit: Json) -> JsonObject:
    """The actions at *at* as the branches of a fork, whose changes are merged in their order."""
    return fork(writer, [action(writer, body, f"{at}/{number}", limit) for number, body in enumerate(listed)])


def fork(writer: Writer, branches: Tasks, *, compete: bool = False) -> JsonObject:
    """A fork that gives the state data with what each branch changed in it, in the order of the branches (B27)."""
    if writer.state is not None:
        writer.state.side_by_side = True
    done = "." if compete else ".[]"
    merged = (
        f"{jq.MERGE}{jq.CHANGES}$input as $data\n"
        f"| reduce {done} as $branch ($data; merge(.; changes($data; $branch)))"
    )
    described: JsonObject = {"branches": do(branches), **({"compete": True} if compete else {})}
    return task(fork=described, output={"as": jq.slot(merged)})


def action(
    writer: Writer, body: JsonObject, at: str, limit: Json, lens: Lens = WHOLE
) -> tuple[str, JsonObject]:
    """One action, with its filters, its condition, its sleeps, its retries and its time."""
    name = called(body)
    filters = body.get("actionDataFilter")
    known: JsonObject = filters if isinstance(filters, dict) else {}
    place = f"{at}/actionDataFilter"
    act, has_result = operations.operation(writer, body, at, name)
    act = retry(writer, body, at, name, act)
    scope = known.get("fromStateData")
    entered = [] if lens.whole else [".data"]
    if scope is not None:
        entered.append(writer.source(scope, f"{place}/fromStateData"))
    before = "$task.input" if entered else "$input"
    made: JsonObject = {**act}
    if entered:
        made["input"] = {"from": jq.slot(_piped(entered))}
    left = _left(writer, body, known, place, lens, before, has_result=has_result)
    if left is not None:
        made["output"] = {"as": left}
    if limit is not None:
        made["timeout"] = writer.timeout(limit, at)
    asked = body.get("condition")
    when = None if asked is None else _asked(writer, asked, at, lens)
    sleeps = body.get("sleep")
    if not isinstance(sleeps, dict) or not sleeps:
        return name, task(if_=when, **made)
    writer.mapped("`sleep` of an action -> `wait`")
    tasks: Tasks = []
    if "before" in sleeps:
        tasks.append((f"before {name}", _wait(writer, sleeps["before"], f"{at}/sleep/before", lens)))
    tasks.append((name, made))
    if "after" in sleeps:
        tasks.append((f"after {name}", _wait(writer, sleeps["after"], f"{at}/sleep/after", lens)))
    return name, task(if_=when, do=do(tasks))


def _wait(writer: Writer, given: Json, at: str, lens: Lens) -> JsonObject:
    length = writer.duration(given, at)
    if lens.whole or "${" not in str(length):
        return {"wait": length}
    return {"input": {"from": "${ .data }"}, "wait": length, "output": {"as": "${ $task.input }"}}


def _piped(parts: list[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    return f"{parts[0]} | {parts[1]}"


def _asked(writer: Writer, asked: Json, at: str, lens: Lens) -> str:
    condition = writer.condition(asked, f"{at}/condition")
    return jq.slot(condition if lens.whole else f".data | {condition}")


def _left(
    writer: Writer,
    body: JsonObject,
    known: JsonObject,
    at: str,
    lens: Lens,
    before: str,
    *,
    has_result: bool,
) -> str | None:
    """What ``output.as`` makes of the result of an action."""
    if not has_result or known.get("useResults", True) is False:
        return jq.slot(before)
    results = known.get("results")
    chosen = "." if results is None else writer.one(results, f"{at}/results")
    if "eventRef" in body:
        chosen = ".[0]" if results is None else f"(.[0] | {chosen})"
    name = (last_name(str(results)) if results is not None else None) or "response"
    to = writer.lowering.path(known.get("toStateData"), f"{at}/toStateData")
    merged = jq.Merging(to, name)
    if lens.whole:
        return jq.slot(f"{merged.defines}{chosen} as $result | {before} | {merged.program('$result')}")
    return jq.slot(
        f"{merged.defines}{chosen} as $result | {before}\n"
        f"| .data |= ({merged.program('$result')}) | .result = [$result]"
    )
