"""Lower what waits for events and what publishes them: ``listen``, ``emit``, ``schedule.on``."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from workflow_engine import expressions, filters
from workflow_engine.dsl import event_attributes
from workflow_engine.dsl.lowering import KEPT_SECRET
from workflow_engine.dsl.v1.scope import TASK, Task
from workflow_engine.expressions import Expression
from workflow_engine.graph.model import Action, EachEvent, Emit, Event, EventFilter, Strategy
from workflow_engine.values import Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering


def channel_of(lowering: WorkflowLowering, task: Task) -> str:
    """The router's channel for *task*: ``metadata.channel``, or ``default``."""
    return lowering.channel(task.body.get("metadata"), task.at("metadata"))


def emit(lowering: WorkflowLowering, task: Task) -> Action:
    event = task.part("emit", "event", "with")
    if isinstance(event, dict):
        at = task.at("emit", "event", "with")
        event_attributes.check_published(
            lowering, event, lambda name: at + pointer(name), texts=not lowering.loose
        )
    template = lowering.template(event, task.variables, task.at("emit", "event", "with"))
    return Emit(template, channel_of(lowering, task))


def listen(lowering: WorkflowLowering, task: Task) -> Action:
    to = task.part("listen", "to")
    wanted = strategy(lowering, to, task.at("listen", "to"), task.variables, task.scope.lexical)
    read = str(task.part("listen", "read") or "data")
    return Event(
        strategy=wanted,
        channel=channel_of(lowering, task),
        read=read,
        each=each_event(lowering, task, ("foreach",)),
    )


def each_event(lowering: WorkflowLowering, task: Task, path: tuple[str, ...]) -> EachEvent | None:
    """What the iterator at *path* of *task* does with each event; None where there is none."""
    each = task.part(*path)
    if not isinstance(each, dict):
        return None
    item = lowering.reserved(str(each.get("item") or "item"), task.at(*path, "item"))
    index = lowering.reserved(str(each.get("at") or "index"), task.at(*path, "at"), beside=item)
    scope = task.scope.bind(item, index)
    body = each.get("do")
    variables = scope.variables(TASK) - {"task"}
    leave = lowering.output_steps(each.get("output"), task.at(*path, "output"), variables)
    leave += lowering.export_steps(each.get("export"), task.at(*path, "export"), variables | {"output"})
    return EachEvent(
        item,
        index,
        None if body is None else lowering.region(body, task.at(*path, "do"), scope, loop=True),
        leave,
    )


def strategy(
    lowering: WorkflowLowering, value: Json, at: str, variables: Collection[str], lexical: Collection[str]
) -> Strategy:
    """A consumption strategy (dsl.md §1.17): exactly one of ``one``, ``any`` and ``all``.

    Its filters are kept by the router, so no secret can be in them; its condition is the run's own.
    """
    of_run, variables = variables, frozenset(variables) - KEPT_SECRET
    assert isinstance(value, dict)
    mode = next(key for key in ("one", "any", "all") if key in value)
    listed = value[mode]
    items = [listed] if mode == "one" else listed
    used: set[str] = set()
    wanted: list[EventFilter] = []
    for number, item in enumerate(items if isinstance(items, list) else []):
        assert isinstance(item, dict)
        place = f"{at}/{mode}" + ("" if mode == "one" else f"/{number}")
        wanted.append(_filter(lowering, item, place, variables, used))
    if len(wanted) > filters.MAX_FILTERS:
        lowering.problem("too-large", f"at most {filters.MAX_FILTERS} filters can be listened for", at)
    if mode == "all" and not wanted:
        lowering.problem("invalid-value", "`all` of no events never comes; name one or more", f"{at}/all")
    if mode == "any" and not wanted:
        wanted.append(EventFilter({}))  # an empty `any` takes every event
    until_value = value.get("until")
    until: Expression | Strategy | None = None
    if isinstance(until_value, dict):
        until = strategy(lowering, until_value, f"{at}/until", variables, lexical)
        used |= set(until.variables)
    elif until_value is not None:
        until = lowering.expression(until_value, of_run, f"{at}/until")
    return Strategy(mode, tuple(wanted), until, tuple(sorted(used)))


def _filter(
    lowering: WorkflowLowering, item: JsonObject, at: str, variables: Collection[str], used: set[str]
) -> EventFilter:
    attributes: JsonObject = {}
    with_ = item.get("with")
    for name, literal in (with_ if isinstance(with_, dict) else {}).items():
        place = f"{at}/with" + pointer(name)
        event_attributes.check_wanted(lowering, name, place)
        source = expressions.unwrap(literal) if isinstance(literal, str) else None
        if source is not None:
            compiled = lowering.expression(source, {*variables, "event"}, place)
            used |= compiled.variables - {"event"}
            attributes[name] = {"expression": source}
            continue
        mixed = (
            "${" in str(literal)
            if lowering.loose
            else not lowering.template(literal, variables, place).constant
        )
        if mixed:
            message = "write the whole value as one `${ }`: it sees the attribute as `.`"
            lowering.problem("mixed-filter", message, place)
        attributes[name] = filters.attribute_test(literal)
    correlate = []
    keys = item.get("correlate")
    for name, rule in (keys if isinstance(keys, dict) else {}).items():
        assert isinstance(rule, dict)
        place = f"{at}/correlate" + pointer(name)
        source = lowering.expression(rule.get("from"), (), place + "/from").source
        expected = rule.get("expect")
        known = None if expected is None else lowering.template(expected, variables, place + "/expect")
        correlate.append((name, source, known))
    return EventFilter(attributes, tuple(correlate))
