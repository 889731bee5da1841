"""Is a document shaped as its version of AsyncAPI wants? Every place where it is not, in plain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import Draft7Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry
from referencing.jsonschema import DRAFT7

from catalog.errors import Problem, did_you_mean
from catalog.schemas import structure
from catalog.values import Json, escape

_EXTENSION = re.compile(r"x-[\w.-]+")
_NOUNS = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}


def structure_problems(data: Json, version: str) -> Iterator[Problem]:
    """Problems without their lines, at most one for each rule and place. *version* must be a known one."""
    seen: set[tuple[str, str]] = set()
    for error in _validator(version).iter_errors(data):
        for problem in _problems(error):
            if (problem.message, problem.pointer) not in seen:
                seen.add((problem.message, problem.pointer))
                yield problem


@lru_cache(maxsize=16)
def _validator(version: str) -> Draft202012Validator:
    draft_07 = DRAFT7.create_resource(Draft7Validator.META_SCHEMA)
    registry = Registry[Any]().with_resource("http://json-schema.org/draft-07/schema", draft_07)
    return Draft202012Validator(structure(version), registry=registry)


def _problems(error: ValidationError) -> Iterator[Problem]:
    pointer = "".join(f"/{escape(part)}" for part in error.absolute_path)
    rule: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "required":
            for name in rule:
                if name not in instance:
                    yield Problem("missing-property", f"{_name(pointer)} must have {name!r}", pointer)
        case "additionalProperties" if rule is False:
            known = error.schema.get("properties", {}) if isinstance(error.schema, Mapping) else {}
            for name in instance:
                if name not in known and _EXTENSION.fullmatch(str(name)) is None:
                    advice = did_you_mean(str(name), known) or f"it may have {', '.join(sorted(known))}"
                    yield Problem(
                        "unknown-property",
                        f"{_name(pointer)} may not have {name!r} in this version of AsyncAPI; {advice}",
                        f"{pointer}/{escape(str(name))}",
                    )
        case "anyOf" | "oneOf":
            inner = best_match([error])
            if inner is None or inner is error:
                yield Problem("invalid-value", f"{_name(pointer)} has none of the forms it may have", pointer)
            else:
                yield from _problems(inner)
        case _:
            yield Problem("invalid-value", f"{_name(pointer)} {_rule(error)}", pointer)


def _rule(error: ValidationError) -> str:
    rule: Any = error.validator_value
    match error.validator:
        case "type":
            kinds = [rule] if isinstance(rule, str) else list(rule)
            wanted = " or ".join(_NOUNS.get(kind, kind) for kind in kinds)
            quote = (
                "; quote it" if kinds == ["string"] and isinstance(error.instance, bool | int | float) else ""
            )
            return f"must be {wanted}{quote}"
        case "enum":
            return f"must be one of {', '.join(map(str, rule))}"
        case "const":
            return f"must be {rule!r}"
        case "pattern":
            return f"must match {rule}"
        case "uniqueItems":
            return "must not have the same element twice"
        case "minItems" | "minLength" | "minProperties":
            return "must not be empty"
        case _:
            text = error.message
            return f"is wrong: {text[:200]}{'…' if len(text) > 200 else ''}"


def _name(pointer: str) -> str:
    return (
        repr(pointer.rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")) if pointer else "the document"
    )
