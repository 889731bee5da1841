"""How many steps the expressions of one listener may take over one event, all together, in who asks many of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from workflow_engine.expressions import Expression, LimitExceeded, Purse
from workflow_engine.expressions.limits import LIMITS
from workflow_engine.values import Json, JsonObject


class Impatient(Exception):
    """There are no more steps: ask again with more of them, where that holds up nobody. Nothing was changed."""


QUICK = 20_000
"""Steps that hold up nobody: some 10 ms."""
_ASKING: ContextVar[tuple[Purse, bool] | None] = ContextVar("_ASKING", default=None)


@contextmanager
def patience(*, quick: bool) -> Iterator[None]:
    """In this block expressions have as many steps together as one by itself may take; after those each is one that
    took too many. If it is to be *quick*, they are few, and `Impatient` is raised.
    """
    asking = _ASKING.set((Purse(QUICK if quick else LIMITS.steps), quick))
    try:
        yield
    finally:
        _ASKING.reset(asking)


def asked(expression: Expression, value: Json, scope: JsonObject) -> Json:
    """The first output of *expression*, within what there is of `patience`."""
    asking = _ASKING.get()
    if asking is None:
        return expression.first(value, scope)
    purse, quick = asking
    try:
        return expression.first(value, scope, purse)
    except LimitExceeded:
        if quick:
            raise Impatient from None
        raise
