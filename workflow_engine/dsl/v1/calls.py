"""Lower ``call`` by the name of a built-in function; `functions` has the others (decision A61)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workflow_engine.dsl import bounds
from workflow_engine.dsl.needs import openapi_key
from workflow_engine.dsl.v1 import a2a, activity, asyncapi, functions, grpc, mcp, secrets
from workflow_engine.dsl.v1.endpoints import authenticate, expand
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.graph.model import Action

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering


def call(lowering: WorkflowLowering, task: Task) -> Action:
    """A call: of a built-in function, or of another, whose body is put in its place."""
    name = str(task.body["call"])
    if name in CALLS and not (name == activity.NAME and name in lowering.used("functions")):
        return CALLS[name](lowering, task)
    return functions.call(lowering, task, list(CALLS))


def http(lowering: WorkflowLowering, task: Task) -> Action:
    given = dict(task.object("with"))
    endpoint = given.get("endpoint")
    address, at = endpoint, task.at("with", "endpoint")
    if isinstance(endpoint, dict):
        given["endpoint"] = endpoint = dict(endpoint)
        authenticate(lowering, task, endpoint, ("with", "endpoint"))
        address, at = endpoint.get("uri"), at + "/uri"
    expand(lowering, given, address, at)
    bounds.check_method(lowering, given.get("method"), task.at("with", "method"))
    return secrets.operation(lowering, task, "http", given)


def openapi(lowering: WorkflowLowering, task: Task) -> Action:
    given = dict(task.object("with"))
    authenticate(lowering, task, given, ("with",))
    document = dict(task.object("with", "document"))
    endpoint, at = document.get("endpoint"), task.at("with", "document", "endpoint")
    address = endpoint
    if isinstance(endpoint, dict):
        document["endpoint"] = endpoint = dict(endpoint)
        given["document"] = document
        authenticate(lowering, task, endpoint, ("with", "document", "endpoint"))
        address, at = endpoint.get("uri"), at + "/uri"
    expand(lowering, given, address, at)
    key = openapi_key(given)
    return secrets.operation(lowering, task, "openapi", given, () if key is None else (key,))


CALLS: dict[str, Callable[[WorkflowLowering, Task], Action]] = {
    "a2a": a2a.lower,
    activity.NAME: activity.lower,
    "asyncapi": asyncapi.lower,
    "grpc": grpc.lower,
    "http": http,
    "mcp": mcp.lower,
    "openapi": openapi,
}
