from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from tests.processes import gone, has_gone
from workflow_engine.errors import Conflict, Unavailable
from workflow_engine.runtimes.temporal.server import (
    TUNING,
    ServerOptions,
    command,
    dev_server,
    environment,
    free_port,
    port_in_use,
    wait_ready,
)

pytest_plugins = ["tests.temporal_server"]
pytestmark = pytest.mark.temporal

QUIET = {"headless": True, "log_level": "error"}


@workflow.defn
class Napping:
    @workflow.run
    async def run(self, seconds: float) -> str:
        await workflow.sleep(timedelta(seconds=seconds))
        return "rested"


def test_the_command_is_tuned_local_and_durable(tmp_path):
    line = command(
        ServerOptions(port=7000, ui_port=8000, data_file=tmp_path / "t.db", search_attributes={"A": "Int"})
    )
    joined = " ".join(line)
    for name, value in TUNING.items():
        assert f"--dynamic-config-value {name}={value}" in joined
    assert "--ip 127.0.0.1" in joined
    assert "--ui-ip 127.0.0.1" in joined
    assert "--sqlite-pragma journal_mode=wal --sqlite-pragma synchronous=1" in joined
    assert "--sqlite-pragma wal_autocheckpoint=8000" in joined
    assert "--search-attribute A=Int" in joined
    assert "--sqlite-pragma" not in command(ServerOptions(port=7000, headless=True))


def environment_of(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


async def test_the_servers_garbage_collector_is_tuned_unless_the_environment_says_otherwise(monkeypatch):
    monkeypatch.setenv("GOGC", "150")
    monkeypatch.delenv("GOMEMLIMIT", raising=False)
    async with dev_server(ServerOptions(**QUIET)) as server:
        found = environment_of(server.process.pid)
    assert b"GOGC=150" in found
    assert f"GOMEMLIMIT={environment()['GOMEMLIMIT']}".encode() in found


def test_a_command_without_ports_is_refused():
    with pytest.raises(ValueError, match="port"):
        command(ServerOptions(port=7000))


async def test_a_workflow_runs_and_is_found_by_its_search_attributes(temporal_address):
    client = await Client.connect(temporal_address)
    queue = f"naps-{uuid.uuid4()}"
    correlation = SearchAttributeKey.for_keyword_list("WfeCorrelation")
    async with Worker(
        client, task_queue=queue, workflows=[Napping], workflow_runner=UnsandboxedWorkflowRunner()
    ):
        handle = await client.start_workflow(
            Napping.run,
            0.01,
            id=queue,
            task_queue=queue,
            search_attributes=TypedSearchAttributes([SearchAttributePair(correlation, ["order=7"])]),
        )
        assert await handle.result() == "rested"
    assert (await handle.describe()).typed_search_attributes.get(correlation) == ["order=7"]


async def test_the_web_interface_answers_while_the_block_lasts_and_nothing_is_left_after_it():
    async with dev_server(ServerOptions(log_level="error")) as server:
        host, port = server.ui_url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()
        await writer.wait_closed()
        pids = (server.process.pid, server.process.guard_pid)
    assert all(gone(pid) for pid in pids)


async def test_runs_survive_a_restart_and_an_older_file_learns_new_search_attributes(tmp_path):
    file = tmp_path / "data" / "temporal.db"
    async with dev_server(ServerOptions(data_file=file, search_attributes={}, **QUIET)) as server:
        client = await Client.connect(server.address)
        await client.start_workflow("Napping", 0.01, id="n1", task_queue="naps")
    async with dev_server(ServerOptions(data_file=file, **QUIET)) as server:
        client = await Client.connect(server.address)
        async with Worker(
            client, task_queue="naps", workflows=[Napping], workflow_runner=UnsandboxedWorkflowRunner()
        ):
            assert await client.get_workflow_handle("n1").result() == "rested"
        definition = SearchAttributeKey.for_keyword("WfeDefinition")
        await client.start_workflow(
            "Napping",
            0.01,
            id="n2",
            task_queue="naps",
            search_attributes=TypedSearchAttributes([SearchAttributePair(definition, "order")]),
        )


async def test_a_second_server_on_one_data_file_is_refused(tmp_path):
    options = ServerOptions(data_file=tmp_path / "t.db", **QUIET)
    async with dev_server(options):
        with pytest.raises(Conflict, match=rf"t.db is in use by process {os.getpid()}"):
            async with dev_server(options):
                pass


async def test_a_port_in_use_is_refused_with_the_name_of_its_user():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Conflict, match=rf"port {port} is in use by .+ \(pid {os.getpid()}\)"):
            async with dev_server(ServerOptions(port=port)):
                pass
    assert port_in_use("127.0.0.1", port) is None


async def test_a_server_that_cannot_start_is_reported_with_its_own_words(tmp_path):
    (tmp_path / "t.db").mkdir()
    with pytest.raises(Unavailable, match=r"(?s)ended with code 1 .*last lines:.*database file"):
        async with dev_server(ServerOptions(data_file=tmp_path / "t.db", **QUIET)):
            pass


async def test_waiting_for_a_server_that_is_not_there_ends_with_what_was_tried():
    port = free_port()
    with pytest.raises(
        Unavailable, match=rf"127.0.0.1:{port} .*within 0.2 s; last error: .*refused"
    ) as refused:
        await wait_ready(f"127.0.0.1:{port}", 0.2, log=lambda: ["its last line"])
    assert "its last line" in str(refused.value)


OWNER = """
import asyncio
from workflow_engine.runtimes.temporal.server import ServerOptions, dev_server
async def main():
    async with dev_server(ServerOptions(headless=True, log_level="error")) as server:
        print(server.process.pid, server.process.guard_pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""


@pytest.mark.parametrize("victim", ["owner", "guard"])
async def test_the_server_ends_when_its_owner_or_guard_is_killed(victim):
    owner = await asyncio.create_subprocess_exec(sys.executable, "-c", OWNER, stdout=asyncio.subprocess.PIPE)
    try:
        server, guard = map(int, (await owner.stdout.readline()).split())
        assert not gone(server)
        os.kill({"owner": owner.pid, "guard": guard}[victim], signal.SIGKILL)
        await has_gone(server, guard)
    finally:
        if owner.returncode is None:
            owner.kill()
        await owner.communicate()
