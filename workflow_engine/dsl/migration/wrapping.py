"""A state around what it does: its data filters, its time, ``onErrors``, and where it goes."""

from __future__ import annotations

from workflow_engine.dsl.migration import jq
from workflow_engine.dsl.migration.failures import rescued
from workflow_engine.dsl.migration.states import CORES, event, limit
from workflow_engine.dsl.migration.transitions import Ways
from workflow_engine.dsl.migration.writing import Tasks, Writer, do, ordered, task, unused
from workflow_engine.dsl.v0_8.actions import last_name
from workflow_engine.dsl.v0_8.definitions import objects
from workflow_engine.values import Duration, Json, JsonObject


def filters(body: JsonObject) -> tuple[Json, Json]:
    """The filters of state data, ``input`` and ``output``; None for one that is not there."""
    given = body.get("stateDataFilter")
    known: JsonObject = given if isinstance(given, dict) else {}
    found = [known.get("input"), known.get("output")]
    return tuple(text if isinstance(text, str) and text.strip() else None for text in found)  # type: ignore[return-value]


def selecting(writer: Writer, text: Json, at: str, wrap: str | None = None) -> str:
    """The program of a filter of state data."""
    return jq.kept(writer.one(text, at), wrap)


def state_timeout(writer: Writer, body: JsonObject, at: str) -> JsonObject | None:
    given = limit(writer, "stateExecTimeout", body)
    if given is None:
        return None
    if not isinstance(given, dict):
        return writer.timeout(given, at)
    lengths = [str(given[key]) for key in ("single", "total") if key in given]
    return writer.timeout(
        min(lengths, key=lambda text: (Duration.parse(text).months, Duration.parse(text).seconds)), at
    )


def plain(writer: Writer, ways: Ways, body: JsonObject, at: str, name: str, *, starts: bool) -> Tasks:
    """A state that goes on in one way, and with ``onErrors`` in another."""
    kind = str(body.get("type"))
    core = event(writer, body, at, starts=True) if starts else CORES[kind](writer, body, at)
    entered, left = filters(body)
    timeout = state_timeout(writer, body, at)
    made: JsonObject
    if len(core) == 1 and entered is None and left is None and timeout is None:
        made = dict(core[0][1])
    else:
        made = task(do=do(core) or [{"nothing": {"set": "${ . }"}}], timeout=timeout)
        if entered is not None:
            made["input"] = {"from": jq.slot(selecting(writer, entered, f"{at}/stateDataFilter/input"))}
        if left is not None:
            wrap = None if "end" in body else last_name(str(left))
            made["output"] = {"as": jq.slot(selecting(writer, left, f"{at}/stateDataFilter/output", wrap))}
    then, extra = ways.way(body, at, name)
    if not objects(body.get("onErrors")):
        made["then"] = then
        return [(name, ordered(made)), *extra]
    outer, tests = rescued(writer, body, name, made)
    outer["then"] = then
    catch = outer["catch"]
    assert isinstance(catch, dict)
    targets: list[str] = []
    for number, item in enumerate(objects(body.get("onErrors"))):
        target, more = ways.way(item, f"{at}/onErrors/{number}", f"{name} rescued")
        targets.append(target)
        extra += more
    if len(targets) == 1:
        catch["then"] = targets[0]
        return [(name, ordered(outer)), *extra]
    catch["then"] = handler = unused(f"{name} failed", ways.used)
    cases: list[Json] = []
    for number, (test, target) in enumerate(zip(tests, targets, strict=True)):
        when = {} if test is None else {"when": jq.slot(f"$task.input.error | {test}")}
        cases.append({f"error {number + 1}": {**when, "then": target}})
        if test is None:
            break
    decided = task(input={"from": "${ .data }"}, switch=cases)
    return [(name, ordered(outer)), (handler, decided), *extra]
