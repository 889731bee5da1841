"""JSON Schema: checks of data, bounded and without the network."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import jsonschema
import re2
from jsonschema import validators
from jsonschema.protocols import Validator
from jsonschema_specifications import REGISTRY  # type: ignore[import-untyped]
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012, specification_with

from workflow_engine.values import Json, pointer

_DRAFT_2020_12 = "https://json-schema.org/draft/2020-12/schema"
_EXTEND: Any = validators.extend  # untyped in its stubs
_UNKNOWN: Any = object()
_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


def check_schema(schema: Json) -> None:
    """Check that *schema* is a JSON Schema that can be used here.

    `ValueError` says where and why not: it breaks the rules of its draft, refers to what is not inside it
    (nothing is fetched), or has a pattern that RE2 cannot match in linear time.
    """
    _validator(_text(schema))


class Schema:
    """A compiled schema: Draft 2020-12 unless its ``$schema`` says otherwise.

    `ValueError` as in `check_schema`. Formats are annotations, as the draft has it.
    """

    __slots__ = ("_validator",)

    def __init__(self, schema: Json) -> None:
        self._validator = _validator(_text(schema))

    def problems(self, value: Json, limit: int = 10) -> list[str]:
        """At most *limit* reasons why *value* does not match, each ``/pointer: message``."""
        found: list[str] = []
        try:
            for error in self._validator.iter_errors(value):
                place = pointer(*error.absolute_path) or "/"
                found.append(f"{place}: {_short(error.message)}")
                if len(found) >= limit:
                    break
        except RecursionError:
            found.append("/: the value or the schema is nested too deeply to be checked")
        return found


def _short(message: str) -> str:
    return message if len(message) <= 300 else message[:200] + " ... " + message[-80:]


def _text(schema: Json) -> str:
    return json.dumps(schema, sort_keys=False)


@lru_cache(maxsize=512)
def _validator(text: str) -> Validator:
    schema: Any = json.loads(text)
    if not isinstance(schema, dict | bool):
        raise ValueError(f"/: a schema is an object or a boolean, not {type(schema).__name__}")
    dialect = schema.get("$schema") if isinstance(schema, dict) else None
    known: Any = validators.validator_for(schema, default=_UNKNOWN)
    if dialect is not None and known is _UNKNOWN:
        raise ValueError(f"/$schema: the dialect {dialect!r} is not known")
    cls: Any = jsonschema.Draft202012Validator if known is _UNKNOWN else known
    try:
        cls.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"{pointer(*error.absolute_path) or '/'}: {_short(error.message)}") from None
    _check_references(schema)
    _check_patterns(schema)
    bounded: Any = _EXTEND(
        cls,
        {
            "pattern": _pattern,
            "patternProperties": _pattern_properties,
            "additionalProperties": _additional_properties,
        },
    )
    validator: Validator = bounded(schema, registry=REGISTRY)
    return validator


def _check_references(schema: Any) -> None:
    if not isinstance(schema, dict):
        return
    specification = specification_with(str(schema.get("$schema", _DRAFT_2020_12)), default=DRAFT202012)
    root = specification.create_resource(schema)
    pending = [(root, REGISTRY.resolver_with_root(root))]
    while pending:
        resource, resolver = pending.pop()
        for keyword in _REFERENCES:
            reference = resource.contents.get(keyword) if isinstance(resource.contents, dict) else None
            if isinstance(reference, str):
                try:
                    resolver.lookup(reference)
                except (Unresolvable, ValueError):
                    raise ValueError(
                        f"/: {keyword} {reference!r} is not inside the schema, and nothing is fetched; "
                        "put it under $defs"
                    ) from None
        pending += [(sub, resolver.in_subresource(sub)) for sub in resource.subresources()]


def _check_patterns(schema: Any) -> None:
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
                        f"{pointer(*path) or '/'}: the pattern {pattern!r} is not RE2 syntax, which "
                        f"matches in linear time (no look-around, no back-references): {error}"
                    ) from None
            pending += [((*path, key), item) for key, item in part.items()]
        elif isinstance(part, list):
            pending += [((*path, index), item) for index, item in enumerate(part)]
    if len(seen) == 2:
        raise ValueError("/: patternProperties and unevaluatedProperties together are not supported")


@lru_cache(maxsize=1024)
def _regex(pattern: str) -> Any:
    return re2.compile(pattern, _OPTIONS)


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
