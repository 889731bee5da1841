"""The order workflow of Apache EventMesh, as it ships it, driven by the command and over HTTP alone."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.test_durability import completed, get, post, state_of, until
from tests.cli.test_dev import Dev, dev
from workflow_engine.runtimes.temporal.server import executable

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
CHANNELS = ("order/create", "payment/create", "express/create")


def corrected(text: str) -> str:
    """The 1.0 form without its two defects: a namespace with dots, and an array read as an object."""
    text = text.replace("namespace: eventmesh.apache.org", "namespace: eventmesh-apache-org")
    waits = "              source: store/order\n"
    assert text.count(waits) == 1
    return text.replace(waits, waits + "      output: {as: '.[0]'}\n")


def new_order(number: str) -> dict[str, Any]:
    data = {"order_no": number, "orderNo": number, "Amount": "12.50"}
    return {
        "specversion": "1.0",
        "id": f"order-{number}-{uuid.uuid4()}",
        "source": "store/order",
        "type": "online.store.newOrder",
        "datacontenttype": "application/json",
        "data": data,
    }


def messages(base: str, source: str) -> dict[str, list[Any]]:
    """What is in each service's channel from *source*."""
    found: dict[str, list[Any]] = {}
    for channel in CHANNELS:
        listed = get(base, f"/v1/events?channel={channel}&limit=200")["events"]
        found[channel] = [item["event"] for item in listed if item["event"]["source"] == source]
    return found


def runs_of(base: str, workflow: str) -> list[dict[str, Any]]:
    return get(base, f"/v1/runs?workflow={workflow}&limit=100")["runs"]


@pytest.fixture(scope="module")
def eventmesh(spec: Path) -> Path:
    return spec / "eventmesh"


@pytest.fixture(scope="module")
def running(tmp_path_factory: Any, eventmesh: Path) -> Iterator[Dev]:
    with dev(tmp_path_factory.mktemp("store") / "data") as started:
        added = started.wfe("catalog", "add", *sorted(eventmesh.glob("asyncapi-*.yaml")))
        assert added.code == 0, added.err
        yield started


def deploy(running: Dev, tmp_path: Path, text: str) -> Any:
    file = tmp_path / "workflow.yaml"
    file.write_text(text)
    return running.wfe("deploy", file)


def test_the_catalog_knows_what_the_services_can_be_sent(running: Dev) -> None:
    found = get(running.urls["api"], "/v1/catalog/operations/paymentapp/sendPayment")
    assert json.dumps(found).count("payment/create") >= 1


def test_the_1_0_form_as_given_is_refused_with_a_suggestion(running: Dev, eventmesh: Path) -> None:
    ended = running.wfe("validate", eventmesh / "store-order-1.0.yaml")
    assert ended.code == 1
    assert "19:14: invalid-name" in ended.out
    assert "eventmesh-apache-org" in ended.out


def test_its_second_defect_is_an_expression_fault_at_that_state(
    running: Dev, eventmesh: Path, tmp_path: Path
) -> None:
    text = (eventmesh / "store-order-1.0.yaml").read_text()
    text = text.replace("eventmesh.apache.org", "half-corrected")
    base = running.urls["api"]
    assert deploy(running, tmp_path, text).code == 0
    post(base, "/v1/workflows/half-corrected/store-order-management/latest/runs?id=half", {})
    until(lambda: state_of(base, "half")[0] == "waiting", "the run listens")
    post(base, "/v1/events", new_order("0"), "application/cloudevents+json")
    until(lambda: state_of(base, "half")[0] == "faulted", "the run faults")
    error = get(base, "/v1/runs/half")["error"]
    assert error["type"].endswith("/errors/expression")
    assert error["instance"] == "/do/1/checkNewOrderResult"


def test_an_event_starts_one_run_of_the_0_8_form_and_feeds_the_waiting_1_0_run(
    running: Dev, eventmesh: Path, tmp_path: Path
) -> None:
    base = running.urls["api"]
    assert deploy(running, tmp_path, corrected((eventmesh / "store-order-1.0.yaml").read_text())).code == 0
    assert deploy(running, tmp_path, (eventmesh / "store-order-0.8.yaml").read_text()).code == 0
    place = "/v1/workflows/eventmesh-apache-org/store-order-management/latest/runs"
    run = post(base, f"{place}?id=waits", {})
    assert run["workflow"]["version"] == "1.0.0"
    until(lambda: state_of(base, "waits") == ("waiting", ["receiveNewOrderEvent"]), "the run listens")
    before = len(runs_of(base, "testcreateworkflow"))

    order = new_order("A-1")
    attributes = [f"-Hce-{name}:{order[name]}" for name in ("specversion", "id", "source", "type")]
    binary = Request(
        f"{base}/v1/events",
        data=json.dumps(order["data"]).encode(),
        headers={"Content-Type": "application/json"} | dict(item[2:].split(":", 1) for item in attributes),
        method="POST",
    )
    with urlopen(binary) as answer:
        assert answer.status == 202
        assert [item["duplicate"] for item in json.load(answer)["accepted"]] == [False]
    again = post(base, "/v1/events", order, "application/cloudevents+json")["accepted"]
    assert [item["duplicate"] for item in again] == [True]

    assert completed(base, "waits")["order_no"] == "A-1"
    until(lambda: len(runs_of(base, "testcreateworkflow")) == before + 1, "one run is started")
    [started] = [item for item in runs_of(base, "testcreateworkflow") if item["status"] != "faulted"][:1]
    assert completed(base, started["id"])["order_no"] == "A-1"
    assert len(runs_of(base, "testcreateworkflow")) == before + 1
    assert len(runs_of(base, "store-order-management")) == 2  # this one, and the one that faulted

    by_1_0 = messages(base, "/eventmesh-apache-org/store-order-management/1.0.0")
    by_0_8 = messages(base, "/default/testcreateworkflow/1.0")
    assert [len(by_1_0[channel]) for channel in CHANNELS] == [0, 1, 1]  # it calls no sendOrder
    assert [len(by_0_8[channel]) for channel in CHANNELS] == [1, 1, 1]
    assert by_0_8["payment/create"][0]["data"] == order["data"]


def test_an_event_starts_one_run_of_a_1_0_document_with_schedule_on(running: Dev, tmp_path: Path) -> None:
    base = running.urls["api"]
    text = """
document: {dsl: '1.0.3', namespace: test, name: scheduled, version: '1.0.0'}
schedule: {on: {one: {with: {type: online.store.cancelled, source: store/order}}}}
do:
  - note: {set: {cancelled: '${ .[0].data.order_no }', first: '${ $workflow.input[0].type }'}}
"""
    assert deploy(running, tmp_path, text).code == 0
    event = new_order("B-2") | {"type": "online.store.cancelled"}
    for _ in range(2):
        post(base, "/v1/events", event, "application/cloudevents+json")
    until(lambda: runs_of(base, "scheduled"), "a run is started")
    [run] = runs_of(base, "scheduled")
    output = completed(base, run["id"])
    assert output == {"cancelled": "B-2", "first": "online.store.cancelled"}
    assert len(runs_of(base, "scheduled")) == 1


def test_a_message_that_does_not_fit_its_schema_is_a_validation_fault(
    running: Dev, eventmesh: Path, tmp_path: Path
) -> None:
    base = running.urls["api"]
    assert deploy(running, tmp_path, (eventmesh / "store-order-0.8.yaml").read_text()).code == 0
    order = new_order("C-3")
    order["data"]["Amount"] = 12.5  # the schema says text
    post(base, "/v1/events", order, "application/cloudevents+json")
    until(lambda: any(run["status"] == "faulted" for run in runs_of(base, "testcreateworkflow")), "it faults")
    [faulted] = [run for run in runs_of(base, "testcreateworkflow") if run["status"] == "faulted"]
    error = get(base, f"/v1/runs/{faulted['id']}")["error"]
    assert error["type"].endswith("/errors/validation")
    assert "Amount" in error["detail"]


def test_a_run_started_by_name_with_temporals_own_command_finds_its_definition(
    running: Dev, tmp_path: Path
) -> None:
    base = running.urls["api"]
    text = """
document: {dsl: '1.0.3', namespace: test, name: by-name, version: '2.0.0'}
do: [{double: {set: {n: '${ .n * 2 }'}}}]
"""
    assert deploy(running, tmp_path, text).code == 0
    command = [executable(), "workflow", "start", "--address", running.urls["temporal"]]
    command += ["--task-queue", "wfe", "--type", "by-name", "--workflow-id", "named", "--input", '{"n": 21}']
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert completed(base, "named") == {"n": 42}


def test_bad_requests_get_a_problem_that_names_the_place_and_leave_nothing(running: Dev) -> None:
    base = running.urls["api"]
    before = get(base, "/v1/workflows")
    code, problem = refusal(
        base, "/v1/workflows", "document: {dsl: '1.0.3'}\ndo: [{a: {sett: 1}}]\n", "application/yaml"
    )
    assert code == 400
    assert {each["code"] for each in problem["problems"]} >= {"missing-property", "unknown-task"}
    assert all(each["line"] for each in problem["problems"])
    assert refusal(base, "/v1/workflows/no/such/1.0.0/runs", {})[0] == 404
    event = {"specversion": "1.0", "id": "x"}
    code, problem = refusal(base, "/v1/events", event, "application/cloudevents+json")
    assert code == 400
    assert "source" in json.dumps(problem)
    assert get(base, "/v1/workflows") == before


def refusal(base: str, path: str, body: Any, kind: str = "application/json") -> tuple[int, Any]:
    """The status and the problem with which a request is refused."""
    with pytest.raises(HTTPError) as refused:
        post(base, path, body, kind)
    with refused.value as answer:
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        return answer.code, json.load(answer)
