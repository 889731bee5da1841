"""Lower ``call``: the built-in functions, and functions of ``use.functions`` inlined (decision A61)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from workflow_engine.dsl.needs import asyncapi_key, document_uri, openapi_key
from workflow_engine.dsl.v1.scope import Task
from workflow_engine.graph.model import Action, DataStep, Exit, GoTo, Operation, Region, Sequence, Transform
from workflow_engine.values import Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

_URI_VARIABLE = re.compile(r"(?<!\$)\{([A-Za-z0-9_.%]+)\}")


def call(lowering: WorkflowLowering, task: Task) -> tuple[Action, tuple[DataStep, ...]]:
    """A call: by a built-in function, or by a function of the document, whose body is put in its place."""
    name = str(task.body["call"])
    if name in CALLS:
        return CALLS[name](lowering, task), ()
    if name in {"grpc", "a2a", "mcp"}:
        lowering.unsupported(f"`call: {name}`", task.at("call"))
        return _nothing(task), ()
    named = lowering.use.get("functions")
    known: JsonObject = named if isinstance(named, dict) else {}
    if name not in known:
        if "@" in name or "://" in name:
            lowering.unsupported(f"a function from a catalog or a URL ({name!r})", task.at("call"))
        else:
            builtin = [*CALLS, *known]
            lowering.unknown("unknown-function", "function", name, builtin, task.at("call"))
        return _nothing(task), ()
    if name in task.scope.functions:
        chain = " → ".join([*task.scope.functions, name])
        lowering.problem("recursive-function", f"the function calls itself: {chain}", task.at("call"))
        return _nothing(task), ()
    body = known[name]
    assert isinstance(body, dict)
    # `then` of a function's task means nothing where it is called; its `if` does (decision A61).
    at = "/use/functions" + pointer(name)
    scope = replace(task.scope, siblings={}, loop=False, functions=(*task.scope.functions, name))
    state = lowering.state(Task(name, {k: v for k, v in body.items() if k != "then"}, at, scope), Exit())
    # The pointer of a function's task is the same wherever it is called; the run tells the calls apart.
    region = Region(at, GoTo(at), {at: state}, name)
    given = task.body.get("with")
    before: tuple[DataStep, ...] = ()
    if given is not None:
        before = (Transform(lowering.template(given, task.variables, task.at("with"))),)
    return Sequence(region), before


def _nothing(task: Task) -> Action:
    return Sequence(Region(task.id, Exit(), {}))


def http(lowering: WorkflowLowering, task: Task) -> Action:
    given = dict(task.object("with"))
    _authenticate(lowering, task, given, ("with",))
    endpoint = given.get("endpoint")
    address = endpoint
    if isinstance(endpoint, dict):
        given["endpoint"] = endpoint = dict(endpoint)
        _authenticate(lowering, task, endpoint, ("with", "endpoint"))
        address = endpoint.get("uri")
    if isinstance(address, str) and "{" in address and "${" not in address:
        given["$uri_variables"] = _uri_variables(address)
    return Operation("http", lowering.template(given, task.variables, task.at("with")))


def _uri_variables(address: str) -> JsonObject:
    """What the URI template *address* reads of the task's input: members of its top level (decision A63)."""
    names = dict.fromkeys(_URI_VARIABLE.findall(address))
    return {name: f'${{ .["{name}"]? }}' for name in names}


def openapi(lowering: WorkflowLowering, task: Task) -> Action:
    given = dict(task.object("with"))
    _authenticate(lowering, task, given, ("with",))
    key = openapi_key(given)
    document = document_uri(given)
    if key is None and document is not None and "${" not in document:
        given["$uri_variables"] = _uri_variables(document)
    template = lowering.template(given, task.variables, task.at("with"))
    return Operation("openapi", template, () if key is None else (key,))


def asyncapi(lowering: WorkflowLowering, task: Task) -> Action:
    """Publish one message; without one the task's input is the payload."""
    given = task.object("with")
    for name, why in (
        ("subscription", "subscribing by `call: asyncapi` (use `listen`)"),
        ("server", "choosing a server; messages go through the event router"),
        ("protocol", "choosing a protocol; messages go through the event router"),
        ("authentication", "authentication to a broker; messages go through the event router"),
    ):
        if name in given:
            lowering.unsupported(f"`with.{name}` ({why})", task.at("with", name))
    _document(lowering, task)
    key = asyncapi_key(given)
    if key is None:
        hint = "name the operation: `operation`, or `document` with `operation` or `channel`"
        lowering.problem("missing-property", hint, task.at("with"))
        return _nothing(task)
    message = given.get("message")
    sent: JsonObject = dict(message) if isinstance(message, dict) else {}
    sent.setdefault("payload", "${ . }")
    arguments = lowering.template({"message": sent}, task.variables, task.at("with"))
    return Operation("asyncapi", arguments, (key,))


def _document(lowering: WorkflowLowering, task: Task) -> None:
    """Check that the document of a call can be resolved when the workflow is deployed."""
    document = task.part("with", "document")
    endpoint = document.get("endpoint") if isinstance(document, dict) else None
    if isinstance(endpoint, dict):
        if "authentication" in endpoint:
            at = task.at("with", "document", "endpoint", "authentication")
            lowering.unsupported("authentication to fetch a document", at)
        endpoint = endpoint.get("uri")
    if isinstance(endpoint, str) and "${" in endpoint:
        at = task.at("with", "document", "endpoint")
        lowering.unsupported("the address of an AsyncAPI document as an expression", at)


def _authenticate(lowering: WorkflowLowering, task: Task, holder: JsonObject, path: tuple[str, ...]) -> None:
    """Put the policy in the place of its name, and refuse the schemes that are not there yet."""
    policy: Json = holder.get("authentication")
    if policy is None:
        return
    at = task.at(*path, "authentication")
    name = policy.get("use") if isinstance(policy, dict) else policy
    if isinstance(name, str):
        named = lowering.use.get("authentications")
        known = named if isinstance(named, dict) else {}
        if name not in known:
            lowering.unknown("unknown-authentication", "authentication", name, known, at)
            holder.pop("authentication")
            return
        policy, at = known[name], "/use/authentications" + pointer(name)
    assert isinstance(policy, dict)
    for scheme, details in policy.items():
        if scheme not in {"basic", "bearer"}:
            lowering.unsupported(f"authentication by `{scheme}`", at + pointer(scheme))
        elif isinstance(details, dict) and "use" in details:
            lowering.unsupported("credentials from a secret", at + pointer(scheme, "use"))
    holder["authentication"] = policy


CALLS: dict[str, Callable[[WorkflowLowering, Task], Action]] = {
    "asyncapi": asyncapi,
    "http": http,
    "openapi": openapi,
}
