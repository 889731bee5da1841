"""One run of the chaos test: a stack, a ledger, runs of every kind, and processes that are killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.chaos.driver import Driver, differences
from tests.chaos.stack import Chaos, Running, running

PATIENCE = 180.0
"""Seconds within which everything must have come to its end once nothing is killed any more."""
LONG = 60.0
"""Seconds after which a run that goes on is named with the progress."""
SHOWN = 40


@dataclass(frozen=True)
class Campaign:
    """*kills* in all, by *seed*; a process lives about *life* seconds; *at_once* runs are under way at a time, and no
    more is killed after *longest* seconds. *least*: how many runs there are at least; *patience*: seconds for all to
    end once nothing is killed any more. *api_worker*: the API works too, besides the *workers*.
    """

    seed: int
    kills: int
    life: float
    workers: int
    at_once: int
    longest: float
    least: int = 0
    patience: float = PATIENCE
    api_worker: bool = False


@dataclass(frozen=True)
class Report:
    """What was killed and done; *wrong* is empty when all is as the documents say."""

    seed: int
    kills: dict[str, int]
    unready: int
    runs: int
    effects: int
    arrivals: int
    seconds: float
    slowest: float
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        killed = ", ".join(f"{name} {count}" for name, count in sorted(self.kills.items()))
        lines = [
            f"seed {self.seed}: {sum(self.kills.values())} SIGKILLs ({killed}; {self.unready} while starting)",
            f"{self.runs} runs, {self.effects} effects in {self.arrivals} arrivals",
            f"{self.seconds:.0f} s; the slowest run took {self.slowest:.0f} s",
            f"{len(self.wrong)} things are wrong" if self.wrong else "all as the documents say",
        ]
        return "\n".join([*lines, *self.wrong[:SHOWN]])


async def run(campaign: Campaign, data: Path, *, say: Callable[[str], None] = lambda _: None) -> Report:
    """Carry it out in the folder *data*, where the logs stay."""
    began = time.monotonic()
    async with contextlib.AsyncExitStack() as exits:
        ledger = await exits.enter_async_context(_ledger())
        stack = await exits.enter_async_context(
            running(data, workers=campaign.workers, api_worker=campaign.api_worker)
        )
        await stack.ready()
        say(f"{time.monotonic() - began:5.0f} s: all is ready")
        session = await exits.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=15))
        )
        driver = Driver(stack.api, ledger, campaign.seed, session)
        await driver.deploy()
        say(f"{time.monotonic() - began:5.0f} s: all is deployed")
        chaos = Chaos(campaign.seed, campaign.kills, campaign.life)
        reporting = asyncio.create_task(_progress(driver, chaos, began, say))
        exits.push_async_callback(_ended, reporting)
        await _tormented(campaign, driver, chaos, stack)
        await driver.post("/v1/schedules/chaos/ticks/pause", {})
        say("no more kills; what is left must come to its end")
        wrong = await _settled(driver, campaign.patience)
        told = await driver.told()
        return Report(
            campaign.seed,
            dict(chaos.kills),
            chaos.unready,
            len(driver.given),
            len(told["effects"]),
            told["arrivals"],
            time.monotonic() - began,
            max(run.taken for run in driver.given),
            tuple(wrong),
        )


async def _tormented(campaign: Campaign, driver: Driver, chaos: Chaos, stack: Running) -> None:
    """Runs while processes are killed, then runs until their ends; those that do not end stay in `under_way`."""
    driving = asyncio.create_task(driver.drive(campaign.at_once, chaos.over, campaign.least))
    tormenting = asyncio.create_task(chaos.torment([*stack.processes.values()]))
    over = asyncio.create_task(chaos.over.wait())
    await asyncio.wait([over, driving], timeout=campaign.longest, return_when=asyncio.FIRST_COMPLETED)
    chaos.over.set()
    for task in (over, tormenting):
        task.cancel()
    await asyncio.gather(tormenting, return_exceptions=True)
    await stack.ready()
    try:
        await asyncio.wait_for(driving, campaign.patience)
    except TimeoutError:
        return


async def _settled(driver: Driver, patience: float) -> list[str]:
    """What is wrong once nothing changes any more, or patience is over."""
    if driver.under_way:
        return [
            *(f"stuck: {id}: {run.found}" for id, run in driver.under_way.items()),
            *await differences(driver),
        ]
    deadline = time.monotonic() + patience
    while True:
        wrong = await differences(driver)
        if not wrong or time.monotonic() > deadline:
            return wrong
        await asyncio.sleep(1)


async def _progress(driver: Driver, chaos: Chaos, began: float, say: Callable[[str], None]) -> None:
    while True:
        await asyncio.sleep(10)
        done = len(driver.given) - len(driver.under_way)
        old = [run for run in driver.under_way.values() if time.monotonic() - run.began > LONG]
        left = f"; longer than {LONG:g} s: {' '.join(run.id for run in old)}" if old else ""
        say(
            f"{time.monotonic() - began:5.0f} s: {chaos.kills.total()}/{chaos.wanted} kills, "
            f"{done} runs ended, {len(driver.under_way)} under way{left}"
        )


@asynccontextmanager
async def _ledger() -> AsyncIterator[str]:
    """The ledger's address; it ends when its standard input does, with us at the latest."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.chaos.ledger",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{json.loads(await process.stdout.readline())['port']}"
    finally:
        process.stdin.close()
        await process.wait()


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
