"""`wfe completion`, asked by a real shell, and `wfe schema`."""

from __future__ import annotations

import json
import shlex
import subprocess

import pytest
from jsonschema import Draft202012Validator

from tests.cli.command import EXAMPLES
from workflow_engine.cli.main import COMMANDS, main
from workflow_engine.dsl import parse


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("wfe val", {"validate"}),
        ("wfe ", set(COMMANDS)),
        ("wfe runs sk", {"skip"}),
        ("wfe runs list --pa", {"--parked"}),
        ("wfe completion z", {"zsh"}),
        ("wfe validate order", set()),
        ("wfe nonsense ", set()),
    ],
)
def test_bash_completes_commands_and_options_and_leaves_the_rest_to_files(typed, expected, capsys):
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    words = [*shlex.split(typed), *([""] if typed.endswith(" ") else [])]
    asked = f"COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _wfe; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", script + asked], capture_output=True, text=True, check=True)
    assert (set(done.stdout.split()), done.stderr) == (expected, "")


@pytest.mark.parametrize(("which", "example"), [("1.0", "store-order-1.0"), ("0.8", "store-order-0.8")])
def test_the_schema_of_a_dsl_is_printed_and_examples_fit_it(which, example, capsys):
    assert main(["schema", which]) == 0
    schema = json.loads(capsys.readouterr().out)
    data = parse((EXAMPLES / example / "workflow.yaml").read_text()).data
    assert [*Draft202012Validator(schema).iter_errors(data)] == []
