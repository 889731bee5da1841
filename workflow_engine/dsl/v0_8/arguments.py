"""The arguments of functions as they are written, strictly or, as SonataFlow takes them, loosely.

Expressions in values stand in ``${ }`` (decision B8). SonataFlow also evaluates a text that is one as a whole
(``name: .customer.name``); a document of which that is meant says so by ``metadata: {expressionMode: loose}``.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from workflow_engine.dsl.loose import loosened
from workflow_engine.dsl.v0_8.variables import SECRETS
from workflow_engine.values import Json, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

_PATH = r"(?:\.[a-zA-Z_][a-zA-Z0-9_]*|\[(?:\d+|\"[^\"\\]*\")\])"
_EXPRESSION = re.compile(rf"\s*(?:\.[a-zA-Z_][a-zA-Z0-9_]*{_PATH}*|\$(?:CONST|SECRETS?)\b{_PATH}*|\.)\s*")
"""A path, or a variable, as a whole: hardly a text."""
_SHOWN = 60


def prepared(lowering: WorkflowLowering, value: Json, variables: Collection[str], at: str) -> Json:
    """*value* with its expressions in ``${ }``; a warning for each text that is hardly meant as one."""
    if loose(lowering):
        if lowering.jsonpath:
            return _mapped(value)
        return loosened(lowering.with_functions(value, at), {*variables, *SECRETS})
    for place, text in _texts(value, at):
        if _EXPRESSION.fullmatch(text):
            shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
            message = (
                f"`{shown}` is text here: in a value an expression stands in `${{ }}`, unless the document says "
                "`metadata: {expressionMode: loose}`, as SonataFlow takes it"
            )
            lowering.warning("literal-expression", message, place)
    return value


def loose(lowering: WorkflowLowering) -> bool:
    """Whether the document is one whose arguments are expressions without ``${ }``, too."""
    metadata = lowering.data.get("metadata")
    return isinstance(metadata, dict) and metadata.get("expressionMode") == "loose"


def check(lowering: WorkflowLowering) -> None:
    """Report a mode that there is not."""
    metadata = lowering.data.get("metadata")
    mode = metadata.get("expressionMode", "strict") if isinstance(metadata, dict) else "strict"
    if mode not in {"strict", "loose"}:
        message = f"{mode!r} is no mode of expressions; there are `strict` and `loose`"
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


def _texts(value: Json, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield at, value
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, at + pointer(number))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, at + pointer(key))
