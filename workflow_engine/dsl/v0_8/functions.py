"""Lower what an action of a 0.8 document calls: a function, by its type (dsl.md §2.4)."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from workflow_engine.dsl import bounds, graphql, uri_templates
from workflow_engine.dsl.v0_8 import arguments, authentication, custom, secrets
from workflow_engine.dsl.v0_8.operations import function_type, operation_of, rpc_parts
from workflow_engine.expressions import unwrap
from workflow_engine.graph.model import Operation
from workflow_engine.values import Json, JsonObject, pointer

if TYPE_CHECKING:
    from workflow_engine.dsl.v0_8.workflow import WorkflowLowering

ODATA = {
    name.lower(): name
    for name in (
        "filter", "expand", "select", "orderBy", "top", "skip", "count", "search", "format", "compute", "index",
        "schemaVersion",
    )
}  # fmt: skip
"""The query options of OData by their names in small letters; ``orderby`` is ``orderBy`` (decision B48)."""
_ENTITY_SET = re.compile(r"[^\W\d]\w*(?:[./][^\W\d]\w*)*")
_BY_NAME = frozenset({"graphql", "odata"})
"""The types whose arguments have names that the service knows."""
_SERVED = frozenset({"graphql", "odata"})
"""The types whose operation is the address of the service itself: ``authRef`` is for the call."""


@dataclass(frozen=True, slots=True)
class Reference:
    """A ``functionRef``, with the arguments and the variables of its place *at*; *function* is what it refers to.

    *arguments* are an object, as the specification has it; earlier engines also took an expression that yields them,
    or what they are as a whole, and a list.
    """

    lowering: WorkflowLowering
    function: JsonObject
    body: JsonObject
    arguments: Json
    operation: str
    variables: frozenset[str]
    at: str

    @property
    def wait(self) -> bool:
        return self.body.get("invoke", "sync") != "async"

    @property
    def place(self) -> str:
        return f"{self.at}/arguments"

    def policy(self) -> Json:
        """How the call is authenticated; what only fetches its document is no part of it (decision B41)."""
        name, _ = authentication.invoking_name(self.function)
        data = self.lowering.data
        if name is None and (function_type(self.function) in _SERVED or custom.is_rest(self.operation)):
            return authentication.fetching(self.function, data)
        return None if name is None else authentication.policy_of(name, data)

    def call(self, kind: str, given: JsonObject, *, pinned: bool = False) -> Operation:
        resources = (self.operation,) if pinned else ()
        return secrets.operation(
            self.lowering, kind, given, self.variables, self.place, resources=resources, wait=self.wait
        )


def call(reference: Reference) -> tuple[Operation | None, bool]:
    """The call of a function that is no expression, and whether it has a result; None where that is a problem."""
    lowering, function = reference.lowering, reference.function
    kind = function_type(function, reference.operation)
    if reference.body.get("selectionSet") and kind != "graphql":
        message = "`selectionSet` says what a function of type `graphql` is to give; this one is none"
        lowering.problem("misplaced-property", message, f"{reference.at}/selectionSet")
    before = len(lowering.problems)
    given: Json = reference.arguments
    if given is not None and not (kind == "custom" and custom.is_log(reference.operation)):
        given = arguments.prepared(lowering, given, reference.variables, reference.place)
    if given is not reference.arguments:
        reference = replace(reference, arguments=given)
    prepared = len(lowering.problems)
    if isinstance(given, dict) and not lowering.wrong(before):
        lowered = CALLS[kind](reference)
        if len(lowering.problems) == prepared:
            return lowered, reference.wait and kind != "asyncapi"
        del lowering.problems[
            prepared:
        ]  # something is wrong: with the arguments themselves, or else with the call
    lowering.template(given, reference.variables, reference.place)
    if lowering.wrong(before):
        return None, True
    if given is not None and not isinstance(given, dict) and not _whole(reference, kind):
        return None, True
    lowered = CALLS[kind](reference)
    return lowered, reference.wait and kind != "asyncapi"


def _whole(reference: Reference, kind: str) -> bool:
    """Whether arguments that are no object can be taken: a list, or an expression of whatever type it yields."""
    lowering, given = reference.lowering, reference.arguments
    expression = isinstance(given, str) and unwrap(given) is not None
    if kind in _BY_NAME or not (isinstance(given, list) or expression) or custom.is_log(reference.operation):
        shape = "an object" if kind in _BY_NAME else "an object, or one expression in `${ }`"
        lowering.problem("wrong-type", f"the arguments of this function are {shape}", reference.place)
        return False
    message = "`arguments` is an object, with a value for each name; this is read as what they are as a whole"
    lowering.warning("earlier-form", message, reference.place)
    return True


def _named(reference: Reference) -> JsonObject:
    return reference.arguments if isinstance(reference.arguments, dict) else {}


# --- by type --------------------------------------------------------------------------------------------------


def _rest(reference: Reference) -> Operation:
    document, _, operation_id = reference.operation.rpartition("#")
    given: JsonObject = {
        "document": {"endpoint": document},
        "operationId": operation_id,
        "parameters": parameters(reference.arguments),
        "$function": str(reference.function.get("name")),
    }
    policy = reference.policy()
    if policy is not None:
        given["authentication"] = policy
    return reference.call("openapi", given, pinned=True)


def parameters(given: Json) -> Json:
    """What is no object is the body of the request."""
    if isinstance(given, str):
        return f'${{ ({unwrap(given)}\n) | if type == "object" then . else {{body: .}} end }}'
    return {"body": given} if isinstance(given, list) else given or {}


def _asyncapi(reference: Reference) -> Operation:
    payload: Json = reference.lowering.everything if reference.arguments is None else reference.arguments
    given: JsonObject = {"message": {"payload": payload}, "$own": True}
    policy = reference.policy()
    if policy is not None:
        given["authentication"] = policy
    return reference.call("asyncapi", given, pinned=True)


def _rpc(reference: Reference) -> Operation:
    _, service, method = rpc_parts(reference.operation)
    server = grpc_server(reference.function, service)
    given: JsonObject = {
        **(server or {"service": {"name": service}, "$function": str(reference.function.get("name"))}),
        "method": method,
        "arguments": reference.arguments or {},
    }
    policy = reference.policy()
    if policy is not None and isinstance(given.get("service"), dict):
        given["service"] = {**given["service"], "authentication": policy}  # type: ignore[dict-item]
    return reference.call("grpc", given, pinned=True)


def _graphql(reference: Reference) -> Operation | None:
    lowering, given_arguments = reference.lowering, _named(reference)
    for name in given_arguments:
        if not graphql.NAME.fullmatch(name):
            message = f"{name!r} cannot be the name of an argument in GraphQL: letters, digits and `_` alone"
            lowering.problem("invalid-value", message, reference.place + pointer(name))
            return None
    endpoint, kind, field = rpc_parts(reference.operation)
    given: JsonObject = {
        "endpoint": endpoint,
        "operation": kind,
        "field": field,
        "arguments": given_arguments,
    }
    selection = reference.body.get("selectionSet")
    if isinstance(selection, str) and selection.strip():
        at = f"{reference.at}/selectionSet"
        before = len(lowering.problems)
        lowering.template(selection, reference.variables, at)
        parts = uri_templates.parts(selection)
        if lowering.wrong(before):
            return None
        if len(parts) > 1 and not any(part.strip() for part in parts[::2]):
            given["selectionSet"] = selection.strip()  # one expression, which yields the whole
        else:
            wrong = graphql.wrong_selection(
                [None if number % 2 else part for number, part in enumerate(parts)]
            )
            if wrong:
                lowering.problem("invalid-value", f"this is no selection set of GraphQL: {wrong}", at)
                return None
            given["selectionSet"] = [*parts]
    types = graphql.variable_types(reference.function.get("metadata"))
    given |= (
        {"types": {name: type for name, type in types.items() if name in given_arguments}} if types else {}
    )
    policy = reference.policy()
    if policy is not None:
        given["authentication"] = policy
    return reference.call("graphql", given)


def _odata(reference: Reference) -> Operation | None:
    lowering, at, asked = reference.lowering, reference.place, _named(reference)
    before = len(lowering.problems)
    for name in asked:
        if name not in {"key", "queryOptions"}:
            message = f"an OData function has no argument `{name}`; it has `key` and `queryOptions`"
            lowering.problem("unknown-property", message, at + pointer(name))
    options, found = asked.get("queryOptions"), {}
    for name, value in (options if isinstance(options, dict) else {}).items():
        place = f"{at}/queryOptions{pointer(name)}"
        known = ODATA.get(name.lower())
        if known is None or name not in {known, known.lower()}:
            lowering.unknown("unknown-property", "query option", name, ODATA.values(), place)
        elif known in found:
            message = f"`{known}` is there twice, in two spellings"
            lowering.problem("conflicting-properties", message, place)
        else:
            found[known] = _parted(value)
            bounds.check_query(lowering, known, value, place)
    if lowering.wrong(before):
        return None
    service, _, entity_set = reference.operation.rpartition("#")
    given: JsonObject = {"service": service, "entitySet": entity_set}
    if "key" in asked:
        given["key"] = asked["key"]
    if options is not None:
        given["queryOptions"] = found if isinstance(options, dict) else options
    policy = reference.policy()
    if policy is not None:
        given["authentication"] = policy
    return reference.call("odata", given)


def _parted(value: Json) -> Json:
    """Text with expressions in it, in parts: text and, in turn, an expression, whose value is written as OData does."""
    parts = uri_templates.parts(value) if isinstance(value, str) else []
    return [*parts] if len(parts) > 1 and any(part.strip() for part in parts[::2]) else value


def _custom(reference: Reference) -> Operation | None:
    lowered = custom.lower(
        reference.lowering, reference.function, reference.operation, reference.arguments, reference.at
    )
    if lowered is None:
        return None
    kind, given = lowered
    policy = reference.policy()
    if policy is not None and kind == "http":
        given["endpoint"] = {"uri": given["endpoint"], "authentication": policy}
    return reference.call(kind, given)


CALLS: dict[str, Callable[[Reference], Operation | None]] = {
    "asyncapi": _asyncapi,
    "custom": _custom,
    "graphql": _graphql,
    "odata": _odata,
    "rest": _rest,
    "rpc": _rpc,
}


# --- definitions ----------------------------------------------------------------------------------------------


def check(lowering: WorkflowLowering, function: JsonObject, at: str) -> None:
    """Find what is wrong with a function that is no expression; one that is wrong is `lowering.broken`."""
    before = len(lowering.problems)
    written = str(function.get("operation", ""))
    operation = operation_of(function, lowering.data)
    kind = function_type(function, operation)
    authentication.check_references(lowering, function, at)
    if operation is None:
        if not isinstance(lowering.data.get("constants"), str):
            why = "(what it names is looked up when the workflow is deployed, where `$CONST` alone is known)"
            lowering.unsupported(
                f"an expression in the `operation` of a function {why}: {written!r}", f"{at}/operation"
            )
    elif kind == "asyncapi" and function.get("authRef"):
        message = "`authRef` has no effect: the document is in the catalog, and not fetched"
        lowering.warning("ignored-property", message, f"{at}/authRef")
    elif kind == "custom":
        custom.check(lowering, function, operation, at)
    else:
        _check_shape(lowering, function, kind, operation, at)
    if lowering.wrong(before) or operation is None:
        lowering.broken.add(str(function.get("name")))


_SHAPES = {
    "rest": "<address of an OpenAPI document>#<operationId>",
    "rpc": "<address of a proto>#<service>#<method>",
    "graphql": "<address of a GraphQL service>#query|mutation#<field>",
    "odata": "<address of an OData service>#<entity set>",
}


def _check_shape(
    lowering: WorkflowLowering, function: JsonObject, kind: str, operation: str, at: str
) -> None:
    parts = rpc_parts(operation) if kind in {"rpc", "graphql"} else operation.rpartition("#")
    fits = all(parts) or kind == "asyncapi"
    if kind == "graphql" and fits:
        _, asked, field = parts
        if asked == "subscription":
            lowering.unsupported(
                "a subscription of GraphQL (the specification excludes it)", f"{at}/operation"
            )
            return
        fits = asked in {"query", "mutation"} and graphql.NAME.fullmatch(field) is not None
        _check_types(lowering, function, at)
    elif kind == "odata" and fits:
        fits = _ENTITY_SET.fullmatch(parts[2]) is not None
    if fits and kind in _SERVED and not parts[0].startswith(("http://", "https://")):
        fits = False
    if not fits:
        lowering.problem("invalid-value", f"{operation!r} must be {_SHAPES[kind]}", f"{at}/operation")
    metadata = function.get("metadata")
    if kind == "rpc" and grpc_server(function) is None:
        message = (
            "a function of type `rpc` needs the address of its service, for which 0.8 has no property: write "
            "`metadata: {host: name, port: number}`, with `tls: false` where the service is called without TLS"
        )
        if isinstance(metadata, dict) and metadata.keys() & {"host", "port", "tls"}:
            lowering.problem("missing-property", message, at)
        else:
            elsewhere = "; else the setting WFE_FUNCTION_URLS of the worker says where it is"
            lowering.warning("earlier-form", message + elsewhere, at)


def _check_types(lowering: WorkflowLowering, function: JsonObject, at: str) -> None:
    metadata = function.get("metadata")
    for name, type in graphql.variable_types(metadata).items():
        if not graphql.is_type(type):
            message = f"{type!r} is no type of GraphQL, such as `ID!` or `[PetInput!]`"
            lowering.problem("invalid-value", message, f"{at}/metadata{pointer('$' + name)}")


def grpc_server(definition: JsonObject, name: str = "") -> JsonObject | None:
    """The arguments of a grpc call that say where the service *name* is, by the metadata of a function; else None."""
    metadata = definition.get("metadata")
    known: JsonObject = metadata if isinstance(metadata, dict) else {}
    host, port, tls = known.get("host"), known.get("port"), known.get("tls")
    if isinstance(port, str) and port.isdecimal():
        port = int(port)  # the specification has metadata of text alone
    if isinstance(tls, str) and tls in {"true", "false"}:
        tls = tls == "true"
    if not isinstance(host, str) or not host or not isinstance(port, int | None) or isinstance(port, bool):
        return None
    service: JsonObject = {"name": name, "host": host, **({} if port is None else {"port": port})}
    return {"service": service, "$tls": tls} if isinstance(tls, bool) else {"service": service}
