"""What is allowed in an expression or a value and is probably not meant: warnings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from workflow_engine.expressions import unwrap
from workflow_engine.expressions.members import expressions_in
from workflow_engine.expressions.outputs import endless, several
from workflow_engine.values import Json, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

_PATH = r"(?:\.[a-zA-Z_][a-zA-Z0-9_]*|\[(?:\d+|\"[^\"\\]*\")\])"
_EXPRESSION = re.compile(
    rf"\s*(?:\.[a-zA-Z_][a-zA-Z0-9_]*{_PATH}*"
    rf"|\$(?:context|input|output|secrets?|task|workflow|runtime|authorization)\b{_PATH}*)\s*"
)
"""A path, or a variable, as a whole: hardly a text."""
_SHORT = 60


def value(lowering: WorkflowLowering, written: Json, at: str) -> None:
    """Warn of texts in a value that look like expressions, and of expressions with several outputs."""
    for place, text in _texts(written, at):
        if "${" not in text:
            if _EXPRESSION.fullmatch(text):
                lowering.warning(
                    "literal-expression",
                    f"`{_shown(text)}` is text here, for in a value an expression stands in `${{ }}`",
                    place,
                )
            continue
        for source in expressions_in(text):
            _outputs(lowering, source, text, place)


def expression(lowering: WorkflowLowering, text: str, at: str) -> None:
    """Warn of a place that is an expression as a whole, and has several outputs."""
    source = unwrap(text)
    _outputs(lowering, text if source is None else source, text, at)


def condition(lowering: WorkflowLowering, source: str, at: str) -> None:
    """Warn of a condition without end; of several outputs it takes the first."""
    if endless(source):
        message = f"`{_shown(source)}` repeats without end, and always meets the limit of steps; `limit( )` bounds it"
        lowering.warning("endless-expression", message, at)


def _outputs(lowering: WorkflowLowering, source: str, text: str, at: str) -> None:
    condition(lowering, source, at)
    if not several(source) or endless(source):
        return
    message = (
        f"`{_shown(text)}` mostly has several outputs, which come as an array, but one comes as it is and none as "
        "null; in `[ ]` it is always an array, `first( )` takes one"
    )
    lowering.warning("several-outputs", message, at)


def loop(lowering: WorkflowLowering, items: Json, at: str) -> None:
    """Hint that a loop over null is none (decision A16)."""
    text = items.strip() if isinstance(items, str) else items
    source = unwrap(text) if isinstance(text, str) else None
    if (text if source is None else source.strip()) in (None, "null", "empty", "[]", []):
        message = "there is nothing to go over: the loop has no rounds, and its output is its input"
        lowering.warning("null-loop", message, at)


def _texts(written: Json, at: str) -> Iterator[tuple[str, str]]:
    if isinstance(written, dict):
        for key, item in written.items():
            yield from _texts(item, at + pointer(key))
    elif isinstance(written, list):
        for number, item in enumerate(written):
            yield from _texts(item, at + pointer(number))
    elif isinstance(written, str):
        yield at, written


def _shown(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHORT else flat[: _SHORT - 1] + "…"
