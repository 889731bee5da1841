"""What processes may not do to us: everything that they use is bounded, and nothing of them is left."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from asyncio.subprocess import PIPE
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web

from tests.calls.conftest import make_context
from tests.engines import needs_node
from tests.processes import has_gone
from tests.standins.server import serve
from workflow_engine.calls import Egress, processes, script, shell
from workflow_engine.calls.context import ProcessBounds
from workflow_engine.errors import Error, Fault
from workflow_engine.processes.privacy import close_to_others

MIB = 1024 * 1024
BOUNDS = ProcessBounds(seconds=30, memory=150 * MIB, processes=20, output=50_000)


@pytest.fixture
def context(egress):
    # A key of its own, by which its processes are told from those of tests at the same time.
    key = f"run-{uuid.uuid4()}/do/0/call/0"
    return make_context(egress, processes=frozenset({"script", "shell"}), bounds=BOUNDS, idempotency_key=key)


async def failing(call) -> Error:
    """Await *call*, which must raise a fault, and give its error."""
    with pytest.raises(Fault) as caught:
        await call
    return caught.value.error


def there(path: str) -> bool:
    return Path(path).exists()


def written(folder: Path) -> list[str]:
    return [file.read_text() for file in folder.glob("*.pid")]


async def pids(folder: Path, count: int) -> list[int]:
    """The process ids that a command has written to files in *folder*, once there are *count*."""
    async with asyncio.timeout(20):
        while True:
            texts = written(folder)
            if len(texts) == count and all(text.endswith("\n") for text in texts):
                return [int(text) for text in texts]
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("kind", ["script", "shell"])
async def test_a_process_that_the_operator_does_not_allow_is_an_authorization_fault(context, kind):
    call = {"script": script.call, "shell": shell.call}[kind]
    arguments = {"command": "touch /tmp/never", "language": "python", "code": "x"}
    error = await failing(call(arguments, replace(context, processes=frozenset({"container", "mcp"}))))
    assert (error.type.rpartition("/")[2], error.status) == ("authorization", 403)
    assert "WFE_PROCESSES" in error.detail


HUNGRY = {
    "python": {"language": "python", "code": "kept = []\nwhile True: kept.append(b'x' * 1_000_000)"},
    "js": {"language": "js", "code": "const kept = []; while (true) kept.push(Buffer.alloc(1_000_000, 1));"},
    "the heap of js": {
        "language": "js",
        "code": "const kept = []; while (true) kept.push({a: [kept.length]});",
    },
}


@pytest.mark.parametrize(
    "hungry", [pytest.param(each, marks=needs_node if "js" in each else ()) for each in HUNGRY]
)
async def test_a_script_that_takes_all_memory_is_ended(context, hungry):
    error = await failing(script.call(HUNGRY[hungry], context))
    assert error.type.endswith("/runtime")
    assert "used more memory than the worker allows (150 MiB)" in error.detail or "exit code" in error.detail


async def test_memory_is_that_of_everything_that_a_process_starts(context):
    each = f"{sys.executable} -c \"x = b'x' * 40_000_000; import time; time.sleep(60)\" & "
    error = await failing(shell.call({"command": each * 5 + "wait"}, context))
    assert "used more memory than the worker allows (150 MiB)" in error.detail


async def test_memory_that_processes_share_is_counted_once(context):
    code = """
import os, time
kept = b'x' * 60_000_000
for _ in range(5):
    if not os.fork():
        time.sleep(0.5)
        os._exit(0)
for _ in range(5):
    os.wait()
print('done')
"""
    assert await script.call({"language": "python", "code": code}, context) == "done\n"


# Each stops by itself at a few hundred processes: a guard that fails must not take the machine with it. Never write
# one without end here: the machine's process table was exhausted by `b() { b | b & }` and everyone's shells died.
BOMBS = {
    "one group": "b() { [ $1 = 8 ] && sleep 60 || { b $(($1 + 1)) & b $(($1 + 1)) & wait; }; }; b 0",
    "groups of their own": "for n in $(seq 300); do setsid sh -c 'setsid sleep 60 & sleep 60' & done; wait",
    "orphans": "for n in $(seq 300); do sh -c 'sh -c \"sleep 60 & exec sleep 60\" &'; done; sleep 60",
}
"""Each ends by itself at some hundreds of processes: should we fail, the machine must live."""


@pytest.mark.parametrize("bomb", BOMBS)
async def test_a_process_that_starts_processes_without_end_is_ended_with_all_of_them(context, bomb):
    error = await failing(shell.call({"command": BOMBS[bomb]}, context))
    assert "used more processes than the worker allows (20)" in error.detail
    assert running(context.idempotency_key) == []


def running(key: str) -> list[int]:
    """The processes that were started for the call with *key*."""
    mark = f"WFE_IDEMPOTENCY_KEY={key}\0".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (each / "environ").read_bytes():
                found.append(int(each.name))
        except OSError:
            continue
    return found


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
async def test_output_without_end_is_a_fault(context, stream):
    redirect = "" if stream == "stdout" else " >&2"
    error = await failing(shell.call({"command": f"yes{redirect}", "return": stream}, context))
    assert f"wrote more than 50,000 bytes to {stream}" in error.detail


async def test_output_that_nobody_asked_for_is_passed_over(context):
    assert await shell.call({"command": "yes | head -c 5000000 >&2; echo done"}, context) == "done\n"
    error = await failing(
        shell.call({"command": "yes | head -c 5000000 >&2; echo the end >&2; exit 1"}, context)
    )
    assert error.detail.endswith("y\nthe end")
    assert len(error.detail) < 3000


async def test_output_that_json_makes_larger_is_a_fault(context):
    assert await shell.call({"command": "head -c 10000 /dev/zero"}, context) == "\0" * 10_000
    error = await failing(shell.call({"command": "head -c 20000 /dev/zero"}, context))
    assert "larger than 62,500 bytes as JSON" in error.detail


async def test_output_that_is_no_text_is_marked(context):
    assert await shell.call({"command": r"printf 'a\377b'"}, context) == "a\ufffdb"


async def test_a_process_that_does_not_read_its_input_is_not_waited_for(context):
    assert await shell.call({"command": "echo done", "stdin": "x" * 5_000_000}, context) == "done\n"
    assert await shell.call({"command": "wc -c", "stdin": "x" * 5_000_000}, context) == "5000000\n"


async def test_a_process_whose_time_is_up_is_ended_though_it_does_not_want_to(context, tmp_path):
    command = f"trap '' TERM; echo $$ > {tmp_path}/a.pid; while :; do sleep 0.05; done"
    short = replace(context, bounds=replace(BOUNDS, seconds=1.5))
    error = await failing(shell.call({"command": command}, short))
    assert (error.type.rpartition("/")[2], error.status) == ("timeout", 408)
    assert "WFE_PROCESS_SECONDS" in error.detail
    await has_gone(*await pids(tmp_path, 1))


async def test_a_process_that_is_asked_to_end_may_tidy_up(context, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE", 60)
    command = f"trap 'echo tidy > {tmp_path}/a; exit 0' TERM; echo $$ > {tmp_path}/a.pid; "
    calling = asyncio.create_task(shell.call({"command": command + "while :; do sleep 0.05; done"}, context))
    await pids(tmp_path, 1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert (tmp_path / "a").read_text() == "tidy\n"


async def test_what_a_process_leaves_behind_ends_with_it(context, tmp_path):
    command = f"sleep 600 & echo $! > {tmp_path}/a.pid; "
    command += f"setsid sh -c 'echo $$ > {tmp_path}/b.pid; exec sleep 600' & "
    command += f"while [ ! -s {tmp_path}/b.pid ]; do sleep 0.01; done"
    await shell.call({"command": command, "return": "none"}, context)
    await has_gone(*await pids(tmp_path, 2))


async def test_a_cancelled_call_ends_its_process(context, tmp_path):
    command = f"echo $$ > {tmp_path}/a.pid; sleep 600"
    calling = asyncio.create_task(shell.call({"command": command}, context))
    [pid] = await pids(tmp_path, 1)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await has_gone(pid)


WORKER = """
import asyncio, sys
from datetime import UTC, datetime
from workflow_engine.calls import CallContext, Egress, shell
async def main():
    context = CallContext("key", "run", "/do/0", "/s", {}, None, Egress(), datetime.now(UTC),
                          processes=frozenset({"shell"}))
    command = f"trap '' TERM; echo $HOME > {sys.argv[1]}/home; echo $$ > {sys.argv[1]}/a.pid; while :; do sleep 1; done"
    await shell.call({"command": command}, context)
asyncio.run(main())
"""


async def test_a_process_ends_with_its_worker_however_that_ends_and_its_folder_with_it(tmp_path):
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", WORKER, str(tmp_path))
    [pid] = await pids(tmp_path, 1)
    worker.kill()
    await worker.wait()
    await has_gone(pid)
    home = (tmp_path / "home").read_text().strip()
    async with asyncio.timeout(20):
        while there(home):  # noqa: ASYNC110 - the guard removes it, and tells nobody
            await asyncio.sleep(0.01)


async def test_a_process_cannot_look_into_its_worker(context):
    """What is in the environment of a worker when it starts, and not that of the system's other processes."""
    code = """
import asyncio
from tests.calls.test_processes import peeking
asyncio.run(peeking())
"""
    environment = {**os.environ, "PLANTED": "planted-in-the-worker"}
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env=environment, stdout=PIPE)
    printed, _ = await worker.communicate()
    assert printed == b"nothing\n"


async def peeking() -> None:
    """What a worker does for a script that looks for its secrets."""
    close_to_others()
    look = f"tr '\\0' '\\n' < /proc/{os.getpid()}/environ | grep -o planted-in-the-worker || echo nothing"
    async with Egress() as egress:
        context = make_context(egress, processes=frozenset({"shell"}), bounds=BOUNDS)
        print(await shell.call({"command": look}, context), end="")


async def test_a_process_has_no_descriptors_of_ours(context, tmp_path):
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        listed = await shell.call({"command": "ls /proc/self/fd"}, context)
    assert set(listed.split()) <= {"0", "1", "2", "3"}, "the third is that of `ls`"


async def test_the_folder_of_a_process_is_gone_afterwards(context):
    folder = await shell.call({"command": "mkdir -p a/b; chmod 500 a; pwd"}, context)
    assert not there(folder.strip())


async def test_a_process_can_gain_no_privileges(context):
    assert await shell.call({"command": "grep NoNewPrivs /proc/self/status"}, context) == "NoNewPrivs:\t1\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"command": "ls", "arguments": ["a\0b"]}, "NUL"),
        ({"command": "ls \0"}, "NUL"),
        ({"command": "ls", "environment": {"A": "\0"}}, "NUL"),
        ({"command": "ls", "environment": {"A=B": "x"}}, "'A=B'"),
        ({"command": "ls", "environment": {"": "x"}}, "environment variable"),
        ({"command": "ls", "environment": {"A": "\ud800"}}, "Unicode"),
        ({"command": "ls", "environment": {"\ud800": "x"}}, "Unicode"),
        ({"command": "ls", "stdin": "\ud800"}, "Unicode"),
        ({"command": "\ud800"}, "Unicode"),
        ({"command": "ls", "environment": [1]}, "environment must be an object"),
        ({"command": "ls", "arguments": "-l"}, "arguments must be a list"),
        ({"command": None}, "command must be text"),
        ({"command": "  "}, "command must be text"),
        ({"command": "ls", "return": "stdin"}, "return must be one of"),
        ({"command": "ls", "arguments": ["x" * 300_000]}, "cannot be started"),
    ],
)
async def test_what_no_process_can_be_given_is_a_fault(context, arguments, told):
    error = await failing(shell.call(arguments, context))
    assert error.status == 400
    assert told in error.detail


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"language": "ruby", "code": "x"}, "language must be one of js, javascript, python"),
        ({"language": "python", "code": {"a": 1}}, "must be text"),
        ({"language": "python", "code": "x = '\ud800'"}, "Unicode"),
        (
            {"language": "python", "source": {"endpoint": "file:///etc/passwd"}},
            "neither in the bundle nor on the web",
        ),
        ({"language": "python", "source": None}, "URI"),
    ],
)
async def test_what_is_no_script_is_a_fault(context, arguments, told):
    error = await failing(script.call(arguments, context))
    assert error.type.rpartition("/")[2] in {"configuration", "validation"}
    assert told in error.detail


async def test_without_node_a_script_of_javascript_is_a_configuration_fault(context, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    error = await failing(script.call({"language": "js", "code": "1"}, context))
    assert error.type.endswith("/configuration")
    assert "Node.js" in error.detail


async def test_a_script_whose_address_is_known_late_is_fetched_then(context):
    async def answer(request: web.Request) -> web.Response:
        allowed = request.headers.get("Authorization") == "Bearer t"
        return web.Response(text="print('late')" if allowed else "", status=200 if allowed else 401)

    app = web.Application()
    app.router.add_get("/a.py", answer)
    async with serve(app) as server:
        endpoint = {"uri": f"{server.url}/{{name}}", "authentication": {"bearer": {"token": "t"}}}
        arguments = {
            "language": "python",
            "source": {"endpoint": endpoint},
            "$uri_variables": {"name": "a.py"},
        }
        assert await script.call(arguments, context) == "late\n"
        del endpoint["authentication"]
        assert (await failing(script.call(arguments, context))).status == 401


async def test_a_script_is_long(context):
    code = f"text = '{'x' * 300_000}'\nprint(len(text))"
    assert await script.call({"language": "python", "code": code}, context) == "300000\n"


async def test_what_a_script_returns_is_bounded(context):
    arguments = {"language": "python", "code": "return 'x' * 60_000", "arguments": {}}
    assert "returned more than 50,000 bytes" in (await failing(script.call(arguments, context))).detail


async def test_many_processes_run_side_by_side_and_others_get_their_turn(context):
    async def ticks() -> int:
        count = 0
        while True:
            await asyncio.sleep(0.01)
            count += 1
            counted.append(count)

    counted: list[int] = []
    ticking = asyncio.create_task(ticks())
    commands = [shell.call({"command": f"sleep 0.1; echo {number}"}, context) for number in range(8)]
    assert await asyncio.gather(*commands) == [f"{number}\n" for number in range(8)]
    ticking.cancel()
    assert len(counted) > 5
