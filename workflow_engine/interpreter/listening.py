"""The `Event` state: wait for events, take them one by one (dsl.md §1.10 listen, §2.2 event)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from workflow_engine.errors import fault
from workflow_engine.expressions import Expression
from workflow_engine.graph.model import Event, Handler, State, Strategy, Transition
from workflow_engine.interpreter.dataflow import apply, evaluate, holds, merge, seconds
from workflow_engine.interpreter.effects import Expired, Listener, Place
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import Scope, state_scope
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


def specify(strategy: Strategy, data: Json, scope: Scope) -> JsonObject:
    """*strategy* in the JSON form of `filters`: what it expects is evaluated, what it names is captured."""
    filters: list[Json] = []
    for wanted in strategy.filters:
        correlate: JsonObject = {}
        for key, source, expected in wanted.correlate:
            rule: JsonObject = {"from": source}
            if expected is not None:
                rule["expect"] = evaluate(expected, data, scope)
            correlate[key] = rule
        entry: JsonObject = {"attributes": wanted.attributes}
        if correlate:
            entry["correlate"] = correlate
        if wanted.ignore_case:
            entry["ignore_case"] = True
        filters.append(entry)
    spec: JsonObject = {"mode": strategy.mode, "filters": filters}
    if strategy.variables:
        spec["scope"] = {name: scope[name] for name in strategy.variables}
    if isinstance(strategy.until, Strategy):
        spec["until"] = specify(strategy.until, data, scope)
    elif strategy.until is not None:
        spec["open"] = True
    return spec


def read(event: JsonObject, how: str) -> Json:
    """What a run sees of *event*: its ``data``, the whole ``envelope``, or the ``raw`` payload."""
    match how:
        case "envelope":
            return event
        case "raw":
            return event.get("data_base64", event.get("data"))
        case _:
            return event["data"] if "data" in event else event.get("data_base64")


async def wait(run: Run, state: State, action: Event, frame: Frame) -> tuple[Json, Transition]:
    """Listen, take what arrives, and stop listening however it ends."""
    seeds = run.seeds
    trigger = run.graph.trigger
    if seeds and trigger is not None and trigger.state == state.id:
        run.seeds = []
        return await _handle(run, action, frame, list(enumerate(seeds)), state)
    place = run.place(state, frame)
    frame.doing = "listening for " + ", ".join(_wanted(action.strategy))
    collect = partial(_collect, run, state, action, frame, place)
    if action.timeout is None:
        return await collect()
    scope = state_scope(run, state, frame, input=frame.input)
    deadline = frame.local.setdefault(
        "deadline", run.effects.now().timestamp() + seconds(action.timeout, frame.input, scope, run)
    )
    assert isinstance(deadline, float)
    left = max(0.0, deadline - run.effects.now().timestamp())
    timer = Place(f"{place.id}/timeout", state.id, f"event timeout of {state.name}")
    try:
        return await run.effects.within(left, collect, timer)
    except Expired:
        if action.expired is None:
            raise fault("timeout", f"no event came for {state.name!r} in time") from None
        frame.children = {}
        return frame.input, action.expired


def _wanted(strategy: Strategy) -> list[str]:
    names = []
    for wanted in strategy.filters:
        test = wanted.attributes.get("type")
        type = test.get("equals") if isinstance(test, dict) else None
        names.append(wanted.name or (type if isinstance(type, str) else "any event"))
    return names or ["any event"]


async def _collect(
    run: Run, state: State, action: Event, frame: Frame, place: Place
) -> tuple[Json, Transition]:
    local = frame.local
    if "arrived" not in local:
        scope = state_scope(run, state, frame, input=frame.input)
        local |= {"arrived": [], "taken": [], "spec": specify(action.strategy, frame.input, scope)}
    arrived, taken, spec = local["arrived"], local["taken"], local["spec"]
    assert isinstance(arrived, list)
    assert isinstance(taken, list)
    assert isinstance(spec, dict)
    try:
        if not local.get("complete"):
            await run.effects.listen(Listener(spec, action.channel), place)
        # What has come and was not dealt with is dealt with first: so a run goes on from its position.
        while not (await _taken(run, state, action, frame) or local.get("complete")):
            arrival = await run.effects.next_event(place)
            local["complete"] = arrival.complete or arrival.ends
            if not arrival.ends:
                arrived.append([arrival.index, arrival.event])
    finally:
        if not local.get("complete"):
            await run.effects.stop_listening(place)
    if not action.handlers:
        return taken, state.next
    return await _handle(run, action, frame, [_pair(entry) for entry in arrived], state)


def _pair(entry: Json) -> tuple[int, JsonObject]:
    """A filter's number and the event that it took."""
    assert isinstance(entry, list)
    index, event = entry
    assert isinstance(index, int)
    assert isinstance(event, dict)
    return index, event


async def _taken(run: Run, state: State, action: Event, frame: Frame) -> bool:
    """Take the events that have come, in order; whether the run has had enough of them.

    It has when ``foreach.do`` is left by ``exit`` (decision A17), and when the ``until`` condition holds of
    the events so far, as they are read (decision A36).
    """
    arrived, taken = frame.local["arrived"], frame.local["taken"]
    assert isinstance(arrived, list)
    assert isinstance(taken, list)
    if action.handlers:
        return False
    while len(taken) < len(arrived):
        _, event = _pair(arrived[len(taken)])
        output, broke = await _take(run, state, action, frame, event, len(taken))
        taken.append(output)
        if broke:
            return True
        if isinstance(action.strategy.until, Expression):
            so_far: list[Json] = [read(_pair(entry)[1], action.read) for entry in arrived[: len(taken)]]
            scope = state_scope(run, state, frame, input=frame.input)
            if holds(action.strategy.until, so_far, scope, strict=False):
                return True
    return False


async def _take(
    run: Run, state: State, action: Event, frame: Frame, event: JsonObject, number: int
) -> tuple[Json, bool]:
    """What one event contributes to the output: itself, or what ``foreach`` makes of it (decision A43).

    The second is whether ``foreach.do`` was left by ``exit``.
    """
    output, broke = read(event, action.read), False
    each = action.each
    if each is None:
        return output, False
    bound: JsonObject = {each.item: output, each.index: number}
    if each.body is not None:
        child = frame.child("foreach", each.body.id, frame.input, bound)
        output, broke = await run.walk(each.body, child)
        frame.children.pop("foreach", None)
    for step in each.leave:
        scope = state_scope(run, state, frame, **bound, input=frame.input, output=output)
        output = apply(step, output, frame, scope)
    return output, broke


async def _handle(
    run: Run, action: Event, frame: Frame, events: list[tuple[int, JsonObject]], state: State
) -> tuple[Json, Transition]:
    """Merge each event into state data and run the actions of its handler (decisions B22, B23).

    *events* are (filter number, event) in the order of arrival; handlers run in document order.
    """
    data = frame.input
    then = state.next
    by_handler = [
        (handler, [pair for pair in events if pair[0] in handler.filters]) for handler in action.handlers
    ]
    for number, (handler, mine) in enumerate(by_handler):
        if not mine:
            continue
        for index, event in mine:
            data = _use(run, action, handler, index, event, data, state, frame)
        if handler.body is not None:
            child = frame.child(f"on{number}", handler.body.id, data)
            data, _ = await run.walk(handler.body, child)
            frame.children.pop(f"on{number}", None)
        if handler.then is not None:
            then = handler.then
    return data, then


def _use(
    run: Run,
    action: Event,
    handler: Handler,
    index: int,
    event: JsonObject,
    data: Json,
    state: State,
    frame: Frame,
) -> Json:
    """State data with the event in it; ``useData: false`` leaves it alone (dsl.md §2.6)."""
    if not handler.use:
        return data
    seen: Json = read(event, "data") if action.strategy.filters[index].data_only else event
    if handler.data is not None:
        selected = evaluate(handler.data, seen, state_scope(run, state, frame, input=frame.input))
        seen = seen if selected is None else selected
    return merge(data, seen, handler.path, "response")
