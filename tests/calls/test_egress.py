from __future__ import annotations

from ipaddress import ip_address

import pytest

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from workflow_engine.calls import CALLERS, Egress
from workflow_engine.calls.addresses import AddressPolicy, literal_address
from workflow_engine.errors import Fault

call = CALLERS["http"]


def get(uri: str, **more):
    return {"method": "get", "endpoint": uri, **more}


METADATA = [
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://169.254.169.254./",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[::ffff:0:169.254.169.254]/",
    "http://[2002:a9fe:a9fe::1]/",
    "http://[::169.254.169.254]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://100.100.100.200/",
    "http://METADATA.google.internal./computeMetadata/v1/",
]


@pytest.mark.parametrize("uri", METADATA)
async def test_cloud_metadata_is_refused_in_every_notation(context, uri):
    detail = await fault_of(call(get(uri), context), "authorization", 403)
    assert "WFE_ALLOW_LINK_LOCAL" in detail


@pytest.mark.parametrize("uri", ["http://0.0.0.0/", "http://0/", "http://[::]/", "http://0.1.2.3/"])
async def test_an_unspecified_address_is_refused(context, uri):
    assert "unspecified" in await fault_of(call(get(uri), context), "authorization", 403)


@pytest.mark.parametrize("uri", ["http://224.0.0.1/", "http://[ff02::1]/", "http://3758096385/"])
async def test_a_multicast_address_is_refused(context, uri):
    assert "multicast" in await fault_of(call(get(uri), context), "authorization", 403)


async def test_loopback_is_reached_in_every_notation_by_default(bin_server, context):
    for host in ("127.0.0.1", "0x7f.1", "2130706433", "127.1", "localhost"):
        answer = await call(get(f"http://{host}:{bin_server.port}/get"), context)
        assert answer["method"] == "GET"


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "0x7f.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.1.2.3",
        "192.168.1.1",
        "[fd12::1]",
    ],
)
async def test_private_addresses_are_refused_where_the_setting_says_so(host):
    async with Egress(allow_private=False) as egress:
        detail = await fault_of(call(get(f"http://{host}/"), make_context(egress)), "authorization", 403)
    assert "WFE_ALLOW_PRIVATE" in detail


async def test_a_name_is_refused_for_the_address_it_resolves_to(bin_server):
    async with Egress(allow_private=False) as egress:
        uri = f"http://localhost:{bin_server.port}/get"
        detail = await fault_of(call(get(uri), make_context(egress)), "authorization", 403)
    assert "'localhost'" in detail
    assert "WFE_ALLOW_PRIVATE" in detail
    assert bin_server.requests == []


async def test_each_hop_of_a_redirect_is_checked(bin_server, context):
    for target in ("http://169.254.169.254/", "http://2852039166/", "http://metadata.google.internal/"):
        uri = f"{bin_server.url}/redirect-to?url={target}"
        await fault_of(call(get(uri, redirect=True), context), "authorization", 403)


async def test_a_redirect_to_a_name_that_is_not_allowed_is_refused(bin_server):
    async with Egress(allowed_hosts=["127.0.0.1"]) as egress:
        context = make_context(egress)
        uri = f"{bin_server.url}/redirect-to?url=http://localhost:{bin_server.port}/get"
        detail = await fault_of(call(get(uri, redirect=True), context), "authorization", 403)
    assert "WFE_ALLOWED_HOSTS" in detail


async def test_a_host_header_cannot_name_a_host_that_is_not_allowed(bin_server):
    async with Egress(allowed_hosts=["127.0.0.1"]) as egress:
        context = make_context(egress)
        for host in ("other.example", "other.example:80"):
            arguments = get(f"{bin_server.url}/get", headers={"Host": host})
            await fault_of(call(arguments, context), "authorization", 403)
        await call(get(f"{bin_server.url}/get", headers={"Host": "127.0.0.1:80"}), context)


@pytest.mark.parametrize(
    ("rule", "host", "allowed"),
    [
        ("api.example.com", "API.example.com.", True),
        ("api.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "badexample.com", False),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_allowed_hosts_are_exact_or_everything_below_a_name(rule, host, allowed):
    policy = AddressPolicy(allowed_hosts=(rule,))
    if allowed:
        policy.check_host(host)
    else:
        with pytest.raises(Fault):
            policy.check_host(host)


def test_link_local_addresses_can_be_allowed():
    policy = AddressPolicy(allow_link_local=True)
    assert policy.refusal(ip_address("169.254.169.254")) is None
    policy.check_host("metadata.google.internal")


@pytest.mark.parametrize("host", ["example.com", "1.2.3.4.5", "0xzz", "", "a.1"])
def test_a_name_is_not_an_address(host):
    assert literal_address(host) is None


async def test_connect_to_replaces_where_to_connect_but_not_the_name(internet):
    async with Egress(**internet.egress, allow_private=False) as egress:
        answer = await call(get("https://httpbin.org/headers"), make_context(egress))
    assert answer["headers"]["Host"] == "httpbin.org"


async def test_connect_to_still_verifies_the_original_name(internet):
    connect_to = {"petstore.swagger.io:443": internet.httpbin.address}
    async with Egress(connect_to=connect_to, ca_file=internet.ca_file) as egress:
        uri = "https://petstore.swagger.io/v2/pet/1"
        detail = await fault_of(call(get(uri), make_context(egress)), "communication", 500)
    assert "TLS" in detail


@pytest.mark.parametrize("connect_to", [{"a": "b:1"}, {"a:1": "b"}, {"a:x": "b:1"}, {"127.0.0.1:80": "b:1"}])
def test_a_connect_to_that_is_not_host_and_port_is_refused(connect_to):
    with pytest.raises(ValueError, match="connect_to"):
        Egress(connect_to=connect_to)


async def test_an_egress_outside_of_its_context_is_a_bug_that_says_so():
    with pytest.raises(RuntimeError, match="async with"):
        await call(get("http://localhost/"), make_context(Egress()))


async def test_proxies_of_the_environment_are_not_used(bin_server, context, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    assert (await call(get(f"{bin_server.url}/get"), context))["method"] == "GET"
