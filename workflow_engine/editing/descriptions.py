"""What the properties of the languages mean, and where their specification says so."""

from __future__ import annotations

from dsl_schemas import descriptions
from workflow_engine.editing.kinds import Kind
from workflow_engine.editing.language import ANY

_SPECIFICATION_1_0 = "https://github.com/serverlessworkflow/specification/blob/main/dsl-reference.md"
_SPECIFICATION_0_8 = "https://github.com/serverlessworkflow/specification/blob/0.8.x/specification.md"
_SECTIONS_1_0 = {
    "document": "document", "use": "use", "schedule": "schedule", "evaluate": "evaluate", "task": "task",
    "input": "input", "output": "output", "schema": "schema", "endpoint": "endpoint", "timeoutDefinition": "timeout",
    "timeout": "timeout", "duration": "duration", "authenticationPolicy": "authentication",
    "credentials": "basic-authentication",
    "oauth2": "oauth2-authentication", "reference": "authentication", "resource": "external-resource",
    "catalog": "catalog", "extension": "extension", "error": "error", "catch": "catch", "retryPolicy": "retry",
    "http": "http-call", "openapi": "openapi-call", "grpc": "grpc-call", "asyncapi": "asyncapi-call", "a2a": "a2a-call",
    "mcp": "mcp-call", "events": "event-consumption-strategy", "eventFilter": "event-filter",
    "eventAttributes": "event-properties", "foreach": "subscription-iterator", "task.call": "call", "task.do": "do",
    "task.emit": "emit", "emit": "emit", "task.for": "for", "for": "for", "task.while": "for", "task.fork": "fork",
    "task.listen": "listen", "task.foreach": "listen", "task.raise": "raise", "task.run": "run", "run": "run",
    "run.container": "container-process", "run.script": "script-process", "run.shell": "shell-process",
    "run.workflow": "workflow-process", "task.set": "set", "task.switch": "switch", "switch": "switch",
    "task.try": "try",
    "task.catch": "catch", "task.wait": "wait", "task.then": "flow-directive", "task.export": "export",
}  # fmt: skip
_SECTIONS_0_8 = {
    "eventState": "Event-State", "operationState": "Operation-State", "switchState": "Switch-State",
    "sleepState": "Sleep-State", "parallelState": "Parallel-State", "injectState": "Inject-State",
    "foreachState": "ForEach-State", "callbackState": "Callback-State", "function": "Function-Definition",
    "event": "Event-Definition", "retry": "Retry-Definition", "error": "Error-Definition",
    "authentication": "Auth-Definition", "action": "Action-Definition", "transition": "Transition-Definition",
    "end": "End-Definition", "start": "Start-Definition", "schedule": "Schedule-Definition",
    "timeouts": "Workflow-Timeouts", "eventDataFilter": "Event-data-filters",
    "handlesErrors": "Workflow-Error-Handling",
    "stateOfType": "Workflow-States", "producedEvents": "ProducedEvent-Definition",
}  # fmt: skip
_CALLS = {
    "http": "Sends a request over HTTP.",
    "openapi": "Calls an operation of an OpenAPI document.",
    "grpc": "Calls a method of a gRPC service.",
    "asyncapi": "Publishes a message to, or consumes messages of, a channel of an AsyncAPI document.",
    "a2a": "Speaks with an agent (Agent2Agent protocol).",
    "mcp": "Calls a tool, or reads a prompt or resource, of a server of the Model Context Protocol.",
    "activity": "Calls an activity of another worker of Temporal. An extension of this engine.",
}
_FLOW = {
    "continue": "Goes to the next task of this list.",
    "exit": "Completes this list; the list around it goes on.",
    "end": "Ends the run.",
}
_STATES = {
    "operation": "Does actions: calls functions, runs workflows, publishes events.",
    "event": "Waits for events, and does actions when they come.",
    "switch": "Goes where the first condition says that holds, of the data or of events.",
    "sleep": "Waits for a time.",
    "parallel": "Does several branches of actions at once.",
    "inject": "Merges constant data into that of the run.",
    "foreach": "Does actions for each item of a collection.",
    "callback": "Does an action, then waits for an event.",
}
METADATA = {
    "document.metadata": {
        "express": "`true`: calls are short and may be made again; `false`: each is an activity. Default: as is safe.",
        "timezone": "The time zone of `schedule.cron`, such as `Europe/Rome`. Default: UTC.",
        "initialContext": "What `$context` begins as: `empty` or `input`. Default: `empty`.",
        "channel": "The channel of the router that the events of `schedule.on` come from.",
        "lifecycleEvents": "Which events a run tells of itself.",
        "runKeys": "Names and expressions by which runs are found.",
    },
    "task.metadata": {
        "mode": "With `for`: `parallel` does all rounds side by side.",
        "parallelism": "How many rounds of a parallel loop, or branches of a fork, are done at once.",
        "channel": "The channel of the router that events of this task go to or come from.",
        "express": "`true`: this call is short and may be made again; `false`: it is an activity of its own.",
    },
}
"""What this engine reads of metadata, which the languages leave open."""
_ASYNCAPI = {
    "action": "What the service does: `send` or `receive` messages.",
    "address": "The address of the channel: a topic, a queue, a path.",
    "asyncapi": "The version of AsyncAPI.",
    "bindings": "What only some protocols know, by protocol.",
    "channel": "The channel of the operation, by `$ref`.",
    "channels": "Where messages go to and come from.",
    "components": "What is referred to by `$ref`.",
    "contentType": "The content type of the payload.",
    "correlationId": "Where a message says which others it belongs to.",
    "defaultContentType": "The content type of messages that name none.",
    "description": "A text in Markdown.",
    "enum": "The values that the variable can have.",
    "examples": "Examples of it.",
    "externalDocs": "Where more is said.",
    "headers": "The schema of the message's headers.",
    "host": "The host of the server, perhaps with a port.",
    "id": "The id of the application, a URI.",
    "info": "Title, version and more of the document.",
    "location": "Where the value is in a message: an expression such as `$message.payload#/id`.",
    "message": "The messages of the operation.",
    "messageId": "An id of the message.",
    "messages": "The messages, by name or by `$ref`.",
    "name": "A name for it.",
    "operationId": "The id of the operation, by which workflows call it.",
    "operations": "What the service sends and receives, by id: workflows call them by it.",
    "parameters": "The variables of the channel's address.",
    "pathname": "The path behind the host.",
    "payload": "The schema of the message's payload.",
    "protocol": "The protocol of the server, such as `kafka`, `mqtt`, `amqp`, `nats`, `ws` or `http`.",
    "protocolVersion": "The version of the protocol.",
    "publish": "What clients may publish to the channel.",
    "reply": "Where answers come.",
    "schemaFormat": "The format of the schema; without it, AsyncAPI's own (JSON Schema).",
    "schemas": "Schemas by name.",
    "security": "How one authenticates.",
    "servers": "Where the service is.",
    "subscribe": "What clients may get from the channel.",
    "summary": "What it is, in a few words.",
    "tags": "Words to find it by.",
    "title": "A title for people.",
    "traits": "What it has in common with others.",
    "url": "The address of the server.",
    "variables": "The variables of the server's address.",
    "version": "The version of the service.",
}
_VALUES: dict[str, dict[str, str]] = {
    "task.call": _CALLS,
    "flow": _FLOW,
    "task.then": _FLOW,
    "state.type": _STATES,
}


def described(kind: Kind, label: str) -> str | None:
    """What the property with *label* means, or the value ``label=value``; None where nothing is said of it."""
    if "=" in label:
        label, _, value = label.partition("=")
        return _VALUES.get(label, {}).get(value)
    if kind == "asyncapi":
        return _ASYNCAPI.get(label.rpartition(".")[2])
    if kind == "workflow":
        return None
    holder, _, name = label.rpartition(".")
    if kind == "1.0" and name in METADATA.get(holder, {}):
        return METADATA[holder][name]
    texts = descriptions(kind)
    label = label.replace(ANY, "")
    return texts.get(label) or texts.get("*." + label.rpartition(".")[2])


def section(kind: Kind, label: str) -> str | None:
    """The address of the section of the specification that has the property with *label*."""
    if kind not in ("1.0", "0.8"):
        return None
    sections = _SECTIONS_1_0 if kind == "1.0" else _SECTIONS_0_8
    page = _SPECIFICATION_1_0 if kind == "1.0" else _SPECIFICATION_0_8
    parts = label.replace(ANY, "").split(".")
    for length in range(len(parts), 0, -1):
        found = sections.get(".".join(parts[:length]))
        if found is not None:
            return f"{page}#{found}"
    return f"{page}#{'workflow' if kind == '1.0' else 'Workflow-Definition-Structure'}"
