"""Open runs and another version of their workflow: which could go on with it, and those that shall."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from workflow_engine.engine.deployed import Allowed, anything
from workflow_engine.engine.runtime import RunQuery
from workflow_engine.engine.verdicts import Verdict, cannot
from workflow_engine.errors import Conflict, NotFound, Rejected
from workflow_engine.graph.model import WorkflowName
from workflow_engine.values import Json, JsonObject

if TYPE_CHECKING:
    from workflow_engine.engine.engine import Engine

MOST_RUNS = 1000
"""How many open runs are looked at, at most."""
_SIDE_BY_SIDE = 4


def names_of(pairs: Sequence[str]) -> Mapping[str, str]:
    """What ``old=new`` pairs of pointers say; `Rejected` for any other text."""
    names: dict[str, str] = {}
    for pair in pairs:
        old, separator, new = pair.partition("=")
        if not (separator and old.startswith("/") and new.startswith("/")):
            raise Rejected("invalid-mapping", f"{pair!r} is not /pointer/now=/pointer/then")
        names[old] = new
    return names


class Moving:
    """Looks at the open runs of an engine for another version of their workflow, and moves them to it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def check(
        self,
        text: str,
        *,
        name: str = "<text>",
        resources: Mapping[str, Json] | None = None,
        limit: int = 100,
        names: Mapping[str, str] | None = None,
        allowed: Allowed = anything,
    ) -> JsonObject:
        """What the newest *limit* open runs of other versions could do with a candidate, which is not deployed.

        ``more``: there are more of them than were looked at.
        """
        bundle = await self._engine.candidate(text, name, resources, allowed)
        workflow = bundle.graph().name
        ids, more = await self._open(workflow, limit)
        room = asyncio.Semaphore(_SIDE_BY_SIDE)

        async def look(id: str) -> Verdict:
            async with room:
                try:
                    return await self._engine.runtime.judged(id, bundle, names or {})
                except NotFound:
                    return cannot(id, "it has ended meanwhile")

        verdicts = await asyncio.gather(*(look(id) for id in ids))
        return {
            "namespace": workflow.namespace,
            "name": workflow.name,
            "version": workflow.version,
            "checked": len(verdicts),
            "more": more,
            "runs": [verdict.to_json() for verdict in verdicts],
        }

    async def _open(self, workflow: WorkflowName, limit: int) -> tuple[list[str], bool]:
        """The newest *limit* open runs of other versions of *workflow*, and whether there are more."""
        ids: list[str] = []
        cursor: str | None = None
        while True:
            page = await self._engine.runs(RunQuery(None, workflow.name, None, "running", 200, cursor))
            for run in page.runs:
                known = run.workflow
                if known is None or (
                    known.namespace in ("", workflow.namespace) and known.version != workflow.version
                ):
                    ids.append(run.id)
            cursor = page.cursor
            if cursor is None or len(ids) > limit:
                return ids[:limit], len(ids) > limit

    async def migrate(
        self, run_id: str, version: str | None, names: Mapping[str, str], *, seconds: float, dry: bool
    ) -> Verdict:
        """Have an open run go on with another version of its workflow, the latest if None; *dry*: only say whether it
        could. After *seconds* at most it is said what has come of it. `Conflict` when the run has ended.
        """
        run = await self._engine.describe(run_id)
        if run.ended:
            raise Conflict(f"the run {run_id!r} has ended; there is nothing to move")
        if run.workflow is None:
            raise NotFound("workflow", run_id, "it is not known which workflow it is a run of")
        wanted = None if version == "latest" else version
        namespace = run.workflow.namespace or None
        bundle = await self._engine.find_bundle(namespace, run.workflow.name, wanted)
        name = bundle.graph().name
        if (
            not names
            and run.workflow.version == name.version
            and run.workflow.namespace in ("", name.namespace)
        ):
            return Verdict(run_id, name.version, "same", remarks=["it is of that version"])
        if dry:
            return await self._engine.runtime.judged(run_id, bundle, names)
        if run.parked is not None:
            return cannot(run_id, f"a bug parks it, so that it cannot do anything: {run.parked.exception}")
        return await self._engine.runtime.move(run_id, bundle, names, seconds)
