"""Shell commands and scripts: decisions A64 to A66 and A72, on both runtimes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.engines import needs_node
from tests.processes import has_gone
from tests.running import KEY
from tests.semantics.v1.documents import error, kind, output, refused, workflow

AT = "/do/0/a"


def task(what: str, given: dict[str, Any], beside: str = "", **run: Any) -> str:
    """A document with one task that runs *what*, with *run* beside it; *beside* is other properties of the task."""
    return f"do: [{{a: {{{beside}run: {json.dumps({what: given, **run})}}}}}]"


def shell(command: str, given: dict[str, Any] | None = None, beside: str = "", **run: Any) -> str:
    return task("shell", {"command": command, **(given or {})}, beside, **run)


def python(code: str, given: dict[str, Any] | None = None, beside: str = "", **run: Any) -> str:
    return task("script", {"language": "python", "code": code, **(given or {})}, beside, **run)


def js(code: str, given: dict[str, Any] | None = None, beside: str = "", **run: Any) -> str:
    return task("script", {"language": "js", "code": code, **(given or {})}, beside, **run)


# --- shell --------------------------------------------------------------------------------------------------


async def test_a66_the_arguments_of_a_shell_command_are_its_positional_parameters(run: Any) -> None:
    body = shell('echo "$1 $2 $#"; echo $0', {"arguments": ["Foo", "${ .second }"]})
    assert await output(run, body, {"second": "a  'b\" $(exit 1)"}) == "Foo a  'b\" $(exit 1) 2\nsh\n"


async def test_a66_the_arguments_may_be_one_expression_and_need_not_be_strings(run: Any) -> None:
    body = shell('echo "$1|$2|$3"', {"arguments": "${ .all }"})
    assert await output(run, body, {"all": [1.5, True, {"a": [None]}]}) == '1.5|true|{"a": [null]}\n'


async def test_a72_a_map_of_arguments_is_name_and_value(run: Any) -> None:
    body = shell('echo "$@"', {"arguments": {"name": "${ .name }", "count": 2, "--flag": None}})
    assert await output(run, body, {"name": "Ada L"}) == "name=Ada L count=2 --flag\n"


async def test_a2_expressions_in_a_command_are_put_into_its_text(run: Any) -> None:
    assert (
        await output(run, shell('echo "Hello, ${ .user.name }"'), {"user": {"name": "Ada"}}) == "Hello, Ada\n"
    )


async def test_what_is_no_string_is_read_from_stdin_as_json(run: Any) -> None:
    assert await output(run, shell("cat", {"stdin": "${ . }"}), {"a": ["é"]}) == '{"a": ["é"]}'
    assert await output(run, shell("cat", {"stdin": "${ .text }"}), {"text": "plain\n"}) == "plain\n"
    assert await output(run, shell("cat")) == ""


async def test_the_environment_is_text_and_null_leaves_a_variable_out(run: Any) -> None:
    given = {"environment": {"A": "${ .a }", "N": 1, "B": True, "O": {"x": 1}, "LANG": None}}
    found = await output(run, shell("env | grep -E '^(A|N|B|O|LANG)=' | sort", given), {"a": "x y"})
    assert found.splitlines() == ["A=x y", "B=true", "N=1", 'O={"x": 1}']


async def test_a_process_has_nothing_of_the_workers_environment(run: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("PLANTED", KEY)
    found = await output(run, shell("env; pwd; ls -A"))
    names = {line.partition("=")[0] for line in found.splitlines() if "=" in line}
    assert names == {"PATH", "LANG", "HOME", "TMPDIR", "PWD", "WFE_RUN_ID", "WFE_IDEMPOTENCY_KEY"}
    assert found.splitlines()[-1].startswith("/"), "its folder is empty"


async def test_the_key_of_a_process_is_that_of_its_run_and_state(run: Any) -> None:
    found = await output(run, shell('echo "$WFE_RUN_ID $WFE_IDEMPOTENCY_KEY"'))
    run_id, key = found.split()
    assert key == run_id + AT


# --- await and return ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (None, "out\n"),
        ("stdout", "out\n"),
        ("stderr", "err\n"),
        ("code", 0),
        ("all", {"code": 0, "stdout": "out\n", "stderr": "err\n"}),
        ("none", None),
    ],
)
async def test_a65_return_says_what_of_a_process_is_the_output(
    run: Any, form: str | None, expected: Any
) -> None:
    body = shell("echo out; echo err >&2", **({} if form is None else {"return": form}))
    assert await output(run, body) == expected


@pytest.mark.parametrize(
    ("form", "expected"), [("code", 3), ("all", {"code": 3, "stdout": "", "stderr": "no\n"})]
)
async def test_a65_who_asks_for_the_exit_code_gets_it(run: Any, form: str, expected: Any) -> None:
    assert await output(run, shell("echo no >&2; exit 3", **{"return": form})) == expected


@pytest.mark.parametrize("form", ["stdout", "stderr", "none"])
async def test_a65_another_exit_code_than_0_is_a_runtime_fault(run: Any, form: str) -> None:
    fault = await error(run, shell("echo it is gone >&2; exit 3", **{"return": form}))
    assert (kind(fault), fault["status"], fault["instance"]) == ("runtime", 500, AT)
    assert fault["detail"] == "the shell command ended with exit code 3: it is gone"


async def test_a65_a_signal_that_ends_a_process_is_told(run: Any) -> None:
    assert "exit code 137 (by SIGKILL)" in (await error(run, shell("kill -KILL $$")))["detail"]
    assert await output(run, shell("kill -KILL $$", **{"return": "code"})) == 137


async def test_a65_a_failed_process_can_be_caught_and_tried_again(run: Any, tmp_path: Any) -> None:
    command = f"echo x >> {tmp_path}/tries; test $(wc -l < {tmp_path}/tries) = 3 && echo done"
    body = f"""
    do:
      - t:
          try: [{{a: {{run: {{shell: {{command: {json.dumps(command)}}}}}}}}}]
          catch:
            errors: {{with: {{type: runtime}}}}
            retry: {{delay: PT0.01S, limit: {{attempt: {{count: 5}}}}}}
    """
    assert await output(run, body) == "done\n"


async def test_a65_a_process_that_is_not_awaited_gives_the_input_and_is_not_lost(
    run: Any, tmp_path: Any
) -> None:
    file = tmp_path / "late"
    body = shell(
        f"sleep 0.2; echo $WFE_IDEMPOTENCY_KEY > {file}", None, "input: {from: .inner}, ", **{"await": False}
    )
    ended = await run(workflow(body, name="t"), {"inner": {"n": 1}})
    assert (ended.status, ended.output) == ("completed", {"n": 1})
    async with asyncio.timeout(20):
        while not (file.exists() and file.read_text()):  # noqa: ASYNC110 - nobody tells when it is done
            await asyncio.sleep(0.01)
    assert file.read_text().strip() == ended.run_id + AT
    if run.name != "local":
        shown = await run.runtime.wait(f"{ended.run_id}.do.0.a", 20)
        assert (shown.status, shown.output) == ("completed", "")
        assert shown.workflow is not None
        assert shown.workflow.name == "t", "it is told among the runs of the workflow"


async def test_a65_the_fault_of_a_process_that_is_not_awaited_is_its_own(run: Any) -> None:
    assert await output(run, shell("exit 1", **{"await": False}), {"n": 1}) == {"n": 1}


async def test_a65_a_process_that_is_not_awaited_takes_no_longer_than_its_task_may(
    run: Any, tmp_path: Any
) -> None:
    file = tmp_path / "pid"
    command = f"echo $$ > {file}; exec sleep 600"
    body = shell(command, None, "timeout: {after: PT2S}, ", **{"await": False})
    ended = await run(workflow(body), {"n": 1})
    assert (ended.status, ended.output) == ("completed", {"n": 1})
    async with asyncio.timeout(20):
        while not (file.exists() and file.read_text()):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await has_gone(int(file.read_text()))
    if run.name != "local":
        shown = await run.runtime.wait(f"{ended.run_id}.do.0.a", 20)
        assert (kind(shown.error), shown.error["instance"]) == ("timeout", AT)


async def test_a_process_that_is_not_awaited_can_be_cancelled_by_itself(run: Any, tmp_path: Any) -> None:
    if run.name == "local":
        pytest.skip("a local run waits for it at its end")
    file = tmp_path / "pid"
    ended = await run(workflow(shell(f"echo $$ > {file}; exec sleep 600", **{"await": False})))
    async with asyncio.timeout(20):
        while not (file.exists() and file.read_text()):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    await run.runtime.cancel(f"{ended.run_id}.do.0.a")
    await has_gone(int(file.read_text()), within=40)
    assert (await run.runtime.wait(f"{ended.run_id}.do.0.a", 20)).status == "cancelled"


async def test_a_secret_is_given_to_a_process_that_is_not_awaited(run: Any, tmp_path: Any) -> None:
    file = tmp_path / "length"
    given = {"environment": {"KEY": "${ $secrets.key }"}}
    body = shell(f'printf %s "$KEY" | wc -m > {file}', given, **{"await": False})
    ended = await run(workflow("use: {secrets: [key]}\n" + body), {"n": 1})
    assert (ended.status, ended.output) == ("completed", {"n": 1})
    async with asyncio.timeout(20):
        while not (file.exists() and file.read_text()):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
    assert int(file.read_text()) == len(KEY)
    if run.name != "local":
        for each in (ended.run_id, f"{ended.run_id}.do.0.a"):
            assert KEY not in str(await run.history(each))


async def test_a_process_takes_no_longer_than_the_timeout_of_its_task(run: Any) -> None:
    fault = await error(run, shell("sleep 60", None, "timeout: {after: PT0.3S}, "))
    assert (kind(fault), fault["instance"]) == ("timeout", AT)


async def test_a_process_whose_branch_loses_a_race_ends(run: Any, tmp_path: Any) -> None:
    file = tmp_path / "pid"
    command = f"trap '' TERM; echo $$ > {file}; while :; do sleep 0.1; done"
    wins = f"while [ ! -s {file} ]; do sleep 0.05; done; echo first"
    body = f"""
    do:
      - race:
          fork:
            compete: true
            branches:
              - slow: {{run: {json.dumps({"shell": {"command": command}})}}}
              - fast: {{run: {json.dumps({"shell": {"command": wins}})}}}
    """
    assert await output(run, body) == "first\n"
    await has_gone(int(file.read_text()), within=40)


# --- scripts ------------------------------------------------------------------------------------------------


@needs_node
@pytest.mark.parametrize("language", ["js", "javascript"])
async def test_a64_a_script_with_a_list_gets_it_as_argv_and_its_stdout_is_the_output(
    run: Any, language: str
) -> None:
    code = "import { argv } from 'node:process'; console.log(argv.length, argv[2], argv[3])"
    given = {"language": language, "code": code, "arguments": ["hello", "${ .n }"]}
    assert await output(run, task("script", given), {"n": 7}) == "4 hello 7\n"


async def test_a64_a_python_script_gets_argv_stdin_and_environment(run: Any) -> None:
    code = "import os, sys\nprint(sys.argv[1:], sys.stdin.read(), os.environ['FOO'])"
    given = {"arguments": ["a"], "stdin": "in", "environment": {"FOO": "bar"}}
    assert await output(run, python(code, given)) == "['a'] in bar\n"


@needs_node
async def test_a64_a_map_of_arguments_are_variables_and_what_the_code_returns_is_the_output(run: Any) -> None:
    given = {"arguments": {"order": "${ .order }", "factor": 2}}
    order = {"order": {"prices": [1, 2.5], "name": "Ä\n"}}
    found = {"total": 7, "name": "Ä\n"}
    code = "total = 0\nfor price in order['prices']:\n    total += price * factor\nreturn {'total': total, **rest()}"
    code = "def rest():\n    text = '''Ä\n'''\n    return {'name': text}\n" + code
    assert await output(run, python(code, given), order) == found
    code = "const sum = (a, b) => a + b;\nreturn {total: order.prices.reduce(sum) * factor, name: order.name}"
    assert await output(run, js(code, given), order) == found


@needs_node
async def test_a64_javascript_may_await_import_and_use_its_own_templates(run: Any) -> None:
    code = "const { sep } = await import('node:path');\nreturn `${x}${sep}${require('node:path').sep}`"
    assert await output(run, js(code, {"arguments": {"x": 1}})) == "1//"
    assert await output(run, js("const x = 1; console.log(`${x}`)")) == "1\n"


async def test_a64_code_that_is_one_expression_is_evaluated(run: Any) -> None:
    assert await output(run, python("${ .code }"), {"code": "print(1 + 1)"}) == "2\n"


@pytest.mark.parametrize(("form", "expected"), [("stdout", "said\n"), ("code", 0), ("none", None)])
async def test_a64_return_beside_a_map_wins_over_what_the_code_returns(
    run: Any, form: str, expected: Any
) -> None:
    body = python("print('said')\nreturn {'x': x}", {"arguments": {"x": 1}}, **{"return": form})
    assert await output(run, body) == expected


@needs_node
async def test_a64_a_map_of_arguments_are_options_of_a_program_and_what_it_prints_is_the_output(
    run: Any,
) -> None:
    """So are the functions of the specification's own catalog written."""
    code = """
import argparse
import logging
import sys

def main():
    parser = argparse.ArgumentParser()
    for name in ('--text', '--count', '--more', '--absent'):
        parser.add_argument(name)
    parser.add_argument('--loud', action='store_true')
    parser.add_argument('--quiet', action='store_true')
    given = parser.parse_args()
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger('told').addHandler(handler)
    logging.getLogger('told').warning('%s %s %s %s %s %s', *vars(given).values())
    return given

if __name__ == '__main__':
    main()
"""
    given = {"text": "a b", "count": 2, "more": {"x": [1]}, "absent": None, "loud": True, "quiet": False}
    expected = 'a b 2 {"x": [1]} None True False\n'
    assert await output(run, python(code, {"arguments": given})) == expected
    code = "const given = process.argv.slice(2);\nconsole.log(given.join(' '), loud)"
    expected = '--text a b --count 2 --more {"x":[1]} --loud true\n'
    assert await output(run, js(code, {"arguments": given})) == expected


@needs_node
async def test_a64_code_that_returns_nothing_gives_null(run: Any) -> None:
    assert await output(run, python("pass", {"arguments": {"x": 1}})) is None
    assert await output(run, js("", {"arguments": {}})) is None
    assert await output(run, python("print('said')\nreturn", {"arguments": {}})) is None
    assert await output(run, js("console.log('said');\nreturn", {"arguments": {}})) is None


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (python("raise ValueError('too bad')"), "ValueError: too bad"),
        (python("x = 1\nreturn x / 0", {"arguments": {}}), 'File "script.py", line 2'),
        (python("return {1, 2}", {"arguments": {}}), "not JSON serializable"),
        (python("return float('nan')", {"arguments": {}}), "JSON"),
        (python("def (", {"arguments": {}}), "SyntaxError"),
        (python("import os; os._exit(0)", {"arguments": {}}), "before it returned a value"),
        pytest.param(js("throw new Error('too bad')"), "Error: too bad", marks=needs_node),
        pytest.param(js("return () => 1", {"arguments": {}}), "cannot be written as JSON", marks=needs_node),
        pytest.param(js("return 10n", {"arguments": {}}), "BigInt", marks=needs_node),
        pytest.param(js("return missing", {"arguments": {}}), "missing is not defined", marks=needs_node),
        pytest.param(
            js("process.exit(0)", {"arguments": {}}), "before it returned a value", marks=needs_node
        ),
    ],
)
async def test_a64_what_goes_wrong_in_a_script_is_told(run: Any, body: str, told: str) -> None:
    fault = await error(run, body)
    assert (kind(fault), fault["instance"]) == ("runtime", AT)
    assert told in fault["detail"]


async def test_a64_a_name_that_is_no_variable_is_a_configuration_fault(run: Any) -> None:
    fault = await error(run, python("return 1", {"arguments": "${ . }"}), {"my key": 1})
    assert (kind(fault), "'my key'" in fault["detail"]) == ("configuration", True)


@pytest.mark.parametrize("name", ["my key", "1st", "class", ""])
def test_a64_a_name_that_is_no_variable_is_refused_where_it_is_written(name: str) -> None:
    found = refused(python("return 1", {"arguments": {name: 1}}))
    assert (found.code, found.pointer) == ("invalid-value", f"/do/0/a/run/script/arguments/{name}")


@pytest.mark.parametrize("kind_of", ["shell", "script", "container"])
def test_a_variable_of_the_environment_must_have_a_name(kind_of: str) -> None:
    given = {"command": "ls", "language": "python", "code": "1", "image": "alpine"}
    wanted = {"shell": ["command"], "script": ["language", "code"], "container": ["image"]}[kind_of]
    found = refused(task(kind_of, {name: given[name] for name in wanted} | {"environment": {"A=B": 1}}))
    assert (found.code, found.pointer) == ("invalid-value", f"/do/0/a/run/{kind_of}/environment/A=B")


def test_a64_another_language_is_refused_with_what_may_be_meant() -> None:
    found = refused(task("script", {"language": "pyton", "code": "x"}))
    assert (found.code, found.pointer) == ("unknown-script-language", "/do/0/a/run/script/language")
    assert "did you mean 'python'?" in found.message


async def test_a64_an_external_script_is_pinned_by_the_bundle(run: Any) -> None:
    source = {"language": "python", "source": {"endpoint": "https://scripts.example/a.py"}}
    resources = {"script:https://scripts.example/a.py": {"content": "print('pinned')"}}
    assert await output(run, task("script", source), resources=resources) == "pinned\n"


# --- secrets ------------------------------------------------------------------------------------------------


async def test_a_secret_is_given_to_a_process_and_hidden_in_all_that_comes_of_it(run: Any) -> None:
    use = "use: {secrets: [key]}\n"
    given = {"environment": {"KEY": "${ $secrets.key }"}, "stdin": "${ $secrets.key }"}
    ended = await run(
        "document: {dsl: '1.0.3', namespace: s, name: t, version: '1.0.0'}\n"
        + use
        + shell('test "$(cat)" = "$KEY" && echo "[$KEY]"', given)
    )
    assert ended.status == "completed", ended.error
    assert ended.output.startswith("[")
    assert KEY not in ended.output
    failing = shell('echo "$KEY" >&2; exit 1', given)
    failed = await run("document: {dsl: '1.0.3', namespace: s, name: t, version: '1.0.0'}\n" + use + failing)
    assert failed.status == "faulted"
    assert KEY not in json.dumps(failed.error)
    if run.name != "local":
        for each in (ended, failed):
            assert KEY not in str(await run.history(each.run_id))


def test_a_secret_of_a_process_must_be_declared() -> None:
    found = refused(shell("ls", {"environment": {"KEY": "${ $secrets.key }"}}))
    assert (found.code, found.pointer) == ("unknown-secret", "/do/0/a/run/shell/environment/KEY")
