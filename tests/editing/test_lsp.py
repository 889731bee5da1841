"""The server as a process: how it begins, and that it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

from lsprotocol import types

from tests.editing.editor import Editor, children, editor, end, ends, server_of
from tests.editing.test_diagnostics import ROOT, VALID
from workflow_engine.processes.ports import free_port

WFE = (sys.executable, "-m", "workflow_engine", "lsp")


async def test_a_server_that_is_shut_down_ends_with_0_and_leaves_no_process(tmp_path: Path):
    async with editor(tmp_path, [types.PositionEncodingKind.Utf8]) as code:
        assert code.started is not None
        assert code.started.capabilities.position_encoding == "utf-8"
        uri = code.open(VALID.replace("{x: 1}", '{"😀é": "${ nothing }"}'))
        (problem,) = await code.problems(uri)
        assert problem.range.start.character == len('      set: {"😀é": "${ '.encode())
        (checker,) = children(server_of(code))
        assert await end(code) == 0
        await ends(checker)


def test_a_server_whose_editor_is_gone_ends_and_leaves_no_process():
    server = subprocess.Popen([*WFE], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    message = b'{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"capabilities":{}}}'
    opened = (
        b'{"jsonrpc":"2.0","method":"textDocument/didOpen","params":{"textDocument":'
        b'{"uri":"file:///a.sw.yaml","languageId":"yaml","version":1,"text":"a: 1"}}}'
    )
    assert server.stdin is not None
    assert server.stdout is not None
    for each in (message, opened):
        server.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(each), each))
    server.stdin.flush()
    told = b""
    while b"publishDiagnostics" not in told:
        told += os.read(server.stdout.fileno(), 65536)
    started = children(server.pid)
    assert len(started) == 1
    server.stdin.close()
    assert server.wait(30) == 1  # nobody asked it to end
    server.stdout.close()
    asyncio.run(ends(started[0]))


def test_it_can_be_reached_on_a_port_of_this_machine():
    port = free_port()
    server = subprocess.Popen([*WFE, "--tcp", str(port)], stderr=subprocess.PIPE)
    assert server.stderr is not None
    assert str(port).encode() in server.stderr.readline()

    async def talk() -> None:
        code = Editor()
        while True:
            try:
                await code.start_tcp("127.0.0.1", port)
                break
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
        found = await code.initialize_async(types.InitializeParams(types.ClientCapabilities()))
        assert found.capabilities.rename_provider
        await code.shutdown_async(None)
        code.exit(None)
        code._stop_event.set()

    asyncio.run(talk())
    assert server.wait(30) == 0
    server.stderr.close()


def test_a_port_that_is_taken_is_told():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run([*WFE, "--tcp", port], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert port in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_settings_of_the_documentation_are_whole():
    page = (ROOT / "docs" / "editor.md").read_text()
    found = dict(re.findall(r"```(json|toml)\n(.*?)```", page, re.DOTALL))
    code = json.loads(found["json"])
    assert [code["glspc.server.command"], *code["glspc.server.commandArguments"]] == ["wfe", "lsp"]
    helix = tomllib.loads(found["toml"])
    assert helix["language-server"]["wfe"] == {"command": "wfe", "args": ["lsp"]}
    assert all("wfe" in each["language-servers"] for each in helix["language"])
    for part in ("cmd = { 'wfe', 'lsp' }", '("wfe" "lsp")'):
        assert part in page


def test_without_pygls_it_says_what_to_install(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['pygls'] = None\n")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    ended = subprocess.run([*WFE], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "pip install 'serverless-workflow-engine[lsp]'" in ended.stderr
    assert "Traceback" not in ended.stderr
