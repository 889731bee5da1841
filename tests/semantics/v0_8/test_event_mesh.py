"""The store-order workflow that Apache EventMesh shows its engine with, unchanged, on both runtimes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.semantics.v0_8.documents import event
from tests.semantics.v0_8.services import pin, published
from workflow_engine import dsl

CHANNELS = ("order/create", "payment/create", "express/create")


async def resources(spec: Path, text: str) -> dict[str, Any]:
    folder = spec / "eventmesh"
    files = {f"{name}app": folder / f"asyncapi-test{name}.yaml" for name in ("order", "payment", "express")}
    return await pin(text, asyncapi={name: file.read_text() for name, file in files.items()})


@pytest.mark.parametrize(
    ("order", "reached"),
    [({"order_no": "42", "amount": "7"}, CHANNELS), ({"order_no": ""}, CHANNELS[:1])],
)
async def test_an_order_is_placed_paid_and_shipped_and_one_without_a_number_is_not(
    run: Any, spec: Path, order: Any, reached: tuple[str, ...]
) -> None:
    text = (spec / "eventmesh" / "store-order-0.8.yaml").read_text()
    placed = {**event("online.store.newOrder", "1", order), "source": "store/order"}
    other = {**event("online.store.newOrder", "2", {"order_no": "1"}), "source": "elsewhere"}
    ended = await run(text, events=[other, placed], resources=await resources(spec, text))
    assert ended.status == "completed", ended.error
    assert ended.output == order
    assert {channel: await published(run, ended, channel) for channel in CHANNELS} == {
        channel: [order] if channel in reached else [] for channel in CHANNELS
    }


def test_it_is_started_by_a_new_order_and_has_no_problem(spec: Path) -> None:
    document = dsl.parse((spec / "eventmesh" / "store-order-0.8.yaml").read_text())
    assert [problem for problem in dsl.check(document) if problem.severity == "error"] == []
    trigger = dsl.compile(document).trigger
    assert trigger is not None
    assert trigger.state == "/states/0"
