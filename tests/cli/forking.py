"""The command in processes of its own that need not begin by importing everything: forks of one that has.

Run as ``python -P -m tests.cli.forking SOCKET``. Who connects to the Unix socket SOCKET sends one line of JSON: *argv*;
*environ*, the whole environment; *cwd*; and the paths of the files for *stdin*, *stdout* and *stderr*. It is answered
with the exit code, negative for a signal, when the process has ended. Closing the connection before kills the process.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import pkgutil
import select
import signal
import socket
import sys
import tempfile
import time
import traceback
from typing import Any, NoReturn

ALSO = (
    "workflow_engine.standalone",
    "workflow_engine.api.client",
    "workflow_engine.runtimes.temporal.debugging",
)
"""What commands import late that many of the tests need."""


def main(path: str) -> NoReturn:
    from workflow_engine import cli
    from workflow_engine.dsl.collecting import settle

    for module in pkgutil.iter_modules(cli.__path__):
        importlib.import_module(f"{cli.__name__}.{module.name}")
    for name in ALSO:
        importlib.import_module(name)
    settle()
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(f"{path}.new")
    listening.listen(64)
    os.rename(f"{path}.new", path)  # noqa: PTH104 - it is there when it listens
    signal.signal(signal.SIGCHLD, lambda *_: None)
    while True:
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _attend(connection)
        connection.close()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            pass


def _attend(connection: socket.socket) -> NoReturn:
    """See to one command."""
    with connection.makefile("r") as asked:
        given = json.loads(asked.readline())
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(given)
    ended = os.pidfd_open(pid)
    ready, _, _ = select.select([ended, connection], [], [])
    if ended not in ready:  # nobody waits for it any more
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if ended in ready:
        connection.sendall(f"{code}\n".encode())
    os._exit(0)


def _become(given: dict[str, Any]) -> NoReturn:
    """Be the process that was asked for, from its environment to its end."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(given["environ"])
    time.tzset()
    tempfile.tempdir = None
    os.chdir(given["cwd"])
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_APPEND
        opened = os.open(given[name], flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = sys.__stdin__ = io.TextIOWrapper(open(0, "rb", closefd=False), "utf-8")  # noqa: SIM115
    sys.stdout = sys.__stdout__ = io.TextIOWrapper(open(1, "wb", closefd=False), "utf-8")  # noqa: SIM115
    sys.stderr = sys.__stderr__ = io.TextIOWrapper(
        open(2, "wb", closefd=False),  # noqa: SIM115
        "utf-8",
        "backslashreplace",
        line_buffering=True,
    )
    sys.argv = ["wfe", *given["argv"]]
    from workflow_engine.cli.main import main as wfe

    code: object = 1
    try:
        code = wfe(given["argv"])
    except SystemExit as exit:
        code = exit.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(
        code if isinstance(code, int) else bool(code)
    )  # as `main` does where the SDK of Temporal is loaded


if __name__ == "__main__":
    main(sys.argv[1])
