from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from temporalio.client import Client

from tests.cli.programs import QUICK, Journal
from tests.processes import gone, has_gone, parent_of
from workflow_engine.cli.supervisor import GAVE_UP, Child, RestartPolicy, Supervisor, run
from workflow_engine.errors import Conflict
from workflow_engine.runtimes.temporal.server import ServerOptions, command, free_port, wait_ready


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "journal")


@dataclass
class Running:
    supervisor: Supervisor
    out: io.StringIO
    task: asyncio.Task[int]

    async def shows(self, text: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while self.out.getvalue().count(text) < times and not self.task.done():  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert self.out.getvalue().count(text) >= times, self.out.getvalue()


@asynccontextmanager
async def running(data, *children, **options) -> AsyncIterator[Running]:
    """A supervisor with all children ready; stopped, with exit code 0, after the block."""
    out, ready = io.StringIO(), asyncio.Event()
    supervisor = Supervisor(children, data, out=out, **options)
    task = asyncio.create_task(supervisor.run(ready.set))
    announced = asyncio.create_task(ready.wait())
    await asyncio.wait((task, announced), return_when=asyncio.FIRST_COMPLETED)
    announced.cancel()
    assert not task.done(), out.getvalue()
    try:
        yield Running(supervisor, out, task)
    finally:
        supervisor.stop()
        code = await task
    assert code == 0


async def test_children_start_when_what_they_need_is_ready_and_stop_in_reverse(journal, tmp_path):
    children = [
        journal.child("worker", after=("api", "engine")),
        journal.child("api", after=("engine",), url="http://127.0.0.1:8080"),
        journal.child("engine"),
    ]
    async with running(tmp_path, *children) as supervised:
        assert journal.of("pid") == journal.of("up") == ["engine", "api", "worker"]
        starts = [(name, what) for name, what, _ in journal.entries() if what in ("pid", "up")]
        assert starts == [(name, what) for name in ("engine", "api", "worker") for what in ("pid", "up")]
    assert journal.of("down") == ["worker", "api", "engine"]
    shown = supervised.out.getvalue().splitlines()
    assert shown[0] == "engine  starting…"
    assert [line[:8] for line in shown if "ready in" in line] == ["engine  ", "api     ", "worker  "]
    assert any(re.fullmatch(r"api     ready in \d+\.\d s  http://127.0.0.1:8080", line) for line in shown)
    assert all(gone(int(value)) for _, what, value in journal.entries() if what == "pid")


async def test_a_child_that_dies_is_started_again_and_its_last_words_are_shown(journal, tmp_path):
    async with running(
        tmp_path, journal.child("worker", "print=last words"), journal.child("api")
    ) as supervised:
        [pid] = journal.values("worker", "pid")
        os.kill(pid, signal.SIGKILL)
        await supervised.shows("worker  ready again in")
        assert gone(pid)
        assert len(journal.values("worker", "pid")) == 2
        assert len(journal.values("api", "pid")) == 1
    shown = supervised.out.getvalue()
    assert "worker  died: killed by SIGKILL\nworker    | last words\nworker  starts again in 0.0 s\n" in shown
    assert (tmp_path / "logs" / "worker.log").read_text().count("last words") == 2


async def test_when_the_guard_is_killed_the_program_ends_too_and_is_started_again(journal, tmp_path):
    async with running(tmp_path, journal.child("worker")) as supervised:
        [pid] = journal.values("worker", "pid")
        guard = parent_of(pid)
        os.kill(guard, signal.SIGKILL)
        await supervised.shows("worker  ready again in")
        await has_gone(pid, guard)


async def test_a_child_that_dies_too_often_ends_all_and_names_its_log(journal, tmp_path):
    out = io.StringIO()
    fragile = journal.child("fragile", "print=cannot find my configuration", "exit=7", ready=None)
    code = await Supervisor([journal.child("steady"), fragile], tmp_path, out=out).run()
    assert code == GAVE_UP != 0
    assert len(journal.values("fragile", "pid")) == QUICK.limit
    assert "fragile    | cannot find my configuration" in out.getvalue()
    log = tmp_path / "logs" / "fragile.log"
    assert f"giving up: fragile died 3 times in 60 s (exit code 7); read {log}" in out.getvalue()
    assert all(gone(pid) for pid in journal.values("steady", "pid"))
    assert "ended: exit code 7" in log.read_text()


async def test_a_child_that_never_was_ready_is_given_up_sooner(journal, tmp_path, capsys):
    needs_it = journal.child("later", after=("broken",))
    assert await run([journal.child("broken", "exit=2"), needs_it], tmp_path) == GAVE_UP
    assert len(journal.values("broken", "pid")) == QUICK.first_limit
    assert not journal.values("later", "pid")
    assert "giving up: broken does not start (exit code 2)" in capsys.readouterr().err


async def test_a_child_that_is_not_ready_in_time_is_ended(journal, tmp_path):
    out = io.StringIO()
    slow = journal.child("slow", "silent", ready_timeout=0.2)
    assert await Supervisor([slow], tmp_path, out=out).run() == GAVE_UP
    assert "slow  died: not ready within 0.2 s" in out.getvalue()
    assert all(gone(pid) for pid in journal.values("slow", "pid"))


async def test_a_readiness_check_that_fails_is_told(journal, tmp_path):
    async def ready():
        raise ConnectionError("the schema is missing")

    out = io.StringIO()
    assert await Supervisor([journal.child("odd", ready=ready)], tmp_path, out=out).run() == GAVE_UP
    assert "odd  died: not ready: the schema is missing" in out.getvalue()


async def test_a_program_that_is_not_there_is_told(tmp_path):
    out = io.StringIO()
    missing = Child("missing", ["/nowhere/program"], restart=QUICK)
    assert await Supervisor([missing], tmp_path, out=out).run() == GAVE_UP
    assert "cannot start /nowhere/program: No such file or directory" in out.getvalue()


async def test_a_url_that_answers_makes_a_child_ready(journal, tmp_path):
    port = free_port()
    async with running(
        tmp_path, journal.child("api", f"serve={port}", ready=f"http://127.0.0.1:{port}/readyz")
    ):
        assert journal.values("api", "answered") == [503, 204]


async def test_a_child_deaf_to_sigterm_is_killed_after_its_grace(journal, tmp_path):
    async with running(tmp_path, journal.child("deaf", "deaf", grace=2.0)):
        [pid] = journal.values("deaf", "pid")
    assert journal.of("SIGTERM") == ["deaf"]
    assert gone(pid)


async def test_a_second_signal_kills_all_and_starts_none_again(journal, tmp_path):
    children = (journal.child("first"), journal.child("deaf", "deaf", after=("first",), grace=60.0))
    async with running(tmp_path, *children) as supervised:
        os.kill(os.getpid(), signal.SIGTERM)
        await supervised.shows("stopping…")
        os.kill(os.getpid(), signal.SIGTERM)
        assert await supervised.task == 0
        pids = journal.values("first", "pid") + journal.values("deaf", "pid")
    assert len(pids) == 2
    assert all(gone(pid) for pid in pids)
    shown = supervised.out.getvalue()
    assert "killing" in shown
    assert "died" not in shown
    assert "starts again" not in shown


async def test_what_a_child_leaves_behind_ends_with_it(journal, tmp_path):
    async with running(tmp_path, journal.child("parent", "heir")) as supervised:
        [heir] = journal.values("parent", "heir")
        [pid] = journal.values("parent", "pid")
        os.kill(pid, signal.SIGKILL)
        await supervised.shows("ready again in")
        assert gone(heir)
    assert all(gone(heir) for heir in journal.values("parent", "heir"))


async def test_logs_stay_small(journal, tmp_path):
    async with running(tmp_path, journal.child("chatty", "flood=100000"), log_size=20_000, log_backups=2):
        pass
    logs = sorted((tmp_path / "logs").iterdir())
    assert [log.name for log in logs] == ["chatty.log", "chatty.log.1", "chatty.log.2"]
    assert sum(log.stat().st_size for log in logs) <= 3 * 65536


async def test_what_children_print_is_shown_when_asked(journal, tmp_path):
    async with running(tmp_path, journal.child("chatty", "print=good day"), echo=True) as supervised:
        await supervised.shows("chatty  | good day\n")


async def test_children_get_their_environment(tmp_path):
    shell = Child("shell", ["sh", "-c", 'echo "$GREETING in $PATH"; sleep 600'], env={"GREETING": "hello"})
    async with running(tmp_path, shell, echo=True) as supervised:
        await supervised.shows(f"| hello in {os.environ['PATH']}\n")


async def test_a_data_folder_has_one_supervisor(journal, tmp_path):
    async with running(tmp_path, journal.child("first")):
        with pytest.raises(Conflict, match=rf"data folder {tmp_path} is in use by process {os.getpid()}:"):
            await run([journal.child("second")], tmp_path)
    assert not journal.values("second", "pid")


async def test_a_taken_port_is_told_before_anything_starts(journal, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        api = journal.child("api", ports=(("127.0.0.1", port),))
        with pytest.raises(
            Conflict, match=rf"port {port}, wanted by api, is in use by .+ \(pid {os.getpid()}\)"
        ):
            await run([journal.child("engine"), api], tmp_path)
    assert not journal.entries()


async def test_a_supervisor_that_is_cancelled_stops_its_children(journal, tmp_path):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Supervisor([journal.child("one")], tmp_path, out=io.StringIO()).run())
        [pid] = await journal.has("one", "pid")
        await journal.has("one", "up")
        task.cancel()
    assert journal.of("down") == ["one"]
    assert gone(pid)


async def test_an_error_of_the_ready_callback_stops_the_children(journal, tmp_path):
    async def on_ready():
        raise RuntimeError("nobody to greet")

    with pytest.raises(RuntimeError, match="nobody to greet"):
        await Supervisor([journal.child("one")], tmp_path, out=io.StringIO()).run(on_ready)
    assert all(gone(pid) for pid in journal.values("one", "pid"))


@pytest.mark.parametrize(
    ("children", "complaint"),
    [
        ([Child("a", ["x"], after=("b",))], "a waits for b, which is not there"),
        ([Child("a", ["x"], after=("b",)), Child("b", ["x"], after=("a",))], "wait for each other"),
        ([Child("a", ["x"]), Child("a", ["y"])], "same name"),
    ],
)
def test_children_that_cannot_be_ordered_are_refused(children, complaint, tmp_path):
    with pytest.raises(ValueError, match=complaint):
        Supervisor(children, tmp_path)


def test_a_name_that_cannot_be_a_file_is_refused():
    with pytest.raises(ValueError, match="log file"):
        Child("../up", ["x"])


@pytest.mark.temporal
async def test_a_temporal_server_is_kept_running(tmp_path):
    port = free_port()
    options = ServerOptions(port=port, headless=True, data_file=tmp_path / "temporal.db", log_level="error")
    address = f"127.0.0.1:{port}"
    temporal = Child(
        "temporal",
        command(options),
        ready=lambda: wait_ready(address, search_attributes=options.search_attributes),
        ports=(("127.0.0.1", port),),
        restart=RestartPolicy(delay=0.01),
    )
    async with running(tmp_path, temporal) as supervised:
        client = await Client.connect(address)
        await client.start_workflow("Anything", id="kept", task_queue="none")
        holder = [
            line for line in (tmp_path / "logs" / "temporal.log").read_text().splitlines() if "pid" in line
        ]
        os.kill(int(holder[0].rpartition(" ")[2]), signal.SIGKILL)
        await supervised.shows("temporal  ready again in")
        client = await Client.connect(address)
        assert (await client.get_workflow_handle("kept").describe()).workflow_type == "Anything"
