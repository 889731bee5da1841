"""Judge whether an open run could go on with another version: by where its history, replayed here, leaves it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.engine.verdicts import Verdict, cannot
from workflow_engine.interpreter.moving import moved
from workflow_engine.interpreter.position import Frame
from workflow_engine.runtimes.temporal import histories, outcomes
from workflow_engine.runtimes.temporal.backoff import taken_back
from workflow_engine.runtimes.temporal.pending import pending
from workflow_engine.runtimes.temporal.replaying import replay
from workflow_engine.runtimes.temporal.whereabouts import QUERY_TIMEOUT

_POLL = 0.1
_MOST_TOLD = 20
_KEPT = 2
"""How many steps of a trace are kept that nobody is shown."""


async def judged(client: Client, run_id: str, bundle: Bundle, names: Mapping[str, str]) -> Verdict:
    """Whether the run could go on as one of *bundle*. Nothing is done to it."""
    history, _ = await histories.opened(client, run_id)
    own = await replay(history, most=_KEPT)
    version = None if own.graph is None else own.graph.name.version
    if own.failure is not None:
        return cannot(run_id, f"this engine does not follow its history: {str(own.failure)[:500]}", version)
    if own.position is None or own.graph is None:
        return cannot(run_id, "it has ended, or no worker has taken it up yet", version)
    there = moved(own.position, own.graph, bundle.graph(), names)
    root = own.position["root"]
    assert isinstance(root, dict)
    at = [str(leaf.state) for leaf in Frame.from_json(root).leaves()]
    if there.position is None:
        reasons = [hindrance.to_json() for hindrance in there.hindrances]
        return Verdict(run_id, version, "cannot", at, reasons, there.remarks)
    candidate = await replay(history, candidate=bundle, most=_KEPT)
    answer = "same" if candidate.failure is None else "could move"
    return Verdict(run_id, version, answer, at, (), there.remarks)


async def move(
    client: Client, run_id: str, bundle: Bundle, names: Mapping[str, str], seconds: float
) -> Verdict:
    """Have the run go on as one of *bundle*, if it could; what has come of that after *seconds* at most."""
    verdict = await judged(client, run_id, bundle, names)
    if verdict.answer == "cannot":
        return verdict
    handle = client.get_workflow_handle(run_id)
    before = (await handle.describe()).run_id
    await outcomes.told(client, run_id, lambda: handle.signal("migrate", args=[bundle, dict(names)]))
    deadline = asyncio.get_running_loop().time() + seconds
    taken: set[tuple[str, float]] = set()

    def told(answer: str, reasons: list[Any]) -> Verdict:
        return Verdict(run_id, verdict.version, answer, verdict.at, reasons, verdict.remarks)

    while True:
        description = await handle.describe()
        if description.run_id != before:
            memo = await description.memo()
            if memo.get("version") == bundle.graph().name.version:
                return told("moved", [])
        if description.status not in outcomes.GOES_ON:
            return told("cannot", [{"state": "", "why": "it has ended meanwhile"}])
        if refused := await _refused(client, run_id):
            return told("cannot", refused)
        waiting = taken_back(await pending(client, description), time.time())
        new = {place: call for place, call in waiting.items() if (place, call["due"]) not in taken}
        if new:
            taken |= {(place, call["due"]) for place, call in new.items()}
            with outcomes.unless_ended():
                await handle.signal("give_back", new)
        if asyncio.get_running_loop().time() >= deadline:
            held = await _under_way(client, run_id)
            return replace(told("moving", []), remarks=[*verdict.remarks, *held])
        await asyncio.sleep(_POLL)


async def _under_way(client: Client, run_id: str) -> list[str]:
    """What has to end before the run can move."""
    try:
        answer = await client.get_workflow_handle(run_id).query("state", rpc_timeout=QUERY_TIMEOUT)
    except (RPCError, WorkflowQueryFailedError):
        return []
    states = [state for state in answer["states"] if state.get("status") == "running" and state["doing"]]
    return [f"{state['id']} has to end first: {state['doing']}" for state in states[:_MOST_TOLD]]


async def _refused(client: Client, run_id: str) -> list[Any]:
    try:
        answer = await client.get_workflow_handle(run_id).query("moving", rpc_timeout=QUERY_TIMEOUT)
    except (RPCError, WorkflowQueryFailedError):
        return []
    return list(answer.get("refused") or [])
