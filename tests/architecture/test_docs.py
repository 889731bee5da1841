"""The documents say what the code does: settings, words, commands, problem codes."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from tests.examples import examples
from tests.write_readme import README, written
from workflow_engine import dsl
from workflow_engine.api.metrics import Metrics
from workflow_engine.cli.main import COMMANDS, main, parser_of
from workflow_engine.dsl.codes import EXPLANATIONS
from workflow_engine.engine.runtime import Load, QueueLoad

ROOT = Path(__file__).parents[2]


def test_the_readme_lists_every_setting() -> None:
    assert README.read_text() == written(README.read_text()), "run `python -m tests.write_readme`"


def test_the_readme_counts_the_examples_right() -> None:
    assert f"**[{len(examples())} workflows]" in README.read_text()


def test_every_problem_code_in_the_code_is_explained() -> None:
    named = re.compile(r"(?:problem|warning|unknown)\(\s*\"([a-z]+(?:-[a-z]+)+)\"", re.DOTALL)
    codes = {"unsupported", "unresolved"}
    for file in (ROOT / "workflow_engine").rglob("*.py"):
        if "dsl" in file.parts or "engine" in file.parts or "graph" in file.parts:
            codes |= set(named.findall(file.read_text()))
    missing = sorted(codes - set(EXPLANATIONS))
    assert not missing, f"workflow_engine/dsl/codes.py does not explain {missing}"


def test_the_changelog_has_an_unreleased_section() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


def test_both_commands_of_the_readme_use_the_locked_versions() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README.read_text(), flags=re.MULTILINE)
    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)
    assert commands[1] in (ROOT / ".ci" / "run").read_text()


def test_every_workflow_in_the_docs_is_valid() -> None:
    for file in sorted((ROOT / "docs").glob("*.md")):
        for block in re.findall(
            r"^```yaml\n((?:document|id):.*?)^```", file.read_text(), flags=re.MULTILINE | re.DOTALL
        ):
            found = [problem for problem in dsl.check(dsl.parse(block)) if problem.severity == "error"]
            assert found == [], f"{file.name}: {found}"


_PAGES = (README, *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").rglob("README.md")))
_COMMAND = re.compile(r"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?wfe (.*)")


def commands(text: str) -> list[tuple[str, bool]]:
    """Each `wfe` command of a page, and whether it is a line to be typed, and so has all that it needs."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    typed = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [(typed_line, True) for typed_line in typed] + [
        (mentioned, False) for mentioned in re.findall(r"`(wfe [^`]+)`", text)
    ]
    return [(match[1], whole) for line, whole in found if (match := _COMMAND.match(line))]


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_the_docs_is_one_that_wfe_takes(page: Path) -> None:
    for line, whole in commands(page.read_text()):
        words = shlex.split(line, comments=True)
        words = words[: next((i for i, word in enumerate(words) if word in ("|", ">", "&&", "&")), None)]
        if words[0] == "COMMAND" or words[0].startswith("-"):
            continue
        assert words[0] in COMMANDS, f"there is no command `wfe {line}`"
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                parser_of(COMMANDS[words[0]]).parse_args([word for word in words[1:] if word != "…"])
            except SystemExit as error:
                lacking = "arguments are required" in said.getvalue() or "COMMAND …" in said.getvalue()
                if error.code and (whole or not (lacking or "--processes N" in line)):
                    raise AssertionError(f"`wfe {line}`: {said.getvalue()}") from None


def test_every_metric_in_the_runbook_is_one_that_there_is() -> None:
    numbers = {"waiting": 1, "oldest_seconds": 1.0, "attempts": 1, "filter_errors": 1}
    backlog = {
        "subscriptions": [{"id": "s", "channel": "c", "enabled": True, **numbers}],
        "listeners": numbers,
        "dead_letters": {"count": 1, "oldest_seconds": 1.0, "newest_seconds": 1.0},
    }
    load = Load(1, {"faulted": 1}, {"workflow": QueueLoad(1, 1, 1.0)})
    shown = Metrics().render(
        [{"name": "c", "lag": 1}],
        backlog=backlog,
        parked=0,
        load=load,
        parts={"events": None},
        disk=(1, 2),
        issuer=(True, 1.0),
        warnings=["store"],
    )
    there = set(re.findall(r"^# TYPE (\w+)", shown, flags=re.MULTILINE))
    named = set(re.findall(r"\bwfe_[a-z_]+", (ROOT / "docs" / "runbook.md").read_text()))
    assert named - there == set()
    watched = {
        "wfe_part_ready",
        "wfe_workers",
        "wfe_runs_parked",
        "wfe_disk_free_bytes",
        "wfe_dead_letters_newest_seconds",
    }
    assert watched <= named


def _shown_runs() -> list[tuple[str, list[str], str]]:
    """Page, words and printed output of each `$ wfe run` whose output a page shows."""
    found = []
    for file in sorted((ROOT / "docs").glob("*.md")):
        for words, printed in re.findall(
            r"^\$ wfe run (.*)\n(\{\n(?:.*\n)*?\})$", file.read_text(), flags=re.MULTILINE
        ):
            found.append((file.name, shlex.split(words), printed))
    return found


@pytest.mark.parametrize(("page", "words", "printed"), _shown_runs(), ids=lambda value: str(value)[:30])
def test_what_a_page_shows_of_a_run_is_what_it_prints(
    page: str, words: list[str], printed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The workflow is the block of the page that has the name of the file."""
    name = words[0].partition(".")[0]
    blocks = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE | re.DOTALL
    )
    (block,) = (each for each in blocks if re.search(rf"(\bname|^id): {name}\b", each, flags=re.MULTILINE))
    (tmp_path / words[0]).write_text(block)
    options = [word for word in words[1:] if word not in ("--runtime", "local")]
    assert main(["run", str(tmp_path / words[0]), "--runtime", "local", *options]) == 0
    assert capsys.readouterr().out.strip() == printed


def test_there_are_pages_that_show_what_runs_print() -> None:
    assert {page for page, _, _ in _shown_runs()} >= {"data-flow.md", "sonataflow.md"}
