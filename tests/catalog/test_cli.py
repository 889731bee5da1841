from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from catalog.cli import main
from tests.catalog.documents import LIGHTS, ORDERS

ROOT = Path(__file__).parents[2]


class Program:
    """``python -m catalog serve`` in a process of its own."""

    def __init__(self, *arguments, cwd):
        command = [sys.executable, "-m", "catalog", "serve", "--port", "0", *arguments]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd, env=environment
        )
        self.url = self.process.stdout.readline().strip()

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=30)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    program = Program("--store", "memory:", cwd=tmp_path_factory.mktemp("server"))
    yield program.url
    program.stop()


@pytest.fixture
def run(server, capsys):
    def run(*arguments):
        remote = () if arguments[0] in ("lint", "serve") else ("--server", server)
        code = main([*arguments, *remote])
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "orders.yaml"
    path.write_text(ORDERS)
    return str(path)


@pytest.fixture
def lights(tmp_path):
    path = tmp_path / "lights.yaml"
    path.write_text(LIGHTS)
    return str(path)


def test_documents_are_added_listed_shown_and_removed(run, orders, lights):
    code, out, err = run("add", orders, lights)
    assert (code, out) == (0, "orders 1.0.0: 3 operations\nlights 2.1.0: 2 operations\n")
    assert f"{orders}:31:5: warning: missing-operation-id" in err
    assert run("list")[1].splitlines() == [
        "lights  2.1.0  AsyncAPI 3.0.0  2 operations  lights",
        "orders  1.0.0  AsyncAPI 2.6.0  3 operations  orders",
    ]
    assert run("show", "lights")[1].splitlines()[1:] == [
        "  publish    turnOn           lights/{id}/on   TurnOn",
        "  subscribe  sendMeasurement  lights/measured  measured",
    ]
    assert json.loads(run("show", "orders#createOrder")[1])["channel"] == "orders/{region}/created"
    assert [spec["name"] for spec in json.loads(run("list", "--json")[1])] == ["lights", "orders"]
    shown = json.loads(run("show", "orders", "--version", "1.0.0", "--json")[1])
    assert [operation["operation"] for operation in shown["operations"]] == [
        "createOrder",
        "orderCreated",
        None,
    ]
    assert run("remove", "orders") == (0, "", "")
    assert run("remove", "lights", "--version", "2.1.0") == (0, "", "")
    assert run("list") == (0, "", "")


def test_a_name_can_be_chosen(run, orders, lights):
    assert run("add", orders, "--name", "shop")[1] == "shop 1.0.0: 3 operations\n"
    run("remove", "shop")
    code, _, err = run("add", orders, lights, "--name", "shop")
    assert (code, err) == (2, "catalog: --name goes with one FILE\n")


def test_a_title_that_cannot_be_a_name_is_told(run, tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("asyncapi: 3.0.0\ninfo: {title: a/b, version: '1'}\n")
    code, _, err = run("add", str(path))
    assert code == 1
    assert "give one with --name" in err


def test_problems_are_told_where_they_are_and_good_files_are_still_added(run, orders, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("asyncapi: 2.6.0\ninfo:\n  title: 1\n  version: '1'\n  titel: x\n")
    code, out, err = run("add", str(bad), orders)
    assert (code, out) == (1, "orders 1.0.0: 3 operations\n")
    assert f"{bad}:3:3: invalid-value: 'title' must be text; quote it\n" in err
    assert f"{bad}:5:3: unknown-property: " in err
    run("remove", "orders")


def test_another_text_under_a_version_needs_replace(run, orders):
    run("add", orders)
    Path(orders).write_text(ORDERS + "# changed\n")
    code, _, err = run("add", orders)
    assert (code, "ask to replace it with --replace" in err) == (1, True)
    assert run("add", orders, "--replace")[0] == 0
    run("remove", "orders")


def test_what_is_not_there_is_told(run):
    assert run("show", "nothing") == (1, "", "catalog: no service 'nothing'\n")
    assert run("show", "nothing#x")[0] == 1
    assert run("show", "#")[0] == 2
    assert run("remove", "nothing")[0] == 1


def test_a_file_that_cannot_be_read_is_wrong_usage(run, tmp_path):
    code, _, err = run("add", str(tmp_path / "none.yaml"))
    assert (code, "No such file" in err) == (2, True)
    assert run("lint", str(tmp_path))[0] == 2


def test_lint_needs_no_server(run, orders, tmp_path):
    code, out, err = run("lint", orders)
    assert (code, out) == (0, "")
    assert "missing-operation-id" in err
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"ok: 1\nbad: \xff")
    assert run("lint", str(bad)) == (1, "", f"{bad}:2:1: not-utf-8: the document is not UTF-8\n")
    bad.write_bytes(b"x" * 2_000_000)
    assert "too-large" in run("lint", str(bad))[2]


def test_a_server_that_is_not_there_is_exit_code_3(orders, capsys):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    assert main(["add", orders, "--server", url]) == 3
    assert url in capsys.readouterr().err
    assert main(["list", "--server", "nonsense"]) == 2


def test_standard_input_is_a_file_too(capsys, tmp_path):
    command = [sys.executable, "-m", "catalog", "lint", "-"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, input="asyncapi: 1", text=True, capture_output=True, env=environment, check=False
    )
    assert (done.returncode, done.stderr.startswith("-:1:1: unsupported-version")) == (1, True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serve_keeps_documents_and_ends_when_told(tmp_path, orders, capsys, number):
    store = ("--store", f"sqlite:///{tmp_path}/catalog.db")
    first = Program(*store, cwd=tmp_path)
    assert main(["add", orders, "--server", first.url]) == 0
    with urllib.request.urlopen(f"{first.url}/docs") as page:
        assert page.status == 200
    code, out, _ = first.stop(number)
    assert (code, out) == (0, "")
    second = Program(*store, cwd=tmp_path)
    capsys.readouterr()
    assert main(["list", "--server", second.url]) == 0
    assert capsys.readouterr().out.startswith("orders  1.0.0")
    second.stop()


def test_serving_others_needs_a_token(capsys):
    assert main(["serve", "--host", "0.0.0.0", "--port", "0"]) == 2
    assert "needs --token" in capsys.readouterr().err


def test_a_token_is_asked_of_the_commands(tmp_path, orders, capsys):
    program = Program("--store", "memory:", "--token", "secret", cwd=tmp_path)
    try:
        assert main(["add", orders, "--server", program.url]) == 2
        assert "wants its token" in capsys.readouterr().err
        assert main(["add", orders, "--server", program.url, "--token", "secret"]) == 0
    finally:
        program.stop()


def test_serve_says_why_it_cannot(tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port, "--store", "memory:"]) == 2
    assert "cannot be listened on" in capsys.readouterr().err
    assert main(["serve", "--port", "0", "--store", "nonsense"]) == 2
    assert "names no store" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["serve", "--port", "0", "--store", f"sqlite:///{tmp_path}/file/catalog.db"]) == 3


def test_wrong_usage_is_exit_code_2(capsys):
    for arguments in ([], ["nothing"], ["serve", "--port", "70000"]):
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        assert raised.value.code == 2
