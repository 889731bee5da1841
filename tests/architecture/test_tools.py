"""The code passes the tools that the project is held to, with the settings of `pyproject.toml`."""

from __future__ import annotations

import pytest

from tests.architecture.repository import PACKAGES, ROOT, TREES, run

CHECKED = [*PACKAGES, *(tree for tree in ("benchmarks",) if (ROOT / tree).is_dir())]
PRESENT = [tree for tree in TREES if (ROOT / tree).is_dir()]


def test_the_linter_finds_nothing():
    checked = run("ruff", "check", "--output-format", "concise", *PRESENT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_file_is_formatted():
    checked = run("ruff", "format", "--check", *PRESENT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.timeout(600)
def test_every_type_is_right():
    packages = [argument for package in CHECKED for argument in ("--package", package)]
    checked = run("mypy", "--strict", *packages)
    assert checked.returncode == 0, checked.stdout + checked.stderr
