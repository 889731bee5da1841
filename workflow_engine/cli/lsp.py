"""``wfe lsp``: the language server, for an editor that starts it."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from functools import partial
from importlib.util import find_spec

from workflow_engine.cli.loading import loading
from workflow_engine.cli.terminal import FAILED, FINE, say
from workflow_engine.errors import Rejected


def configure(parser: argparse.ArgumentParser) -> None:
    """Add what ``wfe lsp`` takes."""
    parser.description = (
        "Serve an editor (Language Server Protocol), over standard input and output: problems as one types,\n"
        "completion, what a word means, where a name is defined and used, renaming, outline, quick fixes.\n"
        "The editor starts it: docs/editor.md says how."
    )
    parser.add_argument(
        "--stdio", action="store_true", help="over standard input and output, as without it (editors add it)"
    )
    parser.add_argument("--tcp", type=int, metavar="PORT", help="listen on this port of 127.0.0.1 instead")
    parser.set_defaults(work=_serve)


def _serve(arguments: argparse.Namespace) -> int:
    if find_spec("pygls") is None:
        raise Rejected(
            "extra-missing",
            "the language server needs pygls: pip install 'serverless-workflow-engine[lsp]'",
        )
    import logging

    with loading():
        from workflow_engine.editing.features import create

    logging.basicConfig(stream=sys.stderr, level=logging.ERROR, format="wfe lsp: %(message)s")
    logging.getLogger("pygls").setLevel(logging.CRITICAL)  # what matters of it is told by the server
    # A thread waits in a read that nothing interrupts; there is nothing to save either.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    server = create()
    if arguments.tcp is not None:
        if not 0 < arguments.tcp < 65536:
            raise Rejected("not-a-port", f"{arguments.tcp} is not a port (1 to 65535)")
        with _client(arguments.tcp) as connection, connection.makefile("rb") as stream:
            server.serve(stream, connection.sendall)
        return FINE if server.asked_to_end else FAILED
    if sys.stdin.isatty():
        say("wfe lsp: waiting for an editor on standard input; Ctrl-C ends it")
    stdout = os.dup(sys.stdout.fileno())
    # What is printed by mistake goes to stderr: on stdout it would be taken for the protocol.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    server.serve(sys.stdin.buffer, partial(_write, stdout))
    return FINE if server.asked_to_end else FAILED


def _client(port: int) -> socket.socket:
    """The one client that has come to *port*; no other is let in."""
    try:
        listening = socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise Rejected("not-a-port", f"it cannot listen on 127.0.0.1:{port}: {error.strerror}") from None
    with listening:
        say(f"wfe lsp: waiting for an editor on 127.0.0.1:{port}")
        connection, _ = listening.accept()
    return connection


def _write(stream: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(stream, left) :]
