"""Requests to the API: bounded, over connections that are kept, with problems turned into errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from urllib.parse import urlsplit

import aiohttp
import orjson
from yarl import URL

from workflow_engine.api.certificates import Shown
from workflow_engine.api.problems import restore
from workflow_engine.errors import InvalidDocument, Rejected, Unavailable
from workflow_engine.telemetry.spans import active
from workflow_engine.values import JsonObject

CONNECT_SECONDS = 5.0
KEPT_SECONDS = 3.0
"""How long an idle connection is kept: less than the server keeps it, so that none is closed under a request."""
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of success; *url* is where it came from."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str

    def json(self) -> JsonObject:
        """The body as an object; `Unavailable` when it is none: then something else answers there."""
        try:
            members = orjson.loads(self.body)
        except ValueError:
            members = None
        if not isinstance(members, dict):
            raise Unavailable(f"what answers at {self.url} is not this engine: it sent no JSON object")
        return members

    def text(self) -> str:
        return self.body.decode(errors="replace")


class Connection:
    """Requests to the server at *base_url*, an http or https URL; *timeout* is in seconds, for one answer."""

    def __init__(
        self, base_url: str, token: str | None, *, timeout: float, certificates: Shown | None = None
    ) -> None:
        if not _is_base(base_url):
            raise Rejected(
                "api-url", f"{base_url!r} is not an http or https URL such as http://127.0.0.1:8080"
            )
        self.base_url = base_url.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout = timeout
        self._certificates = certificates
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(keepalive_timeout=KEPT_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=connector, headers=self._headers, cookie_jar=aiohttp.DummyCookieJar()
            )
        return self._session

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        content_type: str = "application/json",
        seconds: float = 0.0,
        problems_of: str = "<text>",
    ) -> Answer:
        """Ask once. *seconds* is how long the server was asked to wait, which is added to the timeout.

        *problems_of* is what `InvalidDocument` calls the document.
        """
        url = URL(self.base_url + path, encoded=True)
        if query:
            url = url.update_query(query)
        headers = {} if body is None else {"Content-Type": content_type}
        if (span := active()) is not None:
            span.inject(headers)
        data = None if body is None else BytesIO(body)  # which is sent in pieces
        tls = True if self._certificates is None else self._certificates.context
        timeout = aiohttp.ClientTimeout(total=self._timeout + seconds, sock_connect=CONNECT_SECONDS)
        try:
            async with self._open().request(
                method, url, data=data, headers=headers, timeout=timeout, allow_redirects=False, ssl=tls
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_chunked(65536):
                    content += chunk
                    if len(content) > MAX_BYTES:
                        raise Unavailable(f"{self.base_url} sent more than {MAX_BYTES:,} bytes")
                answer = Answer(response.status, response.headers, bytes(content), self.base_url)
        except TimeoutError:
            raise Unavailable(f"the API at {self.base_url} did not answer in time") from None
        except (aiohttp.ClientError, OSError) as error:
            if isinstance(error, Unavailable):
                raise
            raise Unavailable(f"the API at {self.base_url} cannot be reached: {_why(error, url)}") from None
        if 200 <= answer.status < 300:
            return answer
        raise self._error(answer, problems_of)

    def _error(self, answer: Answer, name: str) -> Exception:
        try:
            members = orjson.loads(answer.body)
        except ValueError:
            members = None
        if not isinstance(members, dict):
            return Unavailable(f"what answers at {self.base_url} is not this engine (status {answer.status})")
        error = restore(answer.status, members, self.base_url)
        if isinstance(error, InvalidDocument):
            return InvalidDocument(error.problems, name=name)
        return error


def _why(error: aiohttp.ClientError | OSError, url: URL) -> str:
    """What the operating system said, or the client library, in one line."""
    match error:
        case aiohttp.ServerDisconnectedError() if url.scheme == "https":
            return (
                "it ended the connection; if it wants certificates (WFE_CLIENT_CA), it needs one that it takes "
                "(WFE_API_CERT)"
            )
        case aiohttp.ServerDisconnectedError():
            return "it ended the connection without an answer; is it https, not http?"
        case aiohttp.ClientConnectorDNSError():
            return f"the name {error.host} is not found ({error.os_error.strerror or error.os_error})"
        case aiohttp.ClientConnectorCertificateError():
            return f"its certificate is not trusted: {error.certificate_error}"
        case aiohttp.ClientConnectorSSLError():
            return f"no TLS: {error.strerror or error}; is it http, not https?"
        case aiohttp.ClientConnectorError():
            number = error.os_error.errno
            return os.strerror(number) if number else str(error.os_error)
        case aiohttp.ClientResponseError():
            return "what answers there does not speak HTTP"
        case aiohttp.ServerDisconnectedError() | OSError(errno=errno.ECONNRESET):
            return "it closed the connection without an answer"
        case _:
            return " ".join(str(error).split()) or type(error).__name__


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    whole = not (parts.query or parts.fragment)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and whole
