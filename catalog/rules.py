"""The rules of JSON Schema in plain words."""

from __future__ import annotations

from typing import Any

from jsonschema.exceptions import ValidationError

_NOUNS = {
    "object": "an object",
    "array": "a list",
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
}
_LENGTH = 200
_COMPARISONS = {
    "minimum": "at least",
    "maximum": "at most",
    "exclusiveMinimum": "more than",
    "exclusiveMaximum": "less than",
}
_PARTS = {
    "minItems": "elements",
    "maxItems": "elements",
    "minLength": "characters",
    "maxLength": "characters",
    "minProperties": "members",
    "maxProperties": "members",
}


def rule_in_words(error: ValidationError) -> str:
    """What the value should have been, to be put after its name: ``must be text``."""
    rule: Any = error.validator_value
    instance: Any = error.instance
    match error.validator:
        case "type":
            kinds = [rule] if isinstance(rule, str) else list(rule)
            wanted = " or ".join(_NOUNS.get(kind, kind) for kind in kinds)
            return f"must be {wanted}"
        case "enum":
            return _short(f"must be one of {', '.join(map(str, rule))}")
        case "const":
            return _short(f"must be {rule!r}")
        case "pattern":
            return f"must match {rule}"
        case "uniqueItems":
            return "must not have the same element twice"
        case "minItems" | "minLength" | "minProperties":
            return f"must have at least {rule} {_PARTS[error.validator]}"
        case "required":
            return f"must have {', '.join(map(repr, (name for name in rule if name not in instance)))}"
        case "minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum":
            return f"must be {_COMPARISONS[error.validator]} {rule}"
        case "maxItems" | "maxLength" | "maxProperties":
            return f"must have at most {rule} {_PARTS[error.validator]}"
        case "anyOf" | "oneOf":
            return "must have one of the forms that the schema lists, and no other"
        case "not":
            return "has the form that it must not have"
        case None:
            return "is not allowed"
        case "additionalProperties":
            return _short(error.message)
        case _:
            return _short(f"is wrong: {error.message}")


def _short(text: str) -> str:
    return text if len(text) <= _LENGTH else text[:_LENGTH] + "…"
