"""The router is killed at random points, again and again; nothing that was promised is lost."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.events.survivor import IN_FLIGHT, LISTENERS, SUBSCRIPTIONS
from workflow_engine.events.cloudevents import decode
from workflow_engine.events.stores import open_store
from workflow_engine.filters import machine

LIVES = 3


def entries(path: Path) -> list[dict]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


def live(url: str, journal: Path, life: str, seconds: float | None) -> None:
    """Run the survivor, and kill it *seconds* after it has begun; or let it finish."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.events.survivor", url, str(journal), life],
        cwd=Path(__file__).parents[2],
    )
    try:
        if seconds is None:
            assert child.wait(60) == 0
            return
        while not any(e["what"] == "begun" and e["life"] == life for e in entries(journal)):
            assert child.poll() is None
            time.sleep(0.01)
        time.sleep(seconds)
    finally:
        child.kill()
        child.wait()


async def log_of(url: str) -> list[dict]:
    store = open_store(url)
    await store.open()
    stored = await store.read("default", 0, 0, limit=1_000_000)
    assert await store.parked() == []
    await store.close()
    return [decode(item.record.body) for item in stored]


def collected(spec: dict, events: list[dict]) -> list[list[str]]:
    """What a subscription has to deliver, by asking one machine for each correlation about every event."""
    subject = machine(spec)
    deliveries, opened = [], []
    for event in events:
        for place, (state, ids) in enumerate(opened):
            accepted = subject.accept(state, event)
            if accepted is not None:
                opened[place] = (accepted.state, [*ids, event["id"]])
                break
        else:
            accepted = subject.accept(subject.initial(), event)
            if accepted is None or any(s.get("keys") == accepted.state.get("keys") for s, _ in opened):
                continue
            opened.append((accepted.state, [event["id"]]))
            place = len(opened) - 1
        if accepted.complete:
            deliveries.append(opened.pop(place)[1])
    return deliveries


@pytest.fixture
def lasting(request, tmp_path):
    """The URL of a store that outlives its router; for SQLite in PostgreSQL with ``WFE_SIZE=full``."""
    if request.param == "nats":
        return f"{request.getfixturevalue('nats_url')}?snapshot=30000&file={tmp_path}/e.db"
    if os.environ.get("WFE_SIZE") == "full":
        return request.getfixturevalue("postgresql_schema")
    return f"sqlite:///{tmp_path}/e.db"


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "lasting"), [(0, "sqlite"), (1, "nats")], indirect=["lasting"])
def test_nothing_is_lost_and_little_is_doubled_when_the_router_is_killed(tmp_path, lasting, seed):
    url, journal = lasting, tmp_path / "journal"
    dice = random.Random(seed)
    for number in range(LIVES):
        live(url, journal, f"{seed}-{number}", dice.uniform(0.02, 0.5))
    live(url, journal, "last", None)

    log, written = asyncio.run(log_of(url)), entries(journal)
    if "file=" in url:
        assert asyncio.run(log_of(url.partition("?")[0])) == log  # made anew from snapshot and journal
    ids = [event["id"] for event in log]
    acknowledged = {id for entry in written if entry["what"] == "published" for id in entry["ids"]}
    assert acknowledged <= set(ids)
    assert len(ids) == len(set(ids))
    assert written[-1] == {"what": "drained"}

    delivered = [entry for entry in written if entry["what"] == "delivered"]
    for name, spec in SUBSCRIPTIONS.items():
        got = [entry for entry in delivered if entry["to"] == name]
        once = {entry["id"]: entry["events"] for entry in got}
        assert sorted(once.values()) == sorted(collected(spec, log))
        assert len({(entry["id"], entry["identity"]) for entry in got}) == len(once)
        assert len(got) - len(once) <= LIVES * IN_FLIGHT
        for life in {entry["life"] for entry in got}:
            counts = Counter(entry["id"] for entry in got if entry["life"] == life)
            assert max(counts.values()) == 1

    taken: dict[str, set[str]] = {}
    for name in (f"{run}/{listen}" for listen in LISTENERS for run in ("run", f"run-{listen}")):
        got = [entry for entry in delivered if entry["to"] == name]
        for before, after in pairwise(got):
            again = before["life"] != after["life"]
            assert after["seq"] == before["seq"] + 1 or (again and after["seq"] == before["seq"])
        once = {entry["seq"]: entry["events"][0] for entry in got}
        assert list(once) == list(range(len(once)))
        assert len({(entry["seq"], entry["events"][0]) for entry in got}) == len(once)
        order = [ids.index(id) for id in once.values()]
        assert order == sorted(order)
        assert not taken.setdefault(name.split("/")[0], set()) & set(once.values())
        taken[name.split("/")[0]] |= set(once.values())
        if name == "run-everything/everything":
            assert list(once.values()) == ids
        if name == "run-three/three":
            assert len(once) == 3
    assert taken["run"] == set(ids)
