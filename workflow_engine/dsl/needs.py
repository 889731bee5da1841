"""What a document needs from outside before it can run, found without compiling it.

The engine resolves every need when a workflow is deployed and pins the answers in its bundle, under the
same key under which the graph asks for them. A function from elsewhere has needs of its own (`pinning`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from workflow_engine.dsl import definition_files, functions
from workflow_engine.dsl.policies import known_at_deployment, policy_of
from workflow_engine.dsl.schema_resources import schema_key, schemas_in
from workflow_engine.dsl.v0_8 import authentication, operations
from workflow_engine.expressions import missing_references
from workflow_engine.values import Json, JsonObject, pointer


@dataclass(frozen=True, slots=True)
class Need:
    """One external thing: an operation of an AsyncAPI or OpenAPI document, a method of a gRPC service, or a function.

    *reference* is the operation, of gRPC ``service#method``; without a *document* it is looked up in the catalog
    (``file://paymentapp.yaml#sendPayment``), with one it is the operation, or the *channel*, in that document.
    Of a function, *document* is its address or the root of its catalog (None: the runtime's own), and *reference*
    its path in the catalog. *key* is what the graph asks for it by, *pointer* where the workflow names it.

    *policy* is how to say who asks. *later*: the call can see to it itself, if it cannot be had now. *within* is the
    address of the function that needs it, where that is not the workflow itself; *root* is the folder in which all is
    fetched with the *policy*, where that is inherited. *subscribe*: the workflow receives what the operation's service
    sends.
    """

    kind: str
    key: str
    pointer: str
    reference: str
    document: str | None = None
    channel: bool = False
    subscribe: bool = False
    policy: Json = None
    later: bool = False
    within: str = ""
    root: str = ""


def asyncapi_key(given: JsonObject) -> str | None:
    """Under which key the operation of an asyncapi call is pinned; None where it is not named, or cannot be found yet.

    A document whose address is an expression, or a template, and one that asks who reads it in a way that only the
    call knows, is fetched by the call itself. The policy in *given* is there, not its name.
    """
    document = document_uri(given)
    described = given.get("document")
    endpoint = described.get("endpoint") if isinstance(described, dict) else None
    if isinstance(endpoint, dict) and not known_at_deployment(endpoint.get("authentication")):
        return None
    if document is not None and "{" in document:
        return None
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

    A document whose address is an expression, or a template, and one that asks who reads it in a way that only the
    call knows, is fetched by the call itself. The policy in *given* is there, not its name.
    """
    document, operation = document_uri(given), given.get("operationId")
    described = given.get("document")
    endpoint = described.get("endpoint") if isinstance(described, dict) else None
    if isinstance(endpoint, dict) and not known_at_deployment(endpoint.get("authentication")):
        return None
    if document is None or "{" in document or not isinstance(operation, str) or "${" in operation:
        return None
    return f"{document}#{operation}"


def script_key(given: JsonObject) -> str | None:
    """Under which key the source of a script is pinned; None where its address is not known yet.

    One whose address is an expression, or a template, and one that asks who reads it in a way that only the run
    knows, is fetched when it runs. The policy in *given* is there, not its name.
    """
    source = given.get("source")
    endpoint = source.get("endpoint") if isinstance(source, dict) else None
    if isinstance(endpoint, dict) and not known_at_deployment(endpoint.get("authentication")):
        return None
    address = uri_of(endpoint)
    return None if address is None or "{" in address else f"script:{address}"


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
    return uri_of(document.get("endpoint") if isinstance(document, dict) else None)


def uri_of(endpoint: Json) -> str | None:
    """The address of *endpoint*, which is text or has a ``uri``."""
    if isinstance(endpoint, dict):
        endpoint = endpoint.get("uri")
    return endpoint if isinstance(endpoint, str) else None


def needs(data: Json) -> list[Need]:
    """Every need of a schema-valid document, each key once, in document order; without those of functions."""
    found: dict[str, Need] = {}
    assert isinstance(data, dict)
    for need in _v1(data) if "document" in data else _v0_8(data):
        found.setdefault(need.key, need)
    return list(found.values())


def needs_of_function(function: JsonObject, called: Need, address: str, data: JsonObject) -> list[Need]:
    """The needs of a *function* that was found at *address* for the need *called*, of the document *data*.

    What it names is what the document names: a function is a task of the document (dsl.md §1.16). What lies in the
    same catalog is fetched as the catalog is.
    """
    found: dict[str, Need] = {}
    search = _Search(
        _use_of(data), called.pointer, address, called.policy, called.root or _root(called, address)
    )
    for task, _ in functions.tasks_in(function):
        for need in search.task(task, ""):
            found.setdefault(need.key, need)
    return list(found.values())


def _root(called: Need, address: str) -> str:
    """The folder of the catalog of the function at *address*; its own folder, where it was called by its address."""
    if called.reference and address.endswith("/" + called.reference):
        return address.removesuffix(called.reference)
    return address.rpartition("/")[0] + "/"


def _use_of(data: JsonObject) -> JsonObject:
    use = data.get("use")
    return use if isinstance(use, dict) else {}


def _v1(data: JsonObject) -> Iterator[Need]:
    """Each call in a task, a function or an extension; data that looks like one is data."""
    use = _use_of(data)
    search = _Search(use)
    yield from search.schemas(data, "")
    yield from search.tasks(data.get("do"), "/do")
    named = use.get("functions")
    for name, function in (named if isinstance(named, dict) else {}).items():
        for task, at in functions.tasks_in(function, "/use/functions" + pointer(name)):
            yield from search.task(task, at)
    listed = use.get("extensions")
    for number, item in enumerate(listed if isinstance(listed, list) else []):
        for name, extension in (item if isinstance(item, dict) else {}).items():
            for part in ("before", "after"):
                inner = extension.get(part) if isinstance(extension, dict) else None
                yield from search.tasks(inner, "/use/extensions" + pointer(number, name, part))


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for the needs of tasks that see the names of *use*.

    In a function from elsewhere they are all at *place*, where the workflow calls it; *within* is its address, and
    *policy* that of its catalog, whose folder is *root*.
    """

    use: JsonObject
    place: str | None = None
    within: str = ""
    policy: Json = None
    root: str = ""

    def tasks(self, listed: Json, at: str) -> Iterator[Need]:
        for task, place in functions.tasks_of(listed, at):
            yield from self.task(task, place)

    def task(self, task: JsonObject, at: str) -> Iterator[Need]:
        """The needs of *task*, without those of the tasks inside it."""
        yield from self.schemas(task, at)
        called = task.get("call")
        given = task.get("with")
        if called == "asyncapi" and isinstance(given, dict):
            yield from self._asyncapi(given, at)
        elif called == "openapi" and isinstance(given, dict):
            yield from self._openapi(given, at)
        elif called == "grpc" and isinstance(given, dict):
            yield from self._grpc(given, at)
        elif isinstance(called, str):
            yield from self._function(called, at)
        run = task.get("run")
        script = run.get("script") if isinstance(run, dict) else None
        if isinstance(script, dict):
            yield from self._script(script, at)

    def _script(self, script: JsonObject, at: str) -> Iterator[Need]:
        source = script.get("source")
        policy, key = self._policy_of(source), script_key(script)
        if key is not None and known_at_deployment(policy):
            uri, later = key.removeprefix("script:"), _authenticates(source)
            place = self._at(f"{at}/run/script/source")
            yield Need("script", key, place, uri, uri, policy=policy, later=later, within=self.within)

    def schemas(self, holder: JsonObject, at: str) -> Iterator[Need]:
        """The schemas of a task or of the workflow that are elsewhere, and those that its own refer to."""
        for schema, path in schemas_in(holder):
            place, resource = at + pointer(*path), schema.get("resource")
            if resource is None:
                for address in missing_references(schema.get("document")):
                    yield self._schema(address, place + "/document", None)
                continue
            endpoint = resource.get("endpoint") if isinstance(resource, dict) else None
            located, policy = uri_of(endpoint), self._policy_of(resource)
            if located is not None and "{" not in located and known_at_deployment(policy):
                yield self._schema(located.partition("#")[0], place + "/resource", policy)

    def _schema(self, address: str, place: str, policy: Json) -> Need:
        key, policy = schema_key(address), policy or self._inherited(address)
        return Need("schema", key, self._at(place), address, address, policy=policy, within=self.within)

    def _asyncapi(self, given: JsonObject, at: str) -> Iterator[Need]:
        key, policy = asyncapi_key(given), self._policy_of(given.get("document"))
        if key is None or not known_at_deployment(policy):
            return
        name = "operation" if isinstance(given.get("operation"), str) else "channel"
        yield Need(
            "asyncapi",
            key,
            self._at(f"{at}/with/{name}"),
            str(given[name]),
            document_uri(given),
            name == "channel",
            "subscription" in given,
            policy,
            within=self.within,
        )

    def _openapi(self, given: JsonObject, at: str) -> Iterator[Need]:
        policy = self._policy_of(given.get("document"))
        key = openapi_key(given) if known_at_deployment(policy) else None
        if key is not None:
            yield Need(
                "openapi",
                key,
                self._at(f"{at}/with/operationId"),
                str(given["operationId"]),
                document_uri(given),
                policy=policy,
                later=_authenticates(given.get("document")),
                within=self.within,
            )

    def _grpc(self, given: JsonObject, at: str) -> Iterator[Need]:
        key, proto, policy = (
            grpc_key(given),
            document_uri(given, "proto"),
            self._policy_of(given.get("proto")),
        )
        if key is not None and proto is not None and known_at_deployment(policy):
            reference, place = key.removeprefix(f"{proto}#"), self._at(f"{at}/with/proto")
            yield Need("grpc", key, place, reference, proto, policy=policy, within=self.within)

    def _function(self, called: str, at: str) -> Iterator[Need]:
        named = self.use.get("functions")
        if isinstance(named, dict) and called in named:
            return
        wanted = functions.reference(called)
        if wanted is None:
            return
        at = self._at(f"{at}/call")
        if wanted.catalog is None:
            policy = self._inherited(wanted.path)
            path, shared = wanted.path, self.root if policy is not None else ""
            yield Need("function", wanted.key, at, "", path, policy=policy, within=self.within, root=shared)
            return
        catalogs = self.use.get("catalogs")
        catalog = catalogs.get(wanted.catalog) if isinstance(catalogs, dict) else None
        endpoint = catalog.get("endpoint") if isinstance(catalog, dict) else None
        root = uri_of(endpoint)
        if root is None and wanted.catalog != functions.DEFAULT:
            return  # a problem of the document, found when it is compiled
        policy = policy_of(endpoint.get("authentication"), self.use) if isinstance(endpoint, dict) else None
        yield Need("function", wanted.key, at, wanted.path, root, policy=policy, within=self.within)

    def _policy_of(self, resource: Json) -> Json:
        """How to authenticate when an external *resource* is fetched."""
        endpoint = resource.get("endpoint") if isinstance(resource, dict) else None
        if isinstance(endpoint, dict) and _authenticates(resource):
            return policy_of(endpoint["authentication"], self.use)
        return self._inherited(uri_of(endpoint))

    def _inherited(self, address: str | None) -> Json:
        """The policy of the function's catalog, for what is in it too."""
        if address is None or not self.root or not address.startswith(self.root) or ".." in address:
            return None
        return self.policy

    def _at(self, pointer: str) -> str:
        return pointer if self.place is None else self.place


def _authenticates(resource: Json) -> bool:
    """Whether an external *resource* says itself how to authenticate."""
    endpoint = resource.get("endpoint") if isinstance(resource, dict) else None
    return isinstance(endpoint, dict) and endpoint.get("authentication") is not None


def needs_of_definitions(data: JsonObject, found: Mapping[str, Json]) -> list[Need]:
    """The needs of the functions of the document *data* once definitions that are elsewhere are *found*.

    Of functions that are elsewhere they are where the workflow names the file.
    """
    whole = definition_files.expanded_data(data, found)
    needed = _functions_0_8(whole)
    if not isinstance(data.get("functions"), str):
        return list(needed)
    return [replace(need, pointer="/functions") for need in needed]


def _v0_8(data: JsonObject) -> Iterator[Need]:
    """Definitions in other files, the schema of the input, and what each function calls."""
    for kind, address in definition_files.referenced(data):
        yield Need(
            "definitions", definition_files.definitions_key(kind, address), f"/{kind}", address, address
        )
    schema = data.get("dataInputSchema")
    if isinstance(schema, dict):
        schema = schema.get("schema")
    if isinstance(schema, str):
        yield Need("schema", schema_key(schema), "/dataInputSchema", schema, schema)
    output, _ = operations.output_schema(data)
    if output is not None:
        yield Need("schema", schema_key(output), "/extensions", output, output)
    yield from _functions_0_8(data)


def _functions_0_8(data: JsonObject) -> Iterator[Need]:
    """Each function of type asyncapi, rpc or rest. What depends on definitions that are not here yet is left out."""
    listed = data.get("functions")
    for number, function in enumerate(listed if isinstance(listed, list) else []):
        if not isinstance(function, dict) or (function.get("authRef") and isinstance(data.get("auth"), str)):
            continue
        operation, place = operations.operation_of(function, data), f"/functions/{number}/operation"
        kind = operations.function_type(function, operation)
        policy = authentication.fetching(function, data)
        if operation is None:
            continue
        if kind == "asyncapi":
            yield Need("asyncapi", operation, place, operation)
        elif kind == "rpc":
            proto, service, method = operations.rpc_parts(operation)
            yield Need("grpc", operation, place, f"{service}#{method}", proto, policy=policy)
        elif kind == "rest":
            document, _, name = operation.rpartition("#")
            yield Need("openapi", operation, place, name, document, policy=policy)
