"""Lower ``call: grpc``: a method of a service whose proto is compiled when the workflow is deployed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl.needs import document_uri, grpc_key
from workflow_engine.dsl.v1 import secrets
from workflow_engine.dsl.v1.endpoints import authenticate, check_fetching
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.graph.model import Action
from workflow_engine.values import JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering


def lower(lowering: WorkflowLowering, task: Task) -> Action:
    """A call of a method. ``tls`` in the task's metadata says whether it is encrypted, for the language has no word."""
    given = dict(task.object("with"))
    given["service"] = service = dict(task.object("with", "service"))
    authenticate(lowering, task, service, ("with", "service"))
    policy = service.get("authentication")
    if isinstance(policy, dict) and "digest" in policy:
        at = task.at("with", "service", "authentication")
        lowering.unsupported("`digest` for a gRPC service (the server asks for it with headers of HTTP)", at)
    _check_known_now(lowering, task, given)
    if service.get("port") == 0:
        lowering.nonsense("invalid-bounds", "no service is at the port 0", task.at("with", "service", "port"))
    given.pop("proto", None)
    tls = task.object("metadata").get("tls")
    if isinstance(tls, bool):
        given["$tls"] = tls
    elif tls is not None:
        message = "`tls` says whether a gRPC service is called with TLS: true or false"
        lowering.problem("invalid-value", message, task.at("metadata", "tls"))
    key = grpc_key(task.object("with"))
    return secrets.operation(lowering, task, "grpc", given, () if key is None else (key,))


def _check_known_now(lowering: WorkflowLowering, task: Task, given: JsonObject) -> None:
    """A proto is compiled at deployment, so that what to compile cannot depend on the data of a run."""
    proto, service = document_uri(given, "proto"), task.object("with", "service")
    why = "(the proto is compiled when the workflow is deployed)"
    at = task.at("with", "proto", "endpoint")
    endpoint = task.part("with", "proto", "endpoint")
    check_fetching(lowering, endpoint, at, "the proto")
    if isinstance(endpoint, dict):
        at += "/uri"
    if proto is not None and "{" in proto:
        lowering.unsupported(f"the address of a proto as an expression or a template {why}", at)
    for value, names in ((service.get("name"), ("service", "name")), (given.get("method"), ("method",))):
        if "${" in str(value):
            lowering.unsupported(f"an expression as the {' '.join(names)} {why}", task.at("with", *names))
