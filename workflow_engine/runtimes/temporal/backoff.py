"""Calls that wait at the server for their next attempt, taken back by a run that is to move.

The server begins the next attempt of a call that is made with all its attempts in one activity (`attempts`), and what
it does then is what the old version of the workflow says. A run that moves waits itself instead: whoever tells it to
move knows from the server how far the attempts are (`pending`), and the activity, which nobody has begun, is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from workflow_engine.errors import fault
from workflow_engine.interpreter.effects import Attempted
from workflow_engine.runtimes.temporal.pending import Pending

MARGIN = 2.0
"""A next attempt that is so many seconds away at least has not begun when the server hears that it is not wanted."""


def taken_back(calls: Mapping[str, Pending], now: float) -> dict[str, dict[str, Any]]:
    """What a run is told of those of *calls* that wait for their next attempt, and for some time yet."""
    told: dict[str, dict[str, Any]] = {}
    for place, call in calls.items():
        due = None if call.next is None else call.next.timestamp()
        if call.progress is not None and due is not None and due - now > MARGIN:
            told[place] = {"progress": call.progress, "due": due, "failure": call.error}
    return told


class Backoffs:
    """The calls of one run that are made with all their attempts."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[Any]] = {}
        self._taken: dict[str, dict[str, Any]] = {}

    @contextlib.contextmanager
    def during(self, place: str) -> Iterator[None]:
        """Make a call within this, which raises `Attempted` when it is taken back."""
        task = asyncio.current_task()
        assert task is not None
        self._under_way[place] = task
        try:
            yield
        except asyncio.CancelledError:
            told = self._taken.pop(place, None)
            if told is None or task.uncancel() > 0:
                raise
            error = fault("communication", str(told.pop("failure") or "its last attempt failed")).error
            raise Attempted(error, told) from None
        finally:
            del self._under_way[place]
            self._taken.pop(place, None)

    def take(self, calls: Mapping[str, Any], now: float) -> None:
        """Take those of *calls* back (`taken_back`) that still wait."""
        for place, told in calls.items():
            task, left = self._under_way.get(place), float(told["due"]) - now
            if task is None or place in self._taken or left <= MARGIN:
                continue
            progress = told["progress"]
            # It was counted when the wait began, and is again when the run waits.
            self._taken[place] = {
                "retries": int(progress["retries"]) - 1,
                "wait": left,
                "whole": progress.get("before"),
                "failure": told.get("failure"),
            }
            task.cancel()
