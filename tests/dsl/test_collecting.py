"""What is done so that the collector of garbage does not look in vain."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from workflow_engine import dsl

TEXT = "document: {dsl: '1.0.3', namespace: t, name: t, version: '1.0.0'}\ndo: [{a: {set: {x: 1}}}]"


def test_reading_a_document_leaves_what_has_settled_so_and_does_not_go_through_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settled = gc.get_freeze_count()  # since all tests were collected
    assert settled > 10_000

    def through_all() -> int:
        raise AssertionError("this takes ten milliseconds in a worker")

    with monkeypatch.context() as patch:
        patch.setattr(gc, "get_freeze_count", through_all)
        dsl.compile(dsl.parse(TEXT))
    assert gc.get_freeze_count() > settled / 2
    assert gc.isenabled()


def test_the_data_of_a_run_is_made_without_a_look_for_garbage() -> None:
    looks = list[int]()

    def looking(phase: str, about: dict[str, Any]) -> None:
        looks.append(about["generation"])

    gc.collect()
    gc.callbacks.append(looking)
    try:
        data = [{"id": number, "parts": [number]} for number in range(600)]
    finally:
        gc.callbacks.remove(looking)
    assert looks == []
    assert len(data) == 600
