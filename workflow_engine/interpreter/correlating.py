"""Which events belong to a run: what DSL 0.8 remembers of them, and which are its own (decisions B19, B20, B31)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.graph.model import Emit, Region, Strategy
from workflow_engine.interpreter import publishing
from workflow_engine.interpreter.evaluation import evaluate
from workflow_engine.interpreter.scope import Scope
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


def remembered(key: str, data: Json, scope: Scope) -> Json:
    """What the run knows of a correlation *key*: of its events, else of its input (decision B20); else null."""
    known = scope.get("__correlation")
    if isinstance(known, dict) and key in known:
        return known[key]
    workflow = scope.get("workflow")
    given = workflow.get("input") if isinstance(workflow, dict) else None
    members = given.items() if isinstance(given, dict) else ()
    return next((value for name, value in members if name.lower() == key), None)


def remember(run: Run, strategy: Strategy, index: int, event: JsonObject) -> None:
    """Keep what *event*, which filter *index* took, says of the keys that the run does not know yet (B20)."""
    if index >= len(strategy.filters) or not strategy.filters[index].remembers:
        return
    named = {name.lower(): value for name, value in event.items()}
    for key, _, _ in strategy.filters[index].correlate:
        if named.get(key) is not None:
            run.correlation.setdefault(key, named[key])


async def remember_question(run: Run, ask: Region, data: Json, scope: Scope) -> None:
    """Keep what the events that are going to be published say of correlation: their answers say the same (B20)."""
    for state in ask.states.values():
        if isinstance(state.action, Emit):
            attributes = await evaluate(state.action.event, data, scope)
            publishing.remember(run, attributes if isinstance(attributes, dict) else {})


def narrowed(spec: JsonObject, test: str, known: JsonObject) -> JsonObject:
    """*spec* without the events whose id does not pass *test*, which sees what is *known*.

    So are left out what the run has published itself, for it is no answer to it (decision B31), and what has started a
    run that is kept active, for it has that already (decision B19).
    """
    listed, scope = spec["filters"], spec.get("scope", {})
    assert isinstance(listed, list)
    assert isinstance(scope, dict)
    narrowed: list[Json] = []
    for entry in listed:
        assert isinstance(entry, dict)
        attributes = entry["attributes"]
        assert isinstance(attributes, dict)
        narrowed.append({**entry, "attributes": {**attributes, "id": {"expression": test}}})
    return {**spec, "filters": narrowed, "scope": {**scope, **known}}
