"""Starts runs, sends them events, waits for their ends, and holds what happened against what their documents say."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.documents import KINDS, SOURCE, SUBSCRIBER, TICKS, Kind

ENDED = {"completed", "faulted", "cancelled", "terminated"}
AGAIN = 0.3


@dataclass
class Given:
    """A run that was asked for, and how it was found at its end."""

    kind: Kind
    input: dict[str, Any]
    found: dict[str, Any] | None = None
    began: float = field(default_factory=time.monotonic)
    taken: float = 0.0

    @property
    def id(self) -> str:
        return str(self.input["run"])


@dataclass
class Driver:
    """A client of the API that bears its deaths: every request is repeated until it is answered."""

    api: str
    ledger: str
    seed: int
    session: aiohttp.ClientSession
    given: list[Given] = field(default_factory=list)
    under_way: dict[str, Given] = field(default_factory=dict)
    broken: Counter[str] = field(default_factory=Counter)
    """Answers that mean a bug, and not that something is not there just now."""

    async def deploy(self) -> None:
        texts = [SUBSCRIBER, TICKS]
        for kind in KINDS:
            texts += [*kind.others, kind.text]
        for text in texts:
            await self.post("/v1/workflows", text.replace("LEDGER", self.ledger), kind="application/yaml")

    async def drive(self, at_once: int, over: asyncio.Event, least: int) -> None:
        """Keep *at_once* runs under way, every kind in turn in random order, until *over* and at least *least*."""
        await asyncio.gather(*(self._lane(number, at_once, over, least) for number in range(at_once)))

    async def _lane(self, lane: int, lanes: int, over: asyncio.Event, least: int) -> None:
        random_ = random.Random(f"{self.seed}/lane/{lane}")
        kinds: list[Kind] = []
        number = 0
        await asyncio.sleep(random_.uniform(0, 1))
        while not over.is_set() or number * lanes + lane < least:
            if not kinds:
                kinds = random_.sample(KINDS, len(KINDS))
            kind = kinds.pop()
            id = f"{kind.name}.{lane}.{number}"
            input = {"run": id, "chaosrun": id, "n": random_.randrange(10)}
            await self._run(Given(kind, input), random_)
            number += 1

    async def _run(self, run: Given, random_: random.Random) -> None:
        self.given.append(run)
        self.under_way[run.id] = run
        kind = run.kind
        if not kind.begins:
            path = f"/v1/workflows/{kind.namespace}/{kind.name}/latest/runs?id={run.id}"
            # Some who start a run wait for its end at once.
            await self.post(
                path + ("" if kind.hears else f"&wait={len(self.given) % 3}"), run.input, known=409
            )
        for number, (type, value) in enumerate(kind.hears):
            await asyncio.sleep(random_.uniform(0, 0.6))
            await self._publish(run, number, type, value)
        if kind.begins:
            await self._done(run)
        else:
            while run.found is None or run.found["status"] not in ENDED:
                run.found = await self.get(f"/v1/runs/{run.id}?wait=20", timeout=40)
                await asyncio.sleep(0.05)
        run.taken = time.monotonic() - run.began
        del self.under_way[run.id]

    async def _publish(self, run: Given, number: int, type: str, value: Any) -> None:
        event = {
            "specversion": "1.0",
            "id": f"{run.id}-{number}",
            "source": SOURCE,
            "type": type,
            "subject": run.id,
            "chaosrun": run.id,
            "data": {"run": run.id, "chaosrun": run.id, "v": value},
        }
        await self.post("/v1/events", event, kind="application/cloudevents+json")

    async def _done(self, run: Given) -> None:
        """Until the ledger has every effect of a run whose id is not known here."""
        while True:
            told = await self.told()
            done = {item["effect"] for item in told["effects"] if item["run"] == run.id}
            if done >= set(run.kind.effects):
                return
            await asyncio.sleep(1)

    # --- requests -------------------------------------------------------------------------------------------

    async def post(
        self, path: str, body: Any, *, kind: str = "application/json", known: int | None = None
    ) -> Any:
        """The answer, once there is one; *known* is a status that says that it has been done before."""
        options: dict[str, Any] = {"json": body} if not isinstance(body, str) else {"data": body}
        options["headers"] = {"Content-Type": kind}
        return await self._until_answered(lambda: self.session.post(self.api + path, **options), path, known)

    async def get(self, path: str, timeout: float = 15, *, known: int | None = None) -> Any:
        bound = aiohttp.ClientTimeout(total=timeout)
        return await self._until_answered(
            lambda: self.session.get(self.api + path, timeout=bound), path, known
        )

    async def told(self) -> Any:
        async with self.session.get(self.ledger) as answer:
            return await answer.json()

    async def _until_answered(self, ask: Callable[[], Any], path: str, known: int | None = None) -> Any:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ConnectionError):
                async with ask() as answer:
                    if answer.status < 300:
                        return await answer.json()
                    if answer.status == known:
                        return None
                    if answer.status == 500:
                        self.broken[await answer.text()] += 1
                    # What is not there yet, or not now: Temporal is down, or its list of runs is behind.
                    assert answer.status in (404, 429) or answer.status >= 500, (
                        f"{path}: {answer.status} {await answer.text()}"
                    )
            await asyncio.sleep(AGAIN)

    async def all(self, path: str, name: str) -> list[dict[str, Any]]:
        """Every item of a list that comes in pages."""
        found: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self.get(f"{path}&limit=200{cursor}", known=404)
            if page is None:  # a channel that nothing was ever published to
                return found
            found += page[name]
            if not page.get("cursor"):
                return found
            cursor = f"&cursor={page['cursor']}"


async def differences(driver: Driver) -> list[str]:
    """What is not as the documents say; nothing, in the end."""
    told = await driver.told()
    wrong = [*told["wrong"], *(f"{count} times 500: {text}" for text, count in driver.broken.items())]
    effects: Counter[tuple[str, str]] = Counter((item["run"], item["effect"]) for item in told["effects"])
    said = await driver.all("/v1/events?type=chaos.said", "events")
    ids = {item["event"]["id"] for item in said}
    if len(ids) < len(said):
        wrong.append(f"{len(said) - len(ids)} events are twice in the log")
    expected: Counter[tuple[str, str]] = Counter()
    for run in driver.given:
        expected.update((run.id, effect) for effect in run.kind.effects)
        if run.found is not None:
            wrong += _ended_wrong(run)
    expected.update(("subscriber", id) for id in ids)
    by_workflow: dict[str, list[dict[str, Any]]] = {}
    for kind in KINDS:
        if kind.begins:
            by_workflow[kind.name] = await driver.all(f"/v1/runs?workflow={kind.name}", "runs")
    ticks = await driver.all("/v1/runs?workflow=ticks", "runs")
    expected.update(("ticks", run["id"]) for run in ticks)
    for runs in (*by_workflow.values(), ticks, await driver.all("/v1/runs?workflow=subscriber", "runs")):
        wrong += [f"{run['id']} is {run['status']}" for run in runs if run["status"] != "completed"]
    for kind in KINDS:
        if kind.begins:
            given = sum(run.kind is kind for run in driver.given)
            found = len(by_workflow[kind.name])
            if given != found:
                wrong.append(f"{found} runs of {kind.name} where {given} were to be started")
    emits = sum(run.kind.emits for run in driver.given)
    if emits != len(ids):
        wrong.append(f"{len(ids)} events were emitted, expected {emits}")
    wrong += _counted("missing", expected - effects) + _counted("too often", effects - expected)
    letters = await driver.all("/v1/events?channel=dead-letters", "events")
    wrong += [f"dead letter {letter['event']}" for letter in letters]
    return wrong


def _ended_wrong(run: Given) -> list[str]:
    assert run.found is not None
    found, kind = run.found, run.kind
    if found["status"] != kind.status:
        return [f"{run.id} is {found['status']}, not {kind.status}: {found.get('error')}"]
    if kind.output is not None and found["output"] != kind.output(run.input):
        return [f"{run.id} gave {found['output']}, not {kind.output(run.input)}"]
    return []


def _counted(what: str, effects: Mapping[tuple[str, str], int]) -> list[str]:
    return [f"{what}: {effect} of {run} ({times})" for (run, effect), times in effects.items()]
