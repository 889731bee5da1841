"""What a 0.8 document defines by name: functions, events, and what is refused among them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from workflow_engine import expressions
from workflow_engine.dsl.needs import rpc_parts
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

Named: TypeAlias = "dict[str, tuple[JsonObject, str]]"
"""Definitions by name, each with its pointer."""

LISTS = ("functions", "events", "errors", "retries", "auth")
RUNNABLE = frozenset({"asyncapi", "expression", "rest", "rpc"})
"""The function types that actions can call."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def named(lowering: WorkflowLowering, kind: str) -> Named:
    """The definitions under *kind*; a name that is there twice is a problem."""
    found: Named = {}
    for number, item in enumerate(objects(lowering.data.get(kind))):
        name, at = str(item.get("name")), f"/{kind}/{number}"
        if name in found:
            lowering.problem(
                "duplicate-definition", f"two {kind} are called {name!r}; rename one", at + "/name"
            )
        found.setdefault(name, (item, at))
    return found


def objects(value: Json) -> list[JsonObject]:
    """The items of a list of objects; empty for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def function_type(definition: JsonObject) -> str:
    """The type of a function: ``rest`` by default, but two ``#`` make it ``rpc`` (decision B43)."""
    given = str(definition.get("type", "rest"))
    operation = str(definition.get("operation"))
    return "rpc" if given == "rest" and operation.count("#") > 1 else given


def check(lowering: WorkflowLowering) -> None:
    """Refuse what no run could do with the definitions, whether something refers to them or not."""
    bound = iteration_names(lowering)
    for definition, at in lowering.functions.values():
        _check_function(lowering, definition, at, bound)
    for definition, at in lowering.events.values():
        for key in ("type", "source"):
            if "${" in str(definition.get(key, "")):
                lowering.unsupported(f"an expression as the {key} of an event", f"{at}/{key}")
    named(lowering, "auth")


def _check_function(
    lowering: WorkflowLowering, definition: JsonObject, at: str, bound: frozenset[str]
) -> None:
    if definition.get("authRef"):
        lowering.unsupported("`authRef` of a function", f"{at}/authRef")
    kind, operation = function_type(definition), str(definition.get("operation"))
    if kind not in RUNNABLE:
        key = "type" if definition.get("type") == kind else "operation"
        lowering.unsupported(f"a function of type `{kind}`", f"{at}/{key}")
    elif kind == "expression":
        before = len(lowering.problems)
        lowering.expression(operation, bound, f"{at}/operation")
        if len(lowering.problems) > before:
            lowering.broken.add(str(definition.get("name")))
    elif "${" in operation:
        lowering.unsupported("an expression in the `operation` of a function", f"{at}/operation")
    elif kind == "rest" and not all(operation.partition("#")):
        shape = f"{operation!r} must be <address of an OpenAPI document>#<operationId>"
        lowering.problem("invalid-value", shape, f"{at}/operation")
    elif kind == "rpc":
        _check_rpc(lowering, definition, operation, at)


def _check_rpc(lowering: WorkflowLowering, definition: JsonObject, operation: str, at: str) -> None:
    """A function of gRPC; where its service is, 0.8 has no property for, so that ``metadata`` says it."""
    if not all(rpc_parts(operation)):
        shape = f"{operation!r} must be <address of a proto>#<service>#<method>"
        lowering.problem("invalid-value", shape, f"{at}/operation")
    server = grpc_server(definition)
    if server is None:
        message = (
            "a function of type `rpc` needs the address of its service, for which 0.8 has no property: write "
            "`metadata: {host: name, port: number}`, with `tls: false` where the service is called without TLS"
        )
        lowering.problem("missing-property", message, at)


def grpc_server(definition: JsonObject, name: str = "") -> JsonObject | None:
    """The arguments of a grpc call that say where the service *name* is, by the metadata of a function; else None."""
    metadata = definition.get("metadata")
    known: JsonObject = metadata if isinstance(metadata, dict) else {}
    host, port, tls = known.get("host"), known.get("port"), known.get("tls")
    if not isinstance(host, str) or not host or not isinstance(port, int | None) or isinstance(port, bool):
        return None
    service: JsonObject = {"name": name, "host": host, **({} if port is None else {"port": port})}
    return {"service": service, "$tls": tls} if isinstance(tls, bool) else {"service": service}


def iteration_names(lowering: WorkflowLowering) -> frozenset[str]:
    """Every variable that an expression function may see, depending on where it is called."""
    names = {"CONST"}
    for state in lowering.states:
        if state.get("type") == "foreach":
            names |= variables(iteration_name(state) or "")
    return frozenset(names)


def iteration_name(state: JsonObject) -> str | None:
    """The member that holds the element in each iteration of a foreach state; None if that is no name.

    ``item`` by default; ``${ .tx }`` and ``.tx`` mean ``tx`` (decision B24).
    """
    given = str(state.get("iterationParam", "item"))
    written = given.lstrip().startswith(("${", ".", "$."))
    found = expressions.assignment_path(given.replace("$.", ".", 1)) if written else [given]
    if not found or len(found) != 1:
        return None
    name = found[0]
    return name if isinstance(name, str) and name.strip() and "$" not in name else None


def variables(name: str) -> frozenset[str]:
    """The variable that *name* can also be used as, if jq can have one of that name (decision B24)."""
    return frozenset({name}) if _NAME.fullmatch(name) and name != "CONST" else frozenset()
