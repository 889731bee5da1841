from __future__ import annotations

import asyncio

import pytest

from catalog import describe_document
from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from workflow_engine.calls import CALLERS
from workflow_engine.errors import NotFound, Rejected, Unavailable

call = CALLERS["asyncapi"]

DOCUMENT = """
asyncapi: 3.0.0
info: {title: shop, version: 1.0.0}
channels:
  orders:
    address: orders/{region}/new
    parameters: {region: {enum: [eu, us], default: eu, location: $message.header#/region}}
    messages:
      placed:
        headers: {type: object, properties: {region: {type: string}}}
        payload:
          type: object
          required: [order_no]
          properties: {order_no: {type: string}, amount: {type: number}}
  notes:
    address: notes
    messages:
      note: {contentType: text/plain, payload: {type: string}}
  files:
    address: files
    messages:
      file: {contentType: application/octet-stream}
  changes:
    address: changes
    messages:
      created: {payload: {type: object, required: [new]}}
      removed: {payload: {type: object, required: [old]}}
operations:
  placeOrder: {action: receive, channel: {$ref: '#/channels/orders'}}
  takeNote: {action: receive, channel: {$ref: '#/channels/notes'}}
  keepFile: {action: receive, channel: {$ref: '#/channels/files'}}
  change: {action: receive, channel: {$ref: '#/channels/changes'}}
  orderPlaced: {action: send, channel: {$ref: '#/channels/orders'}}
"""


class Log:
    """A publisher that keeps what it is given; the router's contract in its simplest form."""

    def __init__(self) -> None:
        self.published = []

    async def publish(self, channel, events):
        self.published += [(channel, event) for event in events]
        return [{"id": event["id"]} for event in events]


class Failing:
    def __init__(self, error: Exception | None) -> None:
        self.error = error

    async def publish(self, channel, events):
        if self.error is None:
            await asyncio.Event().wait()
        raise self.error


@pytest.fixture(scope="module")
def operations():
    described = describe_document(DOCUMENT)
    return {operation.id: operation.to_json() for operation in described.operations}


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def context(egress, log):
    return make_context(egress, events=log)


async def test_a_message_is_published_as_a_cloudevent_in_the_channel_of_the_operation(
    operations, context, log
):
    payload = {"order_no": "o-1", "amount": 2.5}
    arguments = {"operation": operations["placeOrder"], "message": {"payload": payload}}
    assert await call(arguments, context) == payload
    assert log.published == [
        (
            "orders/eu/new",
            {
                "specversion": "1.0",
                "id": "run-1/do/0/call/0",
                "source": "/default/order/1.0.0",
                "type": "placed",
                "time": "2026-01-31T12:00:00.000Z",
                "datacontenttype": "application/json",
                "service": "shop",
                "operationid": "placeOrder",
                "data": payload,
            },
        )
    ]


async def test_the_operation_may_be_the_one_resource_that_the_bundle_pins(operations, egress, log):
    context = make_context(
        egress, events=log, resources={"file://shop.yaml#placeOrder": operations["placeOrder"]}
    )
    await call({"message": {"payload": {"order_no": "1"}}}, context)
    assert log.published[0][1]["operationid"] == "placeOrder"


async def test_without_a_payload_the_input_is_sent_and_flows_on(operations, context, log):
    order = {"order_no": "o-1"}
    assert await call({"operation": operations["placeOrder"], "$input": order}, context) == order
    assert log.published[0][1]["data"] == order


async def test_headers_are_checked_fill_the_address_and_become_attributes(operations, context, log):
    headers = {
        "region": "us",
        "X-Trace_Id": "t",
        "retry": False,
        "count": 3,
        "big": 2**40,
        "ratio": 0.5,
        "absent": None,
    }
    message = {"payload": {"order_no": "1"}, "headers": headers}
    await call({"operation": operations["placeOrder"], "message": message}, context)
    channel, event = log.published[0]
    assert channel == "orders/us/new"
    expected = {
        "region": "us",
        "xtraceid": "t",
        "retry": False,
        "count": 3,
        "big": str(2**40),
        "ratio": "0.5",
    }
    assert event | expected == event
    assert "absent" not in event


async def test_a_message_that_fits_none_is_a_validation_fault_that_names_it(operations, context, log):
    arguments = {
        "operation": operations["placeOrder"],
        "message": {"payload": {"order_no": 1, "amount": "x"}},
    }
    detail = await fault_of(call(arguments, context), "validation", 400)
    assert "operation placeOrder of shop: message 'placed'" in detail
    assert "/payload/order_no" in detail
    assert "/payload/amount" in detail
    assert log.published == []


async def test_headers_that_do_not_fit_are_a_validation_fault(operations, context):
    message = {"payload": {"order_no": "1"}, "headers": {"region": 5}}
    detail = await fault_of(
        call({"operation": operations["placeOrder"], "message": message}, context), "validation"
    )
    assert "/headers/region" in detail


async def test_the_message_that_fits_gives_the_type(operations, context, log):
    for payload in ({"new": 1}, {"old": 1}):
        await call({"operation": operations["change"], "message": {"payload": payload}}, context)
    assert [event["type"] for _, event in log.published] == ["created", "removed"]


async def test_text_and_bytes_are_carried_as_their_content_type_says(operations, context, log):
    await call({"operation": operations["takeNote"], "message": {"payload": "hello"}}, context)
    await call({"operation": operations["keepFile"], "message": {"payload": "AP8="}}, context)
    note, file = (event for _, event in log.published)
    assert (note["data"], note["datacontenttype"]) == ("hello", "text/plain")
    assert (file["data_base64"], "data" in file) == ("AP8=", False)
    for payload in ("no base64!", {"a": 1}):
        arguments = {"operation": operations["keepFile"], "message": {"payload": payload}}
        await fault_of(call(arguments, context), "validation", 400)


async def test_a_workflow_cannot_publish_to_what_a_service_sends(operations, context):
    arguments = {"operation": operations["orderPlaced"], "$input": {"order_no": "1"}}
    assert "`listen`" in await fault_of(call(arguments, context), "configuration", 400)


@pytest.mark.parametrize(
    ("headers", "kind", "words"),
    [
        ({"x-a": 1, "xa": 2}, "configuration", "'xa'"),
        ({"Type": "x"}, "configuration", "'Type'"),
        ({"data_base64": "x"}, "configuration", "'data_base64'"),
        ({"service": "x"}, "configuration", "'service'"),
        ({"--": "x"}, "configuration", "no letter or digit"),
        ({"a": {"b": 1}}, "configuration", "must be a scalar"),
        ({"a": "line\nfeed"}, "validation", "character"),
        ({"region": "mars"}, "configuration", "'mars' is not allowed"),
        ([1], "configuration", "must be an object, not an array"),
    ],
)
async def test_headers_that_cannot_be_attributes_are_refused(operations, context, headers, kind, words):
    message = {"payload": {"order_no": "1"}, "headers": headers}
    detail = await fault_of(
        call({"operation": operations["placeOrder"], "message": message}, context), kind, 400
    )
    assert words in detail


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"operation": None}, "no operation"),
        ({"operation": "placeOrder"}, "no operation"),
        ({"message": "text"}, "must be an object, not a string"),
        ({"message": {"body": 1}}, "'body'"),
    ],
)
async def test_wrong_arguments_are_configuration_faults(operations, context, wrong, words):
    arguments = {"operation": operations["placeOrder"], "$input": {"order_no": "1"}} | wrong
    assert words in await fault_of(call(arguments, context), "configuration", 400)


async def test_without_a_router_nothing_can_be_published(operations, egress):
    arguments = {"operation": operations["placeOrder"], "$input": {"order_no": "1"}}
    assert "router" in await fault_of(call(arguments, make_context(egress)), "configuration", 400)


@pytest.mark.parametrize(
    ("error", "kind", "status"),
    [
        (Unavailable("the router at http://r cannot be reached"), "communication", 503),
        (Rejected("too-large", "the event is too large"), "validation", 400),
        (NotFound("channel", "orders/eu/new"), "configuration", 400),
        (None, "communication", 500),
    ],
)
async def test_what_the_router_answers_becomes_a_fault(operations, egress, error, kind, status):
    context = make_context(egress, events=Failing(error), timeout=0.05)
    arguments = {"operation": operations["placeOrder"], "$input": {"order_no": "1"}}
    detail = await fault_of(call(arguments, context), kind, status)
    assert detail.startswith("operation placeOrder of shop: ")


@pytest.mark.parametrize("file", ["order", "payment", "express"])
async def test_operations_of_eventmesh_take_the_state_and_let_it_flow_on(egress, log, file):
    text = f"""
asyncapi: 2.3.0
info: {{title: {file}app, version: 0.1.0}}
channels:
  {file}/create:
    publish:
      operationId: send
      message: {{$ref: '#/components/messages/Order'}}
components:
  messages:
    Order: {{payload: {{type: object, properties: {{orderNo: {{type: string}}, Amount: {{type: string}}}}}}}}
"""
    [operation] = describe_document(text).operations
    state = {"order_no": "o-1", "Amount": "9"}
    context = make_context(egress, events=log)
    assert await call({"operation": operation.to_json(), "message": {"payload": state}}, context) == state
    [(channel, event)] = log.published
    assert (channel, event["type"], event["operationid"]) == (f"{file}/create", "Order", "send")
