"""Run the real command, as its users do: another process, and what it says and prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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


def wfe(
    *arguments: object,
    input: str | bytes = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Ended:
    """Run ``wfe`` with *arguments* to its end."""
    given = input.encode() if isinstance(input, str) else input
    ended = subprocess.run(
        [*WFE, *map(str, arguments)],
        input=given,
        capture_output=True,
        env=environment(env),
        cwd=cwd,
        timeout=90,
        check=False,
    )
    return Ended(ended.returncode, ended.stdout.decode(), ended.stderr.decode())
