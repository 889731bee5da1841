"""What a run goes on with in a new history, and whether Temporal takes that.

The server ends a run that goes on with more than it takes in one message's values, 2 MB in all, and its SDK fails the
task. With a payload store everything large is a claim; whether this worker has one is in the history of the run, as any
other answer of the world is. Without one the run goes on in the history that it has, and tries again later, when its
data may be smaller; and shortly before the server would end it for the length of that, it waits for a store.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NoReturn

from temporalio import activity, workflow
from temporalio.common import TypedSearchAttributes
from temporalio.exceptions import ActivityError, ApplicationError

from workflow_engine.dsl.bundle import Bundle
from workflow_engine.interpreter.packing import pack_apart
from workflow_engine.interpreter.run import Run
from workflow_engine.runtimes.temporal.calling import UNTIL_IT_WORKS
from workflow_engine.runtimes.temporal.carrying import STARTED, started, travelling
from workflow_engine.runtimes.temporal.converter import size_of
from workflow_engine.runtimes.temporal.failures import LOCAL_FAILURES, cancelled_or
from workflow_engine.runtimes.temporal.moves import Move, refusal
from workflow_engine.runtimes.temporal.naming import memo_of, renamed
from workflow_engine.runtimes.temporal.resting import RestingEffects
from workflow_engine.values import JsonObject

MOST = 2 * 1024 * 1024 - 64 * 1024
"""How many bytes of values Temporal takes with a run that goes on, with room for what goes with them."""
ROOM = "payload.room"
ADVICE = (
    "it has {size:,} bytes to go on with in a new history, more than the {most:,} that Temporal takes, and its history "
    "cannot grow much longer. Set WFE_PAYLOAD_STORE for the API and the workers, and start them again: the run goes on "
    "from here by itself"
)
UPGRADING = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
"""A new history is no one's yet: the current build of the workers takes it up, also where runs are pinned."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """The start of the next history: *args* and *memo*; *attributes* where they are others than before."""

    args: list[Any]
    memo: dict[str, Any]
    attributes: TypedSearchAttributes | None

    @classmethod
    def of(
        cls, run: Run, effects: RestingEffects, bundle: Bundle, move: Move | None, *, named: bool
    ) -> Leaving:
        """That of *run*, which is at rest; as one of another version, if it is to *move* and can."""
        position, memo, attributes = run.position(), dict(workflow.memo()), None
        before = effects.carried(run)
        if move is not None:
            there = move.of(run)
            if there.position is None:
                before["refused"] = refusal(there)
            else:
                position, bundle, named = there.position, move.bundle, False
                name = bundle.graph().name
                memo |= memo_of(name)
                attributes = renamed(workflow.info().typed_search_attributes, name)
        packed, apart = pack_apart(position, run.input)
        args: list[Any] = [
            run.input,
            travelling(bundle, named=named),
            [],
            {**before, "position": packed},
            *apart,
        ]
        return cls(args, {**memo, STARTED: started()}, attributes)

    @property
    def size(self) -> int:
        """How many bytes of values that are, or so."""
        return sum(map(size_of, self.args))

    def go(self) -> NoReturn:
        """Go on."""
        build = workflow.info().get_current_deployment_version()
        workflow.continue_as_new(
            args=self.args,
            memo=self.memo,
            search_attributes=self.attributes,
            initial_versioning_behavior=UPGRADING if build is not None and build.deployment_name else None,
        )


async def room_for(size: int) -> bool:
    """Whether there is room for so many bytes, which are more than Temporal takes: the answer of a worker."""
    try:
        return await workflow.execute_local_activity(  # type: ignore[no-any-return]
            ROOM,
            args=[size],
            summary=f"room for {size:,} bytes",
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=UNTIL_IT_WORKS,
        )
    except LOCAL_FAILURES as failure:
        raise cancelled_or(failure) from None


async def until_there_is_room(size: int) -> None:
    """Wait for a worker that has room for so many bytes: its history does not grow by that."""
    try:
        await workflow.execute_activity(
            ROOM,
            args=[size, True],
            summary=f"room for {size:,} bytes: WFE_PAYLOAD_STORE is not set",
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=UNTIL_IT_WORKS,
        )
    except ActivityError as failure:
        raise cancelled_or(failure) from None


def rooms(*, stores: bool) -> Callable[..., Any]:
    """The activity of a worker that has a payload store, or has not."""

    @activity.defn(name=ROOM)
    async def room(size: int, needed: bool = False) -> bool:
        if needed and not stores:
            raise ApplicationError(ADVICE.format(size=size, most=MOST), type="PositionTooLarge")
        return stores

    return room


def why_not(size: int) -> list[JsonObject]:
    """Why a run does not move that has so many bytes to go on with."""
    text = (
        f"it has {size:,} bytes to go on with, more than Temporal takes; WFE_PAYLOAD_STORE gives them a place"
    )
    return [{"state": "", "why": text}]
