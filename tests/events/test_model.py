"""Every store answers what a simple model does, whatever is asked of it and in whichever order.

``WFE_SIZE=full`` asks twenty times as much of each.
"""

from __future__ import annotations

import os
import random
from dataclasses import replace
from typing import Any

import pytest

from tests.events.model import Model
from workflow_engine.errors import Conflict, NotFound
from workflow_engine.events.spi import Again, Attempt, Caps, ChannelSpec, Done, Fenced, Position, Query
from workflow_engine.events.stores import open_store
from workflow_engine.testing.event_store_fixtures import NOW, SECOND, delivery, record

REFUSALS = (NotFound, Conflict, Fenced)
FULL = os.environ.get("WFE_SIZE") == "full"
STEPS = 500 if FULL else 250
CHANNELS = {"c": ChannelSpec("c"), "d": ChannelSpec("d", 3, 5 * SECOND), "e": ChannelSpec("e", 2, 0)}
TEXTS = ["a", "a/1", "a%", "ä", "z", "\U0001f600", "it's"]


@pytest.fixture(params=["memory", "sqlite", "postgresql", "nats"])
def store_url(request, tmp_path):
    match request.param:
        case "postgresql":
            return request.getfixturevalue("postgresql_schema")
        case "nats":
            return f"{request.getfixturevalue('nats_url')}?snapshot=20000&file={tmp_path}/e.db"
        case "sqlite":
            return f"sqlite:///{tmp_path}/e.db?synchronous=normal"
    return "memory:"


class Pair:
    """A store and its model, asked the same."""

    def __init__(self, store: Any, dice: random.Random) -> None:
        self.store, self.model, self.dice = store, Model(), dice
        self.now = NOW
        self.held: list[Any] = []
        self.leased: list[Any] = []
        self.number = 0

    async def both(self, what: str, *given: Any, **more: Any) -> Any:
        """What the store answers, which is what the model does; None where both refuse it alike."""
        expected = found = refused = failed = None
        try:
            expected = getattr(self.model, what)(*given, **more)
        except REFUSALS as error:
            refused = error
        extra = {"limit": 1000} if what == "due" else {}
        try:
            found = await getattr(self.store, what)(*given, **more, **extra)
        except REFUSALS as error:
            failed = error
        # Where several reasons hold, any may be told.
        assert (refused is None) == (failed is None), (what, given, more, refused or failed)
        if refused is not None:
            return None
        made = self.seen(what, found)
        assert made == self.seen(what, expected), (what, given, more)
        return found

    def seen(self, what: str, answer: Any) -> Any:
        """What of an answer has to be equal."""
        match what:
            case "search":
                return [replace(hit, cursor="") for hit in answer]
            case "join" | "heartbeat" if answer is not None:
                return replace(answer, epoch=0)
            case "due":
                groups = {item.group for item in answer}
                return {g: [(item, item.owner) for item in answer if item.group == g] for g in groups}
            case "get" if answer is not None and not isinstance(answer, bytes):
                return answer.value
            case "entries":
                return [(each.key, each.value) if hasattr(each, "key") else each for each in answer]
            case "put" | "drop_channel":
                return None
            case "lease" if not isinstance(answer, int):
                return answer.expires_us
        return answer

    def channel(self) -> str:
        return self.dice.choices(["c", "d", "e", "missing"], [8, 8, 8, 1])[0]

    def place(self, name: str) -> int:
        return self.dice.randrange(CHANNELS[name].partitions) if name in CHANNELS else 0

    def rows(self) -> list[Attempt]:
        made = []
        for _ in range(self.dice.choice([0, 0, 1, 3])):
            self.number += 1
            at = Position(0, self.dice.randrange(3))
            made.append(Attempt(self.channel(), at, "g", f"{self.number}", "x", self.now, 1, 0.5, "ä"))
        return made

    def parcels(self) -> list[Any]:
        made = []
        for _ in range(self.dice.randint(1, 6)):
            self.number += 1
            id = self.dice.choice(
                [str(self.number), str(self.number), str(self.dice.randint(0, self.number))]
            )
            due_us = self.now + self.dice.choice([-SECOND, 0, 0, 0, SECOND, 3 * SECOND])
            at = Position(0, self.dice.randrange(4))
            # An id says of which group and key it is, as the router's do.
            group, key = "ghi"[int(id) % 3], [None, "k", "l"][int(id) // 3 % 3]
            given = {"channel": self.channel(), "group": group, "key": key, "due_us": due_us}
            made.append(delivery(id, position=at, first_us=self.now, **given))
        return made

    async def step(self) -> None:
        dice, name = self.dice, self.channel()
        self.now += dice.choice([0, 0, SECOND // 2, SECOND, -SECOND])
        part, group = self.place(name), dice.choice("ghi")
        match dice.randrange(30):
            case 0:
                await self.both("ensure_channel", CHANNELS.get(name, CHANNELS["c"]))
            case 1 if dice.random() < 0.3:
                await self.both("drop_channel", name)
            case 2 | 3 | 4 | 5:
                ids = [str(dice.randint(0, 60)) for _ in range(dice.choice([1, 1, 2, 7]))]
                batch = [
                    record(
                        id,
                        key=dice.choice(TEXTS),
                        type=dice.choice(["t", "u"]),
                        source=dice.choice(["/test", "/test", "/few"]),
                        subject=dice.choice([None, *TEXTS]),
                        time_us=self.now + dice.choice([0, 0, 1, -SECOND]),
                        body=dice.randbytes(dice.choice([0, 3, 300])),
                    )
                    for id in ids
                ]
                await self.both("append", name, batch)
            case 6 | 7:
                types = dice.choice([None, None, ["t"], ["u", "missing"]])
                await self.both(
                    "read", name, part, dice.randint(0, 20), limit=dice.randint(1, 9), types=types
                )
            case 8:
                await self.both("fetch", name, [Position(part, dice.randint(0, 20)) for _ in range(3)])
            case 9:
                start = dice.choice(["latest", "earliest", self.now - dice.randint(0, 20) * SECOND])
                await self.both("offset_at", name, part, start)
            case 10 if dice.random() < 0.5:
                await self.both("trim", name, part, dice.randint(0, 15))
            case 11 | 12:
                held = await self.both(
                    "join", name, group, dice.choice("ab"), self.now, dice.choice([SECOND, 99 * SECOND])
                )
                if held is not None:
                    self.model.epochs[name, group] = (
                        held.epoch
                    )  # numbers are a store's own; that they grow is not
                    self.held = [*self.held[-5:], held]
            case 13 if self.held:
                held = dice.choice(self.held)
                before = self.model.epochs.get((held.channel, held.group), 0)
                renewed = await self.both("heartbeat", held, self.now, 9 * SECOND)
                if renewed is not None:
                    assert renewed.epoch >= before or held.channel == "missing"
                    self.model.epochs[held.channel, held.group] = renewed.epoch
                    self.held.append(renewed)
            case 14 if self.held and dice.random() < 0.4:
                await self.both("leave", dice.choice(self.held))
            case 15 | 16 | 17 if self.held:
                held = dice.choice(self.held[-3:])
                offsets = {part: dice.randint(0, 9) for part in held.partitions[:2]}
                state = {key: dice.choice([None, b"", b"1"]) for key in dice.sample(TEXTS, 2)}
                await self.both(
                    "commit", held, offsets, outbox=self.parcels(), state=state, ledger=self.rows()
                )
            case 18:
                await self.both("committed", name, group)
                await self.both("states", name, group, dice.choice(["", "a", "a/"]))
            case 19 if dice.random() < 0.3:
                await self.both(dice.choice(["seek"]), name, group, {part: dice.randint(0, 9)})
            case 19 if dice.random() < 0.2:
                await self.both("drop_group", name, group)
            case 20:
                await self.both("park", self.parcels())
            case 21 | 22:
                owner = dice.choice(["me", "you", "pull"])
                lease_us = dice.choice([SECOND, 5 * SECOND])
                found = await self.both(
                    "due", owner, self.now, lease_us=lease_us, per_group=dice.randint(1, 3)
                )
                self.leased = [*self.leased[-20:], *found]
            case 23 | 24 if self.leased:
                item = dice.choice(self.leased)
                outcome = dice.choice([Done(), Done(), Again(self.now + dice.randint(-1, 2) * SECOND, "ä")])
                until = dice.choice([None, self.now + 4 * SECOND])
                settled = await self.both("settle", item, outcome, ledger=self.rows(), next_until_us=until)
                if settled is not None and settled.next is not None:
                    self.leased.append(settled.next)
            case 25:
                await self.both("next_due", dice.choice([[], ["g"], ["g", "h"]]))
                await self.both("backlogs")
            case 26 if dice.random() < 0.3:
                await self.both("discard", group, dice.choice([None, "k"]))
            case 27:
                at = (name, Position(0, dice.randrange(4)))
                await self.both("parked", dice.choice([None, group]), at=dice.choice([None, at]))
                await self.both("attempts", *at)
            case 28:
                key = dice.choice(TEXTS)
                match dice.randrange(4):
                    case 0:
                        await self.both("put", key, dice.randbytes(3))
                    case 1:
                        await self.both("delete", key)
                    case 2:
                        await self.both("entries", dice.choice(["", "a", "a/"]))
                    case 3:
                        await self.both("lease", key, dice.choice("ab"), self.now, SECOND)
                await self.both("get", key)
            case 29:
                fields = {
                    "channel": name,
                    "type": "t",
                    "source": dice.choice(["/few", "/none"]),
                    "subject": "ä",
                    "id": str(dice.randint(0, 60)),
                    "from_us": self.now - 9 * SECOND,
                    "to_us": self.now - 3 * SECOND,
                }
                chosen = {
                    field: fields[field] for field in dice.sample([*fields], dice.choice([0, 1, 1, 2, 3]))
                }
                await self.both("search", Query(**chosen, limit=dice.choice([1, 4, 100])))

    async def everything(self) -> None:
        """All that there is, at the end."""
        for name, spec in CHANNELS.items():
            for part in range(spec.partitions):
                await self.both("read", name, part, 0, limit=1000)
            for group in "ghi":
                await self.both("committed", name, group)
                await self.both("states", name, group)
            for offset in range(3):
                await self.both("attempts", name, Position(0, offset))
        await self.both("parked", None, at=None)
        await self.both("entries", "")
        await self.both("search", Query(limit=1000))


@pytest.mark.parametrize("seed", range(10 if FULL else 1))
async def test_a_store_answers_what_the_model_does(store_url, seed):
    """Also after it was closed and opened again, in between and at the end."""
    dice = random.Random(f"{seed}")
    store = open_store(store_url)
    await store.open()
    try:
        pair = Pair(store, dice)
        for spec in CHANNELS.values():
            await pair.both("ensure_channel", spec)
        lasts = Caps.DURABLE in store.caps
        for step in range(STEPS):
            await pair.step()
            if lasts and (step % 100 == 99 or step == STEPS - 1):
                await pair.everything()
                await store.close()
                await store.open()
                if Caps.SHARED not in store.caps:
                    pair.model.restart()
                    pair.held = []
        await pair.everything()
    finally:
        await store.close()
