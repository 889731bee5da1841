"""What a token is good for: a role, and perhaps only some namespaces of workflows and some channels of events."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from workflow_engine.dsl.source import load
from workflow_engine.engine.deployed import Allowed, anything
from workflow_engine.errors import InvalidDocument, Rejected
from workflow_engine.events.letters import DEAD_LETTERS
from workflow_engine.graph.model import (
    ContinueAs,
    Emit,
    Event,
    Messages,
    Operation,
    StateGraph,
    SubFlow,
    WorkflowName,
    states_of,
)
from workflow_engine.interpreter.subscribing import address_of
from workflow_engine.values import Json

ROLES = ("read", "run", "admin")
"""Each may what those before it may. ``read``: look. ``run``: start and control runs of what is deployed, and publish
events. ``admin``: everything."""
EVERY = "*"
MAX_NAMES = 1000
_NAME = re.compile(r"[^\s*]{1,200}\*?|\*")
_MADE = re.compile(r"-[0-9a-f]{32}$|-\d{4}-\d\d-\d\dT[\d:.]+Z$|\.(?:do|states|use|functions|events)\.")
"""How ids end that are made of the identity of an event, or of a moment; and what those of sub-flows have in them."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Grant:
    """A *role* in *namespaces* and on *channels*; None is all of them. A name that ends in ``*`` is every name that
    begins so.
    """

    role: str
    namespaces: frozenset[str] | None = None
    channels: frozenset[str] | None = None

    @classmethod
    def of(cls, role: str, namespaces: Iterable[str] | None, channels: Iterable[str] | None) -> Grant:
        """What is limited in one respect, and says nothing of the other, has nothing of the other."""
        if namespaces is None and channels is None:
            return cls(role)
        return cls(role, _names(namespaces), _names(channels))

    @property
    def limited(self) -> bool:
        return self.namespaces is not None or self.channels is not None

    def sees(self, workflow: WorkflowName | str | None) -> bool:
        """Whether *workflow*, or the namespace, is one of its own; what is not known belongs to none."""
        if self.namespaces is None:
            return True
        namespace = workflow.namespace if isinstance(workflow, WorkflowName) else workflow
        return namespace is not None and _among(namespace, self.namespaces)

    def hears(self, channel: str) -> bool:
        """Whether *channel* is one of its own."""
        return self.channels is None or _among(channel, self.channels)

    def own_namespace(self) -> str | None:
        """The namespace that it has, where that is one."""
        if self.namespaces is None or len(self.namespaces) != 1:
            return None
        (only,) = self.namespaces
        return None if only.endswith(EVERY) else only

    def refuse(self, what: str) -> Rejected:
        """The error for *what* it may not."""
        return Rejected("grant-missing", f"{what}: the token is {self}", status=403)

    def __str__(self) -> str:
        def told(what: str, names: frozenset[str] | None) -> str:
            if names is None:
                return f"all {what}"
            return f"the {what} {', '.join(sorted(names)[:20])}" if names else f"no {what}"

        return f"for {told('namespaces', self.namespaces)} and {told('channels', self.channels)}"

    def check_namespace(self, namespace: str, pointer: str = "") -> None:
        """`Rejected` unless it may act in *namespace*."""
        if not self.sees(namespace):
            refused = self.refuse(f"nothing can be done in namespace {namespace[:200]!r}")
            refused.pointer = pointer
            raise refused

    def check_channel(self, channel: str, pointer: str = "") -> None:
        """`Rejected` unless it may act on *channel*."""
        if not self.hears(channel):
            refused = self.refuse(f"nothing can be done on channel {channel[:200]!r}")
            refused.pointer = pointer
            raise refused

    def check_run_id(self, run_id: str | None) -> None:
        """`Rejected` for an id as the engine makes them: whoever takes that of another's run keeps it from starting."""
        if self.limited and run_id is not None and _MADE.search(run_id):
            refused = self.refuse(
                f"{run_id[:200]!r} is what the engine calls runs that events, clocks and runs start"
            )
            refused.pointer = "/id"
            raise refused

    def check_workflow(self, graph: StateGraph) -> None:
        """`Rejected` unless it may deploy *graph*: what that starts, hears and sends must be its own too."""
        if not self.limited:
            return
        self.check_namespace(graph.name.namespace)
        if graph.trigger is not None:
            self.check_channel(graph.trigger.channel)
        for state in states_of(graph):
            match state.action:
                case Event(messages=Messages() as messages):
                    operation = graph.resources.get(messages.resource)
                    # Once it is pinned; what comes from a broker is on no channel.
                    if messages.bridge is None and isinstance(operation, dict):
                        self.check_channel(address_of(operation), state.id)
                case Operation(kind="asyncapi") as call:
                    self._check_sent(call, graph.resources, state.id)
                case Event(channel=channel) | Emit(channel=channel):
                    self.check_channel(channel, state.id)
                case SubFlow(namespace=namespace) | ContinueAs(namespace=namespace):
                    self.check_namespace(namespace, state.id)
                case _:
                    pass

    @property
    def allowed(self) -> Allowed:
        """`check_workflow`, where there is something to check."""
        return self.check_workflow if self.limited else anything

    def _check_sent(self, call: Operation, resources: Mapping[str, Json], pointer: str) -> None:
        """`Rejected` unless *call* sends to a channel of its own; to a broker it may send as every call may."""
        given = call.arguments.source
        if self.channels is None or not isinstance(given, dict) or {"server", "protocol"} & given.keys():
            return
        pinned = [resources[key] for key in call.resources if key in resources]
        if call.resources and not pinned:
            return  # it is asked again once it is pinned
        operation = pinned[0] if pinned else None
        channel = operation.get("channel") if isinstance(operation, dict) else None
        fixed, filled_in, _ = channel.partition("{") if isinstance(channel, str) else ("", "{", "")
        if not filled_in:
            self.check_channel(fixed, pointer)
        elif not any(one.endswith(EVERY) and fixed.startswith(one[:-1]) for one in self.channels):
            refused = self.refuse("the channel that this call publishes to is known only when it is made")
            refused.pointer = pointer
            raise refused


ALL = Grant("admin")
NOBODY = Grant("read", frozenset(), frozenset())
"""Of who has shown nothing, where something is to be shown."""
_GRANTED: ContextVar[Grant] = ContextVar("granted", default=ALL)


def granted() -> Grant:
    """The grant of the request that is being answered."""
    return _GRANTED.get()


def grant(found: Grant) -> None:
    """Answer what follows in this task by *found*."""
    _GRANTED.set(found)


def _names(given: Iterable[str] | None) -> frozenset[str] | None:
    found = frozenset(given or ())
    return None if EVERY in found else found


def _among(name: str, names: frozenset[str]) -> bool:
    return name in names or any(one.endswith(EVERY) and name.startswith(one[:-1]) for one in names)


def tokens_in(file: Path) -> Iterator[tuple[str, Grant]]:
    """The tokens of *file*, each as the SHA-256 of it in hexadecimal digits, with what it is good for."""
    try:
        listed = load(file.read_bytes(), name=str(file)).data
    except OSError as error:
        raise Rejected(
            "invalid-setting", f"WFE_API_TOKENS: {file} cannot be read: {error.strerror}"
        ) from None
    except InvalidDocument as error:
        raise Rejected("invalid-setting", f"WFE_API_TOKENS: {error}") from None
    if not isinstance(listed, list):
        raise Rejected("invalid-setting", f"WFE_API_TOKENS: {file} has no list of tokens")
    for number, item in enumerate(listed):
        try:
            yield _token(item)
        except ValueError as error:
            raise Rejected(
                "invalid-setting", f"WFE_API_TOKENS: {file}: token {number + 1}: {error}"
            ) from None


def _token(item: Json) -> tuple[str, Grant]:
    if not isinstance(item, dict):
        raise ValueError("expected an object with `token` or `sha256`, and `role`")
    unknown = item.keys() - {"name", "token", "sha256", "role", "namespaces", "channels"}
    if unknown:
        raise ValueError(f"there is no property {min(unknown)!r}")
    token, digest, role = item.get("token"), item.get("sha256"), item.get("role")
    if (token is None) == (digest is None):
        raise ValueError("give one of `token` and `sha256`")
    if token is not None:
        if not isinstance(token, str) or not token:
            raise ValueError("`token` is a text that is not empty")
        digest = hashlib.sha256(token.encode()).hexdigest()
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
        raise ValueError("`sha256` is 64 hexadecimal digits in lower case")
    if role not in ROLES:
        raise ValueError(f"`role` is one of {', '.join(ROLES)}")
    return digest, Grant.of(str(role), _listed(item, "namespaces"), _listed(item, "channels"))


def _listed(item: dict[str, Json], key: str) -> list[str] | None:
    if key not in item:
        return None
    return names_of(item[key], key)


def names_of(value: Json, what: str) -> list[str]:
    """The names in a list, or in a text with spaces between them; `ValueError` for anything else."""
    listed = value.split() if isinstance(value, str) else value
    if (
        not isinstance(listed, list)
        or len(listed) > MAX_NAMES
        or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in listed)
    ):
        raise ValueError(f"`{what}` are names, {MAX_NAMES} at most; `*` stands at the end of one")
    return [str(name) for name in listed]


__all__ = ["ALL", "DEAD_LETTERS", "NOBODY", "ROLES", "Grant", "grant", "granted", "names_of", "tokens_in"]
