"""The specification's own examples of DSL 0.8: which run, to what; and why the others are refused."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.conftest import SPEC
from tests.semantics.v0_8.documents import event, workflow
from tests.semantics.v0_8.services import pin, published, services
from tests.semantics.v0_8.test_files import pinned
from workflow_engine import dsl
from workflow_engine.errors import InvalidDocument

FILES = sorted((SPEC / "0.8" / "examples").glob("*")) if SPEC.is_dir() else []
COMPILE = {
    "check-inbox-periodically",
    "handle-car-auction-bids-example",
    "accumulate-room-readings",
    "applicant-request-decision-example",
    "async-function-invocation-example",
    "async-subflow-invocation-example",
    "car-vitals-checks",
    "continuing-as-a-new-execution",
    "event-based-greeting-example",
    "event-based-service-invocation",
    "event-based-transitions-example",
    "filling-a-glass-of-water",
    "finalize-college-application-example",
    "greeting-example",
    "hello-world-example",
    "monitor-job-example",  # its run asks `.jobStatus` for ever, where the answer is called `jobstatus`
    "monitor-patient-vital-signs-example",
    "online-food-ordering",
    "parallel-execution-example",
    "provision-orders-example",
    "purchase-order-deadline",
    "reusing-function-and-event-definitions",
    "send-cloudevent-on-workflow-completion-example",
    "solving-math-problems-example",
}
REFUSED: dict[str, set[str]] = {
    "book-lending": {"unknown-state"},  # it goes to `Cancel Request`, which is not there
    "car-vitals-checks-2": {"unknown-function", "unknown-event"},  # the functions have other names
    "new-patient-onboarding": {
        "unknown-event",
        "unknown-function",
    },  # neither its event nor one function is defined
    # these two leave out what the first one has in other files
    "online-food-ordering-2": {"unknown-event", "unknown-function"},
    "online-food-ordering-3": {"unknown-event", "unknown-function"},
    "perform-customer-credit-check-example": {"unknown-function"},  # it is defined under another name
    "process-transactions": {"unknown-function"},  # a function's name is cut short
}
BROKEN = {"event-based-transitions-example.yaml", "new-patient-onboarding.yaml"}
"""YAML whose indentation is wrong."""


def read(spec: Path, name: str) -> str:
    return (spec / "0.8" / "examples" / name).read_text()


@pytest.mark.parametrize("file", FILES, ids=[file.name for file in FILES])
def test_an_example_compiles_or_is_refused_for_known_reasons(file: Path) -> None:
    try:
        found = dsl.check(dsl.parse(file.read_text(), name=file.name))
    except InvalidDocument as invalid:
        found = list(invalid.problems)
    codes = {problem.code for problem in found if problem.severity == "error"}
    if file.name in BROKEN:
        assert codes == {"yaml-syntax"}
    else:
        assert (file.stem in COMPILE) != (file.stem in REFUSED)
        assert codes == REFUSED.get(file.stem, set()), found


def test_the_lists_have_every_example(spec: Path) -> None:
    stems = {file.stem for file in (spec / "0.8" / "examples").iterdir()}
    assert stems == COMPILE | REFUSED.keys()


# --- runs ---------------------------------------------------------------------------------------------------


def child(id: str, data: str) -> str:
    return workflow(f"states: [{{name: A, type: inject, data: {data}, end: true}}]", id=id)


async def completed(run: Any, text: str, input: Any = None, **options: Any) -> Any:
    ended = await run(text, input, **options)
    assert ended.status == "completed", ended.error
    return ended.output


@pytest.mark.parametrize("form", ["json", "yaml"])
async def test_hello_world_injects_its_greeting(run: Any, spec: Path, form: str) -> None:
    assert await completed(run, read(spec, f"hello-world-example.{form}")) == {"result": "Hello World!"}


def welcome(field: Callable[[str], Any]) -> Callable[[Any], Any]:
    return lambda given: field(f"Welcome to Serverless Workflow, {given['name']}!")


async def test_greeting_greets_a_person(run: Any, spec: Path) -> None:
    text = read(spec, "greeting-example.json")
    person = {"person": {"name": "John"}}
    async with services(greeting=welcome(lambda text: {"greeting": text})) as service:
        assert await completed(run, text, person, resources=await service.pin(text)) == {
            **person,
            "greeting": "Welcome to Serverless Workflow, John!",
        }


async def test_event_based_greeting_greets_whom_the_event_names(run: Any, spec: Path) -> None:
    text = read(spec, "event-based-greeting-example.json")
    arrived = {
        **event("greetingEventType", "1", {"greet": {"name": "John"}}),
        "source": "greetingEventSource",
    }
    async with services(greeting=welcome(lambda text: {"payload": {"greeting": text}})) as service:
        found = await completed(run, text, events=[arrived], resources=await service.pin(text))
    assert found == "Welcome to Serverless Workflow, John!"


async def test_solving_math_problems_solves_each_expression(run: Any, spec: Path) -> None:
    text = read(spec, "solving-math-problems-example.json")
    answers = {"2+2": 4, "4-1": 3, "10x3": 30, "20/2": 10}
    async with services(solveExpression=lambda given: answers[given["expression"]]) as service:
        found = await completed(run, text, {"expressions": list(answers)}, resources=await service.pin(text))
    assert found == [4, 3, 30, 10]


async def test_parallel_execution_runs_both_workflows(run: Any, spec: Path) -> None:
    others = [child("shortdelayworkflowid", "{short: done}"), child("longdelayworkflowid", "{long: done}")]
    found = await completed(run, read(spec, "parallel-execution-example.json"), {"a": 1}, others=others)
    assert found == {"a": 1, "short": "done", "long": "done"}


async def test_async_subflow_invocation_ends_without_its_sub_workflow(run: Any, spec: Path) -> None:
    customer = {"customer": "Ann"}
    others = [child("customeronboardingworkflow", "{never: seen}")]
    found = await completed(run, read(spec, "async-subflow-invocation-example.json"), customer, others=others)
    assert found == customer


@pytest.mark.parametrize("decision", ["Approved", "Rejected", None])
async def test_event_based_transitions_handles_each_decision_and_none(
    run: Any, spec: Path, decision: str | None
) -> None:
    text = read(spec, "event-based-transitions-example.json").replace("PT1H", "PT0.3S")
    others = [
        child("handleApprovedVisaWorkflowID", "{visa: Approved}"),
        child("handleRejectedVisaWorkflowID", "{visa: Rejected}"),
        child("handleNoVisaDecisionWorkflowId", "{visa: null}"),
    ]
    decided = (
        [{**event(f"Visa{decision}", "1", {"by": "me"}), "source": "visaCheckSource"}] if decision else []
    )
    found = await completed(
        run, text.replace("PT0.3S", "PT20S") if decided else text, events=decided, others=others
    )
    assert found == {"visa": decision} | ({"by": "me"} if decided else {})


@pytest.mark.parametrize("age", [18, 17])
async def test_applicant_request_decision_starts_or_rejects(run: Any, spec: Path, age: int) -> None:
    text = read(spec, "applicant-request-decision-example.json")
    given = {"applicants": {"age": age}, "applicant": {"age": age}}  # it reads both names
    async with services(emailRejection=lambda given: {"rejected": given["applicant"]["age"]}) as service:
        others = [child("startApplicationWorkflowId", "{started: true}")]
        found = await completed(run, text, given, resources=await service.pin(text), others=others)
    assert found == {**given, **({"started": True} if age >= 18 else {"rejected": 17})}


async def test_car_vitals_are_checked_until_the_car_is_turned_off(run: Any, spec: Path) -> None:
    # Both of its events have one type and source, so that any second event is the one that ends it.
    events = [
        {**event("car.events", str(number), {"event": number}), "source": "my/car"} for number in (1, 2)
    ]
    text = read(spec, "car-vitals-checks.json").replace("PT1S", "PT0.01S")
    found = await completed(run, text, events=events, others=[child("vitalscheck", "{checked: true}")])
    assert found == {"event": 2, "checked": True}


@pytest.mark.parametrize("current", [0, 5])
async def test_a_glass_is_filled_with_water(run: Any, spec: Path, current: int) -> None:
    text = read(spec, "filling-a-glass-of-water.json")
    found = await completed(run, text, {"counts": {"current": current, "max": 5}})
    assert found == {"counts": {"current": 5, "max": 5}}


@pytest.mark.parametrize(
    ("problem", "handled"),
    [
        ("Missing order id", "handleMissingIdExceptionWorkflow"),
        ("Missing order item", "handleMissingItemExceptionWorkflow"),
        ("Missing order quantity", "handleMissingQuantityExceptionWorkflow"),
        (None, "applyOrderWorkflowId"),
    ],
)
async def test_provision_orders_handles_what_an_order_lacks(
    run: Any, spec: Path, problem: str | None, handled: str
) -> None:
    text = read(spec, "provision-orders-example.json")

    def provision(given: Any) -> Any:
        if problem is None:
            return {"provisioned": given}
        body = {"type": "about:blank", "title": problem}
        return web.json_response(body, status=422, content_type="application/problem+json")

    flows = re.findall(r'"(?:subFlowRef|workflowId)": "(\w+)"', text)
    others = [child(name, f"{{by: {name}}}") for name in flows]
    order = {"order": {"id": "1", "item": "a", "quantity": "1"}}
    async with services(doProvision=provision) as service:
        ended = await run(text, order, resources=await service.pin(text), others=others)
    assert ended.status == "completed", ended.error
    assert ended.output["by"] == handled


def arrived(type: str, source: str, id: str, data: Any, **attributes: Any) -> Any:
    return {**event(type, id, data), "source": source, **attributes}


async def test_room_readings_are_accumulated_until_the_report(run: Any, spec: Path) -> None:
    text = read(spec, "accumulate-room-readings.json").replace('"PT1H"', '"PT3S"')
    readings = [
        arrived("my.home.sensors", f"/home/rooms/{room}", f"{room}{number}", {"t": number}, roomid=room)
        for room, number in (("kitchen", 1), ("bath", 2), ("kitchen", 3))
    ]
    logged: list[Any] = []
    async with services(
        logreading=logged.append, produceReport=lambda given: {"of": given["data"]}
    ) as service:
        found = await completed(run, text, events=readings, resources=await service.pin(text))
    assert found == {"readings": {"t": 3}, "of": {"t": 3}}
    assert len(logged) == 2  # of the kitchen, whose reading came first


async def test_an_email_is_sent_without_waiting_for_it(run: Any, spec: Path) -> None:
    text = read(spec, "async-function-invocation-example.json")
    async with services(sendEmail=lambda given: {"never": "seen"}) as service:
        found = await completed(run, text, {"customer": "Ann"}, resources=await service.pin(text))
    assert found == {"customer": "Ann"}


async def test_a_customer_is_notified_and_the_workflow_goes_on_as_itself(run: Any, spec: Path) -> None:
    text = read(spec, "continuing-as-a-new-execution.json").replace("customerCount", "count")  # its defect
    document = json.loads(text)  # it waits for customers for ever: here it ends
    document["timeouts"] = {"workflowExecTimeout": {"duration": "PT2S", "runBefore": "Report"}}
    document["states"].append({"name": "Report", "type": "inject", "data": {"reported": True}, "end": True})
    text = json.dumps(document)
    customer = arrived("org.events.customerEvent", "customerSource", "1", {"customerId": "c1"})
    async with services(notifyCustomer=lambda given: {"notified": given["customerId"]}) as service:
        resources = await service.pin(text)
        ended = await run(text, events=[customer], resources=resources, others=[text])
        assert [given for _, given in service.calls] == [{"customerId": "c1"}]
    assert ended.status == "completed", ended.error
    assert ended.output == {"eventCustomerId": "c1", "notified": "c1", "reported": True}  # without its count


async def test_a_vet_appointment_is_made_by_events(run: Any, spec: Path) -> None:
    text = read(spec, "event-based-service-invocation.json")
    answer = arrived("events.vet.appointments", "VetServiceSource", "1", {"appointmentInfo": {"at": "noon"}})
    found = await completed(run, text, {"patientInfo": {"name": "rex"}}, events=[answer])
    assert found == {"patientInfo": {"name": "rex"}, "at": "noon"}


async def test_an_application_is_finalized_once_all_of_its_parts_are_there(run: Any, spec: Path) -> None:
    text = read(spec, "finalize-college-application-example.json")
    parts = [
        arrived(f"org.application.{part}", "applicationsource", f"{part}{who}", {part: who}, applicantid=who)
        for part, who in (
            ("submitted", "a"),
            ("satscores", "b"),
            ("recommendationLetter", "a"),
            ("satscores", "a"),
        )
    ]
    async with services(finalize=lambda given: {"finalized": True}) as service:
        found = await completed(run, text, events=parts, resources=await service.pin(text))
    assert found == {"submitted": "a", "recommendationLetter": "a", "satscores": "a", "finalized": True}


@pytest.mark.parametrize(
    ("vital", "asked"),
    [
        ("highBodyTemp", "tylenolOrder"),
        ("highBloodPressure", "callNurse"),
        ("highRespirationRate", "callPulmonologist"),
    ],
)
async def test_each_vital_sign_has_its_own_help(run: Any, spec: Path, vital: str, asked: str) -> None:
    text = read(spec, "monitor-patient-vital-signs-example.json")
    sign = arrived(f"org.monitor.{vital}", "monitoringSource", "1", {"value": 1}, patientid="p")
    helps = {
        name: lambda given: {"helped": True} for name in ("tylenolOrder", "callNurse", "callPulmonologist")
    }
    async with services(**helps) as service:
        found = await completed(run, text, events=[sign], resources=await service.pin(text))
        assert [name for name, _ in service.calls] == [asked]
    assert found == {"value": 1, "helped": True}


@pytest.mark.parametrize("shipped", [True, False])
async def test_an_order_is_finished_or_cancelled_at_its_deadline(run: Any, spec: Path, shipped: bool) -> None:
    text = read(spec, "purchase-order-deadline.json").replace('"PT30D"', '"PT20S"' if shipped else '"PT0.5S"')
    steps = ("new", "confirmed", "shipped") if shipped else ("new",)
    events = [
        arrived("my.company.orders", f"/orders/{step}", f"{order}-{step}", {step: order}, orderid=order)
        for order in ("1", "2")
        for step in steps
    ]
    names = ("logcreated", "logconfirmed", "logshipped", "calcelorder")
    async with services(**{name: lambda given: {} for name in names}) as service:
        found = await completed(run, text, events=events, resources=await service.pin(text))
        called = [name for name, _ in service.calls]
    if shipped:
        assert called == ["logcreated", "logconfirmed", "logshipped"]
        assert found == {"new": "1", "confirmed": "1", "shipped": "1"}
    else:
        assert called == ["logcreated", "calcelorder"]


async def test_the_inbox_is_checked_and_each_message_is_texted(run: Any, spec: Path) -> None:
    text = read(spec, "check-inbox-periodically.json")
    schedule = dsl.compile(dsl.parse(text)).schedule
    assert schedule is not None
    texted: list[Any] = []
    messages = {"messages": ["a", "b"]}
    async with services(checkNewMessages=lambda given: messages, sendText=texted.append) as service:
        assert await completed(run, text, resources=await service.pin(text)) == messages
    assert sorted(given["message"] for given in texted) == ["a", "b"]


async def test_a_bid_for_a_car_is_stored(run: Any, spec: Path) -> None:
    text = read(spec, "handle-car-auction-bids-example.json")
    made = arrived("carBidMadeType", "carBidEventSource", "1", {"bid": {"carid": "car123", "amount": 3000}})
    async with services(storeBid=lambda given: {"stored": given["bid"]["amount"]}) as service:
        found = await completed(run, text, events=[made], resources=await service.pin(text))
    assert found["stored"] == 3000


PAYMENT = {
    "functiondefs.json": json.dumps(
        {
            "functions": [
                {"name": name, "operation": f"file://api.json#{name}"}
                for name in ("checkFundsAvailability", "sendSuccessEmail", "sendInsufficientFundsEmail")
            ]
        }
    ),
    "eventdefs.yml": """
events:
  - {name: PaymentReceivedEvent, type: payment.receive, source: paymentEventSource}
  - {name: ConfirmationCompletedEvent, type: payment.confirmation, kind: produced}
""",
}


@pytest.mark.parametrize("available", ["true", "false"])
async def test_definitions_are_reused_to_confirm_a_payment(run: Any, spec: Path, available: str) -> None:
    text = read(spec, "reusing-function-and-event-definitions.json")
    paid = arrived("payment.receive", "paymentEventSource", "1", {"accountId": "a", "payment": {"amount": 5}})
    mailed: list[str] = []

    def mail(name: str) -> Callable[[Any], Any]:
        return lambda given: mailed.append(name)

    async with services(
        checkFundsAvailability=lambda given: {"funds": {"available": available}},
        sendSuccessEmail=mail("success"),
        sendInsufficientFundsEmail=mail("insufficient"),
    ) as service:
        ended = await run(text, events=[paid], resources=await pinned(text, PAYMENT, service))
    assert ended.status == "completed", ended.error
    assert mailed == ["success" if available == "true" else "insufficient"]
    assert {"amount": 5} in await published(run, ended, "default")


ORDERING = {
    "file://orderfunctions.yml": json.dumps(
        {
            "functions": [
                {"name": name, "operation": f"file://api.json#{operation}"}
                for name, operation in (
                    ("Submit Order Function", "submit"),
                    ("Get Order ETA Function", "eta"),
                    ("Dispatch Courrier Function", "dispatch"),
                    ("Deliver Order Function", "deliver"),
                    ("Charge For Order Function", "charge"),
                )
            ]
        }
    ),
    "file://orderevents.yml": """
- {name: Food Order Event, type: org.orders, source: /orders/}
- {name: ETA Deadline Event, type: org.orders.eta, source: /orderseta}
- {name: Order Picked Up Event, type: org.orders.delivery, source: /orderpickup}
- {name: Order Delievered Event, type: org.orders.delivery, source: /orderdelivered}
""",
}


async def test_food_is_ordered_delivered_and_charged_for(run: Any, spec: Path) -> None:
    if run.name == "local":
        pytest.skip("its sub-workflows hear what is published once they wait: that needs a router")
    texts = [read(spec, f"online-food-ordering{part}.yaml") for part in ("-3", "", "-2")]
    files = "functions: file://orderfunctions.yml\nevents: file://orderevents.yml\n"
    # The one that has its definitions is the order itself; the other two leave out what it has.
    whole = next(text for text in texts if "file://orderfunctions.yml" in text)
    parts = [text.rstrip() + "\n" + files for text in texts if text is not whole]
    said = [
        (
            "org.orders",
            "/orders/",
            {"order": {"id": "o1", "restaurantId": "r"}, "customerId": "c", "delivery": 1},
        ),
        ("org.orders.eta", "/orderseta", {"results": {"status": "late"}}),
        ("org.orders.delivery", "/orderpickup", {"data": {"status": "picked up"}}),
        ("org.orders.delivery", "/orderdelivered", {"data": {"status": "delivered"}}),
    ]

    async def publish() -> None:
        while True:
            for type, source, data in said:
                one = arrived(type, source, str(uuid.uuid4()), data)
                await run.router.publish("default", [one])
            await asyncio.sleep(0.2)

    answers = {
        "submit": lambda given: {"results": {"status": "submitted"}},
        "eta": lambda given: {"results": {"status": "eta known"}},
        "dispatch": lambda given: {},
        "deliver": lambda given: {},
        "charge": lambda given: {"outcome": {"status": "charged"}},
    }
    async with services(**answers) as service:
        resources = await pinned(whole, ORDERING, service)
        publishing = asyncio.create_task(publish())
        try:
            ended = await run(whole, {"id": "o1", "status": []}, resources=resources, others=parts)
        finally:
            publishing.cancel()
        called = [name for name, _ in service.calls]
    assert ended.status == "completed", ended.error
    assert called == ["submit", "eta", "dispatch", "deliver", "charge"]
    assert ended.output["orderid"] == "o1"
    assert ended.output["orderstatus"][-1] == "Order Completed"
    assert {"late", "charged"} <= set(ended.output["orderstatus"])


async def test_provisioned_orders_are_told_at_the_end(run: Any, spec: Path) -> None:
    text = read(spec, "send-cloudevent-on-workflow-completion-example.json")
    orders = {"orders": [{"id": 1}, {"id": 2}]}
    async with services(doProvision=lambda given: {"provisioned": given["order"]["id"]}) as service:
        ended = await run(text, orders, resources=await service.pin(text))
    assert ended.status == "completed", ended.error
    provisioned = [{"provisioned": 1}, {"provisioned": 2}]
    assert ended.output == {**orders, "provisionedOrders": provisioned}
    assert provisioned in await published(run, ended, "default")


BANKING = """
asyncapi: 2.6.0
info: {title: banking, version: '1'}
channels:
  larger: {publish: {operationId: largerTransation, message: {name: larger, payload: {type: object}}}}
  smaller: {publish: {operationId: smallerTransation, message: {name: smaller, payload: {type: object}}}}
"""


async def test_transactions_are_processed_by_their_size(run: Any, spec: Path) -> None:
    text = read(spec, "process-transactions.yaml")
    text = text.replace("- Smaller T\n", "- Smaller Tx\n")  # its defect: the name of a function is cut short
    given = {"customer": {"id": "me", "transactions": [1000, 5000, 12000, 400]}}
    ended = await run(text, given, resources=await pin(text, asyncapi={"banking": BANKING}))
    assert (ended.status, ended.output) == ("completed", given)
    for channel, amounts in (("larger", [5000, 12000]), ("smaller", [400, 1000])):
        sent = await published(run, ended, channel)
        assert sorted(message["tx"] for message in sent) == amounts
        assert all(message["customer"] == given["customer"] for message in sent)
