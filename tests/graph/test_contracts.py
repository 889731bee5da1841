"""What a workflow tells others of itself: valid OpenAPI and AsyncAPI, with its own schemas, events and channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import catalog
from tests.examples import examples
from tests.semantics.v0_8 import documents as old
from tests.semantics.v0_8.test_files import pinned
from workflow_engine import dsl
from workflow_engine.graph.contracts import asyncapi, openapi
from workflow_engine.graph.embedding import embedded

ORDER = """
document: {dsl: '1.0.3', namespace: shop, name: order, version: '1.2.0', title: Order, summary: Sells things.}
input: {schema: {document: {type: object, required: [n]}}}
output: {schema: {document: {type: string}}}
schedule: {on: {one: {with: {type: order.placed, source: /shop}}}}
do:
  - paid:
      metadata: {channel: money/in}
      listen:
        to:
          any: [{with: {type: order.paid}}, {with: {type: '${ $context.x }'}}]
          until: {one: {with: {type: stop}}}
  - each:
      for: {in: .list}
      do:
        - tell: {emit: {event: {with: {type: order.sent, source: /shop, subject: '${ .id }', data: '${ . }'}}}}
        - tell2: {emit: {event: {with: {type: order.sent, source: /other}}}}
"""


def test_an_openapi_document_says_how_a_workflow_is_run() -> None:
    made: Any = openapi(dsl.compile(dsl.parse(ORDER)), "http://127.0.0.1:8080")
    assert made["info"] == {"title": "Order", "version": "1.2.0", "description": "Sells things."}
    [(path, item)] = made["paths"].items()
    assert path == "/v1/workflows/shop/order/1.2.0/runs"
    post = item["post"]
    assert post["operationId"] == "run-shop-order"
    assert post["requestBody"]["content"]["application/json"]["schema"] == {
        "type": "object",
        "required": ["n"],
    }
    run = post["responses"]["200"]["content"]["application/json"]["schema"]
    assert run["properties"]["output"] == {"type": "string"}
    assert made["servers"] == [{"url": "http://127.0.0.1:8080"}]


async def test_the_schema_of_dsl_0_8_is_in_it_though_it_is_in_a_file() -> None:
    text = old.workflow("dataInputSchema: input.json\nstates: [{name: A, type: inject, data: {}, end: true}]")
    resources = await pinned(text, {"input.json": json.dumps({"type": "object", "required": ["a"]})})
    made: Any = openapi(dsl.compile(dsl.parse(text), resources))
    [item] = made["paths"].values()
    assert item["post"]["requestBody"]["content"]["application/json"]["schema"]["required"] == ["a"]


def test_an_asyncapi_document_says_which_events_a_workflow_sends_and_takes() -> None:
    made: Any = asyncapi(dsl.compile(dsl.parse(ORDER)))
    assert {id: channel["address"] for id, channel in made["channels"].items()} == {
        "default": "default",
        "money-in": "money/in",
    }
    assert set(made["channels"]["default"]["messages"]) == {"order-placed", "order-sent", "order-sent-2"}
    assert set(made["channels"]["money-in"]["messages"]) == {"order-paid", "any", "stop"}
    assert {name: each["action"] for name, each in made["operations"].items()} == {
        "receive-start": "receive",
        "receive-paid": "receive",
        "send-tell": "send",
        "send-tell2": "send",
    }
    sent = made["channels"]["default"]["messages"]["order-sent"]["payload"]["properties"]
    assert (sent["type"], sent["source"]) == ({"const": "order.sent"}, {"const": "/shop"})
    assert "subject" not in sent


def test_the_catalog_takes_it_and_finds_its_operations() -> None:
    described = catalog.describe_document(json.dumps(asyncapi(dsl.compile(dsl.parse(ORDER)))))
    assert described.service.name == "Order"
    assert {operation.id for operation in described.operations} == {
        "receive-start", "receive-paid", "send-tell", "send-tell2",
    }  # fmt: skip


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.name)
async def test_every_example_has_contracts_that_the_catalog_can_read(example: Any) -> None:
    document = dsl.parse(example.text)
    graph = dsl.compile(document, await example.resources(document.data))
    made: Any = asyncapi(graph)
    catalog.describe_document(json.dumps(made))
    assert openapi(graph)["paths"]
    if example.name == "store-order-1.0":
        order = made["channels"]["order-create"]["messages"]["Order"]
        assert (order["contentType"], order["payload"]["required"]) == ("application/json", ["order_no"])


SELF = """
document: {dsl: '1.0.3', namespace: shop, name: tree, version: '1.0.0'}
input:
  schema:
    document:
      type: object
      properties:
        next: {$ref: '#'}
        $ref: {$ref: '#/$defs/name'}
        kind: {const: {$ref: '#/not/a/schema'}}
      $defs: {name: {type: string}}
output: {schema: {document: {type: array, items: {$ref: '#/definitions/a~1b'}, definitions: {a/b: {type: integer}}}}}
do:
  - one: {metadata: {channel: a.b}, emit: {event: {with: {type: x, source: /s}}}}
  - two: {metadata: {channel: a-b}, emit: {event: {with: {type: y, source: /s}}}}
  - three: {metadata: {channel: a/b}, emit: {event: {with: {type: z, source: /s}}}}
"""


def _resolved(document: Any, reference: str) -> Any:
    found = document
    for part in reference.removeprefix("#/").split("/"):
        found = found[part.replace("~1", "/").replace("~0", "~")]
    return found


def test_what_a_schema_refers_to_in_itself_is_found_in_the_document_that_it_is_part_of() -> None:
    made: Any = openapi(dsl.compile(dsl.parse(SELF)))
    [item] = made["paths"].values()
    given = item["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = _resolved(made, given["$ref"])
    properties = schema["properties"]
    assert _resolved(made, properties["next"]["$ref"]) == schema
    assert _resolved(made, properties["$ref"]["$ref"]) == {"type": "string"}
    assert properties["kind"] == {"const": {"$ref": "#/not/a/schema"}}
    run = item["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    output = _resolved(made, run["properties"]["output"]["$ref"])
    assert _resolved(made, output["items"]["$ref"]) == {"type": "integer"}


def test_a_schema_with_a_base_of_its_own_keeps_its_references() -> None:
    own = {"$id": "urn:tree", "properties": {"next": {"$ref": "#"}}}
    assert embedded({"items": own}, "#/components/schemas/Input") == {"items": own}


def test_channels_whose_names_differ_by_a_sign_alone_are_apart() -> None:
    made: Any = asyncapi(dsl.compile(dsl.parse(SELF)))
    found = {
        channel["address"]: [each["name"] for each in channel["messages"].values()]
        for channel in made["channels"].values()
    }
    assert found == {"a.b": ["x"], "a-b": ["y"], "a/b": ["z"]}
    for operation in made["operations"].values():
        assert _resolved(made, operation["messages"][0]["$ref"])


def test_a_name_of_dsl_0_8_with_braces_is_no_parameter_of_the_path() -> None:
    states = "[{name: A, type: inject, data: {}, end: true}]"
    text = (
        f"{{id: 'an {{old}} name', version: '1.0', specVersion: '0.8', name: n, start: A, states: {states}}}"
    )
    assert [*openapi(dsl.compile(dsl.parse(text)))["paths"]] == [  # type: ignore[call-overload,misc]
        "/v1/workflows/default/an%20%7Bold%7D%20name/1.0/runs"
    ]


@pytest.mark.parametrize("text", [ORDER, SELF])
def test_the_official_schema_of_asyncapi_takes_it(spec: Path, text: str) -> None:
    schema = json.loads((spec / "asyncapi" / "3.0.0.json").read_text())
    made = asyncapi(dsl.compile(dsl.parse(text)))
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(made)] == []
