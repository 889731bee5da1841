from __future__ import annotations

import asyncio
import json
import signal

import pytest
from aiohttp import web

from tests.cli.command import EXAMPLES, WFE, environment, wfe
from tests.standins.server import serve

ORDER = EXAMPLES / "store-order-1.0"
PAID = {"order_no": "4711", "amount": 29.9}

HEAD = "document: {{dsl: '1.0.3', namespace: test, name: {}, version: '1.0.0'}}\n"
ADD = HEAD.format("add") + "do:\n  - add:\n      set: {sum: '${ .a + .b }'}\n"
PAUSE = HEAD.format("pause") + "do:\n  - pause:\n      wait: P7D\n  - say:\n      set: done\n"
FAIL = (
    HEAD.format("fail")
    + "do:\n  - fail:\n      raise:\n        error: {type: 'https://example.com/out', status: 418, title: Out}\n"
)
LISTEN = HEAD.format("listen") + "do:\n  - hear:\n      listen: {to: {one: {with: {type: t.heard}}}}\n"
CALLER = (
    HEAD.format("caller")
    + "do:\n  - ask:\n      run: {workflow: {namespace: test, name: add, version: '1.0.0', input: {a: 1, b: 2}}}\n"
)
TRIGGERED = (
    HEAD.format("triggered")
    + "schedule: {on: {one: {with: {type: t.heard}}}}\ndo:\n  - keep:\n      set: {got: '${ .[0].data }'}\n"
)
EVENT = '{"type": "t.heard", "source": "here", "data": {"n": 1}}'


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def run(file, *arguments, **options):
    return wfe("run", file, "--runtime", "local", *arguments, **options)


# --- in this process ------------------------------------------------------------------------------------------


def test_the_output_is_json_on_stdout_and_nothing_else_is_there(write):
    ended = run(write("add.yaml", ADD), "--input", '{"a": 1, "b": 2}')
    assert (ended.code, ended.json, ended.err) == (0, {"sum": 3}, "")


def test_input_comes_from_a_file_or_standard_input(write, tmp_path):
    (tmp_path / "input.json").write_text('{"a": 3, "b": 4}')
    file = write("add.yaml", ADD)
    assert run(file, "--input", f"@{tmp_path / 'input.json'}").json == {"sum": 7}
    assert run(file, "--input", "-", input='{"a": 5, "b": 6}').json == {"sum": 11}
    assert run("-", "--input", '{"a": 7, "b": 8}', input=ADD).json == {"sum": 15}


def test_only_one_thing_comes_from_standard_input():
    ended = run("-", "--input", "-", input=ADD)
    assert (ended.code, ended.out) == (2, "")
    assert "only one thing" in ended.err


def test_waiting_takes_no_time_on_the_virtual_clock(write):
    assert run(write("pause.yaml", PAUSE)).json == "done"


SCRIPT = HEAD.format("script") + (
    "do:\n  - add:\n      run:\n"
    "        script: {language: python, source: {endpoint: add.py}, arguments: {n: '${ .n }'}}\n"
)


def test_a_script_comes_from_a_file_beside_the_workflow(write):
    write("add.py", "return n + 1")
    shown = run(
        write("workflow.yaml", SCRIPT), "--input", '{"n": 1}', env={"WFE_API_URL": "https://wfe.example"}
    )
    assert (shown.code, shown.out.strip()) == (0, "2"), shown.err


def test_a_script_that_is_not_there_is_a_problem(write):
    shown = run(write("workflow.yaml", SCRIPT), "--input", '{"n": 1}')
    assert shown.code == 1
    assert "unresolved" in shown.err
    assert "add.py" in shown.err


def test_a_process_that_the_settings_do_not_allow_is_a_problem_before_the_run(write):
    write("add.py", "return n + 1")
    shown = run(write("workflow.yaml", SCRIPT), "--input", '{"n": 1}', "--processes", "shell,container")
    assert shown.code == 1
    assert "process-not-allowed" in shown.err


def test_a_run_that_faults_fails_with_its_error_on_stderr(write):
    ended = run(write("fail.yaml", FAIL))
    assert (ended.code, ended.out) == (1, "")
    assert ended.error["type"] == "https://example.com/out"
    assert ended.error["status"] == 418
    assert ended.error["instance"] == "/do/0/fail"


def test_an_event_that_nobody_gives_is_named_with_how_to_give_it(write):
    ended = run(write("listen.yaml", LISTEN))
    assert (ended.code, ended.out) == (1, "")
    assert "t.heard" in ended.err
    assert "--event" in ended.err


def test_events_are_given_as_json_or_files_of_one_or_several(write, tmp_path):
    file = write("listen.yaml", LISTEN)
    (tmp_path / "one.json").write_text(EVENT)
    (tmp_path / "several.json").write_text(f'[{{"type": "other", "source": "here"}}, {EVENT}]')
    for event in (EVENT, f"@{tmp_path / 'one.json'}", f"@{tmp_path / 'several.json'}"):
        assert run(file, "--event", event).json == [{"n": 1}]


def test_events_start_a_run_that_they_trigger(write):
    assert run(write("triggered.yaml", TRIGGERED), "--event", EVENT).json == {"got": {"n": 1}}


def test_operations_come_from_asyncapi_documents_that_are_given():
    specs = sorted((ORDER / "catalog").iterdir())
    events = f"@{ORDER / 'events.json'}"
    ended = run(ORDER / "workflow.yaml", "--event", events, "--catalog", *specs)
    assert (ended.code, ended.json) == (0, PAID)


def test_operations_come_from_asyncapi_documents_beside_the_workflow(tmp_path):
    for file in (ORDER / "workflow.yaml", ORDER / "events.json", *(ORDER / "catalog").iterdir()):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    ended = run("workflow.yaml", "--event", "@events.json", cwd=tmp_path)
    assert (ended.code, ended.json) == (0, PAID)


def test_operations_come_from_a_document_that_the_workflow_names_relative_to_itself(write, tmp_path):
    (tmp_path / "specs").mkdir()
    spec = (ORDER / "catalog" / "paymentapp.yaml").read_bytes()
    (tmp_path / "specs" / "pay.yaml").write_bytes(spec)
    file = write(
        "pay.yaml",
        HEAD.format("pay")
        + "do:\n  - pay:\n      call: asyncapi\n      with:\n"
        + "        document: {endpoint: specs/pay.yaml}\n        operation: sendPayment\n"
        + "        message: {payload: '${ . }'}\n",
    )
    ended = run(file, "--input", json.dumps(PAID))
    assert (ended.code, ended.json) == (0, PAID)


def test_a_schema_comes_from_a_file_with_those_that_it_refers_to(write, tmp_path):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "order.yaml").write_text("properties: {by: {$ref: people.json}}")
    (tmp_path / "schemas" / "people.json").write_text('{"required": ["name"]}')
    file = write(
        "checks.yaml",
        HEAD.format("checks")
        + "input: {schema: {resource: {endpoint: 'file://schemas/order.yaml'}}}\ndo: [{a: {set: {ok: true}}}]",
    )
    assert run(file, "--input", '{"by": {"name": "Ada"}}').json == {"ok": True}
    ended = run(file, "--input", '{"by": {}}')
    assert (ended.code, "name" in ended.err) == (1, True)
    (tmp_path / "schemas" / "people.json").unlink()
    ended = run(file, "--input", "{}")
    assert (ended.code, "people.json" in ended.err) == (1, True)


def test_an_operation_that_nobody_knows_is_a_problem_of_the_document():
    ended = run(ORDER / "workflow.yaml")
    assert (ended.code, ended.out) == (1, "")
    assert "workflow.yaml:" in ended.err
    assert "orderapp" in ended.err
    assert "--catalog" in ended.err


def test_a_document_that_is_not_there_is_a_problem_with_a_place(write):
    file = write(
        "pay.yaml",
        HEAD.format("pay")
        + "do:\n  - pay:\n      call: asyncapi\n      with:\n"
        + "        document: {endpoint: file://missing.yaml}\n        operation: sendPayment\n"
        + "        message: {payload: '${ . }'}\n",
    )
    ended = run(file)
    assert (ended.code, ended.out) == (1, "")
    assert f"{file}:7:9: unresolved: " in ended.err
    assert "missing.yaml: No such file" in ended.err


def test_an_asyncapi_document_with_problems_shows_them(write):
    spec = write("bad.yaml", "asyncapi: 2.3.0\n")
    ended = run(write("add.yaml", ADD), "--catalog", spec)
    assert (ended.code, ended.out) == (1, "")
    assert f"{spec}:" in ended.err


def test_other_documents_run_as_sub_workflows(write):
    ended = run(write("caller.yaml", CALLER), "--workflow", write("add.yaml", ADD))
    assert (ended.code, ended.json) == (0, {"sum": 3})


def test_an_invalid_document_shows_its_problems_and_does_not_run(write):
    file = write("wrong.yaml", ADD.replace("set:", "sett:"))
    ended = run(file)
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(f"{file}:4:7: ")


def test_progress_is_shown_when_asked_for(write):
    ended = run(write("add.yaml", ADD), "--input", '{"a": 1, "b": 2}', "--verbose")
    assert ended.json == {"sum": 3}
    assert "completed" in ended.err
    assert "/do/0/add" in ended.err


def test_what_a_workflow_logs_is_shown_with_its_progress(write):
    body = """
id: log
specVersion: '0.8'
functions: [{name: log, type: custom, operation: sysout}]
states:
  - name: A
    type: operation
    actions: [{functionRef: {refName: log, arguments: {message: '"n is \\(.n)"'}}}]
    end: true
"""
    file = write("log.yaml", body)
    ended = run(file, "--input", '{"n": 1}', "--verbose")
    assert ended.json == {"n": 1}
    assert "/states/0/actions/0: n is 1" in ended.err
    assert "n is 1" not in run(file, "--input", '{"n": 1}').err


class Holding:
    """A server that is asked and never answers."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    def app(self) -> web.Application:
        async def hold(_: web.Request) -> web.Response:
            self.asked.set()
            await asyncio.sleep(600)
            return web.Response()

        app = web.Application()
        app.router.add_get("/", hold)
        return app


def ask(url: str) -> str:
    return (
        HEAD.format("ask")
        + f"do:\n  - ask:\n      call: http\n      with: {{method: get, endpoint: '{url}'}}\n"
    )


async def test_a_run_that_takes_too_long_is_given_up(write):
    async with serve(Holding().app()) as server:
        ended = await asyncio.to_thread(run, write("ask.yaml", ask(server.url)), "--timeout", 1)
    assert (ended.code, ended.out) == (1, "")
    assert "has not ended within 1 s" in ended.err


async def test_ctrl_c_ends_a_run_quietly(write):
    holding = Holding()
    async with serve(holding.app()) as server:
        command = [*WFE, "run", str(write("ask.yaml", ask(server.url))), "--runtime", "local"]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment()
        )
        try:
            async with asyncio.timeout(60):
                await holding.asked.wait()
                process.send_signal(signal.SIGINT)
                out, err = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


# --- on Temporal ----------------------------------------------------------------------------------------------


@pytest.mark.temporal
def test_a_run_on_temporal_gives_the_same_output():
    specs = sorted((ORDER / "catalog").iterdir())
    ended = wfe(
        "run",
        ORDER / "workflow.yaml",
        "--event",
        f"@{ORDER / 'events.json'}",
        "--catalog",
        *specs,
        "--verbose",
    )
    assert (ended.code, ended.json) == (0, PAID), ended.err
    assert "starting Temporal" in ended.err


@pytest.mark.temporal
def test_a_run_on_temporal_that_faults_fails_with_its_error_on_stderr(write):
    ended = wfe("run", write("fail.yaml", FAIL))
    assert (ended.code, ended.out) == (1, "")
    assert ended.error["status"] == 418


@pytest.mark.temporal
def test_a_run_on_temporal_that_does_not_end_says_where_it_is(write):
    ended = wfe("run", write("listen.yaml", LISTEN), "--timeout", 2)
    assert (ended.code, ended.out) == (1, "")
    assert "waiting" in ended.err
    assert "t.heard" in ended.err
