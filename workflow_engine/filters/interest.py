"""What an event must have for a filter to accept it, as something to look listeners up by."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple

from workflow_engine.expressions import Expression, Purse
from workflow_engine.filters.attributes import canonical_text
from workflow_engine.values import Json, JsonObject, identity


@dataclass(frozen=True, slots=True)
class Probe:
    """A question that many filters ask of an event, each for an answer of its own: the value of an *attribute*, or of
    an *expression* over the event that uses nothing else.
    """

    attribute: str = ""
    expression: Expression | None = None

    def look(self, event: JsonObject, purse: Purse | None = None) -> Hashable:
        """The answer, as something to look up by; an `EvaluationError` where there is none, or not for the *purse*."""
        if self.expression is None:
            return answer_to_attribute(event.get(self.attribute))
        return identity(self.expression.first(event, {"event": event}, purse))


class Interest(NamedTuple):
    """An event is accepted only if it has this *type* and *source* (None: any), and *probe* gives *answer* of it."""

    type: str | None = None
    source: str | None = None
    probe: Probe | None = None
    answer: Hashable = None


def answer_to_attribute(value: Json) -> Hashable:
    """Equal for values that an ``equals`` test of an attribute takes for equal: binary transports have texts alone."""
    text = canonical_text(value)
    return ("text", text) if text is not None else ("value", identity(value))
