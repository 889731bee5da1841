"""What `wfe new` writes, and what it says to try next."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.test_test import wfe


@pytest.mark.parametrize("name", ["123", "1e5", "True", "null", "no", "0x1f"])
def test_a_workflow_to_begin_with_is_valid_though_its_name_is_no_text_to_yaml(
    tmp_path: Path, name: str
) -> None:
    assert wfe("new", f"{name}.yaml", cwd=tmp_path).code == 0
    ended = wfe("validate", "--strict", f"{name}.yaml", cwd=tmp_path)
    assert ended.code == 0, ended.err


def test_what_to_try_next_can_be_typed_as_it_is_told(tmp_path: Path) -> None:
    assert "wfe run 'my flow.yaml' --input" in wfe("new", "my flow.yaml", cwd=tmp_path).err
    assert "wfe run ./-x.yaml --input" in wfe("new", "--", "-x.yaml", cwd=tmp_path).err
    refused = wfe("new", "hello.test.yaml", cwd=tmp_path)
    assert (refused.code, "write hello.yaml" in refused.err) == (2, True)
