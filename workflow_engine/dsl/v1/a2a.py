"""Lower ``call: a2a``: a request to an agent of the Agent2Agent protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl.v1 import secrets
from workflow_engine.dsl.v1.endpoints import authenticate, expand
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.dsl.wording import ticked
from workflow_engine.graph.model import Action
from workflow_engine.values import pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

_NEEDED = {
    "message/send": "message",
    "message/stream": "message",
    "tasks/get": "id",
    "tasks/cancel": "id",
    "tasks/resubscribe": "id",
}


def lower(lowering: WorkflowLowering, task: Task) -> Action:
    """A call of the agent that ``agentCard`` describes; without one, of ``server``, which is ignored beside it."""
    given = dict(task.object("with"))
    path: tuple[str, ...] = ("with", "server")
    holder = given
    if "agentCard" in given:
        if given.pop("server", None) is not None:
            message = "`server` has no effect beside `agentCard`, which says where the agent is"
            lowering.warning("ignored-property", message, task.at(*path))
        path = ("with", "agentCard", "endpoint")
        given["agentCard"] = holder = dict(task.object("with", "agentCard"))
    address, at = task.part(*path), task.at(*path)
    if isinstance(address, dict):
        holder[path[-1]] = endpoint = dict(address)
        authenticate(lowering, task, endpoint, path)
        address, at = endpoint.get("uri"), at + "/uri"
    expand(lowering, given, address, at)
    if isinstance(address, str) and not address.lstrip().startswith(("http://", "https://", "${", "{")):
        lowering.unsupported("an agent that is not on the web (`http://` or `https://`)", at)
    _check_parameters(lowering, task)
    return secrets.operation(lowering, task, "a2a", given)


def _check_parameters(lowering: WorkflowLowering, task: Task) -> None:
    """What the schema cannot say of the parameters that are not computed."""
    method, parameters = str(task.part("with", "method")), task.part("with", "parameters")
    needed = _NEEDED.get(method)
    if needed is None or isinstance(parameters, str):
        return
    if not isinstance(parameters, dict) or needed not in parameters:
        at = "/with" + ("" if parameters is None else pointer("parameters"))
        message = f"{ticked(method)} needs {ticked(needed)} in its {ticked('parameters')}"
        lowering.problem("missing-property", message, task.id + at)
