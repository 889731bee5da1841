"""The arguments of functions as they are written, strictly or, as SonataFlow takes them, loosely.

Expressions in values stand in ``${ }`` (decision B8). SonataFlow also evaluates a text that is one as a whole
(``name: .customer.name``); a document of which that is meant says so by ``metadata: {expressionMode: loose}``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING

from workflow_engine.dsl.loose import loosened
from workflow_engine.dsl.v0_8 import sonataflow
from workflow_engine.dsl.v0_8.variables import seen
from workflow_engine.values import Json, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

_PATH = r"(?:\.[a-zA-Z_][a-zA-Z0-9_]*|\[(?:\d+|\"[^\"\\]*\")\])"
_EXPRESSION = re.compile(rf"\s*(?:\.[a-zA-Z_][a-zA-Z0-9_]*{_PATH}*|\$(?:CONST|SECRETS?)\b{_PATH}*|\.)\s*")
"""A path, or a variable, as a whole: hardly a text."""
_SHOWN = 60


def prepared(lowering: WorkflowLowering, value: Json, variables: Collection[str], at: str) -> Json:
    """*value* with its expressions in ``${ }``; a warning for each text that is hardly meant as one."""
    if mode(lowering) == "loose":
        if lowering.jsonpath:
            return _mapped(value)
        return loosened(lowering.with_functions(value, at), seen(variables))
    if lowering.for_sonataflow and mode(lowering) is None:
        known = seen(variables)
        return _each(value, at, lambda text, place: sonataflow.argument(lowering, text, known, place))
    for place, text in _texts(value, at):
        if _EXPRESSION.fullmatch(text):
            shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
            message = (
                f"`{shown}` is text here: in a value an expression stands in `${{ }}`, unless the document says "
                "`metadata: {expressionMode: loose}`, as SonataFlow takes it"
            )
            lowering.warning("literal-expression", message, place)
    return value


def mode(lowering: WorkflowLowering) -> Json:
    """``strict``, ``loose``, or None where the document does not say how its arguments are taken."""
    metadata = lowering.data.get("metadata")
    return metadata.get("expressionMode") if isinstance(metadata, dict) else None


def check(lowering: WorkflowLowering) -> None:
    """Report a mode that there is not."""
    given = mode(lowering)
    if given not in {None, "strict", "loose"}:
        message = f"{given!r} is no mode of expressions; there are `strict` and `loose`"
        lowering.problem("invalid-value", message, "/metadata/expressionMode")


def _mapped(value: Json) -> Json:
    """*value* with ``${ }`` around each text that is a path of JSONPath."""
    if isinstance(value, dict):
        return {key: _mapped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mapped(item) for item in value]
    if isinstance(value, str) and re.match(r"\$[.\[]|\$$", value):
        return f"${{ {value} }}"
    return value


def _each(value: Json, at: str, change: Callable[[str, str], str]) -> Json:
    """*value* with each text in it as *change* has it, which is told its place."""
    if isinstance(value, dict):
        return {key: _each(item, at + pointer(key), change) for key, item in value.items()}
    if isinstance(value, list):
        return [_each(item, at + pointer(number), change) for number, item in enumerate(value)]
    return change(value, at) if isinstance(value, str) else value


def _texts(value: Json, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, at + pointer(number))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, at + pointer(key))
