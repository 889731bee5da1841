"""Sources: services that send something over HTTP, and how an event is made of it. Those of brokers are kept too."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from workflow_engine import expressions
from workflow_engine.errors import NotFound, Rejected
from workflow_engine.events.broker_sources import BrokerSource
from workflow_engine.events.cloudevents import normalize
from workflow_engine.events.spi import Store
from workflow_engine.events.subscriptions import called, check_channel
from workflow_engine.events.transforms import NotTransformed
from workflow_engine.values import Json, JsonObject, pointer

SCHEMES = ("github", "gitlab", "stripe", "slack", "standard", "hmac", "basic", "none")
"""How a request shows that it is from the service; ``none``: not at all."""
VARIABLES = frozenset({"headers", "query"})
SOURCE = "source/"
_NOTE = "heard/"
_ID = re.compile(r"[A-Za-z0-9._~-]{1,100}")
_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")


@dataclass(frozen=True, slots=True)
class Source:
    """Requests to it become events of *channel*.

    *event* is a template of their attributes and ``data``, whose expressions see the body as ``.``, and ``$headers``
    (names in lower case) and ``$query``. Where it says nothing, the type is ``webhook.ID``, the source ``/sources/ID``,
    the data the body, and the id made of the body, so that what is sent twice is one event; of a request that is signed
    as Standard Webhooks says, the id is its own, which is signed too.

    *verify* has the ``scheme``, the name of a ``secret``, and for ``hmac`` the ``header``, its ``prefix`` and the
    ``encoding``, hex or base64.
    """

    id: str
    verify: JsonObject
    channel: str = "default"
    event: JsonObject = field(default_factory=dict)

    def check(self) -> None:
        """Raise `Rejected` for what is wrong with it."""
        check_source_id(self.id)
        check_channel(self.channel, "channel")
        scheme = self.verify.get("scheme")
        if scheme not in SCHEMES:
            raise _invalid(f"expected one of {', '.join(SCHEMES)}", "verify", "scheme")
        members = {"scheme"} if scheme == "none" else {"scheme", "secret"}
        members |= {"header", "prefix", "encoding"} if scheme == "hmac" else set()
        for name, value in self.verify.items():
            if name not in members:
                raise _invalid(f"expected {', '.join(sorted(members))}", "verify", name)
            if not isinstance(value, str):
                raise _invalid("expected a text", "verify", name)
        if scheme != "none" and not self.verify.get("secret"):
            raise _invalid("the name of a secret is required", "verify", "secret")
        if scheme == "hmac" and not _HEADER.fullmatch(str(self.verify.get("header", ""))):
            raise _invalid("the name of a header is required", "verify", "header")
        if self.verify.get("encoding", "hex") not in ("hex", "base64"):
            raise _invalid("expected hex or base64", "verify", "encoding")
        try:
            expressions.template(self.event, variables=VARIABLES)
        except expressions.ExpressionError as error:
            raise _invalid(str(error), "event") from None

    def to_json(self) -> JsonObject:
        members: JsonObject = asdict(self)
        return members

    @classmethod
    def from_json(cls, members: Any) -> Source:
        """Read and check a source; `Rejected` names the place."""
        types = {"id": str, "verify": dict, "channel": str, "event": dict}
        if not isinstance(members, dict):
            raise _invalid("expected an object")
        for name, value in members.items():
            if name not in types:
                raise _invalid(f"expected one of {', '.join(types)}", name)
            if not isinstance(value, types[name]):
                raise _invalid(f"expected {called(types[name])}", name)
        for name in ("id", "verify"):
            if name not in members:
                raise _invalid(f"{name} is required", name)
        source = cls(**members)
        source.check()
        return source

    def made(
        self, body: Json, raw: bytes, headers: Mapping[str, str], query: Mapping[str, str]
    ) -> JsonObject:
        """The event of a request. `NotTransformed` where its template gives none."""
        scope: dict[str, Json] = {"headers": dict(headers), "query": dict(query)}
        try:
            given = _template(orjson.dumps(self.event)).evaluate(body, scope)
        except expressions.EvaluationError as error:
            raise NotTransformed(str(error)) from None
        event: JsonObject = {
            "specversion": "1.0",
            "id": self._id(raw, headers),
            "source": f"/sources/{self.id}",
            "type": f"webhook.{self.id}",
            "datacontenttype": "application/json",
            "data": body,
            **(given if isinstance(given, dict) else {}),
        }
        try:
            return normalize(event)
        except Rejected as error:
            raise NotTransformed(f"{error.pointer}: {error}") from None

    def _id(self, raw: bytes, headers: Mapping[str, str]) -> str:
        own = headers.get("webhook-id") if self.verify.get("scheme") == "standard" else None
        return own or hashlib.sha256(raw).hexdigest()


@lru_cache(maxsize=1024)
def _template(text: bytes) -> expressions.Template:
    return expressions.template(orjson.loads(text), variables=VARIABLES)


def _invalid(message: str, *path: str) -> Rejected:
    return Rejected("source-invalid", message, pointer=pointer(*path))


def check_source_id(id: str) -> None:
    """Raise `Rejected` for an id that no source can have."""
    if not _ID.fullmatch(id):
        raise Rejected("source-id", "1 to 100 of A-Z a-z 0-9 . _ ~ -", pointer="/id")


class Sources:
    """The part of the router that knows its sources. *sources_changed* is called when any of them may have."""

    _store: Store
    sources_changed: Callable[[], None] = staticmethod(lambda: None)

    async def put_source(self, source: Source | BrokerSource) -> None:
        """Create it, or change the one of this id."""
        check_source_id(source.id)
        source.check()
        await self._store.put(SOURCE + source.id, orjson.dumps(source.to_json()))
        self.sources_changed()

    async def get_source(self, id: str) -> Source | BrokerSource:
        """The source, or `NotFound`."""
        entry = await self._store.get(SOURCE + id)
        if entry is None:
            raise NotFound("source", id)
        return _kept(entry.value)

    async def sources(self) -> list[Source | BrokerSource]:
        """All of them, by id."""
        return [_kept(entry.value) for entry in await self._store.entries(SOURCE)]

    async def _read_sources(self, after: str | None, limit: int) -> list[Source | BrokerSource]:
        """Up to *limit* of them, by id, from behind the id *after* on."""
        behind = None if after is None else SOURCE + after
        return [_kept(entry.value) for entry in await self._store.entries(SOURCE, after=behind, limit=limit)]

    async def delete_source(self, id: str) -> None:
        """Delete it. `NotFound` if there is none."""
        if not await self._store.delete(SOURCE + id):
            raise NotFound("source", id)
        self.sources_changed()

    async def note_source(self, id: str, note: JsonObject | None) -> None:
        """Keep what is told of a source, for all processes of the router; None forgets it."""
        if note is None:
            await self._store.delete(_NOTE + id)
        else:
            await self._store.put(_NOTE + id, orjson.dumps(note))

    async def source_note(self, id: str) -> JsonObject:
        """What was told of a source last; nothing where it never was."""
        entry = await self._store.get(_NOTE + id)
        note: JsonObject = {} if entry is None else orjson.loads(entry.value)
        return note


def _kept(value: bytes) -> Source | BrokerSource:
    members = orjson.loads(value)
    return BrokerSource.kept(members) if "operation" in members else Source.from_json(members)
