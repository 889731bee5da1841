"""`wfe dev` and the commands that use a server, on the real thing: Temporal, API and worker are started here."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from temporalio.api.history.v1 import WorkflowExecutionStartedEventAttributes
from temporalio.client import Client

from tests.cli.command import EXAMPLES, WFE, Ended, environment, wfe
from tests.processes import gone
from workflow_engine.cli.dev import configure
from workflow_engine.cli.options import variable
from workflow_engine.cli.stack import Port, Stack, choose_ports
from workflow_engine.errors import Conflict
from workflow_engine.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

ORDER = EXAMPLES / "store-order-0.8"
PATIENCE = 90.0


@dataclass
class Dev:
    data: Path
    process: subprocess.Popen[bytes]
    urls: dict[str, str]

    def wfe(self, *arguments: object, **options: Any) -> Ended:
        return wfe(*arguments, env={"WFE_API_URL": self.urls["api"]}, **options)

    def programs(self) -> list[int]:
        """The processes that were started for this data folder, guards included."""
        mark = os.fsencode(self.data)
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            except OSError:
                continue
            if mark in seen and int(process.name) != self.process.pid:
                found.append(int(process.name))
        return found

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(PATIENCE)


@contextmanager
def dev(data: Path, env: Mapping[str, str] | None = None) -> Iterator[Dev]:
    command = [*WFE, "dev", "--json", "--data", str(data)]
    command += ["--port", "0", "--temporal-port", "0", "--ui-port", "0"]
    data.parent.mkdir(parents=True, exist_ok=True)
    with (data.parent / "dev.err").open("ab") as errors:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, env=environment(env), start_new_session=True
        )
        try:
            yield Dev(data, process, urls_of(process, data.parent / "dev.err"))
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()  # its guards end the others
                    process.wait()
            process.stdout.close()


def urls_of(process: subprocess.Popen[bytes], errors: Path) -> dict[str, str]:
    """The JSON that is printed when all are ready."""
    printed, deadline = b"", time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 1)[0]:
            chunk = os.read(process.stdout.fileno(), 65536)
            if not chunk:
                break
            printed += chunk
            if printed.endswith(b"}\n"):
                return json.loads(printed)
    process.kill()
    process.wait()
    raise AssertionError(f"wfe dev did not get ready: {errors.read_text()}")


@pytest.fixture(scope="module")
def running(tmp_path_factory) -> Iterator[Dev]:
    with dev(tmp_path_factory.mktemp("dev") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def deployed(running) -> Dev:
    """With the order workflow and what it needs."""
    added = running.wfe("catalog", "add", *sorted((ORDER / "catalog").iterdir()))
    assert added.code == 0, added.err
    ended = running.wfe("deploy", ORDER / "workflow.yaml")
    assert ended.code == 0, ended.err
    assert ended.out.startswith("default/store-order/1.0 ")
    assert ended.out.endswith(" created\n")
    return running


def write(folder: Path, name: str, does: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(
        f"document: {{dsl: '1.0.3', namespace: test, name: {name}, version: '1.0.0'}}\ndo:\n{does}"
    )
    return path


# --- the commands that use a server ---------------------------------------------------------------------------


def test_every_option_of_wfe_dev_reaches_its_programs():
    parser = argparse.ArgumentParser()
    configure(parser)
    chosen = [action.dest for action in parser._actions if action.dest.startswith("setting_")]
    stack = Stack.of(Settings(), temporal_port=1, ui_port=2)
    for child in stack.children()[1:]:
        missing = {variable(dest.removeprefix("setting_")) for dest in chosen} - child.env.keys()
        assert not missing


def test_the_urls_that_are_printed_answer(running):
    with urlopen(f"{running.urls['api']}/readyz") as ready, urlopen(running.urls["temporal_ui"]) as ui:
        assert (ready.status, ui.status) == (200, 200)
    with urlopen(running.urls["docs"]) as docs:
        assert docs.status == 200


def test_the_same_text_is_deployed_once_and_another_is_refused(deployed, tmp_path):
    again = deployed.wfe("deploy", ORDER / "workflow.yaml")
    assert (again.code, again.out.split()[-1]) == (0, "unchanged")
    other = tmp_path / "other.yaml"
    other.write_text((ORDER / "workflow.yaml").read_text().replace("paid", "settled"))
    refused = deployed.wfe("deploy", other)
    assert (refused.code, refused.out) == (1, "")
    assert "new version" in refused.err


def test_all_files_are_tried_and_problems_name_their_place(running, tmp_path):
    bad = write(tmp_path, "bad", "  - x: {sett: 1}\n")
    good = write(tmp_path, "good", "  - x: {set: {n: 1}}\n")
    ended = running.wfe("deploy", bad, good, tmp_path / "missing.yaml")
    assert ended.code == 2
    assert ended.out.startswith("test/good/1.0.0 ")
    assert f"{bad}:3:" in ended.err
    assert "missing.yaml: No such file" in ended.err
    as_json = running.wfe("deploy", "--json", bad, good)
    assert as_json.code == 1
    first, second = as_json.json
    assert first["problems"][0]["line"] == 3
    assert (second["name"], second["created"]) == ("good", False)


def recipients(running: Dev, event: str) -> list[dict[str, Any]]:
    return running.wfe("events", "trace", event, "--json").json[0]["recipients"]


def test_an_event_starts_a_run_whose_way_can_be_followed(deployed):
    published = deployed.wfe("events", "publish", f"@{ORDER / 'events.json'}")
    assert published.code == 0, published.err
    assert published.out.split()[0] == "order-4711"
    assert published.out.endswith(" stored\n")
    again = deployed.wfe("events", "publish", f"@{ORDER / 'events.json'}")
    assert again.out.endswith(" duplicate\n")

    deadline = time.monotonic() + PATIENCE
    while not all(each["attempts"] for each in recipients(deployed, "order-4711")):
        assert (
            time.monotonic() < deadline
        )  # it is stored when it is published, and delivered some moments later
    [recipient] = recipients(deployed, "order-4711")
    assert recipient["subscription"] == "workflow:default/store-order"
    id = recipient["attempts"][-1]["reference"]
    assert id in deployed.wfe("events", "trace", "order-4711").out

    waited = deployed.wfe("runs", "wait", id, "--timeout", 60)
    assert (waited.code, waited.json["order_no"]) == (0, "4711")
    shown = deployed.wfe("runs", "show", id)
    assert "status    completed" in shown.out
    assert "default/store-order/1.0" in shown.out
    assert deployed.urls["temporal_ui"] in shown.out
    paid = deployed.wfe("events", "list", "--channel", "payment/create", "--json").json
    assert paid[0]["event"]["data"]["order_no"] == "4711"
    assert "payment/create" in deployed.wfe("events", "channels").out


def test_a_run_is_started_with_input_and_waited_for(running, tmp_path):
    assert running.wfe("deploy", write(tmp_path, "add", "  - x: {set: '${ .a + .b }'}\n")).code == 0
    ended = running.wfe("start", "add", "--input", '{"a": 1, "b": 2}', "--id", "sum-1", "--wait")
    assert ended.code == 0, ended.err
    assert (ended.json["id"], ended.json["status"], ended.json["output"]) == ("sum-1", "completed", 3)
    taken = running.wfe("start", "test/add/1.0.0", "--id", "sum-1")
    assert (taken.code, taken.out) == (1, "")
    assert "sum-1" in taken.err


def test_a_run_that_faults_fails_the_command_that_waits_for_it(running, tmp_path):
    raises = "  - x: {raise: {error: {type: 'https://example.com/out', status: 418}}}\n"
    assert running.wfe("deploy", write(tmp_path, "faulty", raises)).code == 0
    ended = running.wfe("start", "faulty", "--wait")
    assert ended.code == 1
    assert ended.json["status"] == "faulted"
    assert ended.error["status"] == 418


def test_a_run_is_listed_suspended_resumed_and_cancelled(running, tmp_path):
    assert running.wfe("deploy", write(tmp_path, "nap", "  - x: {wait: PT1H}\n")).code == 0
    assert running.wfe("start", "nap", "--id", "nap-1").json["id"] == "nap-1"
    late = running.wfe("runs", "wait", "nap-1", "--timeout", 1)
    assert late.code == 1
    assert "has not ended after 1 s" in late.err
    for command in ("suspend", "resume", "cancel"):
        done = running.wfe("runs", command, "nap-1")
        assert done.code == 0, done.err
    assert done.out in ("nap-1 waiting, asked to end\n", "nap-1 cancelled\n")  # it may have ended by then
    ended = running.wfe("runs", "wait", "nap-1", "--timeout", 60)
    assert (ended.code, ended.out) == (1, "")
    assert "cancelled" in ended.err
    deadline = time.monotonic() + PATIENCE
    while "nap-1" not in running.wfe("runs", "list", "--status", "cancelled").out:
        assert time.monotonic() < deadline  # lists are a moment behind
    listed = running.wfe("runs", "list", "--workflow", "test/nap", "--json").json
    assert [run["id"] for run in listed] == ["nap-1"]


def test_an_event_is_made_of_options_and_found_again(running):
    published = running.wfe(
        *("events", "publish", "--type", "t.made", "--source", "/here", "--subject", "it"),
        *("--data", '{"n": 1}', "--attribute", "colour=red", "--channel", "made", "--json"),
    )
    assert published.code == 0, published.err
    [accepted] = published.json
    listed = running.wfe("events", "list", "--type", "t.made", "--since", "PT1H", "--json").json
    [found] = listed
    assert found["channel"] == "made"
    assert found["event"] == {
        "specversion": "1.0",
        "id": accepted["id"],
        "type": "t.made",
        "source": "/here",
        "subject": "it",
        "colour": "red",
        "datacontenttype": "application/json",
        "data": {"n": 1},
    }
    assert "nobody wanted it" in running.wfe("events", "trace", accepted["id"]).out
    assert running.wfe("events", "trace", "nothing").code == 1


def test_workflows_are_listed_shown_and_drawn(deployed):
    assert "default/store-order/1.0" in deployed.wfe("workflows", "list").out
    assert deployed.wfe("workflows", "show", "store-order").out == (ORDER / "workflow.yaml").read_text()
    assert deployed.wfe("workflows", "show", "store-order", "--graph", "dot").out.startswith("digraph")
    assert "1.0" in deployed.wfe("workflows", "show", "store-order", "--versions").out
    assert (
        '"asyncapi": "3.0.0"'
        in deployed.wfe("workflows", "show", "store-order", "--contract", "asyncapi").out
    )
    missing = deployed.wfe("start", "nothing-of-the-kind")
    assert (missing.code, missing.out) == (1, "")
    assert "wfe workflows list" in missing.err


def test_a_second_dev_in_the_same_folder_is_refused_with_who_holds_it(running):
    ended = wfe("dev", "--data", running.data, "--port", "0", "--temporal-port", "0", "--ui-port", "0")
    assert (ended.code, ended.out) == (2, "")
    assert f"process {running.process.pid}" in ended.err


def test_a_worker_that_dies_is_started_again(running, tmp_path):
    ready = running.data / "worker.ready"
    before = ready.read_text()
    os.kill(int(before), signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE
    while not ready.exists() or ready.read_text() in ("", before):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert running.wfe("deploy", write(tmp_path, "later", "  - x: {set: {n: 1}}\n")).code == 0
    assert running.wfe("start", "later", "--wait", "60").code == 0


# --- starting and stopping ------------------------------------------------------------------------------------


def test_all_goes_on_where_it_was_after_ctrl_c_and_all_ends_when_dev_is_killed(tmp_path):
    listens = "  - x: {listen: {to: {one: {with: {type: t.late}}}}}\n"
    with dev(tmp_path / "data") as first:
        assert first.wfe("deploy", write(tmp_path, "patient", listens)).code == 0
        assert first.wfe("start", "patient", "--id", "patient-1").code == 0
        programs = first.programs()
        assert len(programs) >= 3
        assert first.interrupt() == 0
        assert all(gone(pid) for pid in programs)
    with dev(tmp_path / "data") as second:
        event = '{"type": "t.late", "source": "here", "data": "at last"}'
        assert second.wfe("events", "publish", event).code == 0
        ended = second.wfe("runs", "wait", "patient-1", "--timeout", 60)
        assert (ended.code, ended.json) == (0, ["at last"])
        programs = second.programs()
        second.process.kill()
        second.process.wait()
        deadline = time.monotonic() + PATIENCE
        while not all(gone(pid) for pid in programs):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_an_api_that_works_too_begins_runs_at_once_and_there_is_no_other_worker(tmp_path):
    waits = "  - x: {listen: {to: {one: {with: {type: t.late}}}}}\n"
    with dev(tmp_path / "data", env={"WFE_API_WORKER": "true"}) as running:
        assert running.wfe("deploy", write(tmp_path, "patient", waits)).code == 0
        assert running.wfe("start", "patient", "--id", "patient-1").code == 0
        assert running.wfe("runs", "show", "patient-1").out
        assert not (running.data / "worker.ready").exists()
        history = asyncio.run(began(running.urls["temporal"], "patient-1"))
        assert history.eager_execution_accepted
        assert running.interrupt() == 0
    with dev(tmp_path / "data", env={"WFE_API_WORKER": "true"}) as again:
        event = '{"type": "t.late", "source": "here", "data": "at last"}'
        assert again.wfe("events", "publish", event).code == 0
        assert again.wfe("runs", "wait", "patient-1", "--timeout", 60).json == ["at last"]


async def began(address: str, run_id: str) -> WorkflowExecutionStartedEventAttributes:
    """What the first event of a run's history says."""
    client = await Client.connect(address)
    async for event in client.get_workflow_handle(run_id).fetch_history_events():
        return event.workflow_execution_started_event_attributes
    raise AssertionError(run_id)


def test_a_port_that_was_asked_for_and_is_taken_is_refused_with_who_has_it(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        ended = wfe("dev", "--data", tmp_path, "--port", number)
    assert (ended.code, ended.out) == (2, "")
    assert f"port {number} is in use by" in ended.err
    assert f"(pid {os.getpid()})" in ended.err
    assert "--port" in ended.err


def test_a_default_port_that_is_taken_gives_way_to_the_next():
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        [chosen] = choose_ports([Port("--port", number, explicit=False)], said.append)
        with pytest.raises(Conflict, match=f"port {number} is in use"):
            choose_ports([Port("--port", number, explicit=True)], said.append)
    assert number < chosen <= number + 100
    assert len(said) == 1
    assert str(chosen) in said[0]


def test_failed_runs_are_retried_with_other_data_and_led_past_the_failed_state_by_a_query(running, tmp_path):
    check = "  - check: {if: .n != 2, raise: {error: {type: 'https://x.example/not-two', status: 422}}}\n"
    body = check + "  - last: {set: {got: '${ .n }'}}\n"
    assert running.wfe("deploy", write(tmp_path, "picky", body)).code == 0
    for id in ("picky-1", "picky-2"):
        assert running.wfe("start", "picky", "--id", id, "--input", '{"n": 1}', "--wait").code == 1
    assert running.wfe("runs", "retry", "picky-1", "--data", '{"n": 2}').code == 0
    shown = running.wfe("runs", "show", "picky-1", "--data").out
    assert "attempt 1 faulted at /do/0/check" in shown
    query = ("--query", "workflow=test/picky,error=not-two,after=1h")
    while (counted := running.wfe("runs", "skip", *query, "--dry-run")).out != "picky-2\n":
        pass  # Temporal lists a run a little after it has ended
    assert "1 run" in counted.err
    done = running.wfe("runs", "skip", *query, "--data", '{"n": 3}', "--yes")
    assert (done.code, done.out) == (0, "1 done, 0 refused, 0 failed\n")
    assert running.wfe("runs", "wait", "picky-2", "--timeout", 60).json == {"got": 3}
