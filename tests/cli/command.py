"""Run the real command, as its users do: another process, and what it says and prints."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.standins.guarded import Guarded

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "workflows"
WFE = (sys.executable, "-P", "-m", "workflow_engine")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        return json.loads(self.err)


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours without settings, and with this package to be found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WFE_", "TEMPORAL_"))}
    return kept | {"PYTHONPATH": str(ROOT)} | dict(extra or {})


LASTING = {"api", "demo", "dev", "worker"}
"""Commands that are more than one process, or go on: these begin as they do at their users'."""


def wfe(
    *arguments: object,
    input: str | bytes = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 90,
) -> Ended:
    """Run ``wfe`` with *arguments* to its end, in a process of its own.

    It is a fork of one that has imported everything (see `tests.cli.forking`), which saves most of its time; but for
    what depends on how an interpreter starts.
    """
    given = input.encode() if isinstance(input, str) else input
    argv = [*map(str, arguments)]
    if {*argv[:1]} & LASTING or any(not name.startswith(("WFE_", "TEMPORAL_")) for name in env or ()):
        ended = subprocess.run(
            [*WFE, *argv],
            input=given,
            capture_output=True,
            env=environment(env),
            cwd=cwd,
            timeout=seconds,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())
    with tempfile.TemporaryDirectory(prefix="wfe-command-") as folder:
        files = {name: Path(folder) / name for name in ("stdin", "stdout", "stderr")}
        for name, file in files.items():
            file.write_bytes(given if name == "stdin" else b"")
        asked = {
            "argv": argv,
            "environ": environment(env),
            "cwd": str(cwd or Path.cwd()),
            **{name: str(file) for name, file in files.items()},
        }
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(seconds)
            connection.connect(_forking())
            connection.sendall(json.dumps(asked).encode() + b"\n")
            code = int(connection.makefile().readline())
        return Ended(code, files["stdout"].read_text(), files["stderr"].read_text())


@cache
def _forking() -> str:
    """The socket at which `tests.cli.forking` listens, one for each process that runs tests."""
    folder = Path(tempfile.mkdtemp(prefix="wfe-forking-"))
    path = folder / "socket"
    process = Guarded(
        [sys.executable, "-P", "-m", "tests.cli.forking", path], env=environment(), scratch=folder, cwd=ROOT
    )

    def end() -> None:
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return str(path)
