"""A secret is used by runs that succeed and by runs that fail, and is in nothing that any process has written."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from tests.acceptance.test_durability import ENDED, get, post, state_of, until
from tests.cli.test_dev import Dev, dev
from tests.standins import httpbin, issuer
from tests.standins.server import Server, ServerThread

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

KEY = "k3y-0f-the-service/and=more"
PASSWORD = "correct horse battery"

DOCUMENT = """
document: {{dsl: '1.0.3', namespace: test, name: keeps, version: '1.0.0', metadata: {{lifecycleEvents: task}}}}
use: {{secrets: [key, login, client]}}
do:
  - header:
      call: http
      with:
        method: post
        endpoint: '{bin}/anything'
        headers: {{X-Key: '${{ $secrets.key }}'}}
        body: {{login: '${{ $secrets.login }}', name: '${{ .name }}'}}
        output: response
      export: {{as: '{{echo: .}}'}}
  - tool:
      call: mcp
      with:
        method: resources/read
        parameters: {{uri: '${{ "key:" + $secrets.key }}'}}
        transport:
          stdio: {{command: '{python}', arguments: ['{tool}'], environment: {{KEY: '${{ $secrets.key }}'}}}}
      export: {{as: '$context + {{tool: .}}'}}
  - basic:
      call: http
      with:
        method: get
        endpoint:
          uri: '${{ "{bin}/basic-auth/ada/" + ($secrets.login.password | @uri) }}'
          authentication: {{basic: {{use: login}}}}
  - token:
      call: http
      with:
        method: get
        endpoint:
          uri: '{issuer}/protected'
          authentication:
            oauth2:
              authority: '{issuer}'
              grant: client_credentials
              client: {{id: app, secret: '${{ $secrets.client }}'}}
  - tell: {{emit: {{event: {{with: {{type: t.told, data: '${{ {{token: ., echo: $context}} }}'}}}}}}}}
  - fail:
      call: http
      with:
        method: post
        endpoint: '${{ "{bin}/status/" + $input.status + "?q=" + $secrets.key }}'
        headers: {{X-Key: '${{ $secrets.key }}'}}
      input: {{from: '{{status: ($workflow.input.status)}}'}}
"""


TOOL = """
import json, os, sys
for line in sys.stdin:
    print(line, os.environ["KEY"], file=sys.stderr)
    asked = json.loads(line)
    result = {"protocolVersion": "2025-06-18", "contents": [os.environ["KEY"], asked.get("params")]}
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[Server, Server]]:
    with ServerThread(httpbin.app) as bin_server, ServerThread(issuer.app) as issuer_server:
        yield bin_server, issuer_server


@pytest.fixture(scope="module")
def running(tmp_path_factory: Any) -> Iterator[Dev]:
    folder = tmp_path_factory.mktemp("mounted")
    (folder / "key").write_text(KEY + "\n")
    (folder / "client").write_text(issuer.APP_SECRET)
    (folder / "login").mkdir()
    (folder / "login" / "username").write_text("ada")
    (folder / "login" / "password").write_text(PASSWORD)
    with dev(tmp_path_factory.mktemp("secrets") / "data", {"WFE_SECRETS": f"file://{folder}"}) as started:
        yield started


def text_of(base: str, path: str) -> str:
    try:
        with urlopen(base + path, timeout=20) as answer:
            return answer.read().decode()
    except HTTPError as error:
        return error.read().decode()


def contents(folder: Path) -> dict[str, bytes]:
    """Of all files, but for those that are gone before they are read: the processes go on."""
    found = {}
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found[str(path)] = path.read_bytes()
    return found


def test_the_values_of_secrets_are_in_nothing_that_is_written(
    running: Dev, services: tuple[Server, Server], tmp_path: Path
) -> None:
    bin_server, issuer_server = services
    base = running.urls["api"]
    file = tmp_path / "workflow.yaml"
    tool = tmp_path / "tool.py"
    tool.write_text(TOOL)
    urls = {"bin": bin_server.url, "issuer": issuer_server.url}
    file.write_text(DOCUMENT.format(**urls, python=sys.executable, tool=tool))
    assert running.wfe("deploy", file).code == 0
    answers = []
    for run, status, ending in (("good", "200", "completed"), ("bad", "418", "faulted")):
        post(base, f"/v1/workflows/test/keeps/latest/runs?id={run}", {"name": "Ada", "status": status})
        until(lambda run=run: state_of(base, run)[0] in ENDED, f"{run} ends")
        found = get(base, f"/v1/runs/{run}")
        assert found["status"] == ending, found["error"]
        answers.append(json.dumps(found))
    assert any(request.headers.get("X-Key") == KEY for request in bin_server.requests)
    assert any(PASSWORD.encode() in request.body for request in bin_server.requests)
    paths = ("/v1/runs", "/v1/workflows/test/keeps/latest", "/v1/events?channel=default&type=t.told")
    answers += [text_of(base, path) for path in paths]
    assert "t.told" in answers[-1]
    answers.insert(-1, text_of(base, "/v1/events?channel=lifecycle&limit=1000"))
    assert "task.faulted" in answers[-2]
    assert "[redacted]" in answers[-1]
    assert "[redacted]" in answers[1]
    written = {"answers": "\n".join(answers).encode()}
    folder = running.data.parent
    written |= contents(folder)
    assert any(b"t.told" in data for data in written.values())
    for name, data in written.items():
        for value in (KEY, PASSWORD, PASSWORD.replace(" ", "%20"), issuer.APP_SECRET, "k3y-0f"):
            assert value.encode() not in data, f"{value} is in {name}"
