"""The `Event` state: wait for events, take them one by one (dsl.md §1.10 listen, §2.2 event)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from workflow_engine import filters
from workflow_engine.errors import fault
from workflow_engine.expressions import Expression
from workflow_engine.filters import read
from workflow_engine.graph.model import (
    Event,
    Handler,
    State,
    Strategy,
    Transition,
    Trigger,
)
from workflow_engine.interpreter import correlating, subscribing
from workflow_engine.interpreter.dataflow import apply, merge
from workflow_engine.interpreter.effects import Arrival, Expired, Listener, Place, Thunk
from workflow_engine.interpreter.evaluation import evaluate, holds, pure, seconds, without_secrets
from workflow_engine.interpreter.position import Frame, TimeUp
from workflow_engine.interpreter.scope import Scope, state_scope
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

ENOUGH = "enough"
"""What `Frame.local` has once no event is wanted any more, though more may come and nobody has taken the output yet."""


def specify(strategy: Strategy, data: Json, scope: Scope) -> JsonObject:
    """*strategy* in the JSON form of `filters`: what it expects is evaluated, what it names is captured."""
    listed: list[Json] = []
    for wanted in strategy.filters:
        correlate: JsonObject = {}
        for key, source, expected in wanted.correlate:
            rule: JsonObject = {"from": source}
            if expected is not None:
                rule["expect"] = pure(expected, data, scope)
            elif wanted.remembers:
                known = correlating.remembered(key, data, scope)
                if known is not None:
                    rule["expect"] = known
            correlate[key] = rule
        entry: JsonObject = {"attributes": wanted.attributes}
        if correlate:
            entry["correlate"] = correlate
        if wanted.ignore_case:
            entry["ignore_case"] = True
        listed.append(entry)
    spec: JsonObject = {"mode": strategy.mode, "filters": listed}
    if strategy.variables:
        spec["scope"] = {name: scope[name] for name in strategy.variables}
    if isinstance(strategy.until, Strategy):
        spec["until"] = specify(strategy.until, data, scope)
    elif strategy.until is not None:
        spec["open"] = True
    return spec


def triggering(trigger: Trigger) -> JsonObject:
    """The strategy of events that start runs: whoever gathers them knows the end of ``until`` too."""
    spec = specify(trigger.strategy, None, Scope({}, {}))
    until = trigger.strategy.until
    if isinstance(until, Expression):
        del spec["open"]
        spec["until"] = {"expression": str(until.source), "read": trigger.read}
    return spec


async def wait(run: Run, state: State, action: Event, frame: Frame) -> tuple[Json, Transition]:
    """Listen, take what arrives, and stop listening however it ends."""
    trigger = run.graph.trigger
    if run.seeds and trigger is not None and trigger.state == state.id and "arrived" not in frame.local:
        seeded = _seeded(action.strategy, run.seeds)
        frame.local |= {"arrived": seeded, "taken": [], "complete": True}
        for entry in seeded:
            correlating.remember(run, action.strategy, *_pair(entry))
        if run.lifecycle is not None:
            run.lifecycle.correlating(state.id)
            run.lifecycle.correlated(state.id, specify(action.strategy, None, Scope({}, {})), run.seeds)
        run.seeds = []
    if not (action.handlers and frame.local.get("complete")):
        # The time for an event of DSL 0.8 does not count what is done about it.
        expired = await _listen(run, state, action, frame)
        if expired is not None:
            frame.children = {}
            return frame.local.get("data", frame.input), expired
    if not action.handlers:
        taken = frame.local["taken"]
        assert isinstance(taken, list)
        return taken, state.next
    return await _handle(run, action, frame, state)


def _seeded(strategy: Strategy, seeds: list[JsonObject]) -> list[Json]:
    """The events that started the run, each with the number of the filter that took it."""
    machine = filters.machine(specify(strategy, None, Scope({}, {})))
    at = machine.initial()
    found: list[Json] = []
    for seed in seeds:
        accepted = machine.accept(at, seed)
        if accepted is not None:
            at = accepted.state
            found.append([accepted.index or 0, seed])
    return found


async def _listen(run: Run, state: State, action: Event, frame: Frame) -> Transition | None:
    """Take events until there are enough; where to go instead when their time is up (0.8 ``eventTimeout``)."""
    place = run.place(state, frame)
    frame.doing = "listening for " + ", ".join(_wanted(action.strategy))
    collect = partial(_collect, run, state, action, frame, place)
    if action.messages is not None and action.messages.bridge is not None:
        collect = partial(subscribing.bridged, run, state, action.messages, frame, place, collect)
    if run.deadline is not None and frame is run.root:
        # Who only waits for an event finishes nothing: the run's time ends it (decision B18).
        left = max(0.0, run.deadline - run.effects.now().timestamp())
        bound = Place(f"{place.id}/deadline", state.id, "workflow timeout")
        collect = partial(_before, run, left, collect, bound)
    if action.timeout is None:
        await collect()
        return None
    scope = state_scope(run, state, frame, input=frame.input)
    allowed = await seconds(action.timeout, frame.input, scope, run)
    # Not `deadline`, which is that of the whole state.
    deadline = frame.local.setdefault("expires", run.effects.now().timestamp() + allowed)
    assert isinstance(deadline, float)
    left = max(0.0, deadline - run.effects.now().timestamp())
    timer = Place(f"{place.id}/timeout", state.id, f"event timeout of {state.name}")
    try:
        await run.effects.within(left, collect, timer)
    except Expired:
        if action.expired is None:
            raise fault("timeout", f"no event came for {state.name!r} in time") from None
        return action.expired
    return None


async def _before(run: Run, left: float, collect: Thunk[None], place: Place) -> None:
    try:
        await run.effects.within(left, collect, place)
    except Expired:
        raise TimeUp from None


def _wanted(strategy: Strategy) -> list[str]:
    names = []
    for wanted in strategy.filters:
        test = wanted.attributes.get("type")
        type = test.get("equals") if isinstance(test, dict) else None
        names.append(wanted.name or (type if isinstance(type, str) else "any event"))
    return names or ["any event"]


async def _collect(run: Run, state: State, action: Event, frame: Frame, place: Place) -> None:
    """Take what arrives into ``local``, until it is enough."""
    local = frame.local
    if "arrived" not in local:
        scope = state_scope(run, state, frame, input=frame.input)
        if action.messages is None:
            if action.ask is not None:
                await correlating.remember_question(run, action.ask, frame.input, scope)
            wanted = specify(action.strategy, frame.input, scope)
            if action.ask is not None:
                wanted = correlating.narrowed(
                    wanted, "startswith($__own) | not", {"__own": f"{run.effects.run_id}/"}
                )
            if run.begun_by:
                known: list[Json] = [*run.begun_by]
                wanted = correlating.narrowed(
                    wanted, ". as $id | $__known | index([$id]) | not", {"__known": known}
                )
        else:
            wanted = subscribing.specify(run, action.messages, scope)
        wanted = without_secrets(run, wanted)
        try:
            filters.machine(wanted).check()
        except ValueError as problem:
            raise fault("configuration", f"these events cannot be listened for: {problem}") from None
        local |= {"arrived": [], "taken": [], "spec": wanted}
        if action.messages is not None and action.messages.lasts is not None:
            lasts = await seconds(action.messages.lasts, frame.input, scope, run)
            local["closes"] = run.effects.now().timestamp() + lasts
        if run.lifecycle is not None and action.messages is None:
            run.lifecycle.correlating(place.id)
    arrived, spec = local["arrived"], local["spec"]
    assert isinstance(arrived, list)
    assert isinstance(spec, dict)
    try:
        if not (local.get("complete") or local.get(ENOUGH)):
            channel = action.channel
            if action.messages is not None:
                channel = subscribing.channel(run, action.messages)
            wanted = spec
            if arrived and action.messages is None:  # it had begun before: what it has is not to come again
                wanted = {**spec, "after": [_pair(entry)[1] for entry in arrived]}
            await run.effects.listen(Listener(wanted, channel, _left(run, frame)), place)
            await _ask(run, action, frame)
        # What has come and was not dealt with is dealt with first: so a run goes on from its position.
        while not local.get(ENOUGH):
            if await _taken(run, state, action, frame):
                local[ENOUGH] = True
            if local.get(ENOUGH) or local.get("complete"):
                break
            arrival = await _next(run, state, frame, place, len(arrived))
            if arrival.closed:
                local[ENOUGH] = True
                break
            local["complete"] = arrival.complete or arrival.ends
            if not arrival.ends:
                correlating.remember(run, action.strategy, arrival.index, arrival.event)
                arrived.append([arrival.index, _seen(run, action, arrival.event)])
    except GeneratorExit:  # the worker lets go of the run, which listens on
        run.effects.broke()
        raise
    finally:
        if not local.get("complete") or "closes" in local:
            await run.effects.stop_listening(place)
    if run.lifecycle is not None and action.messages is None:
        run.lifecycle.correlated(place.id, spec, [_pair(entry)[1] for entry in arrived])


async def _next(run: Run, state: State, frame: Frame, place: Place, number: int) -> Arrival:
    if run.lifecycle is not None:
        run.lifecycle.waits(state, frame, number)
    arrival = await run.effects.next_event(place)
    if run.lifecycle is not None:
        run.lifecycle.goes_on(state, frame, number)
    return arrival


async def _ask(run: Run, action: Event, frame: Frame) -> None:
    """Do what is to be done once the run listens, once (decision B30)."""
    if action.ask is None or frame.local.get("asked"):
        return
    child = frame.child("ask", action.ask.id, frame.input)
    frame.local["data"], _ = await run.walk(action.ask, child)
    frame.children.pop("ask", None)
    frame.local["asked"] = True


def _left(run: Run, frame: Frame) -> float | None:
    """How many seconds a listener whose time is limited still has."""
    closes = frame.local.get("closes")
    return max(0.0, closes - run.effects.now().timestamp()) if isinstance(closes, float) else None


def _seen(run: Run, action: Event, event: JsonObject) -> JsonObject:
    """What is kept of an *event*: all of it, or the message that it is."""
    return event if action.messages is None else subscribing.message(run, action.messages, event)


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
    the events so far, as they are read (decision A36), or a subscription has enough messages.
    """
    arrived, taken = frame.local["arrived"], frame.local["taken"]
    assert isinstance(arrived, list)
    assert isinstance(taken, list)
    if action.handlers:
        return False
    while True:
        if action.messages is not None and await subscribing.enough_before(
            run, state, action.messages, frame
        ):
            return True
        if len(taken) == len(arrived):
            return False
        _, event = _pair(arrived[len(taken)])
        output, broke = await _take(run, state, action, frame, event, len(taken))
        taken.append(output)
        if broke:
            return True
        if isinstance(action.strategy.until, Expression):
            so_far: list[Json] = [read(_pair(entry)[1], action.read) for entry in arrived[: len(taken)]]
            scope = state_scope(run, state, frame, input=frame.input)
            if await holds(action.strategy.until, so_far, scope, strict=False):
                return True
        if action.messages is not None and await subscribing.enough_after(run, state, action.messages, frame):
            return True


async def _take(
    run: Run, state: State, action: Event, frame: Frame, event: JsonObject, number: int
) -> tuple[Json, bool]:
    """What one event contributes to the output: itself, or what ``foreach`` makes of it (decision A43).

    The second is whether ``foreach.do`` was left by ``exit``.
    """
    output: Json = event if action.messages is not None else read(event, action.read)
    broke = False
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
        output = await apply(step, output, frame, scope)
    return output, broke


async def _handle(run: Run, action: Event, frame: Frame, state: State) -> tuple[Json, Transition]:
    """Merge each event into state data and run the actions of its handler (decisions B22, B23).

    Events are merged in the order of arrival, handlers run in document order.
    """
    local = frame.local
    arrived = local["arrived"]
    assert isinstance(arrived, list)
    events = [_pair(entry) for entry in arrived]
    local.setdefault("data", frame.input)
    done = local.setdefault("handled", 0)
    assert isinstance(done, int)
    then = state.next
    for number, handler in enumerate(action.handlers):
        mine = [pair for pair in events if pair[0] in handler.filters]
        if mine and handler.then is not None:
            then = handler.then
        if not mine or number < done:
            continue
        slot = f"on{number}"
        if slot not in frame.children:
            for index, event in mine:
                local["data"] = await _use(run, action, handler, index, event, local["data"], state, frame)
        if handler.body is not None:
            child = frame.child(slot, handler.body.id, local["data"])
            local["data"], _ = await run.walk(handler.body, child)
            frame.children.pop(slot, None)
        local["handled"] = number + 1
    return local["data"], then


async def _use(
    run: Run,
    action: Event,
    handler: Handler,
    index: int,
    event: JsonObject,
    data: Json,
    state: State,
    frame: Frame,
) -> Json:
    """State data with the event in it; ``useData: false`` leaves it alone (dsl.md §2.6).

    A filter that selects nothing merges nothing: it does not fall back to the whole event (decision B22).
    """
    if not handler.use:
        return data
    seen: Json = read(event, "data") if action.strategy.filters[index].data_only else event
    if handler.data is not None:
        seen = await evaluate(handler.data, seen, state_scope(run, state, frame, input=frame.input))
    return merge(data, seen, handler.path, handler.name)
