"""What a document needs from outside before it can run, found without compiling it.

The engine resolves every need when a workflow is deployed and pins the answers in its bundle, under the
same key under which the graph asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from workflow_engine.values import Json, JsonObject, pointer

_INSIDE = (
    ("do",),
    ("try",),
    ("catch", "do"),
    ("foreach", "do"),
    ("fork", "branches"),
    ("with", "subscription", "foreach", "do"),
)
"""Where a task may have lists of tasks."""


@dataclass(frozen=True, slots=True)
class Need:
    """One external thing: an operation of an AsyncAPI or OpenAPI document, or a method of a gRPC service.

    *reference* is the operation, of gRPC ``service#method``; without a *document* it is looked up in the catalog
    (``file://paymentapp.yaml#sendPayment``), with one it is the operation, or the *channel*, in that document.
    *key* is what the graph asks for it by, *pointer* where the workflow names it. *subscribe*: the workflow receives
    what the operation's service sends.
    """

    kind: str
    key: str
    pointer: str
    reference: str
    document: str | None = None
    channel: bool = False
    subscribe: bool = False


def asyncapi_key(given: JsonObject) -> str | None:
    """Under which key the operation of an asyncapi call is pinned; None where none is named."""
    document = document_uri(given)
    for name in ("operation", "channel"):
        value = given.get(name)
        if isinstance(value, str) and value:
            if document is None and name == "channel":
                return None
            if name == "channel" and "subscription" in given:
                return f"{document}#subscription:{value}"
            return value if document is None else f"{document}#{name}:{value}"
    return None


def openapi_key(given: JsonObject) -> str | None:
    """Under which key the operation of an openapi call is pinned; None where its address is not known yet.

    A document whose address is an expression, or a template, and one that asks who reads it, is fetched by the call
    itself.
    """
    document, operation = document_uri(given), given.get("operationId")
    described = given.get("document")
    endpoint = described.get("endpoint") if isinstance(described, dict) else None
    if isinstance(endpoint, dict) and endpoint.get("authentication") is not None:
        return None
    if document is None or "{" in document or not isinstance(operation, str) or "${" in operation:
        return None
    return f"{document}#{operation}"


def script_key(given: JsonObject) -> str | None:
    """Under which key the source of a script is pinned; None where its address is not known yet.

    One whose address is an expression, or a template, and one that asks who reads it, is fetched when it runs.
    """
    source = given.get("source")
    endpoint = source.get("endpoint") if isinstance(source, dict) else None
    if isinstance(endpoint, dict):
        if endpoint.get("authentication") is not None:
            return None
        endpoint = endpoint.get("uri")
    if not isinstance(endpoint, str) or "{" in endpoint:
        return None
    return f"script:{endpoint}"


def grpc_key(given: JsonObject) -> str | None:
    """Under which key the method of a grpc call is pinned; None where its proto has no address that is known now."""
    proto, service, method = document_uri(given, "proto"), given.get("service"), given.get("method")
    name = service.get("name") if isinstance(service, dict) else None
    if proto is None or not isinstance(name, str) or not isinstance(method, str):
        return None
    return None if "{" in proto + name + method else f"{proto}#{name}#{method}"


def document_uri(given: JsonObject, member: str = "document") -> str | None:
    """The address in ``document: {endpoint}``, as text or ``{uri}``; *member* may have another name."""
    document = given.get(member)
    endpoint = document.get("endpoint") if isinstance(document, dict) else None
    if isinstance(endpoint, dict):
        endpoint = endpoint.get("uri")
    return endpoint if isinstance(endpoint, str) else None


def needs(data: Json) -> list[Need]:
    """Every need of a schema-valid document, each key once, in document order."""
    found: dict[str, Need] = {}
    assert isinstance(data, dict)
    for need in _v1(data) if "document" in data else _v0_8(data):
        found.setdefault(need.key, need)
    return list(found.values())


def _v1(data: JsonObject) -> Iterator[Need]:
    """Each call in a task or a function; data that looks like one is data."""
    yield from _tasks(data.get("do"), "/do")
    use = data.get("use")
    functions = use.get("functions") if isinstance(use, dict) else None
    for name, function in (functions if isinstance(functions, dict) else {}).items():
        yield from _task(function, "/use/functions" + pointer(name))


def _tasks(listed: Json, at: str) -> Iterator[Need]:
    for number, item in enumerate(listed if isinstance(listed, list) else []):
        for name, task in (item if isinstance(item, dict) else {}).items():
            yield from _task(task, at + pointer(number, name))


def _task(task: Json, at: str) -> Iterator[Need]:
    """The needs of one task and of the tasks inside it."""
    if not isinstance(task, dict):
        return
    given = task.get("with")
    if isinstance(given, dict):
        yield from _called(task.get("call"), given, at)
    run = task.get("run")
    script = run.get("script") if isinstance(run, dict) else None
    key = script_key(script) if isinstance(script, dict) else None
    if key is not None:
        uri = key.removeprefix("script:")
        yield Need("script", key, f"{at}/run/script/source", uri, uri)
    for path in _INSIDE:
        inner: Json = task
        for key in path:
            inner = inner.get(key) if isinstance(inner, dict) else None
        yield from _tasks(inner, at + pointer(*path))


def _called(call: Json, given: JsonObject, at: str) -> Iterator[Need]:
    if call == "asyncapi":
        key = asyncapi_key(given)
        if key is not None:
            name = "operation" if isinstance(given.get("operation"), str) else "channel"
            place = f"{at}/with/{name}"
            reference, subscribe = str(given[name]), "subscription" in given
            document = document_uri(given)
            yield Need("asyncapi", key, place, reference, document, name == "channel", subscribe)
    elif call == "openapi":
        key = openapi_key(given)
        if key is not None:
            yield Need(
                "openapi", key, f"{at}/with/operationId", str(given["operationId"]), document_uri(given)
            )
    elif call == "grpc":
        key, proto = grpc_key(given), document_uri(given, "proto")
        if key is not None and proto is not None:
            yield Need("grpc", key, f"{at}/with/proto", key.removeprefix(f"{proto}#"), proto)


def _v0_8(data: JsonObject) -> Iterator[Need]:
    """Each function of type asyncapi or rest."""
    functions = data.get("functions")
    for number, function in enumerate(functions if isinstance(functions, list) else []):
        if not isinstance(function, dict):
            continue
        operation, place = str(function.get("operation")), f"/functions/{number}/operation"
        if function.get("type") == "asyncapi":
            yield Need("asyncapi", operation, place, operation)
        elif function.get("type", "rest") == "rest":
            document, _, name = operation.rpartition("#")
            yield Need("openapi", operation, place, name, document)
