"""What `wfe` does where its output cannot go: no room, nobody there, and letters that a terminal does not have."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from workflow_engine.cli.main import main

FULL = Path("/dev/full")
EARLIER = """\
id: earlier
version: 1.0
start: A
states: [{name: A, type: inject, data: {}, end: "true"}]
functions: [{name: f, type: expression, operation: 'Hello \\(.name)'}]
"""


@pytest.mark.skipif(not FULL.exists(), reason="nothing here is always full")
@pytest.mark.parametrize("arguments", [("explain",), ("--help",), ("explain", "unsupported")])
def test_a_result_that_has_no_room_is_an_error_and_no_bug(arguments, monkeypatch, capsys):
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        code = main(arguments)
        monkeypatch.undo()
    assert (code, capsys.readouterr().err) == (
        2,
        "wfe: error: the output cannot be written: No space left on device\n",
    )


@pytest.mark.skipif(not FULL.exists(), reason="nothing here is always full")
def test_a_remark_that_has_no_room_does_not_change_what_comes_of_a_command(monkeypatch):
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["explain", "no-such-code"]) == 2
        monkeypatch.undo()


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_is_closed_is_no_error(stream, monkeypatch):
    monkeypatch.setattr(sys, stream, None)
    code = main(["explain", "unsupported"])
    getattr(sys, stream).close()
    assert code == 0


def test_what_a_terminal_has_no_letters_for_is_escaped(monkeypatch, tmp_path):
    (tmp_path / "earlier.yaml").write_text(EARLIER)
    seen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(seen, encoding="ascii"))
    code = main(["validate", str(tmp_path / "earlier.yaml")])
    sys.stdout.flush()
    printed = seen.getvalue().decode("ascii")
    monkeypatch.undo()
    assert code == 0
    assert r"a text with `\(\u2026)` in it" in printed


def test_a_folder_that_cannot_be_made_is_an_error_with_its_name(tmp_path, capsys):
    (tmp_path / "file").touch()
    code = main(["payloads", "key", "--folder", str(tmp_path / "file" / "keys"), "--id", "k1"])
    assert (code, capsys.readouterr().err) == (
        2,
        f"wfe payloads: error: {tmp_path}/file/keys: Not a directory\n",
    )


def test_an_option_is_not_taken_for_another_because_of_its_dashes(capsys):
    with pytest.raises(SystemExit):
        main(["runs", "list", "--since", "2h"])
    assert "unrecognized arguments: --since 2h\n" in capsys.readouterr().err
