"""Find what a workflow needs from outside when it is deployed, small enough to travel with each run."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import copy
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

import catalog
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.openapi_pruning import MAX_DOCUMENTS, Elsewhere, prune
from workflow_engine.calls.proto import describe_method
from workflow_engine.calls.reach import Reach
from workflow_engine.calls.schemas import gather_schema, same_origin
from workflow_engine.calls.secrets import NO_SECRETS, Secrets
from workflow_engine.calls.sources import Sources
from workflow_engine.calls.structured_text import read
from workflow_engine.dsl import definition_files, functions
from workflow_engine.dsl.needs import Need
from workflow_engine.dsl.pinning import Unanswered
from workflow_engine.errors import Fault, NotFound, Rejected, Unavailable
from workflow_engine.values import Json, JsonObject

MAX_OTHERS = 16 * 1024 * 1024
"""How many bytes the documents may have together that an OpenAPI document refers to."""


class Operations(Protocol):
    """The catalog, in this process or over HTTP."""

    async def resolve(self, reference: str) -> catalog.Operation:
        """The operation that *reference* names."""


class Resolution:
    """Resolves needs: AsyncAPI operations through the catalog or a document, functions, others by their document.

    *texts* are documents that are at hand, by their address as the workflow writes it: local files, which a
    server never reads by itself; *files* finds others that those refer to, by address, or gives None. *secrets* are
    for documents that ask who reads them. *default_catalog* is the address of the catalog of functions that is called
    ``default``: a URL, or a folder of this machine.
    """

    def __init__(
        self,
        operations: Operations,
        egress: Egress,
        texts: dict[str, str] | None = None,
        files: Callable[[str], str | None] | None = None,
        *,
        secrets: Secrets = NO_SECRETS,
        default_catalog: str | None = None,
    ) -> None:
        self._operations = operations
        self._files = files or (lambda address: None)
        folder = None
        if default_catalog is not None and urlsplit(default_catalog).scheme not in ("http", "https"):
            folder = Path(unquote(urlsplit(default_catalog).path)).absolute()
            default_catalog = folder.as_uri()
        self._default_catalog = default_catalog
        self._sources = Sources(egress, texts, secrets, folder)
        self._egress, self._secrets = egress, secrets

    def within(self, reach: Reach) -> Resolution:
        """The same for those who may use what *reach* has, and call what it lets them."""
        egress, secrets = reach.egress(self._egress), reach.keeping(self._secrets)
        if egress is self._egress and secrets is self._secrets:
            return self
        made = copy(self)
        made._sources = self._sources.through(egress, secrets)
        return made

    async def __call__(self, need: Need) -> Json:
        """What *need* asks for; `NotFound` or `Rejected` say why it cannot be had.

        `Unanswered` for what cannot be had now, and what the call that needs it can see to.
        """
        try:
            return await self._resolved(need)
        except NotFound as missing:
            if need.later and missing.kind == "secret":
                raise Unanswered from None
            raise
        except catalog.NotFound as missing:
            raise NotFound("AsyncAPI operation", need.reference, str(missing)) from None
        except (catalog.Conflict, catalog.InvalidReference) as error:
            raise Rejected("unresolved", str(error)) from None
        except catalog.InvalidSpec as invalid:
            raise Rejected(
                "unresolved", f"{need.document} is not a usable AsyncAPI document: {invalid}"
            ) from None
        except catalog.Unavailable as error:
            raise Unavailable(str(error)) from None
        except Fault as raised:
            raise Rejected("unresolved", raised.error.detail or str(raised)) from None

    async def _resolved(self, need: Need) -> Json:
        if need.kind == "function":
            return await self._function(need)
        if need.kind == "script":
            _, text = await self._sources.text(need.reference, "script", need.policy)
            return {"uri": need.reference, "content": text}
        if need.kind == "openapi":
            return await self._openapi(need)
        if need.kind == "grpc":
            return await self._grpc(need)
        if need.kind == "schema":
            return await self._schema(need)
        if need.kind == "definitions":
            _, text = await self._sources.text(need.reference, "definitions", need.policy)
            return definition_files.read(text, need.reference, need.pointer.lstrip("/"))
        if need.document is not None:
            return await self._described(need)
        operation = await self._operations.resolve(need.reference)
        if need.subscribe and operation.workflow_may != "subscribe":
            raise Rejected("unresolved", f"{need.reference}: a workflow may only publish with it")
        return operation.to_json()

    async def _function(self, need: Need) -> Json:
        """The function, from the first of the addresses where there is one."""
        root = need.document or self._default_catalog
        if root is None:
            raise Rejected(
                "unresolved",
                "the catalog `default` is the one that the runtime provides, and here it provides none: set "
                "WFE_DEFAULT_CATALOG, or define the catalog under another name in `use.catalogs`",
            )
        tried = functions.addresses(root, need.reference)
        for number, address in enumerate(tried, 1):
            try:
                _, text = await self._sources.text(address, "function", need.policy)
            except NotFound as missing:
                if number == len(tried) or missing.kind == "secret":
                    raise
            else:
                return {"address": address, "function": functions.parse_function(text, address)}
        raise AssertionError("there is an address for each function")

    async def _described(self, need: Need) -> Json:
        assert need.document is not None
        _, text = await self._sources.text(need.document, "AsyncAPI document", need.policy)
        description = catalog.describe_document(text)
        if need.channel:
            return description.find(
                channel=need.reference, workflow_may="subscribe" if need.subscribe else "publish"
            ).to_json()
        return description.find(
            operation=need.reference, workflow_may="subscribe" if need.subscribe else None
        ).to_json()

    async def _openapi(self, need: Need) -> Json:
        assert need.document is not None
        base, text = await self._sources.text(need.document, "OpenAPI document", need.policy)
        try:
            document = read(text)
        except ValueError as error:
            raise Rejected(
                "unresolved", f"the OpenAPI document {need.document} cannot be read: {error}"
            ) from None
        pruned = await self._pruned(document, base, need)
        content = json.dumps(pruned, separators=(",", ":"), ensure_ascii=False)
        return {"uri": need.document, "base": base, "content": content}

    async def _pruned(self, document: Json, base: str, need: Need) -> JsonObject:
        """What the operation needs of its document, and of others that it refers to."""
        others: dict[str, Json] = {}
        size = 0
        while True:
            try:
                return prune(document, need.reference, base, others)
            except Elsewhere as elsewhere:
                wanted = elsewhere.address
            text = await self._other(wanted, base, need.policy)
            size += len(text)
            if len(others) >= MAX_DOCUMENTS or size > MAX_OTHERS:
                raise Rejected(
                    "unresolved",
                    f"the operation is spread over more than {MAX_DOCUMENTS} documents or {MAX_OTHERS:,} bytes",
                )
            try:
                others[wanted] = read(text)
            except ValueError as error:
                raise Rejected("unresolved", f"{wanted} cannot be read: {error}") from None

    async def _other(self, address: str, base: str, policy: Json) -> str:
        """The text at *address*, to which the document at *base* refers; only its own origin is told who asks."""
        if urlsplit(address).scheme not in ("http", "https"):
            text = self._files(address)
            if text is None:
                raise Rejected("unresolved", f"the OpenAPI document refers to {address}, which is not there")
            return text
        same = urlsplit(address)[:2] == urlsplit(base)[:2]
        return (await self._sources.text(address, "OpenAPI document", policy if same else None))[1]

    async def _schema(self, need: Need) -> Json:
        main = need.reference

        async def text_of(address: str) -> str:
            local = None if address == main else self._files(address)
            if local is not None:
                return local
            policy = need.policy if same_origin(main, address) else None
            return (await self._sources.text(address, "schema", policy))[1]

        return await gather_schema(main, text_of)

    async def _grpc(self, need: Need) -> Json:
        assert need.document is not None
        main = need.document
        service, _, method = need.reference.rpartition("#")

        async def read(address: str) -> str | None:
            if not address.startswith(("http://", "https://")) and address != main:
                return self._files(address)
            try:
                return (await self._sources.text(address, "proto", need.policy))[1]
            except NotFound as missing:
                if missing.kind == "secret" or address == main:
                    raise
                return None

        return await describe_method(main, service, method, read)
