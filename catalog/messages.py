"""What a caller does with an operation that was pinned as JSON: check a message, fill in the address.

Nothing here needs the catalog or the network. *operation* is always what `Operation.to_json` wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from typing import Any

from jsonschema import Draft7Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry
from referencing.exceptions import Unresolvable

from catalog.errors import InvalidMessage, Problem
from catalog.keywords import LINEAR, extended
from catalog.rules import rule_in_words
from catalog.values import Json, JsonObject, as_object, as_text, escape, unescape

_MOST_PROBLEMS = 20
_DEPTH = 200
_NESTED = 500
_REFERENCES = 100_000
_LOCATION = re.compile(r"\$message\.(header|payload)#((?:/.*)?)", re.DOTALL)
_CHECKED = re.compile(r"\s*(?:\w+/(?:[\w.+-]*\+)?json|text/[^;]*)\s*(?:;.*)?", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Validation:
    """*message* names the kind of message that fits, or the one that comes closest; None if the operation
    declares none, and then anything fits. Pointers of *problems* begin with ``/payload`` or ``/headers``.
    """

    message: str | None
    problems: tuple[Problem, ...] = ()

    @property
    def valid(self) -> bool:
        return not self.problems


def validate(operation: Mapping[str, Json], payload: Json, headers: JsonObject | None = None) -> Validation:
    """Check a message against those of *operation*; one must fit, and the first that does is named.

    Schemas have the meaning of JSON Schema draft-07, ``format`` being an annotation. Payloads whose content
    type is neither JSON nor text are not checked. Without *headers*, ``{}`` is checked. What cannot be checked
    within bounds (nested deeper than 200 levels, or too many references to follow) is a problem.
    """
    closest: Validation | None = None
    declared = operation.get("messages")
    for message in declared if isinstance(declared, list) else ():
        name = str(as_object(message).get("name"))
        found = Validation(name, tuple(_check(as_object(message), payload, headers or {})))
        if found.valid:
            return found
        if closest is None or len(found.problems) < len(closest.problems):
            closest = found
    if closest is None:
        return Validation(None)
    if isinstance(declared, list) and len(declared) > 1:
        names = ", ".join(str(as_object(message).get("name")) for message in declared)
        text = f"the message is none of {names}; {closest.message} comes closest"
        return Validation(closest.message, (Problem("no-matching-message", text), *closest.problems))
    return closest


def locate(expression: str, payload: Json, headers: JsonObject | None = None) -> Json:
    """The value at a runtime expression such as ``$message.header#/correlationId``.

    Raises `InvalidMessage` if the expression cannot be read or the message has nothing there.
    """
    match = _LOCATION.fullmatch(expression)
    if match is None:
        raise InvalidMessage(f"{expression!r} is not a runtime expression such as $message.payload#/id")
    value: Json = (headers or {}) if match[1] == "header" else payload
    for token in match[2].split("/")[1:]:
        name = unescape(token)
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdecimal() and int(name) < len(value):
            value = value[int(name)]
        else:
            raise InvalidMessage(f"the message has nothing at {expression}: {name!r} is missing")
    return value


def address(
    operation: Mapping[str, Json],
    parameters: Mapping[str, Json] | None = None,
    payload: Json = None,
    headers: JsonObject | None = None,
) -> str:
    """The address of the operation's channel with its ``{parameters}`` filled in.

    A value comes from *parameters*, else from the place in the message that the document names, else from its
    default. Raises `InvalidMessage` where there is none or it is not allowed, or the address is not known.
    """
    template = operation.get("channel")
    if not isinstance(template, str):
        raise InvalidMessage("the channel has no address of its own: it is known only when running")
    declared = as_object(operation.get("channel_details")).get("parameters")
    by_name = {
        str(item.get("name")): item for item in map(as_object, declared if isinstance(declared, list) else ())
    }

    def value_of(match: re.Match[str]) -> str:
        parameter = by_name.get(match[1], {})
        value = _parameter(match[1], parameter, parameters or {}, payload, headers)
        schema = parameter.get("schema")
        for candidate in (value, text := value if isinstance(value, str) else json.dumps(value)):
            if schema is None or not list(_violations(schema, candidate, "")):
                return text
        raise InvalidMessage(f"{text!r} is not allowed for the parameter {match[1]!r} of {template!r}")

    return re.sub(r"\{([^{}]*)\}", value_of, template)


def _parameter(
    name: str, parameter: JsonObject, given: Mapping[str, Json], payload: Json, headers: JsonObject | None
) -> str | int | float | bool:
    location, default = as_text(parameter.get("location")), as_object(parameter.get("schema")).get("default")
    value: Json = given.get(name)
    if value is None and location is not None:
        try:
            value = locate(location, payload, headers)
        except InvalidMessage:
            if default is None:
                raise
    if value is None:
        value = default
    if value is None or isinstance(value, dict | list) or value == "":
        raise InvalidMessage(f"the parameter {name!r} of the address has no value")
    return value


def _check(message: JsonObject, payload: Json, headers: JsonObject) -> Iterator[Problem]:
    payload_schema, headers_schema = message.get("payload"), message.get("headers")
    if payload_schema is not None and _CHECKED.fullmatch(str(message.get("content_type"))):
        yield from islice(_violations(payload_schema, payload, "/payload"), _MOST_PROBLEMS)
    if headers_schema is not None:
        yield from islice(_violations(headers_schema, headers, "/headers"), _MOST_PROBLEMS)


def _violations(schema: Json, value: Json, place: str) -> Iterator[Problem]:
    if _deeper_than(_DEPTH, value):
        text = f"the message cannot be checked: it is nested deeper than {_DEPTH} levels"
        yield Problem("unchecked-message", text, place)
        return
    token = _followed.set(_Followed())
    try:
        errors = list(islice(_validator(schema).iter_errors(value), _MOST_PROBLEMS))
    except (RecursionError, OverflowError, _TooCostly) as error:
        reason = (
            str(error) if isinstance(error, _TooCostly) else "it is nested too deep, or a number is too large"
        )
        yield Problem("unchecked-message", f"the message cannot be checked: {reason}", place)
        return
    except Unresolvable as error:
        yield Problem(
            "unchecked-message", f"the schema refers to what it does not hold: {error.ref!r}", place
        )
        return
    finally:
        _followed.reset(token)
    for violation in errors:
        path = violation.absolute_path
        pointer = place + "".join(f"/{escape(part)}" for part in path)
        name = str(path[-1]) if path else place.strip("/")
        yield Problem("schema-violation", f"{name!r} {rule_in_words(violation)}", pointer)


def _deeper_than(depth: int, value: Json) -> bool:
    """Whether containers are nested deeper than *depth*, found level by level and not by recursion."""
    level: list[Json] = [value]
    for _ in range(depth + 1):
        level = [
            item
            for container in level
            if isinstance(container, dict | list)
            for item in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return False
    return True


@dataclass(slots=True)
class _Followed:
    """References that one check has followed, and how many of them it is inside of."""

    count: int = 0
    depth: int = 0


_followed: ContextVar[_Followed] = ContextVar("followed")


class _TooCostly(Exception):
    pass


def _reference(validator: Any, reference: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    followed = _followed.get()
    followed.count += 1
    if followed.count > _REFERENCES:
        raise _TooCostly(f"more than {_REFERENCES} references of its schema had to be followed")
    if followed.depth >= _NESTED:
        raise _TooCostly(f"references of its schema lead to one another more than {_NESTED} times")
    followed.depth += 1
    try:
        yield from Draft7Validator.VALIDATORS["$ref"](validator, reference, instance, schema) or ()
    finally:
        followed.depth -= 1


_Validator = extended(Draft7Validator, {**LINEAR, "$ref": _reference})


def _validator(schema: Json) -> Any:
    return _Validator(schema, registry=Registry[Any]())
