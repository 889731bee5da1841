"""Lower ``use.extensions``: lists of tasks around the tasks that they extend (dsl.md §1.18, decisions A53, A54).

An extension sees no variables of the tasks that it extends, so it is lowered once, and each of those has the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl.v1.scope import STATE, Scope
from workflow_engine.graph.model import Extension, Region
from workflow_engine.values import Json, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

_COMPOSITE = frozenset({"do", "fork"})
"""What ``composite`` means (decision A54)."""


def extensions(lowering: WorkflowLowering) -> list[tuple[str, Extension]]:
    """Every extension, in the order in which they are listed, with what it extends."""
    listed = lowering.use.get("extensions")
    found: list[tuple[str, Extension]] = []
    for number, item in enumerate(listed if isinstance(listed, list) else []):
        for name, body in (item if isinstance(item, dict) else {}).items():
            assert isinstance(body, dict)
            at = "/use/extensions" + pointer(number, name)
            extension = Extension(
                id=at,
                name=name,
                when=lowering.optional_expression(body.get("when"), STATE | {"input"}, at + "/when"),
                before=_tasks(lowering, body.get("before"), at + "/before", f"before, by {name}", loop=True),
                after=_tasks(lowering, body.get("after"), at + "/after", f"after, by {name}"),
            )
            found.append((str(body["extend"]), extension))
    return found


def _tasks(
    lowering: WorkflowLowering, listed: Json, at: str, name: str, *, loop: bool = False
) -> Region | None:
    """A list of an extension; ``exit`` leaves the one before as it leaves a loop, which tells it from the end."""
    if listed is None:
        return None
    return lowering.region(listed, at, Scope(bare=True), loop=loop, name=name)


def extend(kind: str, known: list[tuple[str, Extension]]) -> tuple[Extension, ...]:
    """Those of the *known* extensions that extend the tasks of a *kind*."""
    return tuple(
        extension
        for extended, extension in known
        if extended in ("all", kind) or (extended == "composite" and kind in _COMPOSITE)
    )
