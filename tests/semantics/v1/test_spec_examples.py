"""The specification's own examples of DSL 1.0: each runs to what it means, or its defect is listed here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import catalog
from tests.brokers.web import Web
from tests.conftest import SPEC
from tests.engines import needs_node
from tests.semantics.v1.documents import event, kind, pinned, workflow
from tests.standins.container_engine import ask
from tests.standins.elsewhere import LEIA, LUKE, ORDERS
from tests.standins.internet import Internet
from tests.standins.petstore import NOT_FOUND, PETS, SWAGGER
from tests.standins.server import Recorded, serve
from workflow_engine import dsl
from workflow_engine.calls.openapi_pruning import prune

FILES = sorted((SPEC / "1.0" / "examples").glob("*.yaml")) if SPEC.is_dir() else []
PET = PETS[0]

DEFECTS = {
    "accumulate-room-readings": "`.data.reading` on the array that `listen` gives is an error of jq",
    "do-multiple": "the second `{petId}` finds no `petId` in the pet that the first task gave",
    "for": "`.pets + …` on the array that `listen` gives is an error of jq",
    "listen-to-one": "`{carId}` finds nothing in the array that `listen` gives",
    "try-catch-then": "`$error` without `${ }` is a text, and the second `{petId}` finds nothing in it",
    "run-subflow": "`.user` without `${ }` is a text",
    "run-container-with-name": "`.workflow` and `.task` are no arguments, so the name is `hello-null-null-null`",
    "conditional-task": "`.customer` and `.bet` without `${ }` are texts",
    "call-asyncapi-subscribe-consume-until": "nothing sets the `$context` that it reads, nor its messages (A6, A36)",
    "call-asyncapi-subscribe-consume-while": "nothing sets the `$context` that it reads, nor its messages (A6, A36)",
    "call-asyncapi-subscribe-consume-forever-foreach": "nothing sets the `$context` that it reads (A6)",
    "mock-service-extension": "`$task.with` is not in the descriptor, and the address is never the mocked one",
}
"""What the reference names (dsl.md §4.1): these run too, to what they say rather than to what they mean."""


def read(name: str) -> str:
    return (SPEC / "1.0" / "examples" / f"{name}.yaml").read_text()


@pytest.fixture(autouse=True)
def _the_specification_is_there(spec: Path) -> None:
    """Skip where it is not."""


async def completed(run: Any, name: str, input: Any = None, **options: Any) -> Any:
    ended = await run(read(name), input, **options)
    assert ended.status == "completed", ended.error
    return ended.output


async def faulted(run: Any, name: str, input: Any = None, **options: Any) -> Any:
    ended = await run(read(name), input, **options)
    assert ended.status == "faulted", ended.output
    return ended.error


def sent_to(internet: Internet, host: str, since: int = 0) -> list[Recorded]:
    """The requests for *host*: several hosts share a server."""
    return [sent for sent in internet.servers[host].requests[since:] if sent.headers["Host"] == host]


def swagger(operation: str) -> dict[str, Any]:
    uri = "https://petstore.swagger.io/v2/swagger.json"
    return {f"{uri}#{operation}": {"uri": uri, "base": uri, "content": json.dumps(prune(SWAGGER, operation))}}


# --- calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["authentication-bearer", "authentication-bearer-uri-format", "authentication-reusable"]
)
async def test_a_bearer_token_of_the_input_is_sent(run: Any, internet: Internet, name: str) -> None:
    assert await completed(run, name, {"petId": 1, "token": "of-the-input"}) == PET
    assert internet.petstore.last.headers["Authorization"] == "Bearer of-the-input"


@pytest.mark.parametrize("name", ["authentication-oauth2", "authentication-oidc"])
async def test_a_token_of_the_authority_is_sent(run: Any, internet: Internet, name: str) -> None:
    assert await completed(run, name, {"petId": 1}) == PET
    assert internet.petstore.last.headers["Authorization"].startswith("Bearer ey")


@pytest.mark.parametrize("name", ["authentication-oauth2-secret", "authentication-oidc-secret"])
async def test_the_whole_policy_may_be_a_secret(run: Any, internet: Internet, name: str) -> None:
    assert await completed(run, name, {"petId": 1}) == PET
    assert internet.petstore.last.headers["Authorization"].startswith("Bearer ey")


@pytest.mark.parametrize(
    "name", ["call-http-endpoint-interpolation", "call-http-endpoint-interpolation-shorthand", "do-single"]
)
async def test_the_address_of_a_call_is_made_of_its_input(run: Any, name: str) -> None:
    assert await completed(run, name, {"petId": 1}) == PET


async def test_do_multiple_puts_to_an_address_without_the_number_of_the_pet(run: Any) -> None:
    error = await faulted(run, "do-multiple", {"petId": 1})
    assert (kind(error), error["status"], error["instance"]) == ("communication", 404, "/do/1/buyPet")


async def test_a_function_of_the_document_gets_what_its_call_gives_it(run: Any) -> None:
    error = await faulted(run, "call-custom-function-inline")  # there is no pet 69 in the stand-in
    assert error["status"] == 404
    assert error["instance"] == "/use/functions/getPetById"


async def test_a_function_of_a_catalog_is_called_by_its_address(run: Any, internet: Internet) -> None:
    name = "call-custom-function-cataloged"
    resources = await pinned(internet, read(name))
    assert await completed(run, name, resources=resources) == "[information] Hello, world!"


async def test_a_service_is_called_where_the_condition_of_its_mock_does_not_hold(run: Any) -> None:
    answered = await completed(run, "mock-service-extension")  # see DEFECTS
    assert answered == {"method": "GET", "path": "/sample", "body": None}


@pytest.mark.parametrize("name", ["mock-service-extension"])
async def test_a_mocked_service_is_not_called(run: Any, name: str) -> None:
    meant = '$task.definition.with.endpoint.uri | startswith("https://mocked.service.com")'
    text = re.sub("when: .*", f"when: {meant}", read(name))
    mocked = {
        "statusCode": 200,
        "headers": {"Content-Type": "application/json"},
        "content": {"foo": {"bar": "baz"}},
    }
    for address in ("https://mocked.service.com/sample", "https://fake.com/sample"):
        ended = await run(text.replace("https://fake.com/sample", address))
        assert ended.status == "completed", ended.error
        assert (ended.output == mocked) == ("mocked" in address)


@pytest.mark.parametrize("name", ["call-http-query-parameters", "call-http-query-headers-expressions"])
async def test_the_query_of_a_call_is_made_of_its_input(run: Any, name: str, internet: Internet) -> None:
    found = await completed(run, name, {"searchQuery": "leia"})
    assert found == {"count": 1, "results": [LEIA]}
    assert sent_to(internet, "swapi.dev")[-1].target == "/api/people/?search=leia"


async def test_a_call_that_may_be_redirected_need_not_be(run: Any) -> None:
    found = await completed(run, "call-http-redirect", {"searchQuery": "l"})
    assert found == {"count": 2, "results": [LUKE, LEIA]}


async def test_the_input_of_a_search_is_checked(run: Any) -> None:
    error = await faulted(run, "call-http-redirect", {"query": "l"})
    assert (kind(error), error["instance"]) == ("validation", "/input")


async def test_what_one_call_exports_the_next_one_reads(run: Any) -> None:
    assert await completed(run, "star-wars-homeworld", {"id": 5}) == {"name": "Alderaan"}


@pytest.mark.parametrize("name", ["call-openapi", "call-openapi-redirect"])
async def test_an_operation_is_called_by_its_document(run: Any, name: str) -> None:
    found = await completed(run, name, resources=swagger("findPetsByStatus"))
    assert found == [pet for pet in PETS if pet["status"] == "available"]


@pytest.mark.parametrize("age", [17, 18])
async def test_the_conditional_task_guards_the_bet(run: Any, internet: Internet, age: int) -> None:
    given = {"customer": {"age": age}, "bet": {"on": "red"}}
    if age < 18:
        error = await faulted(run, "conditional-task", given)
        assert error["title"] == "Access Forbidden"
    else:
        placed = await completed(run, "conditional-task", given)
        assert placed["body"] == {"customer": ".customer", "bet": ".bet"}  # see DEFECTS


# --- events -------------------------------------------------------------------------------------------------


def vitals(name: str, id: str, **data: float) -> dict[str, Any]:
    return event(f"com.fake-hospital.vitals.measurements.{name}", id, data)


FEVER, NO_FEVER = vitals("temperature", "1", temperature=39), vitals("temperature", "2", temperature=37)
FAST, CALM = vitals("bpm", "3", bpm=120), vitals("bpm", "4", bpm=80)


async def test_emit_gives_the_event_that_it_published(run: Any) -> None:
    emitted = await completed(run, "emit")
    assert emitted["type"] == "com.petstore.order.placed.v1"
    assert emitted["data"]["items"] == [{"breed": "dalmatian", "quantity": 101}]
    assert {"id", "source", "time", "specversion"} <= emitted.keys()


async def test_listen_to_all_waits_for_one_event_of_each_filter(run: Any) -> None:
    found = await completed(run, "listen-to-all", events=[NO_FEVER, FAST, CALM, FEVER])
    assert found == [{"bpm": 120}, {"temperature": 39}]


async def test_listen_to_all_can_read_the_whole_event(run: Any) -> None:
    found = await completed(run, "listen-to-all-read-envelope", events=[FAST, FEVER])
    assert [each["type"] for each in found] == [FAST["type"], FEVER["type"]]
    assert [each["data"] for each in found] == [{"bpm": 120}, {"temperature": 39}]


async def test_listen_to_any_takes_the_first_event_that_fits(run: Any) -> None:
    assert await completed(run, "listen-to-any-filter", events=[NO_FEVER, CALM, FAST]) == [{"bpm": 120}]


async def test_listen_to_any_without_filters_takes_the_first_event_of_all(run: Any) -> None:
    assert await completed(run, "listen-to-any", events=[CALM, FAST]) == [{"bpm": 80}]


async def test_listen_until_a_condition_holds_of_what_came(run: Any) -> None:
    found = await completed(run, "listen-to-any-until-condition", events=[FEVER, NO_FEVER, FAST, CALM])
    assert len(found) == 4  # its comment says three, its expression four


async def test_listen_until_an_event_comes_leaves_that_event_out(run: Any) -> None:
    out = event("com.fake-hospital.patient.checked-out", "9", {"patient": 1})
    found = await completed(run, "listen-to-any-until-consumed", events=[FEVER, NO_FEVER, FAST, out])
    assert found == [{"temperature": 39}, {"bpm": 120}]


async def test_listening_for_ever_posts_each_event_as_it_comes(run: Any, internet: Internet) -> None:
    text = read("listen-to-any-forever-foreach").replace("until: '${ false }'", "until: '${ length == 2 }'")
    since = len(internet.servers["fake-chat-api.com"].requests)
    ended = await run(text, {"roomId": "r 1"}, events=[FEVER, FAST])
    assert ended.status == "completed", ended.error
    sent = sent_to(internet, "fake-chat-api.com", since)
    assert [(each.target, json.loads(each.body)) for each in sent] == [
        ("/room/r%201", {"event": {"temperature": 39}}),
        ("/room/r%201", {"event": {"bpm": 120}}),
    ]


async def test_listen_to_one_starts_the_race_of_no_car(run: Any) -> None:
    started = event("com.virtual-wf-powered-race.events.race.started.v1", "1", {"carId": "kitt"})
    found = await completed(run, "listen-to-one", {"carId": "kitt"}, events=[started])
    assert found["path"] == "/api/v4/cars//start"  # see DEFECTS


async def test_accumulated_readings_cannot_be_read_from_an_array(run: Any) -> None:
    sensor = {"source": "https://my.home.com/sensor", "roomid": "kitchen"}
    events = [
        {**event(f"my.home.sensors.{name}", name, {"reading": 1}), **sensor}
        for name in ("temperature", "humidity")
    ]
    uri = "http://myorg.io/ordersservices.json"
    resources = {
        f"{uri}#{operation}": {"uri": uri, "base": uri, "content": json.dumps(prune(ORDERS, operation))}
        for operation in ("logreading", "produceReport")
    }
    error = await faulted(run, "accumulate-room-readings", events=events, resources=resources)
    assert (kind(error), error["instance"]) == ("expression", "/do/0/consumeReading")  # see DEFECTS
    mended = read("accumulate-room-readings").replace("as: .data.reading", "as: '{readings: .}'")
    ended = await run(mended, events=events, resources=resources)
    assert (ended.status, ended.output) == ("completed", {"done": "/report"})


async def test_the_checkups_of_pets_are_waited_for(run: Any) -> None:
    done = [event("com.fake.petclinic.pets.checkup.completed.v2", str(number)) for number in (1, 2)]
    given = {"pets": [{"id": 1}, {"id": 2}], "vet": "dr"}
    error = await faulted(run, "for", given, events=done)
    assert (kind(error), error["instance"]) == ("expression", "/do/0/checkup/do/0/waitForCheckup")
    mended = read("for").replace("'.pets + [{ \"id\": $pet.id }]'", "'{vet: $input.vet, seen: $pet.id}'")
    ended = await run(mended, given, events=done)
    assert (ended.status, ended.output) == ("completed", {"vet": "dr", "seen": 2})


async def test_the_event_that_started_a_run_is_its_input(run: Any) -> None:
    trigger = event("io.serverlessworkflow.samples.events.trigger.v1", "1", {"n": 1})
    started = await completed(run, "set", events=[trigger])
    assert started["startEvent"] == trigger
    assert await completed(run, "set-expression", events=[trigger]) == trigger


async def test_a_low_heartbeat_calls_the_nurse(run: Any, internet: Internet) -> None:
    patient = {"id": 7, "name": "Ann", "room": {"number": 3}, "vitals": {"bpm": 20}}
    low = event(
        "com.example.hospital.events.patients.heartbeat.low", "1", {"patient": patient, "timestamp": 5}
    )
    called = await completed(run, "schedule-event-driven", events=[low])
    assert called["path"] == "/api/v1/notify"
    assert called["body"] | {"message": ""} == {
        "patientId": 7,
        "patientName": "Ann",
        "roomNumber": 3,
        "vitals": {"heartRate": 20, "timestamp": 5},
        "message": "",
    }


# --- messages -----------------------------------------------------------------------------------------------

LEO = {"userId": "leo", "contact": {"firstName": "Ann", "lastName": "B"}}
"""What the `$context` of these examples must be: it is the input where the document says so (A6, see DEFECTS)."""


def notification(id: str, first: str = "Ann") -> dict[str, Any]:
    data = {"from": {"firstName": first, "lastName": "B"}, "text": id}
    return event("notification", id, data, correlationid="leo")


def subscribing(name: str) -> tuple[str, dict[str, Any]]:
    """The example with the input as its context, and the operation of its document."""
    header = "  version: '0.1.0'\n"
    text = read(name).replace(header, header + "  metadata: {initialContext: input}\n", 1)
    document = """
        {asyncapi: 2.6.0, info: {title: chat, version: 1.0.0}, channels: {default:
          {subscribe: {operationId: getNotifications, message: {name: notification, payload: {type: object}}}}}}
    """
    pinned = catalog.describe_document(document).find(operation="getNotifications").to_json()
    uri = "https://fake.com/docs/asyncapi.json"
    return text, {f"{uri}#operation:getNotifications": pinned, f"{uri}#subscription:/notifications": pinned}


async def test_a_message_is_sent_to_the_server_that_the_call_names(run: Any, internet: Internet) -> None:
    document = """
        {asyncapi: 2.6.0, info: {title: pets, version: 1.0.0},
         servers: {staging: {url: 'https://fake.com/v1', protocol: https}}, channels: {pets/byStatus:
          {publish: {operationId: findPetsByStatus, message: {name: find, payload: {type: object}}}}}}
    """
    pinned = catalog.describe_document(document).find(operation="findPetsByStatus").to_json()
    resources = {"https://fake.com/docs/asyncapi.json#operation:findPetsByStatus": pinned}
    given = {"pet": {"id": 7}, "token": "of-the-input"}
    since = len(internet.servers["fake.com"].requests)
    assert await completed(run, "call-asyncapi-publish", given, resources=resources) == {"petId": 7}
    (sent,) = sent_to(internet, "fake.com", since)
    assert (sent.method, sent.target, json.loads(sent.body)) == ("POST", "/v1/pets/byStatus", {"petId": 7})
    assert sent.headers["Authorization"] == "Bearer of-the-input"


async def test_five_messages_come_over_a_socket(run: Any) -> None:
    text, resources = subscribing("call-asyncapi-subscribe-consume-amount")
    web = Web()
    for n in range(7):
        sender = {"firstName": "Ann" if n != 1 else "Bea", "lastName": "B"}
        web.give(json.dumps({"user": "leo", "from": sender, "text": str(n)}).encode())
    async with serve(web.app()) as server:
        for operation in resources.values():
            operation["channel"] = "/ws/notes"
            operation["messages"][0]["correlation_id"] = "$message.payload#/user"
            operation["servers"] = [
                {"name": "chat", "protocol": "ws", "host": server.address, "pathname": ""}
            ]
        ended = await run(text, LEO, resources=resources)
    assert ended.status == "completed", ended.error
    assert [message["payload"]["text"] for message in ended.output] == ["0", "2", "3", "4", "5"]


@pytest.mark.parametrize(("consumed", "expected"), [(5, ["1"]), (0, ["1", "3"])])
async def test_a_subscription_goes_on_while_its_condition_holds(
    run: Any, consumed: int, expected: Any
) -> None:
    text, resources = subscribing("call-asyncapi-subscribe-consume-while")
    events = [notification("1"), notification("2", "Bea"), notification("3")]
    # With nobody to count the messages in `$context` it would go on for ever.
    text = text.replace("consume:\n", "consume:\n            for: PT1S\n") if not consumed else text
    given = {**LEO, "consumedMessages": [0] * consumed}
    ended = await run(text, given, events=events, resources=resources)
    assert ended.status == "completed", ended.error
    assert [message["payload"]["text"] for message in ended.output] == expected


@pytest.mark.parametrize(("consumed", "expected"), [(5, []), (0, ["1"])])
async def test_a_subscription_goes_on_until_its_condition_holds(
    run: Any, consumed: int, expected: Any
) -> None:
    text, resources = subscribing("call-asyncapi-subscribe-consume-until")
    text = text.replace("minutes: 30", "seconds: 1")
    given = {**LEO, "consumedMessages": [0] * consumed}
    ended = await run(text, given, events=[notification("1")], resources=resources)
    assert ended.status == "completed", ended.error
    assert [message["payload"]["text"] for message in ended.output] == expected


async def test_a_subscription_for_ever_publishes_an_event_for_each_message(run: Any) -> None:
    text, resources = subscribing("call-asyncapi-subscribe-consume-forever-foreach")
    text = text.replace("while: '${ true }'", "for: PT1S\n            while: '${ true }'")
    ended = await run(text, LEO, events=[notification("1"), notification("2")], resources=resources)
    assert ended.status == "completed", ended.error
    assert [each["data"]["message"]["payload"]["text"] for each in ended.output] == ["1", "2"]
    assert {each["type"] for each in ended.output} == {
        "io.serverlessworkflow.samples.asyncapi.message.consumed.v1"
    }


# --- control ------------------------------------------------------------------------------------------------


async def test_the_faster_of_nurse_and_doctor_answers_the_alarm(run: Any) -> None:
    given = {"patient": {"fullName": "Ann B"}, "room": {"number": 12}}
    answered = await completed(run, "fork", given)
    assert answered["path"] in ("/api/v3/alert/nurses", "/api/v3/alert/doctor")
    assert answered["body"] == {"patientId": "Ann B", "room": 12}


async def test_a_loop_goes_over_an_inline_array(run: Any) -> None:
    found = await completed(run, "for-inline-array")
    assert [color["name"] for color in found["processed"]] == ["red", "green", "blue"]


@pytest.mark.parametrize("name", ["raise-inline", "raise-reusable"])
async def test_a_raised_error_says_whose_work_is_in_progress(run: Any, name: str) -> None:
    error = await faulted(run, name)
    header = dsl.parse(read(name)).data["document"]
    assert (error["title"], error["status"]) == ("Not Implemented", 500)
    assert f"'{header['name']}:{header['version']}' is a work in progress" in error["detail"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("electronic", {"validate": True, "status": "fulfilled"}),
        ("physical", {"inventory": "clear", "items": 1, "address": "Elmer St"}),
        ("other", {"log": "warn", "message": "something's wrong"}),
    ],
)
async def test_an_order_is_processed_by_its_type(run: Any, order: str, expected: Any) -> None:
    assert await completed(run, "switch-then-string", {"orderType": order}) == expected


@pytest.mark.parametrize("pet", [1, 9])
async def test_a_pet_that_is_not_there_is_caught(run: Any, pet: int) -> None:
    found = await completed(run, "try-catch", {"petId": pet})
    assert found == (PET if pet == 1 else {"petId": 9})


async def test_a_pet_that_is_not_there_is_told_to_support(run: Any) -> None:
    ended = await run(read("try-catch-then"), {"petId": 9})
    assert ended.status == "completed", ended.error
    assert ended.output == {"error": "$error"}  # see DEFECTS
    if ended.channels:
        (told,) = ended.channels["default"]
        assert told["type"] == "io.swagger.petstore.events.pets.not-found.v1"
        assert str(NOT_FOUND["message"]) in told["data"]["detail"]


@pytest.mark.parametrize("name", ["try-catch-retry-inline", "try-catch-retry-reusable"])
async def test_only_what_the_filter_takes_is_tried_again(run: Any, name: str) -> None:
    assert await completed(run, name, {"petId": 1}) == PET
    assert (await faulted(run, name, {"petId": 9}))["status"] == 404


@pytest.mark.parametrize("name", ["try-catch-retry-inline", "try-catch-retry-reusable"])
async def test_a_service_that_is_unavailable_is_tried_five_times_more(
    run: Any, internet: Internet, name: str
) -> None:
    text = read(name).replace(
        "https://petstore.swagger.io/v2/pet/{petId}", "https://external-service.example.com/pet"
    )
    text = text.replace("seconds: 3", "milliseconds: 1")
    since = len(internet.servers["external-service.example.com"].requests)
    ended = await run(text)
    assert ended.status == "faulted"
    assert ended.error["status"] == 503
    assert len(sent_to(internet, "external-service.example.com", since)) == 6


async def test_a_nightly_backup_is_started(run: Any) -> None:
    """By hand here, and by the clock in `tests.runtimes.test_schedules`."""
    called = await completed(run, "schedule-cron")
    assert (called["method"], called["path"]) == ("POST", "/api/v1/backup/start")


async def test_a_failure_is_recorded_where_the_catch_leads(run: Any) -> None:
    assert await completed(run, "try-catch-then-directive") == {"status": "failed"}


@pytest.mark.parametrize("name", ["wait-duration-inline", "wait-duration-iso8601"])
async def test_a_wait_hands_its_input_on(run: Any, name: str) -> None:
    short = read(name).replace("seconds: 30", "milliseconds: 30").replace("PT30S", "PT0.03S")
    ended = await run(short, {"n": 1})
    assert (ended.status, ended.output) == ("completed", {"n": 1})


async def test_a_sub_workflow_registers_the_customer(run: Any) -> None:
    child = workflow(
        "do: [{a: {set: {registered: '${ .customer }'}}}]",
        name="register-customer",
        version="0.1.0",
        namespace="test",
    )
    found = await completed(run, "run-subflow", {"user": "Ann"}, others=[child])
    assert found == {"registered": ".user"}  # see DEFECTS


async def test_a_shell_command_reads_its_input_and_its_arguments(run: Any) -> None:
    expected = "STDIN was: Hello World\nARGS are Foo Bar\n"
    assert await completed(run, "run-shell-stdin-and-arguments") == expected


@needs_node
async def test_a_script_of_javascript_reads_its_input_its_arguments_and_its_environment(run: Any) -> None:
    found = await completed(run, "run-script-with-stdin-and-arguments")
    assert found == "stdin >  Hello Workflow\narg >  hello\nenv >  bar\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run-container", "Hello from Docker!\n"),
        ("run-container-cleanup-always", "Hello from Docker!\n"),
        ("run-container-cleanup-eventually", "Hello from Docker!\n"),
        ("run-container-with-name", "Hello from Docker!\n"),
        ("run-container-stdin-and-arguments", "STDIN was: Hello World\nARGS are Foo Bar\n"),
        ("run-return-all", {"code": 0, "stdout": "Hello from Docker!\n", "stderr": "quietly\n"}),
        ("run-return-code", 0),
        ("run-return-none", None),
        ("run-return-stderr", "quietly\n"),
    ],
)
async def test_a_container_is_run_to_its_end(run: Any, engine: str, name: str, expected: Any) -> None:
    assert await completed(run, name) == expected
    if name == "run-container-with-name":  # see DEFECTS
        assert ask(engine, "DELETE", "/containers/hello-null-null-null?force=1")[0] < 300


async def test_an_image_is_pulled_though_it_is_there(run: Any, engine: str) -> None:
    ended = await run(read("run-container-with-pull-policy"))
    if ended.status == "faulted":  # where there is no way to the registry
        assert kind(ended.error) == "communication"


# --- all of them --------------------------------------------------------------------------------------------

NOT_YET: set[str] = set()
"""What the engine refuses until it can do it."""
IN_THEIR_OWN_MODULES = {"call-grpc", "call-mcp"}


def test_every_example_is_run_by_a_test() -> None:
    code = Path(__file__).read_text().partition("async def completed")[2]
    run = {file.stem for file in FILES if f'"{file.stem}"' in code}
    assert sorted({file.stem for file in FILES} - run - NOT_YET) == []


@pytest.mark.parametrize("file", FILES, ids=[file.stem for file in FILES])
def test_an_example_has_no_error(file: Path) -> None:
    found = dsl.check(dsl.parse(file.read_text(), name=file.name))
    assert (file.stem in NOT_YET) == any(problem.severity == "error" for problem in found), found
