"""``call: grpc`` against a real server: messages, streams, codes, TLS, authentication and bounds."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import grpc
import pytest
import trustme

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from tests.standins.certificates import ca_file
from tests.standins.greeter import Greeter, greeter, pinned
from tests.standins.issuer import APP_SECRET
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.calls.grpc_channel import reachable

call = CALLERS["grpc"]


@pytest.fixture
async def server():
    async with greeter() as running:
        yield running


async def ask(server: Greeter, egress: Egress, method: str, arguments=None, *, host="localhost", policy=None,
              tls=None, **changes):  # fmt: skip
    service = {"name": "GreeterApi.Greeter", "host": host, "port": server.port}
    if policy is not None:
        service["authentication"] = policy
    given = {"service": service, "method": method, "arguments": arguments}
    if tls is not None:
        given["$tls"] = tls
    context = make_context(egress, resources={"x": await pinned(method)}, **changes)
    return await call(given, context)


async def test_a_method_takes_a_message_and_gives_one(server, egress):
    answer = await ask(server, egress, "SayHello", {"name": "Ada"})
    assert answer["message"] == "Hello, Ada!"
    assert server.last[1]["idempotency-key"] == "run-1/do/0/call/0"
    assert server.last[1]["user-agent"].startswith("wfe/")


async def test_arguments_that_are_not_given_make_an_empty_message(server, egress):
    assert (await ask(server, egress, "SayHello"))["message"] == "Hello, !"


async def test_a_stream_of_the_server_is_an_array_of_messages(server, egress):
    answer = await ask(server, egress, "Count", {"upTo": 3})
    assert [item["message"] for item in answer] == ["0", "1", "2"]
    assert await ask(server, egress, "Count", {"upTo": 0}) == []


async def test_an_array_of_arguments_is_the_stream_of_the_client(server, egress):
    names = [{"name": "Ada"}, {"name": "Grace"}]
    assert (await ask(server, egress, "Collect", names))["message"] == "Ada,Grace"
    assert [item["message"] for item in await ask(server, egress, "Chat", names)] == [
        "Hello, Ada!",
        "Hello, Grace!",
    ]


async def test_one_object_is_a_stream_of_one_message_and_nothing_is_an_empty_one(server, egress):
    assert (await ask(server, egress, "Collect", {"name": "Ada"}))["message"] == "Ada"
    assert (await ask(server, egress, "Collect"))["message"] == ""
    assert await ask(server, egress, "Chat", []) == []


EVERYTHING = {
    "displayName": "x",
    "big": "9007199254740993",
    "small": 7,
    "ratio": 0.5,
    "flag": True,
    "data": "AAEC",
    "color": "RED",
    "children": [],
    "counts": {"a": "1"},
    "maybe": 0,
    "number": 3,
    "at": "2026-01-31T12:00:00Z",
    "lasts": "1.500s",
    "free": {"a": [1.0, None, {"b": "c"}]},
    "boxed": "9007199254740993",
    "anything": {"@type": "type.googleapis.com/GreeterApi.HelloRequest", "name": "Ada"},
    "mask": "a,bC",
    "named": {},
    "nothings": [],
}


async def test_json_is_mapped_as_protocol_buffers_define_it(server, egress):
    assert await ask(server, egress, "Echo", EVERYTHING) == EVERYTHING


async def test_what_is_not_set_comes_with_its_default_unless_a_message_tells_it_apart(server, egress):
    assert await ask(server, egress, "Echo", {}) == {
        "displayName": "",
        "big": "0",
        "small": 0,
        "ratio": 0.0,
        "flag": False,
        "data": "",
        "color": "NONE",
        "children": [],
        "counts": {},
        "named": {},
        "nothings": [],
    }


async def test_original_names_numbers_for_text_and_null_are_understood(server, egress):
    answer = await ask(
        server, egress, "Echo", {"display_name": "x", "big": 12, "color": 1, "maybe": None, "at": None}
    )
    assert (answer["displayName"], answer["big"], answer["color"]) == ("x", "12", "RED")
    assert "maybe" not in answer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"nam": 1}, "arguments/nam: GreeterApi.Everything has no such field; did you mean 'named'?"),
        ({"children": [{}, {"oops": 1}]}, "arguments/children/1/oops: GreeterApi.Everything has no such field"),
        ({"named": {"a": {"oops": 1}}}, "arguments/named/a/oops: "),
        ({"children": {}}, "arguments/children: it must be an array, not an object"),
        ({"children": [{"big": "x"}]}, "arguments/children/0/big: "),
        ({"counts": {"a": "x"}}, "arguments/counts/a: "),
        ({"color": "GREEN"}, "arguments/color: Invalid enum value GREEN"),
        ({"big": 1.5}, "arguments/big: "),
        ({"big": 2**63}, "arguments/big: "),
        ({"flag": "yes"}, "arguments/flag: "),
        ({"displayName": 3}, "arguments/displayName: "),
        ({"at": "yesterday"}, "arguments/at: "),
        ({"anything": {"@type": "type.googleapis.com/none.Such"}}, "arguments/anything: "),
        ({"text": "a", "number": 1}, "arguments: "),
        ("text", "arguments must be an object, not a string"),
        ([], "arguments must be an object, not an array"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_the_message_is_refused_with_its_place(server, egress, arguments, said):
    detail = await fault_of(ask(server, egress, "Echo", arguments), "validation", 400)
    assert said in detail
    assert server.calls == []


async def test_of_a_stream_the_message_that_does_not_fit_is_named(server, egress):
    detail = await fault_of(ask(server, egress, "Collect", [{}, {"nme": 1}]), "validation", 400)
    assert detail.startswith("arguments/1/nme: ")


@pytest.mark.parametrize(
    ("code", "name", "status"),
    [
        (3, "INVALID_ARGUMENT", 400),
        (4, "DEADLINE_EXCEEDED", 504),
        (5, "NOT_FOUND", 404),
        (6, "ALREADY_EXISTS", 409),
        (7, "PERMISSION_DENIED", 403),
        (8, "RESOURCE_EXHAUSTED", 429),
        (12, "UNIMPLEMENTED", 501),
        (13, "INTERNAL", 500),
        (14, "UNAVAILABLE", 503),
        (16, "UNAUTHENTICATED", 401),
    ],
)
async def test_a52_a59_a_code_is_a_communication_fault_with_the_status_that_goes_with_it(
    server, egress, code, name, status
):
    detail = await fault_of(
        ask(server, egress, "Fail", {"code": code, "message": "it is\nso"}), "communication", status
    )
    assert detail == f"grpc://localhost:{server.port}/GreeterApi.Greeter/Fail: {name}: it is so"


async def test_what_a_server_says_of_a_failure_is_bounded_and_has_no_secrets(server, egress):
    arguments = {"code": 5, "message": "s3cret " + "x" * 3000}
    asked = ask(server, egress, "Fail", arguments, redact=lambda text: text.replace("s3cret", "[hidden]"))
    detail = await fault_of(asked, "communication", 404)
    assert "[hidden]" in detail
    assert len(detail) < 700


async def test_a_call_without_an_answer_ends_with_its_deadline(server, egress):
    asked = ask(server, egress, "Fail", {"code": 5, "pauseMs": 60_000}, timeout=0.3)
    detail = await fault_of(asked, "communication", 504)
    assert "no complete answer within 0.3 seconds" in detail


async def test_a_stream_without_end_ends_with_its_deadline(server, egress):
    asked = ask(server, egress, "Count", {"upTo": 1_000_000, "pauseMs": 50}, timeout=0.4)
    assert "no complete answer" in await fault_of(asked, "communication", 504)


async def test_a_call_that_is_cancelled_is_cancelled_at_the_server(server, egress):
    asked = asyncio.create_task(ask(server, egress, "Fail", {"code": 5, "pauseMs": 60_000}))
    await server.called.wait()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await server.cancelled.wait()


async def test_a_server_that_is_not_there_is_a_communication_fault(egress):
    nobody = Greeter(port=1)
    detail = await fault_of(ask(nobody, egress, "SayHello"), "communication", 503)
    assert detail.startswith("grpc://localhost:1/GreeterApi.Greeter/SayHello: UNAVAILABLE: ")
    assert "refused" in detail


@pytest.mark.parametrize("method", ["Count", "Collect", "Chat"])
async def test_a_stream_to_a_server_that_is_not_there_is_a_communication_fault_too(egress, method):
    arguments = {} if method == "Count" else [{"name": "Ada"}] * 3
    detail = await fault_of(ask(Greeter(port=1), egress, method, arguments), "communication", 503)
    assert "UNAVAILABLE" in detail


async def test_a_server_that_ends_a_stream_before_it_has_all_messages_ends_the_call(server, egress):
    """Why, is not always told: the library may find that it cannot send before it has read the answer."""
    server.token = "expected"
    detail = await fault_of(ask(server, egress, "Chat", [{"name": "Ada"}] * 5000), "communication")
    assert "UNAUTHENTICATED: who are you?" in detail or "ended the call before" in detail


# --- bounds ---------------------------------------------------------------------------------------------------


async def test_a_message_over_the_limit_is_cut_off(server):
    async with Egress(max_response=10_000) as egress:
        asked = ask(server, egress, "Count", {"upTo": 1, "size": 20_000})
        assert "larger than max" in await fault_of(asked, "communication", 429)


async def test_a_stream_over_the_limit_is_cut_off(server):
    async with Egress(max_response=10_000) as egress:
        asked = ask(server, egress, "Count", {"upTo": 1_000_000, "size": 1000})
        assert "larger than 10000 bytes" in await fault_of(asked, "communication", 500)


async def test_a_message_that_is_small_only_while_it_is_compressed_is_cut_off():
    async with greeter(compression=grpc.Compression.Gzip) as server, Egress(max_response=100_000) as egress:
        answer = await ask(server, egress, "Count", {"upTo": 1, "size": 90_000})
        assert len(answer[0]["message"]) == 90_001
        asked = ask(server, egress, "Count", {"upTo": 1, "size": 5_000_000})
        assert "larger than max" in await fault_of(asked, "communication", 429)


async def test_a_message_of_many_values_is_refused_before_it_is_built(server, egress):
    asked = ask(server, egress, "Echo", {"children": [{}] * 60_000}, timeout=60)
    assert "more than 1,000,000 values" in await fault_of(asked, "communication", 500)


async def test_a_message_that_is_larger_as_json_than_on_the_wire_is_bounded_too(server):
    async with Egress(max_response=20_000) as egress:
        asked = ask(server, egress, "Echo", {"children": [{}] * 200})
        assert "larger than 20000 bytes" in await fault_of(asked, "communication", 500)


async def test_a_stream_of_too_many_messages_is_refused_before_it_is_sent(server, egress):
    asked = ask(server, egress, "Collect", [{}] * 10_001)
    assert "more than 10,000 messages" in await fault_of(asked, "validation", 400)


@pytest.mark.parametrize("damage", [{"descriptors": "%"}, {"descriptors": "AAEC"}, {"method": "Nope"}, {}])
async def test_a_bundle_that_is_damaged_is_a_configuration_fault(egress, damage):
    resource = {**await pinned("SayHello"), **damage} if damage else {}
    context = make_context(egress, resources={"x": resource})
    asked = call({"service": {"name": "x", "host": "localhost", "port": 1}, "method": "SayHello"}, context)
    assert "damaged" in await fault_of(asked, "configuration", 400)


# --- TLS and whom to reach ------------------------------------------------------------------------------------


@pytest.fixture
async def secure():
    ca = trustme.CA()
    async with greeter(tls=ca, names=("greeter.example",)) as running:
        with ca_file(ca) as path:
            yield running, path


def to(server: Greeter, **options):
    there = {f"greeter.example:{server.port}": f"127.0.0.1:{server.port}"}
    return Egress(connect_to=there, **options)


async def test_any_host_but_the_machine_itself_is_called_with_tls(secure):
    server, path = secure
    async with to(server, ca_file=path) as egress:
        answer = await ask(server, egress, "SayHello", {"name": "Ada"}, host="greeter.example")
    assert answer["message"] == "Hello, Ada!"


async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(secure):
    server, _ = secure
    async with to(server) as egress:
        detail = await fault_of(ask(server, egress, "SayHello", host="greeter.example"), "communication", 503)
    assert "metadata: {tls: false}" in detail
    assert server.calls == []


async def test_a_server_with_tls_is_not_reached_without(secure, egress):
    server, _ = secure
    detail = await fault_of(ask(server, egress, "SayHello"), "communication", 503)
    assert "metadata: {tls: true}" in detail


async def test_a_certificate_for_another_host_is_not_accepted(secure):
    server, path = secure
    there = {f"other.example:{server.port}": f"127.0.0.1:{server.port}"}
    async with Egress(connect_to=there, ca_file=path) as egress:
        await fault_of(ask(server, egress, "SayHello", host="other.example"), "communication", 503)
    assert server.calls == []


async def test_the_task_or_the_operator_says_which_host_is_called_without_tls(server):
    async with to(server) as egress:
        answer = await ask(server, egress, "SayHello", {"name": "Ada"}, host="greeter.example", tls=False)
        assert answer["message"] == "Hello, Ada!"
    async with to(server, plaintext_hosts=("*.example",)) as egress:
        answer = await ask(server, egress, "SayHello", {"name": "Ada"}, host="greeter.example")
        assert answer["message"] == "Hello, Ada!"
        await fault_of(
            ask(server, egress, "SayHello", host="greeter.example", tls=True), "communication", 503
        )


@pytest.mark.parametrize(
    ("options", "host", "setting"),
    [
        ({"allowed_hosts": ("other.example",)}, "localhost", "WFE_ALLOWED_HOSTS"),
        ({"allow_private": False}, "localhost", "WFE_ALLOW_PRIVATE"),
        ({"allow_private": False}, "127.0.0.1", "WFE_ALLOW_PRIVATE"),
        ({}, "169.254.169.254", "WFE_ALLOW_LINK_LOCAL"),
    ],
)
async def test_a_host_that_calls_may_not_reach_is_refused(server, options, host, setting):
    async with Egress(**options) as egress:
        detail = await fault_of(ask(server, egress, "SayHello", host=host), "authorization", 403)
    assert setting in detail
    assert server.calls == []


async def test_a_name_that_does_not_resolve_is_a_communication_fault(server, egress):
    detail = await fault_of(ask(server, egress, "SayHello", host="nobody.invalid"), "communication", 500)
    assert "'nobody.invalid' cannot be resolved" in detail


async def test_of_the_addresses_of_a_host_one_that_answers_is_called(server):
    here = ("127.0.0.1", server.port)
    for other in ("::1", "2001:db8::1"):  # one refuses, one never answers
        assert await reachable([(other, server.port), here]) == [here]
    assert await reachable([("127.0.0.1", 1), ("127.0.0.2", 1)]) == [("127.0.0.1", 1), ("127.0.0.2", 1)]
    assert await reachable([("::1", 1), ("127.0.0.1", 1)]) == [("127.0.0.1", 1)]


# --- who is calling -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "sent"),
    [
        ({"basic": {"username": "ada", "password": "lovelace"}}, "Basic YWRhOmxvdmVsYWNl"),
        ({"bearer": {"token": "t0ken"}}, "Bearer t0ken"),
    ],
)
async def test_credentials_are_sent_as_metadata(server, egress, policy, sent):
    answer = await ask(server, egress, "SayHello", policy=policy)
    assert answer["metadata"]["authorization"] == sent


async def test_a_server_that_repeats_credentials_gives_nothing_away(server, egress):
    for policy, sent in (
        ({"bearer": {"token": "t0ken-0f-ada"}}, "t0ken-0f-ada"),
        ({"basic": {"username": "ada", "password": "lovelace"}}, "YWRhOmxvdmVsYWNl"),
    ):
        asked = ask(server, egress, "Fail", {"code": 16, "message": f"not {sent}!"}, policy=policy)
        detail = await fault_of(asked, "communication", 401)
        assert sent not in detail
        assert "UNAUTHENTICATED: not [redacted]!" in detail


async def test_digest_is_refused_for_it_needs_http(server, egress):
    policy = {"digest": {"username": "a", "password": "b"}}
    assert "digest" in await fault_of(ask(server, egress, "SayHello", policy=policy), "configuration", 400)


async def test_an_oauth2_token_is_sent_and_a_refused_one_replaced_once(server, internet):
    policy = {
        "oauth2": {
            "authority": "https://issuer.example",
            "grant": "client_credentials",
            "client": {"id": "app", "secret": APP_SECRET},
        }
    }
    async with Egress(**internet.egress) as egress:
        first = (await ask(server, egress, "SayHello", policy=policy))["metadata"]["authorization"]
        again = (await ask(server, egress, "SayHello", policy=policy))["metadata"]["authorization"]
        assert first.startswith("Bearer ")
        assert again == first
        server.token = "another"
        await fault_of(ask(server, egress, "SayHello", policy=policy), "communication", 401)
    assert server.last[1]["authorization"] not in (first, "Bearer another")
    assert len(server.calls) == 4


def test_a_worker_needs_no_compiler():
    resource = asyncio.run(pinned("SayHello"))
    code = f"""
import asyncio, sys
sys.modules["grpc_tools"] = None  # it cannot be imported
from tests.calls.conftest import make_context
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.errors import Fault
async def main():
    async with Egress() as egress:
        context = make_context(egress, resources={{"x": {resource!r}}})
        service = {{"name": "GreeterApi.Greeter", "host": "localhost", "port": 1}}
        try:
            await CALLERS["grpc"]({{"service": service, "method": "SayHello"}}, context)
        except Fault as fault:
            print(fault.error.status)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "503"
