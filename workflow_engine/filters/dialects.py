"""The filters of a subscription: a list of expressions, each in a dialect, all of which must be true of an event.

The dialects of the CloudEvents Subscriptions API, and two more::

    {"exact": {"type": "order.placed"}}         attributes that are so; {"prefix": …}, {"suffix": …} likewise
    {"all": [filter, …]}  {"any": [filter, …]}  {"not": filter}
    {"sql": "type LIKE 'order.%'"}              CloudEvents SQL (`cesql`); {"cesql": …} is the same
    {"pattern": {"data": {"n": [{"numeric": [">", 5]}]}}}                       an event pattern (`patterns`)
    {"eventgrid": {"data": {"n": [{"op": "NumberGreaterThan", "value": 5}]}}}   a filter of EventGrid (`eventgrid`)

An expression may go wrong over an event; then it is not known whether it is true (CloudEvents SQL: where there are
errors "the event MUST NOT pass the filter"), and that is so of ``not`` of it, too. An event of which it is not known
whether all filters are true is not taken.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from workflow_engine.filters import cesql, eventgrid, patterns
from workflow_engine.filters.attributes import BadSpec, canonical_text
from workflow_engine.filters.cesql_functions import function
from workflow_engine.filters.cesql_syntax import (
    Attribute,
    Binary,
    Call,
    In,
    Like,
    Literal,
    Logic,
    Node,
    Unary,
)
from workflow_engine.filters.interest import Interest, Probe, answer_to_attribute
from workflow_engine.filters.machine import MAX_SHARED
from workflow_engine.filters.predicates import (
    EVERY,
    MAX_TRAITS,
    Predicate,
    Traits,
    Verdict,
    all_of,
    any_of,
    attribute_is,
    both,
    either,
    negation,
)
from workflow_engine.filters.trees import MAX_DEPTH, Budget, tree
from workflow_engine.values import Json, JsonObject, weighs

DIALECTS = ("exact", "prefix", "suffix", "all", "any", "not", "sql", "cesql", "pattern", "eventgrid")
MAX_SIZE = 64 * 1024
"""How many characters of JSON the filters of a subscription may have together, about."""


class Filters:
    """Compiled filters; they keep nothing, and may be shared."""

    def __init__(self, parts: Sequence[Predicate]) -> None:
        self._parts = tuple(parts)
        self._whole = all_of(self._parts) if parts else Predicate(lambda _event, _errors: True)

    def narrowed(self, interests: Sequence[Interest]) -> list[Interest]:
        """What an event must have that is taken and fits one of *interests*, to look it up by."""
        found = interests
        if len(interests) * len(self._whole.traits) <= MAX_TRAITS:
            found = [
                each
                for wanted in interests
                for traits in self._whole.traits
                for each in _joined(wanted, traits)
            ]
        return list(dict.fromkeys(found))

    def take(self, event: JsonObject, errors: list[str]) -> bool:
        """Whether all are true of *event*. Where that could not be told, what went wrong is added to *errors*."""
        wrong: list[str] = []
        verdict = self._whole.test(event, wrong)
        if verdict is None:
            errors.extend(wrong)
        return verdict is True

    def true_of(self, event: JsonObject, errors: list[str]) -> list[int]:
        """Which of them are true of *event*, from 0."""
        return [index for index, part in enumerate(self._parts) if Filters([part]).take(event, errors)]


def filters(spec: Json) -> Filters:
    """The filters that *spec* is, a list, or `BadSpec` with the place. Equal ones that are small are compiled once."""
    if not isinstance(spec, list):
        raise BadSpec("expected a list of filters")
    if weighs(spec, MAX_SIZE) > MAX_SIZE:
        raise BadSpec(f"filters of more than {MAX_SIZE} characters")
    try:
        canonical = json.dumps(spec, separators=(",", ":"))
        return _shared(canonical) if len(canonical) <= MAX_SHARED else _compiled(canonical)
    except RecursionError:
        raise BadSpec(f"a filter is at most {MAX_DEPTH} deep") from None


def _compiled(canonical: str) -> Filters:
    budget = Budget()
    return Filters([_read(item, budget, index) for index, item in enumerate(json.loads(canonical))])


_shared = lru_cache(maxsize=4096)(_compiled)


def _joined(wanted: Interest, traits: Traits) -> Iterator[Interest]:
    """Both together, where they do not exclude one another."""
    texts = dict(traits)
    type, source = texts.pop("type", wanted.type), texts.pop("source", wanted.source)
    if wanted.type in (None, type) and wanted.source in (None, source):
        joined = wanted._replace(type=type, source=source)
        if wanted.probe is None and texts:
            name = "subject" if "subject" in texts else min(texts)
            joined = Interest(type, source, Probe(attribute=name), answer_to_attribute(texts[name]))
        yield joined


def _read(spec: Json, budget: Budget, *path: str | int) -> Predicate:
    if not isinstance(spec, dict) or len(spec) != 1:
        raise BadSpec('expected a filter of one dialect, such as {"exact": {"type": "order.placed"}}', *path)
    [(dialect, given)] = spec.items()
    path = (*path, dialect)
    budget.spend(*path)
    if len(path) > MAX_DEPTH:
        raise BadSpec(f"a filter is at most {MAX_DEPTH} deep", *path)
    match dialect:
        case "exact" | "prefix" | "suffix":
            return _attributes(dialect, given, budget, *path)
        case "all" | "any":
            if not isinstance(given, list) or not given:
                raise BadSpec("expected a list of at least one filter", *path)
            parts = [_read(item, budget, *path, index) for index, item in enumerate(given)]
            return all_of(parts) if dialect == "all" else any_of(parts)
        case "not":
            return negation(_read(given, budget, *path))
        case "sql" | "cesql":
            return _sql(given, budget, *path)
        case "pattern":
            return tree(given, patterns.leaf, budget, *path, alternatives=True)
        case "eventgrid":
            return tree(given, eventgrid.leaf, budget, *path, alternatives=False)
        case _:
            raise BadSpec(f"unknown dialect; expected one of {', '.join(DIALECTS)}", *path)


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "exact": str.__eq__,
    "prefix": str.startswith,
    "suffix": str.endswith,
}


def _attributes(dialect: str, given: Json, budget: Budget, *path: str | int) -> Predicate:
    """Attributes against texts; those that are no texts are compared in their canonical form."""
    if not isinstance(given, dict) or not given:
        raise BadSpec("expected an object of attributes", *path)
    wanted: dict[str, str] = {}
    for name, text in given.items():
        place = (*path, name)
        budget.spend(*place)
        if not (name.isascii() and name.isalnum() and name == name.lower()) or name == "data":
            raise BadSpec("no attribute is called so: names have letters a-z and digits", *place)
        if not isinstance(text, str) or not text:
            raise BadSpec("expected a text that is not empty", *place)
        wanted[name] = text
    tests = tuple(wanted.items())
    holds = _TESTS[dialect]

    def test(event: JsonObject, _errors: list[str]) -> bool:
        for name, text in tests:
            value = canonical_text(event.get(name))
            if value is None or not holds(value, text):
                return False
        return True

    return Predicate(test, (frozenset(tests),) if dialect == "exact" else EVERY)


def _sql(source: Json, budget: Budget, *path: str | int) -> Predicate:
    if not isinstance(source, str):
        raise BadSpec("expected an expression, which is a text", *path)
    try:
        expression = cesql.compile(source)
    except cesql.ParseError as error:
        raise BadSpec(str(error), *path) from None
    parts = _known(expression.tree, source, *path)
    budget.spend(*path, parts=parts)

    def test(event: JsonObject, errors: list[str]) -> Verdict:
        value, wrong = expression.evaluate(event)
        if wrong:
            errors += [f"sql: {error.kind} at {error.at + 1}: {error.message}" for error in wrong]
            return None
        return value is True

    return Predicate(test, _traits(expression.tree))


def _known(node: Node, source: str, *path: str | int) -> int:
    """How many parts an expression has; `BadSpec` where it calls what is no function, for it would always fail."""
    inner: tuple[Node, ...] = ()
    match node:
        case Unary(operand=operand) | Like(operand=operand):
            inner = (operand,)
        case Binary(left=left, right=right):
            inner = (left, right)
        case Logic(operands=operands):
            inner = operands
        case In(operand=operand, members=members):
            inner = (operand, *members)
        case Call(name=name, arguments=arguments, at=at):
            if function(name, len(arguments)) is None:
                message = f"there is no function {name} of {len(arguments)} arguments"
                raise BadSpec(str(cesql.ParseError(message, source, at)), *path)
            inner = arguments
        case _:
            pass
    return 1 + sum(_known(each, source, *path) for each in inner)


def _traits(node: Node) -> tuple[Traits, ...]:
    """Which events an expression can be true of: what it says of attributes and texts by ``=``, ``IN``, AND and OR."""
    match node:
        case Logic(operator="AND", operands=operands):
            found = EVERY
            for operand in operands:
                found = both(found, _traits(operand))
            return found
        case Logic(operator="OR", operands=operands):
            return either(each for operand in operands for each in _traits(operand))
        case Binary(operator="=", left=Attribute(name=name), right=Literal(value=str() as text)):
            return attribute_is(name, (text,))
        case In(operand=Attribute(name="type" | "source" | "subject" as name), members=members):
            # An operand that is no text has the members cast to its type, so only where it is one are they looked up.
            texts = [member.value for member in members if isinstance(member, Literal)]
            known = [text for text in texts if isinstance(text, str)]
            return attribute_is(name, known) if len(known) == len(members) else EVERY
        case _:
            return EVERY
