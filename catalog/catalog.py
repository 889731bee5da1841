"""The catalog: AsyncAPI documents by name and version, and the operations in them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from catalog.asyncapi import describe_document
from catalog.description import Description
from catalog.errors import Conflict, InvalidSpec, NotFound, Problem, did_you_mean
from catalog.model import Direction, Operation, Registration, Spec, latest, latest_of_each
from catalog.nodes import Limits
from catalog.reference import NAME, Reference, check_name
from catalog.store import Place, Store

LATEST = "latest"
"""Instead of a version: the highest one (see `catalog.model.latest`)."""


class Catalog:
    """Documents and operations over a *store*, which is closed with `close`. *clock* must be aware of zones."""

    def __init__(
        self, store: Store, *, limits: Limits | None = None, clock: Callable[[], datetime] | None = None
    ) -> None:
        self.limits = limits or Limits()
        self._store = store
        self._clock = clock or (lambda: datetime.now(UTC))

    async def add(self, name: str, text: str, *, replace: bool = False) -> Spec:
        """Register a document under *name*: `register` for who needs no more than the result."""
        return (await self.register(name, text, replace=replace)).spec

    async def register(self, name: str, text: str, *, replace: bool = False) -> Registration:
        """Register a document; its ``info.version`` is the version, and versions live side by side.

        The same text again changes nothing. Another text under a version that is there is a `Conflict`,
        unless *replace*. Raises `InvalidSpec` with every problem; then nothing is stored.
        """
        check_name(name)
        description = await asyncio.to_thread(describe_document, text, service=name, limits=self.limits)
        service = description.service
        _check_version(service.version)
        spec = Spec(
            name=name,
            version=service.version,
            title=service.title,
            asyncapi=description.asyncapi,
            description=service.description,
            digest=description.digest,
            registered_at=self._clock(),
            operation_count=len(description.operations),
            text=text,
        )
        before = await self._store.add(spec, description.operations, replace=replace)
        if before is None:
            return Registration(spec, "created", description.warnings)
        if before.digest == spec.digest:
            return Registration(before, "unchanged", description.warnings)
        if not replace:
            raise Conflict(
                f"{name!r} already has a version {spec.version!r} with another text; "
                "change info.version, or ask to replace it"
            )
        return Registration(spec, "replaced", description.warnings)

    async def get(self, name: str, version: str | None = None) -> Spec:
        """One document with its text; the latest without a *version*. Raises `NotFound`."""
        version = await self._version(name, version)
        spec = await self._store.get(name, version)
        if spec is None:
            known = [spec.version for spec in await self._store.specs(name)]
            raise NotFound("version", f"{name}@{version}", f"it has {', '.join(known)}" if known else "")
        return spec

    async def list(
        self, name: str | None = None, *, after: Place | None = None, limit: int | None = None
    ) -> Sequence[Spec]:
        """Every version of every document, without texts, by name, then as they were registered; of those behind
        *after* *limit* at most.
        """
        return await self._store.specs(name, after=after, limit=limit)

    async def latest(self, listed: Sequence[Spec]) -> Sequence[Spec]:
        """Those of *listed*, a part of a list, that are the latest versions of their documents."""
        # Of the others, all versions are in it.
        edges = {spec.name for spec in (*listed[:1], *listed[-1:])}
        whole = [spec for spec in listed if spec.name not in edges]
        for name in sorted(edges):
            whole += await self._store.specs(name)
        newest = {(spec.name, spec.version) for spec in latest_of_each(whole)}
        return [spec for spec in listed if (spec.name, spec.version) in newest]

    async def describe(self, name: str, version: str | None = None) -> Description:
        """All that a registered document says, to find an operation by its channel. Raises `NotFound`."""
        spec = await self.get(name, version)
        return await asyncio.to_thread(describe_document, spec.text, service=name, limits=self.limits)

    async def remove(self, name: str, version: str | None = None) -> None:
        """Forget one version of a document, or all of them. Raises `NotFound`."""
        if not await self._store.remove(name, version):
            await self.get(name, version)  # says what there is instead

    async def operations(
        self,
        *,
        service: str | None = None,
        channel: str | None = None,
        workflow_may: Direction | None = None,
        query: str | None = None,
    ) -> Sequence[Operation]:
        """Operations of the latest version of each document, by service, then in document order.

        *channel* is an address or a name; every word of *query* must occur, in any case, in an operation's
        id, channel, texts, tags or the names of its messages. A *service* that is not there has none.
        """
        words = (query or "").casefold().split()
        found: list[Operation] = []
        for spec in latest_of_each(await self._store.specs(service)):
            for operation in await self._store.operations(spec.name, spec.version):
                if channel not in (None, operation.channel.address, operation.channel.name):
                    continue
                if workflow_may in (None, operation.workflow_may) and _mentions(operation, words):
                    found.append(operation)
        return found

    async def operation(self, service: str, operation: str, version: str | None = None) -> Operation:
        """One operation by its id, of the latest version unless one is given. Raises `NotFound`."""
        version = await self._version(service, version)
        operations = await self._store.operations(service, version)
        for candidate in operations:
            if candidate.id == operation:
                return candidate
        await self.get(service, version)  # the version may be what is missing
        hint = did_you_mean(operation, (item.id for item in operations if item.id))
        raise NotFound("operation", f"{service}#{operation}", hint)

    async def resolve(self, reference: str) -> Operation:
        """The operation that *reference* names, in a form of `Reference.parse`.

        A file's name is first taken as a name in the catalog, then as a title. Raises `InvalidReference`,
        `NotFound`, and `Conflict` if documents of one title have the operation under several names.
        """
        wanted = Reference.parse(reference)
        if not wanted.by_title:
            return await self.operation(wanted.service, wanted.operation, wanted.version)
        newest = latest_of_each(await self._store.specs())
        names = [spec.name for spec in newest if spec.name == wanted.service]
        names = names or [spec.name for spec in newest if spec.title == wanted.service]
        if not names:
            known = {spec.name for spec in newest} | {spec.title for spec in newest}
            hint = did_you_mean(wanted.service, known) or "add the document to the catalog"
            raise NotFound("service", wanted.service, hint)
        if len(names) == 1:
            return await self.operation(names[0], wanted.operation)
        found = [
            operation
            for name in names
            for operation in await self.operations(service=name)
            if operation.id == wanted.operation
        ]
        if len(found) > 1:
            choices = " or ".join(f"catalog://{operation.service}#{operation.id}" for operation in found)
            raise Conflict(f"several documents are titled {wanted.service!r}; write {choices}")
        return found[0] if found else await self.operation(names[0], wanted.operation)

    async def close(self) -> None:
        await self._store.close()

    async def _version(self, name: str, version: str | None) -> str:
        if version is not None and version != LATEST:
            return version
        specs = await self._store.specs(name)
        if not specs:
            known = {spec.name for spec in await self._store.specs()}
            raise NotFound("service", name, did_you_mean(name, known))
        return latest(specs).version


def _mentions(operation: Operation, words: Sequence[str]) -> bool:
    texts = (
        operation.id,
        operation.service,
        operation.channel.name,
        operation.channel.address,
        operation.title,
        operation.summary,
        operation.description,
        *operation.tags,
        *(message.name for message in operation.messages),
    )
    text = "\n".join(filter(None, texts)).casefold()
    return all(word in text for word in words)


def _check_version(version: str) -> None:
    if not NAME.fullmatch(version) or version == LATEST:
        text = (
            f"{version!r} cannot be a version: 1 to 200 characters, none of / @ # ? % \\, and not {LATEST!r}"
        )
        raise InvalidSpec([Problem("invalid-version", text, "/info/version")])
