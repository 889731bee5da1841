"""`wfe completion`, asked by a real shell, and `wfe schema`."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from tests.cli.command import EXAMPLES
from workflow_engine.cli.main import COMMANDS, main
from workflow_engine.dsl import parse
from workflow_engine.dsl.source import read_source


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("wfe val", {"validate"}),
        ("wfe ", set(COMMANDS)),
        ("wfe runs sk", {"skip"}),
        ("wfe runs list --pa", {"--parked"}),
        ("wfe completion z", {"zsh"}),
        ("wfe validate order", set()),
        ("wfe validate ", set()),
        ("wfe validate --js", {"--json"}),
        ("wfe run a.yaml --runtime ", {"temporal", "local"}),
        ("wfe run a.yaml --runtime l", {"local"}),
        ("wfe run a.yaml --input ", set()),
        ("wfe run a.yaml --input a.json --run", {"--runtime"}),
        ("wfe lsp ", {"--help", "--debug", "--stdio", "--tcp"}),
        ("wfe nonsense ", set()),
    ],
)
def test_bash_completes_commands_and_options_and_leaves_the_rest_to_files(typed, expected, capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    words = [*shlex.split(typed), *([""] if typed.endswith(" ") else [])]
    asked = f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _wfe; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(
        ["bash", "-c", "set -u\n" + script + asked], capture_output=True, text=True, check=True
    )
    assert (set(done.stdout.split()), done.stderr) == (expected, "")


def test_the_script_is_one_of_a_shell(tmp_path):
    for shell in ("bash", "zsh"):
        script = subprocess.run(
            [sys.executable, "-m", "workflow_engine", "completion", shell],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("which", "example"), [("1.0", "store-order-1.0"), ("0.8", "store-order-0.8")])
def test_the_schema_of_a_dsl_is_printed_and_examples_fit_it(which, example, capsys):
    assert main(["schema", which]) == 0
    schema = json.loads(capsys.readouterr().out)
    data = parse((EXAMPLES / example / "workflow.yaml").read_text()).data
    assert [*Draft202012Validator(schema).iter_errors(data)] == []


def test_the_schema_of_scenarios_is_printed_and_those_of_the_examples_fit_it(capsys):
    assert main(["schema", "test"]) == 0
    schema = json.loads(capsys.readouterr().out)
    Draft202012Validator.check_schema(schema)
    files = sorted(EXAMPLES.rglob("*.test.yaml"))
    assert files
    for file in files:
        source, problems = read_source(file.read_bytes())
        assert source is not None
        assert (problems, [*Draft202012Validator(schema).iter_errors(source.data)]) == ([], []), file
