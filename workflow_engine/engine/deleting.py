"""Deleting what is deployed: a version of a workflow, or all of it, unless something still needs it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from workflow_engine.engine.batches import may_fit
from workflow_engine.engine.engine import Engine
from workflow_engine.engine.runtime import RunQuery
from workflow_engine.engine.store import Definition, Listed, Removed
from workflow_engine.errors import InvalidDocument, NotFound, Problem, Rejected
from workflow_engine.events.subscriptions import Subscription
from workflow_engine.graph.model import ContinueAs, StateGraph, SubFlow, WorkflowName, states_of
from workflow_engine.graph.schedule import After
from workflow_engine.values import JsonObject

DESPITE = {
    "runs": "runs-in-flight",
    "schedule": "scheduled",
    "triggers": "triggered",
    "callers": "called",
}
"""What keeps a workflow from being deleted unless it is done despite that, and the code of each."""
MOST_RUNS = 1000
"""How many runs in flight are counted."""
_NAMED = 10
_PAGE = 50


@dataclass(frozen=True, slots=True)
class Seen:
    """What whoever deletes may be told of, and may do: others are counted without their names."""

    workflow: Callable[[WorkflowName], bool] = lambda _: True
    subscription: Callable[[Subscription], bool] = lambda _: True
    allowed: Callable[[StateGraph], None] = lambda _: None
    """Raises where they might not deploy such a workflow."""


@dataclass(frozen=True, slots=True)
class Deleted:
    """What was deleted: *versions*, latest first; which is the *latest* now, if any; and how many *runs* go on."""

    namespace: str
    name: str
    versions: Sequence[Listed]
    latest: str | None
    runs: int

    def to_json(self) -> JsonObject:
        return {
            "namespace": self.namespace,
            "name": self.name,
            "versions": [{"version": each.workflow.version, "digest": each.digest} for each in self.versions],
            "latest": self.latest,
            "runs": self.runs,
        }


class Deleting:
    """Deletes workflows of an engine.

    Runs are pinned to what they run, and go on. The version that is the latest then is started by its own events and
    its own schedule. A version that is deployed again must be what it was.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def delete(
        self,
        namespace: str,
        name: str,
        version: str | None,
        *,
        despite: Collection[str] = (),
        seen: Seen = Seen(),
    ) -> Deleted:
        """Delete a version, or all if None. `Rejected` with every reason against it that is not among *despite*."""
        store = self._engine.store
        try:
            there = await self._engine.versions(namespace, name)
        except Removed:
            await self._engine.settle(namespace, name, gone=True)  # should a process have died at that
            raise
        going = [each for each in there if version in (None, each.workflow.version)]
        left = [each for each in there if each not in going]
        if not going:
            await self._engine.definition(namespace, name, version)  # which says what there is
        was_latest = going[:1] == list(there[:1])
        if was_latest:
            for each in (going[0], *left[:1]):
                await self._check_allowed(each, seen)
        runs, ids = await self._runs(namespace, name, version)
        against: dict[str, str] = {}
        if runs:
            more = " or more" if runs >= MOST_RUNS else ""
            against["runs"] = (
                f"{runs}{more} of its runs {'is' if runs == 1 else 'are'} in flight: {_list(ids)}"
            )
        if was_latest:
            against |= dict(await self._starts(namespace, name, seen))
        if callers := await self._callers(namespace, name, version, left, seen):
            against["callers"] = callers
        self._refuse(namespace, name, version, {why: against[why] for why in against if why not in despite})
        # Those that were looked at: not what somebody has deployed meanwhile.
        chosen = [each.workflow.version for each in going]
        gone = await store.remove(namespace, name, chosen, datetime.now(UTC))
        # What is stored says what starts: should this fail, it is made so once a process starts, or is asked again.
        await self._engine.settle(namespace, name, gone=True)
        after = await store.versions(namespace, name, limit=1)
        return Deleted(namespace, name, gone, after[0].workflow.version if after else None, runs)

    def _refuse(self, namespace: str, name: str, version: str | None, against: dict[str, str]) -> None:
        if against:
            what = f"version {version} of {namespace}/{name}" if version else f"{namespace}/{name}"
            problems = [Problem(DESPITE[why], text) for why, text in against.items()]
            reasons = "; ".join(against.values())
            message = (
                f"{what} is in use: {reasons}. To delete it all the same, give `despite`: {','.join(against)}"
            )
            raise Rejected("workflow-in-use", message, status=409, problems=problems)

    async def _check_allowed(self, listed: Listed, seen: Seen) -> None:
        name = listed.workflow
        with suppress(NotFound, InvalidDocument):  # by others; or by another version of the engine
            seen.allowed(
                (await self._engine.definition(name.namespace, name.name, name.version)).bundle.graph()
            )

    async def _runs(self, namespace: str, name: str, version: str | None) -> tuple[int, Sequence[str]]:
        """How many runs are in flight, up to `MOST_RUNS`, and the newest of them."""
        query, ids = RunQuery(namespace, name, version, "running", 200), list[str]()
        cursor: str | None = None
        while len(ids) < MOST_RUNS:
            page = await self._engine.runs(RunQuery(namespace, name, version, "running", query.limit, cursor))
            ids += [run.id for run in page.runs if may_fit(run, query)]
            cursor = page.cursor
            if cursor is None:
                break
        return min(len(ids), MOST_RUNS), ids[:_NAMED]

    async def _starts(self, namespace: str, name: str, seen: Seen) -> Sequence[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        if self._engine.scheduling is not None:
            with suppress(NotFound, InvalidDocument):
                clock = await self._engine.scheduling.description(namespace, name)
                ended = not clock.state.next and not clock.remark
                if not clock.state.paused and not (
                    ended and not isinstance(clock.schedule.recurrence, After)
                ):
                    found.append(("schedule", "its schedule starts it; pause that first"))
        if self._engine.triggers is not None:
            starting = self._engine.triggers.starting(namespace, name)
            names = _list([each.id for each in starting if seen.subscription(each)])
            unseen = sum(not seen.subscription(each) for each in starting)
            if starting:
                text = f"events start it by {_told('subscription', names, unseen)}; pause those first"
                found.append(("triggers", text))
        return found

    async def _callers(
        self, namespace: str, name: str, version: str | None, left: Sequence[Listed], seen: Seen
    ) -> str:
        """Which other workflows call what is to be deleted, in words."""
        mark = orjson.dumps(name)[1:-1]
        callers: list[WorkflowName] = []
        after: tuple[str, str, str] | None = None
        while True:
            read = await self._engine.store.every(after, _PAGE)
            others = [
                each
                for each in read
                if (each.workflow.namespace, each.workflow.name) != (namespace, name)
                or (version is not None and each.workflow.version != version)
            ]
            callers += await asyncio.to_thread(_calling, others, (namespace, name, version), mark, bool(left))
            if len(read) < _PAGE:
                break
            last = read[-1].workflow
            after = last.namespace, last.name, last.version
        names = _list([str(each) for each in callers if seen.workflow(each)])
        unseen = sum(not seen.workflow(each) for each in callers)
        return f"it is called by {_told('workflow', names, unseen)}" if callers else ""


def _calling(
    definitions: Sequence[Definition],
    called: tuple[str, str, str | None],
    mark: bytes,
    remains: bool,
) -> Sequence[WorkflowName]:
    """Those of *definitions* that call the version *called*, or any if that is None; where others *remain*, a call of
    the latest version gets another one.
    """
    found: list[WorkflowName] = []
    for definition in definitions:
        with suppress(InvalidDocument, Rejected):  # another version of the engine has deployed it
            # Only what has its name is compiled, which takes a hundred times as long.
            if mark not in definition.bundle.plain():
                continue
            for namespace, name, version in _calls(definition.bundle.graph()):
                wanted = called[2] in (None, version) if version is not None else not remains
                if (namespace, name) == called[:2] and wanted:
                    found.append(definition.workflow)
                    break
    return found


def _calls(graph: StateGraph) -> Iterator[tuple[str, str, str | None]]:
    """Namespace, name and version of each workflow that *graph* runs; None is the latest."""
    for state in states_of(graph):
        if isinstance(state.action, SubFlow | ContinueAs):
            yield state.action.namespace, state.action.name, state.action.version


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _told(noun: str, names: str, unseen: int) -> str:
    """The *names* of things, and how many others there are."""
    others = f"{unseen} {noun}{'' if unseen == 1 else 's'} of others" if unseen else ""
    return " and ".join(filter(None, (names, others)))
