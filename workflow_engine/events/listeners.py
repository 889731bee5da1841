"""Subscriptions and waiting runs as the dispatcher sees them: each is offered events, and says what follows."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote

import orjson

from workflow_engine.events.records import Position, StoredRecord, microseconds, moment
from workflow_engine.events.spi import Attempt, Parked
from workflow_engine.events.subscriptions import Subscription
from workflow_engine.filters import Accepted, Filters, Machine, filters, machine
from workflow_engine.filters.interest import Interest
from workflow_engine.values import Duration, JsonObject

MAX_OPEN = 1000
"""How many correlations one subscription follows at a time; beyond, the oldest is given up."""
MAX_FAILED = 20
"""Of how many groups that could not judge an event its trace says so."""
MAX_COLLECTED = 1000
"""How many events one delivery may have; beyond, the oldest is left out."""


@dataclass(slots=True)
class Step:
    """What offering a batch of events to the listeners of a channel leads to; nothing of it has happened yet."""

    channel: str
    now_us: int
    outbox: list[Parked] = field(default_factory=list)
    state: dict[str, bytes | None] = field(default_factory=dict)
    ledger: list[Attempt] = field(default_factory=list)
    progress: dict[Listener, Progress] = field(default_factory=dict)
    consumed: dict[tuple[str, Position], tuple[str, int]] = field(default_factory=dict)

    failed: Counter[str] = field(default_factory=Counter)
    """How many events the filters of each subscription could not judge, and those of all runs together."""
    _noted: Counter[Position] = field(default_factory=Counter)

    def wrong(self, at: Position, group: str, errors: list[str]) -> None:
        """The filters of a group could not judge an event: *errors* say why, and the trace of the event shows them, of
        the first `MAX_FAILED` groups.
        """
        if errors:
            self.failed[group if group.startswith("sub:") else "run"] += 1
            self._noted[at] += 1
            if self._noted[at] <= MAX_FAILED:
                for error in errors[:3]:
                    self.note(at, group, "filter-error", error)

    def note(self, at: Position, group: str, status: str, detail: str = "", delivery: str = "") -> None:
        """A line in the trace of an event that is no attempt."""
        self.ledger.append(
            Attempt(self.channel, at, group, delivery, status, self.now_us, detail=detail[:1024])
        )


@dataclass(frozen=True, slots=True)
class Collecting:
    """A strategy half way: the state of its machine and the events that it took. What is received after *until_us* is
    too late for it.
    """

    state: JsonObject
    events: tuple[Position, ...]
    until_us: int | None = None

    def to_bytes(self) -> bytes:
        members: dict[str, Any] = {"state": self.state, "events": [str(at) for at in self.events]}
        return orjson.dumps(members if self.until_us is None else {**members, "until_us": self.until_us})

    @classmethod
    def from_bytes(cls, value: bytes) -> Collecting:
        members = orjson.loads(value)
        events = tuple(map(Position.parse, members["events"]))
        return cls(members["state"], events, members.get("until_us"))

    def late(self, time_us: int) -> bool:
        """Whether what is received at *time_us* is too late for it."""
        return self.until_us is not None and time_us > self.until_us


@dataclass(frozen=True, slots=True)
class Waited:
    """How far a waiter is."""

    state: JsonObject
    seq: int
    complete: bool


Collections: TypeAlias = dict[int, Collecting]
Progress: TypeAlias = "Collections | Waited"


def identity_of(*parts: str) -> str:
    """32 hexadecimal digits that stand for *parts*."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(eq=False)
class Subscriber:
    """A subscription that is being offered events.

    A strategy that is complete at its first event keeps no state. Else there is one collection of events at a time
    or, with correlation, one for each set of correlation values. One that is not complete in time is forgotten.
    """

    subscription: Subscription
    collections: Collections = field(default_factory=dict)
    machine: Machine = field(init=False)
    filters: Filters | None = field(init=False)
    group: str = field(init=False)
    until_us: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.machine = machine(self.subscription.strategy)
        given = self.subscription.filters
        self.filters = None if given is None else filters(given)
        self.group = f"sub:{self.subscription.id}"
        self.until_us = self.subscription.until_us()

    def interests(self) -> list[Interest]:
        """What an event must have to be taken, for the index."""
        wanted = self.machine.interests()
        return wanted if self.filters is None else self.filters.narrowed(wanted)

    @property
    def prefix(self) -> str:
        """How the keys of its collections begin; another strategy, or another time for it, has another one, for states
        do not fit it.
        """
        strategy = orjson.dumps(self.subscription.strategy, option=orjson.OPT_SORT_KEYS).decode()
        strategy += "" if self.subscription.within is None else f" within {self.subscription.within}"
        return f"collecting/{quote(self.subscription.id, safe='')}/{identity_of(strategy)[:8]}/"

    def key(self, number: int) -> str:
        """Where a collection is stored."""
        return f"{self.prefix}{number}"

    def offer(self, event: JsonObject, stored: StoredRecord, step: Step) -> None:
        """Take the event or leave it; what follows is added to *step*."""
        if self.until_us is not None and stored.time_us >= self.until_us:
            return
        errors: list[str] = []
        before = self.forget(stored.time_us, step)
        passed = self.filters is None or self.filters.take(event, errors)
        taken = self._take(before, event, errors) if passed else None
        step.wrong(stored.position, self.group, errors)
        if taken is None:
            return
        number, events, accepted = taken
        if accepted.index is not None:
            events = (*events, stored.position)[-MAX_COLLECTED:]
        if not accepted.complete:
            step.note(stored.position, self.group, "held")
            until_us = before[number].until_us if number in before else self._deadline(stored.time_us)
            self._keep({**before, number: Collecting(accepted.state, events, until_us)}, number, step)
            return
        if number in before:
            step.progress[self] = {other: kept for other, kept in before.items() if other != number}
            step.state[self.key(number)] = None
        if events:
            self._deliver(events, stored, accepted, step)

    def forget(self, time_us: int, step: Step) -> Collections:
        """Forget the collections for which it is too late at *time_us*; those that are left."""
        before = step.progress.get(self, self.collections)
        assert isinstance(before, dict)
        late = [number for number, kept in before.items() if kept.late(time_us)]
        if not late:
            return before
        for number in late:
            step.state[self.key(number)] = None
            for at in before[number].events:
                why = f"not all events came within {self.subscription.within}"
                step.note(at, self.group, "given-up", why)
        left = step.progress[self] = {number: kept for number, kept in before.items() if number not in late}
        return left

    def _deadline(self, time_us: int) -> int | None:
        """Until when a collection must be complete whose first event was received at *time_us*."""
        within = self.subscription.within
        return None if within is None else microseconds(Duration.parse(within).after(moment(time_us)))

    def _take(
        self, before: Collections, event: JsonObject, errors: list[str]
    ) -> tuple[int, tuple[Position, ...], Accepted] | None:
        for number, collecting in before.items():
            accepted = self.machine.accept(collecting.state, event, errors)
            if accepted is not None:
                return number, collecting.events, accepted
        accepted = self.machine.accept(self.machine.initial(), event, errors)
        if accepted is None or any(_same_keys(accepted.state, other.state) for other in before.values()):
            return None  # with the same keys it is one more event for a filter that has one (decision A38)
        return max(before, default=-1) + 1, (), accepted

    def _keep(self, collections: Collections, number: int, step: Step) -> None:
        step.state[self.key(number)] = collections[number].to_bytes()
        if len(collections) > MAX_OPEN:
            oldest = min(collections)
            for at in collections.pop(oldest).events[:1]:
                step.note(at, self.group, "given-up", f"more than {MAX_OPEN} correlations are open")
            step.state[self.key(oldest)] = None
        step.progress[self] = collections

    def _deliver(
        self, events: tuple[Position, ...], stored: StoredRecord, accepted: Accepted, step: Step
    ) -> None:
        record = stored.record
        identity = identity_of(self.subscription.id, step.channel, record.source, record.id)
        id = f"{identity}-{stored.position}"
        payload = {"identity": identity, "events": [str(at) for at in events]}
        step.outbox.append(
            Parked(
                id=id,
                channel=step.channel,
                group=self.group,
                position=events[-1],
                due_us=step.now_us,
                payload=orjson.dumps(payload),
                key=self._turn(accepted) if self.subscription.in_order else None,
                first_us=step.now_us,
            )
        )
        if len(events) > 1:
            for at in events:
                step.note(at, self.group, "queued", delivery=id)

    def _turn(self, accepted: Accepted) -> str:
        """What deliveries have in common that wait for one another."""
        return identity_of(orjson.dumps(accepted.state.get("keys"), option=orjson.OPT_SORT_KEYS).decode())


def _same_keys(state: JsonObject, other: JsonObject) -> bool:
    return state.get("keys") == other.get("keys")


@dataclass(eq=False)
class Waiter:
    """A run that listens.

    An event that one waiter took is taken for the whole run: no other waiter of it gets the event. *begun* is the
    number of its first event.
    """

    run_id: str
    listen_id: str
    spec: JsonObject
    since_us: int
    waited: Waited
    order: int = 0
    begun: int = 0
    machine: Machine = field(init=False)
    group: str = field(init=False)

    def __post_init__(self) -> None:
        self.machine = machine(self.spec)
        self.group = f"run:{self.run_id}"

    @property
    def name(self) -> str:
        """The tail of the keys under which it is stored."""
        return f"{quote(self.run_id, safe='')}/{quote(self.listen_id, safe='')}"

    def to_json(self, channel: str) -> JsonObject:
        """What is shown of it, as one who listens to *channel*."""
        return {
            "run_id": self.run_id,
            "listen_id": self.listen_id,
            "channel": channel,
            "delivered": self.waited.seq,
            "complete": self.waited.complete,
        }

    def to_bytes(self) -> bytes:
        return orjson.dumps(
            {
                "run": self.run_id,
                "listen": self.listen_id,
                "spec": self.spec,
                "since_us": self.since_us,
                "order": self.order,
                **({"begun": self.begun} if self.begun else {}),
            }
        )

    @classmethod
    def from_bytes(cls, value: bytes, waited: bytes | None) -> Waiter:
        members = orjson.loads(value)
        begun = members.get("begun", 0)
        progress: dict[str, Any] = {"state": {}, "seq": begun, "complete": False}
        if waited is not None:
            progress = orjson.loads(waited)
        return cls(
            members["run"],
            members["listen"],
            members["spec"],
            members["since_us"],
            Waited(progress["state"], progress["seq"], progress["complete"]),
            members["order"],
            begun,
        )

    def offer(self, event: JsonObject, stored: StoredRecord, step: Step) -> None:
        """Take the event or leave it; what follows is added to *step*. The caller sees to `consumed`."""
        before = step.progress.get(self, self.waited)
        assert isinstance(before, Waited)
        if before.complete or stored.time_us < self.since_us:
            return
        errors: list[str] = []
        accepted = self.machine.accept(before.state, event, errors)
        step.wrong(stored.position, self.group, errors)
        if accepted is None:
            return
        deliver = accepted.index is not None or accepted.ends
        after = Waited(accepted.state, before.seq + deliver, accepted.complete)
        step.progress[self] = after
        step.state[f"waited/{self.name}"] = orjson.dumps(
            {"state": after.state, "seq": after.seq, "complete": after.complete}
        )
        taken = (self.listen_id, before.seq if deliver else -1)
        step.consumed[self.run_id, stored.position] = taken
        step.state[f"consumed/{quote(self.run_id, safe='')}/{stored.position}"] = orjson.dumps(taken)
        if not deliver:
            step.note(stored.position, self.group, "held")
            return
        payload = {
            "identity": identity_of(self.run_id, self.listen_id, str(before.seq)),
            "events": [str(stored.position)],
            "run": self.run_id,
            "listen": self.listen_id,
            "seq": before.seq,
            "index": accepted.index,
            "ends": accepted.ends,
            "complete": accepted.complete,
        }
        step.outbox.append(
            Parked(
                id=f"{self.name}/{before.seq}",
                channel=step.channel,
                group=self.group,
                position=stored.position,
                due_us=step.now_us,
                payload=orjson.dumps(payload),
                key=self.listen_id,
                first_us=step.now_us,
            )
        )


Listener: TypeAlias = "Subscriber | Waiter"
