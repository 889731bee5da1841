"""`wfe start --wait`: what is said of a run that goes on for long."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.documents import WAIT
from tests.api.server import api
from tests.cli.test_subscriptions import wfe
from workflow_engine.cli import runs


async def test_of_a_run_that_takes_long_it_is_said_what_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_QUIET", 0.5)
    async with api() as server:
        assert (await server.deploy(WAIT)).status == 201
        waited = await asyncio.to_thread(wfe, "start", "wait", "--wait", "0.9", "--api-url", server.url)
        assert waited.code == 1
        told, ended = waited.err.splitlines()
        assert told.startswith("The run ")
        assert " goes on: " in told
        assert "listening for" in told
        assert ended.endswith("has not ended after 0.9 s; it is waiting.")
