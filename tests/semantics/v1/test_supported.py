"""Every property of DSL 1.0 (dsl.md §1) either works or is refused when the document is loaded; none is skipped.

`SUPPORTED` and `UNSUPPORTED` hold the same property paths as the schema: a property that is added to the schema
must be added to one of them. What a supported one does is tested by the decisions in the other modules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dsl_schemas import schema
from tests.semantics.v1.documents import problems, workflow
from workflow_engine import dsl
from workflow_engine.errors import InvalidDocument

TASK = "do: [{a: %s}]"
HTTP = "{call: http, with: {method: get, endpoint: %s}}"
POLICY = "{uri: 'https://x.example', authentication: %s}"
ASYNC = "{call: asyncapi, with: {document: {endpoint: 'https://x.example/a.yaml'}, operation: send, %s}}"
MCP = "{call: mcp, with: {method: tools/list, transport: %s}}"
GRPC = "{call: grpc, with: {proto: {endpoint: %s}, service: {name: %s, host: h%s}, method: m}}"
OAUTH = "{authority: 'https://x.example', grant: client_credentials}"
CODE = OAUTH.replace("client_credentials", "authorization_code")

UNSUPPORTED = {
    "use.catalogs.endpoint as an expression": (
        "use: {catalogs: {c: {endpoint: 'https://x.example/{v}'}}}\ndo: []",
        "/use/catalogs/c/endpoint",
    ),
    "use.catalogs.endpoint.authentication of the data of a task": (
        "use: {catalogs: {c: {endpoint: %s}}}\ndo: []" % (POLICY % "{bearer: {token: '${ .token }'}}"),
        "/use/catalogs/c/endpoint/authentication",
    ),
    "grpc.proto as an expression": (
        TASK % (GRPC % ("'${ .x }'", "S", "")),
        "/do/0/a/with/proto/endpoint",
    ),
    "grpc.proto as a template": (
        TASK % (GRPC % ("'https://x.example/{v}.proto'", "S", "")),
        "/do/0/a/with/proto/endpoint",
    ),
    "grpc.proto.endpoint.authentication by the data of a run": (
        TASK % (GRPC % (POLICY % "{bearer: {token: '${ .t }'}}", "S", "")),
        "/do/0/a/with/proto/endpoint/authentication",
    ),
    "grpc.service.name as an expression": (
        TASK % (GRPC % ("x.proto", "'${ .x }'", "")),
        "/do/0/a/with/service/name",
    ),
    "grpc.service.authentication by digest": (
        TASK % (GRPC % ("x.proto", "S", ", authentication: {digest: {username: u, password: p}}")),
        "/do/0/a/with/service/authentication",
    ),
    "mcp.transport.options": (
        TASK % (MCP % "{stdio: {command: x}, options: {a: b}}"),
        "/do/0/a/with/transport/options/a",
    ),
    "mcp.client.description": (
        TASK % (MCP % "{stdio: {command: x}}, client: {name: n, version: '1', description: d}"),
        "/do/0/a/with/client/description",
    ),
    "mcp.protocolVersion without initialize": (
        TASK % (MCP % "{stdio: {command: x}}, protocolVersion: '2026-07-28'"),
        "/do/0/a/with/protocolVersion",
    ),
    "asyncapi.protocol redis": (TASK % (ASYNC % "message: {}, protocol: redis"), "/do/0/a/with/protocol"),
    "asyncapi.subscription by a document that the data of a run opens": (
        TASK
        % (ASYNC % "subscription: {consume: {amount: 1}}").replace(
            "endpoint: 'https://x.example/a.yaml'", "endpoint: " + POLICY % "{bearer: {token: '${ .t }'}}"
        ),
        "/do/0/a/with/document/endpoint",
    ),
    "asyncapi.subscription by a document whose address is an expression": (
        TASK
        % (ASYNC % "subscription: {consume: {amount: 1}}").replace("https://x.example/a.yaml", "${ .x }"),
        "/do/0/a/with/document/endpoint",
    ),
}


@pytest.mark.parametrize("what", UNSUPPORTED)
def test_what_is_not_supported_is_refused_where_it_stands(what: str) -> None:
    body, pointer = UNSUPPORTED[what]
    assert [(problem.code, problem.pointer) for problem in problems(body)] == [("unsupported", pointer)]
    with pytest.raises(InvalidDocument):
        dsl.compile(dsl.parse(workflow(body)))


def test_what_is_refused_says_what_it_is_and_where() -> None:
    found = problems(UNSUPPORTED["mcp.client.description"][0])[0]
    assert "description" in found.message
    assert "not supported" in found.message
    assert found.line > 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("evaluate: {language: js}\ndo: []", "unsupported-language"),
        (
            "do: [{a: {set: {x: 1}, input: {schema: {format: avro, document: {}}}}}]",
            "unsupported-schema-format",
        ),
        (TASK % (HTTP % (POLICY % "{certificate: {}}")), "unsupported-authentication"),
        (TASK % (HTTP % (POLICY % f"{{oauth2: {CODE}}}")), "unsupported-authentication"),
        (f"use: {{authentications: {{p: {{oidc: {CODE}}}}}}}\ndo: []", "unsupported-authentication"),
        (
            TASK
            % (HTTP % (POLICY % "{oauth2: {authority: 'https://x.example', grant: password, actor: {}}}")),
            "missing-property",
        ),
        (
            TASK % (HTTP % (POLICY % f"{{oauth2: {OAUTH[:-1]}, subject: {{token: t, type: x}}}}}}")),
            "misplaced-property",
        ),
        (TASK % (HTTP % "'https://x.example/{+path}'"), "invalid-uri-template"),
        (
            TASK
            % (HTTP % (POLICY % f"{{oidc: {OAUTH}}}".replace("https://x.example", "https://x.example/{+r}"))),
            "invalid-uri-template",
        ),
        ("schedule: {every: PT1H, cron: '* * * * *'}\ndo: []", "conflicting-properties"),
        ("schedule: {}\ndo: []", "missing-property"),
        (TASK % "{set: {x: 1}, retry: {}}", "unknown-property"),
        (TASK % "{set: {x: 1}, nonsense: 1}", "unknown-property"),
        (TASK % "{set: {x: 1}, wait: PT1S}", "ambiguous-task"),
        (TASK % "{metadata: {}}", "unknown-task"),
        (TASK % "{run: {workflow: {namespace: a, name: b}, return: code}}", "misplaced-property"),
        (TASK % (ASYNC % "message: {}, authentication: {bearer: {token: t}}"), "misplaced-property"),
    ],
)
def test_what_the_language_does_not_have_is_refused_by_its_own_code(body: str, code: str) -> None:
    assert code in [problem.code for problem in problems(body)]


SUPPORTED = {
    *("document.dsl", "document.namespace", "document.name", "document.version", "document.title"),
    *("document.summary", "document.tags", "document.metadata"),
    *(
        "input.schema",
        "input.from",
        "output.schema",
        "output.as",
        "export.as",
        "export.schema",
        "timeout.after",
    ),
    *("schema.format", "schema.document", "schema.resource"),
    *("evaluate.language", "evaluate.mode"),
    *(
        "use.authentications",
        "use.catalogs",
        "use.errors",
        "use.extensions",
        "use.functions",
        "use.retries",
        "use.secrets",
        "use.timeouts",
    ),
    *("activity.type", "activity.taskQueue", "activity.arguments", "activity.timeouts", "activity.retry"),
    *("extension.extend", "extension.when", "extension.before", "extension.after"),
    *("schedule.every", "schedule.cron", "schedule.after", "schedule.on", "schedule.read"),
    *("task.if", "task.input", "task.output", "task.export", "task.timeout", "task.then", "task.metadata"),
    *("task.call", "task.with", "task.do", "task.emit", "task.for", "task.while", "task.fork", "task.listen"),
    *(
        "task.foreach",
        "task.raise",
        "task.run",
        "task.set",
        "task.switch",
        "task.try",
        "task.catch",
        "task.wait",
    ),
    *(
        "http.method",
        "http.endpoint",
        "http.headers",
        "http.query",
        "http.body",
        "http.output",
        "http.redirect",
    ),
    *("openapi.document", "openapi.operationId", "openapi.parameters", "openapi.authentication"),
    *("openapi.output", "openapi.redirect"),
    *(
        "asyncapi.document",
        "asyncapi.channel",
        "asyncapi.operation",
        "asyncapi.message",
        "asyncapi.subscription",
        "asyncapi.server",
        "asyncapi.protocol",
        "asyncapi.authentication",
    ),
    *("a2a.agentCard", "a2a.server", "a2a.method", "a2a.parameters"),
    *("mcp.protocolVersion", "mcp.method", "mcp.parameters", "mcp.timeout", "mcp.transport", "mcp.client"),
    *("grpc.proto", "grpc.service", "grpc.method", "grpc.arguments"),
    *("catch.errors", "catch.as", "catch.when", "catch.exceptWhen", "catch.retry", "catch.do", "catch.then"),
    *("retry.when", "retry.exceptWhen", "retry.delay", "retry.backoff", "retry.limit", "retry.jitter"),
    *("error.type", "error.status", "error.instance", "error.title", "error.detail"),
    *("for.each", "for.in", "for.at", "foreach.item", "foreach.at", "foreach.do", "foreach.output"),
    *("foreach.export", "events.one", "events.any", "events.all", "events.until"),
    *("filter.with", "filter.correlate", "run.workflow", "run.await"),
    *("run.container", "run.script", "run.shell", "run.return"),
    *("authentication.basic", "authentication.bearer", "authentication.digest"),
    *("authentication.oauth2", "authentication.oidc"),
}

NOT_IN_THE_SPECIFICATION = {"authentication.certificate"}

DEFINITIONS = {
    "document": "document",
    "input": "input",
    "output": "output",
    "schema": "schema",
    "use": "use",
    "schedule": "schedule",
    "activity": "activity",
    "extension": "extension",
    "task": "task",
    "http": "http",
    "openapi": "openapi",
    "grpc": "grpc",
    "asyncapi": "asyncapi",
    "a2a": "a2a",
    "mcp": "mcp",
    "catch": "catch",
    "retryPolicy": "retry",
    "error": "error",
    "for": "for",
    "foreach": "foreach",
    "events": "events",
    "eventFilter": "filter",
    "run": "run",
    "timeoutDefinition": "timeout",
    "authenticationPolicy": "authentication",
}


def in_the_schema() -> Iterator[str]:
    definitions: dict[str, Any] = schema("serverless-workflow-1.0")["$defs"]
    for name, called in DEFINITIONS.items():
        yield from (f"{called}.{property}" for property in definitions[name]["properties"])
    yield from ("evaluate.language", "evaluate.mode")


def test_every_property_of_the_schema_is_supported_or_refused() -> None:
    listed = SUPPORTED | set(UNSUPPORTED) | NOT_IN_THE_SPECIFICATION
    assert sorted(set(in_the_schema()) - listed) == []
    assert sorted(SUPPORTED - set(in_the_schema()) - {"export.as", "export.schema"}) == []
