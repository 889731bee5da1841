"""CI runs the tests that failed beside others once more, alone, and says which passed then."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import once_more

ROOT = Path(__file__).parents[1]
IMPORTS = "import os, subprocess, sys, time\nfrom pathlib import Path\nimport pytest\n"
ONCE = """
def test_is_disturbed(tmp_path_factory):
    seen = Path(__file__).with_name("seen")
    there = seen.exists()
    seen.touch()
    assert there, "what the first run says of it"
"""
NEVER = "def test_is_broken(): assert not 'broken'\n"
ALWAYS = "def test_is_sound(): pass\n"


class Ci:
    """A project with tests of its own that are run as `.ci/run` does, once all is installed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "pyproject.toml").write_text(
            '[tool.pytest.ini_options]\naddopts = "-n 2 --dist loadfile --max-worker-restart 3"\n'
            'asyncio_default_fixture_loop_scope = "function"\ntimeout = 60\n'
        )
        (folder / "conftest.py").write_text(
            'pytest_plugins = ["tests.once_more", "tests.watchdog", "tests.order"]\n'
        )

    def run(self, grace: float = 60, quiet: float = 900, **files: str) -> tuple[int, list[str]]:
        """The exit code, and the lines of the output; *grace* and *quiet* are the watchdog's."""
        for name, text in files.items():
            (self._folder / f"test_{name}.py").write_text(f"{IMPORTS}{text}")
        *before, line = (ROOT / ".ci" / "run").read_text().splitlines()
        assert "rm -rf .pytest_cache" in before
        installs, suite = line.split(" -e '.[dev]' && ")
        assert installs.startswith("python3 -m venv ")
        environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST")}
        ended = subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{suite.replace('.venv/bin/python', sys.executable)}"],
            cwd=self._folder,
            env=environment
            | {"PYTHONPATH": str(ROOT), "WFE_TEST_GRACE": str(grace), "WFE_TEST_QUIET": str(quiet)},
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
        return ended.returncode, ended.stdout.splitlines()


@pytest.fixture
def ci(tmp_path: Path) -> Ci:
    return Ci(tmp_path)


def test_tests_that_all_pass_are_run_once(ci: Ci) -> None:
    code, lines = ci.run(sound=ALWAYS)
    assert code == 0
    assert not [line for line in lines if "nce more" in line]


def test_one_that_fails_beside_others_and_passes_alone_is_named_and_holds_nothing_up(ci: Ci) -> None:
    code, lines = ci.run(once=ONCE, sound=ALWAYS)
    assert code == 0
    assert lines[-1] == "flaky: test_once.py::test_is_disturbed failed beside others, and passed alone"
    assert "E       AssertionError: what the first run says of it" in lines
    assert [line for line in lines if " 1 passed" in line], "the others are not run again"


def test_one_that_fails_alone_too_fails_all(ci: Ci) -> None:
    code, lines = ci.run(never=NEVER, once=ONCE, sound=ALWAYS)
    assert code == 1
    assert lines[-2:] == [
        "failed: test_never.py::test_is_broken, alone too",
        "flaky: test_once.py::test_is_disturbed failed beside others, and passed alone",
    ]


def test_four_that_fail_are_no_accident_and_are_not_run_again(ci: Ci, tmp_path: Path) -> None:
    four = "@pytest.mark.parametrize('number', range(4))\n" + ONCE.strip().replace(
        "(tmp_path_factory)", "(number)"
    ).replace('"seen"', 'f"seen{number}"')
    code, lines = ci.run(four=four, sound=ALWAYS)
    assert code == 1
    assert [line for line in lines if "4 tests failed: up to 3 are run once more" in line]
    assert not [line for line in lines if line.startswith("flaky")]
    assert len([*tmp_path.glob("seen*")]) == 4


def test_one_that_is_left_out_when_it_is_alone_has_not_passed(ci: Ci) -> None:
    skips = ONCE.replace("    assert there", "    if there: pytest.skip('now')\n    assert there")
    code, lines = ci.run(once=skips)
    assert code == 1
    assert lines[-1] == "failed: test_once.py::test_is_disturbed, alone too"


DIES = ONCE.replace('"seen"', '"died"').replace(
    "    assert there", "    if not there: os._exit(1)\n    assert there"
)


def test_a_process_that_dies_with_a_test_is_no_accident(ci: Ci) -> None:
    assert ci.run(once=DIES, sound=ALWAYS)[0] == 1


def test_nor_is_it_when_another_test_is_disturbed(ci: Ci) -> None:
    code, lines = ci.run(dies=DIES, once=ONCE, sound=ALWAYS)
    assert code == 1
    assert [line for line in lines if "the process died in test_dies.py::test_is_disturbed" in line]


def test_tests_that_cannot_be_read_fail_all(ci: Ci) -> None:
    code, lines = ci.run(unread="def test_is_cut(:\n", sound=ALWAYS)
    assert code == 1
    assert lines[-1] == "failed: test_unread.py, alone too"


@pytest.mark.parametrize("ended", [2, 3, 4, 5, 127])
def test_what_has_not_come_to_the_end_of_the_tests_is_as_it_was(ended: int) -> None:
    assert once_more.main(ended) == ended
