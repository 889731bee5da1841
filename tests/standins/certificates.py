"""Certificates for the stand-ins, issued by a private authority that a test makes for itself."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme


def server_context(ca: trustme.CA, names: tuple[str, ...]) -> ssl.SSLContext:
    """A TLS context for a server whose certificate, issued by *ca*, is for *names*."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(*names).configure_cert(context)
    return context


@contextmanager
def ca_file(ca: trustme.CA) -> Iterator[Path]:
    """The certificate of *ca* as a PEM file, which goes away afterwards."""
    with ca.cert_pem.tempfile() as path:
        yield Path(path)
