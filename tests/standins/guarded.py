"""Programs that tests start and that end with the tests, however these end: under the guard of our own programs."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from workflow_engine.processes import guard
from workflow_engine.processes.guard import Limits

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL when it is our death that ends a program."""


class Guarded(subprocess.Popen[bytes]):
    """The guard of *command*, to which signals are sent that are for the program, and which ends as that does.

    *program* is the program's own process. The folder *scratch* is removed when the tests cannot do it any more.
    """

    def __init__(
        self,
        command: Sequence[object],
        *,
        env: Mapping[str, str] | None = None,
        scratch: Path | None = None,
        **options: Any,
    ) -> None:
        self._control, theirs = socket.socketpair()
        with theirs:
            super().__init__(
                [
                    *(sys.executable, "-I", "-S", guard.__file__, str(theirs.fileno()), str(os.getpid())),
                    *(str(GRACE), "", "--", *map(str, command)),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                **options,
            )
        orders = {
            "env": dict(os.environ if env is None else env),
            "limits": Limits()._asdict(),
            "scratch": scratch and str(scratch),
        }
        self._control.sendall(json.dumps(orders).encode() + b"\n")
        said = self._control.recv(4096).decode()
        if not said.startswith("pid "):
            self.wait()
            raise OSError(f"{command[0]} cannot be started: {said.strip()}")
        self.program = int(said.split()[1])

    def wait(self, timeout: float | None = None) -> int:
        code = super().wait(timeout)
        self._control.close()
        return code
