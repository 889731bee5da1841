"""The `Emit` state: publish an event of the run (dsl.md §1.10, decision A45)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.errors import fault
from workflow_engine.graph.model import State
from workflow_engine.interpreter.position import Frame
from workflow_engine.values import Json, JsonObject, rfc3339

if TYPE_CHECKING:
    from workflow_engine.interpreter.run import Run


ATTRIBUTES = frozenset(
    (
        "specversion",
        "id",
        "source",
        "type",
        "time",
        "subject",
        "datacontenttype",
        "dataschema",
        "data",
        "data_base64",
    )
)
"""The attributes of every CloudEvent; any other one is an extension."""


async def emit(run: Run, state: State, frame: Frame, attributes: Json, channel: str) -> Json:
    """Publish the event that *attributes* make, and give it as it was published."""
    place = run.place(state, frame)
    attributes = run.outside(attributes)
    if not isinstance(attributes, dict):
        raise fault("validation", "an event must be an object of attributes")
    name = run.graph.name
    event: JsonObject = {
        "specversion": "1.0",
        "id": f"{run.effects.identity}{place.id}",
        "source": f"/{name.namespace}/{name.name}/{name.version}",
        "time": rfc3339(run.effects.now()),
        **{key: value for key, value in attributes.items() if value is not None},
    }
    remember(run, event)
    frame.doing = f"publishing {event.get('type')}"
    await run.effects.publish(channel, event, place)
    return event


def remember(run: Run, attributes: JsonObject) -> None:
    """What a run of DSL 0.8 publishes tells which events belong to it (decision B20)."""
    if run.graph.strict:
        extensions = {key: value for key, value in attributes.items() if key not in ATTRIBUTES}
        run.correlation = {**extensions, **run.correlation}
