"""The catalog from elsewhere: the methods of `catalog.Catalog` over HTTP."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NoReturn, Self
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from catalog.asyncapi import describe_document
from catalog.description import Description
from catalog.errors import Conflict, Denied, InvalidSpec, NotFound, Problem, Unavailable
from catalog.model import Direction, Operation, Registration, Spec
from catalog.reference import Reference, check_name

_PAGE = 200
_MOST_BYTES = 64 * 1024 * 1024
_OF_ANY_SERVER = frozenset({401, 403, 503})
"""Statuses with which a server that the catalog is a part of may refuse a request before the catalog sees it."""


class HttpCatalog:
    """The catalog at *base_url*, such as ``http://127.0.0.1:8080``; use it in ``async with``, or `close` it.

    Beside the errors of `catalog.Catalog`, every method raises `Unavailable`, naming the URL, if the server
    cannot be reached, takes longer than *timeout* seconds or fails, and `Denied` if it wants another *token*. *tls*
    says which certificates are trusted and which one is shown, instead of what every client does.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        timeout: float = 30,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is not an http or https URL")
        self.base_url = base_url.rstrip("/")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout = aiohttp.ClientTimeout(total=timeout)
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the next call would open new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def add(self, name: str, text: str, *, replace: bool = False) -> Spec:
        """Register a document under *name*: `register` for who needs no more than the result."""
        return (await self.register(name, text, replace=replace)).spec

    async def register(self, name: str, text: str, *, replace: bool = False) -> Registration:
        """Register a document, as `catalog.Catalog.register` does. The spec has *text* if it is what is kept."""
        check_name(name)
        query = {"replace": "true"} if replace else {}
        body = await self._json(
            "PUT", f"specs/{_quoted(name)}", query, data=text.encode(errors="surrogatepass")
        )
        warnings = tuple(Problem(**problem) for problem in body["warnings"])
        return Registration(Spec.from_json(body, text), body["outcome"], warnings)

    async def get(self, name: str, version: str | None = None) -> Spec:
        """One document with its text; the latest without a *version*."""
        body = await self._json("GET", f"specs/{_quoted(name)}", _present(version=version, text="true"))
        return Spec.from_json(body, str(body["text"]))

    async def list(self, name: str | None = None) -> Sequence[Spec]:
        """Every version of every document, without texts, from all pages of the answer."""
        found: list[Spec] = []
        cursor: str | None = None
        while True:
            body = await self._json("GET", "specs", _present(name=name, cursor=cursor))
            found += [Spec.from_json(item) for item in body["specs"]]
            cursor = body.get(
                "cursor"
            )  # of a server of an earlier version there is none: it answers with all
            if cursor is None:
                return found

    async def describe(self, name: str, version: str | None = None) -> Description:
        """All that a registered document says, to find an operation by its channel."""
        spec = await self.get(name, version)
        return await asyncio.to_thread(describe_document, spec.text, service=name)

    async def remove(self, name: str, version: str | None = None) -> None:
        """Forget one version of a document, or all of them."""
        await self._request("DELETE", f"specs/{_quoted(name)}", _present(version=version))

    async def operations(
        self,
        *,
        service: str | None = None,
        channel: str | None = None,
        workflow_may: Direction | None = None,
        query: str | None = None,
    ) -> Sequence[Operation]:
        """Operations of the latest version of each document, from all pages of the answer."""
        filters = _present(service=service, channel=channel, action=workflow_may, q=query)
        found: list[Operation] = []
        while True:
            page = {"limit": str(_PAGE), "offset": str(len(found))}
            body = await self._json("GET", "operations", filters | page)
            found.extend(Operation.from_json(item) for item in body["operations"])
            if not body["operations"] or len(found) >= body["total"]:
                return found

    async def operation(self, service: str, operation: str, version: str | None = None) -> Operation:
        """One operation by its id, of the latest version unless one is given."""
        path = f"operations/{_quoted(service)}/{_quoted(operation)}"
        return Operation.from_json(await self._json("GET", path, _present(version=version)))

    async def resolve(self, reference: str) -> Operation:
        """The operation that *reference* names."""
        Reference.parse(reference)
        return Operation.from_json(await self._json("GET", "resolve", {"reference": reference}))

    async def _json(
        self, method: str, path: str, query: Mapping[str, str], *, data: bytes | None = None
    ) -> Any:
        content = await self._request(method, path, query, data=data)
        try:
            return json.loads(content)
        except ValueError as error:
            raise Unavailable(f"what answers at {self.base_url} is not a catalog: it sent no JSON") from error

    async def _request(
        self, method: str, path: str, query: Mapping[str, str], *, data: bytes | None = None
    ) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=self._timeout,
                headers=self._headers,
                connector=aiohttp.TCPConnector(ssl=True if self._tls is None else self._tls),
            )
        body = None if data is None else BytesIO(data)
        url = URL(f"{self.base_url}/v1/catalog/{path}", encoded=True).update_query(query)
        try:
            async with self._session.request(method, url, data=body, allow_redirects=False) as response:
                content = bytearray()
                async for chunk in response.content.iter_chunked(65536):
                    content += chunk
                    if len(content) > _MOST_BYTES:
                        raise Unavailable(
                            f"the catalog at {self.base_url} sent more than {_MOST_BYTES} bytes"
                        )
                if response.status < 300:
                    return bytes(content)
                self._fail(response.status, bytes(content))
        except TimeoutError as error:
            raise Unavailable(f"the catalog at {self.base_url} did not answer in time") from error
        except aiohttp.ClientError as error:
            raise Unavailable(f"the catalog at {self.base_url} cannot be reached: {error}") from error

    def _fail(self, status: int, content: bytes) -> NoReturn:
        try:
            body = json.loads(content)
            listed = body.get("problems", []) if status in _OF_ANY_SERVER else body["problems"]
            detail, problems = str(body["detail"]), [Problem(**problem) for problem in listed]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unavailable(
                f"what answers at {self.base_url} is not a catalog (status {status})"
            ) from error
        if problems:
            raise InvalidSpec(problems)
        match status:
            case 400:
                raise ValueError(detail)
            case 401 | 403:
                raise Denied(f"{self.base_url}: {detail}")
            case 404:
                raise _NotFoundThere(detail)
            case 409:
                raise Conflict(detail)
            case _:
                raise Unavailable(f"the catalog at {self.base_url} failed with status {status}: {detail}")


class _NotFoundThere(NotFound):
    """What the server did not find, in its words."""

    def __init__(self, detail: str) -> None:
        super().__init__("entry", "")
        self.args = (detail,)


def _quoted(part: str) -> str:
    return quote(part, safe="")


def _present(**parameters: str | None) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value is not None}
