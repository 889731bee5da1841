"""What a protocol needs to know of one call: the server, the channel, the credentials, the message."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, TypeVar

from yarl import URL

from workflow_engine.calls.authentication import authenticate
from workflow_engine.calls.brokers.server import Server
from workflow_engine.calls.context import CallContext
from workflow_engine.errors import fault
from workflow_engine.values import Json, JsonObject


@dataclass(frozen=True, slots=True)
class Login:
    """Who connects: a user and a password, or a *token*; nobody in particular when all are None."""

    user: str | None = None
    password: str | None = None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """One use of a broker. *channel*, *operation* and *message* are what the document's bindings say for the protocol.

    *client* is 32 hexadecimal digits that stand for this state of this run: what a broker knows a subscriber by.
    *whole*: the document promises whole CloudEvents.
    """

    server: Server
    address: str
    context: CallContext
    policy: Json = None
    login: Login = Login()
    channel: JsonObject = field(default_factory=dict)
    operation: JsonObject = field(default_factory=dict)
    message: JsonObject = field(default_factory=dict)
    client: str = ""
    whole: bool = False

    @property
    def shown(self) -> str:
        """The channel at its server, for errors."""
        return f"{self.address!r} at {self.server}"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send. *id* is the same for every attempt. *correlation* is its correlation id, if it has one. *key*
    is that of the record, where there are any. *bare*: it has no data at all, which is not the same as empty data.
    *content_type* is empty where nothing says what the body is.
    """

    body: bytes
    content_type: str
    headers: Mapping[str, str]
    id: str
    correlation: str | None = None
    key: str | None = None
    bare: bool = False


UNDER_WAY = 64
"""How many messages that were not acknowledged a broker may send that cannot be told how many bytes those may have."""
OURS = "wfe-"
"""What the groups begin with that are made for sources, and forgotten with them."""
Send: TypeAlias = Callable[[str, Outgoing], Awaitable[None]]
"""Sends a message to an address over a connection that is there, and returns when the broker has confirmed it."""


async def nothing() -> None:
    """There is nothing to acknowledge."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A message that came. *id* tells it from every other one of the channel and is the same when it is delivered
    again; None where neither broker nor sender give one. *at* is where to go on after it, if the broker has places.
    *address* is where it was sent to, *key* that of its record, and *moment* when, as far as the broker says.
    """

    body: bytes
    headers: JsonObject
    content_type: str | None = None
    id: str | None = None
    correlation: str | None = None
    settle: Callable[[], Awaitable[None]] = nothing
    at: JsonObject = field(default_factory=dict)
    address: str | None = None
    key: str | None = None
    moment: datetime | None = None


@dataclass(slots=True)
class Hearing:
    """How a source hears: the broker knows it by *group*, and is asked for messages from *start* on (``latest``,
    ``earliest``, or seconds since 1970), so many at a time as *most* says. Where the broker forgot the group, it is
    *at* that it goes on, as `Incoming.at` has it.

    The protocol tells of *promise*: how often each message is an event (``exactly-once``, ``at-least-once`` or
    ``at-most-once``); by *ask* how many messages wait at the broker, None where it does not say; and in *dropped* how
    many it had to let go that no broker keeps, for there was no room.
    """

    group: str
    start: Literal["latest", "earliest"] | float = "latest"
    most: int = 256
    at: JsonObject = field(default_factory=dict)
    promise: str = "at-least-once"
    ask: Callable[[], Awaitable[int]] | None = None
    dropped: int = 0

    @property
    def is_own(self) -> bool:
        """Whether nobody else is in the group."""
        return self.group.startswith(OURS)

    @property
    def client(self) -> str:
        """20 hexadecimal digits that stand for the group."""
        return hashlib.blake2b(self.group.encode(), digest_size=10).hexdigest()


_T = TypeVar("_T")


async def gathered(waiting: asyncio.Queue[_T | None], most: int) -> list[_T]:
    """What is in the queue, at most so much, once there is anything; an empty list where the next is None: the end."""
    if (first := await waiting.get()) is None:
        return []
    found = [first]
    while len(found) < most and not waiting.empty():
        if (item := waiting.get_nowait()) is None:
            waiting.put_nowait(None)
            break
        found.append(item)
    return found


def named(headers: JsonObject, name: str) -> str | None:
    """The text of the header *name*, in whatever case that is written."""
    if isinstance(exact := headers.get(name), str):
        return exact
    for header, value in headers.items():
        if header.lower() == name.lower() and isinstance(value, str):
            return value
    return None


async def closed(closing: Coroutine[Any, Any, Any], seconds: float = 10.0) -> None:
    """Let *closing* a connection end, also if who waits for it is cancelled meanwhile, and whatever it says."""
    task = asyncio.ensure_future(closing)
    with suppress(Exception):
        async with asyncio.timeout(seconds):
            await asyncio.shield(task)


async def login(policy: Json, context: CallContext, server: Server) -> Login:
    """Who the authentication *policy* says that connects."""
    if policy is None:
        return Login()
    credentials = await authenticate(policy, context.egress, URL(f"https://{server.hosts[0][0]}"))
    scheme, _, value = credentials.headers.get("Authorization", "").partition(" ")
    if scheme == "Basic":
        user, _, password = base64.b64decode(value).decode().partition(":")
        return Login(user, password)
    if scheme == "Bearer":
        return Login(token=value)
    raise fault(
        "configuration", f"digest authentication is for HTTP; {server} takes basic, bearer, oauth2 or oidc"
    )


def lost(link: Link, error: BaseException | str) -> Exception:
    """The fault that the broker cannot be reached, or is gone."""
    said = "".join(char if char.isprintable() or char.isspace() else "?" for char in str(error)[:2_000])
    reason = " ".join(said.split()) or type(error).__name__
    return fault("communication", f"{link.shown}: {reason[:300]}")


def too_large(link: Link, error: BaseException | str) -> Exception:
    """The fault that the broker takes no message of that size, whenever it is sent."""
    return fault("validation", f"{link.shown}: the message is larger than the broker takes: {error}"[:500])


def refused(link: Link, reason: str) -> Exception:
    """The fault that the broker does not accept who connects."""
    return fault("authentication", f"{link.shown}: {reason[:300]}")
