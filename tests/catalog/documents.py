"""The documents that the tests of the catalog read, and where the published ones are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

WFE_SPEC = Path(os.environ.get("WFE_SPEC", Path(__file__).parents[2] / ".." / "shared" / "spec"))


def published(name: str) -> str:
    """The text of a file of the published specifications; the test is skipped where they are absent."""
    path = WFE_SPEC / name
    if not path.is_file():
        pytest.skip(f"{path} is absent: set WFE_SPEC to a folder with the published specifications")
    return path.read_text("utf-8")


ORDERS = """\
asyncapi: 2.6.0
info: {title: orders, version: 1.0.0, description: Takes orders.}
defaultContentType: application/json
servers:
  production:
    url: kafka://broker.{region}.example.com:9092/cluster
    protocol: kafka-secure
    protocolVersion: "3.5"
    variables: {region: {default: eu, enum: [eu, us]}}
    security: [{scram: []}]
  test: {url: "localhost:9092", protocol: kafka}
channels:
  orders/{region}/created:
    servers: [production]
    parameters:
      region: {schema: {type: string, enum: [eu, us]}, location: $message.payload#/region}
    bindings: {kafka: {partitions: 3}}
    publish:
      operationId: createOrder
      summary: Create an order
      tags: [{name: sales}]
      traits: [{$ref: "#/components/operationTraits/kafka"}]
      message: {$ref: "#/components/messages/Order"}
    subscribe:
      operationId: orderCreated
      message:
        oneOf:
          - $ref: "#/components/messages/Order"
          - {name: Refusal, contentType: application/problem+json, payload: {type: object, required: [reason]}}
  orders/audit:
    subscribe:
      message: {payload: {type: string}}
components:
  securitySchemes: {scram: {type: scramSha512}}
  operationTraits:
    kafka: {bindings: {kafka: {clientId: {type: string}}}}
  messageTraits:
    correlated:
      headers:
        type: object
        required: [trace]
        properties: {trace: {type: string}}
      correlationId: {location: $message.header#/trace}
  messages:
    Order:
      title: An order
      traits: [{$ref: "#/components/messageTraits/correlated"}]
      payload: {$ref: "#/components/schemas/Order"}
  schemas:
    Order:
      type: object
      required: [id, items]
      properties:
        id: {type: integer, minimum: 1}
        items: {type: array, items: {$ref: "#/components/schemas/Item"}}
    Item:
      type: object
      required: [sku]
      properties:
        sku: {type: string, pattern: "^[A-Z]{3}-[0-9]+$"}
        parts: {type: array, items: {$ref: "#/components/schemas/Item"}}
"""

LIGHTS = """\
asyncapi: 3.0.0
info: {title: lights, version: 2.1.0, description: Street lights.}
servers:
  mosquitto:
    host: "{town}.mqtt.example.com:1883"
    pathname: /iot
    protocol: mqtt
    variables: {town: {default: delft}}
    security: [{$ref: "#/components/securitySchemes/user"}]
channels:
  lightTurnOn:
    address: lights/{id}/on
    servers: [{$ref: "#/servers/mosquitto"}]
    parameters: {id: {enum: [a, b], default: a, location: $message.payload#/id}}
    messages:
      turnOn: {$ref: "#/components/messages/turnOn"}
      blink: {payload: {type: object, required: [times]}}
  measured:
    address: lights/measured
    messages:
      measured:
        payload: {schemaFormat: application/schema+json;version=draft-07, schema: {type: object, required: [lumens]}}
  answers:
    address: null
    messages: {done: {payload: {type: object}}}
operations:
  turnOn:
    action: receive
    channel: {$ref: "#/channels/lightTurnOn"}
    traits: [{$ref: "#/components/operationTraits/mqtt"}]
    messages: [{$ref: "#/channels/lightTurnOn/messages/turnOn"}]
    reply:
      address: {location: $message.header#/replyTo}
      channel: {$ref: "#/channels/answers"}
  sendMeasurement:
    action: send
    channel: {$ref: "#/channels/measured"}
components:
  securitySchemes: {user: {type: userPassword}}
  operationTraits:
    mqtt: {title: from the trait, bindings: {mqtt: {qos: 1}}}
  messages:
    turnOn:
      name: TurnOn
      contentType: application/json
      correlationId: {location: $message.header#/correlationId}
      headers: {type: object, properties: {correlationId: {type: string}}}
      payload: {type: object, required: [id], properties: {id: {type: string}}}
"""
