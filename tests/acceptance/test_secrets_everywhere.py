"""Secrets in every place of a workflow and in every kind of task: their values are in nothing that is kept or told.

Searched are the histories of the runs, event by event, whatever the processes have written (logs, and the databases of
Temporal, of the router and of the workflows), and all that the API says. A value is looked for as it is and encoded.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.test_durability import ENDED, get, post, state_of, until
from tests.acceptance.test_secrets import contents, text_of
from tests.cli.test_dev import Dev, dev
from tests.standins import agent, httpbin
from tests.standins.asgi import AsgiThread
from tests.standins.greeter import PROTO, Greeter, greeter
from tests.standins.server import Server, ServerThread
from workflow_engine.runtimes.temporal.connection import connect

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEY = "k3y-0f-the-service/and=more"
PASSWORD = "correct horse battery"
TOKEN = "t0ken-0f-the-c1ient"

SUB = """
document: {dsl: '1.0.3', namespace: test, name: sub, version: '1.0.0'}
do: [{keep: {set: {got: '${ . }'}}}]
"""

ORDERS = """
asyncapi: 3.0.0
info: {title: orders, version: 1.0.0}
channels: {orders: {address: orders, messages: {order: {payload: {type: object}}}}}
operations: {receiveOrder: {action: receive, channel: {$ref: '#/channels/orders'}}}
"""

API = """
openapi: 3.0.0
info: {title: api, version: 1.0.0}
servers: [{url: BIN}]
paths:
  /anything:
    get:
      operationId: look
      parameters: [{name: key, in: query, schema: {}}, {name: kept, in: header, schema: {}}]
      responses: {}
"""

DOCUMENT = """
document: {dsl: '1.0.3', namespace: test, name: everywhere, version: '1.0.0', metadata: {lifecycleEvents: task}}
use:
  secrets: [key, login, token]
  authentications: {ours: {basic: {use: login}}}
  functions: {wrap: {set: {wrapped: '${ . }', with: '${ $secrets.key }'}}}
input: {from: '. + {start: $secrets.key}'}
output: {as: '{data: ., end: $secrets.login, part: $secrets.key[0:9], upper: ($secrets.key | ascii_upcase)}'}
do:
  - data:
      if: $secrets.key == .start and ($secrets.key | startswith("k3y"))
      input: {from: '. + {login: $secrets.login}'}
      set: {start: '${ .start }', login: '${ .login }', code: '${ $secrets.key | @base64 }', status: '${ .status }'}
      output: {as: '. + {out: "is \\($secrets.key)"}'}
      export: {as: '{kept: $secrets.login.password, data: .}'}
  - pick:
      switch:
        - wrong: {when: $secrets.key == "x", then: end}
        - right: {when: $secrets.login.password == $context.kept, then: loop}
        - other: {then: end}
  - loop:
      for: {in: '[$secrets.key, $secrets.token]', each: it}
      while: $secrets.key != ""
      do: [{add: {set: '${ . + {it: $it} }'}}]
  - both:
      fork:
        branches:
          - left: {set: {l: '${ $secrets.key }', code: '${ .status }'}}
          - right: {call: wrap, with: {r: '${ $secrets.token }', l: '${ .it }'}}
      output: {as: '{both: ., status: .[0].code}'}
  - http:
      call: http
      with:
        method: post
        endpoint: {uri: 'BIN/anything?key={key}', authentication: {use: ours}}
        headers: {X-Key: '${ $secrets.key }', X-Kept: '${ $context.kept }', X-Copy: '${ $authorization.parameter }'}
        body: '${ {context: $context.kept, both: .both, scheme: $authorization.scheme} }'
        output: response
      input: {from: '. + {key: $secrets.key}'}
      output: {as: '{answer: ., scheme: $authorization.scheme, code: $authorization.parameter, status: $input.status}'}
      export: {as: '$context + {authorization: $authorization, answer: .answer}'}
  - openapi:
      call: openapi
      with:
        document: {endpoint: 'file://api.yaml'}
        operationId: look
        parameters: {key: '${ $secrets.key }', kept: '${ $context.kept }'}
        authentication: {bearer: {token: '${ $secrets.token }'}}
      output: {as: '. + {code: $authorization.parameter}'}
  - asyncapi:
      call: asyncapi
      with: {operation: 'file://orders.yaml#receiveOrder', message: {payload: {key: '${ $secrets.key }'}}}
  - grpc:
      call: grpc
      with:
        proto: {endpoint: 'file://greet.proto'}
        service:
          {name: GreeterApi.Greeter, host: localhost, port: 1, authentication: {bearer: {token: '${ $secrets.token }'}}}
        method: SayHello
        arguments: {name: '${ $context.kept }'}
  - agent:
      call: a2a
      with:
        agentCard: {endpoint: AGENT}
        method: message/send
        parameters: {message: {parts: [{kind: text, text: '${ "say " + $secrets.key }'}]}}
  - shell:
      run:
        shell:
          command: 'echo "$1"; env; echo "$KEY" >&2'
          arguments: ['${ $context.kept }']
          environment: {KEY: '${ $secrets.key }'}
        return: all
  - script:
      run:
        script:
          language: python
          code: 'import sys; print(sys.argv, sys.stdin.read())'
          arguments: ['${ $secrets.key }']
          stdin: '${ $context.data.out }'
  - sub:
      run:
        workflow:
          namespace: test
          name: sub
          version: '1.0.0'
          input: {key: '${ $secrets.key }', kept: '${ $context.kept }'}
  - told:
      emit:
        event:
          with:
            type: t.everywhere
            key: '${ $context.kept }'
            data: '${ {key: $secrets.key, data: ., context: $context} }'
  - hear:
      listen: {to: {one: {with: {type: t.everywhere}}}, read: envelope}
      foreach:
        item: e
        do: [{look: {set: {e: '${ $e }', k: '${ $secrets.key }'}}}]
        output: {as: '. + {p: $secrets.login}'}
      timeout: {after: PT60S}
  - caught:
      try:
        - boom:
            raise:
              error:
                type: https://x.example/boom
                status: 500
                detail: 'no ${ $secrets.key } and ${ $context.kept }'
      catch:
        as: e
        when: $secrets.key != ""
        retry: {when: $secrets.key != "", limit: {attempt: {count: 1}}}
        do: [{keep: {set: {e: '${ $e }', k: '${ $secrets.key }'}}}]
  - ends:
      try:
        - fails: {if: $workflow.input.status == "bad", set: '${ $secrets.login.password | error }'}
      catch: {errors: {with: {status: 418}}}
  - checked:
      if: $workflow.input.status == "wrong"
      input: {from: '{key: $secrets.key}', schema: {document: {}}}
      set: '${ . }'
      output: {schema: {document: {properties: {key: {type: integer}}}}}
"""


@pytest.fixture(scope="module")
def services() -> Iterator[dict[str, Server]]:
    where: list[str] = []
    with (
        ServerThread(httpbin.app) as bin_server,
        AsgiThread(lambda: agent.app(lambda: where[0], "0.3")) as agent_server,
    ):
        where.append(agent_server.url)
        yield {"BIN": bin_server, "AGENT": agent_server}


@pytest.fixture(scope="module")
def running(tmp_path_factory: Any) -> Iterator[Dev]:
    folder = tmp_path_factory.mktemp("mounted")
    (folder / "key").write_text(KEY + "\n")
    (folder / "token").write_text(TOKEN)
    (folder / "login").mkdir()
    (folder / "login" / "username").write_text("ada")
    (folder / "login" / "password").write_text(PASSWORD)
    with dev(tmp_path_factory.mktemp("secrets") / "data", {"WFE_SECRETS": f"file://{folder}"}) as started:
        yield started


def encodings(value: str) -> Iterator[bytes]:
    """*value* as it is and as it may have been encoded: in a URL, in JSON, in base64 at any offset, in hexadecimal."""
    data = value.encode()
    yield from (data, quote(value, safe="").encode(), data.upper(), data.hex().encode())
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + data).rstrip(b"=")
        yield encoded[(before * 8 + 5) // 6 : (before + len(data)) * 8 // 6]
    yield base64.urlsafe_b64encode(data).rstrip(b"=")[:-2]
    yield data[:9]


async def histories(temporal: str, runs: list[str]) -> dict[str, bytes]:
    """Every event of the history of each run, as bytes."""
    client = await connect(temporal, "default")
    found = {}
    for run in runs:
        handle = client.get_workflow_handle(run)
        number = 0
        async for event in handle.fetch_history_events():
            number += 1
            found[f"event {number} of {run}"] = event.SerializeToString() + repr(event).encode()
    return found


async def test_the_values_of_secrets_are_nowhere_whatever_uses_them(
    running: Dev, services: dict[str, Server], tmp_path: Path
) -> None:
    async with greeter() as hello:
        written = await asyncio.to_thread(_run, running, services, hello, tmp_path)
    assert [call for call in hello.calls if call[2][0].name == PASSWORD]
    runs = json.loads(written["runs"])
    written |= await histories(running.urls["temporal"], runs)
    assert sum(name.startswith("event ") for name in written) > 150
    folder = running.data.parent
    written |= contents(folder)
    stores = (".db", ".db-wal")  # which has what is not in the file yet
    assert any(b"t.everywhere" in data for name, data in written.items() if name.endswith(stores))
    known = [form for value in (KEY, PASSWORD, TOKEN, f"ada:{PASSWORD}") for form in encodings(value)]
    for name, data in written.items():
        for form in known:
            near = data[max(0, data.find(form) - 200) : data.find(form) + 50]
            assert form not in data, f"{form!r} is in {name}: {near!r}"


def _run(running: Dev, services: dict[str, Server], hello: Greeter, tmp_path: Path) -> dict[str, bytes]:
    """Run the workflow to each of its ends; what the API says of it, by address."""
    base = running.urls["api"]
    files = {
        "everywhere.yaml": DOCUMENT,
        "sub.yaml": SUB,
        "greet.proto": PROTO,
        "orders.yaml": ORDERS,
        "api.yaml": API,
    }
    for name, content in files.items():
        text = content.replace("port: 1,", f"port: {hello.port},")
        for mark, server in services.items():
            text = text.replace(mark, server.url)
        (tmp_path / name).write_text(text)
    assert running.wfe("catalog", "add", tmp_path / "orders.yaml").code == 0
    deployed = running.wfe("deploy", tmp_path / "sub.yaml", tmp_path / "everywhere.yaml")
    assert deployed.code == 0, deployed.err
    ends = {"good": "completed", "bad": "faulted", "wrong": "faulted"}
    for run, ending in ends.items():
        post(base, f"/v1/workflows/test/everywhere/latest/runs?id={run}", {"status": run})
        until(lambda run=run: state_of(base, run)[0] in ENDED, f"{run} ends")
        found = get(base, f"/v1/runs/{run}")
        assert found["status"] == ending, found["error"]
    assert "[redacted]" in json.dumps(get(base, "/v1/runs/good")["output"])
    assert get(base, "/v1/runs/bad")["error"]["instance"].endswith("/fails")
    assert get(base, "/v1/runs/wrong")["error"]["instance"].endswith("/checked")
    sent = [request for request in services["BIN"].requests if request.headers.get("X-Key") == KEY]
    assert len(sent) == 3
    assert sent[0].headers["Authorization"] == f"Basic {sent[0].headers['X-Copy']}"
    assert sent[0].headers["X-Kept"] == PASSWORD
    assert any(
        request.headers.get("Authorization") == f"Bearer {TOKEN}" for request in services["BIN"].requests
    )
    paths = [f"/v1/runs/{run}" for run in ends]
    paths += [
        "/v1/runs",
        "/v1/workflows/test/everywhere/latest",
        "/v1/dead-letters",
        "/v1/channels",
        "/metrics",
    ]
    paths += [f"/v1/events?channel={channel}&limit=1000" for channel in ("default", "orders", "lifecycle")]
    events = json.loads(text_of(base, "/v1/events?channel=default&type=t.everywhere"))
    ids = [each["event"]["id"] if "event" in each else each["id"] for each in events["events"]]
    paths += [f"/v1/events/{quote(id, safe='')}/trace" for id in ids]
    assert len(ids) == len(ends)
    return {"runs": json.dumps([*ends]).encode()} | {path: text_of(base, path).encode() for path in paths}
