"""Lower ``call: mcp``: a request to a Model Context Protocol server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_engine.dsl import bounds
from workflow_engine.dsl.v1 import secrets
from workflow_engine.dsl.v1.endpoints import authenticate, expand
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.dsl.wording import listing, ticked
from workflow_engine.graph.model import Action
from workflow_engine.values import Json, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

VERSIONS = ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25")
"""The versions of the protocol that begin with ``initialize``, which the specification demands; later ones do not."""
_NEEDED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_OWN_HEADERS = frozenset(
    {"accept", "content-type", "last-event-id", "mcp-session-id", "mcp-protocol-version"}
)


def lower(lowering: WorkflowLowering, task: Task) -> Action:
    """A call whose own ``timeout`` bounds it as one of the task would; the smaller of both counts."""
    given = dict(task.object("with"))
    _check(lowering, task)
    transport = dict(task.object("with", "transport"))
    given["transport"] = transport
    if isinstance(transport.get("http"), dict):
        _http(lowering, task, given, transport)
    timeout = given.pop("timeout", None)
    bounds.check_timeout(lowering, timeout, task.at("with", "timeout"))
    timing = lowering.optional_timing(timeout, task.variables, task.at("with", "timeout"))
    return replace(secrets.operation(lowering, task, "mcp", given), timeout=timing)


def _http(lowering: WorkflowLowering, task: Task, given: dict[str, Json], transport: dict[str, Json]) -> None:
    path = ("with", "transport", "http")
    transport["http"] = over = dict(task.object(*path))
    address, at = over.get("endpoint"), task.at(*path, "endpoint")
    if isinstance(address, dict):
        over["endpoint"] = endpoint = dict(address)
        authenticate(lowering, task, endpoint, (*path, "endpoint"))
        address, at = endpoint.get("uri"), at + "/uri"
    expand(lowering, given, address, at)
    for name in task.object(*path, "headers"):
        if name.lower() in _OWN_HEADERS:
            message = f"the header {ticked(name)} is set by the engine; leave it out"
            lowering.problem("invalid-value", message, task.at(*path, "headers", name))


def _check(lowering: WorkflowLowering, task: Task) -> None:
    """What the schema cannot say of the arguments (decision A60)."""
    version = task.part("with", "protocolVersion")
    if isinstance(version, str) and version not in VERSIONS and "${" not in version:
        what = f"version {version!r} of MCP (known are {listing(VERSIONS, 'and')})"
        lowering.unsupported(what, task.at("with", "protocolVersion"))
    for name in task.object("with", "transport", "options"):
        what = f"the option {name!r} of an MCP transport (the specification names none)"
        lowering.unsupported(what, task.at("with", "transport", "options", name))
    if "description" in task.object("with", "client"):
        what = "`description` of an MCP client (the protocol knows a name and a version)"
        lowering.unsupported(what, task.at("with", "client", "description"))
    method, parameters = str(task.part("with", "method")), task.part("with", "parameters")
    needed = _NEEDED.get(method)
    if needed is None or isinstance(parameters, str):
        return
    if not isinstance(parameters, dict) or needed not in parameters:
        at = "/with" + ("" if parameters is None else pointer("parameters"))
        message = f"{ticked(method)} needs {ticked(needed)} in its {ticked('parameters')}"
        lowering.problem("missing-property", message, task.id + at)
