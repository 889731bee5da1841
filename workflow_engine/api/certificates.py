"""Certificates of the API and of its clients, which are read again when they are renewed."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

from cryptography import x509

from workflow_engine.errors import Rejected

LOOK_SECONDS = 10.0
"""How often files are looked at."""
SOON = timedelta(days=7)
"""How long before its end it is told that a certificate was not renewed."""
SAID_AGAIN = 86_400.0
"""After how many seconds the log says so again."""

_Stamps: TypeAlias = tuple[tuple[int, int, int], ...]
_log = logging.getLogger("wfe")


class Served:
    """What the API shows its clients: the chain in *cert*, with *key* (which may stand in *cert* too). With *client_ca*
    it wants certificates of them, from one of the authorities there.

    Renewed files count for the next connection. Those that cannot be read, half written for one, leave it as it is.
    """

    def __init__(self, cert: Path, key: Path | None = None, client_ca: Path | None = None) -> None:
        self._cert, self._key, self._client_ca = cert, key, client_ca
        self._stamps, self._told = self._stamped(), ""
        self._said: float | None = None
        self._ends: datetime | None = None
        self._current = self._read()
        self.context = self._read()
        """What connections begin with; each goes on with what there is by then."""
        self.context.sni_callback = self._renewed

    def _renewed(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._current

    def refresh(self) -> bool:
        """Look whether the files have changed, and read them if so; whether they count now."""
        stamps = self._stamped()
        if stamps == self._stamps:
            return False
        try:
            self._current = self._read()
        except Rejected as refused:
            if str(refused) != self._told:  # and not each time that it is looked
                _log.warning("the certificates of the API stay as they were: %s", refused)
            self._told = str(refused)
            return False
        self._stamps, self._told = stamps, ""
        _log.info("the certificates of the API were renewed: %s", self._cert)
        return True

    def warning(self) -> str | None:
        """That the certificate ends soon or has ended, or that what was renewed cannot be read; None if all is well."""
        left = timedelta.max if self._ends is None else self._ends - datetime.now(UTC)
        if left >= SOON:
            return f"stay as they were: {self._told}" if self._told else None
        how = "ends" if left > timedelta() else "has ended"
        return f"{self._cert} {how} on {self._ends:%Y-%m-%d at %H:%M} UTC, and was not renewed"

    async def keep(self) -> None:
        """Look at the files from time to time."""
        while True:
            try:
                await asyncio.to_thread(self.refresh)
                self._say()
            except Exception:  # noqa: BLE001  a bug must not leave it with a certificate that ends
                _log.exception("the certificates of the API were not looked at")
            await asyncio.sleep(LOOK_SECONDS)

    def _say(self) -> None:
        """Warn of a certificate that ends, once a day."""
        warning = None if self._told else self.warning()
        if warning is None:
            self._said = None
        elif self._said is None or time.monotonic() - self._said >= SAID_AGAIN:
            _log.warning("the certificate of the API: %s", warning)
            self._said = time.monotonic()

    def _stamped(self) -> _Stamps:
        return _stamps(self._cert, self._key, self._client_ca)

    def _read(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_TICKET  # a session that goes on would show no certificate again
        context.num_tickets = 0
        context.set_alpn_protocols(["http/1.1"])
        _load(context, self._cert, self._key, "WFE_TLS_CERT, WFE_TLS_KEY")
        if self._client_ca is not None:
            _trust(context, self._client_ca, "WFE_CLIENT_CA")
            context.verify_mode = ssl.CERT_REQUIRED
        self._ends = _end(self._cert)
        return context


class Shown:
    """What a client shows the API: the chain in *cert*, with *key*. What is in *ca* is trusted besides what the system
    trusts.
    """

    def __init__(self, ca: Path | None, cert: Path | None, key: Path | None) -> None:
        self._ca, self._cert, self._key = ca, cert, key
        self._stamps, self._told = _stamps(ca, cert, key), ""
        self._current = self._read()

    @property
    def context(self) -> ssl.SSLContext:
        """What the next connection begins with: what the files have now. What cannot be read leaves it as it is."""
        stamps = _stamps(self._ca, self._cert, self._key)
        if stamps != self._stamps:
            try:
                # Another one: a context that is given a certificate without its key loses the key that it had.
                self._current = self._read()
            except Rejected as refused:
                if str(refused) != self._told:  # and not for each request
                    _log.warning("the client certificate stays as it was: %s", refused)
                self._told = str(refused)
            else:
                self._stamps, self._told = stamps, ""
        return self._current

    def _read(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca is not None:
            _trust(context, self._ca, "WFE_API_CA")
        if self._cert is not None:
            _load(context, self._cert, self._key, "WFE_API_CERT, WFE_API_CERT_KEY")
        return context


def served(cert: Path | None, key: Path | None, client_ca: Path | None) -> Served | None:
    """What the API shows; None where it speaks plain HTTP."""
    return None if cert is None else Served(cert, key, client_ca)


def shown(ca: Path | None, cert: Path | None, key: Path | None) -> Shown | None:
    """What a client shows and trusts; None where that is what every client does."""
    return None if ca is None and cert is None else Shown(ca, cert, key)


def _load(context: ssl.SSLContext, cert: Path, key: Path | None, setting: str) -> None:
    def no_password() -> str:
        raise ValueError("the key is encrypted")

    try:
        context.load_cert_chain(cert, key, no_password)
    except (OSError, ValueError) as error:
        raise Rejected("invalid-setting", f"{setting}: {cert}: {_why(error)}") from None


def _trust(context: ssl.SSLContext, ca: Path, setting: str) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except OSError as error:
        raise Rejected("invalid-setting", f"{setting}: {ca}: {_why(error)}") from None


def _end(cert: Path) -> datetime | None:
    """When the first certificate of the file ends; None where it does not say."""
    try:
        return x509.load_pem_x509_certificates(cert.read_bytes())[0].not_valid_after_utc
    except (OSError, ValueError):
        return None


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"no certificate and key in PEM that belong together ({error.reason or error})"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _stamps(*files: Path | None) -> _Stamps:
    """By what it is seen that files have changed, also behind links, as Kubernetes renews them."""
    found = []
    for file in files:
        try:
            status = None if file is None else file.stat()
        except OSError:
            status = None
        found.append((0, 0, 0) if status is None else (status.st_ino, status.st_size, status.st_mtime_ns))
    return tuple(found)
