"""The order in which files of tests are begun."""

from __future__ import annotations

from pathlib import Path

from tests.order import WAITING, ordered

ROOT = Path(__file__).parents[1]


def test_every_file_is_begun_once_and_those_that_wait_are_spread_from_the_beginning() -> None:
    sizes = {f"tests/test_{number}.py": 100 for number in range(200)} | dict.fromkeys(WAITING, 1)
    order = ordered(sizes)
    assert sorted(order) == sorted(sizes)
    places = [number for number, name in enumerate(order) if name in WAITING]
    assert places[:2] == [0, 1]
    assert not [place for place in places if {place + 1, place + 2} <= {*places} and place < len(order) // 2]
    assert WAITING.get(order[-1], 0) < 20


def test_files_that_wait_are_there() -> None:
    assert [name for name in WAITING if not (ROOT / name).exists()] == []
