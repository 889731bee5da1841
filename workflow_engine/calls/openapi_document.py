"""OpenAPI documents, 2.0 (Swagger), 3.0 and 3.1: what a caller must know of one operation, in one form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import unquote

from workflow_engine.calls.content import FORM, JSON, MULTIPART, MediaType
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject, resolve_pointer

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
MAX_REFERENCES = 32

_DEFAULT_STYLES = {"path": "simple", "header": "simple", "query": "form", "cookie": "form"}
_STYLES = {
    "path": {"simple", "label", "matrix"},
    "header": {"simple"},
    "query": {"form", "spaceDelimited", "pipeDelimited", "deepObject"},
    "cookie": {"form"},
}
_SCHEMES = {True: "securityDefinitions", False: "securitySchemes"}
_SENT_OTHERWISE = frozenset({"accept", "content-type", "authorization"})
"""Header parameters that OpenAPI 3 has ignored (Parameter Object, `name`): never required."""
_COLLECTION_FORMATS = {"csv": ",", "ssv": " ", "tsv": "\t", "pipes": "|", "multi": ","}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter and how its value is written. *delimiter* joins the items of an array, unless *explode*.

    *location* is path, query, header or cookie; *as_json* means that its value is sent as JSON text.
    """

    name: str
    location: str
    required: bool
    style: str
    explode: bool
    delimiter: str = ","
    allow_reserved: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """What an operation takes as its body. *name* is the parameter declared to be all of it, in Swagger 2.0.

    *properties* are the members its schema declares, *closed* whether it takes no others, *mandatory* those
    it needs (forms of Swagger 2.0 only), *files* those that are sent as files. Of a form, *styles* say how members
    are written, as if they were in a query, and *types* which media types the parts of them have.
    """

    name: str
    required: bool
    media_types: tuple[str, ...]
    properties: frozenset[str] = frozenset()
    mandatory: frozenset[str] = frozenset()
    files: frozenset[str] = frozenset()
    closed: bool = False
    styles: Mapping[str, Parameter] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation. *servers* are in order of preference, and may be relative to the document's URL.

    *schemes* are the security schemes that the document asks for, by name and type.
    """

    id: str
    method: str
    path: str
    servers: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    body: Body | None
    accepts: tuple[str, ...]
    schemes: tuple[str, ...] = ()


class OpenApiDocument:
    """One parsed document. Everything wrong with it is a configuration fault that says where.

    References are followed within the document only, and lazily: an operation is fine even where others are
    not. *name* is what messages call the document, usually its URI.
    """

    def __init__(self, data: Json, name: str) -> None:
        self._name = name
        if not isinstance(data, dict):
            raise self._broken("it is not an object")
        self._data = data
        version = str(data.get("swagger", data.get("openapi", "")))
        if not (version in {"2.0", "2"} or version.startswith(("3.0.", "3.1."))):
            found = f"version {version[:20]!r}" if version else "no member 'swagger' or 'openapi'"
            raise self._broken(f"it has {found}; Swagger 2.0 and OpenAPI 3.0 and 3.1 are supported")
        self._swagger = version.startswith("2")

    def operation(self, operation_id: str) -> Operation:
        """The operation called *operation_id*; the first, should the document have several."""
        known: list[str] = []
        for path, item, method, definition in self._operations():
            found = definition.get("operationId")
            if found == operation_id:
                return self._operation(operation_id, path, item, method, definition)
            if isinstance(found, str):
                known.append(found)
        raise fault(
            "configuration",
            f"the OpenAPI document {self._name} has no operation {operation_id!r}{suggestion(operation_id, known)}",
        )

    def _operations(self) -> Iterator[tuple[str, JsonObject, str, JsonObject]]:
        for path, value in self._object(self._data, "paths").items():
            item = self._resolved(value)
            if isinstance(item, dict):
                for method in METHODS:
                    definition = item.get(method)
                    if isinstance(definition, dict):
                        yield path, item, method, definition

    def _operation(
        self, id: str, path: str, item: JsonObject, method: str, definition: JsonObject
    ) -> Operation:
        merged: dict[tuple[Json, Json], JsonObject] = {}
        for owner in (item, definition):
            for value in self._array(owner, "parameters"):
                parameter = self._resolved(value)
                if not isinstance(parameter, dict) or not isinstance(parameter.get("name"), str):
                    raise self._broken(f"operation {id!r} has a parameter without a name")
                merged[parameter["name"], parameter.get("in")] = parameter
        if self._swagger:
            body, accepts = self._swagger_body(list(merged.values()), definition), self._produces(definition)
        else:
            body, accepts = self._request_body(definition), self._response_types(definition)
        schemes = self._schemes(definition)
        for scheme in schemes.values():
            # A key is no parameter of the document, but no other place takes one. Members of the body come first.
            name, location = scheme.get("name"), scheme.get("in")
            known = set() if body is None else {*body.properties, body.name}
            if scheme.get("type") == "apiKey" and isinstance(name, str) and name not in known:
                merged.setdefault((name, location), {"name": name, "in": location})
        parameters = tuple(
            self._parameter(id, parameter)
            for parameter in merged.values()
            if parameter.get("in") not in ("body", "formData")
        )
        shown = tuple(f"{name} ({scheme.get('type')})" for name, scheme in schemes.items())
        servers = self._servers(item, definition)
        return Operation(id, method.upper(), path, servers, parameters, body, accepts, shown)

    def _schemes(self, definition: JsonObject) -> dict[str, JsonObject]:
        """The security schemes of an operation, each of which authenticates it alone or with others."""
        owner = definition if "security" in definition else self._data
        components = self._object(self._data, "components")
        folder = self._object(self._data if self._swagger else components, _SCHEMES[self._swagger])
        found: dict[str, JsonObject] = {}
        for choice in self._array(owner, "security"):
            for name in choice if isinstance(choice, dict) else {}:
                scheme = self._resolved(folder.get(name))
                if isinstance(scheme, dict):
                    found[name] = scheme
        return found

    def _parameter(self, id: str, definition: JsonObject) -> Parameter:
        name, location = str(definition["name"]), definition.get("in")
        if not isinstance(location, str) or location not in _STYLES:
            raise self._broken(f"parameter {name!r} of operation {id!r} is in {location!r}")
        required = definition.get("required") is True or location == "path"
        if location == "header" and not self._swagger and name.lower() in _SENT_OTHERWISE:
            required = False
        if self._swagger:
            form = str(definition.get("collectionFormat", "csv"))
            if form not in _COLLECTION_FORMATS:
                raise self._broken(f"parameter {name!r} has an unknown collectionFormat {form!r}")
            style = _DEFAULT_STYLES[location]
            return Parameter(name, location, required, style, form == "multi", _COLLECTION_FORMATS[form])
        style = str(definition.get("style", _DEFAULT_STYLES[location]))
        if style not in _STYLES[location]:
            raise self._broken(f"parameter {name!r} in {location} cannot have style {style!r}")
        return Parameter(
            name,
            location,
            required,
            style,
            explode=definition.get("explode", style == "form") is True,
            delimiter={"spaceDelimited": " ", "pipeDelimited": "|"}.get(style, ","),
            allow_reserved=definition.get("allowReserved") is True,
            as_json="content" in definition,
        )

    def _request_body(self, definition: JsonObject) -> Body | None:
        if "requestBody" not in definition:
            return None
        body = self._resolved(definition["requestBody"])
        content = self._object(body, "content")
        media_types = tuple(sorted(content, key=_preference))
        first = self._resolved(content[media_types[0]]) if media_types else None
        schema = self._resolved(first.get("schema")) if isinstance(first, dict) else None
        properties, closed = self._properties(schema)
        files = frozenset(name for name, member in properties.items() if _is_binary(member))
        styles: dict[str, Parameter] = {}
        types: dict[str, str] = {}
        for name, encoding in self._object(first, "encoding").items():
            given: JsonObject = encoding if isinstance(encoding, dict) else {}
            if "style" in given or "explode" in given or "allowReserved" in given:
                styles[name] = self._parameter(name, {**given, "name": name, "in": "query"})
            if isinstance(given.get("contentType"), str):
                types[name] = str(given["contentType"]).partition(",")[0].strip()
        return Body(
            "",
            isinstance(body, dict) and body.get("required") is True,
            media_types or (JSON,),
            frozenset(properties),
            files=files,
            closed=closed,
            styles=styles,
            types=types,
        )

    def _swagger_body(self, parameters: list[JsonObject], definition: JsonObject) -> Body | None:
        consumes = self._strings(definition, "consumes") or self._strings(self._data, "consumes")
        fields = [parameter for parameter in parameters if parameter.get("in") == "formData"]
        if fields:
            files = frozenset(str(field["name"]) for field in fields if field.get("type") == "file")
            multipart = bool(files) or (MULTIPART in consumes and FORM not in consumes)
            mandatory = frozenset(str(field["name"]) for field in fields if field.get("required") is True)
            names = frozenset(str(field["name"]) for field in fields)
            form = MULTIPART if multipart else FORM
            styles = {
                str(item["name"]): self._parameter("", {**item, "in": "query"})
                for item in fields
                if item.get("type") == "array"
            }
            return Body("", bool(mandatory), (form,), names, mandatory, files, closed=True, styles=styles)
        for parameter in parameters:
            if parameter.get("in") == "body":
                properties, closed = self._properties(self._resolved(parameter.get("schema")))
                media_types = tuple(sorted(consumes or (JSON,), key=_preference))
                required = parameter.get("required") is True
                return Body(
                    str(parameter["name"]), required, media_types, frozenset(properties), closed=closed
                )
        return None

    def _properties(self, schema: Json) -> tuple[dict[str, Json], bool]:
        """The members an object schema declares, those of ``allOf`` too, and whether it forbids others."""
        found: dict[str, Json] = {}
        closed = False
        for part in [schema, *(self._array(schema, "allOf") if isinstance(schema, dict) else [])]:
            part = self._resolved(part)
            if isinstance(part, dict):
                for name, member in self._object(part, "properties").items():
                    found.setdefault(name, self._resolved(member))
                closed = closed or part.get("additionalProperties") is False
        return found, closed

    def _servers(self, item: JsonObject, definition: JsonObject) -> tuple[str, ...]:
        if self._swagger:
            schemes = self._strings(definition, "schemes") or self._strings(self._data, "schemes")
            host = self._data.get("host")
            path = "/" + str(self._data.get("basePath") or "").strip("/")
            authority = f"//{host}" if isinstance(host, str) and host else ""
            ordered = [scheme for scheme in ("https", "http") if scheme in schemes]
            if schemes and not ordered:
                raise self._broken(f"its schemes are {', '.join(schemes)}; http or https is needed")
            return tuple(f"{scheme}:{authority}{path}" for scheme in ordered) if authority else (path,)
        for owner in (definition, item, self._data):
            servers = [self._server(server) for server in self._array(owner, "servers")]
            if servers:
                return tuple(servers)
        return ("/",)

    def _server(self, server: Json) -> str:
        url = server.get("url") if isinstance(server, dict) else None
        if not isinstance(url, str):
            raise self._broken("a server has no url")
        for name, variable in self._object(server, "variables").items():
            default = variable.get("default") if isinstance(variable, dict) else None
            url = url.replace(f"{{{name}}}", str(default) if default is not None else f"{{{name}}}")
        if "{" in url:
            raise self._broken(f"the server {url!r} has a variable without a default")
        return url

    def _produces(self, definition: JsonObject) -> tuple[str, ...]:
        found = self._strings(definition, "produces") or self._strings(self._data, "produces")
        return tuple(sorted(found, key=_preference))

    def _response_types(self, definition: JsonObject) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for status, value in self._object(definition, "responses").items():
            response = self._resolved(value)
            if status[:1] == "2" or status == "default":
                found.update(dict.fromkeys(self._object(response, "content")))
        return tuple(sorted(found, key=_preference))

    def _resolved(self, value: Json) -> Json:
        """*value*, or what it refers to; a reference out of the document, or in a circle, is refused."""
        for _ in range(MAX_REFERENCES):
            reference = value.get("$ref") if isinstance(value, dict) else None
            if not isinstance(reference, str):
                return value
            if not reference.startswith("#"):
                raise self._broken(f"{reference[:200]!r} refers to another document; include it in this one")
            try:
                value = resolve_pointer(self._data, unquote(reference[1:]))
            except LookupError:
                raise self._broken(f"{reference[:200]!r} refers to nothing") from None
        raise self._broken("its references go round in a circle")

    def _object(self, owner: Json, name: str) -> JsonObject:
        value = owner.get(name) if isinstance(owner, dict) else None
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._broken(f"its {name!r} is not an object")
        return value

    def _array(self, owner: Json, name: str) -> list[Json]:
        value = owner.get(name) if isinstance(owner, dict) else None
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._broken(f"its {name!r} is not an array")
        return value

    def _strings(self, owner: Mapping[str, Json], name: str) -> tuple[str, ...]:
        value = owner.get(name)
        return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()

    def _broken(self, reason: str) -> Exception:
        return fault("configuration", f"the OpenAPI document {self._name} cannot be used: {reason}")


def suggestion(wanted: str, known: list[str]) -> str:
    """``; did you mean 'x'?`` for a name close to *wanted*, else what there is, as far as it is short."""
    close = get_close_matches(wanted, known, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there is {', '.join(known[:10])}{'…' if len(known) > 10 else ''}" if known else ""


def _preference(media_type: str) -> int:
    parsed = MediaType.parse(media_type)
    if parsed.is_json or parsed.name in ("*/*", "application/*"):
        return 0
    if parsed.name in (FORM, MULTIPART):
        return 1 if parsed.name == FORM else 2
    return 3 if parsed.is_text else 4


def _is_binary(schema: Json) -> bool:
    return isinstance(schema, dict) and (
        schema.get("format") == "binary" or "contentMediaType" in schema or "contentEncoding" in schema
    )
