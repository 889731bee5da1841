"""What each namespace and each channel may use: secrets, hosts, processes, queues; and who holds to it.

A file says it (``WFE_REACH``). What the workflows of a namespace do, they do by what is said of that namespace, whoever
started the run; a sub-flow is a run of its own namespace. Subscriptions and sources go by their channel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from workflow_engine.calls.addresses import covers, host_key
from workflow_engine.calls.egress import Egress
from workflow_engine.calls.secrets import Secrets
from workflow_engine.dsl.source import load
from workflow_engine.errors import InvalidDocument, NotFound, Rejected
from workflow_engine.values import Json, JsonObject, pointer

EVERY = "*"
SETTING = "WFE_REACH"
MAX_NAMES = 1000
MAX_BYTES = 1024 * 1024
"""How large the file may be."""
_WHOSE = ("namespaces", "channels")
_WHAT = ("hosts", "secrets", "processes", "queues")


@dataclass(frozen=True, slots=True)
class Reach:
    """What *whose*, such as ``namespace 'shop'``, may use, besides what the server allows to all; None is all of it.

    A name that ends in ``*`` is every name that begins so. Hosts are exact, or ``*.example.com``, as those of
    ``WFE_ALLOWED_HOSTS``.
    """

    whose: str
    hosts: tuple[str, ...] | None = None
    secrets: frozenset[str] | None = None
    processes: frozenset[str] | None = None
    queues: frozenset[str] | None = None

    def host(self, name: str) -> str | None:
        """Why the host *name* may not be called; None where it may."""
        key = host_key(name)
        if self.hosts is None or any(covers(rule, key) for rule in self.hosts):
            return None
        return f"host {key!r} is not among those that {self.whose} may call ({SETTING})"

    def secret(self, name: str) -> str | None:
        """Why the secret *name* may not be used; None where it may."""
        if self.secrets is None or _among(name, self.secrets):
            return None
        return f"{self.whose} may not use it ({SETTING})"

    def egress(self, egress: Egress) -> Egress:
        """*egress*, which calls these hosts alone."""
        return egress if self.hosts is None else egress.narrowed(self.whose, self.host)

    def keeping(self, secrets: Secrets) -> Secrets:
        """*secrets*, of which these alone are given."""
        return secrets if self.secrets is None else _Kept(secrets, self)

    def started(self, kinds: frozenset[str]) -> frozenset[str]:
        """Those *kinds* of processes that may be started."""
        return kinds if self.processes is None else kinds & self.processes


@dataclass(frozen=True, slots=True)
class _Kept:
    secrets: Secrets
    reach: Reach

    async def get(self, name: str) -> Json:
        why = self.reach.secret(name)
        if why is not None:
            raise NotFound("secret", name, why)
        return await self.secrets.get(name)


@dataclass(frozen=True, slots=True)
class _Rule:
    names: dict[str, frozenset[str]]
    allowed: dict[str, frozenset[str]]


@dataclass(eq=False)
class Reaches:
    """What there is to say of all namespaces and channels; without *rules* (None) nothing is limited.

    Whoever several rules name has what they give together. Whoever none names has nothing, and so has what a rule says
    nothing of. What they say may become something else at any time, so ask for each call; those in *changed* are told.
    *failing* is why they are not what they should be by now; None if they are.
    """

    rules: tuple[_Rule, ...] | None = None
    failing: str | None = None
    changed: list[Callable[[], None]] = field(default_factory=list)
    _known: dict[tuple[str, str], Reach] = field(default_factory=dict)

    def become(self, other: Reaches) -> None:
        """Say from now on what *other* says."""
        self.rules = other.rules
        self._known = {}  # after the rules: what others make meanwhile of the old ones is in the old one
        for tell in self.changed:
            tell()

    def of_namespace(self, name: str) -> Reach:
        """That of the workflows in the namespace *name*."""
        return self._of("namespaces", name)

    def of_channel(self, name: str) -> Reach:
        """That of subscriptions and sources on the channel *name*."""
        return self._of("channels", name)

    def of_source(self, uri: str) -> Reach:
        """That of the workflow whose events come from *uri*, ``/namespace/name/version``."""
        return self._of("namespaces", uri.split("/")[1] if uri.startswith("/") else "")

    def _of(self, kind: str, name: str) -> Reach:
        there = self._known
        known = there.get((kind, name))
        if known is None:
            if len(there) >= MAX_NAMES:
                there.clear()
            known = there[kind, name] = self._made(kind, name)
        return known

    def _made(self, kind: str, name: str) -> Reach:
        whose = f"{kind.removesuffix('s')} {name!r}"
        rules = self.rules
        if rules is None:
            return Reach(whose)
        found = [rule.allowed for rule in rules if _among(name, rule.names[kind])]
        together = {what: frozenset[str]().union(*(each[what] for each in found)) for what in _WHAT}
        hosts, *others = (None if EVERY in each else each for each in together.values())
        return Reach(whose, None if hosts is None else tuple(sorted(hosts)), *others)

    def check_target(self, channel: str, target: JsonObject) -> None:
        """`Rejected` where a subscription on *channel* may not use what its *target* names."""
        reach = self.of_channel(channel)
        for place, name in _secrets_of(target):
            _refuse(reach.secret(name), f"the secret {name!r}", *("target", *place))
        if target.get("kind") == "webhook" and isinstance(url := target.get("url"), str):
            host = host_in(url)
            _refuse(None if host is None else reach.host(host), "the address", "target", "url")

    def check_source(self, channel: str, body: JsonObject) -> None:
        """`Rejected` where a source on *channel* may not use the secret that it names."""
        reach = self.of_channel(channel)
        for place, name in _secrets_of(body):
            _refuse(reach.secret(name), f"the secret {name!r}", *place)


UNLIMITED = Reaches()


def open_reach(file: Path | None) -> Reaches:
    """What *file* says; `Rejected` where it cannot be understood."""
    return UNLIMITED if file is None else reaches_in(read_reach(file), str(file))


def read_reach(file: Path) -> bytes:
    """The content of *file*; `Rejected` where it cannot be read, or has more than `MAX_BYTES`."""
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _invalid(f"{file} cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise _invalid(f"{file} has more than {MAX_BYTES:,} bytes")
    return content


def reaches_in(content: bytes, name: str) -> Reaches:
    """What the *content* of the file *name* says; `Rejected` where it cannot be understood."""
    try:
        return reaches_of(load(content, name=name).data, name)
    except InvalidDocument as error:
        raise _invalid(str(error)) from None


def reaches_of(listed: Json, name: str = "the rules") -> Reaches:
    """What the rules *listed* say; `Rejected` where they cannot be understood. *name* is where they stand."""
    if not isinstance(listed, list):
        raise _invalid(f"{name} has no list of rules")
    rules = []
    for number, item in enumerate(listed):
        try:
            rules.append(_rule(item))
        except ValueError as error:
            raise _invalid(f"{name}: rule {number + 1}: {error}") from None
    return Reaches(tuple(rules))


@lru_cache(maxsize=1024)
def host_in(url: str) -> str | None:
    """The host of *url*, if that is of http or https; None where it is not known, for an expression or parameter."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme.lower() not in ("http", "https"):
        return None
    for sign in "/?#":
        rest = rest.partition(sign)[0]
    authority = rest.rpartition("@")[2]
    host = authority.partition("]")[0] + "]" if authority.startswith("[") else authority.partition(":")[0]
    return None if not host or "{" in host or "$" in host else host


def _rule(item: Json) -> _Rule:
    if not isinstance(item, dict):
        raise ValueError(f"expected an object with {' or '.join(_WHOSE)}, and {', '.join(_WHAT)}")
    unknown = item.keys() - {*_WHOSE, *_WHAT}
    if unknown:
        raise ValueError(f"there is no property {min(unknown)!r}")
    if not {*_WHOSE} & item.keys():
        raise ValueError(f"say of whom: {' or '.join(_WHOSE)}")
    return _Rule(
        {name: _names(item.get(name), name) for name in _WHOSE},
        {name: _names(item.get(name), name) for name in _WHAT},
    )


def _names(value: Json, what: str) -> frozenset[str]:
    listed = [] if value is None else value.split() if isinstance(value, str) else value
    if not isinstance(listed, list) or len(listed) > MAX_NAMES:
        raise ValueError(f"`{what}` is a list of names, {MAX_NAMES} at most")
    for name in listed:
        star = isinstance(name, str) and what == "hosts" and name.startswith("*.")
        if not isinstance(name, str) or not name or EVERY in (name[2:] if star else name[:-1]):
            where = (
                "stands for a whole name, or as `*.example.com`" if what == "hosts" else "stands at the end"
            )
            raise ValueError(f"`{what}`: {name!r:.100} is no name; `*` {where}")
        if what == "hosts" and name != EVERY and name.endswith(EVERY):
            raise ValueError(f"`hosts`: {name!r}: `*` stands for a whole name, or as `*.example.com`")
    return frozenset(map(str, listed))


def _among(name: str, names: Collection[str]) -> bool:
    return name in names or any(one.endswith(EVERY) and name.startswith(one[:-1]) for one in names)


def _secrets_of(given: JsonObject) -> Iterable[tuple[tuple[str, ...], str]]:
    """Where a target or a source names a secret, and which."""
    for part in ("signing", "verify"):
        member = given.get(part)
        if isinstance(member, dict) and isinstance(name := member.get("secret"), str):
            yield (part, "secret"), name
    policy = given.get("authentication")
    for scheme, properties in (policy if isinstance(policy, dict) else {}).items():
        if isinstance(properties, dict) and isinstance(name := properties.get("use"), str):
            yield ("authentication", scheme, "use"), name


def _refuse(why: str | None, what: str, *path: str) -> None:
    if why is not None:
        raise Rejected("reach", f"{what}: {why}", pointer=pointer(*path), status=403)


def _invalid(message: str) -> Rejected:
    return Rejected("invalid-setting", f"{SETTING}: {message}")
