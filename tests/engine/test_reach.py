"""What the workflows of a namespace may not use is refused when they are deployed, where that can be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import catalog
from workflow_engine.calls import Egress
from workflow_engine.calls.reach import Reaches, host_in, open_reach
from workflow_engine.calls.reaching import Reaching
from workflow_engine.calls.resolution import Resolution
from workflow_engine.calls.secrets import GivenSecrets
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.queues import Queues
from workflow_engine.engine.stores.memory import MemoryDefinitions
from workflow_engine.errors import InvalidDocument, NotFound, Rejected
from workflow_engine.runtimes.temporal.connection import connect
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime

RULES = """
- {namespaces: [shop], hosts: ['*.shop.example'], secrets: ['shop-*'], processes: [script], queues: [own]}
- {namespaces: ['*'], hosts: [common.example, '127.0.0.1']}
- {channels: ['shop/*'], hosts: [hooks.example], secrets: [hook]}
- {namespaces: [root], channels: [root], hosts: '*', secrets: '*', processes: '*', queues: '*'}
"""
TEXT = """
document: {dsl: '1.0.3', namespace: shop, name: reaching, version: '1.0.0'}
use: {secrets: [shop-key, bank]}
do:
  - fine: {call: http, with: {method: get, endpoint: 'https://a.shop.example/x'}}
  - too: {call: http, with: {method: get, endpoint: {uri: 'https://common.example/{id}'}}}
  - later: {call: http, with: {method: get, endpoint: '${ .url }'}}
  - no: {call: http, with: {method: get, endpoint: 'https://bank.example:8443/x'}}
  - tokens:
      call: http
      with:
        method: get
        endpoint:
          uri: https://a.shop.example/
          authentication: {oauth2: {authority: 'https://login.example', grant: client_credentials, client: {id: a}}}
  - rpc: {call: grpc, with: {proto: {endpoint: 'file://a.proto'}, service: {name: a.B, host: g.example}, method: c}}
  - tool: {call: mcp, with: {method: tools/list, transport: {http: {endpoint: 'https://m.example'}}}}
  - script: {run: {script: {language: js, code: '1'}}}
  - shell: {run: {shell: {command: ls}}}
  - ask: {call: activity, with: {type: a, taskQueue: theirs}}
"""
EXPECTED = {
    ("secret-not-allowed", "/use/secrets/1"),
    ("host-not-allowed", "/do/3/no"),
    ("host-not-allowed", "/do/4/tokens"),
    ("host-not-allowed", "/do/5/rpc"),
    ("host-not-allowed", "/do/6/tool"),
    ("process-not-allowed", "/do/8/shell"),
    ("activity-not-allowed", "/do/9/ask"),
}


@pytest.fixture
def reaches(tmp_path: Path) -> Reaches:
    (tmp_path / "reach.yaml").write_text(RULES)
    return open_reach(tmp_path / "reach.yaml")


async def engine(reaches: Reaches, egress: Egress, secrets: dict[str, Any]) -> Engine:
    client = await connect("127.0.0.1:1", "default", lazy=True)
    specs = catalog.Catalog(await catalog.open_store("memory:"))
    resolution = Resolution(specs, egress, secrets=GivenSecrets(secrets))
    return Engine(
        MemoryDefinitions(),
        TemporalRuntime(client, "nobody"),
        resolve=resolution,
        queues=Queues(None, "nobody"),
        bounds=Reaching(reaches, resolution),
    )


async def test_everything_that_can_be_seen_is_a_problem_where_it_stands(reaches: Reaches) -> None:
    async with Egress() as egress:
        made = await engine(reaches, egress, {})
        for attempt in (made.deploy, lambda text: made.run_once(text, {})):
            with pytest.raises(InvalidDocument) as caught:
                await attempt(TEXT)
            found = caught.value.problems
            assert {(problem.code, problem.pointer) for problem in found} == EXPECTED
            assert all("WFE_REACH" in problem.message and problem.line for problem in found)
        with pytest.raises(NotFound):
            await made.definition("shop", "reaching")


async def test_what_a_namespace_has_is_what_its_rules_give_together(reaches: Reaches) -> None:
    shop, other, root = (reaches.of_namespace(name) for name in ("shop", "other", "root"))
    assert [shop.host(name) is None for name in ("a.shop.example", "shop.example", "Common.Example.")] == [
        True,
        False,
        True,
    ]
    assert (other.secret("shop-key"), other.started(frozenset({"script"}))) == (
        "namespace 'other' may not use it (WFE_REACH)",
        frozenset(),
    )
    assert root.host("anything.example") is None
    assert root.secret("anything") is None
    assert reaches.of_channel("shop/orders").secret("hook") is None
    assert reaches.of_channel("default").secret("hook") is not None  # what nobody names has nothing
    assert reaches.of_source("/shop/a/1.0.0") == shop


async def test_a_document_is_not_fetched_for_whom_its_host_is_not(reaches: Reaches) -> None:
    """Nor is a secret used for that: the address may be of somebody who waits for it."""
    text = """
document: {dsl: '1.0.3', namespace: %s, name: fetching, version: '1.0.0'}
use: {secrets: [shop-key]}
do:
  - a:
      call: openapi
      with:
        document: {endpoint: {uri: 'http://127.0.0.1:1/a.json', authentication: {bearer: {use: shop-key}}}}
        operationId: b
"""
    async with Egress() as egress:
        made = await engine(reaches, egress, {"shop-key": "s3cr3t"})
        with pytest.raises(InvalidDocument, match="secret-not-allowed"):
            await made.deploy(text % "other")
        with pytest.raises(InvalidDocument, match=r"Connect|cannot be reached|refused") as tried:
            await made.deploy(text % "shop")
        assert "WFE_REACH" not in str(tried.value)
        with pytest.raises(InvalidDocument, match="WFE_REACH"):
            await made.deploy(text.replace("127.0.0.1:1", "127.0.0.2:1") % "shop")


@pytest.mark.parametrize(
    "text",
    ["{}", "[1]", "[{}]", "[{hosts: [a]}]", "[{namespaces: [a], host: [b]}]", "[{namespaces: [a], hosts: [1]}]",
     "[{namespaces: [a], hosts: ['a.*']}]", "[{namespaces: ['a*b']}]", "[{channels: [a], secrets: ['']}]", "[", None],
)  # fmt: skip
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "reach.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Rejected, match="WFE_REACH"):
        open_reach(file)


def test_the_host_of_an_address_is_known_as_far_as_it_is_written() -> None:
    for url, host in {
        "https://a.example": "a.example",
        "https://user@a.example:1/b?c=https://d": "a.example",
        "http://[::1]:80/": "[::1]",
        "https://a.example?x=@b": "a.example",
        "https://{a}.example/": None,
        "${ .url }": None,
        "file://a.yaml": None,
        "/path": None,
    }.items():
        assert host_in(url) == host, url
