"""The variables that expressions of a 0.8 document can see wherever they stand."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from workflow_engine.values import Json

SECRETS = frozenset({"SECRETS", "SECRET"})
"""The specification's name, and the one that others gave it (decision B40)."""
CONSTANTS = frozenset({"CONST"})
WORKFLOW = frozenset({"WORKFLOW"})
"""What SonataFlow tells of a run."""
RUN = CONSTANTS | SECRETS | WORKFLOW
"""What expressions of a run see; what is kept by the router, and what is known before, sees constants alone."""


def seen(variables: Collection[str]) -> frozenset[str]:
    """*variables*, and those that a run has besides."""
    return _seen(variables if isinstance(variables, frozenset) else frozenset(variables))


@lru_cache(maxsize=256)
def _seen(variables: frozenset[str]) -> frozenset[str]:
    return variables | SECRETS | WORKFLOW


def mentions(value: Json, text: str) -> bool:
    """Whether *text*, a variable or a member of one, is anywhere in *value*, but for the names of members."""
    if isinstance(value, dict):
        return any(mentions(item, text) for item in value.values())
    if isinstance(value, list):
        return any(mentions(item, text) for item in value)
    return isinstance(value, str) and text in value
