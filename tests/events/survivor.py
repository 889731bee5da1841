"""A router that is to be killed: it publishes, listens, and writes down what was acknowledged and delivered.

Run as ``python -m tests.events.survivor URL JOURNAL LIFE``. Every line of the journal is JSON and is written before
the router goes on, so a line that is missing is something that did not happen for sure.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from datetime import UTC, datetime

from tests.events.samples import all_of, event, every
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.subscriptions import RetryPolicy, Subscription
from workflow_engine.events.targets import Delivered, Delivery, Retry

IN_FLIGHT = 4
KINDS = "abc"
SUBSCRIPTIONS = {
    "each": every("a", "b"),
    "pairs": all_of("a", "b"),
    "rooms": all_of("b", "c", key=".subject"),
}
LISTENERS = {"everything": every() | {"open": True}, "three": all_of("c", "a", "b")}
TRANSIENT = RetryPolicy(max_attempts=None, max_age=None, initial=0.001, max_delay=0.01)


class Journal:
    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, **entry: object) -> None:
        os.write(self._file, json.dumps(entry).encode() + b"\n")


class Target:
    def __init__(self, journal: Journal, life: str, dice: random.Random) -> None:
        self._journal, self._life, self._dice = journal, life, dice

    async def deliver(self, delivery: Delivery) -> Delivered:
        await asyncio.sleep(self._dice.choice([0, 0, 0.002]))
        if self._dice.random() < 0.1:
            raise Retry("the dice said so", after=0.001)
        heard = delivery.listening
        self._journal.write(
            what="delivered",
            life=self._life,
            to=delivery.subscription or f"{heard.run_id}/{heard.listen_id}",
            id=delivery.id,
            identity=delivery.identity,
            seq=None if heard is None else heard.seq,
            complete=None if heard is None else heard.complete,
            events=[e["id"] for e in delivery.events],
        )
        return Delivered()


async def busy(router: Router) -> bool:
    lag = sum(channel["lag"] + channel["catching_up"] for channel in await router.channels())
    return bool(lag or await router._store.backlog())


async def main(url: str, path: str, life: str) -> None:
    journal, dice = Journal(path), random.Random(life)
    target = Target(journal, life, dice)
    router = Router(open_store(url), targets={"workflow": target, "run": target})
    await router.start()
    for id, strategy in SUBSCRIPTIONS.items():
        await router.put_subscription(
            Subscription(
                id, "default", strategy, {"kind": "workflow"}, "earliest", TRANSIENT, max_in_flight=IN_FLIGHT
            )
        )

    async def publish(worker: int) -> None:
        for n in range(60):
            ids = [f"{life}-{worker}-{n}-{m}" for m in range(dice.randint(1, 4))]
            batch = [event(id, dice.choice(KINDS), subject=dice.choice("xyz")) for id in ids]
            await router.publish("default", batch)
            journal.write(what="published", ids=ids)
            await asyncio.sleep(dice.choice([0, 0.001]))

    async def listen() -> None:
        for listen_id, spec in LISTENERS.items():
            await router.listen("run", listen_id, spec, since=datetime(2020, 1, 1, tzinfo=UTC))
            await router.listen(f"run-{listen_id}", listen_id, spec, since=datetime(2020, 1, 1, tzinfo=UTC))

    journal.write(what="begun", life=life)
    if life == "last":
        await listen()
        while await busy(router):  # noqa: ASYNC110  a router has nothing to wait for its idleness by
            await asyncio.sleep(0.005)
        await router.stop()
        journal.write(what="drained")
    else:
        await asyncio.gather(*map(publish, range(3)), listen())
        await asyncio.sleep(3600)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
