"""Two processes are one router; one of them is killed, and the other goes on with all that it had."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.events.conftest import event, quiet, running
from tests.events.survivor import IN_FLIGHT
from tests.events.test_survival import entries

CHANNELS = ["c0", "c1", "c2", "c3"]

PROCESS = f"""
import asyncio, sys
from tests.events.conftest import every, event, running, subscription
from tests.events.survivor import Journal
from workflow_engine.events.targets import Delivered

async def main(url, path, life):
    journal = Journal(path)

    class Target:
        async def deliver(self, delivery):
            await asyncio.sleep(0.01)
            journal.write(what="delivered", life=life, id=delivery.event["id"], channel=delivery.channel)
            return Delivered()

    async with running(url, {{"workflow": Target(), "run": Target()}}) as router:
        for channel in {CHANNELS!r}:
            await router.put_subscription(
                subscription(channel, channel=channel, start="earliest", max_in_flight={IN_FLIGHT}))
        journal.write(what="begun", life=life, channels=[])
        n = 0
        while True:
            for channel in {CHANNELS!r}:
                ids = [f"{{life}}-{{channel}}-{{n}}-{{m}}" for m in range(3)]
                await router.publish(channel, [event(id) for id in ids])
                journal.write(what="published", life=life, ids=ids)
            n += 1
            await asyncio.sleep(0.02)

asyncio.run(main(*sys.argv[1:]))
"""


def started(url: str, journal: Path, life: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, url, str(journal), life], cwd=Path(__file__).parents[2]
    )


def wait_for(process: subprocess.Popen[bytes], journal: Path, life: str, what: str, count: int) -> None:
    while Counter((e["life"], e["what"]) for e in entries(journal))[life, what] < count:
        assert process.poll() is None, f"{life} has ended"
        time.sleep(0.02)


def published(journal: Path, life: str) -> set[str]:
    """The ids of events that were acknowledged to a process."""
    mine = [e for e in entries(journal) if e["what"] == "published" and e["life"] == life]
    return {id for entry in mine for id in entry["ids"]}


def delivered(journal: Path) -> Counter[str]:
    return Counter(entry["id"] for entry in entries(journal) if entry["what"] == "delivered")


@pytest.mark.slow
def test_what_a_killed_process_had_is_taken_over_by_the_other(tmp_path, postgresql_schema):
    journal = tmp_path / "journal"
    with (
        started(postgresql_schema, journal, "a") as killed,
        started(postgresql_schema, journal, "b") as other,
    ):
        try:
            for life, process in (("a", killed), ("b", other)):
                wait_for(process, journal, life, "delivered", 20)
            killed.kill()
            killed.wait()
            left = published(journal, "a") - delivered(journal).keys()
            while not left <= delivered(journal).keys():
                time.sleep(0.05)
        finally:
            killed.kill()
            other.kill()
    asyncio.run(rest(postgresql_schema, journal))

    assert published(journal, "a") | published(journal, "b") <= delivered(journal).keys()
    doubled = [id for id, times in delivered(journal).items() if times > 1]
    assert len(doubled) <= 2 * IN_FLIGHT * len(CHANNELS)


async def rest(url: str, journal: Path) -> None:
    """Deliver what is left, by a process that neither of them knew."""
    from tests.events.survivor import Journal
    from workflow_engine.events.targets import Delivered

    written = Journal(str(journal))

    class Target:
        async def deliver(self, delivery):
            written.write(what="delivered", life="last", id=delivery.event["id"], channel=delivery.channel)
            return Delivered()

    async with running(url, {"workflow": Target(), "run": Target()}) as router:
        await router.publish("c0", [event("end")])
        await quiet(router)
