"""Lower ``call``: the built-in functions, and functions of ``use.functions`` inlined (decision A61)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from workflow_engine.dsl.needs import openapi_key
from workflow_engine.dsl.v1 import a2a, asyncapi, grpc, mcp, secrets
from workflow_engine.dsl.v1.endpoints import authenticate, expand
from workflow_engine.dsl.v1.scope import Scope, Task
from workflow_engine.graph.model import Action, Exit, GoTo, Region, Sequence
from workflow_engine.values import Json, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

MAX_INLINED = 10_000
"""How many tasks a workflow may have from functions, once each call is replaced by the function's body."""


def call(lowering: WorkflowLowering, task: Task) -> Action:
    """A call: by a built-in function, or by a function of the document, whose body is put in its place."""
    name = str(task.body["call"])
    if name in CALLS:
        return CALLS[name](lowering, task)
    known = lowering.used("functions")
    if name not in known:
        if "@" in name or "://" in name:
            lowering.unsupported(f"a function from a catalog or a URL ({name!r})", task.at("call"))
        else:
            builtin = [*CALLS, *known]
            lowering.unknown("unknown-function", "function", name, builtin, task.at("call"))
        return _nothing(task)
    if name in task.scope.functions:
        chain = " → ".join([*task.scope.functions, name])
        lowering.problem("recursive-function", f"the function calls itself: {chain}", task.at("call"))
        return _nothing(task)
    if lowering.inlined > MAX_INLINED:
        message = f"with functions in the place of their calls, they make more than {MAX_INLINED:,} tasks"
        lowering.problem("too-large", message, "/use/functions")
        return _nothing(task)
    given = task.body.get("with")
    arguments = None if given is None else lowering.template(given, task.variables, task.at("with"))
    return Sequence(_function(lowering, name, known[name], task.scope.functions), arguments)


def _function(lowering: WorkflowLowering, name: str, body: Json, around: tuple[str, ...]) -> Region:
    """The body of a function as a region. It sees what it is given, and no variables of its callers.

    Its pointer is the same wherever it is called; the run tells the calls apart. ``then`` of a function's
    task means nothing where it is called; its ``if`` does (decision A61).
    """
    assert isinstance(body, dict)
    lowering.called.add(name)
    at = "/use/functions" + pointer(name)
    kept = {key: value for key, value in body.items() if key != "then"}
    state = lowering.state(Task(name, kept, at, Scope(functions=(*around, name))))
    return Region(at, GoTo(at), {at: state}, name)


def check_uncalled(lowering: WorkflowLowering) -> None:
    """Find what is wrong with the functions that nothing calls."""
    for name, body in lowering.used("functions").items():
        if name not in lowering.called:
            _function(lowering, name, body, ())


def _nothing(task: Task) -> Action:
    return Sequence(Region(task.id, Exit(), {}))


def http(lowering: WorkflowLowering, task: Task) -> Action:
    given = dict(task.object("with"))
    endpoint = given.get("endpoint")
    address, at = endpoint, task.at("with", "endpoint")
    if isinstance(endpoint, dict):
        given["endpoint"] = endpoint = dict(endpoint)
        authenticate(lowering, task, endpoint, ("with", "endpoint"))
        address, at = endpoint.get("uri"), at + "/uri"
    expand(lowering, given, address, at)
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
    "asyncapi": asyncapi.lower,
    "grpc": grpc.lower,
    "http": http,
    "mcp": mcp.lower,
    "openapi": openapi,
}
