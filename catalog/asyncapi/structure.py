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
from catalog.keywords import LINEAR, extended
from catalog.rules import rule_in_words
from catalog.schemas import structure
from catalog.values import Json, escape, unescape

_Validator = extended(Draft202012Validator, {"uniqueItems": LINEAR["uniqueItems"]})
_EXTENSION = re.compile(r"x-[\w.-]+")


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
    checked: Draft202012Validator = _Validator(structure(version), registry=registry)
    return checked


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
            schema = error.schema if isinstance(error.schema, Mapping) else {}
            known, extensible = schema.get("properties", {}), "patternProperties" in schema
            for name in instance:
                if name not in known and not (extensible and _EXTENSION.fullmatch(name)):
                    advice = did_you_mean(name, known) or f"it may have {', '.join(sorted(known))}"
                    yield Problem(
                        "unknown-property",
                        f"{_name(pointer)} may not have {name!r} in this version of AsyncAPI; {advice}",
                        f"{pointer}/{escape(name)}",
                    )
        case "anyOf" | "oneOf":
            inner = best_match([error])
            if inner is None or inner is error:
                yield Problem("invalid-value", f"{_name(pointer)} has none of the forms it may have", pointer)
            else:
                yield from _problems(inner)
        case _:
            quote = "; quote it" if rule == "string" and isinstance(instance, bool | int | float) else ""
            yield Problem("invalid-value", f"{_name(pointer)} {rule_in_words(error)}{quote}", pointer)


def _name(pointer: str) -> str:
    """The last name in *pointer*, with the number of the element if it is one of a list."""
    names = [unescape(token) for token in pointer.split("/")]
    last = "/".join(names[-2:]) if names[-1].isdecimal() else names[-1]
    return repr(last) if pointer else "the document"
