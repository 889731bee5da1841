"""What documents need from files of this machine, resolved here: servers never read a caller's files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import catalog
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.resolution import Resolution
from workflow_engine.cli.inputs import STDIN, read_bytes, shown
from workflow_engine.dsl import Document, functions
from workflow_engine.dsl.needs import Need
from workflow_engine.dsl.pinning import Unanswered, gather
from workflow_engine.errors import InvalidDocument, Problem, Rejected
from workflow_engine.values import Json

MAX_BYTES = 16 * 1024 * 1024


class LocalFiles:
    """Answers needs from AsyncAPI documents given by name, and from files relative to the workflow's own.

    *neighbours*: a reference such as ``file://orderapp.yaml#sendOrder`` may also mean a file beside the
    workflow, for there is no server whose catalog would have it.
    """

    def __init__(self, specs: catalog.Catalog, *, neighbours: bool = False) -> None:
        self._specs = specs
        self._neighbours = neighbours

    @classmethod
    async def open(cls, files: Sequence[str], *, neighbours: bool = False) -> LocalFiles:
        """Read the AsyncAPI documents *files*; each is known by its title. `InvalidDocument` if one has problems."""
        specs = catalog.Catalog(await catalog.open_store("memory:"))
        for file in files:
            text = _text(read_bytes(file, MAX_BYTES), shown(file))
            try:
                await specs.register(catalog.describe_document(text).service.name, text)
            except catalog.InvalidSpec as error:
                raise _invalid(error, shown(file)) from None
            except catalog.Conflict as error:
                raise Rejected("twice", f"{shown(file)}: {error}") from None
        return cls(specs, neighbours=neighbours)

    async def answers(self, document: Document, file: str, *, prefix: str = "") -> dict[str, Json]:
        """What this machine knows of the needs of *document*, which was read from *file*; by key.

        What it does not know is left out, and what is pinned under a key without that *prefix*. `InvalidDocument`
        names every file that is not there or not usable.
        """
        folder = Path() if file == STDIN else Path(file).parent
        async with Egress(allow_private=False) as egress:

            async def answer(need: Need) -> Json:
                if not need.key.startswith(prefix):
                    raise Unanswered
                return await self._answer(need, folder, egress)

            return await gather(document, answer, {})

    async def _answer(self, need: Need, folder: Path, egress: Egress) -> Json:
        if need.kind == "function":
            return await self._function(need, folder, egress)
        if need.document is None:
            return await self._named(need, folder)
        if not _is_local(need.document):
            raise Unanswered
        text = _text(read_bytes(str(folder / _path(need.document)), MAX_BYTES), need.document)

        def other(address: str) -> str | None:
            file = folder / _path(address)
            return _text(read_bytes(str(file), MAX_BYTES), address) if file.is_file() else None

        return await Resolution(self._specs, egress, {need.document: text}, other)(need)

    async def _function(self, need: Need, folder: Path, egress: Egress) -> Json:
        """A function in a file, in a folder, or in a catalog that is a folder."""
        if need.document is None or not _is_local(need.document):
            raise Unanswered
        [address] = functions.addresses(need.document, need.reference)
        text = _text(read_bytes(str(folder / _path(address)), MAX_BYTES), address)
        return await Resolution(self._specs, egress, {address: text})(need)

    async def _named(self, need: Need, folder: Path) -> Json:
        """The operation in the documents given by name, else in a neighbour of the workflow."""
        try:
            return (await self._specs.resolve(need.reference)).to_json()
        except catalog.NotFound as missing:
            path, _, operation = need.reference.partition("#")
            file = folder / _path(path)
            if missing.kind != "service":
                raise Rejected("unresolved", str(missing)) from None
            if not self._neighbours or not file.is_file():
                raise Unanswered from None
        except (catalog.InvalidReference, catalog.Conflict) as error:
            raise Rejected("unresolved", str(error)) from None
        try:
            description = catalog.describe_document(_text(read_bytes(str(file), MAX_BYTES), str(file)))
            return description.find(operation=unquote(operation)).to_json()
        except catalog.InvalidSpec as error:
            raise Rejected("unresolved", f"{file} is not a usable AsyncAPI document: {error}") from None
        except (catalog.NotFound, catalog.Conflict) as error:
            raise Rejected("unresolved", f"{file}: {error}") from None


def _is_local(address: str) -> bool:
    return "${" not in address and urlsplit(address).scheme not in ("http", "https")


def _path(address: str) -> Path:
    """The path in a ``file:`` URL or a relative reference; ``file://name.yaml``, which authors write, is relative.

    So is ``classpath:``, which is where SonataFlow has its files: beside the workflow.
    """
    parts = urlsplit(address)
    if parts.scheme == "classpath":
        return Path(unquote(parts.path).lstrip("/"))
    if parts.scheme not in ("", "file"):
        raise Rejected("unresolved", f"{address!r} is neither a file nor an http or https address")
    return Path(unquote(parts.netloc + parts.path))


def _text(content: bytes, name: str) -> str:
    if len(content) > MAX_BYTES:
        raise Rejected("too-large", f"{name} has more than {MAX_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Rejected("not-utf-8", f"{name} is not UTF-8") from None


def _invalid(error: catalog.InvalidSpec, name: str) -> InvalidDocument:
    problems = (
        Problem(item.code, item.message, item.pointer, item.line, item.column, item.severity)
        for item in error.problems
    )
    return InvalidDocument(problems, name=name)
