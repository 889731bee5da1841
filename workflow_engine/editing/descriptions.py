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
    "timeouts": "Timeouts-Definition", "eventDataFilter": "Event-data-filters",
    "handlesErrors": "Workflow-Error-Handling",
    "stateOfType": "State-Definition", "producedEvents": "ProducedEvent-Definition",
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
    if kind not in ("1.0", "0.8"):
        return None
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
