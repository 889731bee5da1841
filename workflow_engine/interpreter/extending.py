"""What extensions do around the states that they extend (dsl.md §1.18, decisions A53 and A54).

Each is a list of ordinary states before, and one after. Those before begin with the state's transformed input and
those after with its raw output; what they come to is not kept, but for an ``exit`` before: that is the raw output
of the state, which is not done then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, assert_never

from workflow_engine.errors import Fault
from workflow_engine.graph.model import End, Exit, Extension, GoTo, Region, State, Transition
from workflow_engine.interpreter.evaluation import holds
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import state_scope
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


async def around(
    run: Run, state: State, frame: Frame, perform: Callable[[], Awaitable[tuple[Json, Transition]]]
) -> tuple[Json, Transition]:
    """*perform* what *state* does between its extensions: in their order before, the other way round after.

    The extensions after an ``exit`` are not begun, and have nothing to do after either.
    """
    local = frame.local.setdefault("extensions", {"next": 0, "begun": []})
    assert isinstance(local, dict)
    begun = local["begun"]
    assert isinstance(begun, list)
    if "then" not in local:
        exited = await _before(run, state, frame, local, begun)
        output, then = (local["output"], state.next) if exited else await perform()
        frame.children = {}
        local["output"], local["then"] = output, _encoded(then)
    while begun:
        number = begun[-1]
        assert isinstance(number, int)
        after = state.extensions[number].after
        if after is not None:
            await _list(run, frame, f"after {number}", after, local["output"])
        begun.pop()
    return local["output"], _decoded(local["then"])


async def _before(run: Run, state: State, frame: Frame, local: JsonObject, begun: list[Json]) -> bool:
    """Begin the extensions that apply; whether one of them has done away with the state itself."""
    number = local["next"]
    assert isinstance(number, int)
    while number < len(state.extensions):
        extension, slot = state.extensions[number], f"before {number}"
        if slot not in frame.children and not await _applies(run, extension, state, frame):
            local["next"] = number = number + 1
            continue
        if slot not in frame.children:
            begun.append(number)
        exited = False
        if extension.before is not None:
            local["output"], exited = await _list(run, frame, slot, extension.before, frame.input)
        if exited:
            return True
        local.pop("output", None)
        local["next"] = number = number + 1
    return False


async def _applies(run: Run, extension: Extension, state: State, frame: Frame) -> bool:
    if extension.when is None:
        return True
    try:
        scope = state_scope(run, state, frame, input=frame.input)
        return await holds(extension.when, frame.input, scope, strict=False)
    except Fault as raised:
        raise raised.at(extension.id) from None


async def _list(run: Run, frame: Frame, slot: str, region: Region, data: Json) -> tuple[Json, bool]:
    result = await run.walk(region, frame.child(slot, region.id, data))
    frame.children.pop(slot, None)
    return result


def _encoded(transition: Transition) -> JsonObject:
    match transition:
        case GoTo(state):
            return {"to": state}
        case Exit(breaks):
            return {"exit": breaks}
        case End():
            return {"end": True}
        case _:
            assert_never(transition)


def _decoded(encoded: Json) -> Transition:
    assert isinstance(encoded, dict)
    if "to" in encoded:
        return GoTo(str(encoded["to"]))
    return End() if "end" in encoded else Exit(breaks=encoded["exit"] is True)
