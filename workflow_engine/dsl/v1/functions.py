"""Lower a call of a function: its body is put in the place of the call (decision A61).

A function of ``use.functions``, or one from elsewhere that the bundle pins. The latter is lowered as if it stood in
``use.functions`` under the reference by which it is called, and its states have ids that say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workflow_engine.dsl.functions import DEFAULT, LONGEST, Reference, reference
from workflow_engine.dsl.needs import uri_of
from workflow_engine.dsl.v1.endpoints import check_fetching
from workflow_engine.dsl.v1.scope import Scope, Task
from workflow_engine.graph.model import Action, Exit, GoTo, Operation, Region, Sequence
from workflow_engine.values import Json, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v1.workflow import WorkflowLowering

MAX_INLINED = 10_000
"""How many tasks a workflow may have from functions and extensions, once each stands wherever it is used."""


def call(lowering: WorkflowLowering, task: Task, builtin: list[str]) -> Action:
    """A call of a function by its name, or by a reference to one from elsewhere."""
    name = str(task.body["call"])
    known = lowering.used("functions")
    if name in known:
        return _inlined(lowering, task, name, name, known[name])
    wanted = reference(name)
    if wanted is None:
        hint = ""
        if ":" in name:
            hint = "; one from a catalog is called `name:version@catalog`"
        lowering.unknown("unknown-function", "function", name, [*builtin, *known], task.at("call"), hint=hint)
        return nothing(task)
    return _from_elsewhere(lowering, task, wanted)


def _from_elsewhere(lowering: WorkflowLowering, task: Task, wanted: Reference) -> Action:
    name, at = wanted.name, task.at("call")
    catalogs = lowering.used("catalogs")
    if wanted.catalog is not None and wanted.catalog not in catalogs and wanted.catalog != DEFAULT:
        lowering.unknown("unknown-catalog", "catalog", wanted.catalog, [*catalogs, DEFAULT], at)
        return nothing(task)
    if len(name) > LONGEST:
        lowering.problem("invalid-value", f"the reference of a function has at most {LONGEST} characters", at)
        return nothing(task)
    if lowering.resources is None:  # nothing is fetched yet: all that is known is that it is called
        given = lowering.template(task.body.get("with"), task.variables, task.at("with"))
        return Operation("function", given, (wanted.key,))
    pinned = lowering.resources.get(wanted.key)
    body = pinned.get("function") if isinstance(pinned, dict) else None
    if not isinstance(pinned, dict) or not isinstance(body, dict):
        message = f"the function {name!r} is not there; it is found when the workflow is deployed"
        lowering.problem("unresolved", message, at)
        return nothing(task)
    place = "/use/functions" + pointer(name)
    if place not in lowering.elsewhere:
        caller = lowering.placed("", at)[1]
        lowering.elsewhere[place] = (str(pinned.get("address")), caller)
        lowering.pinned[name] = body
    return _inlined(lowering, task, name, wanted.title, body)


def _inlined(lowering: WorkflowLowering, task: Task, name: str, title: str, body: Json) -> Action:
    """The function *name* in the place of the call *task*; *title* is what its state is called."""
    if name in task.scope.functions:
        chain = " → ".join([*task.scope.functions, name])
        lowering.problem("recursive-function", f"the function calls itself: {chain}", task.at("call"))
        return nothing(task)
    if not lowering.room("functions in the place of their calls", "/use/functions"):
        return nothing(task)
    given = task.body.get("with")
    arguments = None if given is None else lowering.template(given, task.variables, task.at("with"))
    return Sequence(function(lowering, name, title, body, task.scope), arguments)


def function(lowering: WorkflowLowering, name: str, title: str, body: Json, around: Scope) -> Region:
    """The body of a function as a region. It sees what it is given, and no variables of its callers.

    Its pointer is the same wherever it is called; the run tells the calls apart. ``then`` of a function's
    task means nothing where it is called; its ``if`` does (decision A61).
    """
    assert isinstance(body, dict)
    lowering.called.add(name)
    at = "/use/functions" + pointer(name)
    kept = {key: value for key, value in body.items() if key != "then"}
    state = lowering.state(
        Task(title, kept, at, Scope(functions=(*around.functions, name), bare=around.bare))
    )
    return Region(at, GoTo(at), {at: state}, title)


def check_uncalled(lowering: WorkflowLowering) -> None:
    """Find what is wrong with the functions that nothing calls."""
    for name, body in lowering.used("functions").items():
        if name not in lowering.called:
            function(lowering, name, name, body, Scope())


def check_catalogs(lowering: WorkflowLowering) -> None:
    """Find what is wrong with the catalogs: each must be known when the workflow is deployed."""
    for name, catalog in lowering.used("catalogs").items():
        endpoint = catalog.get("endpoint") if isinstance(catalog, dict) else None
        at = "/use/catalogs" + pointer(name, "endpoint")
        uri = uri_of(endpoint)
        if uri is not None and "{" in uri:
            lowering.unsupported("the address of a catalog as an expression or a template", at)
        check_fetching(lowering, endpoint, at, "a function")


def nothing(task: Task) -> Action:
    """What stands for a call that cannot be made; the graph is thrown away."""
    return Sequence(Region(task.id, Exit(), {}))
