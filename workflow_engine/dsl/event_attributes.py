"""What documents say of the attributes of events: what no CloudEvent can have is told before anything runs.

What is an expression is known only when the run gets there; the router refuses by the same rules then.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping

from workflow_engine.dsl.lowering import Lowering
from workflow_engine.filters.envelope import FORMED, MAX_ATTRIBUTES, is_name, wrong_form, wrong_type
from workflow_engine.values import Json

CODE = "invalid-attribute"
_ALWAYS = ("specversion", "id", "source", "time")
"""What the engine gives to each event that does not say it itself."""
_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.")


def check_published(
    lowering: Lowering, event: Mapping[str, Json], place: Callable[[str], str], *, texts: bool = True
) -> None:
    """Check the attributes of an *event* that is published; *place* says where each stands.

    Not *texts*: any text may be an expression, so that none is looked at.
    """
    for name, value in event.items():
        message = None
        if not may_name(name):
            message = _of_name(name)
        elif name == "data" or value is None or (isinstance(value, str) and ("${" in value or not texts)):
            continue
        elif name == "data_base64":
            message = _of_base64(value, event)
        else:
            message = _of_value(name, value)
        if message is not None:
            lowering.nonsense(CODE, message, place(name))
    known = {name for name, value in event.items() if value is not None}.union(_ALWAYS)
    if len(known) > MAX_ATTRIBUTES:
        message = f"{len(known)} attributes; an event has at most {MAX_ATTRIBUTES}"
        lowering.nonsense(CODE, message, place(next(iter(event))))


def may_name(name: str) -> bool:
    """Whether an event may have a member called *name*."""
    return is_name(name) or name == "data_base64"


def check_wanted(lowering: Lowering, name: str, at: str) -> None:
    """Check the *name* of an attribute that an event that is waited for has."""
    if not may_name(name):
        lowering.nonsense(CODE, f"{_of_name(name)}: no event can ever match", at)


def _of_name(name: str) -> str:
    small = re.sub("[^a-z0-9]", "", name.lower())[:64]
    hint = f"; write `{small}`" if small else ""
    return f"the attribute {name[:80]!r}: names have 1 to 64 letters a-z and digits{hint}"


def _of_value(name: str, value: Json) -> str | None:
    if name == "specversion":
        return None if value == "1.0" else 'events are those of CloudEvents "1.0"; leave `specversion` out'
    wrong = wrong_type(value)
    if wrong is None and name in FORMED:
        wrong = wrong_form(name, value)
    if wrong is None and name in ("source", "dataschema") and (found := _BAD_ESCAPE.search(str(value))):
        wrong = f"expected a URI; {str(value)[found.start() : found.start() + 3]!r} escapes nothing"
    if wrong is None and name == "dataschema" and not _ABSOLUTE.match(str(value)):
        wrong = "expected an absolute URI, such as https://example.com/schema.json"
    return None if wrong is None else f"`{name}`: {wrong}"


def _of_base64(value: Json, event: Mapping[str, Json]) -> str | None:
    if event.get("data") is not None:
        return "an event has `data` or `data_base64`, not both"
    try:
        base64.b64decode(value if isinstance(value, str) else "%", validate=True)
    except (binascii.Error, ValueError):
        return "`data_base64`: expected Base64 (RFC 4648)"
    return None
