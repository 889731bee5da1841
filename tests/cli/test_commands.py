from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.cli.command import EXAMPLES, ROOT, WFE, environment, wfe
from workflow_engine.cli.main import COMMANDS

ORDER = EXAMPLES / "store-order-0.8" / "workflow.yaml"
NOT_THERE = "http://127.0.0.1:1"

VALID = """\
document: {dsl: '1.0.3', namespace: test, name: hello, version: '1.0.0'}
do:
  - greet:
      set: {message: hello}
"""
DOUBTFUL = """\
document: {dsl: '1.0.3', namespace: test, name: round, version: '1.0.0'}
do:
  - again:
      wait: PT1S
      then: again
"""


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


# --- the page, and what is not a command --------------------------------------------------------------------


def test_the_page_of_help_has_every_command_with_an_example():
    shown = wfe("--help")
    assert (shown.code, shown.err) == (0, "")
    for command in COMMANDS.values():
        assert command.summary in shown.out
        assert command.example in shown.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_and_its_options(command):
    shown = wfe(command, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"usage: wfe {command}")


@pytest.mark.parametrize(
    "words",
    [
        ("runs", "list"),
        ("runs", "show"),
        ("runs", "cancel"),
        ("events", "publish"),
        ("events", "trace"),
        ("workflows", "show"),
        ("catalog", "add"),
    ],
)
def test_the_commands_of_a_group_explain_themselves_too(words):
    shown = wfe(*words, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(f"usage: wfe {' '.join(words)}")


def test_settings_are_named_in_help_with_their_variable_and_default():
    shown = wfe("api", "--help").out
    assert "--port" in shown
    assert "WFE_PORT; default 8080" in " ".join(shown.split())


def test_no_command_shows_the_page_and_is_wrong_usage():
    shown = wfe()
    assert (shown.code, shown.out) == (2, "")
    assert "wfe validate order.yaml" in shown.err


def test_a_command_that_is_nearly_right_is_suggested():
    shown = wfe("validte", "x.yaml")
    assert (shown.code, shown.out) == (2, "")
    assert "did you mean `wfe validate`?" in shown.err


def test_an_unknown_option_is_wrong_usage():
    assert wfe("validate", "--nonsense", ORDER).code == 2
    assert wfe("--nonsense").code == 2


def test_an_option_that_is_nearly_right_is_suggested_also_one_of_a_command_in_a_group():
    assert "did you mean --wait?" in wfe("start", "shop/order", "--wiat").err
    shown = wfe("runs", "list", "--jsno")
    assert (shown.code, shown.out) == (2, "")
    assert "usage: wfe runs list" in shown.err
    assert "did you mean --json?" in shown.err


def test_a_group_alone_shows_its_commands_and_is_wrong_usage():
    shown = wfe("runs")
    assert (shown.code, shown.out) == (2, "")
    assert "  list       runs, newest first\n" in shown.err


def test_a_variable_that_is_nearly_a_setting_is_told():
    shown = wfe(
        "run", EXAMPLES / "pick-a-colour/workflow.yaml", "--runtime", "local", env={"WFE_API_TOKNE": "x"}
    )
    assert "warning: there is no setting WFE_API_TOKNE; did you mean WFE_API_TOKEN?" in shown.err
    secret = wfe("runs", "list", "--api-url", NOT_THERE, env={"WFE_SECRET_S": "x", "WFE_MINE": "x"})
    assert "warning" not in secret.err


def test_why_a_server_is_not_reached_is_said_in_words():
    assert (
        f"the API at {NOT_THERE} cannot be reached: Connection refused\n"
        in wfe("runs", "list", "--api-url", NOT_THERE).err
    )


def test_the_version_is_a_result():
    assert wfe("--version").out.startswith("wfe ")


def test_help_is_a_command_too():
    assert wfe("help", "runs").out == wfe("runs", "--help").out


def test_help_and_validate_import_no_server():
    code = (
        "import sys\n"
        "from workflow_engine.cli.main import main\n"
        f"assert main(['validate', {str(ORDER)!r}]) == 0\n"
        "heavy = {'temporalio', 'fastapi', 'aiohttp', 'uvicorn', 'catalog'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    command = [sys.executable, "-c", code]
    ended = subprocess.run(command, env=environment(), capture_output=True, cwd=ROOT, check=False)
    assert ended.returncode == 0, ended.stderr.decode()


# --- new ------------------------------------------------------------------------------------------------------


def test_a_workflow_to_begin_with_is_valid_and_runs(tmp_path):
    made = wfe("new", "my first_one.yaml", cwd=tmp_path)
    assert (made.code, made.out) == (0, "my first_one.yaml\n"), made.err
    assert "name: my-first-one\n" in (tmp_path / "my first_one.yaml").read_text()
    assert wfe("validate", "--strict", "my first_one.yaml", cwd=tmp_path).code == 0
    ran = wfe("run", "my first_one.yaml", "--runtime", "local", "--input", '{"name": "Ann"}', cwd=tmp_path)
    assert ran.json["greeting"] == "Hello, Ann!"


def test_a_workflow_to_begin_with_overwrites_nothing(tmp_path):
    (tmp_path / "hello.yaml").write_text("mine")
    refused = wfe("new", "hello.yaml", cwd=tmp_path)
    assert (refused.code, refused.err) == (
        2,
        "wfe new: error: hello.yaml is there already; name another file\n",
    )
    assert (tmp_path / "hello.yaml").read_text() == "mine"
    assert wfe("new", "nowhere/hello.yaml", cwd=tmp_path).code == 2
    assert wfe("new", "...", cwd=tmp_path).code == 2


# --- validate -------------------------------------------------------------------------------------------------


def test_valid_documents_print_nothing_and_are_counted_on_stderr(write):
    shown = wfe("validate", ORDER, write("hello.yaml", VALID))
    assert (shown.code, shown.out) == (0, "")
    assert shown.err == "2 files, no problems\n"


def test_problems_are_lines_that_editors_understand(write):
    file = write("wrong.yaml", VALID.replace("set:", "sett:"))
    shown = wfe("validate", file)
    assert shown.code == 1
    first = shown.out.splitlines()[0]
    assert first.startswith(f"{file}:4:7: ")
    assert shown.err.startswith("1 file: 1 error")


def test_warnings_alone_are_fine_unless_strict(write):
    file = write("round.yaml", DOUBTFUL)
    shown = wfe("validate", file)
    assert shown.code == 0
    assert "warning: endless-loop" in shown.out
    assert wfe("validate", "--strict", file).code == 1


def test_a_document_comes_from_standard_input():
    shown = wfe("validate", "-", input="nonsense: true")
    assert shown.code == 1
    assert shown.out.startswith("<stdin>:1:1: ")


def test_problems_as_json_name_their_file(write):
    file, good = write("wrong.yaml", VALID.replace("set:", "sett:")), write("hello.yaml", VALID)
    shown = wfe("validate", "--json", file, good)
    assert shown.code == 1
    first, second = shown.json
    assert (first["file"], first["valid"], first["problems"][0]["line"]) == (str(file), False, 4)
    assert second == {"file": str(good), "valid": True, "problems": []}


def test_a_file_that_cannot_be_read_is_wrong_usage_and_the_others_are_checked(write, tmp_path):
    file = write("wrong.yaml", "nonsense: true")
    shown = wfe("validate", tmp_path / "missing.yaml", tmp_path, file)
    assert shown.code == 2
    assert shown.out.startswith(f"{file}:1:1: ")
    assert "missing.yaml: No such file" in shown.err
    assert f"{tmp_path} is a folder" in shown.err


def test_bytes_that_are_no_text_are_a_problem_with_a_place(write, tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"document:\n  \xff")
    shown = wfe("validate", tmp_path / "bytes.yaml")
    assert shown.code == 1
    assert "bytes.yaml:2:3: not-utf-8" in shown.out


def test_control_characters_of_a_document_do_not_reach_the_terminal(write):
    file = write("steer.yaml", VALID + '"\\e[2J": 1\n')
    shown = wfe("validate", file)
    assert shown.code == 1
    assert "\x1b" not in shown.out


# --- explain and graph ----------------------------------------------------------------------------------------


def test_a_problem_code_is_explained():
    shown = wfe("explain", "unknown-property")
    assert (shown.code, shown.err) == (0, "")
    assert "no such property" in " ".join(shown.out.split())


def test_an_unknown_code_is_wrong_usage_and_the_nearest_is_named():
    shown = wfe("explain", "unknown-propertie")
    assert (shown.code, shown.out) == (2, "")
    assert "did you mean 'unknown-property'?" in shown.err


def test_explain_alone_lists_the_codes():
    assert "wrong-type" in wfe("explain").out.splitlines()


@pytest.mark.parametrize(
    ("format", "begins"), [("mermaid", "flowchart TD"), ("dot", "digraph workflow {"), ("json", "{")]
)
def test_a_graph_is_drawn_in_every_format(format, begins):
    shown = wfe("graph", ORDER, "--format", format)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith(begins)
    if format == "json":
        assert json.loads(shown.out)["name"] == "default/store-order/1.0"


def test_an_invalid_document_has_no_graph_and_its_problems_are_on_stderr(write):
    file = write("wrong.yaml", "nonsense: true")
    shown = wfe("graph", file)
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith(f"{file}:1:1: ")


@pytest.mark.parametrize("words", [("graph", ORDER), ("--help",), ("help",)])
def test_a_reader_that_has_had_enough_ends_the_command_quietly(words):
    reading, writing = os.pipe()
    os.close(reading)
    try:
        ended = subprocess.run(
            [*WFE, *map(str, words)],
            stdout=writing,
            stderr=subprocess.PIPE,
            env=environment(),
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


# --- servers that are not there, and what is wrong before one is asked -----------------------------------------


@pytest.mark.parametrize(
    "words",
    [
        ("deploy", ORDER),
        ("start", "shop/order"),
        ("runs", "list"),
        ("events", "publish", "--type", "t", "--source", "s"),
        ("workflows", "list"),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_with_what_to_do(words):
    shown = wfe(*words, "--api-url", NOT_THERE)
    assert (shown.code, shown.out) == (3, "")
    assert NOT_THERE in shown.err
    assert "wfe dev" in shown.err


def test_the_catalog_is_where_the_api_is():
    shown = wfe("catalog", "list", env={"WFE_API_URL": NOT_THERE})
    assert (shown.code, shown.out) == (3, "")
    assert NOT_THERE in shown.err
    assert "wfe dev" in shown.err


def test_an_option_wins_over_the_environment():
    shown = wfe("runs", "list", "--api-url", NOT_THERE, env={"WFE_API_URL": "http://127.0.0.1:2"})
    assert NOT_THERE in shown.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("runs", "list", "--api-url", "nonsense"), "is not an http or https URL"),
        (("start", "a/b/c/d"), "names no workflow"),
        (("start", "order", "--input", "{"), "--input:1:2: this is not JSON"),
        (("start", "order", "--input", "@missing.json"), "missing.json: No such file"),
        (("runs", "list", "--status", "done"), "invalid choice: 'done'"),
        (("runs", "list", "--limit", "0"), "not a number from 1"),
        (("events", "publish"), "at least --type and --source"),
        (("events", "publish", "{}"), "the event has no 'type'"),
        (("events", "publish", "[1]"), "a CloudEvent is an object"),
        (("events", "publish", "{}", "--type", "t"), "not both"),
        (("events", "publish", "--type", "t", "--source", "s", "--attribute", "x"), "is not NAME=VALUE"),
        (("events", "list", "--since", "yesterday"), "is no time"),
        (("api", "--host", "0.0.0.0"), "WFE_API_TOKEN"),
        (("api", "--port", "70000"), "is not a port"),
        (("worker", "--log-level", "loud"), "invalid choice: 'loud'"),
    ],
)
def test_wrong_usage_says_what_to_change(words, message):
    shown = wfe(*words)
    assert (shown.code, shown.out) == (2, "")
    assert message in shown.err
    assert "Traceback" not in shown.err


def test_a_variable_that_cannot_be_understood_is_named():
    shown = wfe("runs", "list", env={"WFE_PORT": "eighty"})
    assert shown.code == 2
    assert "WFE_PORT='eighty': a port is a number from 0 to 65535" in shown.err


def test_a_host_that_is_no_address_is_wrong_usage():
    shown = wfe("dev", "--host", "nowhere.invalid", "--api-token", "secret")
    assert (shown.code, shown.out) == (2, "")
    assert "WFE_HOST: 'nowhere.invalid' is no IP address" in shown.err


@pytest.mark.parametrize("command", ["dev", "api"])
def test_a_data_folder_that_cannot_be_used_is_told(command, tmp_path):
    (tmp_path / "file").touch()
    shown = wfe(command, "--data", tmp_path / "file", "--port", "0")
    assert shown.code in (2, 3)
    assert f"{tmp_path / 'file'} cannot be used: File exists" in shown.err
    assert "bug" not in shown.err
