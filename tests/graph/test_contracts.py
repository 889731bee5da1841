"""What a workflow tells others of itself: valid OpenAPI and AsyncAPI, with its own schemas, events and channels."""

from __future__ import annotations

import json
from typing import Any

import pytest

import catalog
from tests.examples import examples
from tests.semantics.v0_8 import documents as old
from tests.semantics.v0_8.test_files import pinned
from workflow_engine import dsl
from workflow_engine.graph.contracts import asyncapi, openapi

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
