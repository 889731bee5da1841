"""JSON Schema: checks of data, bounded and without the network.

A schema may refer to others, which are given along with it, by address; nothing is ever fetched here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from fractions import Fraction
from functools import cache, lru_cache, partial
from typing import Any

import jsonschema
import re2
from jsonschema import validators
from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing import Registry
from referencing.exceptions import NoSuchResource, Unresolvable
from referencing.jsonschema import DRAFT202012, specification_with

from workflow_engine.expressions.quick_checks import Quick, quick_check
from workflow_engine.expressions.sound_schemas import is_sound
from workflow_engine.values import Json, identity, pointer

MAX_STEPS = 40_000
"""How many times a part of a schema may be applied to a part of the data, in one check: less than half a second."""
_DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"
_EXTEND: Any = validators.extend  # untyped in its stubs
_UNKNOWN: Any = object()
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


class _TooMuch(Exception):
    """A check takes more steps than it may."""


class _Check:
    """One check under way: how many steps it may still take, and the class for the dialect of each document.

    *decimal*: whether numbers are multiples of others by their decimal digits.
    """

    __slots__ = ("decimal", "dialects", "left")

    def __init__(self, dialects: Mapping[str, Any], decimal: bool = True) -> None:
        self.dialects, self.decimal = dialects, decimal
        self.left = MAX_STEPS


_check: ContextVar[_Check] = ContextVar("check")


def check_schema(schema: Json) -> None:
    """Check that *schema* is a JSON Schema that can be used here.

    `ValueError` says where and why not: it breaks the rules of its draft, refers to what is not inside it
    (nothing is fetched), or has a pattern that RE2 cannot match in linear time.
    """
    _validator(_text(schema), "", "{}")


def missing_references(
    schema: Json, address: str = "", others: Mapping[str, Json] | None = None
) -> list[str]:
    """The addresses that *schema*, which is at *address*, and *others* refer to and that are not among them.

    They are relative where the schema has no address. What breaks the rules refers to nothing.
    """
    if not others and is_sound(schema):
        return []
    found: dict[str, None] = {}

    def note(uri: str) -> Any:
        found.setdefault(uri)
        raise NoSuchResource(uri)

    try:
        registry = _registry(address, schema, others or {}, retrieve=note)
        list(_unresolved(registry, address, schema, others or {}))
    except (ValueError, AttributeError, TypeError):
        return []
    return [uri for uri in found if uri]


class Schema:
    """A compiled schema: Draft 2020-12 unless its ``$schema`` says otherwise.

    *others* are the documents that it refers to, by address, and *address* is its own, against which it refers to them.
    `ValueError` as in `check_schema`. Formats are annotations, as the draft has it.
    """

    __slots__ = ("_dialects", "_quick", "_validator")

    def __init__(self, schema: Json, address: str = "", others: Mapping[str, Json] | None = None) -> None:
        self._validator, self._dialects, self._quick = _validator(
            _text(schema), address, _text(dict(others or {}))
        )

    @property
    def source(self) -> Json:
        """The schema as it was given; not to be changed."""
        found: Json = self._validator.schema  # type: ignore[assignment]
        return found

    def problems(self, value: Json, limit: int = 10, *, decimal: bool = True) -> list[str]:
        """At most *limit* reasons why *value* does not match, each ``/pointer: message``.

        *decimal*: 19.99 is a multiple of 0.01. Not so, as once: what a division of binary fractions gives.
        """
        found: list[str] = []
        token = _check.set(_Check(self._dialects, decimal))
        try:
            if self._quick is not None and 0 <= self._quick(value) <= MAX_STEPS:
                return []
            for error in self._validator.iter_errors(value):
                place = pointer(*error.absolute_path) or "/"
                found.append(f"{place}: {_short(error.message)}")
                if len(found) >= limit:
                    break
        except RecursionError:
            found.append("/: the value or the schema is nested too deeply to be checked")
        except _TooMuch:
            found.append(f"/: the check takes more than {MAX_STEPS:,} steps")
        finally:
            _check.reset(token)
        return found


def _short(message: str) -> str:
    return message if len(message) <= 300 else message[:200] + " ... " + message[-80:]


def _text(schema: Json) -> str:
    return json.dumps(schema, sort_keys=False)


@lru_cache(maxsize=512)
def _validator(
    text: str, address: str, others_text: str
) -> tuple[Validator, Mapping[str, Any], Quick | None]:
    """What applies a schema, the class for the dialect of each document, by its address, and a quick look."""
    schema: Any = json.loads(text)
    others: dict[str, Any] = json.loads(others_text)
    sound = is_sound(schema)
    cls = _checked(schema, "", sound=sound)
    classes = {place: _checked(other, f" of {place}") for place, other in others.items()} | {address: cls}
    registry = _registry(address, schema, others)
    unresolved = () if sound and not others else _unresolved(registry, address, schema, others)
    for reference, place in unresolved:
        where = "is not inside the schema, and nothing is fetched; put it under $defs"
        if others or address:
            where = "leads nowhere"
        raise ValueError(f"/: {reference}{place} {where}")
    resolver = registry.resolver(address).in_subresource(_resource(schema))
    validator: Validator = _bounded(cls)(schema, registry=registry, _resolver=resolver)
    dialects = dict(classes)
    for place, document in (
        *others.items(),
        (address, schema),
    ):  # a document is also known by its own ``$id``
        dialects[registry.resolver(place).in_subresource(_resource(document))._base_uri] = classes[place]
    quick = quick_check(schema, MAX_STEPS, _found) if sound and not others else None
    return validator, dialects, quick


def _checked(schema: Any, place: str, *, sound: bool = False) -> Any:
    """The class for the dialect of *schema*; `ValueError` where it breaks its rules, or those here.

    *sound*: it is known to keep its own.
    """
    if not isinstance(schema, dict | bool):
        raise ValueError(f"/: a schema{place} is an object or a boolean, not {type(schema).__name__}")
    dialect = schema.get("$schema") if isinstance(schema, dict) else None
    known: Any = validators.validator_for(schema, default=_UNKNOWN)
    if dialect is not None and known is _UNKNOWN:
        raise ValueError(f"/$schema{place}: the dialect {dialect!r} is not known")
    cls: Any = jsonschema.Draft202012Validator if known is _UNKNOWN else known
    try:
        if not sound:
            cls.check_schema(schema)
    except jsonschema.SchemaError as error:
        where = pointer(*error.absolute_path) or "/"
        raise ValueError(f"{where}{place}: {_short(error.message)}") from None
    _check_patterns(schema, place)
    return cls


@cache
def _bounded(cls: Any) -> Any:
    """*cls* with patterns matched in linear time, in as many steps as a check may take, whatever it leads to."""
    bounded = _EXTEND(
        cls,
        {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
            "multipleOf": partial(_multiple_of, cls.VALIDATORS.get("multipleOf")),
            "uniqueItems": _unique_items,
        },
    )
    evolve = bounded.evolve

    def within_bounds(self: Any, **changes: Any) -> Any:
        check = _check.get()
        check.left -= 1
        if check.left < 0:
            raise _TooMuch
        schema, resolver = changes.get("schema"), changes.get("_resolver")
        other: Any = cls if resolver is None else check.dialects.get(resolver._base_uri, cls)
        if isinstance(schema, dict) and "$schema" in schema:
            other = validators.validator_for(schema, default=other)
            # A part that names its dialect would otherwise be applied by the class without these bounds.
            changes["schema"] = {key: item for key, item in schema.items() if key != "$schema"}
        if other is not cls:
            return _bounded(other)(**{"registry": self._registry, "_resolver": self._resolver, **changes})
        return evolve(self, **changes)

    bounded.evolve = within_bounds
    return bounded


def _resource(schema: Any) -> Any:
    dialect = schema.get("$schema", _DRAFT_2020_12) if isinstance(schema, dict) else _DRAFT_2020_12
    return specification_with(str(dialect), default=DRAFT202012).create_resource(schema)


def _registry(address: str, schema: Any, others: Mapping[str, Any], retrieve: Any = None) -> Any:
    """The schemas by address, beside the drafts themselves."""
    made: Any = Registry
    registry: Any = REGISTRY if retrieve is None else REGISTRY.combine(made(retrieve=retrieve))
    listed = [(place, _resource(other)) for place, other in others.items()]
    return registry.with_resources([*listed, (address, _resource(schema))])


def _unresolved(
    registry: Any, address: str, schema: Any, others: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Each reference that leads nowhere, and where it stands, if that is another document."""
    for place, document in ((address, schema), *others.items()):
        if not isinstance(document, dict):
            continue
        root = _resource(document)
        pending = [(root, registry.resolver(place).in_subresource(root))]
        while pending:
            resource, resolver = pending.pop()
            for keyword in _REFERENCES:
                reference = resource.contents.get(keyword) if isinstance(resource.contents, dict) else None
                if isinstance(reference, str):
                    try:
                        resolver.lookup(reference)
                    except (Unresolvable, ValueError):
                        yield f"{keyword} {reference!r}", "" if place == address else f" of {place}"
            pending += [(sub, resolver.in_subresource(sub)) for sub in resource.subresources()]


def _check_patterns(schema: Any, place: str) -> None:
    seen: set[str] = set()
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), schema)]
    while pending:
        path, part = pending.pop()
        if isinstance(part, dict):
            seen |= part.keys() & {"unevaluatedProperties", "patternProperties"}
            patterns = [part["pattern"]] if isinstance(part.get("pattern"), str) else []
            if isinstance(part.get("patternProperties"), dict):
                patterns += list(part["patternProperties"])
            for pattern in patterns:
                try:
                    _regex(pattern)
                except re2.error as error:
                    raise ValueError(
                        f"{pointer(*path) or '/'}{place}: the pattern {pattern!r} is not RE2 syntax, which "
                        f"matches in linear time (no look-around, no back-references): {error}"
                    ) from None
            pending += [((*path, key), item) for key, item in part.items()]
        elif isinstance(part, list):
            pending += [((*path, index), item) for index, item in enumerate(part)]
    if len(seen) == 2:
        raise ValueError(f"/{place}: patternProperties and unevaluatedProperties together are not supported")


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> Any:
    return re2.compile(pattern, _OPTIONS)


def _found(pattern: str, text: str) -> bool:
    return bool(_regex(pattern).search(text))


def _pattern(_validator: Any, pattern: str, value: Any, _schema: Any) -> Iterator[jsonschema.ValidationError]:
    if isinstance(value, str) and not _regex(pattern).search(value):
        yield jsonschema.ValidationError(f"{value!r} does not match {pattern!r}")


def _pattern_properties(
    validator: Any, patterns: dict[str, Any], value: Any, _schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if not isinstance(value, dict):
        return
    for pattern, subschema in patterns.items():
        for key, item in value.items():
            if _regex(pattern).search(key):
                yield from validator.descend(item, subschema, path=key, schema_path=pattern)


def _additional_properties(
    validator: Any, additional: Any, value: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if not isinstance(value, dict):
        return
    known = schema.get("properties", {})
    patterns = [_regex(pattern) for pattern in schema.get("patternProperties", {})]
    for key, item in value.items():
        if key in known or any(pattern.search(key) for pattern in patterns):
            continue
        if additional is False:
            yield jsonschema.ValidationError(f"additional property {key!r} is not allowed")
        else:
            yield from validator.descend(item, additional, path=key)


def _multiple_of(
    binary: Any, validator: Any, unit: Any, value: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    """By the decimal digits that both are written with: 19.99 / 0.01 is less than 1999 in binary fractions."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if not _check.get().decimal:
        yield from binary(validator, unit, value, schema)
    elif (Fraction(repr(value)) / Fraction(repr(unit))).denominator != 1:
        yield jsonschema.ValidationError(f"{value!r} is not a multiple of {unit!r}")


def _unique_items(
    _validator: Any, wanted: Any, value: Any, _schema: Any
) -> Iterator[jsonschema.ValidationError]:
    """By a set, for comparing each item with each takes too long."""
    if wanted and isinstance(value, list) and len({identity(item) for item in value}) < len(value):
        yield jsonschema.ValidationError(f"{value!r:.200} has non-unique elements")
