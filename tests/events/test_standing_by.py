"""What becomes of a router that lost its store, where letting go or taking up goes wrong itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.events.conftest import eventually
from workflow_engine.errors import Unavailable
from workflow_engine.events import standing_by
from workflow_engine.events.standing_by import StandBy


class Losable:
    """A store that another process can take."""

    lose: Callable[[], None]

    def when_lost(self, tell: Callable[[], None]) -> None:
        self.lose = tell


async def test_a_fault_while_it_lets_go_or_takes_up_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would stand by for ever, and say that another process has the store."""
    monkeypatch.setattr(standing_by, "EVERY", 0.01)
    store, done = Losable(), []
    faults = iter([OSError("no space left"), None, KeyError("a bug"), None, None])

    async def does(what: str) -> None:
        done.append(what)
        if (fault := next(faults)) is not None:
            raise fault

    stand_by = StandBy(store, let_go=lambda: does("let go"), take_up=lambda: does("take up"))
    try:
        stand_by.require()
        store.lose()
        with pytest.raises(Unavailable):
            stand_by.require()

        async def has() -> bool:
            try:
                stand_by.require()
            except Unavailable:
                return False
            return True

        await eventually(has)
        assert done == ["let go", "let go", "take up", "let go", "take up"]
        told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
        assert ["no space left" in told[0], "a bug" in told[1], len(told)] == [True, True, 2]
    finally:
        await stand_by.stop()
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "standing by"]
