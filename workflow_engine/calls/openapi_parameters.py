"""OpenAPI parameter styles: how a value is written into a path, a query, a header or a cookie."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from workflow_engine.calls.content import json_text, kind
from workflow_engine.calls.openapi_document import Body, Parameter
from workflow_engine.calls.uri_template import scalar_text
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject

_RESERVED = ":/?@!$'()*,;"


def path_segment(parameter: Parameter, value: Json) -> str:
    """*value* in place of ``{name}`` in the path; an empty segment, or ``..``, is a validation fault."""
    write = _writer(parameter)
    if parameter.style == "matrix":
        # What is empty has no equals sign (RFC 6570, 3.2.7); in a value it would be encoded.
        text = "".join(f";{piece.removesuffix('=')}" for piece in _named(parameter, value, write))
    elif parameter.style == "label":
        separator = "." if parameter.explode else ","
        text = "." + separator.join(_items(parameter, value, write))
        return _checked(parameter, text, empty=".")
    else:
        text = parameter.delimiter.join(_items(parameter, value, write))
    return _checked(parameter, text, empty="")


def query_pieces(parameter: Parameter, value: Json) -> list[str]:
    """*value* as the ``name=value`` pieces of a query, percent-encoded; an empty array gives none."""
    write = _writer(parameter)
    if parameter.style == "deepObject" and isinstance(value, dict):
        return [
            f"{quote(f'{parameter.name}[{name}]', safe='[]')}={write(_scalar(parameter, item))}"
            for name, member in value.items()
            for item in (member if isinstance(member, list) else [member])
        ]
    return _named(parameter, value, write)


def header_value(parameter: Parameter, value: Json) -> str:
    """*value* as the value of a header."""
    return parameter.delimiter.join(_items(parameter, value, str))


def cookie_pieces(parameter: Parameter, value: Json) -> list[str]:
    """*value* as the ``name=value`` pieces of a Cookie header."""
    return _named(parameter, value, _writer(parameter))


def flattened(body: Body, members: JsonObject) -> JsonObject:
    """The *members* of a form, each written in the style that the document has for it.

    An array becomes one text, or stays what repeats its name; an object one text, or members of their own.
    """
    flat: JsonObject = {}
    for name, value in members.items():
        style = body.styles.get(name)
        if style is None or not isinstance(value, list | dict) or (isinstance(value, list) and style.explode):
            flat[name] = value
        elif style.style == "deepObject" and isinstance(value, dict):
            flat.update({f"{name}[{key}]": item for key, item in value.items()})
        elif isinstance(value, dict) and style.explode:
            flat.update(value)
        else:
            flat[name] = style.delimiter.join(_items(style, value, str))
    return flat


def _named(parameter: Parameter, value: Json, write: Callable[[str], str]) -> list[str]:
    """``name=value`` once, or, exploded, for each item of an array and each member of an object."""
    name = quote(parameter.name, safe="[]")
    if parameter.explode and not parameter.as_json:
        if isinstance(value, list):
            return [f"{name}={write(_scalar(parameter, item))}" for item in value]
        if isinstance(value, dict):
            return _members(parameter, value, write)
    if isinstance(value, list | dict) and not value:
        return []
    delimiter = parameter.delimiter if parameter.delimiter == "," else quote(parameter.delimiter)
    return [f"{name}={delimiter.join(_items(parameter, value, write))}"]


def _items(parameter: Parameter, value: Json, write: Callable[[str], str]) -> list[str]:
    """The pieces of *value*: itself, the items of an array, ``k=v`` or ``k``, ``v`` of an object."""
    if parameter.as_json:
        return [write(json_text(value))]
    if isinstance(value, list):
        return [write(_scalar(parameter, item)) for item in value]
    if isinstance(value, dict):
        if parameter.explode:
            return _members(parameter, value, write)
        return [
            text for name, item in value.items() for text in (write(name), write(_scalar(parameter, item)))
        ]
    return [write(_scalar(parameter, value))]


def _members(parameter: Parameter, value: JsonObject, write: Callable[[str], str]) -> list[str]:
    return [f"{write(name)}={write(_scalar(parameter, item))}" for name, item in value.items()]


def _scalar(parameter: Parameter, value: Json) -> str:
    if isinstance(value, dict | list):
        raise fault(
            "validation",
            f"parameter {parameter.name!r} has {kind(value)} in it where style {parameter.style} needs a scalar",
        )
    return scalar_text(value)


def _writer(parameter: Parameter) -> Callable[[str], str]:
    safe = _RESERVED if parameter.allow_reserved and parameter.location == "query" else ""
    return lambda text: quote(text, safe=safe)


def _checked(parameter: Parameter, text: str, *, empty: str) -> str:
    if text == empty:
        raise fault("validation", f"parameter {parameter.name!r} is part of the path and must not be empty")
    if text in (".", ".."):
        raise fault("validation", f"parameter {parameter.name!r} must not be {text!r}")
    return text
