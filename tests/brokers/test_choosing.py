"""Which server a call goes to, by which protocol, and what is refused before anything is sent."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.bridge import sent
from tests.brokers.documents import BASE, asyncapi, pinned
from tests.calls.faults import fault_of
from tests.semantics.v1.documents import problems
from workflow_engine.calls.brokers.direct import PACKAGES, subscribed
from workflow_engine.calls.brokers.server import Server, choose
from workflow_engine.errors import Fault

SERVERS = {
    "events": {"host": "broker.example", "protocol": "kafka"},
    "web": {
        "host": "{region}.example:{port}",
        "pathname": "/{version}",
        "protocol": "https",
        "variables": {
            "region": {"enum": ["eu", "us"], "default": "eu"},
            "port": {"default": "8443"},
            "version": {},
        },
    },
    "old": {"host": "mqtt.example", "protocol": "mqtt", "protocolVersion": "3.1.1"},
    "new": {"host": "mqtt.example:1884", "protocol": "secure-mqtt", "protocolVersion": "5.0"},
    "several": {"host": "a.example:1,[::1]:2", "protocol": "kafka-secure"},
    "other": {"host": "x.example", "protocol": "redis"},
    "odd": {"host": "user:secret@x.example", "protocol": "nats"},
}


@pytest.fixture(scope="module")
def operation() -> Any:
    document = asyncapi("nats", "localhost")
    document["servers"] = SERVERS
    return pinned(document)[f"{BASE}#note"]


def chosen(operation: Any, name: str | None, protocol: str | None = None, **variables: Any) -> Server:
    wanted = None if name is None else {"name": name, "variables": variables}
    return choose(operation, wanted, protocol)


@pytest.mark.parametrize(
    ("name", "protocol", "expected"),
    [
        ("events", None, ("kafka", False, (("broker.example", 9092),))),
        ("several", "kafka", ("kafka", True, (("a.example", 1), ("::1", 2)))),
        ("old", None, ("mqtt", False, (("mqtt.example", 1883),))),
        (None, "mqtt", ("mqtt", False, (("mqtt.example", 1883),))),
        (None, "mqtt5", ("mqtt", True, (("mqtt.example", 1884),))),
        (None, "kafka", ("kafka", False, (("broker.example", 9092),))),
    ],
)
def test_a_server_is_chosen_by_its_name_or_its_protocol(
    operation: Any, name: str | None, protocol: str | None, expected: Any
) -> None:
    server = chosen(operation, name, protocol)
    assert (server.protocol, server.secure, server.hosts) == expected


def test_variables_of_a_server_are_as_given_or_their_defaults(operation: Any) -> None:
    server = chosen(operation, "web", version="v1")
    assert (server.hosts, server.path) == ((("eu.example", 8443),), "/v1")
    assert chosen(operation, "web", version=2, region="us").hosts == (("us.example", 8443),)


@pytest.mark.parametrize(
    ("name", "protocol", "variables", "words"),
    [
        ("nope", None, {}, "it has events (kafka), web (https)"),
        ("events", "nats", {}, "does not speak"),
        (None, "amqp", {}, "no server"),
        ("other", None, {}, "'redis'"),
        ("odd", None, {}, "`authentication`"),
        ("web", None, {}, "'version' has no value"),
        ("web", None, {"version": "1", "region": "mars"}, "'mars' is not allowed"),
        ("web", None, {"version": "1", "port": "x/y"}, "is not a host"),
    ],
)
def test_what_cannot_be_chosen_is_a_configuration_fault(
    operation: Any, name: str | None, protocol: str | None, variables: Any, words: str
) -> None:
    with pytest.raises(Fault) as caught:
        chosen(operation, name, protocol, **variables)
    assert caught.value.error.type.endswith("/configuration")
    assert words in str(caught.value.error.detail)


@pytest.mark.parametrize(("protocol", "expected"), [("mqtt", "a/+/c"), ("nats", "a/*/c"), ("kafka", None)])
def test_a_parameter_without_a_default_is_a_wildcard_where_there_are_any(
    protocol: str, expected: Any
) -> None:
    document = asyncapi(protocol, "h", address="a/{b}/c", channel={"parameters": {"b": {}}})
    operation = pinned(document)[f"{BASE}#noted"]
    server = choose(operation, {"name": "here"}, None)
    if expected is None:
        with pytest.raises(Fault, match="nothing says which 'b'"):
            subscribed(operation, server)
    else:
        assert subscribed(operation, server) == expected


PROTOCOLS = ["http", "ws", "nats", "mqtt", "amqp", "kafka"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("host", ["169.254.169.254", "elsewhere.example"])
async def test_hosts_that_may_not_be_called_are_refused_whatever_the_protocol(
    protocol: str, host: str
) -> None:
    operation = pinned(asyncapi(protocol, host))[f"{BASE}#note"]
    allowed = {"allowed_hosts": ["here.example"]} if host == "elsewhere.example" else {}
    detail = await fault_of(sent(operation, {"n": 1}, **allowed), "authorization", 403)
    assert "WFE_ALLOW" in detail


@pytest.mark.parametrize("protocol", PACKAGES)
async def test_a_library_that_is_not_there_is_named(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    operation = pinned(asyncapi(protocol, "127.0.0.1"))[f"{BASE}#note"]
    detail = await fault_of(sent(operation, {"n": 1}), "configuration", 400)
    assert f"install serverless-workflow-engine[{protocol}]" in detail


def test_every_library_is_installed_by_the_extra_of_its_protocol() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert set(PACKAGES) <= set(project["optional-dependencies"])


async def test_digest_is_for_http_alone() -> None:
    operation = pinned(asyncapi("nats", "127.0.0.1"))[f"{BASE}#note"]
    policy = {"digest": {"username": "u", "password": "p"}}
    given = {"server": {"name": "here"}, "authentication": policy}
    assert "digest" in await fault_of(sent(operation, {"n": 1}, arguments=given), "configuration", 400)


@pytest.mark.parametrize("protocol", ["redis", "jms", "amqp1", "mercure", "solace"])
def test_a_protocol_that_calls_do_not_speak_is_refused_when_the_document_is_loaded(protocol: str) -> None:
    with_ = f"operation: 'file://a.yaml#b', protocol: {protocol}"
    (found,) = problems(f"do: [{{a: {{call: asyncapi, with: {{{with_}}}}}}}]")
    assert (found.code, found.pointer) == ("unsupported", "/do/0/a/with/protocol")
    assert "event router" in found.message
