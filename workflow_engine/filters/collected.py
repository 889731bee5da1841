"""Events that were taken so far, as the condition of ``until`` sees them."""

from __future__ import annotations

import json
from dataclasses import dataclass

from workflow_engine import expressions
from workflow_engine.filters.attributes import BadSpec, expression_at, members_of
from workflow_engine.filters.patience import asked
from workflow_engine.values import Json, JsonObject

READS = ("data", "envelope", "raw")
MAX_SEEN = 1000
"""How many events a condition sees; of more the first are left out."""
MAX_SEEN_SIZE = 1024 * 1024
"""How many characters of JSON these may have, one event apart, however large."""


def read(event: JsonObject, how: str) -> Json:
    """What a run sees of *event*: its ``data``, the whole ``envelope``, or the ``raw`` payload."""
    match how:
        case "envelope":
            return event
        case "raw":
            return event.get("data_base64", event.get("data"))
        case _:
            return event["data"] if "data" in event else event.get("data_base64")


@dataclass(frozen=True, slots=True)
class Condition:
    """Ends an ``any`` once it holds of the events so far, each as *how* reads it (decision A36)."""

    expression: expressions.Expression
    how: str
    scope: JsonObject

    def after(self, seen: Json, event: JsonObject) -> list[Json]:
        """The events so far and *event*, within bounds."""
        values = [*(seen if isinstance(seen, list) else []), read(event, self.how)][-MAX_SEEN:]
        sizes = [len(json.dumps(value)) for value in values]
        while len(values) > 1 and sum(sizes) > MAX_SEEN_SIZE:
            del values[0], sizes[0]
        return values

    def holds(self, seen: list[Json], errors: list[str]) -> bool:
        """Whether it is enough; what cannot be evaluated is not, and is added to *errors*."""
        try:
            return asked(self.expression, seen, self.scope) not in (None, False)
        except expressions.EvaluationError as error:
            errors.append(f"until: {error}")
            return False


def condition(spec: JsonObject, scope: JsonObject) -> Condition:
    """The condition that ``{"expression": jq, "read": how}`` describes."""
    members = members_of(spec, {"expression", "read"}, "until")
    how = members.get("read", "envelope")
    if how not in READS:
        raise BadSpec(f"expected one of {', '.join(READS)}", "until", "read")
    compiled = expression_at(members.get("expression"), scope, "until", "expression")
    return Condition(compiled, str(how), {**scope, "event": None})
