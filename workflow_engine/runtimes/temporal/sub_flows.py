"""The sub-flows of a run are child workflows, which outlive that it goes on in a new history.

Temporal ends the children of a workflow that continues as new, unless they are abandoned. So they are, and go on too:
the run finds them again by their ids. It ends them itself when it does no longer want them. (Runs from before semantics
5 abandon only those that something else may go on beside; the others have to end before such a run can go on.)
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    ChildWorkflowError,
    WorkflowAlreadyStartedError,
)
from temporalio.workflow import ParentClosePolicy

from workflow_engine.errors import Fault, fault
from workflow_engine.interpreter.effects import Place, SubRun
from workflow_engine.runtimes.temporal.calling import CENTURY, UNTIL_IT_WORKS, summary
from workflow_engine.runtimes.temporal.failures import LOCAL_FAILURES, cancelled_or
from workflow_engine.runtimes.temporal.followers import Followers, follow
from workflow_engine.runtimes.temporal.naming import sub_run_id
from workflow_engine.values import Json, JsonObject

BOUND = "bound"
"""The member of the memo of a sub-flow that ends with the run that began it, although Temporal does not end it."""
CANCELLED = "Cancelled"
"""What the failure of `run.outcome` is called where the sub-flow was cancelled."""
UNTIL_ENDED = RetryPolicy(
    initial_interval=timedelta(milliseconds=250),
    backoff_coefficient=1.5,
    maximum_interval=timedelta(seconds=15),
)
"""How often it is looked whether a sub-flow of an earlier history has ended: no event of history is spent on that."""
UNTIL_TOLD = replace(UNTIL_ENDED, maximum_interval=timedelta(minutes=1))
"""The same of one that tells when it ends."""


class SubFlows:
    """Those of one run."""

    def __init__(self, identity: str, memo: Mapping[str, Any], semantics: int) -> None:
        """*memo* is what all of them remember, *semantics* are those of the run (`dsl.bundle.SEMANTICS`)."""
        self._identity = identity
        self._memo = memo
        self._survive, self._all_survive = semantics > 1, semantics > 4
        self._found: set[str] = set()
        self._under_way: dict[str, None] = {}
        self._bound: dict[str, None] = {}
        self._followed: set[str] = set()
        self.followers = Followers()
        self.earlier: dict[str, Any] = {}
        """Of a run that is retried: what came of those that it had begun, or with what they go on, by their places."""
        self._watching: dict[str, asyncio.Task[Any]] = {}
        self.at_work: Callable[[], AbstractContextManager[None]] = nullcontext
        """What a sub-flow is done in whose run cannot go on in a new history as long as that takes."""
        self.resting: Callable[[], bool] = lambda: False
        """Whether the run is coming to rest, to go on in a new history."""

    def to_json(self) -> JsonObject:
        """Those that go on while the run goes on in a new history."""
        followed = [place for place in self._under_way if place in self._followed]
        return {"under_way": [*self._under_way], "bound": [*self._bound], "followed": [*followed]}

    def restore(self, encoded: Mapping[str, Any]) -> None:
        """Know those again."""
        self._found = set(encoded["under_way"])
        self._under_way = dict.fromkeys(encoded["under_way"])
        self._bound = dict.fromkeys(encoded["bound"])
        self._followed = set(encoded.get("followed", []))

    def _id(self, place: Place) -> str:
        return sub_run_id(self._identity, place.id)

    async def run(self, sub_run: SubRun, place: Place) -> Json:
        """Run a workflow: its output, or null at once when it is not waited for."""
        if not sub_run.wait:
            await self._begin(sub_run, place)
            return None
        if "output" in self.earlier.get(place.id, {}):
            return self.earlier.pop(place.id)["output"]  # type: ignore[no-any-return]
        survives = self._all_survive or (self._survive and not sub_run.alone)
        try:
            if place.id in self._found:
                return await self._again(place)
            if not survives:
                with self.at_work():
                    return await workflow.execute_child_workflow(  # type: ignore[no-any-return]
                        sub_run.name, **self._options(sub_run, place)
                    )
            begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if not self._all_survive:
                return await self._first(sub_run, place, begun)
            ended = asyncio.create_task(self._first(sub_run, place, begun))
            return await _unless_cancelled(ended, begun, self._id(place))
        except ChildWorkflowError as failure:
            raise cancelled_or(failure) from None
        except WorkflowAlreadyStartedError:
            if not (self._all_survive and await self._ours(self._id(place))):
                raise _taken(self._id(place)) from None
        self._under_way[place.id] = None
        return await self._again(place)

    async def _ours(self, id: str) -> bool:
        """Whether the run *id*, which goes on, is one of this run, which has been reset in Temporal to before that."""
        try:
            with self.at_work():
                return await workflow.execute_local_activity(  # type: ignore[no-any-return]
                    "run.begun_by",
                    args=[id, workflow.info().workflow_id],
                    summary="looking for a sub-flow",
                    start_to_close_timeout=timedelta(seconds=10),
                    retry_policy=UNTIL_IT_WORKS,
                    local_retry_threshold=timedelta(seconds=5),
                )
        except LOCAL_FAILURES as failure:
            raise cancelled_or(failure) from None

    async def _first(self, sub_run: SubRun, place: Place, begun: asyncio.Future[None]) -> Json:
        """Begin one that outlives this history, and wait for it; *begun* is done once it is there."""
        with self.at_work():
            policy = ParentClosePolicy.ABANDON
            child = await workflow.start_child_workflow(
                sub_run.name, parent_close_policy=policy, **self._options(sub_run, place, bound=True)
            )
        self._under_way[place.id] = None
        begun.set_result(None)
        try:
            return await child  # type: ignore[no-any-return]
        finally:
            self._under_way.pop(place.id, None)

    async def _begin(self, sub_run: SubRun, place: Place) -> None:
        """Begin one that is not waited for."""
        bound = sub_run.with_parent
        policy = ParentClosePolicy.TERMINATE if bound and not self._survive else ParentClosePolicy.ABANDON
        try:
            with self.at_work():
                child = await workflow.start_child_workflow(
                    sub_run.name,
                    parent_close_policy=policy,
                    **self._options(sub_run, place, bound=bound and self._survive),
                )
        except ChildWorkflowError as failure:
            raise cancelled_or(failure) from None
        except WorkflowAlreadyStartedError:
            return  # by this run, before it went on from here
        if bound and self._survive:
            id = self._id(place)
            self._bound[id] = None
            child.add_done_callback(lambda done: self._ended(id, done))

    def _ended(self, id: str, child: asyncio.Task[Any]) -> None:
        self._bound.pop(id, None)
        if not child.cancelled():
            child.exception()  # its fault is its own

    def _options(self, sub_run: SubRun, place: Place, *, bound: bool = False) -> dict[str, Any]:
        reference = {"namespace": sub_run.namespace, "name": sub_run.name, "version": sub_run.version}
        memo = {**reference, "version": sub_run.version or "", **self._memo}
        args: list[Any] = [sub_run.input, reference]
        earlier = self.earlier.pop(place.id, None)
        if earlier is not None:
            args = [earlier["input"], earlier["workflow"], [], earlier["before"]]
            memo = {**memo, **earlier["workflow"], "attempts": earlier["attempts"]}
        return {
            "args": args,
            "id": self._id(place),
            "static_summary": summary(place.label),
            "memo": {**memo, BOUND: True} if bound else memo,
        }

    async def _again(self, place: Place) -> Json:
        """What becomes of one that was begun in an earlier history; when it is no longer wanted, it is cancelled."""
        id = self._id(place)
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        begun.set_result(None)
        work = self._followed_to_its_end if self._all_survive else self._outcome
        try:
            return await _unless_cancelled(asyncio.create_task(work(id, place)), begun, id)
        finally:
            self._under_way.pop(place.id, None)
            self._found.discard(place.id)
            self._followed.discard(place.id)

    async def _followed_to_its_end(self, id: str, place: Place) -> Json:
        """Have it tell when it ends, and ask then what it came to; and now, and now and then."""
        told = self.followers.ended
        told.discard(place.id)  # by now, so it is asked
        if place.id not in self._followed and await follow(id, place.id):
            self._followed.add(place.id)
        asked = asyncio.create_task(self._outcome(id, place, UNTIL_TOLD))
        # Not as the run leaves its history: what is asked for after that, in the same task, Temporal refuses.
        word = asyncio.create_task(
            workflow.wait_condition(lambda: asked.done() or (place.id in told and not self.resting()))
        )
        await workflow.wait([asked, word], return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            with self.at_work():
                asked.cancel()
                await workflow.wait([asked])
                if asked.cancelled():
                    asked = asyncio.create_task(self._outcome(id, place, UNTIL_TOLD, "/outcome#2"))
            return await asked
        return asked.result()

    async def _outcome(
        self, id: str, place: Place, often: RetryPolicy = UNTIL_ENDED, suffix: str = "/outcome"
    ) -> Json:
        try:
            return await workflow.execute_activity(  # type: ignore[no-any-return]
                "run.outcome",
                args=[id],
                activity_id=place.id + suffix,
                summary=summary(place.label),
                start_to_close_timeout=timedelta(seconds=20),
                schedule_to_close_timeout=CENTURY,
                retry_policy=often,
            )
        except ActivityError as failure:
            cause = failure.cause
            if isinstance(cause, ApplicationError) and cause.type == CANCELLED:
                raise asyncio.CancelledError from None
            raise cancelled_or(failure) from None

    async def end(self) -> None:
        """The run has ended, and those that end with it are ended."""
        if not self._bound:
            return
        ids, self._bound = [*self._bound], {}
        try:
            await workflow.execute_local_activity(
                "run.end",
                args=[ids],
                summary="ending sub-flows",
                start_to_close_timeout=timedelta(seconds=30),
                retry_policy=UNTIL_IT_WORKS,
                local_retry_threshold=timedelta(seconds=5),
            )
        except LOCAL_FAILURES as failure:
            raise cancelled_or(failure) from None


async def _unless_cancelled(ended: asyncio.Task[Json], begun: asyncio.Future[None], id: str) -> Json:
    """What the run *id* comes to, once it has *ended*; when it is no longer wanted, it is cancelled as soon as it has
    *begun*, waited for, and whatever it came to does not count.

    It may just end by itself. The library would tell that alone, and whoever waits would go on as if it were still
    wanted; and to cancel by its means a child that was terminated is a transition that it does not know, and parks us.
    """
    cancelled = told = False
    while not ended.done():
        try:
            if cancelled and not told and begun.done():
                told = True
                await _cancel(id)
            else:
                awaited: list[asyncio.Future[Any]] = [ended] if told or not cancelled else [ended, begun]
                await workflow.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        if not ended.cancelled():
            ended.exception()
        raise asyncio.CancelledError
    return ended.result()


def _taken(id: str) -> Fault:
    return fault("runtime", f"a run with the id {id} goes on already, which this one has not begun")


async def _cancel(id: str) -> None:
    """Ask the run to end; one that is over has nothing to be asked."""
    try:
        await workflow.get_external_workflow_handle(id).cancel()
    except ApplicationError as failure:
        workflow.logger.info("the run %s is over: %s", id, failure)
