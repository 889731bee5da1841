"""Word between a run and its sub-flows of the end of these, once the run has gone on in a new history.

Temporal tells a workflow of the end of its children, but not the one that it has gone on as. So that one asks each
sub-flow which is under way to tell it: by a signal, once for each of them, and by another one the sub-flow tells. That
costs both some events of history, however long the sub-flow takes. What it came to is asked of the server then
(`sub_flows`), and now and then anyway: one that was terminated tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from temporalio import workflow
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from workflow_engine.runtimes.temporal.converter import UNREADABLE

FOLLOW = "wfe.follow"
"""The signal to a sub-flow: the run with that id waits for it at that place."""
ENDED = "wfe.ended"
"""The signal to who follows it: the sub-flow of that place is about to end."""


class Followers:
    """The runs that one run tells of its end, and the word that it has of the end of others."""

    def __init__(self) -> None:
        self._followers: dict[tuple[str, str], None] = {}
        self.ended: set[str] = set()
        """The places of sub-flows that are about to end."""

    def heard(self, name: str, args: Sequence[RawValue]) -> bool:
        """Whether the signal *name* is one of these; anybody may send it, so what it cannot say is left."""
        if name not in (FOLLOW, ENDED):
            return False
        converter = workflow.payload_converter()
        try:
            given = [converter.from_payload(arg.payload) for arg in args]
        except UNREADABLE:
            return True
        if name == FOLLOW and len(given) == 2:
            self._followers[str(given[0]), str(given[1])] = None
        elif name == ENDED and given:
            self.ended.add(str(given[0]))
        return True

    def to_json(self) -> list[Any]:
        """Who follows: also the history that comes after this one."""
        return [[run_id, place] for run_id, place in self._followers]

    def restore(self, encoded: Iterable[Sequence[str]]) -> None:
        """Know those again."""
        known = [(run_id, place) for run_id, place in encoded]
        self._followers = {**dict.fromkeys(known), **self._followers}

    async def tell(self) -> None:
        """The run ends: tell those that follow it."""
        for run_id, place in self._followers:
            await _signal(run_id, ENDED, place)


async def follow(sub_flow: str, place: str) -> bool:
    """Ask *sub_flow* to tell this run, where it is waited for at *place*; whether it goes on."""
    return await _signal(sub_flow, FOLLOW, workflow.info().workflow_id, place)


async def _signal(id: str, name: str, *args: str) -> bool:
    try:
        await workflow.get_external_workflow_handle(id).signal(name, args=args)
    except ApplicationError as failure:
        workflow.logger.info("the run %s is over: %s", id, failure)
        return False
    return True
