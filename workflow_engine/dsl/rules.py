"""Compiles our JSON Schemas to checks that tell an author what is wrong, and nothing twice.

A validator of JSON Schema answers "is this valid"; the errors it derives from a union are guesses. The schemas
of `dsl_schemas` keep to a part of the language in which the cause can be told: a ``oneOf`` is decided by the
type of the value or by which property is present, ``if``/``then`` by the presence or the value of a property.
That part is compiled here, once, to closures; `compile_rules` refuses what lies outside of it. The verdict is
that of the schema (the tests compare it with a standard validator's); the words are ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from workflow_engine.dsl.objects import Branch, Choice, Condition, ObjectRule, Predicate
from workflow_engine.dsl.report import Path, Report
from workflow_engine.dsl.scalar_rules import Check, boolean_rule, number_rule, refused, string_rule
from workflow_engine.dsl.wording import kind
from workflow_engine.values import Json

_ANNOTATIONS = {"$schema", "$id", "$comment", "$defs", "title", "description", "x-codes"}
_OBJECT_KEYWORDS = {
    "type", "properties", "required", "additionalProperties", "unevaluatedProperties", "patternProperties",
    "minProperties", "maxProperties", "dependentRequired", "dependentSchemas", "oneOf", "anyOf", "allOf", "if",
    "then", "else", "$ref", "x-renamed", "x-misplaced",
}  # fmt: skip


def compile_rules(schema: dict[str, Any]) -> Check:
    """A check of values against *schema*; `ValueError` names a keyword that is not understood."""
    return _Compiler(schema).check(schema)


def _anything(value: Json, path: Path, report: Report) -> None:
    """Every value is fine."""


class _Compiler:
    def __init__(self, root: dict[str, Any]) -> None:
        self._definitions: dict[str, Any] = {
            f"#/$defs/{name}": schema for name, schema in root.get("$defs", {}).items()
        }
        self._checks: dict[str, Check] = {}
        self._objects: dict[str, ObjectRule] = {}

    def check(self, schema: Any) -> Check:
        keywords = {} if schema is True else {k: v for k, v in schema.items() if k not in _ANNOTATIONS}
        if not keywords:
            return _anything
        if keywords == {"not": {}}:
            return refused(schema)
        if keywords.keys() == {"$ref"}:
            return self._reference(keywords["$ref"])
        if "oneOf" in keywords and all(self._types(branch) for branch in keywords["oneOf"]):
            return self._by_type(schema)
        match self._types(schema):
            case ["object"] | []:
                return self._object(schema)
            case ["array"]:
                return self._list(schema)
            case ["string"]:
                return string_rule(schema)
            case ["integer" | "number"]:
                return number_rule(schema)
            case ["boolean"]:
                return boolean_rule(schema)
            case types:
                return self._any_of_types(schema, types)

    def _types(self, schema: Any) -> list[str]:
        """The types that *schema* itself, or what it refers to, names."""
        if schema is True:
            return []
        found = schema.get("type", [])
        if not found and "$ref" in schema:
            return self._types(self._definitions[schema["$ref"]])
        return [found] if isinstance(found, str) else list(found)

    def _reference(self, reference: str) -> Check:
        if reference not in self._checks:
            self._checks[reference] = self._later(reference)
            self._checks[reference] = self.check(self._definitions[reference])
        return self._checks[reference]

    def _later(self, reference: str) -> Check:
        """The check of a definition that is being compiled: definitions refer to themselves."""
        checks = self._checks

        def check(value: Json, path: Path, report: Report) -> None:
            checks[reference](value, path, report)

        return check

    def _by_type(self, schema: dict[str, Any]) -> Check:
        branches: dict[str, Check] = {}
        for branch in schema["oneOf"]:
            (type,) = self._types(branch)
            type = "number" if type == "integer" else type
            if type in branches:
                raise ValueError(f"oneOf has two branches for {type}: {schema}")
            branches[type] = self.check(branch)
        expected = schema.get("title")
        if expected is None:
            raise ValueError(f"oneOf without a title: {schema}")

        def check(value: Json, path: Path, report: Report) -> None:
            chosen = branches.get(_type(value))
            if chosen is None:
                report.add("wrong-type", f"expected {expected}, got {kind(value)}", path)
            else:
                chosen(value, path, report)

        return check

    def _any_of_types(self, schema: dict[str, Any], types: list[str]) -> Check:
        names = {"object": "an object", "array": "a list", "string": "a string", "boolean": "true or false"}
        words = [names.get(type, "a number") for type in types]
        expected = schema.get("title", ", ".join(words[:-1]) + " or " + words[-1])
        accepted = set(types)

        def check(value: Json, path: Path, report: Report) -> None:
            if _type(value) not in accepted:
                report.add("wrong-type", f"expected {expected}, got {kind(value)}", path)

        return check

    def _list(self, schema: dict[str, Any]) -> Check:
        _only(schema, {"type", "items", "minItems", "uniqueItems"})
        item = self.check(schema.get("items", True))
        expected = schema.get("title", "a list")
        fewest = schema.get("minItems", 0)
        unique = schema.get("uniqueItems", False)

        def check(value: Json, path: Path, report: Report) -> None:
            if not isinstance(value, list):
                report.add("wrong-type", f"expected {expected}, got {kind(value)}", path)
                return
            if len(value) < fewest:
                report.add("invalid-value", "this list must not be empty", path)
            seen: set[str] = set()
            for index, element in enumerate(value):
                item(element, (path, index), report)
                if unique and isinstance(element, str):
                    if element in seen:
                        report.add("invalid-value", f"{element!r} stands in this list already", (path, index))
                    seen.add(element)

        return check

    def _object(self, schema: dict[str, Any]) -> ObjectRule:
        _only(schema, _OBJECT_KEYWORDS)
        rule = ObjectRule(title=schema.get("title", "an object"), codes=schema.get("x-codes", {}))
        rule.required = tuple(schema.get("required", ()))
        rule.needed = frozenset(rule.required)
        rule.fewest = schema.get("minProperties", 0)
        rule.most = schema.get("maxProperties")
        rule.renamed = schema.get("x-renamed", {})
        rule.misplaced = schema.get("x-misplaced", {})
        rule.companions = tuple(schema.get("dependentRequired", {}).items())
        if "oneOf" in schema:
            branches = tuple(_branch(branch) for branch in schema["oneOf"])
            rule.choice = Choice(branches, exactly_one=True, codes=rule.codes)
        if "anyOf" in schema:
            branches = tuple(_branch(branch) for branch in schema["anyOf"])
            rule.choice = Choice(branches, exactly_one=False, codes=rule.codes)
        if schema.get("unevaluatedProperties") is False:
            rule.closed = "with parts"
        elif schema.get("additionalProperties") is False:
            rule.closed = "alone"
        elif schema.get("additionalProperties") is True:
            rule.suspicious = True
        elif "additionalProperties" in schema:
            rule.values = self.check(schema["additionalProperties"])
        rule.patterns = tuple(re.compile(pattern) for pattern in schema.get("patternProperties", {}))
        rule.properties = {name: self.check(sub) for name, sub in schema.get("properties", {}).items()}
        rule.refused = frozenset(
            name for name, sub in schema.get("properties", {}).items() if sub is not True and "not" in sub
        )
        if "$ref" in schema:
            rule.bases.append(self._base(schema["$ref"]))
        for sub in [schema, *schema.get("allOf", [])]:
            if "if" in sub:
                rule.conditions.append(self._condition(sub))
            elif sub is not schema:
                rule.bases.append(self._base(sub["$ref"]) if sub.keys() == {"$ref"} else self._object(sub))
        for name, sub in schema.get("dependentSchemas", {}).items():
            rule.conditions.append(Condition(_has(name), self._object(sub), None))
        return rule

    def _base(self, reference: str) -> ObjectRule:
        if reference not in self._objects:
            self._objects[reference] = self._object(self._definitions[reference])
        return self._objects[reference]

    def _condition(self, schema: dict[str, Any]) -> Condition:
        def part(name: str) -> ObjectRule | None:
            sub = schema.get(name)
            if sub is None:
                return None
            return self._base(sub["$ref"]) if sub.keys() == {"$ref"} else self._object(sub)

        return Condition(_predicate(schema["if"]), part("then"), part("else"))


def _type(value: Json) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, str):
        return "string"
    if isinstance(value, int | float):
        return "number"
    return "array" if isinstance(value, list) else "object"


def _only(schema: dict[str, Any], understood: set[str]) -> None:
    unknown = schema.keys() - understood - _ANNOTATIONS
    if unknown:
        raise ValueError(f"{sorted(unknown)} cannot stand in {schema}")


def _branch(schema: dict[str, Any]) -> Branch:
    """A branch that asks for one property, and perhaps that another is absent."""
    (needed,) = schema["required"]
    unless = schema.get("not", {}).get("required", [None])[0]
    return Branch(needed, unless)


def _has(name: str) -> Predicate:
    return lambda value: name in value


def _lacks(name: str) -> Predicate:
    return lambda value: name not in value


def _predicate(schema: dict[str, Any]) -> Predicate:
    """What an ``if`` asks of an object: presence, absence, and values that are constant or match."""
    tests: list[Predicate] = [_has(name) for name in schema.get("required", [])]
    tests += [_lacks(name) for name in schema.get("not", {}).get("required", [])]
    tests += [_value_predicate(name, sub) for name, sub in schema.get("properties", {}).items()]
    if len(tests) == 2:
        first, second = tests
        return lambda value: first(value) and second(value)
    return tests[0] if len(tests) == 1 else lambda value: all(test(value) for test in tests)


def _one_of(values: list[Json]) -> Callable[[Json], bool]:
    if all(isinstance(value, str) for value in values):
        texts = {*values}
        return lambda item: isinstance(item, str) and item in texts
    return lambda item: any(item == one and type(item) is type(one) for one in values)


def _value_predicate(name: str, schema: dict[str, Any]) -> Predicate:
    accepts: Callable[[Json], bool]
    if "pattern" in schema:
        pattern = re.compile(schema["pattern"])
        accepts = lambda item: not isinstance(item, str) or pattern.search(item) is not None  # noqa: E731
    else:
        values = schema.get("enum") or [schema["const"]]
        accepts = _one_of(values)
    return lambda value: name not in value or accepts(value[name])
