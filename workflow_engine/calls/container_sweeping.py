"""Containers that somebody has to end or remove later: found by their labels, so that nothing needs to be remembered.

Whoever is there does it, a worker every minute and each call of a container when it is done: what is due was written
on the container when it was made, and when it ended the engine knows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from workflow_engine.calls.container_engine import ContainerEngine, EngineError
from workflow_engine.errors import Fault
from workflow_engine.values import Json, JsonObject

KEY = "wfe.key"
"""The idempotency key of the call that a container is for."""
CLEANUP = "wfe.cleanup"
"""What is to become of it: ``always``, ``eventually``, ``never``."""
REMOVE_AFTER = "wfe.remove-after"
"""How many seconds after its end it is removed, if eventually."""
DEADLINE = "wfe.deadline"
"""When its time is up, in seconds since 1970: a worker that was lost does not end it."""
EVERY = 60.0
LATE = 60.0
"""Seconds that are left to a worker to end its containers, and to remove them, itself."""
_MOST = 200
_log = logging.getLogger(__name__)


async def sweep(engine: ContainerEngine, now: datetime) -> int:
    """End and remove what is due, and say how many containers that were; what the engine refuses waits for the next."""
    done = 0
    for listed in (await engine.containers(CLEANUP))[:_MOST]:
        labels = listed.get("Labels")
        if not isinstance(labels, dict):
            continue
        with contextlib.suppress(EngineError):
            done += await _sweep_one(engine, str(listed["Id"]), labels, str(listed.get("State")), now)
    return done


async def _sweep_one(engine: ContainerEngine, id: str, labels: JsonObject, state: str, now: datetime) -> bool:
    moment, cleanup = now.timestamp(), labels.get(CLEANUP)
    if state == "running":
        if moment <= _number(labels.get(DEADLINE), moment) + LATE:
            return False
        await engine.stop(id, 2)
        return True
    if state != "exited" or cleanup not in {"always", "eventually"}:
        return False
    described = (await engine.inspect(id)).get("State")
    ended = _ended(described.get("FinishedAt") if isinstance(described, dict) else None)
    patience = LATE if cleanup == "always" else _number(labels.get(REMOVE_AFTER), 0.0)
    if ended is None or moment < ended + patience:
        return False
    await engine.remove(id)
    return True


def _number(text: Json, default: float) -> float:
    try:
        return float(str(text))
    except ValueError:
        return default


def _ended(text: Json) -> float | None:
    """When a container ended; None for one that never ran."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.timestamp() if moment.year > 1970 else None


@contextlib.asynccontextmanager
async def sweeping() -> AsyncIterator[None]:
    """Sweep every minute, for as long as the block lasts; nothing happens where there is no engine."""

    async def regularly() -> None:
        while True:
            try:
                async with ContainerEngine.here() as engine:
                    count = await sweep(engine, datetime.now(UTC))
                if count:
                    _log.info("ended or removed %d containers that were due", count)
            except (Fault, EngineError, TimeoutError) as error:
                _log.debug("containers are not looked after: %s", error)
            await asyncio.sleep(EVERY)

    task = asyncio.create_task(regularly())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
