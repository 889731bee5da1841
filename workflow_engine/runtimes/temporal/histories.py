"""The histories of a run as JSON: as Temporal writes them, with payloads that everybody can read."""

from __future__ import annotations

import asyncio
import json

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseError
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.common.v1 import WorkflowExecution as ExecutionId
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryRequest
from temporalio.client import Client, WorkflowHistory
from temporalio.converter import DataConverter

from workflow_engine.errors import Rejected
from workflow_engine.runtimes.temporal.held import whole
from workflow_engine.values import Json, JsonObject

LARGEST = 256 * 1024 * 1024
"""How many bytes the values of one history may have."""


async def history(client: Client, run_id: str, execution: str | None = None) -> JsonObject:
    """One of the histories of a run: the latest, unless *execution* names another.

    A run has several where it went on as a new execution; ``previous`` and ``next`` are the neighbours of this one.
    ``sizes`` are the bytes of each event as Temporal keeps it, with claims in the place of large values.
    """
    fetched = await client.get_workflow_handle(run_id, run_id=execution).fetch_history()
    sizes: Json = [event.ByteSize() for event in fetched.events]
    await _open(client, fetched)
    first, last = fetched.events[0], fetched.events[-1]
    started = first.workflow_execution_started_event_attributes
    which = last.WhichOneof("attributes")
    following = getattr(getattr(last, which or ""), "new_execution_run_id", "") if which else ""
    content: JsonObject = await asyncio.to_thread(lambda: json.loads(fetched.to_json()))
    return {
        "id": run_id,
        "execution": execution or started.original_execution_run_id,
        "previous": started.continued_execution_run_id or None,
        "next": following or None,
        "events": content["events"],
        "sizes": sizes,
    }


def sizes_in(content: JsonObject) -> list[int] | None:
    """The bytes of each event, if *content* has them: the API does, and Temporal's own tools do not."""
    sizes, events = content.get("sizes"), content.get("events")
    if not isinstance(sizes, list) or not isinstance(events, list) or len(sizes) != len(events):
        return None
    return (
        [size for size in sizes if isinstance(size, int)]
        if all(isinstance(size, int) for size in sizes)
        else None
    )


async def opened(
    client: Client, run_id: str, execution: str | None = None
) -> tuple[WorkflowHistory, str | None]:
    """A history with payloads that everybody can read, and which execution it is of, if that was said."""
    fetched = await client.get_workflow_handle(run_id, run_id=execution).fetch_history()
    await _open(client, fetched)
    return fetched, execution


async def _open(client: Client, fetched: WorkflowHistory) -> None:
    opening = _Opened(client.data_converter)
    for event in fetched.events:
        await opening.message(event)


def parsed(content: JsonObject, id: str = "run") -> WorkflowHistory:
    """A history from its JSON: of the API, the Temporal UI or its command line. `ValueError` when it is none."""
    events = content.get("events")
    if not isinstance(events, list) or not events:
        raise ValueError("it has no list of events")
    found = content.get("id")
    try:
        read = WorkflowHistory.from_json(str(found) if found else id, {"events": events})
    except (ParseError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it is no history: {error}") from None
    numbers = [event.event_id for event in read.events]
    begins = read.events[0].event_type == EventType.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED
    if not begins or numbers != list(range(1, len(numbers) + 1)):
        raise ValueError(
            "it is no history: it does not begin with the start of a workflow, or events are missing"
        )
    return read


class _Opened:
    """Puts what was sent into the place of payloads that are encrypted, or claims of what is in the payload store."""

    def __init__(self, converter: DataConverter) -> None:
        self._converter = converter
        self._room = LARGEST

    async def payloads(self, payloads: list[Payload]) -> list[Payload]:
        found = await self._converter._external_retrieve_payload_sequence(payloads)
        read = [whole(payload) for payload in await self._converter._decode_payload_sequence(found)]
        self._room -= sum(payload.ByteSize() for payload in read)
        if self._room < 0:
            message = (
                f"the values in the history are more than {LARGEST:,} bytes with those of the payload store"
            )
            raise Rejected("history-too-large", message, status=413)
        return read

    async def message(self, message: Message) -> None:
        if isinstance(message, Payloads):
            opened = await self.payloads(list(message.payloads))
            del message.payloads[:]
            message.payloads.extend(opened)
            return
        if isinstance(message, Payload):
            message.CopyFrom((await self.payloads([message]))[0])
            return
        for field, value in list(message.ListFields()):
            if field.message_type is None:
                continue
            if field.message_type.GetOptions().map_entry:
                of_values = field.message_type.fields_by_name["value"]
                if of_values.type == FieldDescriptor.TYPE_MESSAGE:
                    for key in list(value):
                        await self.message(value[key])
            elif field.is_repeated:
                for item in value:
                    await self.message(item)
            else:
                await self.message(value)


async def input_of(client: Client, run_id: str, execution: str) -> Json:
    """The input that a run was started with."""
    return await argument_of(client, run_id, execution, 0)


async def argument_of(client: Client, run_id: str, execution: str, number: int) -> Json:
    """One of the arguments that an execution was started with, of its first event; null where it has fewer."""
    response = await client.workflow_service.get_workflow_execution_history(
        GetWorkflowExecutionHistoryRequest(
            namespace=client.namespace,
            execution=ExecutionId(workflow_id=run_id, run_id=execution),
            maximum_page_size=1,
        )
    )
    for event in response.history.events:
        payloads = event.workflow_execution_started_event_attributes.input.payloads
        if len(payloads) > number:
            values = await client.data_converter.decode([payloads[number]])
            return values[0]  # type: ignore[no-any-return]
    return None
