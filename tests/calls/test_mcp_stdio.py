"""``call: mcp`` over stdio: against a server of the official SDK, and against programs that are none."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from tests.calls.conftest import make_context
from tests.calls.faults import fault_of
from workflow_engine.calls import Egress, mcp
from workflow_engine.calls.context import ProcessBounds

HERE = Path(__file__).parents[2]
PATH = {"PYTHONPATH": str(HERE)}
SDK = {
    "command": sys.executable,
    "arguments": ["-m", "tests.standins.mcp_server", "one", 2, True],
    "environment": PATH,
}


@pytest.fixture
def context(egress):
    return make_context(egress, processes=frozenset({"mcp"}))


def arguments(stdio, method="tools/list", parameters=None):
    return {"method": method, "parameters": parameters, "transport": {"stdio": stdio}}


def program(code: str, *words: str):
    """A server written for one test."""
    return {"command": sys.executable, "arguments": ["-c", code, *words]}


REPLY = """
import json, sys
def hear(): return json.loads(sys.stdin.readline())
def say(**message): print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)
def open_session():
    say(id=hear()["id"], result={"protocolVersion": "2025-06-18", "capabilities": {}, "serverInfo": {}})
    assert hear()["method"] == "notifications/initialized"
"""


async def test_a_server_of_the_official_sdk_answers(context):
    result = await mcp.call(arguments(SDK, "tools/call", {"name": "words"}), context)
    assert result["structuredContent"] == {"result": ["one", "2", "true"]}


async def test_a_server_sees_no_more_of_the_environment_than_it_needs(context, monkeypatch):
    monkeypatch.setenv("WFE_SECRET_KEY", "s3cret")
    given = {**SDK, "environment": {**PATH, "TOKEN": "t", "LIMIT": 3, "NONE": None}}
    result = await mcp.call(arguments(given, "tools/call", {"name": "environment"}), context)
    seen = result["structuredContent"]
    assert seen["TOKEN"] == "t"
    assert seen["LIMIT"] == "3"
    assert seen["PATH"] == os.environ["PATH"]
    assert "NONE" not in seen
    assert seen["HOME"] != os.environ.get("HOME")
    known = {
        "TOKEN",
        "LIMIT",
        "PYTHONPATH",
        "PATH",
        "LANG",
        "HOME",
        "TMPDIR",
        "WFE_RUN_ID",
        "WFE_IDEMPOTENCY_KEY",
    }
    assert seen.keys() - known <= {"LC_CTYPE", "PWD", "SHLVL", "_"}


async def test_a_server_that_asks_for_what_the_client_has_not_is_told_so(context):
    result = await mcp.call(arguments(SDK, "tools/call", {"name": "ask"}), context)
    assert "does not offer roots/list" in result["content"][0]["text"]


async def test_a_ping_of_the_server_is_answered(context):
    code = REPLY + "open_session(); asked = hear(); say(id='p', method='ping'); got = hear(); "
    code += "say(id=asked['id'], result={'tools': [got]})"
    [answer] = (await mcp.call(arguments(program(code)), context))["tools"]
    assert answer == {"jsonrpc": "2.0", "id": "p", "result": {}}


async def test_processes_are_the_operators_to_allow(egress, tmp_path):
    left = tmp_path / "started"
    given = program(f"open({str(left)!r}, 'w')")
    detail = await fault_of(mcp.call(arguments(given), make_context(egress)), "authorization", 403)
    assert "WFE_PROCESSES" in detail
    assert not left.exists()


async def test_a_command_that_is_not_there_is_a_communication_fault(context):
    detail = await fault_of(mcp.call(arguments({"command": "no-such-program"}), context), "communication")
    assert detail == "the MCP server 'no-such-program' cannot be started: No such file or directory"


async def test_the_fault_of_a_server_that_dies_has_its_last_words(context):
    given = program("import sys; print('x' * 9000 + ' no more ink', file=sys.stderr); sys.exit(3)")
    detail = await fault_of(mcp.call(arguments(given), context), "communication")
    assert "ended with exit code 3" in detail
    assert len(detail) < 700


async def test_a_server_that_dies_in_the_middle_of_a_message_is_a_communication_fault(context):
    code = (
        REPLY
        + """open_session(); hear(); sys.stdout.write('{"jsonrpc": "2.0", "id": 2, "res'); sys.stdout.flush()"""
    )
    assert "is not JSON" in await fault_of(mcp.call(arguments(program(code)), context), "communication")


async def test_what_is_no_json_rpc_is_a_communication_fault(context):
    detail = await fault_of(
        mcp.call(arguments(program("print('Listening…', flush=True); input()")), context), "communication"
    )
    assert "'Listening…'" in detail


async def test_a_message_without_end_is_not_read_to_its_end():
    async with Egress(max_response=100_000) as egress:
        context = make_context(egress, processes=frozenset({"mcp"}))
        given = program("import sys\nwhile True: sys.stdout.write('x' * 4096)")
        detail = await fault_of(mcp.call(arguments(given), context), "communication")
        assert "more than 100000 bytes" in detail


async def test_a_server_that_never_answers_is_ended_with_the_call_and_so_is_what_it_started(egress, tmp_path):
    pids = tmp_path / "pids"
    deaf = {"command": "sh", "arguments": ["-c", f"trap '' TERM; sleep 600 & echo $$ $! > {pids}; wait"]}
    context = make_context(egress, processes=frozenset({"mcp"}), timeout=1.5)
    assert "within 1.5 seconds" in await fault_of(mcp.call(arguments(deaf), context), "communication")
    for pid in map(int, pids.read_text().split()):
        await gone(pid)


async def test_a_call_that_is_cancelled_leaves_no_process(context, tmp_path):
    pid = tmp_path / "pid"
    given = program(f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)")
    task = asyncio.create_task(mcp.call(arguments(given), context))
    while not (pid.exists() and pid.read_text()):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(int(pid.read_text()))


async def gone(pid: int) -> None:
    """Wait until there is no process *pid*, but for one whose parent does not care."""
    for _ in range(1000):
        if not _lives(pid):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"process {pid} is still there")


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("stdio", "kind", "words"),
    [
        ({"command": ""}, "configuration", "the command of an MCP server must be a string"),
        ({"command": "x", "shell": True}, "configuration", "no argument 'shell'"),
        ({"command": "x", "arguments": "y"}, "configuration", "must be a list, or an object, not a string"),
        ({"command": "x", "arguments": ["a\0b"]}, "validation", "NUL character"),
        (
            {"command": "x", "environment": {"A=B": "c"}},
            "validation",
            "cannot be the name of an environment variable",
        ),
    ],
)
async def test_arguments_that_cannot_be_are_refused(context, stdio, kind, words):
    assert words in await fault_of(mcp.call(arguments(stdio), context), kind)


async def test_a_server_that_uses_more_than_the_worker_allows_is_ended(egress):
    bounds = ProcessBounds(memory=64 * 1024 * 1024)
    given = program("data = [bytearray(1024 * 1024) for _ in range(100)]; input()")
    context = make_context(egress, processes=frozenset({"mcp"}), bounds=bounds)
    detail = await fault_of(mcp.call(arguments(given), context), "communication")
    assert "it used more memory than the worker allows" in detail or "MemoryError" in detail


async def test_a_server_may_take_no_longer_than_a_process_may(egress):
    context = make_context(egress, processes=frozenset({"mcp"}), bounds=ProcessBounds(seconds=0.5))
    call = mcp.call(arguments(program("import time; time.sleep(60)")), context)
    assert "within 0.5 seconds" in await fault_of(call, "communication")


async def test_a_server_does_not_outlive_a_worker_that_is_killed(tmp_path):
    """Even one that does not care that its stdin has ended."""
    pid = tmp_path / "pid"
    server = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    worker = f"""
import asyncio
from tests.calls.conftest import make_context
from workflow_engine.calls import Egress, mcp
async def main():
    async with Egress() as egress:
        await mcp.call({arguments(program(server))!r}, make_context(egress, processes=frozenset({{"mcp"}})))
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", worker, cwd=HERE)
    while not (pid.exists() and pid.read_text()):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.05)
    process.kill()
    await process.wait()
    await gone(int(pid.read_text()))


async def test_messages_are_one_line_each_whatever_is_in_them(context):
    code = REPLY + "open_session(); asked = hear(); say(id=asked['id'], result=asked['params'])"
    parameters = {"name": "x", "arguments": {"text": "a\nb\r\u2028ü"}, "_meta": {"idempotencyKey": "k"}}
    assert await mcp.call(arguments(program(code), "tools/call", parameters), context) == parameters
