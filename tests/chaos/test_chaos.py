"""Processes are killed at random while runs of every kind go on: each effect is done once, each run ends as its
document says, and none is stuck.

A small size by default. The full one, of 1,000 SIGKILLs, with its progress (half an hour on two cores)::

    WFE_SIZE=full python -m pytest -n 0 -s tests/chaos

In the small one the API works too, besides one worker; ``python -m tests.chaos --api-worker`` does so at any size.

``WFE_SEED=7`` draws other moments, kinds and inputs; the same seed draws the same ones again, though what is hit in
them is up to the machine. ``python -m tests.chaos --help`` has every number as an option, and can keep the logs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import get_args

import pytest

from tests.chaos.campaign import Campaign, Report, run
from tests.chaos.documents import KINDS, SUBSCRIBER, TICKS
from workflow_engine import dsl
from workflow_engine.graph.actions import Action
from workflow_engine.graph.model import states_of

FULL = os.environ.get("WFE_SIZE") == "full"
SEED = int(os.environ.get("WFE_SEED", "1"))
SMALL = Campaign(
    SEED, kills=8, life=2.0, workers=1, at_once=len(KINDS), longest=60, least=len(KINDS), api_worker=True
)
LARGE = Campaign(SEED, kills=1000, life=4.0, workers=2, at_once=16, longest=2 * 3600, patience=400)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600 if FULL else 300)
async def test_each_effect_is_done_once_and_each_run_ends_as_its_document_says_whatever_is_killed(
    tmp_path: Path,
) -> None:
    campaign = LARGE if FULL else SMALL
    data = tmp_path / "data"
    data.mkdir()
    report: Report = await run(campaign, data, say=_say)
    _say(str(report))
    assert not report.wrong, str(report)
    # On a machine that is busy with other tests it may have been time to end before.
    assert sum(report.kills.values()) >= (campaign.kills if FULL else 1)
    assert set(report.kills) == {"api", "temporal", "worker-1", "worker-2"} or not FULL
    assert report.effects >= len(KINDS)


def test_the_runs_have_every_kind_of_state() -> None:
    texts = [text for kind in KINDS for text in (kind.text, *kind.others)] + [SUBSCRIBER, TICKS]
    seen: set[type] = set()
    for text in texts:
        graph = dsl.compile(dsl.parse(text.replace("LEDGER", "http://127.0.0.1:1")))
        seen |= {type(state.action) for state in states_of(graph)}
    assert seen == set(get_args(Action))
