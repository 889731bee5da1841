"""`wfe api`, told to stop while it starts and while it serves."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.command import WFE, environment

PATIENCE = 60.0


@contextmanager
def api(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    command = [
        *WFE,
        "api",
        "--port",
        "0",
        "--data",
        str(folder / "data"),
        "--temporal-address",
        "127.0.0.1:1",
    ]
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, *arguments], stderr=log, env=environment(), start_new_session=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def logged(folder: Path, text: str) -> None:
    """Wait until the log has *text*."""
    until = time.monotonic() + PATIENCE
    while text not in (folder / "api.log").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_api_that_is_told_to_stop_while_it_waits_for_temporal_ends_at_once(
    tmp_path: Path, number: signal.Signals
) -> None:
    with api(tmp_path, "--api-worker") as process:
        logged(tmp_path, "Temporal at 127.0.0.1:1: Connection refused")
        process.send_signal(number)
        assert process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "api.log").read_text()


def test_an_api_that_serves_ends_with_0_when_it_is_told_to(tmp_path: Path) -> None:
    with api(tmp_path) as process:
        logged(tmp_path, "API at http://")
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert "Traceback" not in (tmp_path / "api.log").read_text()
