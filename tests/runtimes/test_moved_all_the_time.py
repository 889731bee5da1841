"""Runs and their sub-flows that are suspended, resumed and moved all the time, while they go on in new histories.

    WFE_SIZE=full .venv/bin/python -m pytest -n 0 -s tests/runtimes/test_moved_all_the_time.py

Every call is made once, every event is taken once, and who ends a run ends all that it has begun. The moments are
drawn: `WFE_SEED` says from what. It takes a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import uuid
from collections import Counter

import pytest
from temporalio.api.enums.v1 import EventType

from tests.runtimes.far_side import FarSide
from tests.runtimes.test_killed_while_continuing import chain
from tests.runtimes.test_migrating import Shop, shop  # noqa: F401 - a fixture
from workflow_engine.errors import Conflict, NotFound
from workflow_engine.runtimes.temporal.resting import Limits

FULL = os.environ.get("WFE_SIZE") == "full"
SEED = os.environ.get("WFE_SEED", "20261126")
RUNS = 6
pytestmark = [
    pytest.mark.temporal,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not FULL, reason="takes a minute: WFE_SIZE=full"),
]
INNER = """
document: {dsl: '1.0.3', namespace: test, name: NAME, version: VERSION}
do:
  - a: CALL(a- + .id)
  - w: {wait: {milliseconds: 150}}
  - l: {for: {each: n, in: '[1, 2]'}, do: [{c: CALL(c- + $workflow.input.id + "-" + $n)}, {v: {wait: PT0.02S}}]}
"""
OUTER = """
document: {dsl: '1.0.3', namespace: test, name: NAME, version: VERSION}
do:
  - all:
      fork:
        branches:
          - hear:
              listen: {to: {any: [{with: {type: '${ $workflow.id }'}}], until: '(. | length) == 10'}, read: data}
              foreach: {item: e, do: [{h: CALL(e- + $workflow.id + "-" + $e)}]}
          - subs: {for: {each: i, in: '[1, 2, 3]'}, do: [{t: {try: [{r: RUN($workflow.id + "-" + $i)}], catch: {}}}]}
          - calls:
              for: {each: i, in: '[1, 2, 3, 4, 5, 6]'}
              do: [{k: CALL(k- + $workflow.id + "-" + $i)}, {w: {wait: PT0.03S}}]
  - r: RUN($workflow.id + "-last")
  - last: CALL(z- + $workflow.id)
"""


def document(template: str, name: str, version: str, url: str, inner: str) -> str:
    """*template* with ``CALL(WHAT)``, which asks for that, and ``RUN(ID)``, which runs *inner* with that input."""
    made = template.replace("NAME", name).replace("VERSION", version)
    for part in ("CALL", "RUN"):
        while (start := made.find(f"{part}(")) >= 0:
            end = made.index(")", start)
            terms = made[start + len(part) + 1 : end].split(" + ")
            terms = [f'"{term}"' if term.endswith("-") else term for term in terms]
            joined = " + ".join(term if term.startswith('"') else f"({term} | tostring)" for term in terms)
            if part == "CALL":
                text = f"{{call: http, with: {{method: post, endpoint: '${{ \"{url}/\" + {joined} }}'}}}}"
            else:
                given = f"{{id: '${{ {joined} }}'}}"
                text = f"{{run: {{workflow: {{namespace: test, name: {inner}, version: latest, input: {given}}}}}}}"
            made = made[:start] + text + made[end + 1 :]
    return made


@pytest.mark.parametrize("ends", [False, True], ids=["to the end", "until they are ended"])
async def test_each_effect_is_once(shop: Shop, far: FarSide, ends: bool) -> None:  # noqa: F811
    shop.runtime._limits = Limits(events=25, drain=0.3)
    outer, inner = f"{shop.name}-outer", f"{shop.name}-inner"
    moments = random.Random(SEED)
    ids: list[str] = []
    for version in ("1.0.0", "2.0.0"):
        for name, text in ((inner, INNER), (outer, OUTER)):
            await shop.engine.deploy(document(text, name, version, far.url, inner))
        ids = ids or [await shop.engine.start("test", outer, None, {}) for _ in range(RUNS)]
    told: Counter[str] = Counter()

    async def disturb(id: str) -> None:
        while (await shop.runtime.describe(id)).ended_at is None:
            moved = [id, *(child for child in children(id) if moments.random() < 0.2)]
            with contextlib.suppress(Conflict, NotFound):
                if moments.random() < 0.5:
                    await shop.runtime.suspend(id)
                    await asyncio.sleep(moments.uniform(0, 0.1))
                    await shop.runtime.resume(id)
                for each in moved:
                    with contextlib.suppress(Conflict, NotFound):
                        version = moments.choice(["1.0.0", "2.0.0"])
                        verdict = await shop.moving.migrate(each, version, {}, seconds=1, dry=False)
                        told[f"{'run' if each == id else 'sub-flow'} {verdict.answer}"] += 1
            await asyncio.sleep(moments.uniform(0.05, 0.4))

    async def tell(id: str) -> None:
        for number in range(10):
            await asyncio.sleep(moments.uniform(0, 0.4))
            event = {"specversion": "1.0", "id": str(uuid.uuid4()), "source": "t", "type": id, "data": number}
            await shop.runner.router.publish("default", [event])

    async def end(id: str) -> None:
        await asyncio.sleep(moments.uniform(0.1, 5))
        if moments.random() < 0.6:
            await shop.runtime.cancel(id)
        else:
            await shop.runtime.terminate(id, "enough")

    work = [tell, disturb, *([end] if ends else [])]
    tasks = [asyncio.create_task(each(id)) for id in ids for each in work]
    runs = await asyncio.gather(*(shop.runtime.wait(id, 300) for id in ids))
    await asyncio.gather(*tasks)
    print(dict(told))
    assert {run.status for run in runs} == {"cancelled" if ends else "completed"}
    for id in ids:
        for child in children(id):
            with contextlib.suppress(NotFound):
                assert (await shop.runtime.wait(child, 20)).ended_at is not None, child
        for history in await chain(shop.runner.client, id):
            assert refused([event.event_type for event in history.events]) == []
    assert {what: times for what, times in far.done.items() if times != 1} == {}
    if not ends:
        assert len(far.done) == RUNS * (10 + 6 + 4 * 3 + 1)
        assert shop.runner.router.listeners() == []


def children(id: str) -> list[str]:
    """The ids that the sub-flows of a run have, or will have."""
    in_loop = f"{id}.do.0.all.fork.branches.1.subs.do.0.t.try.0.r"
    return [in_loop, f"{in_loop}#2", f"{in_loop}#3", f"{id}.do.1.r"]


def refused(kinds: list[int]) -> list[int]:
    """Which tasks of a history timed out: Temporal had not taken what came of them."""
    return [
        number for number, kind in enumerate(kinds) if kind == EventType.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT
    ]
