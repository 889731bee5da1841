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
from catalog.rules import rule_in_words
from catalog.schemas import structure
from catalog.values import Json, escape

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
            quote = "; quote it" if rule == "string" and isinstance(instance, bool | int | float) else ""
            yield Problem("invalid-value", f"{_name(pointer)} {rule_in_words(error)}{quote}", pointer)


def _name(pointer: str) -> str:
    return (
        repr(pointer.rsplit("/", 1)[-1].replace("~1", "/").replace("~0", "~")) if pointer else "the document"
    )
