"""Layers point one way, and packages that stand alone do."""

from __future__ import annotations

from tests.architecture.repository import run


def test_every_import_contract_is_kept():
    checked = run("lint-imports", "--config", "pyproject.toml")
    assert checked.returncode == 0, checked.stdout + checked.stderr
