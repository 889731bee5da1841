from __future__ import annotations

import gc

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
