"""States that run regions side by side or again and again: `Parallel` and `ForEach`."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Several
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from workflow_engine.errors import Fault, fault
from workflow_engine.expressions import Expression
from workflow_engine.graph.model import ForEach, Parallel, State
from workflow_engine.interpreter import growth
from workflow_engine.interpreter.dataflow import kind, put
from workflow_engine.interpreter.effects import Thunk
from workflow_engine.interpreter.evaluation import evaluate, holds
from workflow_engine.interpreter.position import Frame
from workflow_engine.interpreter.scope import RESULT, state_scope
from workflow_engine.values import Json, JsonObject, deep_equal, deep_merge, delta, shown

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run

T = TypeVar("T")

SIDE_BY_SIDE = 500
"""How many branches or iterations are under way at once where the author says nothing: Temporal takes 2,000 calls of
one run, and each branch may make several."""
_APART = 4
"""From which semantics on (`dsl.bundle.SEMANTICS`) iterations may be side by side."""


async def side_by_side(
    run: Run, thunks: Several[Thunk[T]], window: int, *, need: int, tolerant: bool
) -> Mapping[int, T]:
    """`Effects.join`, with at most *window* of *thunks* under way: they begin in their order, as others end."""
    if len(thunks) <= window:
        return await run.effects.join(thunks, need=need, tolerant=tolerant)
    numbers = iter(range(len(thunks)))
    done: dict[int, T] = {}
    lost: dict[int, Fault] = {}

    async def lane() -> None:
        for number in numbers:
            try:
                done[number] = await thunks[number]()
            except Fault as raised:
                if not tolerant:
                    raise
                lost[number] = raised
                if len(thunks) - len(lost) < need:
                    raise lost[min(lost)] from None
            if len(done) >= need:
                return
        await run.effects.never()  # another lane has the last one

    await run.effects.join([lane] * window, need=1, tolerant=False)
    return {number: done[number] for number in sorted(done)[:need]}


async def parallel(run: Run, state: State, action: Parallel, frame: Frame) -> Json:
    """Run the branches; outputs in branch order, whatever order they finish in (decision A33).

    All branches of a race begin at once, unless the author bounds them: one that begins later could not win any more.
    """
    data, original = frame.input, frame.owner.context
    finished = frame.local.setdefault("finished", {})
    assert isinstance(finished, dict)

    async def branch(number: int) -> JsonObject:
        slot = str(number)
        if slot not in finished:
            region = action.branches[number]
            child = frame.fork(slot, region.id, data)
            output, _ = await run.walk(region, child)
            finished[slot] = {"output": output}
            if not (child.context is original or deep_equal(child.context, original)):
                finished[slot] = {"output": output, "context": child.context}
            frame.children.pop(slot, None)
        result = finished[slot]
        assert isinstance(result, dict)
        return result

    if not action.branches:
        return [] if action.collect == "array" else data
    need = 1 if action.race else await _needed(run, state, action, frame)
    thunks = [partial(branch, number) for number in range(len(action.branches))]
    window = action.parallelism or (len(thunks) if action.race else SIDE_BY_SIDE)
    done = await side_by_side(run, thunks, window, need=need, tolerant=action.race)
    frame.children = {}
    results = [done[number] for number in sorted(done)]
    context = original
    for result in results:
        if "context" in result:
            context = fold(context, original, result["context"])
    frame.owner.context = context
    if action.race:
        return results[0]["output"]
    outputs = [result["output"] for result in results]
    growth.made(frame, len(results), outputs)
    if action.collect == "array":
        return outputs
    merged = data
    for output in outputs:
        merged = deep_merge(merged, delta(data, output))
    return merged


async def _needed(run: Run, state: State, action: Parallel, frame: Frame) -> int:
    """How many branches must complete; an expression is evaluated once, when the branches begin."""
    if action.need is None:
        return len(action.branches)
    if isinstance(action.need, int):
        return action.need
    if "need" not in frame.local:
        frame.local["need"] = await _number(run, state, action.need, frame)
    need = frame.local["need"]
    if not isinstance(need, int) or not 1 <= need <= len(action.branches):
        raise fault("expression", f"`numCompleted` must be from 1 to {len(action.branches)}, not {need!r}")
    return need


async def _number(run: Run, state: State, expression: Expression, frame: Frame) -> int:
    value = await evaluate(expression, frame.input, state_scope(run, state, frame, input=frame.input))
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise fault("expression", f"{expression.source!r} must yield a whole number, not {shown(value)}")
    return int(value)


def fold(base: Json, original: Json, changed: Json) -> Json:
    """*base* with what one branch *changed* in the *original*: members set, replaced and removed (A34)."""
    if deep_equal(original, changed):
        return base
    if not (isinstance(base, dict) and isinstance(original, dict) and isinstance(changed, dict)):
        return changed
    folded = {key: value for key, value in base.items() if key not in original or key in changed}
    for key, value in changed.items():
        if key not in original:
            folded[key] = value
        elif not deep_equal(original[key], value):
            folded[key] = fold(base.get(key), original[key], value)
    return folded


async def for_each(run: Run, state: State, action: ForEach, frame: Frame) -> Json:
    """Run the body for each item; an empty collection gives the input back, or of iterations side by side no outputs.

    So does null in DSL 1.0 (decision A16); in 0.8 a collection that is not there is an error (dsl.md §2.2).
    """
    local = frame.local
    if "items" not in local:
        scope = state_scope(run, state, frame, input=frame.input)
        collection = await evaluate(action.items, frame.input, scope)
        if collection is None and not action.chained:
            raise fault("expression", "`inputCollection` selects nothing; a foreach state needs an array")
        local["items"] = _items(collection)
        if action.apart and run.effects.semantics >= _APART:  # before, the loop was one like any other
            local["apart"] = True
    items = local["items"]
    assert isinstance(items, list)
    if "apart" in local:
        return await _apart(run, action, frame, items)
    return await (_chained if action.chained else _batched)(run, state, action, frame, items)


def _items(collection: Json) -> list[Json]:
    if collection is None:
        return []
    if isinstance(collection, list):
        return collection
    raise fault("expression", f"a loop needs an array to go over, not {kind(collection)}")


async def _chained(run: Run, state: State, action: ForEach, frame: Frame, items: list[Json]) -> Json:
    """One iteration after the other, each on the output of the one before (DSL 1.0, decision A16)."""
    local = frame.local
    local.setdefault("output", frame.input)
    index = local.setdefault("index", 0)
    assert isinstance(index, int)
    while index < len(items):
        bound: JsonObject = {action.item: items[index]}
        if action.index is not None:
            bound[action.index] = index
        resumed = "do" in frame.children
        child = frame.child("do", action.body.id, local["output"], bound)
        if action.condition is not None and not resumed:
            scope = state_scope(run, state, frame, input=frame.input, **bound)
            if not await holds(action.condition, local["output"], scope, strict=run.graph.strict):
                break
        local["output"], broke = await run.walk(action.body, child)
        frame.children.pop("do", None)
        index += 1
        local["index"] = index
        if broke:
            break
    frame.children.pop("do", None)
    return local["output"]


async def _apart(run: Run, action: ForEach, frame: Frame, items: list[Json]) -> Json:
    """Iterations side by side, each like a branch of a fork: from the input of the task, with a context of its own. The
    changes of it are joined (decision A34), and the outputs listed, in input order.
    """
    local, original = frame.local, frame.owner.context
    finished, results = local.setdefault("finished", {}), local.setdefault("results", [])
    local.setdefault("context", original)
    assert isinstance(finished, dict)
    assert isinstance(results, list)

    async def iteration(number: int) -> None:
        slot = str(number)
        if number < _through(local) or slot in finished:
            return
        child = frame.fork(slot, action.body.id, frame.input)
        child.variables.setdefault(action.item, items[number])
        if action.index is not None:
            child.variables.setdefault(action.index, number)
        output, _ = await run.walk(action.body, child)
        changed = not (child.context is original or deep_equal(child.context, original))
        finished[slot] = [output, child.context] if changed else [output]
        frame.children.pop(slot, None)
        through = _through(local)
        while (kept := finished.pop(str(through), None)) is not None:
            assert isinstance(kept, list)
            results.append(kept[0])
            local["context"] = (
                fold(local["context"], original, kept[1]) if len(kept) > 1 else local["context"]
            )
            through += 1
        local["through"] = through

    thunks = [partial(iteration, number) for number in range(_through(local), len(items))]
    if thunks:
        await side_by_side(run, thunks, action.parallelism or SIDE_BY_SIDE, need=len(thunks), tolerant=False)
    frame.owner.context = local["context"]
    return results


async def _batched(run: Run, state: State, action: ForEach, frame: Frame, items: list[Json]) -> Json:
    """Iterations on copies of the state data; results collected in input order. Where there is a size of batches, each
    is a barrier (B24-B26); without, a next one begins when one has ended.
    """
    local = frame.local
    finished, results = local.setdefault("finished", {}), local.setdefault("results", [])
    assert isinstance(finished, dict)
    assert isinstance(results, list)
    collects = action.into is not None

    async def iteration(number: int) -> Json:
        slot = str(number)
        if number >= _through(local) and slot not in finished:
            data = put(frame.input, (action.item,), items[number], join=False)
            child = frame.fork(slot, action.body.id, data)
            child.variables.setdefault(action.item, items[number])
            child.variables.setdefault("__index", number)
            await run.walk(action.body, child)
            finished[slot] = [child.variables[RESULT]] if collects and RESULT in child.variables else []
            frame.children.pop(slot, None)
            _gather(local, finished, results)
        return None

    size = action.batch
    if isinstance(size, Expression):
        size = max(0, await _number(run, state, size, frame))
    size = size or len(items) or 1
    window = action.parallelism or SIDE_BY_SIDE
    for start in range(_through(local) // size * size, len(items), size):
        batch = [partial(iteration, number) for number in range(start, min(start + size, len(items)))]
        await side_by_side(run, batch, window, need=len(batch), tolerant=False)
    if action.into is None:
        return frame.input
    collected = [*_present(frame.input, action.into), *results]
    growth.made(frame, len(collected), collected)
    return put(frame.input, action.into, collected, join=False)


def _through(local: JsonObject) -> int:
    """How many of the first iterations have all ended."""
    through = local.get("through", 0)
    assert isinstance(through, int)
    return through


def _gather(local: JsonObject, finished: JsonObject, results: list[Json]) -> None:
    """Take the results of the first iterations together, as far as they have all ended."""
    through = _through(local)
    while (kept := finished.pop(str(through), None)) is not None:
        assert isinstance(kept, list)
        results += kept
        through += 1
    local["through"] = through


def _present(data: Json, path: tuple[str | int, ...]) -> list[Json]:
    """What is collected at *path* already: what comes is added to it."""
    value = data
    for part in path:
        if isinstance(value, dict) and isinstance(part, str):
            value = value.get(part)
        elif isinstance(value, list) and isinstance(part, int) and -len(value) <= part < len(value):
            value = value[part]
        else:
            return []
    return value if isinstance(value, list) else []
