"""What an action of a 0.8 state does, as a task without its data flow: a call, a workflow, an exchange of events."""

from __future__ import annotations

import re

from workflow_engine.dsl.migration import events, jq
from workflow_engine.dsl.migration.writing import Writer, do, slug, task, version
from workflow_engine.dsl.v0_8 import arguments, authentication, custom
from workflow_engine.dsl.v0_8.functions import grpc_server, parameters
from workflow_engine.dsl.v0_8.operations import function_type, operation_of, rpc_parts
from workflow_engine.dsl.v0_8.variables import CONSTANTS
from workflow_engine.expressions import unwrap
from workflow_engine.values import Json, JsonObject

_INSTEAD = {
    "graphql": "write a `call: http` with `method: post` and `body: {query, variables}`",
    "odata": "write a `call: http` with the options of the query in `query`",
    "custom": "write a function in `use.functions` that does the same, and call it",
}


def operation(writer: Writer, body: JsonObject, at: str, name: str) -> tuple[JsonObject, bool]:
    """The task, and whether it gives a result."""
    if "subFlowRef" in body:
        return _workflow(writer, body["subFlowRef"], f"{at}/subFlowRef")
    if "eventRef" in body:
        return _exchange(writer, body["eventRef"], f"{at}/eventRef")
    reference, place = body.get("functionRef"), f"{at}/functionRef"
    known: JsonObject = reference if isinstance(reference, dict) else {"refName": reference}
    act, gives = _function(writer, known, place)
    if known.get("invoke", "sync") == "async":
        writer.differs(
            place,
            "1.0 has no call that nobody waits for: the run waits for its end, and goes on whether it fails or not",
            "put what follows into another branch of a `fork` if it cannot wait",
        )
        writer.report.unordered = True
        restored: JsonObject = {"output": {"as": "${ $input }"}}
        act = {"try": do([(name, task(**act, **restored))]), "catch": {}}
        gives = False
    return act, gives


def _function(writer: Writer, known: JsonObject, at: str) -> tuple[JsonObject, bool]:
    lowering = writer.lowering
    name = str(known.get("refName"))
    definition, defined = lowering.functions[name]
    address = operation_of(definition, lowering.data) or str(definition.get("operation"))
    kind = function_type(definition, address)
    if kind == "expression":
        writer.mapped("expression function -> `set`")
        return {"set": jq.slot(writer.source(f"fn:{name}", at))}, True
    given = known.get("arguments")
    if given is not None:
        given = arguments.prepared(lowering, given, CONSTANTS | writer.variables, f"{at}/arguments")
    if kind == "custom" and custom.is_rest(address):
        return _request(writer, definition, address, given, at), True
    if kind == "rest":
        given = parameters(given) or None
    written = None if given is None else writer.value(given, f"{at}/arguments")
    endpoint: JsonObject = {"endpoint": _endpoint(writer, definition, address)}
    policy = _invoking(writer, definition)
    if kind == "asyncapi":
        writer.mapped("asyncapi function -> `call: asyncapi`")
        payload: Json = "${ . }" if written is None else written
        sent: JsonObject = {"operation": address.rpartition("#")[2], "message": {"payload": payload}}
        return {"call": "asyncapi", "with": {"document": endpoint, **sent, **policy}}, False
    if kind == "rpc":
        _, service, method = rpc_parts(address)
        server = grpc_server(definition, service)
        if server is None:
            _somewhere(writer, f"{defined}/operation")
            server = {"service": {"name": service, "host": "localhost"}}
        found = server.get("service")
        where: JsonObject = {**(found if isinstance(found, dict) else {}), **policy}
        asked: JsonObject = {
            "proto": endpoint,
            "service": where,
            "method": method,
            "arguments": written or {},
        }
        writer.mapped("rpc function -> `call: grpc`")
        tls = server.get("$tls")
        return task(metadata=None if tls is None else {"tls": tls}, call="grpc", with_=asked), True
    if kind == "rest":
        writer.mapped("rest function -> `call: openapi`")
        called: JsonObject = {"document": endpoint, "operationId": address.rpartition("#")[2]}
        if written:
            called["parameters"] = written
        return {"call": "openapi", "with": {**called, **policy}}, True
    hint = _INSTEAD.get(kind, "write the call that does the same")
    writer.cannot(
        f"{defined}/operation",
        f"a function of type `{kind}` is no call of 1.0: {name!r} does nothing now",
        hint,
    )
    return {"set": "${ {} }"}, True


def _request(writer: Writer, definition: JsonObject, address: str, arguments: Json, at: str) -> JsonObject:
    """``rest:METHOD:URL``, one HTTP request."""
    lowered = custom.lower(writer.lowering, definition, address, arguments, at)
    given: JsonObject = {} if lowered is None else lowered[1]
    known: JsonObject = {
        key: value for key, value in given.items() if value != {} and not key.startswith("$")
    }
    variables = given.get("$uri_variables")
    url = str(known.get("endpoint"))
    if url.startswith("/"):
        _somewhere(writer, at)
        url = f"http://localhost{url}"
    if given.get("$any_status"):
        message = "1.0 has an answer of an error status always as an error: `failOnStatusCode` has no effect"
        writer.cannot(at, message, "put the call into a `try`")
    for variable, value in (variables if isinstance(variables, dict) else {}).items():
        inner = unwrap(value) if isinstance(value, str) else None
        part = jq.literal(value) if inner is None else inner.strip()
        placed = f"${{ {part} | @uri }}".replace("\\", r"\\")
        url = re.sub(r"\{\s*" + re.escape(variable) + r"\s*\}", placed, url)
    known["endpoint"] = url
    policy = _invoking(writer, definition)
    name = definition.get("authRef")
    if not policy and isinstance(name, str):
        writer.authentications.add(name)
        policy = {"authentication": {"use": name}}
    if policy:
        known["endpoint"] = {"uri": known.get("endpoint"), **policy}
    writer.mapped("`rest:` function -> `call: http`")
    return {"call": "http", "with": writer.value(known, f"{at}/arguments")}


def _somewhere(writer: Writer, at: str) -> None:
    message = "the document does not say where the service is: it is written as `localhost`"
    writer.differs(at, message, "write the host of the service")


def _endpoint(writer: Writer, definition: JsonObject, address: str) -> Json:
    """Where the description of a function is, with who reads it."""
    uri = address.split("#", maxsplit=1)[0]
    name = definition.get("authRef")
    if not isinstance(name, str):
        return uri
    writer.authentications.add(name)
    return {"uri": uri, "authentication": {"use": name}}


def _invoking(writer: Writer, definition: JsonObject) -> JsonObject:
    """Who calls the function, where the document alone is not what is secured (decision B41)."""
    name, _ = authentication.invoking_name(definition)
    if name is None:
        return {}
    writer.authentications.add(name)
    return {"authentication": {"use": name}}


def _workflow(writer: Writer, reference: Json, at: str) -> tuple[JsonObject, bool]:
    known: JsonObject = reference if isinstance(reference, dict) else {"workflowId": reference}
    id, number = str(known.get("workflowId")), known.get("version")
    name = slug(id)
    if name != id:
        writer.differs(at, f"the name {id!r} is none of 1.0; the workflow is called {name!r} now")
    flow: JsonObject = {
        "namespace": "default",
        "name": name,
        "version": "latest" if number is None else version(str(number)),
        "input": "${ . }",
    }
    writer.mapped("`subFlowRef` -> `run: workflow`")
    writer.report.unordered |= known.get("invoke") == "async"
    if known.get("invoke", "sync") != "async":
        return {"run": {"workflow": flow}}, True
    if known.get("onParentComplete", "terminate") != "continue":
        writer.differs(
            at, "1.0 does not end a workflow with the one that started it: it goes on to its own end"
        )
    return {"run": {"workflow": flow, "await": False}}, False


def _exchange(writer: Writer, given: Json, at: str) -> tuple[JsonObject, bool]:
    assert isinstance(given, dict)
    ask = events.emit(writer, given, "triggerEventRef", at)
    if given.get("invoke", "sync") == "async" or "resultEventRef" not in given:
        writer.mapped("`eventRef` without waiting -> `emit`")
        return ask, False
    name = str(given.get("resultEventRef"))
    trigger, _ = writer.lowering.events.get(str(given.get("triggerEventRef")), ({}, ""))
    answer, _ = writer.lowering.events.get(name, ({}, ""))
    wanted = events.wanted(writer, name, f"{at}/resultEventRef")
    if trigger.get("type") == answer.get("type"):
        attributes = wanted["with"]
        assert isinstance(attributes, dict)
        attributes["id"] = '${ startswith($workflow.id + "/") | not }'
        writer.differs(
            at, "the question is told from the answer by its id, which begins with that of the run"
        )
    read = "data" if answer.get("dataOnly", True) is not False else "envelope"
    timeout = given.get("resultEventTimeout")
    listen = task(
        listen={"to": {"one": wanted}, "read": read},
        timeout=None if timeout is None else writer.timeout(timeout, f"{at}/resultEventTimeout"),
    )
    writer.mapped("`eventRef` -> `emit`, then `listen`")
    ask["output"] = {"as": "${ $input }"}
    return {"do": do([(f"produce {given.get('triggerEventRef')}", ask), (f"await {name}", listen)])}, True
