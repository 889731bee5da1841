"""Short ways to write graphs down in tests, and graphs that Hypothesis makes up."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import strategies

from workflow_engine.expressions import Expression, Template, compile, template
from workflow_engine.graph.model import (
    Action,
    Assign,
    Case,
    Catch,
    EachEvent,
    Emit,
    End,
    Event,
    EventFilter,
    Exit,
    ForEach,
    GoTo,
    Handler,
    Operation,
    Parallel,
    Raise,
    Region,
    Retry,
    Sequence,
    Sleep,
    State,
    StateGraph,
    Strategy,
    SubFlow,
    Switch,
    Transition,
    Trigger,
    Try,
    WorkflowName,
)
from workflow_engine.values import Duration, Json, JsonObject

EXIT = Exit()
VARIABLES = frozenset({"input", "context", "item", "index", "error", "event"})


def jq(source: str) -> Expression:
    return compile(source, variables=VARIABLES)


def json(value: Json) -> Template:
    return template(value, variables=VARIABLES)


def state(
    id: str,
    action: Action,
    next: Transition | str = EXIT,
    *,
    name: str = "",
    when: str | None = None,
    otherwise: Transition | None = None,
    timeout: Duration | None = None,
) -> State:
    """A state whose name is the end of its id and whose *next* may be the id of a state."""
    then = GoTo(next) if isinstance(next, str) else next
    return State(
        id,
        name or id.rpartition("/")[2],
        action,
        then,
        otherwise if otherwise is not None else then,
        when=None if when is None else jq(when),
        timeout=timeout,
    )


def region(*states: State, id: str = "/do", name: str = "", entry: Transition | None = None) -> Region:
    """A region that begins with the first of *states*."""
    first: Transition = GoTo(states[0].id) if states else Exit()
    return Region(id, entry if entry is not None else first, {item.id: item for item in states}, name)


def graph(
    *states: State,
    dialect: str = "1.0",
    trigger: Trigger | None = None,
    timeout: Duration | None = None,
    title: str = "",
    root: Region | None = None,
) -> StateGraph:
    return StateGraph(
        WorkflowName("shop", "order", "1.0.0"),
        dialect,
        root if root is not None else region(*states),
        {},
        trigger=trigger,
        timeout=timeout,
        title=title,
    )


def http(uri: str = "https://example.com/orders", method: str = "get") -> Operation:
    return Operation("http", json({"method": method, "endpoint": uri}))


def put(**members: Json) -> Assign:
    return Assign(json(members))


def filter(type: str, name: str = "") -> EventFilter:
    return EventFilter({"type": {"equals": type}}, name=name)


def listen(*types: str, mode: str = "one", timeout: Duration | None = None) -> Event:
    return Event(Strategy(mode, tuple(map(filter, types))), "default", timeout=timeout)


def on(*types: str, mode: str = "one", state: str | None = None) -> Trigger:
    return Trigger(Strategy(mode, tuple(map(filter, types))), "default", "data", state)


def case(name: str, when: str | None, then: Transition | str) -> Case:
    return Case(name, None if when is None else jq(when), GoTo(then) if isinstance(then, str) else then)


def catch(
    body: Region | None = None,
    *,
    error: JsonObject | None = None,
    retry: Retry | None = None,
    then: Transition | None = None,
) -> Catch:
    return Catch(None if error is None else json(error), "error", None, None, retry, body, then)


def states_of(given: Region) -> Iterator[State]:
    """Every state, written without the model's own walk."""
    for item in given.states.values():
        yield item
        for inner in regions_in(item.action):
            yield from states_of(inner)


def regions_in(action: Action) -> list[Region]:
    match action:
        case Sequence(body):
            return [body]
        case Try(body, catch):
            return [body] if catch.body is None else [body, catch.body]
        case Parallel(branches):
            return list(branches)
        case ForEach():
            return [action.body]
        case Event(each=each, handlers=handlers):
            bodies = [*([each.body] if each is not None else []), *(handler.body for handler in handlers)]
            return [body for body in bodies if body is not None]
        case _:
            return []


# --- graphs that Hypothesis makes up --------------------------------------------------------------------------

_ODD = [
    '"',
    "'",
    "end",
    "subgraph",
    "a\nb",
    "#35;",
    "<b>&amp;",
    "[x](y)",
    "|",
    "%%",
    "{",
    "}",
    "\\",
    "--> x",
    "1. a",
    "- a",
]
NAMES = strategies.one_of(
    strategies.sampled_from(_ODD), strategies.text(max_size=12), strategies.text("ab_*`$ -", max_size=90)
)
_DURATIONS = strategies.builds(
    Duration,
    strategies.integers(0, 30),
    strategies.floats(0, 1e6, allow_nan=False).map(lambda s: round(s, 3)),
)
_CONDITIONS = strategies.sampled_from(
    ['.a == "b"', ".x > 1", ". as $x | [$x] | length", '"#{}|<>"', ".a\n| .b"]
).map(jq)


@strategies.composite
def graphs(draw: strategies.DrawFn) -> StateGraph:
    """Any graph of a few dozen states; its transitions lead to states that exist."""
    root = draw(regions("", 2))
    trigger = draw(strategies.none() | NAMES.map(on))
    return graph(
        root=root, trigger=trigger, title=draw(NAMES), dialect=draw(strategies.sampled_from(["1.0", "0.8"]))
    )


@strategies.composite
def regions(draw: strategies.DrawFn, place: str, depth: int) -> Region:
    count = draw(strategies.integers(0, 4))
    ids = [f"{place}/do/{number}" for number in range(count)]
    ways = strategies.sampled_from([*map(GoTo, ids), Exit(), End(), Exit(breaks=True)])
    made = {}
    for id in ids:
        action = draw(_actions(id, ways, depth))
        when = draw(strategies.none() | _CONDITIONS)
        timeout = draw(strategies.none() | _DURATIONS)
        made[id] = State(id, draw(NAMES), action, draw(ways), draw(ways), when=when, timeout=timeout)
    entry = draw(strategies.sampled_from([*map(GoTo, ids[:1]), Exit()]))
    return Region(place, entry, made, draw(strategies.just("") | NAMES))


def _actions(
    id: str, ways: strategies.SearchStrategy[Transition], depth: int
) -> strategies.SearchStrategy[Action]:
    text = NAMES
    plain: list[strategies.SearchStrategy[Action]] = [
        text.map(lambda uri: Operation("http", json({"method": uri.replace("${", ""), "endpoint": "x"}))),
        text.map(lambda kind: Operation(kind, json({}))),
        text.map(lambda name: Assign(json({name: 1}))),
        text.map(lambda channel: Emit(json({"type": "order.placed"}), channel)),
        _DURATIONS.map(Sleep),
        _CONDITIONS.map(Sleep),
        text.map(lambda title: Raise(json({"status": 500, "title": title.replace("${", "")}))),
        text.map(lambda name: SubFlow(name, name, name, json({}))),
        strategies.lists(strategies.builds(Case, text, strategies.none() | _CONDITIONS, ways), max_size=4)
        .map(tuple)
        .map(Switch),
        _listeners(id, ways, strategies.none()),
    ]
    if depth == 0:
        return strategies.one_of(plain)
    inner = regions(f"{id}/in", depth - 1)
    handled = regions(f"{id}/catch", depth - 1)
    branches = strategies.tuples(*(regions(f"{id}/{number}", depth - 1) for number in range(2)))
    return strategies.one_of(
        *plain,
        inner.map(Sequence),
        strategies.builds(ForEach, _CONDITIONS, text, strategies.none(), inner),
        strategies.builds(Parallel, branches, strategies.sampled_from([None, 1, 2]), strategies.booleans()),
        strategies.builds(Try, inner, _catches(ways, strategies.none() | handled)),
        _listeners(id, ways, inner),
    )


def _catches(
    ways: strategies.SearchStrategy[Transition], bodies: strategies.SearchStrategy[Region | None]
) -> strategies.SearchStrategy[Catch]:
    retries = strategies.builds(
        Retry, delay=strategies.none() | _DURATIONS, limit=strategies.none() | strategies.integers(0, 9)
    )
    return strategies.builds(
        Catch,
        strategies.none(),
        strategies.just("error"),
        strategies.none() | _CONDITIONS,
        strategies.none(),
        strategies.none() | retries,
        bodies,
        strategies.none() | ways,
    )


def _listeners(
    id: str, ways: strategies.SearchStrategy[Transition], bodies: strategies.SearchStrategy[Region | None]
) -> strategies.SearchStrategy[Action]:
    filters = strategies.lists(NAMES.map(filter), min_size=1, max_size=3).map(tuple)
    wanted = strategies.builds(Strategy, strategies.sampled_from(["one", "any", "all"]), filters)
    each = strategies.builds(
        EachEvent, strategies.just("item"), strategies.just("at"), bodies, strategies.just(())
    )
    handlers = strategies.builds(
        Handler,
        strategies.just((0,)),
        strategies.booleans(),
        strategies.none(),
        strategies.just(()),
        bodies,
        strategies.none() | ways,
    )
    timeouts = strategies.none() | _DURATIONS
    return strategies.one_of(
        strategies.builds(
            Event, wanted, strategies.just("default"), each=strategies.none() | each, timeout=timeouts
        ),
        strategies.builds(
            Event,
            wanted,
            strategies.just("default"),
            handlers=handlers.map(lambda handler: (handler,)),
            timeout=timeouts,
            expired=strategies.none() | ways,
        ),
    )
