"""Whatever the document does, it comes to the same on Temporal as in this process: the order of its states, its output
or its error, and what is told of its life.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from tests import running
from tests.generated import v0_8, v1, world
from workflow_engine.calls import CALLERS, CallContext, Caller
from workflow_engine.dsl import parse
from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.runtime import Start
from workflow_engine.graph.lifecycle import Told
from workflow_engine.interpreter.lifecycle import Audience
from workflow_engine.runtimes.local import LocalRun
from workflow_engine.runtimes.temporal.resting import Limits
from workflow_engine.runtimes.temporal.runtime import TemporalRuntime
from workflow_engine.values import Json, JsonObject

DOCUMENTS = 60 if os.environ.get("WFE_SIZE") == "full" else 7
"""How many of each kind; ``WFE_SIZE=full pytest tests/generated`` looks at many."""
AT_ONCE = 5
LONGEST = timedelta(minutes=1)
"""How long a run may take that is done in real time too."""


def caller(kind: str) -> Caller:
    async def call(arguments: JsonObject, context: CallContext) -> Json:
        return world.answer(kind, arguments)

    return call


@pytest.fixture
async def runner(
    temporal_address: str, internet: Any, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[running.TemporalRunner]:
    callers = {**CALLERS, **{kind: caller(kind) for kind in ("http", "shell")}}
    monkeypatch.setattr(running, "CALLERS", callers)
    async with running.temporal_runner(temporal_address, internet) as started:
        started.deployed = world.SUB_FLOWS
        yield started


def channelled(value: Any, channel: str) -> Any:
    """A document of DSL 1.0 that publishes and listens in a channel of its own."""
    if isinstance(value, list):
        return [channelled(item, channel) for item in value]
    if not isinstance(value, dict):
        return value
    made = {key: channelled(item, channel) for key, item in value.items()}
    if "emit" in made or "listen" in made:
        made["metadata"] = {"channel": channel}
    return made


def drawn(dialect: Any, seed: int, *, beside: bool) -> tuple[str, str, list[JsonObject]]:
    """A document, its channel, and the events for it."""
    channel = f"{dialect.__name__}.{seed}.{beside}".replace("_", "-")
    dice = random.Random(seed)
    document = dialect.Drawing(lambda *options: dice.choice(options), real=True, beside=beside).document()
    if dialect is v1:
        text = json.dumps(channelled(document, channel))
        return text, channel, v1.events(text)
    for state in document["states"]:
        state["metadata"] = {"channel": channel}
    document["events"] = [{**each, "metadata": {"channel": channel}} for each in document["events"]]
    return json.dumps(document), channel, v0_8.EVENTS


def told(events: list[JsonObject], run_id: str) -> list[str]:
    """*events* of the life of a run and its sub-flows, without when they were; the signs in ids of sub-flows differ."""
    found = []
    for event in events:
        data = event["data"]
        assert isinstance(data, dict)
        steady = {key: value for key, value in data.items() if not key.endswith("At") and key != "outputUri"}
        found.append(json.dumps([event["id"], event["type"], steady]).replace(run_id, "R").replace("/", "."))
    return sorted(found)


async def compared(runner: running.TemporalRunner, dialect: Any, seed: int, *, beside: bool) -> bool:
    """*beside*: the order of what goes on side by side is not compared, and every other run is told to nobody (so that
    its calls are retried by their activities) and goes on in a new history again and again.

    False: it waits for what does not come, and for hours.
    """
    text, channel, events = drawn(dialect, seed, beside=beside)
    bundle, run_id = Bundle.of(parse(text), {}), f"{channel}-run"
    graph = bundle.graph()
    alone = beside and seed % 2 == 0
    audience = Audience(Told.parse("none" if alone else "task"), channel=f"life.{channel}")
    answers: Any = world.Answers()
    channels = {channel: [*events]}
    local = LocalRun(
        graph, run_id=run_id, answers=answers, find=world.find, channels=channels, audience=audience
    )
    began = local.now()
    here = await local.execute(dialect.INPUT)
    if local.now() - began > LONGEST:
        return False

    limits = Limits(events=20, drain=5.0) if alone else None
    runtime = TemporalRuntime(
        runner.client, runner.queue, search_attributes=False, audience=audience, limits=limits
    )
    seeds, left = running.triggered(graph, events)
    await runtime.start(Start(run_id, graph.name, bundle, dialect.INPUT, seeds=seeds))
    await runner.router.publish(channel, list(left))
    there = await runtime.wait(run_id, 60)

    error = None if here.error is None else here.error.to_json()
    assert (there.status, there.output, there.error) == (here.status, here.output, error), seed
    if not beside:
        handle = runner.client.get_workflow_handle(run_id)
        steps = await handle.query("recent", rpc_timeout=timedelta(seconds=20))
        order = [(step.phase, step.state) for step in local.progress][-len(steps) :]
        assert [(step["phase"], step["state"]) for step in steps] == order, seed
    if not alone:
        wanted = told(local.channels[audience.channel], run_id)
        heard: Any = []
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(30):  # sub-flows and what is told last may still be on their way
                while len(heard) < len(wanted):
                    await asyncio.sleep(0.1)
                    page = await runner.router.events(audience.channel, limit=1000)
                    heard = told([entry["event"] for entry in page.to_json()["events"]], run_id)
        assert heard == wanted, seed
    return True


@pytest.mark.temporal
@pytest.mark.parametrize("beside", [False, True], ids=["one after the other", "side by side"])
@pytest.mark.parametrize("dialect", [v1, v0_8], ids=["1.0", "0.8"])
async def test_a_document_comes_to_the_same_on_both_runtimes(runner: Any, dialect: Any, beside: bool) -> None:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(seed: int) -> bool:
        async with room:
            return await compared(runner, dialect, seed, beside=beside)

    found = await asyncio.gather(*(one(seed) for seed in range(DOCUMENTS)))
    assert sum(found) > DOCUMENTS * 0.8, "nearly all of them say something"
