"""The machine of a strategy: it takes events one at a time, and its state is a value."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from workflow_engine import expressions
from workflow_engine.filters.attributes import (
    AttributeTest,
    BadSpec,
    canonical_text,
    compile_test,
    expression_at,
    members_of,
)
from workflow_engine.filters.collected import Condition, condition
from workflow_engine.filters.interest import Interest, Probe, answer_to_attribute
from workflow_engine.filters.patience import asked
from workflow_engine.values import Json, JsonObject, deep_equal, identity

State: TypeAlias = JsonObject
"""Where a machine is: JSON to be stored as it is. Every machine starts from ``{}``."""

MAX_FILTERS = 256
"""How many filters one strategy may have."""
MAX_TESTS = 2048
"""How many attributes and correlations its filters may test together: each event is tested while all others wait."""
MAX_SHARED = 8192
"""How many characters a spec may have that is kept to be found again; thousands of large ones would fill the memory."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event was taken.

    *index* is the filter it satisfied, ``None`` where it only counted towards ``until``: such an event is
    not part of the output. *ends*: it satisfied ``until``. *complete*: nothing more will be accepted.
    """

    index: int | None
    state: State
    complete: bool
    ends: bool = False


@lru_cache(maxsize=4096)
def _machine(canonical: str) -> Machine:
    return Machine(json.loads(canonical))


def machine(spec: JsonObject) -> Machine:
    """The machine of a strategy; of equal specs that are small one alone. A bad spec is reported by `Machine.check`."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return _machine(canonical) if len(canonical) <= MAX_SHARED else Machine(json.loads(canonical))


class Machine:
    """Takes events one at a time; its state is a value that the caller keeps, so a machine may be shared."""

    def __init__(self, spec: JsonObject) -> None:
        self.spec = spec
        self._problem: ValueError | None = None
        self._strategy = _NOTHING
        self._begun: State = {}
        try:
            self._strategy = _strategy(spec, "", _scope(spec), nested=False)
            self._begun = self._after(spec.get("after", []))
        except BadSpec as bad:
            self._problem = bad

    def _after(self, events: Json) -> State:
        """Where it is after the *events* that it took before: the ``after`` of a listener that begins once more."""
        state: State = {}
        if not isinstance(events, list):
            raise BadSpec("expected a list of events", "after")
        for event in events:
            taken = _accept(self._strategy, state, _object(event), [])
            state = state if taken is None else taken.state
        return state

    def check(self) -> None:
        """Raise `ValueError`, with the RFC 6901 pointer of the place in the spec, where the spec is wrong."""
        if self._problem is not None:
            raise self._problem

    def initial(self) -> State:
        """The state before any event."""
        return {}

    def accept(self, state: State, event: JsonObject, errors: list[str] | None = None) -> Accepted | None:
        """Take *event* or leave it (``None``); *state* is not changed.

        ``until`` is asked first where it is a strategy, and last, of all events so far, where it is a condition.
        ``one`` and ``any`` take the first event that matches and are complete, unless ``until`` or ``open``
        keeps an ``any`` going. ``all`` takes one event for each filter, in any order; an event that matches
        several takes the first that still waits (decision A38).

        A correlation key has one value for the whole strategy, ``until`` included: what ``expect`` says, or
        else what the first accepted event had (decision A42). An event without a value (null) for a key
        that expects nothing in particular does not match.

        A state that was complete accepts nothing. What could not be evaluated is added to *errors*.
        """
        self.check()
        if (state or self._begun).get("complete"):
            return None
        faults: list[str] = [] if errors is None else errors
        return _accept(self._strategy, state or self._begun, event, faults)

    def matches(self, event: JsonObject, errors: list[str] | None = None) -> list[int]:
        """Every filter that *event* satisfies when nothing was accepted before, in order."""
        self.check()
        faults: list[str] = [] if errors is None else errors
        keys = dict(self._strategy.expected)
        return [
            i for i, item in enumerate(self._strategy.filters) if item.keys(event, keys, faults) is not None
        ]

    def interest(self) -> list[tuple[str | None, str | None]]:
        """The (type, source) pairs to index by: an event is accepted only if it fits one of them.

        ``None`` fits anything. Pairs are unique; those of ``until`` are among them.
        """
        self.check()
        return list(dict.fromkeys((wanted.type, wanted.source) for wanted in self.interests()))

    def interests(self) -> list[Interest]:
        """The same, with what else an event must have that can be looked up, such as the value of a correlation key."""
        self.check()
        until = () if self._strategy.until is None else self._strategy.until.filters
        return list(dict.fromkeys(item.interest for item in (*self._strategy.filters, *until)))


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    extract: expressions.Expression
    expect: Json
    has_expect: bool


@dataclass(frozen=True, slots=True)
class _Filter:
    tests: tuple[tuple[str, AttributeTest], ...]
    correlate: tuple[_Key, ...]
    ignore_case: bool
    scope: JsonObject
    interest: Interest

    def keys(self, event: JsonObject, keys: JsonObject, errors: list[str]) -> JsonObject | None:
        """The correlation values after *event*, or ``None`` where it does not match."""
        named = {name.lower(): value for name, value in event.items()} if self.ignore_case else event
        for name, test in self.tests:
            try:
                if not test(named.get(name), name in named, event):
                    return None
            except expressions.EvaluationError as error:
                errors.append(f"attribute {name!r}: {error}")
                return None
        found: JsonObject = {}
        for key in self.correlate:
            try:
                value = asked(key.extract, event, {**self.scope, "event": event})
            except expressions.EvaluationError as error:
                errors.append(f"correlation {key.name!r}: {error}")
                return None
            if key.has_expect:
                if not deep_equal(value, key.expect):
                    return None
            elif value is None or (key.name in keys and not deep_equal(value, keys[key.name])):
                return None
            if key.name not in keys:
                found[key.name] = value
        return {**keys, **found}


@dataclass(frozen=True, slots=True)
class _Strategy:
    mode: str
    filters: tuple[_Filter, ...]
    until: _Strategy | None
    condition: Condition | None
    open: bool
    expected: JsonObject


_NOTHING = _Strategy("any", (), None, None, open=False, expected={})


def _accept(strategy: _Strategy, state: State, event: JsonObject, errors: list[str]) -> Accepted | None:
    kept = state.get("keys")
    keys: JsonObject = {**strategy.expected, **(kept if isinstance(kept, dict) else {})}
    after = dict(state)
    counted = False
    if strategy.until is not None:
        before = state.get("until")
        inner: State = {"met": before if isinstance(before, list) else [], "keys": keys}
        taken = _accept(strategy.until, inner, event, errors)
        if taken is not None:
            if taken.complete:
                return Accepted(None, {**after, "complete": True}, complete=True, ends=True)
            keys = _object(taken.state.get("keys"))
            after |= {"until": taken.state.get("met", []), "keys": keys}
            counted = True
    met = state.get("met")
    satisfied = set(_indices(met))
    for index, item in enumerate(strategy.filters):
        if strategy.mode == "all" and index in satisfied:
            continue
        found = item.keys(event, keys, errors)
        if found is None:
            continue
        if found:
            after["keys"] = found
        if strategy.mode == "all":
            after["met"] = [*sorted((*satisfied, index))]
            complete = len(satisfied) + 1 == len(strategy.filters)
        elif strategy.condition is not None:
            seen = strategy.condition.after(state.get("seen"), event)
            after["seen"] = seen
            complete = strategy.condition.holds(seen, errors)
        else:
            complete = strategy.until is None and not strategy.open
        if complete:
            after["complete"] = True
        return Accepted(index, after, complete)
    return Accepted(None, after, complete=False) if counted else None


def _indices(value: Json) -> Iterator[int]:
    yield from (item for item in value if isinstance(item, int)) if isinstance(value, list) else ()


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _scope(spec: JsonObject) -> JsonObject:
    scope = spec.get("scope", {}) if isinstance(spec, dict) else {}
    if not isinstance(scope, dict):
        raise BadSpec("expected an object of variables", "scope")
    if "event" in scope:
        raise BadSpec("$event is the event; name the variable otherwise", "scope", "event")
    return scope


def _strategy(spec: Json, at: str, scope: JsonObject, *, nested: bool) -> _Strategy:
    path = [at] if at else []
    members = members_of(
        spec, {"mode", "filters"} if nested else {"mode", "filters", "until", "open", "scope", "after"}, *path
    )
    mode = members.get("mode")
    if mode not in ("one", "any", "all"):
        raise BadSpec("expected one, any or all", *path, "mode")
    filters = members.get("filters")
    if not isinstance(filters, list) or len(filters) > MAX_FILTERS:
        raise BadSpec(f"expected a list of at most {MAX_FILTERS} filters", *path, "filters")
    if not filters and mode == "any":
        filters = [{}]  # `any: []` is every event
    if not filters or (mode == "one" and len(filters) != 1):
        raise BadSpec(
            f"{mode} takes {'exactly one filter' if mode == 'one' else 'one filter or more'}",
            *path,
            "filters",
        )
    until, is_open = members.get("until"), members.get("open", False)
    if not isinstance(is_open, bool):
        raise BadSpec("expected true or false", *path, "open")
    if (until is not None or is_open) and mode != "any":
        raise BadSpec(
            f"only `any` goes on until something happens, not {mode}", *path, "until" if until else "open"
        )
    if until is not None and is_open:
        raise BadSpec(
            "`open` means that the listener decides the end; `until` may not stand beside it", "open"
        )
    if sum(map(_tests, filters)) > MAX_TESTS:
        raise BadSpec(f"filters with more than {MAX_TESTS} attributes and correlations", *path, "filters")
    compiled = tuple(_filter(item, scope, *path, "filters", i) for i, item in enumerate(filters))
    enough = condition(until, scope) if isinstance(until, dict) and "expression" in until else None
    ending = None if until is None or enough is not None else _strategy(until, "until", scope, nested=True)
    expected: JsonObject = {}
    for item in (*compiled, *(ending.filters if ending else ())):
        for key in item.correlate:
            if key.has_expect:
                expected.setdefault(key.name, key.expect)
    return _Strategy(str(mode), compiled, ending, enough, is_open, expected)


def _tests(spec: Json) -> int:
    members = spec if isinstance(spec, dict) else {}
    parts = (members.get("attributes"), members.get("correlate"))
    return sum(len(part) for part in parts if isinstance(part, dict))


def _filter(spec: Json, scope: JsonObject, *path: str | int) -> _Filter:
    members = members_of(spec, {"attributes", "correlate", "ignore_case"}, *path)
    ignore_case = members.get("ignore_case", False)
    if not isinstance(ignore_case, bool):
        raise BadSpec("expected true or false", *path, "ignore_case")
    attributes = members.get("attributes", {})
    if not isinstance(attributes, dict):
        raise BadSpec("expected an object of tests", *path, "attributes")
    exact: dict[str, str] = {}
    tests = []
    for name, test in attributes.items():
        place = (*path, "attributes", name)
        canonical = name.lower() if ignore_case else name
        tests.append((canonical, compile_test(test, canonical, scope, *place)))
        if (
            isinstance(test, dict)
            and list(test) == ["equals"]
            and (text := canonical_text(test["equals"])) is not None
        ):
            exact[canonical] = text
    correlate = members.get("correlate", {})
    if not isinstance(correlate, dict):
        raise BadSpec("expected an object of correlations", *path, "correlate")
    keys = tuple(_key(name, item, scope, *path, "correlate", name) for name, item in correlate.items())
    probe, answer = _probe(attributes, keys, scope, ignore_case=ignore_case)
    interest = Interest(exact.get("type"), exact.get("source"), probe, answer)
    return _Filter(tuple(tests), keys, ignore_case, scope, interest)


def _probe(
    attributes: JsonObject, keys: tuple[_Key, ...], scope: JsonObject, *, ignore_case: bool
) -> tuple[Probe | None, Hashable]:
    """What else can be looked up: the expected value of a correlation key, of an attribute, or of a part of one that an
    expression compares with a constant.
    """
    for key in keys:
        if key.has_expect and key.extract.variables <= {"event"}:
            return Probe(expression=key.extract), identity(key.expect)
    for name, test in attributes.items():
        if (
            not ignore_case
            and name not in ("type", "source", "data")
            and isinstance(test, dict)
            and list(test) == ["equals"]
            and test["equals"] is not None
        ):
            return Probe(attribute=name), answer_to_attribute(test["equals"])
    for name, test in attributes.items():
        if not ignore_case and isinstance(test, dict) and (source := test.get("expression")) is not None:
            found = expressions.equality(expression_at(source, scope, "expression").source)
            if found is not None:
                path = ".".join(["", *(json.dumps(key, ensure_ascii=False) for key in (name, *found[0]))])
                return Probe(expression=expressions.compile(path, variables=())), identity(found[1])
    return None, None


def _key(name: str, spec: Json, scope: JsonObject, *path: str | int) -> _Key:
    members = members_of(spec, {"from", "expect"}, *path)
    return _Key(
        name,
        expression_at(members.get("from"), scope, *path, "from"),
        members.get("expect"),
        "expect" in members,
    )
